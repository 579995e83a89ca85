"""Reads a segmentation back, voxel by voxel, and compares it with the findings; nothing of the writing code is used.

What its frames say of themselves is read in check_frames.py, their pixels in check_voxels.py.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from pydicom.dataset import Dataset

from inference.findings import Segment
from node.results.errors import MaskDiffers, ReferencesDiffer, ResultMalformed
from node.results.kind import Checking
from node.results.port import Encoding
from node.results.segmentation.check_frames import FrameSaid, FramesReader
from node.results.segmentation.check_voxels import compare_bits, compare_fractions, compare_labels
from node.results.sources import HALF_A_VOXEL, Sources

FRAMES = 0x52009230
NATIVE = frozenset({"binary", "fractional", "labelmap", "empty"})
"""Forms whose pixels are the last bytes of the object."""
_MOST_SPARE = 32
"""Empty frames of a BINARY segmentation: so many may be needed for its number of bytes to say how its bits follow each other."""
_BACKGROUND = ("125040", "DCM")


def check(checking: Checking) -> None:
    """Every frame lies on its source and holds exactly what was found there; nothing that was found is left out.

    Raises
    ------
    ResultMalformed, MaskDiffers, ReferencesDiffer
        What differs, with segment and slice.
    """
    one, dataset, encoding, sources = checking.one, checking.dataset, checking.encoding, checking.sources
    labels = one.form.startswith("labelmap")
    fractional = one.form == "fractional"
    found = [segment for segment in encoding.findings.segments if segment.mask.any()]
    meant = list(encoding.findings.segments) if one.form == "empty" and not found else found
    _description(dataset, meant, encoding, "LABELMAP" if labels else "FRACTIONAL" if fractional else "BINARY")
    reader = FramesReader()
    frames = list(reader.read(dataset.get_item(FRAMES).value))
    if int(dataset.NumberOfFrames) != len(frames):
        raise ResultMalformed("the segmentation has another number of frames than it describes")
    reader.check_values()
    slices = _slices(frames, encoding, sources)
    numbers = [0] * len(frames) if labels else _numbers(frames, dataset)
    _complete(numbers, slices, meant, labels=labels, spares=not labels and not fractional, nothing=meant is not found)
    _indices(frames, numbers, slices, dataset)
    if labels:
        compare_labels(one, dataset, slices, meant)
    elif fractional:
        compare_fractions(one, dataset, numbers, slices, meant)
    else:
        compare_bits(one, dataset, numbers, slices, meant)
    _references(dataset, encoding, sources)


def _description(dataset: Dataset, meant: Sequence[Segment], encoding: Encoding, kind: str) -> None:
    labels, fractional = kind == "LABELMAP", kind == "FRACTIONAL"
    _, rows, columns = encoding.volume.voxels.shape
    if (dataset.Rows, dataset.Columns) != (rows, columns):
        raise MaskDiffers(f"the segmentation has {dataset.Rows} rows and {dataset.Columns} columns, its source {rows} and {columns}")
    bits = (8 if len(meant) < 256 else 16) if labels else 8 if fractional else 1
    fixed = {
        "SegmentationType": kind,
        "SegmentationFractionalType": "OCCUPANCY" if fractional else None,
        "MaximumFractionalValue": 1 if fractional else None,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelPaddingValue": 0 if labels else None,
    }
    for keyword, value in fixed.items():
        if dataset.get(keyword) != value:
            raise ResultMalformed(f"{keyword} of the segmentation is {dataset.get(keyword)!r}")
    if dataset.LossyImageCompression not in ("00", "01"):
        raise ResultMalformed(f"LossyImageCompression of the segmentation is {dataset.LossyImageCompression!r}")
    described = list(dataset.SegmentSequence)
    if labels:
        # 0 is a value in the pixels, so it is described too (PS3.3 C.8.20.2.3.3)
        background = described.pop()
        if background.SegmentNumber != 0 or _code(background.SegmentedPropertyTypeCodeSequence[0]) != _BACKGROUND:
            raise ResultMalformed("the label map does not describe its background, or not as the last of its segments")
    said = [(item.SegmentNumber, item.SegmentLabel, _code(item.SegmentedPropertyTypeCodeSequence[0])) for item in described]
    wanted = [(number, segment.label[:64], (segment.type.value, segment.type.scheme)) for number, segment in enumerate(meant, 1)]
    if said != wanted:
        raise MaskDiffers(f"the segments are described as {said}, found were {wanted}")
    for item in described:
        if item.SegmentAlgorithmType != "AUTOMATIC" or not item.get("TrackingUID") or not item.get("TrackingID"):
            raise ResultMalformed(f'segment "{item.SegmentLabel}" is not marked as automatic, or cannot be tracked')


def _slices(frames: Sequence[FrameSaid], encoding: Encoding, sources: Sources) -> list[int]:
    """The slice of the volume that each frame's own reference names, where it also lies."""
    known = {(source.sop_instance_uid, source.frame): (z, source.sop_class_uid) for z, source in enumerate(sources.slices)}
    lie: set[tuple[int, str]] = set()
    slices = []
    for count, frame in enumerate(frames, 1):
        z, sop_class_uid = known.get((frame.sop_instance_uid, frame.source_frame), (-1, ""))
        if frame.sop_class_uid != sop_class_uid:
            raise ReferencesDiffer(
                f"the segmentation refers to {frame.sop_instance_uid} (frame {frame.source_frame}), which is no source slice"
            )
        if (z, frame.position) not in lie:
            position = np.array([*map(float, frame.position.split("\\"))])
            if np.abs(encoding.volume.to_indices(position) - (z, 0, 0)).max() > HALF_A_VOXEL:
                raise MaskDiffers(f"frame {count} of the segmentation does not lie where slice {z} of its source lies")
            lie.add((z, frame.position))
        slices.append(z)
    return slices


