"""Segmentations laid over the volume of their images: frame by frame on its own grid, else resampled by the code that serving uses."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.imaging.assemble import assemble
from inference.imaging.geometry import OFF_GRID_STEPS, Plane
from inference.imaging.header import PARSE_ERRORS, read_instance
from inference.imaging.resample import Grid, Interpolation, resample
from inference.imaging.tags import text
from inference.imaging.volume import Volume
from training.data.cases import Labelled
from training.data.dicom import LabelledSeries
from training.data.structures import Wanted
from training.data.volumes import on_one_grid
from training.errors import MisplacedLabels, UnclearLabels

_SEX, _AGE, _MANUFACTURER = 0x00100040, 0x00101010, 0x00080070
_AGE_STRING = re.compile(r"(\d+)([DWMY]?)")
_A_YEAR = {"D": 365, "W": 52, "M": 12, "Y": 1, "": 1}
_KEPT = 0.5
"""Of a segment's size, what has to lie within the images."""
_HALF = 0.5
"""A FRACTIONAL voxel from here on is one of the segment's."""

Mask = NDArray[np.bool_]


def labelled(series: LabelledSeries, structures: Sequence[Wanted], *, over: bool) -> Labelled:
    """The volume of a series as serving assembles it, and its structures as labels 1, 2, … in their order.

    Parameters
    ----------
    over
        Whether a later structure takes the voxels that it shares with an earlier one.

    Raises
    ------
    InputError
        The images are no volume.
    MisplacedLabels, UnclearLabels, UnfitData
    """
    volume = on_one_grid(assemble(series.files))
    labels = np.zeros(volume.voxels.shape, dtype=np.uint8)
    for file in series.segmentations:
        numbers = {one.numbers[file.path]: value for value, one in enumerate(structures, start=1) if file.path in one.numbers}
        if not numbers:
            # wherever it lies: nothing of it is asked for
            continue
        for number, mask in masks(file.path, volume, sorted(numbers)).items():
            _lay(labels, mask, numbers[number], file.path, structures, over)
    return Labelled(volume=volume, labels=labels, attributes=attributes_of(read_instance(series.files[0]).header))


