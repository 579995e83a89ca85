"""Loops that were sent as single images: a heart in MR, one image a phase; each place is a cine of its own."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.imaging import tags
from inference.imaging.dimensions import Split, split
from inference.imaging.errors import MixedShape, TooLarge, naming
from inference.imaging.frame_values import MOST_BYTES, frames_of
from inference.imaging.header import Instance
from inference.imaging.projection import spacing_of
from inference.imaging.slices import Slice, slices_of
from inference.imaging.subject import Cine
from inference.imaging.volume import SliceSource

OVER_TIME = frozenset({"heart phases", "breathing phases", "time points"})
"""What images of one place must differ in, and in nothing else, to be frames of a loop."""


def loops_at_places(instances: Sequence[Instance]) -> list[tuple[Slice, ...]]:
    """The images of each place in their order in time; none where images lie alone, or differ in something else than time.

    Raises
    ------
    InputError
        The images say only half of their place, or are not parallel.
    """
    for instance in instances:
        instance.refuse_half_a_place()
    slices = slices_of(instances)
    if len(slices) < 2 or any(plane is None for instance in instances for plane in instance.planes):
        return []
    found: Split | None = split(slices)
    if found is None or not found.parts or set(found.plurals) - OVER_TIME:
        return []
    # a part holds one image of every place, in the order of the places
    return list(zip(*(part.slices for part in found.parts), strict=True))


def cine_at(images: Sequence[Slice], *, threads: int = 2) -> Cine:
    """One place over time.

    Raises
    ------
    MixedShape, TooLarge
        The images differ in size, or would fill the memory.
    """
    first = images[0]
    odd = [each.plane.name for each in images if (each.plane.rows, each.plane.columns) != (first.plane.rows, first.plane.columns)]
    if odd:
        raise MixedShape(f"{len(odd)} of {len(images)} frames have other rows and columns than the first: {naming(odd)}")
    needed = len(images) * first.plane.rows * first.plane.columns * 4
    if needed > MOST_BYTES:
        raise TooLarge(f"{len(images)} frames of {first.plane.columns} x {first.plane.rows} pixels: {needed / 2**30:.1f} GiB")
    spacing_mm, calibrated = spacing_of(first.instance)
    return Cine(
        frames=np.concatenate([frames_of(each.instance, range(each.frame, each.frame + 1), threads=threads) for each in images]),
        times_s=_times(images),
        sources=tuple(
            SliceSource(sop_instance_uid=each.instance.sop_instance_uid, sop_class_uid=each.instance.sop_class_uid, frame=each.plane.frame)
            for each in images
        ),
        modality=first.instance.modality,
        study_instance_uid=first.instance.study_instance_uid,
        series_instance_uid=first.instance.series_instance_uid,
        spacing_mm=spacing_mm,
        calibrated=calibrated,
    )


def _times(images: Sequence[Slice]) -> NDArray[np.float64] | None:
    """Seconds from the first image, by trigger or reference time (ms); None where images do not say so."""
    for tag in (tags.TRIGGER_TIME, tags.FRAME_REFERENCE_TIME):
        stated = [tags.stated(each.instance.header, tag, 1) for each in images]
        known = [value[0] for value in stated if value is not None]
        if len(known) == len(images) and all(b > a for a, b in itertools.pairwise(known)):
            return (np.array(known) - known[0]) / 1000
    return None
