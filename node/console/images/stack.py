"""The images of a series in the order in which they are looked through, from their headers; of multi-frame instances, from their files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.errors import InputError
from inference.imaging.geometry import Plane
from node.domain.instance import Header, Instance, Standing, Value
from node.results.page.panels import View, turned

_PARALLEL = 0.999
_MOST_FRAMES = 20_000
"""A damaged header may claim billions of frames; no loop, and no volume of one file, has so many."""
_ALONE_MM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One image: the frame (0-based) of the instance in journal row `row`. `plane` None: it has no place in the patient."""

    row: int
    frame: int
    plane: Plane | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """All images of a series. Half of `gap_mm`, the least distance between two neighbours, is how far from an image its masks may lie."""

    images: tuple[Shown, ...]
    gap_mm: float
    frame_of_reference_uid: str = ""


def stack_of(instances: Sequence[Instance], planes: Callable[[Instance], Sequence[Plane | None]]) -> Stack:
    """The images of these instances of one series; conflicts and what is no image are left out.

    Axial slices go from head to feet, coronal ones from front to back, sagittal ones from right to left; what lies otherwise follows, in
    the order of its numbers, as does everything without a place.

    Parameters
    ----------
    planes
        Reads the planes of all frames of a multi-frame instance; `InputError` where they cannot be read: it is one image then, and
        whoever looks at it is told why.
    """
    found: list[tuple[float, Shown]] = []
    for one in instances:
        if one.standing in (Standing.CURRENT, Standing.PURGED) and "Rows" in one.header:
            number = _number(one.header, "InstanceNumber", 0.0)
            found += [(number, Shown(row=one.id, frame=frame, plane=plane)) for frame, plane in enumerate(_planes(one, planes))]
    groups: list[NDArray[np.float64]] = []
    keyed: list[tuple[tuple[float, ...], Shown]] = []
    depths: dict[int, set[float]] = {}
    for number, shown in found:
        if shown.plane is None:
            keyed.append(((float("inf"), 0.0, number, shown.frame), shown))
            continue
        normal = normal_of(shown.plane)
        group = next((index for index, known in enumerate(groups) if abs(float(known @ normal)) > _PARALLEL), len(groups))
        if group == len(groups):
            groups.append(normal)
        depth = float(groups[group] @ np.asarray(shown.plane.position))
        depths.setdefault(group, set()).add(round(depth, 3))
        keyed.append(((group, depth if _ascends(groups[group]) else -depth, number, shown.frame), shown))
    keyed.sort(key=lambda each: each[0])
    gaps = [gap for known in depths.values() for gap in np.diff(sorted(known))]
    spaces = {str(value) for one in instances for value in one.header.get("FrameOfReferenceUID", ())}
    return Stack(
        images=tuple(shown for _, shown in keyed),
        gap_mm=float(min(gaps, default=_ALONE_MM)),
        frame_of_reference_uid=spaces.pop() if len(spaces) == 1 else "",
    )


def normal_of(plane: Plane) -> NDArray[np.float64]:
    """The direction across a plane, a unit vector."""
    orientation = np.asarray(plane.orientation, dtype=np.float64)
    across: NDArray[np.float64] = np.cross(orientation[:3], orientation[3:])
    return across / np.linalg.norm(across)


def view_of(plane: Plane) -> View:
    """How an image is turned for whoever looks at it: the patient's right at the left, and so on."""
    orientation = np.asarray(plane.orientation, dtype=np.float64)
    return turned(orientation[3:], orientation[:3], plane.spacing)


def _ascends(normal: NDArray[np.float64]) -> bool:
    """Whether the first image is the one that lies least far along the normal: x and y grow to the left and the back, z to the head."""
    axis = int(np.argmax(np.abs(normal)))
    return bool(normal[axis] > 0) if axis < 2 else bool(normal[axis] < 0)


def _planes(one: Instance, planes: Callable[[Instance], Sequence[Plane | None]]) -> Sequence[Plane | None]:
    frames = _number(one.header, "NumberOfFrames", 1.0)
    if frames > _MOST_FRAMES:
        return (None,)
    if frames > 1 and one.standing is Standing.CURRENT:
        try:
            return planes(one)
        except InputError:
            return (None,)
    return (_plane(one),)


def _plane(one: Instance) -> Plane | None:
    """The place of a classic image, as its journaled header tells it."""
    told = {
        keyword: _numbers(one.header.get(keyword, ())) for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    }
    position, orientation, spacing = told.values()
    rows, columns = (int(_number(one.header, keyword, 0.0)) for keyword in ("Rows", "Columns"))
    if len(position) != 3 or len(orientation) != 6 or len(spacing) != 2 or min(*spacing, rows, columns) <= 0:
        return None
    if not np.cross(orientation[:3], orientation[3:]).any():
        return None
    x, y, z = position
    rx, ry, rz, cx, cy, cz = orientation
    return Plane(
        uid=one.sop_instance_uid,
        frame=None,
        position=(x, y, z),
        orientation=(rx, ry, rz, cx, cy, cz),
        spacing=(spacing[0], spacing[1]),
        rows=rows,
        columns=columns,
    )


def _numbers(values: Sequence[Value]) -> tuple[float, ...]:
    return tuple(float(value) for value in values if not isinstance(value, str) and np.isfinite(value))


def _number(header: Header, keyword: str, otherwise: float) -> float:
    return next(iter(_numbers(header.get(keyword, ()))), otherwise)
