"""The application: what it accepts, which models it calls, what it may say, and the function that says it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from inference.codes import ARTIFICIAL_INTELLIGENCE, Code
from inference.engines.port import Call, Golden, ModelRef, ModelSource, Tensors
from inference.findings import Explanation, Findings, Uncertainty
from inference.imaging.judge.expects import Expects
from inference.imaging.measures.measure import Measure
from inference.imaging.roles import PAIR_PLACES, RigidMotion, RolePlace
from inference.imaging.subject import Clock, Parts, Takes

__all__ = [
    "Accepts",
    "Analyse",
    "Application",
    "Clock",
    "DeformationOutput",
    "DerivedOutput",
    "EvaluationOutput",
    "Expects",
    "Explain",
    "ExplanationOutput",
    "Golden",
    "Infer",
    "JobFiles",
    "Licences",
    "LocationOutput",
    "MeasurementOutput",
    "ModelRef",
    "ModelSource",
    "Output",
    "QualityOutput",
    "RegistrationOutput",
    "RigidMotion",
    "Role",
    "SaliencyOutput",
    "Sample",
    "SegmentOutput",
    "Takes",
    "Tensors",
    "UncertaintyOutput",
    "Unsure",
]


class Infer(Protocol):
    """How an application calls a model: its tensors in, the model's outputs back. Many threads may call at once."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        """The outputs by name; one with values that are no numbers raises NotFinite where it is read."""
        ...

    def at_once(self, model: ModelRef) -> int:
        """How many calls are worth having under way at the same time: what the engine computes at once, and what it can begin next."""
        ...

    def call_of(self, model: ModelRef) -> Call | None:
        """How the repository wants the model called (`inference.engines.calling.run` goes by it); None where it does not say."""
        ...


Analyse: TypeAlias = Callable[[Any, Infer], Findings]
"""Its first argument is the subject that `Accepts.takes` names: a `Volume`, a `VolumeSet`, `Phases`, `Images` or a `Cine`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """The files of a job, Part 10, which are read and never written; and the seconds that are left for what is made of them."""

    files: tuple[Path, ...]
    seconds: float


AnalyseFiles: TypeAlias = Callable[[Any, JobFiles], Findings]
"""What is said by something that reads the files itself; the subject as they were acquired says where findings lie."""

Explain: TypeAlias = Callable[[Any, Infer], tuple[Explanation, ...]]
"""What moved the answers of `Analyse` about the same subject."""


Unsure: TypeAlias = Callable[[Any, Infer], tuple[Uncertainty, ...]]
"""How unsure the network of `Analyse` is of each voxel of the same subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What a series must be before the application looks at it; a series that is not is refused with the reason.

    `orientation` ("axial", "coronal", "sagittal") is that of the slices; None takes any. `max_spacing_mm` holds for the largest spacing of
    the volume, `min_apart_mm` for the least distance between neighbouring slices, `max_thickness_mm` for SliceThickness where the images
    state it; a thousandth of a mm beyond any of them is rounding in the files, and taken. `min_extent_mm` holds for the smallest extent,
    `max_extents_mm` for those to the head, to the back and to the left, in full mm. `sop_classes` are those of the images; () takes any.
    Above `remark_spacing_mm` the reader is told that volumes are approximate. Headers tell all of this: routing asks it before any pixel is
    read.
    `takes` says what `analyse` is given. `parts` is for series that hold several volumes of one place (times, echoes, b-values), or several
    loops: "refuse" them, analyse "each" on its own, or of a diffusion series the one at b 0 ("b0"). `whole_study` (images only): all series
    of the study that the route matches are one subject, the views of an examination.
    `min_phases`, `max_phases` and `clock` are for phases: how many there have to be at least and at most, and what their time has to be
    counted by ("heart", "breath", "time"); () takes any, also images that say nothing but the order of their phases.
    `without_prior` is for pairs: a series that has no prior, or one that does not fit, is analysed alone.
    `years` are the first and the last completed year of age of patients that are taken, both with them; a patient of whom no header tells
    how old he was is not. None takes everybody.
    """

    modality: tuple[str, ...]
    min_slices: int = 1
    max_spacing_mm: float | None = None
    min_apart_mm: float | None = None
    max_thickness_mm: float | None = None
    min_extent_mm: float | None = None
    max_extents_mm: tuple[float, float, float] | None = None
    sop_classes: tuple[str, ...] = ()
    orientation: Literal["axial", "coronal", "sagittal"] | None = None
    remark_spacing_mm: float = 3.0
    takes: Takes = Takes.VOLUME
    parts: Parts = "refuse"
    whole_study: bool = False
    min_phases: int = 2
    max_phases: int | None = None
    clock: tuple[Clock, ...] = ()
    without_prior: bool = False
    years: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role(RolePlace):
    """One of several series that are analysed together, and what it has to be; None: what the application asks of its reference.

    Each is asked and judged as if it were the only one.
    """

    accepts: Accepts | None = None
    expects: Expects | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOutput:
    """A segment that the application may emit.

    `searched` says that it is looked for in every analysis, and where ("Brain"): a segment that the findings then do not mention is
    reported as absent there, like one without a voxel, unless another of its type was found. One that may be mentioned or not (both lungs,
    where they cannot be told apart) has none.
    """

    label: str
    type: Code
    searched: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementOutput:
    """A measurement that the application may emit."""

    name: Code
    unit: Code
    derivation: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOutput:
    """A finding that the application may call Present, Absent or Undetermined."""

    finding: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationOutput:
    """Something that the application may find, and say where: boxes, points, diameters.

    It is looked for in every analysis: where no location of it is found and no evaluation speaks of it, it is reported as absent in
    `searched`, or without that in what was imaged, as far as the images tell. Points of a segment (`of_segment`) are not looked for: they
    are there where the segment is.
    """

    finding: Code
    searched: Code | None = None
    of_segment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityOutput:
    """A question about a location that the application may answer, and the answers that it may give."""

    name: Code
    values: tuple[Code, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaliencyOutput:
    """A map that the application may emit."""

    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationOutput:
    """A map of what moved the answer about a finding, on single images; one of its outputs has to be that answer."""

    label: str
    finding: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertaintyOutput:
    """A map of how unsure the network is of each voxel; some of its outputs have to be segments, which it decided."""

    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedOutput:
    """An image that the application may derive."""

    label: str
    derivation: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationOutput:
    """That the application may say where the prior lies in the current volume's space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeformationOutput:
    """That the application may say where each place of the current volume lies in the prior, which it bends to fit."""


