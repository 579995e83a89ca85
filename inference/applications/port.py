"""The application: what it accepts, which models it calls, what it may say, and the function that says it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from inference.codes import Code
from inference.engines.port import Call, Golden, ModelRef, ModelSource, Tensors
from inference.findings import Findings
from inference.imaging.volume import Volume

__all__ = [
    "Accepts",
    "Analyse",
    "Application",
    "Golden",
    "Infer",
    "MeasurementOutput",
    "ModelRef",
    "ModelSource",
    "SegmentOutput",
    "Tensors",
]


class Infer(Protocol):
    """How an application calls a model: its tensors in, the model's outputs back. Many threads may call at once."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]: ...

    def at_once(self, model: ModelRef) -> int:
        """How many calls are worth having under way at the same time: what the engine computes at once, and what it can begin next."""
        ...

    def call_of(self, model: ModelRef) -> Call | None:
        """How the repository wants the model called (`inference.engines.calling.run` goes by it); None where it does not say."""
        ...


Analyse: TypeAlias = Callable[[Volume, Infer], Findings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What a series must be before the application looks at it; a series that is not is refused with the reason.

    `orientation` ("axial", "coronal", "sagittal") is that of the slices; None takes any. `max_spacing_mm` holds for the largest spacing of
    the volume, `min_extent_mm` for its smallest extent. Above `remark_spacing_mm` the reader is told that volumes are approximate.
    """

    modality: tuple[str, ...]
    min_slices: int = 1
    max_spacing_mm: float | None = None
    min_extent_mm: float | None = None
    orientation: Literal["axial", "coronal", "sagittal"] | None = None
    remark_spacing_mm: float = 3.0


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
class Application:
    """One analysis, complete: manifest and code. `analyse` calls models only through the `Infer` that it is given."""

    name: str
    version: str
    title: str
    accepts: Accepts
    models: tuple[ModelRef, ...]
    outputs: tuple[SegmentOutput | MeasurementOutput, ...]
    analyse: Analyse
    sources: tuple[ModelSource, ...] = ()
    manufacturer: str = "hilum"
    qualification: str = "RESEARCH"
    """ContentQualification (0018,9004): RESEARCH unless the application is cleared as a PRODUCT."""
