"""Nodules of LIDC-IDRI's XML files: outlines of up to four readers on the images of a series, and what several readers agree on.

An outline runs along the first pixels outside of the nodule, given by column and row; "inclusion" FALSE outlines a hole. Nodules under
3 mm are one point without characteristics, and marks of what is no nodule are points, too: both are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from inference.applications.lung_nodule.follow_up import Density
from inference.imaging.diameters import axes_mm
from inference.imaging.volume import Volume
from training.errors import UnfitData

READERS = 3
"""How many of the four have to see a nodule, as in LUNA16."""
_NAMESPACE = "{http://www.nih.gov}"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """One reader's nodule.

    Attributes
    ----------
    corner, mask
        What lies inside of the outlines: a box (Z, Y, X) of the volume's voxels, and its first one.
    texture
        From 1 (ground-glass) over 3 (part-solid) to 5 (solid), None where it is not given.
    """

    reader: int
    corner: tuple[int, int, int]
    mask: Mask
    centre_mm: tuple[float, float, float]
    long_mm: float
    volume_mm3: float
    texture: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agreed:
    """What several readers outlined in one place: the means of their figures; the density by the median of their textures."""

    readings: tuple[Reading, ...]
    centre_mm: tuple[float, float, float]
    long_mm: float
    volume_mm3: float
    density: Density | None


def readings(file: Path, volume: Volume) -> tuple[Reading, ...]:
    """Every outlined nodule of every reader of a series.

    Raises
    ------
    UnfitData
        It is no such file, or of another series, or names an image that the series does not have.
    """
    try:
        # no entity is expanded without a document type, and these files have none
        content = file.read_bytes()
        if any("<!DOCTYPE".encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-16-be")):
            raise UnfitData(f"{file} has a document type: it is no file of LIDC")
        root = ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError) as broken:
        raise UnfitData(f"{file} cannot be read: {broken}") from broken
    if root.tag != f"{_NAMESPACE}LidcReadMessage":
        raise UnfitData(f"{file} is no LidcReadMessage of {_NAMESPACE[1:-1]}")
    try:
        uid = _text(root, "ResponseHeader/SeriesInstanceUid")
        if uid != volume.series_instance_uid:
            raise UnfitData(f"{file} is of series {uid}, not of {volume.series_instance_uid}")
        return tuple(
            found
            for reader, session in enumerate(root.iterfind(f"{_NAMESPACE}readingSession"), start=1)
            for nodule in session.iterfind(f"{_NAMESPACE}unblindedReadNodule")
            if (found := _reading(nodule, reader, volume)) is not None
        )
    except (ValueError, KeyError) as wrong:
        raise UnfitData(f"{file}: {wrong}") from wrong


def agreed(found: Sequence[Reading], readers: int = READERS) -> tuple[Agreed, ...]:
    """Readings of one place together: a reading belongs to a group whose middle lies in it, or it in the group."""
    groups: list[list[Reading]] = []
    for reading in sorted(found, key=lambda each: -each.long_mm):
        near = [group for group in groups if _apart(group, reading) < max(reading.long_mm, group[0].long_mm) / 2]
        fits = [group for group in near if reading.reader not in {each.reader for each in group}]
        if fits:
            min(fits, key=lambda group: _apart(group, reading)).append(reading)
        else:
            groups.append([reading])
    return tuple(_together(group) for group in groups if len(group) >= readers)


def outlined_by_half(nodules: Sequence[Agreed], shape: tuple[int, ...]) -> Mask:
    """Voxels (Z, Y, X) that at least half of a nodule's own readers have inside of their outlines."""
    inside = np.zeros(shape, dtype=np.bool_)
    for nodule in nodules:
        corners = np.array([reading.corner for reading in nodule.readings])
        first = corners.min(axis=0)
        votes = np.zeros((corners + [reading.mask.shape for reading in nodule.readings]).max(axis=0) - first, dtype=np.uint8)
        for reading, at in zip(nodule.readings, corners - first, strict=True):
            votes[_box(at, reading.mask.shape)] += reading.mask
        inside[_box(first, votes.shape)] |= 2 * votes >= len(nodule.readings)
    return inside


def _box(first: NDArray[np.intp], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(start, start + side) for start, side in zip(first.tolist(), shape, strict=True))


def _apart(group: Sequence[Reading], reading: Reading) -> float:
    middle = np.mean([each.centre_mm for each in group], axis=0)
    return float(np.linalg.norm(middle - np.array(reading.centre_mm)))