def attributes_of(header: Dataset) -> dict[str, str]:
    """What an evaluation may group cases by; of what is absent, nothing."""
    # PS3.5 6.2: 045Y, 018M; without a unit, as some write it, years
    age = _AGE_STRING.fullmatch(text(header, _AGE))
    years = str(int(age[1]) // _A_YEAR[age[2]]) if age else ""
    said = {"sex": text(header, _SEX), "age": years, "manufacturer": text(header, _MANUFACTURER)}
    return {name: value for name, value in said.items() if value}


def masks(path: Path, volume: Volume, numbers: Sequence[int]) -> dict[int, Mask]:
    """Segments of a file by number, (Z, Y, X) on the volume's grid.

    Raises
    ------
    MisplacedLabels
    """
    import highdicom as hd

    instance = read_instance(path)
    planes = [plane for plane in instance.planes if plane is not None]
    if len(planes) < len(instance.planes):
        raise MisplacedLabels(f"{path}: not every frame says where it lies")
    if instance.frame_of_reference_uid != volume.frame_of_reference_uid:
        raise MisplacedLabels(f"{path}: it lies in another frame of reference than its images")
    try:
        file = hd.seg.segread(path)
        places = _places(planes, volume)
        if places is not None:
            return _stacked(file, places, volume, numbers)
        return {number: _resampled(file, number, path, volume) for number in numbers}
    except (*PARSE_ERRORS, RuntimeError) as broken:
        raise MisplacedLabels(f"{path}: cannot be read as a segmentation in space: {broken}") from broken


def _lay(labels: NDArray[np.uint8], mask: Mask, value: int, path: Path, structures: Sequence[Wanted], over: bool) -> None:
    shared = labels[mask]
    others = np.unique(shared[shared > 0])
    if others.size and not over:
        one, other = (structures[int(each) - 1].segment.label for each in (others[0], value))
        raise UnclearLabels(f'{path}: "{one}" and "{other}" share {np.count_nonzero(shared)} voxels, and a voxel is given to one structure')
    # whatever the order of the files, the later structure lies over the earlier
    labels[mask] = np.maximum(shared, value)


def _places(planes: Sequence[Plane], volume: Volume) -> list[int] | None:
    """For each frame the slice of the volume that it lies on, pixel on pixel; None where one does not."""
    to_volume = np.linalg.inv(volume.affine)
    count, rows, columns = volume.voxels.shape
    found = []
    for plane in planes:
        if (plane.rows, plane.columns) != (rows, columns):
            return None
        right, down = np.array(plane.orientation[:3]) * plane.spacing[1], np.array(plane.orientation[3:]) * plane.spacing[0]
        first = np.array(plane.position)
        corners = np.stack([first, first + down * (rows - 1), first + right * (columns - 1)])
        at = corners @ to_volume[:3, :3].T + to_volume[:3, 3]
        z = round(float(at[0, 0]))
        wanted = np.array([(z, 0, 0), (z, rows - 1, 0), (z, 0, columns - 1)])
        if not 0 <= z < count or np.abs(at - wanted).max() > OFF_GRID_STEPS:
            return None
        found.append(z)
    return found


def _stacked(file: Any, places: Sequence[int], volume: Volume, numbers: Sequence[int]) -> dict[int, Mask]:
    made = {number: np.zeros(volume.voxels.shape, dtype=np.bool_) for number in numbers}
    label_map = str(file.SegmentationType) == "LABELMAP"
    most = float(file.get("MaximumFractionalValue", 1)) if str(file.SegmentationType) == "FRACTIONAL" else 1.0
    of_frame = () if label_map else _numbers(file)
    for index, z in enumerate(places):
        if not label_map and of_frame[index] not in made:
            continue
        stored = file.get_stored_frame(index + 1)
        for number in numbers if label_map else (of_frame[index],):
            made[number][z] |= stored == number if label_map else stored >= _HALF * most
    return made


def _numbers(file: Any) -> tuple[int, ...]:
    """The segment of each frame: its own functional group's, else the shared one's (PS3.3 C.8.20.3.1)."""
    keyword, shared = "SegmentIdentificationSequence", file.SharedFunctionalGroupsSequence[0]
    groups = (own if keyword in own else shared for own in file.PerFrameFunctionalGroupsSequence)
    return tuple(int(group[keyword][0].ReferencedSegmentNumber) for group in groups)


def _resampled(file: Any, number: int, path: Path, volume: Volume) -> Mask:
    made = file.get_volume(segment_numbers=[number], combine_segments=False, allow_missing_positions=True)
    inside: Mask = np.ascontiguousarray(made.array[..., 0] >= _HALF)
    source = Grid(shape=(inside.shape[0], inside.shape[1], inside.shape[2]), affine=np.asarray(made.affine, dtype=np.float64))
    mask: Mask = resample(inside, source, Grid.of(volume), by=Interpolation.NEAREST)
    size = np.count_nonzero(inside) * abs(np.linalg.det(source.affine[:3, :3]))
    if np.count_nonzero(mask) * volume.voxel_volume_mm3 < _KEPT * size:
        if _within(np.argwhere(inside), source, volume) < _KEPT:
            raise MisplacedLabels(f"{path}: most of segment {number} lies outside of the images that it refers to")
        steps = " × ".join(f"{step:.3g}" for step in volume.spacing_mm)
        raise MisplacedLabels(
            f"{path}: segment {number} is too thin for the grid of its images ({steps} mm): most of it falls between voxels"
        )
    return mask


def _within(voxels: NDArray[np.intp], source: Grid, volume: Volume) -> float:
    """The share of voxels (N, 3) of a grid whose middles lie in the volume, its outer half voxels included."""
    to_volume = np.linalg.inv(volume.affine) @ source.affine
    at = voxels @ to_volume[:3, :3].T + to_volume[:3, 3]
    return float(np.all((at >= -_HALF) & (at <= np.array(volume.voxels.shape) - _HALF), axis=1).mean())
