"""Reads a segmentation back, voxel by voxel, and compares it with the findings."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import Segment
from node.results.errors import MaskDiffers, ReferencesDiffer, ResultMalformed
from node.results.planes import HALF_A_VOXEL, Sources
from node.results.port import Encoding


def check_segmentation(dataset: Dataset, encoding: Encoding, sources: Sources) -> None:
    """Every frame lies on its source and holds exactly what was found there; nothing that was found is left out.

    Raises
    ------
    ResultMalformed, MaskDiffers, ReferencesDiffer
        What differs, with segment and slice.
    """
    volume = encoding.volume
    depth, rows, columns = volume.voxels.shape
    meant = [segment for segment in encoding.findings.segments if segment.mask.any()]
    _description(dataset, meant, rows, columns)
    slices = {(source.sop_instance_uid, source.frame): z for z, source in enumerate(sources.slices)}
    bits = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    seen: Counter[tuple[int, int]] = Counter()
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        identification = frame.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        number = int(identification[0].ReferencedSegmentNumber)
        z = _slice(frame, slices)
        position = [*map(float, frame.PlanePositionSequence[0].ImagePositionPatient), 1.0]
        if np.abs(np.linalg.solve(volume.affine, position) - (z, 0, 0, 1)).max() > HALF_A_VOXEL:
            raise MaskDiffers(f"frame {index + 1} of the segmentation does not lie where slice {z} of its source lies")
        if not np.array_equal(_frame(bits, index, rows, columns), meant[number - 1].mask[z]):
            raise MaskDiffers(f'slice {z} of "{meant[number - 1].label}" was written otherwise than it was found')
        seen[number, z] += 1
    expected = Counter((number, int(z)) for number, segment in enumerate(meant, 1) for z in np.flatnonzero(segment.mask.any(axis=(1, 2))))
    if seen != expected:
        wrong = min((seen - expected) + (expected - seen))
        raise MaskDiffers(f"segment {wrong[0]} has {seen[wrong]} frames for slice {wrong[1]} of {depth}, not {expected[wrong]}")
    _references(dataset, encoding, sources)


def _description(dataset: Dataset, meant: list[Segment], rows: int, columns: int) -> None:
    if (dataset.Rows, dataset.Columns) != (rows, columns):
        raise MaskDiffers(f"the segmentation has {dataset.Rows} rows and {dataset.Columns} columns, its source {rows} and {columns}")
    fixed = {"SegmentationType": "BINARY", "BitsAllocated": 1, "BitsStored": 1, "SamplesPerPixel": 1, "LossyImageCompression": ("00", "01")}
    for keyword, value in fixed.items():
        allowed = value if isinstance(value, tuple) else (value,)
        if dataset.get(keyword) not in allowed:
            raise ResultMalformed(f"{keyword} of the segmentation is {dataset.get(keyword)!r}")
    if int(dataset.NumberOfFrames) != len(dataset.PerFrameFunctionalGroupsSequence):
        raise ResultMalformed("the segmentation has another number of frames than it describes")
    said = [(item.SegmentNumber, item.SegmentLabel, _code(item.SegmentedPropertyTypeCodeSequence[0])) for item in dataset.SegmentSequence]
    wanted = [(number, segment.label[:64], (segment.type.value, segment.type.scheme)) for number, segment in enumerate(meant, 1)]
    if said != wanted:
        raise MaskDiffers(f"the segments are described as {said}, found were {wanted}")
    for item in dataset.SegmentSequence:
        if item.SegmentAlgorithmType != "AUTOMATIC" or not item.get("TrackingUID") or not item.get("TrackingID"):
            raise ResultMalformed(f'segment "{item.SegmentLabel}" is not marked as automatic, or cannot be tracked')
    sums = np.zeros(meant[0].mask.shape, dtype=np.uint16) if len(meant) > 1 else None
    overlaps = False
    if sums is not None:
        for segment in meant:
            sums += segment.mask
        overlaps = bool(sums.max() > 1)
    if dataset.SegmentsOverlap != ("YES" if overlaps else "NO"):
        raise MaskDiffers(f"SegmentsOverlap is {dataset.SegmentsOverlap}, which the masks contradict")


def _slice(frame: Dataset, slices: dict[tuple[str, int | None], int]) -> int:
    """The slice of the volume that a frame's own reference names."""
    (image,) = frame.DerivationImageSequence[0].SourceImageSequence
    number = image.get("ReferencedFrameNumber")
    key = (str(image.ReferencedSOPInstanceUID), None if number is None else int(number))
    if key not in slices:
        raise ReferencesDiffer(f"the segmentation refers to {key[0]} (frame {key[1]}), which is no source slice")
    return slices[key]


def _frame(bits: NDArray[np.uint8], index: int, rows: int, columns: int) -> NDArray[np.bool_]:
    """One frame of packed bits, least significant first, frames following each other without padding (PS3.5 8.1.1)."""
    size = rows * columns
    first, last = index * size // 8, -(-(index + 1) * size // 8)
    unpacked = np.unpackbits(bits[first:last], bitorder="little")
    skipped = index * size - first * 8
    return unpacked[skipped : skipped + size].view(np.bool_).reshape(rows, columns)


def _references(dataset: Dataset, encoding: Encoding, sources: Sources) -> None:
    (series,) = dataset.ReferencedSeriesSequence
    said = [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence]
    if series.SeriesInstanceUID != encoding.subject.series_instance_uid or said != sources.instances:
        raise ReferencesDiffer("the segmentation's references are not exactly its source instances")
    if dataset.FrameOfReferenceUID != encoding.volume.frame_of_reference_uid:
        raise ReferencesDiffer("the segmentation lies in another frame of reference than its source")


def _code(item: Dataset) -> tuple[str, str]:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)