def _together(group: Sequence[Reading]) -> Agreed:
    x, y, z = (float(each) for each in np.mean([reading.centre_mm for reading in group], axis=0))
    textures = [reading.texture for reading in group if reading.texture is not None]
    density = None
    if textures:
        texture = float(np.median(textures))
        density = Density.GROUND_GLASS if texture < 2 else Density.SOLID if texture > 4 else Density.PART_SOLID
    return Agreed(
        readings=tuple(group),
        centre_mm=(x, y, z),
        long_mm=float(np.mean([reading.long_mm for reading in group])),
        volume_mm3=float(np.mean([reading.volume_mm3 for reading in group])),
        density=density,
    )


def _reading(nodule: ElementTree.Element, reader: int, volume: Volume) -> Reading | None:
    drawn = list(_outlines(nodule, volume))
    if not drawn:
        return None
    # a nodule is small, and a series may have many: nothing is computed beyond what its outlines reach
    low = np.array([(index, *np.floor(points.min(axis=0))) for index, points, _ in drawn]).min(axis=0).clip(0).astype(int)
    high = np.array([(index, *np.ceil(points.max(axis=0))) for index, points, _ in drawn]).max(axis=0).astype(int) + 1
    mask = np.zeros(np.maximum(np.minimum(high, volume.voxels.shape) - low, 0), dtype=np.bool_)
    holes = np.zeros_like(mask)
    for index, points, inside in drawn:
        (mask if inside else holes)[index - low[0]] |= enclosed(points - low[1:], mask.shape[1:])
    mask &= ~holes
    if not mask.any():
        return None
    _, row_mm, column_mm = volume.spacing_mm
    x, y, z = (float(each) for each in (volume.affine @ np.append(np.argwhere(mask).mean(axis=0) + low, 1.0))[:3])
    texture = nodule.findtext(f"{_NAMESPACE}characteristics/{_NAMESPACE}texture")
    first_slice, first_row, first_column = low.tolist()
    return Reading(
        reader=reader,
        corner=(first_slice, first_row, first_column),
        mask=mask,
        centre_mm=(x, y, z),
        long_mm=max(axes_mm(plane, (row_mm, column_mm))[0] for plane in mask[mask.any(axis=(1, 2))]),
        volume_mm3=int(np.count_nonzero(mask)) * volume.voxel_volume_mm3,
        texture=int(texture) if texture else None,
    )


def _outlines(nodule: ElementTree.Element, volume: Volume) -> Iterator[tuple[int, NDArray[np.float64], bool]]:
    """Slice, corners (row, column) and whether they enclose nodule."""
    slices = {source.sop_instance_uid: index for index, source in enumerate(volume.sources)}
    for roi in nodule.iterfind(f"{_NAMESPACE}roi"):
        uid = _text(roi, "imageSOP_UID")
        if uid not in slices:
            raise ValueError(f"image {uid} is not in the series")
        edges = [(float(_text(edge, "yCoord")), float(_text(edge, "xCoord"))) for edge in roi.iterfind(f"{_NAMESPACE}edgeMap")]
        if len(edges) > 2:
            points, sides = np.array(edges), volume.voxels.shape[1:]
            # what touches the border of an image is outlined just beyond it
            if not ((points >= -1) & (points <= sides)).all():
                raise ValueError(f"an outline on image {uid} leaves its {sides[0]} rows and {sides[1]} columns")
            yield slices[uid], points, _text(roi, "inclusion").upper() == "TRUE"


def enclosed(points: NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    """Pixels (Y, X) whose middles lie inside a closed line through middles of pixels (row, column), none of those that it runs through."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    inside = np.zeros(shape, dtype=np.bool_)
    on = np.zeros(shape, dtype=np.bool_)
    for (row, column), (next_row, next_column) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if row != next_row:
            crosses = column + (rows - row) / (next_row - row) * (next_column - column)
            inside ^= ((row > rows) != (next_row > rows)) & (columns < crosses)
        steps = int(max(abs(next_row - row), abs(next_column - column), 1))
        for step in range(steps):
            at = (round(row + (next_row - row) * step / steps), round(column + (next_column - column) * step / steps))
            if 0 <= at[0] < shape[0] and 0 <= at[1] < shape[1]:
                on[at] = True
    return inside & ~on


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.findtext("/".join(f"{_NAMESPACE}{part}" for part in path.split("/")))
    if found is None:
        raise ValueError(f"{element.tag.removeprefix(_NAMESPACE)} without {path}")
    return found.strip()
