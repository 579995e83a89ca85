"""What a destination gets, and in which form: the profile of a sink, and the kinds of result objects that it chooses from."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of result objects."""

    SEG = "seg"
    SR = "sr"  # measurements and evaluations: TID 1411 or 1501 groups
    DETECTIONS = "detections"  # an SR of TID 1410 groups
    SC = "sc"  # the summary page
    OVERLAY = "overlay"  # a map drawn over the images, as Secondary Capture
    MAP = "map"
    DERIVED = "derived"
    REGISTRATION = "registration"
    NARRATIVE = "narrative"  # Enhanced SR; its form is the language
    PDF = "pdf"  # Encapsulated PDF; its form is the language


class Masks(StrEnum):
    """In which form a sink wants segmentations."""

    BINARY = "binary"
    LABELMAP = "labelmap"
    NONE = "none"


class Compression(StrEnum):
    """How the frames of a segmentation are compressed on their way to a sink; always without loss."""

    NONE = "none"
    RLE = "rle"
    JPEG_LS = "jpeg-ls"
    DEFLATE = "deflate"


class Language(StrEnum):
    """The languages of narrative reports (RFC 5646)."""

    ENGLISH = "en"
    CHINESE = "zh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a sink gets.

    Attributes
    ----------
    masks, compression
        The form of segmentations; where the sink takes none in that form, BINARY without compression goes instead.
    empty_masks
        Also send a segmentation when nothing was found.
    kinds
        The other kinds that it gets.
    languages
        Of narratives and PDFs.
    """

    name: str
    masks: Masks = Masks.BINARY
    compression: Compression = Compression.NONE
    empty_masks: bool = False
    kinds: frozenset[Kind] = frozenset(
        {Kind.SR, Kind.DETECTIONS, Kind.SC, Kind.MAP, Kind.DERIVED, Kind.REGISTRATION},
    )
    languages: tuple[Language, ...] = (Language.ENGLISH,)


VIEWER = Profile(name="viewer")
"""A modern viewer; what a sink gets when the configuration says nothing."""
