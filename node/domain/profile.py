"""Profiles of sinks: which kinds of result objects a sink gets, and in which form."""

from collections.abc import Mapping
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
    DEFORMABLE_REGISTRATION = "deformable-registration"
    NARRATIVE = "narrative"  # Enhanced SR; its form is the language
    PDF = "pdf"  # Encapsulated PDF; its form is the language
    EXPLANATION = "explanation"  # what moved a classifier's answer, drawn beside the image, as Secondary Capture
    EXPLANATION_MAP = "explanation-map"  # the same as Parametric Map
    UNCERTAINTY_MAP = "uncertainty-map"  # how unsure a network is of each voxel, as Parametric Map
    STATEMENT = "statement"  # Enhanced SR: there is no result; its form is the language
    WITHDRAWAL = "withdrawal"  # Key Object Selection: superseded objects are not to be used any more (IHE IOCM)


FOUND = (Kind.SEG, Kind.SR, Kind.DETECTIONS)
"""The kinds that hold what was found, each by its tracking UID."""
EXPLANATIONS = frozenset({Kind.EXPLANATION, Kind.EXPLANATION_MAP})
"""In no shipped profile: people take a map for a place, so whoever configures a sink has to ask for it by name."""


BY_NAME_ALONE = EXPLANATIONS | {Kind.UNCERTAINTY_MAP}
"""All that is in no shipped profile for that reason, and for what it costs: further calls of the model."""


class MaskEncoding(StrEnum):
    """In which form a sink wants segmentations."""

    BINARY = "binary"
    WHOLE_BYTES = "whole-bytes"  # BINARY where a frame of one bit a voxel is a whole number of bytes, FRACTIONAL elsewhere
    LABELMAP = "labelmap"
    NONE = "none"


class Compression(StrEnum):
    """How the frames of a segmentation are compressed on their way to a sink; always without loss."""

    NONE = "none"
    RLE = "rle"
    JPEG_LS = "jpeg-ls"
    DEFLATE = "deflate"


class Form(StrEnum):
    """The forms in which segmentations exist, each with a report of its own that refers to it; a sink gets one of them.

    One bit a voxel has no codec but deflate that viewers read: RLE and JPEG-LS are of label maps alone.
    """

    BINARY = "binary"
    BINARY_DEFLATE = "binary+deflate"
    FRACTIONAL = "fractional"  # a byte a voxel, all or nothing; made only where frames of one bit a voxel are no whole number of bytes
    LABELMAP = "labelmap"
    LABELMAP_RLE = "labelmap+rle"
    LABELMAP_JPEG_LS = "labelmap+jpeg-ls"
    LABELMAP_DEFLATE = "labelmap+deflate"
    NO_MASKS = "no-masks"  # of reports alone: what is said of segments without a reference to a mask, for sinks that get none
    EMPTY = "empty"  # nothing was found: BINARY, and no voxel in it; only for sinks that want empty masks


class Language(StrEnum):
    """The languages of narrative reports (RFC 5646)."""

    ENGLISH = "en"
    CHINESE = "zh"


class NotTaken(StrEnum):
    """What becomes of an object that the profile asks for, and whose SOP class the sink does not take in any form."""

    PARK = "park"  # the delivery waits for a person; the other objects have arrived
    LEAVE_OUT = "leave-out"  # the others alone are complete, as long as anything arrives; it is said of each that was left out


_NATIVE = {MaskEncoding.BINARY: Form.BINARY, MaskEncoding.WHOLE_BYTES: Form.FRACTIONAL, MaskEncoding.LABELMAP: Form.LABELMAP}


