"""The segmentations of a job, one in each form that is wanted, on the source grid: a frame per segment and slice that holds any of it, or
per slice in label maps (PS3.3 A.51); each with a report of its own that refers to it.

Of single images each has a segmentation of its own, a frame a segment, without a place in the patient: which pixels are meant is said by
the image that a frame refers to alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationFractionalTypeValues,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage

from inference.findings import Segment
from inference.imaging.subject import Images, Phases
from inference.stages import stage
from node.domain.profile import Form, Kind
from node.observe.events import event
from node.results.identity import (
    MANUFACTURER,
    ResultIdentity,
    encoded,
    identify,
    model_names,
    software_versions,
    stamp,
    tracking,
    uid_within,
)
from node.results.kind import EncodingStage, Making
from node.results.measurements.make import Described, segment_report, unmasked_report
from node.results.normalise import cleaned
from node.results.page.words import PAGE_WORDS
from node.results.part10 import as_explicit, hold, references
from node.results.pixels import Pixels, encapsulated
from node.results.port import Encoded, Encoding
from node.results.segmentation import LABEL_MAPS, SEGMENTATION
from node.results.segmentation.frames import (
    OCCUPIED,
    Frames,
    Numbered,
    evenly_spaced,
    frames_of,
    frames_on_image,
    hold_frames,
    label,
    legible,
    numbered,
    occupy,
    overlap,
    pack,
    packed_size,
    unoccupied,
    whole_bytes,
)
from node.results.sources import Sources, common_references, item, without_distance


def forms(encoding: Encoding, found: Sequence[Numbered]) -> list[Form]:
    """The forms to make: BINARY where anything was found, and what the profiles ask for besides.

    Voxels of several segments, or phases, have no place in a label map: there, BINARY is all that can be made, and an event says so.
    FRACTIONAL is made where frames of one bit a voxel are no whole number of bytes, and where it is not too long: elsewhere whoever asks
    for it is served by BINARY.
    """
    asked = {profile.form for profile in encoding.profiles} - {None, Form.BINARY}
    if not found:
        described = any(profile.empty_masks and profile.form is not None for profile in encoding.profiles)
        return [Form.EMPTY] if described and encoding.findings.segments else []
    grid = found[0].segment.shape[1:]
    if whole_bytes(*grid):
        asked.discard(Form.FRACTIONAL)
    elif Form.FRACTIONAL in asked and _occupied(found) * grid[0] * grid[1] > MOST_FRACTIONAL_BYTES:
        event("results.form_left_out", application=encoding.application.name, form=Form.FRACTIONAL.value, reason="too long")
        asked.discard(Form.FRACTIONAL)
    besides = [form for form in Form if form in asked]
    phases = len({one.segment.phase for one in found})
    if LABEL_MAPS.intersection(besides) and (phases > 1 or found[0].segment.image is not None or overlap(found)):
        on_images = "segments of single images" if found[0].segment.image is not None else ""
        reason = on_images or ("segments overlap" if phases == 1 else "segments of several phases")
        for form in sorted(LABEL_MAPS.intersection(besides)):
            event("results.form_left_out", application=encoding.application.name, form=form.value, reason=reason)
        besides = [form for form in besides if form not in LABEL_MAPS]
    return [Form.BINARY, *besides]


def _occupied(found: Sequence[Numbered]) -> int:
    """How many frames hold something."""
    return sum(one.slices.size for one in found)


MOST_FRACTIONAL_BYTES = 1 << 30
"""Of a mask with a byte a voxel. It is made beside the one of bits, in memory, and an element has room for four times as much."""
_MOST_IN_A_BYTE = 255
"""Segments that a byte can tell apart from each other and from the background's 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A segmentation: its data set without pixels, and the pixels, which are written straight into the file."""

    dataset: Dataset
    pixels: Pixels
    syntax: UID


def segmentation(encoding: Encoding, sources: Sources, found: Sequence[Numbered], form: Form, identity: ResultIdentity) -> Made:
    """Encode segments; there is at least one.

    The masks are on the grid of the source images already. Frames lie where their source lies, in the order along the slice normal
    that the library chooses; each refers to the instance (and frame) that its slice came from. The library makes the object for one
    frame; the frames are put in place here.
    """
    labels = form in LABEL_MAPS
    packed = not labels and form is not Form.FRACTIONAL
    image = found[0].segment.image
    if image is None:
        frames = frames_of(legible(found) if packed else found, sources.planes, labels=labels)
        slices, depth = sources.slices, len(encoding.volume.voxels)
    else:
        frames, slices, depth = frames_on_image(found), sources.slices[image : image + 1], 1
    made = _skeleton(encoding, sources, found, identity, form)
    made.NumberOfFrames = len(frames.slices)
    made.SegmentsOverlap = "NO" if labels or not overlap(found) else "YES"
    if image is None and (labels or len(found) == 1) and evenly_spaced(sources.planes, np.sort(frames.slices)):
        made.DimensionOrganizationType = "3D"
    over_time = isinstance(encoding.subject, Phases)
    hold_frames(made, frames, sources.planes, slices, depth, over_time=over_time)
    if over_time:
        _index_time(made)
    if image is None:
        without_distance(made, encoding.volume)
        _refer(made, sources)
    else:
        _refer_to_image(made, sources, image)
    # the library draws a random one
    organisation = uid_within(encoding, "dimension organization", Kind.SEG, form, *([] if image is None else [f"image {image + 1}"]))
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in made.DimensionIndexSequence:
        index.DimensionOrganizationUID = organisation
    stamp(made, encoding, sources, identity)
    syntax = UID(SEGMENTATION.syntax_of(form))
    return Made(dataset=made, pixels=_pixels(made, found, frames, syntax, form), syntax=syntax)


