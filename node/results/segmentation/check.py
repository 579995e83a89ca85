"""Reads a segmentation back, voxel by voxel, and compares it with the findings; nothing of the writing code is used.

What it says of each of its frames is read from the bytes, by hand: a library's data set for each would take seconds. Frames share nearly
all that is said of them: what was taken apart once is known again by its bytes.
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGLSLossless, RLELossless

from inference.findings import Segment
from inference.imaging.errors import NotDicom
from inference.imaging.subject import Images, Phases
from node.dicom.elements import plain_elements, plain_items
from node.dicom.uid import is_uid
from node.results.kind import Checking
from node.results.port import Encoded, Encoding, MaskDiffers, ReferencesDiffer, ResultMalformed
from node.results.sources import HALF_A_VOXEL, Sources, lists_all

_CLASS, _INSTANCE, _FRAME = 0x00081150, 0x00081155, 0x00081160
_INDICES, _POSITION, _NUMBER = 0x00209157, 0x00200032, 0x0062000B
_TEMPORAL_POSITION = 0x00209128

_READ = frozenset({_CLASS, _INSTANCE, _FRAME, _INDICES, _POSITION, _NUMBER, _TEMPORAL_POSITION})

Leaves: TypeAlias = tuple[tuple[int, bytes, bytes], ...]
"""(tag, VR, value) of the elements at the bottom of nested sequences."""


@dataclass(frozen=True, slots=True)
class FrameSaid:
    """What is said of one frame.

    `position` is "" on a single image. `segment` is None where the frame itself does not say (all share it, or it is of a label map);
    `temporal_position` of what is not over time.
    """

    sop_class_uid: str
    sop_instance_uid: str
    source_frame: int | None
    position: str
    indices: tuple[int, ...]
    segment: int | None
    temporal_position: int | None = None


class FramesReader:
    """Takes apart the value of a Per-Frame Functional Groups Sequence (5200,9230) in Explicit VR Little Endian."""

    def __init__(self) -> None:
        self._met: dict[bytes, Leaves] = {}

    def read(self, value: bytes) -> Iterator[FrameSaid]:
        """One for each item, in order.

        Raises
        ------
        ResultMalformed
            The bytes are no items of defined length, or an item says too little, or something twice.
        """
        try:
            for item in plain_items(value):
                yield self._frame(item)
        except NotDicom as damaged:
            raise ResultMalformed(f"the description of the frames: {damaged}") from damaged

    def _frame(self, item: bytes) -> FrameSaid:
        said: dict[int, bytes] = {}
        for _, head, _, end in plain_elements(item):
            whole = item[head:end]
            if whole not in self._met:
                self._met[whole] = tuple(_leaves(whole))
            for leaf, _, raw in self._met[whole]:
                if leaf in _READ:
                    if leaf in said:
                        raise ResultMalformed(f"a frame of the segmentation says {leaf:08X} twice")
                    said[leaf] = raw
        return _said(said)

    def check_values(self) -> None:
        """What holds for values wherever they stand: UIDs are UIDs, decimal strings fit 16 characters (PS3.5 6.2).

        Raises
        ------
        ResultMalformed
            The value of one of the elements that were read.
        """
        for leaves in self._met.values():
            for tag, vr, raw in leaves:
                if vr == b"UI" and raw.strip(b"\0") and not is_uid(raw.rstrip(b"\0").decode("latin-1")):
                    raise ResultMalformed(f"{tag:08X} of a frame, {raw!r}, is no UID")
                if vr == b"DS" and any(len(each.strip(b" ")) > 16 for each in raw.split(b"\\")):
                    raise ResultMalformed(f"{tag:08X} of a frame, {raw!r}, is longer than 16 characters")


def _said(said: dict[int, bytes]) -> FrameSaid:
    absent = [f"{tag:08X}" for tag in (_CLASS, _INSTANCE, _INDICES) if tag not in said]
    if absent:
        raise ResultMalformed(f"a frame of the segmentation lacks {', '.join(absent)}")
    indices = said[_INDICES]
    return FrameSaid(
        sop_class_uid=said[_CLASS].rstrip(b"\0").decode("ascii"),
        sop_instance_uid=said[_INSTANCE].rstrip(b"\0").decode("ascii"),
        source_frame=int(said[_FRAME]) if _FRAME in said else None,
        position=said.get(_POSITION, b"").decode("ascii").strip(),
        indices=struct.unpack(f"<{len(indices) // 4}I", indices),
        segment=int.from_bytes(said[_NUMBER], "little") if _NUMBER in said else None,
        temporal_position=int.from_bytes(said[_TEMPORAL_POSITION], "little") if _TEMPORAL_POSITION in said else None,
    )


def _leaves(elements: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The elements at the bottom of elements in a row."""
    for tag, head, start, end in plain_elements(elements):
        vr = elements[head + 4 : head + 6]
        if vr == b"SQ":
            for item in plain_items(elements[start:end]):
                yield from _leaves(item)
        else:
            yield tag, vr, elements[start:end]


