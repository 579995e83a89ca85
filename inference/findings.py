"""Findings: what an application may say about its subject. Each carries a coded concept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code
from inference.segment_mask import Box as GridBox
from inference.segment_mask import BoxedMask, HeldMask, box_of, held_mask
from inference.translatable import Translatable

_MASK = HeldMask()


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """One structure as a mask on the source grid.

    Attributes
    ----------
    mask
        (Z, Y, X) bool, on the grid of the `Volume` that was analysed (same axes, same slice order); of a `VolumeSet`, on the reference's;
        of `Phases`, on that of the phase; of `Images` (1, Y, X), on the pixels of the image. Of a large grid only the box that it fills is
        held, and `mask` is made each time it is read: whoever needs a part asks for that.
    label
        Short text for people, unique among segments, locations and maps ("lung right"); what it is tracked by.
    category, type
        SegmentedPropertyCategory and SegmentedPropertyType (PS3.3 C.8.20.4).
    rgb
        Recommended display colour, 0-255 each; the encoder turns it into CIELab.
    certainty
        0 to 1, how sure the application is that the structure is there; None where it does not say.
    phase
        Of `Phases`: which of them (from 0) the mask lies on, and `label` is that of `in_phase`; None elsewhere.
    image
        Of `Images`: index of the one that the mask lies on, and `label` is that of `of_image`; None elsewhere.
    """

    label: str
    mask: HeldMask = _MASK
    category: Code
    type: Code
    rgb: tuple[int, int, int]
    finding_site: Code | None = None
    laterality: Code | None = None
    certainty: float | None = None
    phase: int | None = None
    image: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the mask."""
        return held_mask(self).shape

    @property
    def has_voxels(self) -> bool:
        """Whether the mask has any."""
        held = held_mask(self)
        return bool(held.inside.size if isinstance(held, BoxedMask) else held.any())

    @property
    def inside(self) -> tuple[GridBox, NDArray[np.bool_]]:
        """The box (z, y, x) that the mask fills, and its voxels; without a voxel both are without an extent."""
        held = held_mask(self)
        if isinstance(held, BoxedMask):
            return held.box, held.inside
        return (box := box_of(held)), held[box]

    def part(self, box: GridBox) -> NDArray[np.bool_]:
        """What of the mask lies in a box (z, y, x) of the grid, whose steps are 1."""
        held = held_mask(self)
        return held.part(box) if isinstance(held, BoxedMask) else held[box]

    def plane(self, index: int, axis: int = 0) -> NDArray[np.bool_]:
        """One plane of the mask, across an axis: (Y, X) of a slice."""
        box = [slice(None)] * 3
        box[axis] = slice(index, index + 1)
        return self.part((box[0], box[1], box[2])).squeeze(axis)


def in_phase(label: str, phase: int) -> str:
    """The label of a declared segment in one phase (from 0): "cavity, phase 12" of the twelfth."""
    return f"{label}, phase {phase + 1}"


