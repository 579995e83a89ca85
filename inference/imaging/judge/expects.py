"""Expectations: what an application declares of the picture that its model was made for; the judge goes by nothing else."""

from dataclasses import dataclass
from enum import StrEnum

from inference.translatable import Translatable


class BodyPart(StrEnum):
    """The part of the body that the images have to show."""

    HEAD = "head"
    CHEST = "chest"
    HIPPOCAMPUS = "hippocampus"


class Contrast(StrEnum):
    """The weighting of MR images, where a model needs one."""

    T1 = "T1"
    FLAIR = "FLAIR"


class Form(StrEnum):
    """What marked voxels have to look like."""

    BRAIN = "brain"
    LUNGS = "lungs"


class View(StrEnum):
    """What a single image has to look like."""

    FRONTAL_CHEST = "frontal radiograph of the chest"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRange:
    """Volumes in cm³ from a completed year of age on; `from_years` None is for patients of unknown age.

    Attributes
    ----------
    possible
        Outside, nobody of that age can have it: declined.
    usual
        Outside, few have it: the reader is told first.
    """

    from_years: int | None
    possible: tuple[float, float]
    usual: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plausible:
    """How large a structure can be.

    Attributes
    ----------
    structure
        For people, in a sentence ("intracranial volume").
    segments
        Labels of the segments whose volumes are added up; those that were not found add nothing.
    spans
        By age, rising, that for an unknown age first.
    source
        Where the bounds come from.
    """

    structure: Translatable
    segments: tuple[str, ...]
    spans: tuple[VolumeRange, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Segments that together have a form which the judge knows."""

    segments: tuple[str, ...]
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Expects:
    """What the model was made for. Without a word of it only borders are looked at: whatever a mask is of, beyond the images it may go on.

    Attributes
    ----------
    part
        Test objects, animals, noise and negatives are declined from then on; without it a model may be made for just these.
    contrast
        What headers say against it declines, and what pixels show where they leave no doubt.
    marked
        The form of what the model marks.
    plausible
        The sizes of it.
    view
        Of single images: what each one that something is said of looks like.
    native
        Without contrast medium: a header that names an agent declines.
    measured
        What the application itself measures in the pixels and may decline for, whatever headers say, in a few words for operators.
    shown
        What of the part the application looks for in the pixels, and declines without, in a few words for operators. Headers that name the
        part twice are believed.
    own_borders
        The application itself says where what it marks goes on beyond the images: borders are not looked at.
    """

    part: BodyPart | None = None
    contrast: Contrast | None = None
    marked: tuple[Marked, ...] = ()
    plausible: tuple[Plausible, ...] = ()
    view: View | None = None
    native: bool = False
    measured: str = ""
    shown: str = ""
    own_borders: bool = False
