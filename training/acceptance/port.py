"""What an acceptance test is given: the application with the digest of what it computes with, and the node's own way to its findings.

The node hands both in: training knows neither its configuration nor its gate. What runs here is what a job would run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inference.applications.port import Application
from inference.findings import Findings
from inference.imaging.subject import Subject


class Analyse(Protocol):
    """Files of one series to the subject that was analysed and what was found in it, behind gate and judge."""

    def __call__(self, files: Sequence[Path], series_instance_uid: str, /) -> tuple[Subject, Findings]:
        """Analyse one series.

        Raises
        ------
        InputError
            The application does not take it: a job would be parked, or end as not applicable, with this reason.
        EngineError, ModelError
            Nothing is known of the series: the test stops, and goes on from there when it is called again.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderTest:
    """What is put to the test.

    Attributes
    ----------
    application
        As it is served: its version names those of the models that it follows.
    sha256
        Of its models, as results name it; of an application without one, of its name and version.
    engine
        What computed, for people.
    """

    application: Application
    sha256: str
    engine: str
