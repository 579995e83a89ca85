"""The record of a result kind: all that the node knows of it beside how it is made and checked, which its folder does.

A folder of this room holds one kind, and `node.results.kinds` is the tuple of all records:

- `__init__.py`: the record. Settings, pages and stages read it: it imports nothing that knows pixels or a library.
- `make.py`: `make(Making) -> list[Encoded]`, the kind's objects of one job; where the record says so, `begin(Encoding, Sources)` too, which
  gives what may be done in another thread while the kinds before are made.
- `check.py`: `check(Checking) -> None` raises a ResultError where what was read back is not what was found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from node.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from node.domain.profile import Form, Kind

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from inference.applications.port import Application
    from node.results.port import Encoded, Encoding
    from node.results.sources import Sources

Needs: TypeAlias = Literal[
    "SegmentOutput",
    "LocationOutput",
    "SaliencyOutput",
    "ExplanationOutput",
    "UncertaintyOutput",
    "DerivedOutput",
    "RegistrationOutput",
    "DeformationOutput",
]
"""An output that an application declares, a class of `inference.applications.port`."""


class EncodingStage(StrEnum):
    """The stages of an encoding (`inference.stages`)."""

    SOURCES = "sources"
    SEGMENTATION = "segmentation"
    REPORT = "report"
    IMAGES = "images"
    PAGE = "page"
    CHECK = "check"


class Holding(StrEnum):
    """How a narrative finds the findings that an object of a kind holds."""

    TRACKED = "tracked"  # by their Tracking UIDs
    LABELLED = "labelled"  # by the label of the one that it shows


class Picture(StrEnum):
    """What the console shows of a kind."""

    MASK = "mask"  # drawn over the images
    IMAGE = "image"
    PAGE = "page"  # people may have written on it: for those who see patients


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What the objects of one kind are made from.

    Attributes
    ----------
    made
        The objects of the kinds before, in the order of `node.results.kinds.KINDS`.
    begun
        Waits for what the kind's `begin` gave to do, and returns its result.
    """

    encoding: "Encoding"
    sources: "Sources"
    made: "Sequence[Encoded]"
    begun: Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """An object, parsed from its bytes."""

    one: "Encoded"
    dataset: "Dataset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """What an object, or the images of a derived series, is compared with.

    Attributes
    ----------
    series
        What was read back: one object, or all instances of one derived series.
    encoding
        With those predecessors alone that an object of this kind and form replaces.
    others
        All objects of the job that hold findings; documents, which speak of them, are none.
    """

    series: Sequence[ReadBack]
    encoding: "Encoding"
    sources: "Sources"
    others: Sequence[ReadBack]

    @property
    def one(self) -> "Encoded":
        """The object."""
        return self.series[0].one

    @property
    def dataset(self) -> "Dataset":
        """The object, parsed."""
        return self.series[0].dataset

    def masks(self) -> "list[Dataset]":
        """The segmentation that an object of this form goes with."""
        return [other.dataset for other in self.others if other.one.kind is Kind.SEG and other.one.form == self.one.form]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultKind:
    """All that is known of one kind of result objects.

    Attributes
    ----------
    folder
        The package of the kind.
    title
        What people call one: "Detection report".
    chinese
        The title in Chinese (Simplified).
    plural
        What people call them in a sentence: "this sink takes no reports of detections".
    sop_class_uid
        "" where it is that of the source.
    forms
        SOP class and transfer syntax of each form, where these decide them.
    classes
        The SOP classes that the application's objects may have, where the application decides.
    series
        The kind's numbers in Series Numbers, 1 to 99, each of it alone; the first of its objects unless their maker names another.
    switch, says
        The key of a profile that turns the kind on, and what it is; the form alone decides about segmentations.
    needs
        What an application has to declare; None: what comes of any analysis, or of none.
    on_request
        Made only where a profile asks for it.
    in_languages
        Its form begins with a language.
    document
        Speaks of the job's other objects, and holds no finding of its own.
    replaces
        Names what it replaces (PredecessorDocumentsSequence).
    image
        Has rows and columns: documents refer to it as an image.
    series_of_images
        Its objects are images, of which many make one series; every other object is a series of its own.
    stage
        Where the time of its making goes.
    of_findings
        Made of the findings of a job, by `make`, and compared with them, by `check`. What stands for no findings is made of something else,
        by an entrance of its own.
    begins
        Its `make.py` has a function `begin`.
    """

    kind: Kind
    folder: str
    title: str
    chinese: str
    plural: str
    sop_class_uid: str
    series: tuple[int, ...]
    stage: EncodingStage
    of_findings: bool = True
    begins: bool = False
    forms: Mapping[Form, tuple[str, str]] = field(default_factory=dict)
    classes: "Callable[[Application], Sequence[str]] | None" = None
    switch: str = ""
    says: str = ""
    needs: Needs | None = None
    on_request: bool = False
    in_languages: bool = False
    document: bool = False
    replaces: bool = False
    image: bool = False
    series_of_images: bool = False
    held: Holding | None = None
    picture: Picture | None = None

    def class_of(self, form: str) -> str:
        """The SOP class of the objects of a form; "" where it is that of the source."""
        return self.forms[Form(form)][0] if self.forms else self.sop_class_uid

    def syntax_of(self, form: str) -> str:
        """The transfer syntax in which objects of a form are written."""
        return self.forms[Form(form)][1] if self.forms else EXPLICIT_VR_LITTLE_ENDIAN

    def classes_of(self, application: "Application") -> Sequence[str]:
        """The SOP classes that an application's objects of this kind may have."""
        return self.classes(application) if self.classes is not None else (self.sop_class_uid,)
