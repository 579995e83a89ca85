"""Segments that have voxels, where, and under which number the result objects speak of them; and the frames of a segmentation: which there
are, in which order, and the bytes of their pixels.

Nothing is stacked or copied: what a frame holds goes from the masks to its place in the object.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from highdicom.spatial import get_volume_positions
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from inference.findings import Findings, Segment
from inference.imaging.volume import SliceSource
from node.dicom.elements import element, item, sequence, text_element
from node.results.normalise import decimal
from node.results.part10 import hold, written

_THREADS = 2
_LOOKED_AT_TOGETHER = 8
"""Slices that are looked at in one go: those of a mask stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbered:
    """A segment.

    Attributes
    ----------
    number
        Its SegmentNumber.
    slices
        The slices that hold any of it, ascending.
    rows
        The rows that all of it lies in.
    """

    number: int
    segment: Segment
    slices: NDArray[np.intp]
    rows: slice

    def part(self, low: int, high: int) -> NDArray[np.bool_]:
        """Of the slices from `low` to `high`, which is not one of them, the rows that all of it lies in."""
        return self.segment.part((slice(low, high), self.rows, slice(None)))


def numbered(findings: Findings) -> tuple[Numbered, ...]:
    """The segments that have voxels, numbered from 1 without gaps, as segmentations demand (PS3.3 C.8.20.2.4)."""
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="look") as pool:
        occupied = zip(findings.segments, pool.map(_occupied, findings.segments), strict=True)
    found = [(segment, *where) for segment, where in occupied if where[0].size]
    return tuple(
        Numbered(number=number, segment=segment, slices=slices, rows=rows) for number, (segment, slices, rows) in enumerate(found, 1)
    )


def _occupied(segment: Segment) -> tuple[NDArray[np.intp], slice]:
    (along, rows, _), inside = segment.inside
    return along.start + np.flatnonzero(inside.any(axis=(1, 2))), rows


def unoccupied(findings: Findings) -> tuple[Numbered, ...]:
    """The segments of findings in which none has a voxel, on the first and the last slice: a reader sees how far it was looked."""
    return tuple(
        Numbered(number=number, segment=segment, slices=np.unique([0, segment.shape[0] - 1]).astype(np.intp), rows=slice(0, 0))
        for number, segment in enumerate(findings.segments, 1)
    )


def legible(found: Sequence[Numbered]) -> tuple[Numbered, ...]:
    """The segments with as many empty slices more as it takes for every reader to tell how the bits of BINARY frames follow each other.

    Frames follow each other bit by bit, and a last byte makes the number of bytes even (PS3.5 8.1.1, A.2). OHIF's adapters (5.14) tell
    frames that each begin on a byte from those by the number of bytes alone: they refuse a number that neither explains, as with that
    last byte, and take what both explain for the former, which shifts every slice. A few frames more make it a number that only the
    standard's form explains. Where there are no slices left for them, the segments stay as they are.
    """
    depth, rows, columns = found[0].segment.shape
    count = sum(one.slices.size for one in found)
    spare = [_spare(one, depth) for one in found]
    wanted = next((more for more in range(_MOST_SPARE + 1) if _plain(count + more, rows * columns)), 0)
    if wanted > sum(map(len, spare)):
        return tuple(found)
    made = []
    for one, free in zip(found, spare, strict=True):
        taken, wanted = free[:wanted], max(0, wanted - len(free))
        made.append(replace(one, slices=np.sort(np.concatenate([one.slices, taken]).astype(np.intp))) if len(taken) else one)
    return tuple(made)


_MOST_SPARE = 32


