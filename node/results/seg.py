"""The segmentation: BINARY, on the source grid, one frame per segment and slice that holds any of it (PS3.3 A.51)."""

from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import Code
from node.domain.profile import Form, Profile
from node.domain.uid import derive_uid
from node.results.codes import item
from node.results.identity import MANUFACTURER, Identity, model_names, software_versions, stamp, tracking
from node.results.planes import Sources, slice_of_stand_in
from node.results.port import Encoding
from node.results.segments import Numbered, overlap
from node.results.written import hold, hold_frames, references, settled

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")


def wanted(profiles: Sequence[Profile], found: Sequence[Numbered]) -> list[Form]:
    """The forms to make: BINARY always, and what the profiles ask for besides."""
    return [Form.BINARY] if found else []


def segmentation(encoding: Encoding, sources: Sources, found: Sequence[Numbered], identity: Identity) -> Dataset:
    """Encode the segments that have voxels; there is at least one.

    The masks are on the grid of the source images already. Frames lie where their source lies, in the order along the slice normal
    that the library chooses; each refers to the instance (and frame) that its slice came from.
    """
    overlapping = overlap(found)
    made: Dataset = Segmentation(
        source_images=sources.planes,
        pixel_array=_stack(found) if overlapping else _label_map(found),
        segmentation_type=SegmentationTypeValues.BINARY,
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
    _refer(made, sources)
    # the library draws a random one
    organisation = derive_uid("dimension organization", identity.sop_instance_uid)
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in made.DimensionIndexSequence:
        index.DimensionOrganizationUID = organisation
    # one bit a voxel: the library leaves open whether these are bytes or words (PS3.5 8.1.1, A.2)
    made["PixelData"].VR = "OB"
    stamp(made, encoding, sources, identity)
    return made


def algorithm(encoding: Encoding) -> hd.AlgorithmIdentificationSequence:
    """What drew the segments: application, version, and the models by their digest (PS3.3 10.16)."""
    return hd.AlgorithmIdentificationSequence(
        name=encoding.application.name,
        family=item(ARTIFICIAL_INTELLIGENCE),
        version=encoding.application.version,
        source=encoding.application.manufacturer,
        parameters={"model": model_names(encoding)},
    )


def _label_map(found: Sequence[Numbered]) -> NDArray[Any]:
    """(Z, Y, X) segment numbers. A single mask is passed on as it is, not copied."""
    first = found[0].segment.mask
    if len(found) == 1:
        return np.ascontiguousarray(first).view(np.uint8)
    labels = np.zeros(first.shape, dtype=np.uint8 if len(found) < 256 else np.uint16)
    for one in found:
        low, high = int(one.slices[0]), int(one.slices[-1]) + 1
        labels[low:high][one.segment.mask[low:high]] = one.number
    return labels


def _stack(found: Sequence[Numbered]) -> NDArray[np.bool_]:
    """(Z, Y, X, segment): only segments that overlap need one plane of memory each."""
    return np.stack([one.segment.mask for one in found], axis=-1)


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
    """Replace the stand-ins by what they stand for."""
    frames = made.PerFrameFunctionalGroupsSequence
    # the library shares one item among the frames of all segments on a slice: read all before any is written
    stand_ins = [frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID for frame in frames]
    slices = [sources.slices[slice_of_stand_in(uid)] for uid in stand_ins]
    hold_frames(made, [(source.sop_class_uid, source.sop_instance_uid, source.frame) for source in slices])
    items = references(sources.instances)
    hold(made, Tag("SourceImageSequence"), items)
    series = Dataset()
    series.SeriesInstanceUID = sources.planes[0].SeriesInstanceUID
    hold(series, Tag("ReferencedInstanceSequence"), items)
    made.ReferencedSeriesSequence = [settled(series)]
