"""Rescale and plane of one frame, from functional groups (PS3.3 C.7.6.16) or a classic instance's data set."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.bounds import thickness_mm
from inference.imaging.errors import MissingAttribute
from inference.imaging.geometry import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescale:
    """Stored value to modality value (PS3.3 C.11.1): `value * slope + intercept`."""

    slope: float = 1.0
    intercept: float = 0.0


def functional_groups(dataset: Dataset, frames: int, uid: str) -> tuple[Dataset, Sequence[Dataset]]:
    """The shared and the per-frame functional groups (PS3.3 C.7.6.16); empty ones for a classic instance."""
    per_frame = tags.items(dataset, tags.PER_FRAME_GROUPS, uid)
    if not per_frame:
        return Dataset(), ()
    if len(per_frame) != frames:
        raise MissingAttribute(f"{uid} has {frames} frames and per-frame functional groups for {len(per_frame)}")
    shared = tags.items(dataset, tags.SHARED_GROUPS, uid)
    return (shared[0] if shared else Dataset()), per_frame


def rescale_of(own: Dataset, common: Dataset, uid: str, *, ct: bool) -> tuple[Rescale, str]:
    """The rescale of one frame and its RescaleType.

    Of CT (`ct`) the intercept is most of what its values mean. Of others one that is absent is 0, as PET's always is (PS3.3 C.8.9.4).

    Raises
    ------
    MissingAttribute
        The slope is 0, or one of both is absent without which the other says nothing.
    """
    holder = macro(own, common, tags.PIXEL_VALUE_TRANSFORMATION, uid)
    slope = tags.numbers(holder, tags.RESCALE_SLOPE, uid, 1)
    intercept = tags.numbers(holder, tags.RESCALE_INTERCEPT, uid, 1)
    if slope and slope[0] == 0:
        raise MissingAttribute(f"RescaleSlope of {uid} is 0: every value would be the same")
    if (slope is None) != (intercept is None) and (ct or slope is None):
        given, absent = ("RescaleSlope", "RescaleIntercept") if intercept is None else ("RescaleIntercept", "RescaleSlope")
        raise MissingAttribute(f"{uid} has {given} and no {absent}: what its values mean stands in both")
    rescale = Rescale(slope=slope[0] if slope else 1.0, intercept=intercept[0] if intercept else 0.0)
    return rescale, tags.text(holder, tags.RESCALE_TYPE)


def planes_of(
    frames: Sequence[tuple[Dataset, Dataset]], uid: str, shape: tuple[int, int], *, placed: bool, multiframe: bool
) -> tuple[tuple[Plane | None, ...], str]:
    """The place of each frame, and what is wrong with the first that says only half of it."""
    if not placed:
        # frames of a classic multi-frame instance have no place of their own (cine, dynamic, gated)
        return (None,) * len(frames), ""
    planes: list[Plane | None] = []
    misplaced = ""
    for number, (own, common) in enumerate(frames, start=1):
        try:
            planes.append(_plane(own, common, uid, number if multiframe else None, shape))
        except MissingAttribute as half:
            planes.append(None)
            misplaced = misplaced or str(half)
    return tuple(planes), misplaced


def _plane(own: Dataset, common: Dataset, uid: str, frame: int | None, shape: tuple[int, int]) -> Plane | None:
    """Where the frame lies; None when nothing says so.

    Raises
    ------
    MissingAttribute
        Position, orientation and pixel spacing are given only in part.
    """
    position = tags.numbers(macro(own, common, tags.PLANE_POSITION, uid), tags.IMAGE_POSITION, uid, 3)
    orientation = tags.numbers(macro(own, common, tags.PLANE_ORIENTATION, uid), tags.IMAGE_ORIENTATION, uid, 6)
    measures = macro(own, common, tags.PIXEL_MEASURES, uid)
    spacing = tags.numbers(measures, tags.PIXEL_SPACING, uid, 2)
    if position is None and orientation is None:
        return None
    if position is None or orientation is None or spacing is None:
        given = {"ImagePositionPatient": position, "ImageOrientationPatient": orientation, "PixelSpacing": spacing}
        absent = " and ".join(keyword for keyword, value in given.items() if value is None)
        raise MissingAttribute(f"{absent} is absent in {uid}" + (f" frame {frame}" if frame else ""))
    thickness = tags.numbers(measures, tags.SLICE_THICKNESS, uid, 1)
    x, y, z = position
    rx, ry, rz, cx, cy, cz = orientation
    return Plane(
        uid=uid,
        frame=frame,
        position=(x, y, z),
        orientation=(rx, ry, rz, cx, cy, cz),
        spacing=(spacing[0], spacing[1]),
        rows=shape[0],
        columns=shape[1],
        thickness=thickness_mm(thickness[0] if thickness else None),
    )


def macro(own: Dataset, common: Dataset, sequence: int, uid: str) -> Dataset:
    """The item of a functional group macro: the frame's own, else the shared one; the data set itself in a classic instance."""
    if own is common:
        return own
    for group in (own, common):
        found = tags.items(group, sequence, uid)
        if found:
            return found[0]
    return Dataset()