def _plain(frames: int, voxels: int) -> bool:
    """Whether the bytes of so many frames of so many voxels are an even number that byte-aligned frames do not have (or have as well)."""
    size = -(-frames * voxels // 8)
    return size % 2 == 0 and (voxels % 8 == 0 or frames == 1 or size != frames * -(-voxels // 8))


def _spare(one: Numbered, depth: int) -> NDArray[np.intp]:
    """The slices that hold nothing of a segment, the nearest to it first."""
    free = np.setdiff1d(np.arange(depth), one.slices)
    away = np.abs(free[:, np.newaxis] - one.slices[np.newaxis, [0, -1]]).min(axis=1)
    return np.asarray(free[np.argsort(away, kind="stable")], dtype=np.intp)


def overlap(found: Sequence[Numbered]) -> bool:
    """Whether any voxel belongs to more than one segment."""
    if len(found) < 2:
        return False
    depth, rows, columns = found[0].segment.shape
    taken = np.empty((_LOOKED_AT_TOGETHER, rows, columns), dtype=np.bool_)
    for low in range(0, depth, _LOOKED_AT_TOGETHER):
        high = min(low + _LOOKED_AT_TOGETHER, depth)
        here = [one for one in found if np.searchsorted(one.slices, low) < np.searchsorted(one.slices, high)]
        if len(here) < 2:
            continue
        taken[...] = False
        for one in here:
            mask, before = one.part(low, high), taken[: high - low, one.rows]
            if np.logical_and(mask, before).any():
                return True
            np.logical_or(mask, before, out=before)
    return False


_TOGETHER = 16
"""Frames that a thread takes in one go; a multiple of 8, so that each lot ends on a whole byte."""

_CLASS, _INSTANCE, _FRAME = Tag("ReferencedSOPClassUID"), Tag("ReferencedSOPInstanceUID"), Tag("ReferencedFrameNumber")
_DERIVATION, _SOURCE = Tag("DerivationImageSequence"), Tag("SourceImageSequence")
_CONTENT, _INDICES, _TEMPORAL_POSITION = Tag("FrameContentSequence"), Tag("DimensionIndexValues"), Tag("TemporalPositionIndex")
_PLACE, _POSITION = Tag("PlanePositionSequence"), Tag("ImagePositionPatient")
_SEGMENT, _NUMBER = Tag("SegmentIdentificationSequence"), Tag("ReferencedSegmentNumber")
_FRAMES = Tag("PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """The frames of a segmentation.

    Attributes
    ----------
    numbers
        (frame,) the segment of each; 0 in label maps, whose frames hold all segments.
    slices
        (frame,) index of the slice of the volume that each lies on.
    phases
        (frame,) index of the phase whose slice that is; 0 of what is not over time.
    places
        (frame,) place of that slice among those that have frames, along the normal, from 1: the index of its position.
    """

    numbers: NDArray[np.intp]
    slices: NDArray[np.intp]
    phases: NDArray[np.intp]
    places: NDArray[np.intp]

    def lots(self) -> Iterator["Frames"]:
        """The frames, a few at a time."""
        for low in range(0, len(self.slices), _TOGETHER):
            here = slice(low, low + _TOGETHER)
            yield Frames(numbers=self.numbers[here], slices=self.slices[here], phases=self.phases[here], places=self.places[here])


def frames_of(found: Sequence[Numbered], planes: Sequence[Dataset], *, labels: bool) -> Frames:
    """The frames that hold anything, along the slice normal; segment after segment, or (in label maps) one for all segments on a slice.

    Parameters
    ----------
    planes
        Those of the volume; of several phases, which lie alike, those of the first suffice.
    """
    depth = found[0].segment.shape[0]
    planes = planes[:depth]
    order = along_normal(planes)
    held = np.zeros(depth, dtype=np.bool_)
    for one in found:
        held[one.slices] = True
    order = order[held[order]]
    place = np.zeros(depth, dtype=np.intp)
    place[order] = np.arange(1, len(order) + 1)
    if labels:
        # segments of several phases have no place in one label map
        phase = np.full_like(order, found[0].segment.phase or 0)
        return Frames(numbers=np.zeros_like(order), slices=order, phases=phase, places=place[order])
    numbers = np.concatenate([np.full(one.slices.size, one.number) for one in found])
    slices = np.concatenate([one.slices[np.argsort(place[one.slices])] for one in found])
    phases = np.concatenate([np.full(one.slices.size, one.segment.phase or 0) for one in found])
    return Frames(numbers=numbers, slices=slices, phases=phases, places=place[slices])


def frames_on_image(found: Sequence[Numbered]) -> Frames:
    """One frame a segment on a single image, which is told from others by its segment alone."""
    none = np.zeros(len(found), dtype=np.intp)
    return Frames(numbers=np.array([one.number for one in found], dtype=np.intp), slices=none, phases=none, places=none)


def along_normal(planes: Sequence[Dataset]) -> NDArray[np.intp]:
    """The slices in the order of their distance along the normal (row x column direction reversed, as the library counts)."""
    row, column = np.array(planes[0].ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    positions = np.array([plane.ImagePositionPatient for plane in planes], dtype=np.float64)
    # slices, rows, columns: the library's axes, right-handed
    return np.asarray(np.argsort(positions @ np.cross(column, row), kind="stable"))


def evenly_spaced(planes: Sequence[Dataset], slices: NDArray[np.intp]) -> bool:
    """Whether these slices, in this order, are more than one and step evenly along the normal (DimensionOrganizationType 3D)."""
    if len(slices) < 2:
        return False
    spacing, _ = get_volume_positions([planes[z].ImagePositionPatient for z in slices], planes[0].ImageOrientationPatient, sort=False)
    return spacing is not None and spacing > 0


def whole_bytes(rows: int, columns: int) -> bool:
    """Whether a frame of one bit a voxel is a whole number of bytes: only then do all viewers find each frame's first bit."""
    return rows * columns % 8 == 0


def packed_size(frames: int, rows: int, columns: int) -> int:
    """Bytes of so many frames of one bit a voxel, without the byte that makes the number even."""
    return -(-frames * rows * columns // 8)


def pack(found: Sequence[Numbered], frames: Frames, out: NDArray[np.uint8]) -> None:
    """Write the frames as packed bits, least significant first, without padding between them (PS3.5 8.1.1).

    Parameters
    ----------
    out
        (byte,) of zeros where they belong; exactly `packed_size`.
    """
    _, rows, columns = found[0].segment.shape
    by_number = {one.number: one for one in found}

    def run(first: int, last: int) -> None:
        one = by_number[int(frames.numbers[first])]
        low, high = sorted((int(frames.slices[first]), int(frames.slices[last - 1])))
        bits = np.packbits(one.part(low, high + 1), axis=2, bitorder="little")
        whole_rows[first:last, one.rows] = bits if frames.slices[first] == low else bits[::-1]

    def lot(first: int, last: int) -> None:
        several = zip(frames.numbers[first:last], frames.slices[first:last], strict=True)
        voxels = np.concatenate([by_number[int(number)].segment.plane(int(z)).reshape(-1) for number, z in several])
        # a lot begins with a whole byte, for it begins at a multiple of 8 frames
        out[first * rows * columns // 8 : -(-last * rows * columns // 8)] = np.packbits(voxels, bitorder="little")

    count = len(frames.slices)
    if columns % 8 == 0:
        whole_rows = out.reshape(count, rows, columns // 8)
        _share(run, _runs(frames))
    else:
        _share(lot, pairwise([*range(0, count, _TOGETHER), count]))


def _runs(frames: Frames) -> Iterator[tuple[int, int]]:
    """Bounds of lots of frames that are of one segment and of neighbouring slices."""
    breaks = np.flatnonzero((np.diff(frames.numbers) != 0) | (np.abs(np.diff(frames.slices)) != 1)) + 1
    for low, high in pairwise([0, *map(int, breaks), len(frames.slices)]):
        yield from pairwise([*range(low, high, _TOGETHER), high])


def _share(work: Callable[[int, int], None], bounds: Iterable[tuple[int, int]]) -> None:
    """Numpy leaves the interpreter to the other thread while it packs."""
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="frames") as pool:
        for _ in pool.map(lambda ends: work(*ends), bounds):
            pass


def label(found: Sequence[Numbered], frames: Frames, out: NDArray[Any]) -> None:
    """Write the frames as segment numbers, 0 where there is no segment.

    Parameters
    ----------
    found
        Segments that do not overlap.
    out
        (frame, row, column) of zeros.
    """
    on_slice: dict[int, list[Numbered]] = {int(z): [] for z in frames.slices}
    for one in found:
        for z in one.slices.tolist():
            if z in on_slice:
                on_slice[z].append(one)

    def lot(first: int, last: int) -> None:
        for index in range(first, last):
            z = int(frames.slices[index])
            for one in on_slice[z]:
                np.copyto(out[index, one.rows], one.number, where=one.part(z, z + 1)[0])

    count = len(frames.slices)
    _share(lot, pairwise([*range(0, count, _TOGETHER), count]))


OCCUPIED = 1
"""MaximumFractionalValue: what stands for a voxel that is all of a segment. Readers that know no fractions (dcmqi 1.5) take values for
numbers of segments."""


def occupy(found: Sequence[Numbered], frames: Frames, out: NDArray[np.uint8]) -> None:
    """Write the frames as a byte a voxel: `OCCUPIED` where the segment is, 0 elsewhere.

    Parameters
    ----------
    out
        (frame, row, column) of zeros.
    """
    by_number = {one.number: one for one in found}

    def lot(first: int, last: int) -> None:
        for index in range(first, last):
            one, z = by_number[int(frames.numbers[index])], int(frames.slices[index])
            np.copyto(out[index, one.rows], OCCUPIED, where=one.part(z, z + 1)[0])

    count = len(frames.slices)
    _share(lot, pairwise([*range(0, count, _TOGETHER), count]))


def hold_frames(
    made: Dataset, frames: Frames, planes: Sequence[Dataset], sources: Sequence[SliceSource], depth: int, *, over_time: bool
) -> None:
    """Write the per-frame functional groups of a segmentation, each frame where its slice lies and referring to its true source.

    Parameters
    ----------
    made
        As the library made it for one frame: its derivation and index, and its segment unless all frames share it.
    planes, sources
        Where each slice of the volume lies, and what it came from; phase after phase. A single image has no plane.
    depth
        How many slices each phase has.
    over_time
        Whether frames say which phase they are of, as index and as TemporalPositionIndex.
    """
    (first,) = made.PerFrameFunctionalGroupsSequence
    form = tuple(sorted(first.keys()))
    placed = (_PLACE,) if planes else ()
    assert form in ((_DERIVATION, _CONTENT, *placed), (_DERIVATION, _CONTENT, *placed, _SEGMENT)), f"a frame of another form: {form}"
    derivation = first[_DERIVATION][0]
    # but for what is written here, frames differ in nothing
    rest = _without(derivation, _SOURCE), _without(derivation[_SOURCE][0], _CLASS, _INSTANCE)
    images = (frames.phases * depth + frames.slices).tolist()
    used = sorted(set(images))
    derivations = {image: _derivation(rest, sources[image]) for image in used}
    places = {image: [_place(planes[image])] if planes else [] for image in used}
    by_segment = frames.numbers.any()
    rows = zip(frames.numbers.tolist(), images, frames.phases.tolist(), frames.places.tolist(), strict=True)

    def content(number: int, phase: int, place: int) -> bytes:
        indices = (*((number,) if by_segment else ()), *((phase + 1,) if over_time else ()), *((place,) if planes else ()))
        return _content(indices, phase + 1 if over_time else None)

    if _SEGMENT in form:
        items = (item(derivations[z], content(number, phase, place), *places[z], _segment(number)) for number, z, phase, place in rows)
    else:
        items = (item(derivations[z], content(number, phase, place), *places[z]) for number, z, phase, place in rows)
    hold(made, _FRAMES, items)


def _derivation(rest: tuple[dict[BaseTag, bytes], dict[BaseTag, bytes]], source: SliceSource) -> bytes:
    of_derivation, of_source = rest
    image = {
        **of_source,
        _CLASS: text_element(_CLASS, b"UI", source.sop_class_uid),
        _INSTANCE: text_element(_INSTANCE, b"UI", source.sop_instance_uid),
    }
    if source.frame is not None:
        image[_FRAME] = text_element(_FRAME, b"IS", str(source.frame))
    derivation = {**of_derivation, _SOURCE: sequence(_SOURCE, item(*_in_order(image)))}
    return sequence(_DERIVATION, item(*_in_order(derivation)))


def _content(indices: Sequence[int], temporal_position: int | None) -> bytes:
    position = [] if temporal_position is None else [element(_TEMPORAL_POSITION, b"UL", struct.pack("<I", temporal_position))]
    return sequence(_CONTENT, item(*position, element(_INDICES, b"UL", struct.pack(f"<{len(indices)}I", *indices))))


def _place(plane: Dataset) -> bytes:
    position = "\\".join(decimal(mm) for mm in plane[_POSITION].value)
    return sequence(_PLACE, item(text_element(_POSITION, b"DS", position)))


def _segment(number: int) -> bytes:
    return sequence(_SEGMENT, item(element(_NUMBER, b"US", struct.pack("<H", number))))


def _without(dataset: Dataset, *tags: BaseTag) -> dict[BaseTag, bytes]:
    """The written elements of a data set, but for some."""
    return {tag: written(dataset, tag) for tag in sorted(dataset.keys()) if tag not in tags}


def _in_order(elements: dict[BaseTag, bytes]) -> list[bytes]:
    return [elements[tag] for tag in sorted(elements)]
