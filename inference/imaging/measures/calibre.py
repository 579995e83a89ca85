"""Calibre of vessels and other tubes: the diameters of circles as large as their cross-sections, along the centreline.

The centreline is the path from end to end that stays where the spheres are largest: of all paths that of the least sum of its steps over
the spheres' radii (Antiga L and others: Computational geometry for patient-specific reconstruction and meshing of blood vessels from MR and
CT angiography. IEEE Transactions on Medical Imaging 2003;22:674-684). Its ends are the two voxels that lie farthest apart inside of the
mask.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.codes import Code
from inference.findings import Measurement
from inference.imaging.measures.measure import Concept, DescribedImages, Kind, Reals, SegmentedImages, Unmeasured
from inference.imaging.volume import Volume
from inference.segment_mask import box_of
from inference.translatable import Translatable, say

MINIMUM = Code("255605001", "SCT", "Minimum")
MAXIMUM = Code("56851009", "SCT", "Maximum")
ALONG_THE_CENTRELINE = Code("CENTRELINE", "99HILUM", "Circle of the area of cross-sections along the centreline")
ONE_PART = 0.95
"""Share of the volume that has to hang together: what lies apart is no part of the tube."""
LEAST_ACROSS = 3
"""Voxels: of thinner vessels no diameter can be told (Hoogeveen RM and others: Limits to the accuracy of vessel diameter measurement in MR
angiography. Journal of Magnetic Resonance Imaging 1998;8:1228-1235)."""
_MOST_INSIDE = 150_000
_MOST_SAMPLED = 20_000_000
"""Points inside of the mask, and in its box, that are looked at: of a larger one fewer to the mm."""
_FINEST = 0.5
"""Of the least distance of voxels."""
_CONCEPTS = tuple(Concept(name=codes.DIAMETER, unit=codes.MILLIMETRE, derivation=one) for one in (MINIMUM, codes.MEAN, MAXIMUM))
_HALF_OF_NEIGHBOURS = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibre:
    """Least, mean and largest diameter of each segment along its centreline."""

    segments: tuple[str, ...]

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the calibre")

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return _CONCEPTS

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return False

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        return None

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        for segment in given.those(self.segments):
            volume = given.volume(segment)
            found = diameters_mm(segment.mask, volume)
            if isinstance(found, Translatable):
                yield Unmeasured(reason=found)
                continue
            least_mm, mean_mm, _ = found
            limit = {"least": f"{LEAST_ACROSS * volume.widest_mm:.1f}"}
            if mean_mm < LEAST_ACROSS * volume.widest_mm:
                yield Unmeasured(
                    reason=say("it is {across} mm across, less than three voxels, {least} mm", across=f"{mean_mm:.1f}", **limit)
                )
                continue
            for said, value in zip(_CONCEPTS, found, strict=True):
                if value < LEAST_ACROSS * volume.widest_mm:
                    narrow = {"across": f"{least_mm:.1f}", **limit}
                    yield Unmeasured(reason=say("its narrowest place is {across} mm across, less than three voxels, {least} mm", **narrow))
                    continue
                yield Measurement(
                    name=said.name,
                    value=value,
                    unit=said.unit,
                    derivation=said.derivation,
                    method=ALONG_THE_CENTRELINE,
                    segment=segment.label,
                )


def diameters_mm(mask: NDArray[np.bool_], volume: Volume) -> tuple[float, float, float] | Translatable:
    """The least, the mean and the largest diameter in mm along the centreline of a mask (Z, Y, X) with a voxel; or why there is none."""
    from scipy import ndimage

    box = box_of(mask)
    if any(side.start == 0 or side.stop == size for side, size in zip(box[1:], mask.shape[1:], strict=True)):
        return say("it reaches the border of the images")
    parts, count = ndimage.label(mask[box], np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    if sizes.max() < ONE_PART * sizes.sum():
        return say("it lies in {number} parts", number=str(count))
    tube, step_mm = _upright(parts == 1 + int(sizes.argmax()), volume, [side.start for side in box])
    # between the places of the grid a lone voxel is nowhere more than half
    if not tube.any():
        return _NO_TUBE
    # nor is a way that leads from one half to the other over the corners of voxels: of one half alone nothing is told
    parts, count = ndimage.label(tube, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    if sizes.max() < ONE_PART * sizes.sum():
        return say("it lies in {number} parts", number=str(count))
    tube = parts == 1 + int(sizes.argmax())
    # the surface lies between the last voxel inside and the first outside
    radii = np.maximum(ndimage.distance_transform_edt(tube) - 0.5, 0) * step_mm
    path = _centreline(tube, radii, step_mm)
    along_mm = step_mm * np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    # the path runs from voxel to voxel, the middle of the tube between them
    largest = ndimage.maximum_filter(radii, size=3)[tuple(path.T)]
    first, last = _without_end(along_mm, largest), len(path) - 1 - _without_end(along_mm[-1] - along_mm[::-1], largest[::-1])
    if first >= last:
        return _NO_TUBE
    reach = slice(first, last + 1)
    kept, at = _across(tube, path, largest / step_mm, reach) * step_mm, along_mm[reach]
    mean_mm = float(np.trapezoid(kept, at) / (at[-1] - at[0]))
    if at[-1] - at[0] < mean_mm:
        return _NO_TUBE
    return float(kept.min()), mean_mm, float(kept.max())


_NO_TUBE = say("it is no tube: its middle line is less than three times as long as it is wide")


def _upright(tube: NDArray[np.bool_], volume: Volume, corner: Sequence[int]) -> tuple[NDArray[np.bool_], float]:
    """A mask (Z, Y, X), whose first voxel is `corner` of the volume, on a grid of equal steps at right angles, with room around it; and the
    step in mm."""
    from scipy import ndimage

    inside_mm3 = volume.volume_mm3(_placed(tube, volume, corner[0]))
    turn = np.linalg.qr(volume.affine[:3, [1, 2, 0]])[0][:, [2, 0, 1]]
    edges = np.array([*product(*((start - 0.5, start + size - 0.5) for start, size in zip(corner, tube.shape, strict=True)))])
    places = volume.to_patient(edges) @ turn
    low, extent_mm = places.min(axis=0), np.ptp(places, axis=0)
    fewest = max((inside_mm3 / _MOST_INSIDE) ** (1 / 3), (float(np.prod(extent_mm)) / _MOST_SAMPLED) ** (1 / 3))
    step_mm = max(_FINEST * min(*volume.spacing_mm[1:], volume.apart_mm[0]), fewest)
    counts = np.ceil(extent_mm / step_mm).astype(int) + 2
    made = np.zeros(tuple(counts), np.bool_)
    rows, columns = np.meshgrid(np.arange(counts[1]), np.arange(counts[2]), indexing="ij")
    padded = np.pad(tube, 1).astype(np.float32)
    for plane in range(counts[0]):
        at = np.stack([np.full(rows.shape, plane), rows, columns], axis=-1)
        indices = volume.to_indices((low + (at - 0.5) * step_mm) @ turn.T) - corner + 1
        made[plane] = ndimage.map_coordinates(padded, np.moveaxis(indices, -1, 0), order=1) > 0.5
    return made, step_mm


def _placed(tube: NDArray[np.bool_], volume: Volume, first: int) -> NDArray[np.bool_]:
    """A mask on its slices alone, of all slices of a volume."""
    placed = np.zeros((len(volume.voxels), *tube.shape[1:]), np.bool_)
    placed[first : first + len(tube)] = tube
    return placed


def _centreline(tube: NDArray[np.bool_], radii: Reals, step_mm: float) -> NDArray[np.int64]:
    """(N, 3): the voxels from one end of a mask in one part to the other, where the radii (mm) are largest."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    places = np.argwhere(tube)
    number = np.full(tube.shape, -1, np.int64)
    number[tuple(places.T)] = np.arange(len(places))
    ones, others, lengths = [], [], []
    for step in _HALF_OF_NEIGHBOURS:
        beside = number[tuple((places + step).T)]
        there = np.flatnonzero(beside >= 0)
        ones.append(there)
        others.append(beside[there])
        lengths.append(np.full(len(there), step_mm * np.linalg.norm(step)))
    one, other, length = (np.concatenate(each) for each in (ones, others, lengths))
    inside = radii[tuple(places.T)]
    shape = (len(places), len(places))
    apart = coo_array((length, (one, other)), shape=shape).tocsr()
    narrow = coo_array((2 * length / (inside[one] + inside[other]), (one, other)), shape=shape).tocsr()
    start = int(dijkstra(apart, directed=False, indices=0).argmax())
    end = int(dijkstra(apart, directed=False, indices=start).argmax())
    _, before = dijkstra(narrow, directed=False, indices=start, return_predecessors=True)
    path = [end]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return places[path]


