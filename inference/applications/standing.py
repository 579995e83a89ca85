"""What a model of the repository is good for, and under which licences it may be used: what its application says, and its own entry.

A model that no application names has an entry alone: its weights' licence, and no grade.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inference.applications import catalog
from inference.applications.errors import BrokenApplication, UnknownApplication
from inference.applications.port import Application, Licences
from inference.engines.repository import Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of one version of a model.

    Attributes
    ----------
    applications
        The names of those that call it.
    grade
        "research" or "demonstration", the lower one where they differ; "" where no application calls it.
    """

    applications: tuple[str, ...]
    grade: str
    licences: Licences


class Standings:
    """The standing of each model, of the applications that there are now.

    Parameters
    ----------
    folders
        As of `catalog.names`: those of applications, and the repository's.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._applications = list(_applications(folders))

    def of(self, listed: Listed) -> Standing:
        """What is said of one version of a model; of another than the served one its application says the same, as far as is known."""
        calling = [one for one in self._applications if listed.model.name in {model.name for model in one.models}]
        grades = {one.grade for one in calling}
        said = calling[0].licences if calling else Licences()
        weights = said.weights or (listed.entry.licence if listed.entry else "")
        return Standing(
            applications=tuple(one.name for one in calling),
            grade="demonstration" if "demonstration" in grades else grades.pop() if grades else "",
            licences=replace(said, weights=weights),
        )


def _applications(folders: Sequence[Path]) -> Iterator[Application]:
    for name in catalog.names(folders):
        try:
            yield catalog.load(name, folders)
        except (BrokenApplication, UnknownApplication):
            # `hilum config check` and the import say what is wrong with it
            continue