_THREADS = 2
_TOGETHER = 16
_DECODERS = {RLELossless: "pylibjpeg", JPEGLSLossless: "pyjpegls"}


def compare_bits(one: Encoded, dataset: Dataset, numbers: Sequence[int], slices: Sequence[int], meant: Sequence[Segment]) -> None:
    """Packed bits, least significant first, frames following each other without padding (PS3.5 8.1.1), against the masks.

    Raises
    ------
    MaskDiffers
        A voxel differs, or SegmentsOverlap contradicts the masks.
    """
    size = dataset.Rows * dataset.Columns
    bits = _native(one, dataset, -(-len(slices) * size // 8))

    def frame(index: int) -> NDArray[np.uint8]:
        first, last = index * size // 8, -(-(index + 1) * size // 8)
        skipped = index * size - first * 8
        return np.unpackbits(bits[first:last], bitorder="little")[skipped : skipped + size]

    def compare(index: int) -> None:
        segment = meant[numbers[index] - 1]
        if not np.array_equal(frame(index), np.ravel(segment.plane(slices[index]))):
            raise MaskDiffers(f'slice {slices[index]} of "{segment.label}" was written otherwise than it was found')

    _each(compare, len(slices))
    # what is packed alike can be compared as it is packed
    packed = (lambda index: bits[index * size // 8 : (index + 1) * size // 8]) if size % 8 == 0 else frame
    _overlapping(dataset, slices, packed)


def compare_fractions(one: Encoded, dataset: Dataset, numbers: Sequence[int], slices: Sequence[int], meant: Sequence[Segment]) -> None:
    """A byte a voxel, the greatest value where the segment is and 0 elsewhere, against the masks.

    Raises
    ------
    MaskDiffers
        A voxel differs, or SegmentsOverlap contradicts the masks.
    """
    frame, full = _frames(one, dataset, len(slices)), int(dataset.MaximumFractionalValue)

    def compare(index: int) -> None:
        segment = meant[numbers[index] - 1]
        if not np.array_equal(frame(index), np.where(segment.plane(slices[index]), full, 0)):
            raise MaskDiffers(f'slice {slices[index]} of "{segment.label}" was written otherwise than it was found')

    _each(compare, len(slices))
    _overlapping(dataset, slices, frame)


def compare_labels(one: Encoded, dataset: Dataset, slices: Sequence[int], meant: Sequence[Segment]) -> None:
    """Segment numbers, decompressed where need be, against the masks: each voxel is of its segment, and of none where none was found.

    Raises
    ------
    MaskDiffers
        A voxel differs, or the label map claims that segments overlap.
    """
    frame = _frames(one, dataset, len(slices))
    along = [segment.inside[0][0] for segment in meant]

    def compare(index: int) -> None:
        z, values = slices[index], frame(index)
        rest = np.count_nonzero(values)
        for number, segment in enumerate(meant, 1):
            if not along[number - 1].start <= z < along[number - 1].stop:
                continue
            plane = segment.plane(z)
            # looking whether there is any takes a twentieth of comparing
            if (here := np.count_nonzero(plane)) and not np.array_equal(values == number, plane):
                raise MaskDiffers(f'slice {z} of "{segment.label}" was written otherwise than it was found')
            rest -= here
        if rest:
            raise MaskDiffers(f"slice {z} has {rest} voxels of segments that were not found there")

    _each(compare, len(slices))
    if dataset.SegmentsOverlap != "NO":
        raise MaskDiffers(f"SegmentsOverlap is {dataset.SegmentsOverlap}, which a label map cannot hold")


def _native(one: Encoded, dataset: Dataset, size: int) -> NDArray[np.uint8]:
    """The pixels where they stand: inflated with the data set, else as the last element of the object, taken apart by hand."""
    even = size + size % 2
    if "PixelData" in dataset:
        value = dataset.PixelData
    else:
        begins = len(one.data) - even
        vr = b"OW" if dataset.BitsAllocated == 16 else b"OB"
        if one.data[begins - 12 : begins] != b"\xe0\x7f\x10\x00" + vr + b"\0\0" + even.to_bytes(4, "little"):
            raise ResultMalformed("the object does not end with the pixels of its frames")
        value = memoryview(one.data)[begins:]
    if len(value) != even or any(value[size:]):
        raise MaskDiffers(f"the segmentation has {len(value)} bytes of pixels, where {even} are meant")
    return np.frombuffer(value, dtype=np.uint8)


def _frames(one: Encoded, dataset: Dataset, count: int) -> Callable[[int], NDArray[Any]]:
    """What gives the values of each frame, (row, column)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    shape, dtype = (count, dataset.Rows, dataset.Columns), np.dtype(f"<u{dataset.BitsAllocated // 8}")
    if syntax not in _DECODERS:
        native = _native(one, dataset, int(np.prod(shape)) * dtype.itemsize)[: int(np.prod(shape)) * dtype.itemsize]
        values = native.view(dtype).reshape(shape)
        return lambda index: np.asarray(values[index])
    decoder = get_decoder(syntax)
    return lambda index: np.asarray(decoder.as_array(dataset, index=index, decoding_plugin=_DECODERS[syntax])[0])


def _overlapping(dataset: Dataset, slices: Sequence[int], frame: Callable[[int], NDArray[Any]]) -> None:
    """SegmentsOverlap, against the frames that lie on one slice."""
    by_slice: dict[int, list[int]] = {}
    for index, z in enumerate(slices):
        by_slice.setdefault(z, []).append(index)
    overlaps = any(_overlap([frame(index) for index in here]) for here in by_slice.values() if len(here) > 1)
    if dataset.SegmentsOverlap != ("YES" if overlaps else "NO"):
        raise MaskDiffers(f"SegmentsOverlap is {dataset.SegmentsOverlap}, which the masks contradict")


def _overlap(frames: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether any bit is set in more than one of these frames of one slice."""
    taken = np.zeros_like(frames[0])
    for bits in frames:
        if np.bitwise_and(bits, taken).any():
            return True
        np.bitwise_or(bits, taken, out=taken)
    return False


def _each(compare: Callable[[int], None], count: int) -> None:
    """Numpy leaves the interpreter to the other thread while it compares."""

    def lot(first: int) -> None:
        for index in range(first, min(first + _TOGETHER, count)):
            compare(index)

    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="compare") as pool:
        for _ in pool.map(lot, range(0, count, _TOGETHER)):
            pass


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
    if isinstance(encoding.subject, Images):
        _check_of_image(checking)
        return
    labels = one.form.startswith("labelmap")
    fractional = one.form == "fractional"
    found = [segment for segment in encoding.findings.segments if segment.has_voxels]
    meant = list(encoding.findings.segments) if one.form == "empty" and not found else found
    grid = encoding.volume.voxels.shape[1:]
    _description(dataset, meant, grid, "LABELMAP" if labels else "FRACTIONAL" if fractional else "BINARY")
    reader = FramesReader()
    frames = list(reader.read(dataset.get_item(FRAMES).value))
    if int(dataset.NumberOfFrames) != len(frames):
        raise ResultMalformed("the segmentation has another number of frames than it describes")
    reader.check_values()
    images = _images(frames, encoding, sources)
    numbers = [0] * len(frames) if labels else _numbers(frames, dataset)
    _complete(numbers, images, meant, labels=labels, spares=not labels and not fractional, nothing=meant is not found)
    slices = [image % len(encoding.volume.voxels) for image in images]
    phases = [image // len(encoding.volume.voxels) for image in images] if isinstance(encoding.subject, Phases) else []
    _indices(frames, numbers, phases, slices, dataset)
    if labels:
        compare_labels(one, dataset, slices, meant)
    elif fractional:
        compare_fractions(one, dataset, numbers, slices, meant)
    else:
        compare_bits(one, dataset, numbers, slices, meant)
    _references(dataset, encoding, sources)


def _check_of_image(checking: Checking) -> None:
    """All that was found on one single image, a frame a segment, each of that image; nothing else, and no place in the patient."""
    one, dataset, encoding, sources = checking.one, checking.dataset, checking.encoding, checking.sources
    reader = FramesReader()
    frames = list(reader.read(dataset.get_item(FRAMES).value))
    reader.check_values()
    (key,) = {(frame.sop_class_uid, frame.sop_instance_uid, frame.source_frame) for frame in frames}
    known = [(source.sop_class_uid, source.sop_instance_uid, source.frame) for source in sources.slices]
    if key not in known or any(frame.position for frame in frames) or "FrameOfReferenceUID" in dataset:
        raise ReferencesDiffer(f"the segmentation is of {key}, which is no source image, or says of a photograph where it lies")
    meant = [segment for segment in encoding.findings.segments if segment.image == known.index(key) and segment.has_voxels]
    fractional = one.form == "fractional"
    _description(dataset, meant, meant[0].shape[1:] if meant else (0, 0), "FRACTIONAL" if fractional else "BINARY")
    numbers = _numbers(frames, dataset)
    if numbers != [*range(1, len(meant) + 1)] or [frame.indices for frame in frames] != [(number,) for number in numbers]:
        raise MaskDiffers(f"the frames of the segmentation are of segments {numbers}, found were {len(meant)}")
    (compare_fractions if fractional else compare_bits)(one, dataset, numbers, [0] * len(numbers), meant)
    header = sources.headers[key[1]]
    if [*(dataset.PatientOrientation or ())] != [*(header.get("PatientOrientation") or ())]:
        raise ReferencesDiffer("the segmentation's rows and columns run elsewhere than its image's")
    (series,) = dataset.ReferencedSeriesSequence
    (listed,), (source,) = series.ReferencedInstanceSequence, dataset.SourceImageSequence
    named = {(each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID) for each in (listed, source)}
    if named != {key[:2]} or series.SeriesInstanceUID != header.SeriesInstanceUID:
        raise ReferencesDiffer("the segmentation's references are not exactly its image")


def _description(dataset: Dataset, meant: Sequence[Segment], grid: tuple[int, ...], kind: str) -> None:
    labels, fractional = kind == "LABELMAP", kind == "FRACTIONAL"
    rows, columns = grid
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


def _images(frames: Sequence[FrameSaid], encoding: Encoding, sources: Sources) -> list[int]:
    """The slice of the volume that each frame's own reference names, where it also lies; counted phase after phase."""
    known = {(source.sop_instance_uid, source.frame): (z, source.sop_class_uid) for z, source in enumerate(sources.slices)}
    lie: set[tuple[int, str]] = set()
    images = []
    for count, frame in enumerate(frames, 1):
        image, sop_class_uid = known.get((frame.sop_instance_uid, frame.source_frame), (-1, ""))
        if frame.sop_class_uid != sop_class_uid:
            raise ReferencesDiffer(
                f"the segmentation refers to {frame.sop_instance_uid} (frame {frame.source_frame}), which is no source slice"
            )
        z = image % len(encoding.volume.voxels)
        if not frame.position:
            raise ResultMalformed(f"frame {count} of the segmentation does not say where it lies")
        if (z, frame.position) not in lie:
            position = np.array([*map(float, frame.position.split("\\"))])
            if np.abs(encoding.volume.to_indices(position) - (z, 0, 0)).max() > HALF_A_VOXEL:
                raise MaskDiffers(f"frame {count} of the segmentation does not lie where slice {z} of its source lies")
            lie.add((z, frame.position))
        images.append(image)
    return images


def _numbers(frames: Sequence[FrameSaid], dataset: Dataset) -> list[int]:
    """The segment of each frame: its own, or the one that all share."""
    identification = dataset.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    shared = int(identification[0].ReferencedSegmentNumber) if identification else 0
    numbers = [frame.segment or shared for frame in frames]
    described = {int(item.SegmentNumber) for item in dataset.SegmentSequence}
    if not described.issuperset(numbers):
        raise MaskDiffers(f"frames of the segmentation are of segments {sorted(set(numbers) - described)}, which it does not describe")
    return numbers


def _slices(segment: Segment) -> NDArray[np.intp]:
    """The slices that hold any of it."""
    (along, _, _), inside = segment.inside
    held: NDArray[np.intp] = along.start + np.flatnonzero(inside.any(axis=(1, 2)))
    return held


def _complete(
    numbers: Sequence[int], images: Sequence[int], meant: Sequence[Segment], *, labels: bool, spares: bool, nothing: bool
) -> None:
    """A frame for everything that was found; of nothing, one on the first and one on the last slice.

    BINARY ones may have some more, each on a slice of its own: their voxels are compared like all others, so they are empty.
    """
    seen = Counter(zip(numbers, images, strict=True))
    held = [np.unique([0, segment.shape[0] - 1]) if nothing else _slices(segment) for segment in meant]
    held = [(segment.phase or 0) * segment.shape[0] + each for segment, each in zip(meant, held, strict=True)]
    if labels:
        expected = Counter({(0, int(z)) for each in held for z in each})
    else:
        expected = Counter((number, int(z)) for number, each in enumerate(held, 1) for z in each)
    spare = seen - expected if spares else Counter()
    if seen != expected + spare or max(spare.values(), default=0) > 1 or spare.keys() & expected.keys() or spare.total() > _MOST_SPARE:
        wrong = min((seen - expected) + (expected - seen))
        raise MaskDiffers(f"segment {wrong[0]} has {seen[wrong]} frames for image {wrong[1]}, not {expected[wrong]}")


def _indices(frames: Sequence[FrameSaid], numbers: Sequence[int], phases: Sequence[int], slices: Sequence[int], dataset: Dataset) -> None:
    """The index of a frame is its segment (where frames are of segments), its phase (where there are `phases`), and the place of its slice
    among those that have frames."""
    ascending = {z: place for place, z in enumerate(sorted(set(slices)), 1)}
    descending = {z: len(ascending) + 1 - place for z, place in ascending.items()}
    said = [frame.indices for frame in frames]
    of_segment = [[number] if number else [] for number in numbers]
    positions: list[int | None] = [phase + 1 for phase in phases] or [None] * len(frames)
    if [frame.temporal_position for frame in frames] != positions:
        raise MaskDiffers("frames of the segmentation say that they are of other phases than their sources")
    if phases:
        of_segment = [[*first, phase + 1] for first, phase in zip(of_segment, phases, strict=True)]
    if not any(said == [(*first, places[z]) for first, z in zip(of_segment, slices, strict=True)] for places in (ascending, descending)):
        raise MaskDiffers("the frames of the segmentation are numbered otherwise than they lie")
    if any(indices != sorted(indices) for _, group in groupby(said, key=lambda one: one[:-1]) if (indices := [one[-1] for one in group])):
        raise MaskDiffers("the frames of the segmentation do not follow each other along the slices")
    if len(dataset.DimensionIndexSequence) != len(said[0]):
        raise ResultMalformed("the segmentation has another number of dimensions than indices")


def _references(dataset: Dataset, encoding: Encoding, sources: Sources) -> None:
    series = dataset.ReferencedSeriesSequence[0]
    said = [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence]
    if series.SeriesInstanceUID != encoding.volume.series_instance_uid or said != list(sources.series[0].instances):
        raise ReferencesDiffer("the segmentation's references are not exactly its source instances")
    if not lists_all(dataset, sources):
        raise ReferencesDiffer("the segmentation does not list exactly the series that were analysed")
    if dataset.FrameOfReferenceUID != encoding.volume.frame_of_reference_uid:
        raise ReferencesDiffer("the segmentation lies in another frame of reference than its source")


def _code(item: Dataset) -> tuple[str, str]:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)