Output: TypeAlias = (
    SegmentOutput
    | MeasurementOutput
    | EvaluationOutput
    | LocationOutput
    | SaliencyOutput
    | ExplanationOutput
    | UncertaintyOutput
    | DerivedOutput
    | RegistrationOutput
    | DeformationOutput
    | QualityOutput
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The part of a published head, T1 MR in MNI space, that `hilum demo` sends for an application that takes no whole head.

    Attributes
    ----------
    centre_mm
        Its middle, (X, Y, Z) in LPS.
    shape
        Voxels (Z, Y, X), the distance of their centres `spacing_mm` along each axis.
    description
        The Series Description, for people.
    """

    centre_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    spacing_mm: float
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Licences:
    """Under which code, weights and training data may be used, "" where nobody said; and whether commercially ("yes", "no", "unknown")."""

    code: str = ""
    weights: str = ""
    data: str = ""
    commercial: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One analysis, complete: manifest and code. `analyse` calls models only through the `Infer` that it is given."""

    name: str
    version: str
    title: str
    accepts: Accepts
    models: tuple[ModelRef, ...]
    outputs: tuple[Output, ...]
    analyse: Analyse
    sources: tuple[ModelSource, ...] = ()
    manufacturer: str = "hilum"
    qualification: str = "RESEARCH"
    """ContentQualification (0018,9004): RESEARCH unless the application is cleared as a PRODUCT."""
    triage_only: bool = False
    """Cleared to say whether, not where: a manifest that then declares a mask, a location, a map or an image is refused."""
    family: Code = ARTIFICIAL_INTELLIGENCE
    """What kind of algorithm it is (CID 7162): one that has not learned anything says so."""
    sample: Sample | None = None
    noun: str = ""
    """What its results are about, in a word or two ("Brain volume"): every Series Description begins with it; "": the title."""
    expects: Expects = field(default_factory=Expects)
    """What the pictures have to show, and how what is marked has to look, for `inference.imaging.judge`."""
    series: int = 0
    """Its number in the Series Numbers of its results, 1 to 99, which no other application of a node has; 0: the node gives it one."""
    roles: tuple[Role, ...] = ()
    """Of several volumes: the reference first, which results belong to and `accepts` and `expects` are of."""
    grade: str = "research"
    """For what it is good: "research", or "demonstration", which shows the way of a study and nothing more."""
    licences: Licences = field(default_factory=Licences)
    """Of each of its models; where `weights` says nothing, the model's own entry does."""
    unaccepted: str = ""
    """Why it is not accepted at this place, as a node finds it for routes that ask; "" where it is, or none asks."""
    models_digest: str = ""
    """The digest of its models that this was found for; "" where none asks."""
    measures: tuple[Measure, ...] = ()
    """What is measured of its segments besides what `analyse` says; `outputs` then has their concepts."""
    as_acquired: bool = False
    """Each slice is looked at by itself: `analyse` is given slices as acquired, also in unequal steps or of a tilted stack."""
    explain: Explain | None = None
    """Called besides `analyse` where a sink of the job asks for explanations; `outputs` then has an `ExplanationOutput` for each map."""
    unsure: Unsure | None = None
    """Called besides `analyse` where a sink of the job asks for maps of uncertainty; `outputs` then has an `UncertaintyOutput` for each."""
    of_files: AnalyseFiles | None = None
    """In the place of `analyse`, of an application that is somebody else's program: it reads the files of the job, not what hilum made of
    them, and is asked in jobs alone."""

    def on(self, files: JobFiles) -> "Application":
        """The application as it analyses these files, where it reads files."""
        of_files = self.of_files
        return self if of_files is None else replace(self, analyse=lambda subject, _: of_files(subject, files))

    @property
    def in_roles(self) -> tuple[Role, ...]:
        """The roles of what it takes: its own, those of a pair, or none."""
        if self.accepts.takes is not Takes.PAIR:
            return self.roles
        return _ALONE_OR_PAIR if self.accepts.without_prior else PAIR_ROLES

    def in_role(self, role: Role) -> "Application":
        """The application as it takes the one series of a role."""
        accepts = role.accepts or self.accepts
        return replace(self, accepts=replace(accepts, takes=Takes.VOLUME), expects=role.expects or self.expects, roles=())


PAIR_ROLES = tuple(Role(name=one.name, prior_of=one.prior_of, own_grid=one.own_grid) for one in PAIR_PLACES)
_ALONE_OR_PAIR = tuple(replace(one, optional=bool(one.prior_of)) for one in PAIR_ROLES)