def _across(tube: NDArray[np.bool_], path: NDArray[np.int64], radii: Reals, reach: slice) -> Reals:
    """Of each place of a reach of the path (N, 3) the diameter of the circle that is as large as the cross-section there, in steps of the
    grid; what a branch adds counts as far as twice the radius (N,) of the largest sphere."""
    from scipy import ndimage

    # by as much as a vessel is wide, a path from voxel to voxel tells where it leads
    smooth = ndimage.gaussian_filter1d(path.astype(np.float64), max(float(np.median(radii)), 1.0), axis=0, mode="nearest")
    leads = np.gradient(smooth, axis=0)
    filled, found = tube.astype(np.float32), []
    for place, lead, radius in zip(path[reach], leads[reach], radii[reach], strict=True):
        across = np.linalg.svd(lead[None] / np.linalg.norm(lead))[2][1:]
        count = int(np.ceil(2 * radius / _FINEST))
        steps = _FINEST * np.arange(-count, count + 1)
        one, other = np.meshgrid(steps, steps, indexing="ij")
        at = place + one[..., None] * across[0] + other[..., None] * across[1]
        inside = ndimage.map_coordinates(filled, np.moveaxis(at, -1, 0), order=1) > 0.5
        inside &= np.hypot(one, other) <= 2 * radius
        parts, _ = ndimage.label(inside)
        area = np.count_nonzero(parts == parts[count, count]) * _FINEST**2
        found.append(2 * np.sqrt(area / np.pi))
    return np.array(found)


def _without_end(along_mm: Reals, radii: Reals) -> int:
    """The first place that lies two of the radii so far away from the end: before it, a cross-section may leave the tube through it."""
    away = along_mm >= 2 * np.maximum.accumulate(radii)
    return int(away.argmax()) if away.any() else len(radii)


KINDS = (
    Kind(
        word="calibre",
        make=Calibre,
        says="Least, mean and largest diameter along a vessel, or another tube.",
        method="Diameters of circles as large as the cross-sections, along the centreline, which is the path of the largest spheres inside "
        "of the mask (Antiga 2003); of a branched vessel along its longest path. At both ends as much as the vessel is wide is left out.",
        needs="a tube in one part, at least three times as long as it is wide, within the images; each diameter is of three voxels or more "
        "(Hoogeveen 1998)",
    ),
)