def _numbers(frames: Sequence[FrameSaid], dataset: Dataset) -> list[int]:
    """The segment of each frame: its own, or the one that all share."""
    identification = dataset.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    shared = int(identification[0].ReferencedSegmentNumber) if identification else 0
    numbers = [frame.segment or shared for frame in frames]
    described = {int(item.SegmentNumber) for item in dataset.SegmentSequence}
    if not described.issuperset(numbers):
        raise MaskDiffers(f"frames of the segmentation are of segments {sorted(set(numbers) - described)}, which it does not describe")
    return numbers


def _complete(
    numbers: Sequence[int], slices: Sequence[int], meant: Sequence[Segment], *, labels: bool, spares: bool, nothing: bool
) -> None:
    """A frame for everything that was found; of nothing, one on the first and one on the last slice.

    BINARY ones may have some more, each on a slice of its own: their voxels are compared like all others, so they are empty.
    """
    seen = Counter(zip(numbers, slices, strict=True))
    held = [np.unique([0, len(segment.mask) - 1]) if nothing else np.flatnonzero(segment.mask.any(axis=(1, 2))) for segment in meant]
    if labels:
        expected = Counter({(0, int(z)) for each in held for z in each})
    else:
        expected = Counter((number, int(z)) for number, each in enumerate(held, 1) for z in each)
    spare = seen - expected if spares else Counter()
    if seen != expected + spare or max(spare.values(), default=0) > 1 or spare.keys() & expected.keys() or spare.total() > _MOST_SPARE:
        wrong = min((seen - expected) + (expected - seen))
        raise MaskDiffers(f"segment {wrong[0]} has {seen[wrong]} frames for slice {wrong[1]}, not {expected[wrong]}")


def _indices(frames: Sequence[FrameSaid], numbers: Sequence[int], slices: Sequence[int], dataset: Dataset) -> None:
    """The index of a frame is its segment (where frames are of segments), and the place of its slice among those that have frames."""
    ascending = {z: place for place, z in enumerate(sorted(set(slices)), 1)}
    descending = {z: len(ascending) + 1 - place for z, place in ascending.items()}
    said = [frame.indices for frame in frames]
    of_segment = [[number] if number else [] for number in numbers]
    if not any(said == [(*first, places[z]) for first, z in zip(of_segment, slices, strict=True)] for places in (ascending, descending)):
        raise MaskDiffers("the frames of the segmentation are numbered otherwise than they lie")
    if any(indices != sorted(indices) for _, group in groupby(said, key=lambda one: one[:-1]) if (indices := [one[-1] for one in group])):
        raise MaskDiffers("the frames of the segmentation do not follow each other along the slices")
    if len(dataset.DimensionIndexSequence) != len(said[0]):
        raise ResultMalformed("the segmentation has another number of dimensions than indices")


def _references(dataset: Dataset, encoding: Encoding, sources: Sources) -> None:
    (series,) = dataset.ReferencedSeriesSequence
    said = [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence]
    if series.SeriesInstanceUID != encoding.volume.series_instance_uid or said != sources.instances:
        raise ReferencesDiffer("the segmentation's references are not exactly its source instances")
    if dataset.FrameOfReferenceUID != encoding.volume.frame_of_reference_uid:
        raise ReferencesDiffer("the segmentation lies in another frame of reference than its source")


def _code(item: Dataset) -> tuple[str, str]:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)