def form_in(masks: MaskEncoding, compression: Compression) -> Form | None:
    """The form that masks have in this encoding, compressed so; None where they cannot be."""
    native = _NATIVE.get(masks)
    if native is None or compression is Compression.NONE:
        return native
    asked = f"{native}+{compression}"
    return Form(asked) if asked in set(Form) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a sink gets.

    Attributes
    ----------
    masks, compression
        The form of segmentations; where the sink takes none in that form, BINARY without compression goes instead.
    empty_masks
        Also send a segmentation when nothing was found.
    cine_masks
        Also send the segmentations of phases that came as single images of one series, or as a series each, which viewers lay over others,
        and of single images, at which OHIF 3.13 shows an empty page.
    mask_reports
        Also send the reports that refer to segmentations; without them what was found, and what was measured of all images, is all.
    kinds
        The other kinds that it gets.
    languages
        Of narratives and PDFs.
    not_taken
        What becomes of an object that the sink takes in no form.
    """

    name: str
    masks: MaskEncoding = MaskEncoding.BINARY
    compression: Compression = Compression.NONE
    empty_masks: bool = False
    cine_masks: bool = False
    mask_reports: bool = True
    kinds: frozenset[Kind] = frozenset(
        {Kind.SR, Kind.DETECTIONS, Kind.SC, Kind.MAP, Kind.DERIVED, Kind.REGISTRATION, Kind.DEFORMABLE_REGISTRATION, Kind.STATEMENT},
    )
    languages: tuple[Language, ...] = (Language.ENGLISH,)
    not_taken: NotTaken = NotTaken.PARK

    @property
    def explains(self) -> bool:
        """Whether it asks for what moved a classifier's answers, which costs calls of the model."""
        return not self.kinds.isdisjoint(EXPLANATIONS)

    @property
    def doubts(self) -> bool:
        """Whether it asks how unsure a network is of each voxel, which costs as much as the answer did."""
        return Kind.UNCERTAINTY_MAP in self.kinds

    def may_lack_masks(self, *, one_cine: bool) -> bool:
        """Whether its sink may get what is said of segments and none of their masks. `one_cine`: they are such as viewers misread."""
        return self.masks is MaskEncoding.NONE or self.not_taken is NotTaken.LEAVE_OUT or (one_cine and not self.cine_masks)

    def gets(self, kind: Kind, form: str) -> bool:
        """Whether objects of a kind are among those that it gets, in the form that is chosen for its sink."""
        if kind is Kind.SEG:
            return self.masks is not MaskEncoding.NONE
        return kind in self.kinds and (self.mask_reports or kind is not Kind.SR or not form)

    @property
    def form(self) -> Form | None:
        """The form of segmentations that it asks for; None: it gets none. BINARY where there is no such form, or none is made."""
        if self.masks is MaskEncoding.NONE:
            return None
        return form_in(self.masks, self.compression) or Form.BINARY


VIEWER = Profile(name="viewer", masks=MaskEncoding.WHOLE_BYTES)
"""A modern viewer; what a sink gets when the configuration says nothing."""

PACS = Profile(
    name="pacs",
    kinds=frozenset({Kind.SR, Kind.DETECTIONS, Kind.SC, Kind.OVERLAY, Kind.DERIVED, Kind.STATEMENT}),
    not_taken=NotTaken.LEAVE_OUT,
)
"""A conservative PACS: pictures that every workstation shows, besides masks and reports where it takes them. Maps come as pictures."""

ARCHIVE = Profile(
    name="archive",
    masks=MaskEncoding.LABELMAP,
    compression=Compression.RLE,
    empty_masks=True,
    cine_masks=True,
    kinds=frozenset(Kind) - {Kind.SEG, Kind.STATEMENT, Kind.WITHDRAWAL} - BY_NAME_ALONE,
)
"""A research archive: every kind of object but explanations, maps of uncertainty, withdrawals and notes that there is no result; one
label map instead of a mask a segment, compressed as all toolkits read."""

TRIAGE = Profile(
    name="triage",
    masks=MaskEncoding.NONE,
    mask_reports=False,
    kinds=frozenset({Kind.SR, Kind.STATEMENT}),
)
"""A worklist, or whatever else sorts studies: the report that says what is present, absent or undetermined, alone; no mask, no map."""

SHIPPED: Mapping[str, Profile] = {one.name: one for one in (VIEWER, PACS, ARCHIVE, TRIAGE)}
"""The profiles that need not be declared."""
