"""The segmentation, on the source grid: a frame per segment and slice that holds any of it, or per slice in label maps (PS3.3 A.51)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from node.domain.profile import Form, Kind
from node.results.codes import item
from node.results.identity import MANUFACTURER, Identity, model_names, software_versions, stamp, tracking, uid_within
from node.results.masks.frames import Frames, evenly_spaced, frames_of, label, pack, packed_size
from node.results.masks.seg_forms import LABEL_MAPS, SYNTAXES
from node.results.masks.segments import Numbered, legible, overlap
from node.results.pixels import Pixels, encapsulated
from node.results.planes import Sources, without_distance
from node.results.port import Encoding
from node.results.written import hold, hold_frames, references, settled

_MOST_IN_A_BYTE = 255
"""Segments that a byte can tell apart from each other and from the background's 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A segmentation: its data set without pixels, and the pixels, which are written straight into the file."""

    dataset: Dataset
    pixels: Pixels
    syntax: UID


def segmentation(encoding: Encoding, sources: Sources, found: Sequence[Numbered], form: Form, identity: Identity) -> Made:
    """Encode segments; there is at least one.

    The masks are on the grid of the source images already. Frames lie where their source lies, in the order along the slice normal
    that the library chooses; each refers to the instance (and frame) that its slice came from. The library makes the object for one
    frame; the frames are put in place here.
    """
    labels = form in LABEL_MAPS
    frames = frames_of(found if labels else legible(found), sources.planes, labels=labels)
    made = _skeleton(encoding, sources, found, identity, labels=labels)
    made.NumberOfFrames = len(frames.slices)
    made.SegmentsOverlap = "NO" if labels or not overlap(found) else "YES"
    if (labels or len(found) == 1) and evenly_spaced(sources.planes, np.sort(frames.slices)):
        made.DimensionOrganizationType = "3D"
    hold_frames(made, frames, sources.planes, sources.slices)
    without_distance(made, encoding.volume)
    _refer(made, sources)
    # the library draws a random one
    organisation = uid_within(encoding, "dimension organization", Kind.SEG, form)
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in made.DimensionIndexSequence:
        index.DimensionOrganizationUID = organisation
    stamp(made, encoding, sources, identity)
    syntax = SYNTAXES.get(form, ExplicitVRLittleEndian)
    return Made(dataset=made, pixels=_pixels(made, found, frames, syntax, labels=labels), syntax=syntax)


def _skeleton(encoding: Encoding, sources: Sources, found: Sequence[Numbered], identity: Identity, *, labels: bool) -> Dataset:
    """The segmentation as the library makes it of one slice with one voxel."""
    one_voxel = np.zeros((1, sources.planes[0].Rows, sources.planes[0].Columns), dtype=np.uint8)
    one_voxel[0, 0, 0] = 1
    made: Dataset = Segmentation(
        source_images=sources.planes[:1],
        pixel_array=one_voxel,
        segmentation_type=SegmentationTypeValues.LABELMAP if labels else SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(encoding, one) for one in found],
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=encoding.application.name,
        software_versions=software_versions(encoding),
        device_serial_number=encoding.model_digest[:16],
        content_label="SEGMENTATION",
        content_description=encoding.application.title[:64],
        omit_empty_frames=True,
    )
    if labels:
        # every value in the pixels has to be described, the background's 0 too (PS3.3 C.8.20.2.3.3), in any order; viewers that take
        # the n-th item for segment n colour the segments rightly only when the background comes last
        background, *segments = made.SegmentSequence
        made.SegmentSequence = [*segments, background]
        # the library leaves open whether it has a sign; pixels here have none
        made["PixelPaddingValue"].VR = "US"
    del made.PixelData
    # Type 2 (PS3.3 Table 10-12), which the library leaves out: no person drew it
    made.ContentCreatorName = ""
    return made


def _pixels(made: Dataset, found: Sequence[Numbered], frames: Frames, syntax: UID, *, labels: bool) -> Pixels:
    count, rows, columns = len(frames.slices), made.Rows, made.Columns
    if not labels:
        return Pixels(vr="OB", size=packed_size(count, rows, columns), write=lambda out: pack(found, frames, out))
    dtype = np.dtype("<u1" if len(found) <= _MOST_IN_A_BYTE else "<u2")
    native = Pixels(
        vr="OB" if dtype.itemsize == 1 else "OW",
        size=count * rows * columns * dtype.itemsize,
        write=lambda out: label(found, frames, out.view(dtype).reshape(count, rows, columns)),
    )
    if not syntax.is_encapsulated:
        return native

    def lot(some: Frames) -> NDArray[Any]:
        values = np.zeros((len(some.slices), rows, columns), dtype=dtype)
        label(found, some, values)
        return values

    return encapsulated([partial(lot, some) for some in frames.lots()], syntax)


def algorithm(encoding: Encoding) -> hd.AlgorithmIdentificationSequence:
    """What drew the segments: application, version, and the models by their digest (PS3.3 10.16)."""
    return hd.AlgorithmIdentificationSequence(
        name=encoding.application.name,
        family=item(encoding.application.family),
        version=encoding.application.version,
        source=encoding.application.manufacturer,
        parameters={"model": model_names(encoding)},
    )


def _description(encoding: Encoding, one: Numbered) -> SegmentDescription:
    segment = one.segment
    identifier, uid = tracking(encoding, segment.label)
    description = SegmentDescription(
        segment_number=one.number,
        segment_label=segment.label[:64],
        segmented_property_category=item(segment.category),
        segmented_property_type=item(segment.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(encoding),
        tracking_uid=uid,
        tracking_id=identifier,
        anatomic_regions=[item(segment.finding_site)] if segment.finding_site else None,
        display_color=CIELabColor.from_rgb(*segment.rgb),
    )
    if segment.laterality:
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [item(segment.laterality)]
    return description


def _refer(made: Dataset, sources: Sources) -> None:
    """Name the instances that the stand-ins stand for."""
    items = references(sources.instances)
    hold(made, Tag("SourceImageSequence"), items)
    series = Dataset()
    series.SeriesInstanceUID = sources.planes[0].SeriesInstanceUID
    hold(series, Tag("ReferencedInstanceSequence"), items)
    made.ReferencedSeriesSequence = [settled(series)]