def of_image(label: str, image: int) -> str:
    """The label of a declared segment on one image (from 0): "arteries, image 2" on the second."""
    return f"{label}, image {image + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle on one image, by the edges of pixels: rows `top` to `bottom`, columns `left` to `right`, as in `image[top:bottom]`.

    The outer edge of the first row and column is 0, as PS3.3 C.18.6.1.2 counts; edges may lie between pixels.
    """

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point on one image, counted as in `Box`: the middle of the first pixel is (0.5, 0.5)."""

    row: float
    column: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Two ends on one image, counted as in `Box`: a diameter."""

    start: Point
    end: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInSpace:
    """A point in the patient, LPS, in mm, in the frame of reference of the volume."""

    x: float
    y: float
    z: float


Shape: TypeAlias = Box | Point | Line | PointInSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A coded answer to a coded question about one location: what its texture is, which class it falls into."""

    name: Code
    value: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPoint:
    """What a location is that was computed of a mask: a point of a segment, and no finding of its own.

    Attributes
    ----------
    segment
        Its label.
    purpose
        What the point is of it, geometrically (CID 219).
    method
        Which point, and how it was computed.
    """

    segment: str
    purpose: Code
    method: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One thing that was found, and where: a detection; or a point of a segment.

    Attributes
    ----------
    label
        As at `Segment`; measurements name it.
    finding
        What it is ("Lesion", "Calcification").
    image
        Index of the source image that the shape lies on: the slice of a volume, the image of `Images`, the frame of a `Cine`.
    certainty
        0 to 1; None where the application does not say.
    point
        Of a segment's point: which one it is; `finding`, site and side are then those of the segment. None of a detection.
    """

    label: str
    finding: Code
    shape: Shape
    image: int
    finding_site: Code | None = None
    laterality: Code | None = None
    certainty: float | None = None
    qualities: tuple[Quality, ...] = ()
    point: SegmentPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Frames `first` to `last` of a cine, counted from 0, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The same measurement in an earlier study of the same patient: what the node finds in its journal, or what an application that was
    given the prior measured there, of what it found to be the same.

    Attributes
    ----------
    value
        In the unit of today's.
    date
        The day of that study, YYYY-MM-DD.
    version
        Of the application that measured it, where it is another than today's.
    another_model
        Whether other models measured it.
    """

    value: float
    date: str
    version: str = ""
    another_model: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionInterval:
    """From `low` to `high`, in the measurement's unit, a new patient's true value lies with the probability `level` (0 to 1)."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with a unit; of the segment or the location that is named, or of all that was analysed when neither is.

    `span` says from which frames of a cine it was taken. `at_least`: what was measured goes on beyond the images, fades out at their
    border, or could not be looked for everywhere, so that the true value is this or more; it is compared with nothing. `total`: of several
    segments together, which `parts` name, it is the sum, in which nothing counts twice, and this is what they are together ("Both lungs").
    `method` says how it was computed, where that is a choice. `images` are indices of the source images that a number of no
    segment and no location rests on; empty: all of them. `interval` says where the true value may be instead, where the application knows.
    """

    name: Code
    value: float
    unit: Code
    segment: str | None = None
    derivation: Code | None = None
    location: str | None = None
    span: Span | None = None
    at_least: bool = False
    total: Code | None = None
    parts: tuple[str, ...] = ()
    earlier: Earlier | None = None
    method: Code | None = None
    images: tuple[int, ...] = ()
    interval: PredictionInterval | None = None

    @classmethod
    def sum_of(cls, parts: Sequence["Measurement"], total: Code) -> "Measurement":
        """What several segments together are, measured alike: at least one of them."""
        return cls(
            name=parts[0].name,
            value=sum(one.value for one in parts),
            unit=parts[0].unit,
            total=total,
            parts=tuple(one.segment for one in parts if one.segment),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A qualitative statement: is `finding` Present, Absent or Undetermined (CID 240)?

    Attributes
    ----------
    finding_site
        Where it was looked for, as far as the application can tell: "Absent" means absent there, and nowhere else.
    probability
        That the finding is there, 0 to 1, whatever `value` says; None where the application does not say.
    images
        Indices of the source images that it rests on; empty: all of them.
    """

    finding: Code
    value: Code
    finding_site: Code | None = None
    laterality: Code | None = None
    probability: float | None = None
    images: tuple[int, ...] = ()
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saliency:
    """A map over the volume: how much each voxel spoke for a finding.

    Attributes
    ----------
    values
        (Z, Y, X) float32 on the grid of the volume, finite.
    quantity, unit
        What the values are ("probability", "attribution") and in which unit (UCUM "1" for none).
    """

    label: str
    values: NDArray[np.float32]
    quantity: Code
    unit: Code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Uncertainty:
    """How unsure a network is of each voxel that it decided. It says nothing of disease; where a network is sure, it may be wrong.

    Attributes
    ----------
    label
        The method, for people ("Entropy").
    values
        (Z, Y, X) float32 on the grid of the volume: 0 where the network is sure, 1 where all that it decides between is as likely.
    quantity
        The method as a code.
    """

    label: str
    values: NDArray[np.float32]
    quantity: Code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """What moved a network's answer about one single image. It explains the network, and is no place of anything in the patient.

    Attributes
    ----------
    label
        The method, for people ("Grad-CAM"); with `image` it tells explanations apart.
    values
        (Y, X) float32 on the grid of the image, finite: how much each pixel speaks for `finding`, in log odds; 0 where the network does
        not look.
    image
        Index of the image.
    finding
        What the answer is about.
    quantity
        The method as a code (CID 7180).
    """

    label: str
    values: NDArray[np.float32]
    image: int
    finding: Code
    quantity: Code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DerivedImage:
    """A volume made from the one that was analysed: denoised, super-resolved, resampled.

    Attributes
    ----------
    voxels
        (Z, Y, X) modality values.
    affine
        (4, 4) float64 as `Volume.affine`, in the frame of reference of the (current) volume; None: the grid of that volume itself.
    derivation
        What was done to the source (CID 7203 "Image Derivation").
    of_prior
        Of a `VolumeSet`: whether the prior volume is what it was made from.
    """

    label: str
    voxels: NDArray[np.int16] | NDArray[np.float32]
    derivation: Code
    affine: NDArray[np.float64] | None = None
    of_prior: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registration:
    """Where the prior volume of a `VolumeSet` lies in the reference's space.

    `matrix` is (4, 4) float64, rigid: it takes patient coordinates (x, y, z, 1) in mm LPS of the prior's frame of reference to those of the
    current's (PS3.3 C.20.2.1.1).
    """

    matrix: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deformation:
    """Where each place of the reference's space lies in the prior volume of a `VolumeSet`, which was bent to fit.

    A place p of the current's frame of reference (mm, LPS) shows what the prior shows at `matrix`⁻¹ (p + u(p)), u interpolated linearly
    between the nodes of the grid and 0 beyond them (PS3.3 C.20.3.1.1, with `matrix`⁻¹ after the deformation).

    Attributes
    ----------
    matrix
        As `Registration.matrix`: what is left of the motion without the bending.
    offsets
        (Z, Y, X, 3) float32: u at the nodes, in mm along x, y and z of the current's frame of reference.
    affine
        (4, 4) float64: node (z, y, x, 1) to its place in the current's frame of reference; the axes perpendicular, x, y, z right-handed.
    """

    matrix: NDArray[np.float64]
    offsets: NDArray[np.float32]
    affine: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """What a reader must know before anything else that a result says.

    Attributes
    ----------
    sentence
        It begins the first sentence of every report, and stands at the top of the page.
    mark
        A few words that Series Descriptions begin with ("INCOMPLETE 154 of 384"); "" where the sentence is enough.
    """

    sentence: Translatable
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """All that one application says about one subject; the empty findings are a result too."""

    segments: tuple[Segment, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    remarks: tuple[str, ...] = ()
    """Sentences from the quality gate that a reader must see ("slices 3.0 mm apart: volume is approximate"); those of hilum itself are
    `Translatable`, what an application of somebody else says is shown as it is."""
    locations: tuple[Location, ...] = ()
    saliencies: tuple[Saliency, ...] = ()
    derived: tuple[DerivedImage, ...] = ()
    registration: Registration | None = None
    deformation: Deformation | None = None
    explanations: tuple[Explanation, ...] = ()
    """Only where a sink asks for them by a key of its own (`Application.explain`)."""
    uncertainties: tuple[Uncertainty, ...] = ()
    """Likewise (`Application.unsure`)."""
    cautions: tuple[Caution, ...] = ()
    """What comes before anything else, the gravest first."""
    cut: bool = False
    """Whether images are known to be missing: what was looked for and not found is then undetermined and never absent, and nothing is
    measured of masks, of an empty one neither."""