def _index_time(made: Dataset) -> None:
    """Number frames by their phase too, before their place (PS3.3 C.7.6.17)."""
    index = Dataset()
    index.DimensionOrganizationUID = made.DimensionOrganizationSequence[0].DimensionOrganizationUID
    index.DimensionIndexPointer, index.FunctionalGroupPointer = Tag("TemporalPositionIndex"), Tag("FrameContentSequence")
    index.DimensionDescriptionLabel = "Temporal Position Index"
    *before, place = made.DimensionIndexSequence
    made.DimensionIndexSequence = [*before, index, place]


def _type_of(form: Form) -> SegmentationTypeValues:
    if form is Form.FRACTIONAL:
        return SegmentationTypeValues.FRACTIONAL
    return SegmentationTypeValues.LABELMAP if form in LABEL_MAPS else SegmentationTypeValues.BINARY


def _skeleton(encoding: Encoding, sources: Sources, found: Sequence[Numbered], identity: ResultIdentity, form: Form) -> Dataset:
    """The segmentation as the library makes it of one slice, or one image, with one voxel."""
    labels = form in LABEL_MAPS
    one_voxel = np.zeros((1, *found[0].segment.shape[1:]), dtype=np.uint8)
    one_voxel[0, 0, 0] = 1
    made: Dataset = Segmentation(
        source_images=sources.planes[:1] or [_image_without_place(sources, found[0].segment)],
        pixel_array=one_voxel,
        segmentation_type=_type_of(form),
        # of FRACTIONAL alone: how much of a voxel a segment occupies (PS3.3 C.8.20.2.3.1), which here is all or nothing of it
        fractional_type=SegmentationFractionalTypeValues.OCCUPANCY,
        max_fractional_value=OCCUPIED,
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
        content_description=PAGE_WORDS[encoding.language].title(encoding.application.name, encoding.application.title)[:64],
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


def _image_without_place(sources: Sources, segment: Segment) -> Dataset:
    """A stand-in of a class that need not have a frame of reference, whatever class the image has: the library takes photographs of
    ophthalmology, which are multi-frame by their class, for enhanced images, and fails."""
    made = Dataset()
    made.update(sources.base)
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.Rows, made.Columns = segment.shape[1:]
    return made


def _pixels(made: Dataset, found: Sequence[Numbered], frames: Frames, syntax: UID, form: Form) -> Pixels:
    count, rows, columns = len(frames.slices), made.Rows, made.Columns
    if form is Form.FRACTIONAL:
        size = count * rows * columns
        return Pixels(vr=b"OB", size=size, write=lambda out: occupy(found, frames, out.reshape(count, rows, columns)))
    if form not in LABEL_MAPS:
        return Pixels(vr=b"OB", size=packed_size(count, rows, columns), write=lambda out: pack(found, frames, out))
    dtype = np.dtype("<u1" if len(found) <= _MOST_IN_A_BYTE else "<u2")
    native = Pixels(
        vr=b"OB" if dtype.itemsize == 1 else b"OW",
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
    """Name the instances that the stand-ins stand for, and all others that were analysed with them."""
    hold(made, Tag("SourceImageSequence"), references(sources.instances))
    first = sources.series[0]  # the volume's own; slices over time may come from others as well
    series = Dataset()
    series.SeriesInstanceUID = first.series_instance_uid
    hold(series, Tag("ReferencedInstanceSequence"), references(first.instances))
    del made.ReferencedSeriesSequence  # the library's is of stand-ins
    common_references(made, sources, sources.series[1:])
    made.ReferencedSeriesSequence = [as_explicit(series), *made.get("ReferencedSeriesSequence", ())]


def _refer_to_image(made: Dataset, sources: Sources, image: int) -> None:
    """Name the one image that the frames are of, and say where its rows and columns run to, as it does (Type 2C, PS3.3 C.7.6.1)."""
    source = sources.slices[image]
    instance = (source.sop_class_uid, source.sop_instance_uid)
    hold(made, Tag("SourceImageSequence"), references([instance]))
    series = Dataset()
    series.SeriesInstanceUID = next(one.series_instance_uid for one in sources.series if instance in one.instances)
    hold(series, Tag("ReferencedInstanceSequence"), references([instance]))
    made.ReferencedSeriesSequence = [as_explicit(series)]
    header = sources.headers[source.sop_instance_uid]
    directions = cleaned(header, "PatientOrientation")
    made.PatientOrientation = directions.value if directions is not None else None


def is_one_cine(encoding: Encoding) -> bool:
    """Whether what is marked are phases of which viewers lay the mask of one over others (ADR-0013): of a cine of single images of one
    series, of which they make a volume over time, or of a series a phase, on the first of which they put the masks of all."""
    subject = encoding.subject
    if not isinstance(subject, Phases) or len(subject) < 2:
        return False
    series_of = {header.SOPInstanceUID: header.SeriesInstanceUID for header in encoding.sources}
    each = [{series_of[source.sop_instance_uid] for source in volume.sources} for volume in subject.volumes]
    series = set[str]().union(*each)
    if all(source.frame is None for source in subject.sources) and len(series) == 1:
        return True
    return all(len(one) == 1 for one in each) and len(series) == len(each)


def make(making: Making) -> list[Encoded]:
    """A segmentation in each form, and behind it its report, where any segment has a voxel."""
    encoding, sources = making.encoding, making.sources
    if isinstance(encoding.subject, Images):
        return _of_images(encoding, encoding.subject, sources)
    found = numbered(encoding.findings)
    made: list[Encoded] = []
    for form, mask, seg in masks(encoding, sources, found):
        made.append(mask)
        if found:
            with stage(EncodingStage.REPORT):
                made.append(segment_report(encoding, sources, [Described(found=found, seg=seg)], form))
    return made + _unmasked(encoding, sources, found, one_cine=is_one_cine(encoding))


def masks(encoding: Encoding, sources: Sources, found: Sequence[Numbered]) -> Iterator[tuple[Form, Encoded, Dataset]]:
    """The segmentation of a volume, or of volumes over time, in each form: its file, and what a report refers to. `found` may be empty."""
    described = found or unoccupied(encoding.findings)
    for form in forms(encoding, found):
        identity = identify(encoding, sources, Kind.SEG, "SEG")
        seg = segmentation(encoding, sources, described, form, identity)
        mask = encoded(Kind.SEG, seg.dataset, identity, form.value, pixels=seg.pixels, syntax=seg.syntax)
        yield form, replace(mask, one_cine=is_one_cine(encoding)), seg.dataset


def _unmasked(encoding: Encoding, sources: Sources, found: Sequence[Numbered], *, one_cine: bool) -> list[Encoded]:
    """What is said of segments without their masks, where a sink may get none of these and wants to know of them."""
    wanted = any(profile.may_lack_masks(one_cine=one_cine) and profile.gets(Kind.SR, Form.NO_MASKS) for profile in encoding.profiles)
    if not found or not wanted:
        return []
    with stage(EncodingStage.REPORT):
        return [unmasked_report(encoding, sources, found)]


def _of_images(encoding: Encoding, images: Images, sources: Sources) -> list[Encoded]:
    """A segmentation of each image that has any, and behind them one report of all in each form."""
    by_image: dict[int, list[Segment]] = {}
    for segment in encoding.findings.segments:
        if segment.image is not None and segment.has_voxels:
            by_image.setdefault(segment.image, []).append(segment)
    numbers = {image: numbered(replace(encoding.findings, segments=tuple(segments))) for image, segments in sorted(by_image.items())}
    # a sink gets one form of all
    wanted = {form for found in numbers.values() for form in forms(encoding, found)}
    made: list[Encoded] = []
    described: dict[Form, list[Described]] = {}
    for image, found in numbers.items():
        called = images.called(image) if len(images.images) > 1 else ""
        for form in (each for each in Form if each in wanted):
            identity = identify(encoding, sources, Kind.SEG, f"SEG of image {called}" if called else "SEG", label=called)
            seg = segmentation(encoding, sources, found, form, identity)
            mask = encoded(Kind.SEG, seg.dataset, identity, form.value, pixels=seg.pixels, syntax=seg.syntax)
            # OHIF 3.13 looks for a place in the patient, and shows an empty page in the place of the study (ADR-0104)
            made.append(replace(mask, one_cine=True))
            described.setdefault(form, []).append(Described(found=found, seg=seg.dataset))
    with stage(EncodingStage.REPORT):
        made += [segment_report(encoding, sources, several, form) for form, several in described.items()]
    return made + _unmasked(encoding, sources, [one for found in numbers.values() for one in found], one_cine=True)
