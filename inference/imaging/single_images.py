"""Single images without a place in the patient, and cines: the instances of a job become Images, or a Cine for each loop."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DT

from inference.imaging import tags
from inference.imaging.age import years_of
from inference.imaging.errors import NotACine, NotImages, TooLarge, naming
from inference.imaging.frame_values import MOST_BYTES, frames_of, is_colour, is_inverted
from inference.imaging.header import PARSE_ERRORS, Instance
from inference.imaging.projection import (
    body_parts_of,
    laterality_of,
    orientation_of,
    photographed_of,
    regions_of,
    spacing_of,
    view_of,
    window_of,
)
from inference.imaging.subject import Cine, Image, Images
from inference.imaging.volume import SliceSource
from inference.translatable import Translatable, say

TIMES = frozenset({tags.FRAME_TIME, tags.FRAME_TIME_VECTOR})
MOVING = frozenset({"US", "XA", "RF", "IVUS", "ES", "XC"})
"""Modalities whose multi-frame images are loops where nothing else is said."""

DOUBTED = say("A calibrated region reaches beyond the image or has no scale: it is not used.")


def images_from(
    instances: Sequence[Instance], series_instance_uid: str, *, threads: int = 2
) -> tuple[Images, list[Instance], list[Translatable]]:
    """The single images among the instances, those instances, and what a reader must know of them.

    Loops are left out: they are another kind of subject. The frames of a multi-frame image that is no loop are images each.

    Raises
    ------
    NotImages
        There are only loops, or nothing at all, or tiles of a slide.
    InputError
        An image cannot be decoded.
    """
    tiled = [each.sop_instance_uid for each in instances if tags.TOTAL_PIXEL_MATRIX_COLUMNS in each.header]
    if tiled:
        raise NotImages(f"{len(tiled)} of {len(instances)} instances hold tiles of a larger image: {naming(tiled)}")
    stills = sorted((each for each in instances if not over_time(each)), key=_in_order)
    if not stills:
        raise NotImages(f"{len(instances)} instances, all of them loops: {naming(each.sop_instance_uid for each in instances)}")
    pixels = sum(each.pixels.rows * each.pixels.columns * each.pixels.frames for each in stills)
    if pixels > MOST_BYTES // 4:
        raise TooLarge(f"{len(stills)} instances hold {pixels / 1e6:.0f} million pixels")
    remarks: list[Translatable] = []
    if len(stills) < len(instances):
        loops, of = str(len(instances) - len(stills)), str(len(instances))
        remarks.append(say("{number} of {of} instances are loops and were not looked at.", number=loops, of=of))
    images: list[Image] = []
    doubts = False
    for each in stills:
        made, doubted = _images(each, threads)
        images += made
        doubts = doubts or doubted
    if doubts:
        remarks.append(DOUBTED)
    own = next((each for each in stills if each.series_instance_uid == series_instance_uid), stills[0])
    return (
        Images(
            images=tuple(images),
            modality=own.modality,
            study_instance_uid=own.study_instance_uid,
            series_instance_uid=own.series_instance_uid,
        ),
        stills,
        remarks,
    )


def loops_among(instances: Sequence[Instance]) -> list[Instance]:
    """The instances that are loops, in the order of their numbers.

    Raises
    ------
    NotACine
        There is none.
    """
    loops = sorted((each for each in instances if over_time(each)), key=_in_order)
    if not loops:
        raise NotACine(f"no loop among {len(instances)} instances: {naming(each.sop_instance_uid for each in instances)}")
    return loops


def bounded_together(loops: Sequence[Instance]) -> None:
    """All loops of a job are held until it is encoded.

    Raises
    ------
    TooLarge
        Together they would take more than one subject may.
    """
    sizes = [each.pixels.rows * each.pixels.columns * each.pixels.frames * (3 if is_colour(each) else 2) for each in loops]
    needed = sum(sizes)
    if needed > MOST_BYTES:
        raise TooLarge(f"{len(loops)} loops of {needed / 2**30:.1f} GiB together")


def cine_from(loop: Instance, *, threads: int = 2) -> tuple[Cine, list[Translatable]]:
    """The frames of one loop, and what a reader must know of them."""
    regions, doubted = regions_of(loop)
    spacing_mm, calibrated = spacing_of(loop)
    cine = Cine(
        frames=frames_of(loop, range(loop.pixels.frames), threads=threads),
        times_s=times_of(loop),
        sources=tuple(_source(loop, frame) for frame in range(loop.pixels.frames)),
        modality=loop.modality,
        study_instance_uid=loop.study_instance_uid,
        series_instance_uid=loop.series_instance_uid,
        regions=regions,
        spacing_mm=spacing_mm,
        calibrated=calibrated,
        patient_years=years_of(loop.header),
    )
    return cine, [DOUBTED] if doubted else []


def over_time(instance: Instance) -> bool:
    """Whether the frames of an instance are one view over time: several, at one place, and told apart by time alone."""
    if instance.pixels.frames < 2:
        return False
    places = {None if plane is None else (plane.position, plane.orientation) for plane in instance.planes}
    if len(places) > 1:
        return False
    # FrameIncrementPointer says what tells the frames apart: slices, energies and pages are no time
    pointed = set(tags.pointers(instance.header, tags.FRAME_INCREMENT_POINTER))
    if pointed:
        return pointed <= TIMES
    timed = any(tag in instance.header for tag in (*TIMES, tags.CINE_RATE))
    return timed or instance.modality in MOVING or _frame_dates(instance) is not None


def times_of(instance: Instance) -> NDArray[np.float64] | None:
    """Seconds from the first frame to each (PS3.3 C.7.6.5); None where nothing says so, or something that cannot be."""
    frames, header = instance.pixels.frames, instance.header
    dated = _frame_dates(instance)
    if dated is not None:
        return dated
    vector = tags.stated(header, tags.FRAME_TIME_VECTOR, frames)
    pointed = tags.pointers(header, tags.FRAME_INCREMENT_POINTER)
    step_ms = tags.stated(header, tags.FRAME_TIME, 1)
    if vector is not None and (tags.FRAME_TIME_VECTOR in pointed or step_ms is None):
        # increments from frame to frame: the first is the distance to a frame that is not there
        times: NDArray[np.float64] = np.cumsum((0.0, *vector[1:])) / 1000
        return times if min(vector[1:], default=0.0) > 0 else None
    rate = tags.stated(header, tags.CINE_RATE, 1)
    lasting_ms = tags.stated(header, tags.ACTUAL_FRAME_DURATION, 1)
    for step_s in (
        step_ms[0] / 1000 if step_ms else 0.0,
        1 / rate[0] if rate and rate[0] > 0 else 0.0,
        lasting_ms[0] / 1000 if lasting_ms else 0.0,
    ):
        if step_s > 0:
            return np.arange(frames, dtype=np.float64) * step_s
    return None


def _frame_dates(instance: Instance) -> NDArray[np.float64] | None:
    """The times that an enhanced instance gives each of its frames (PS3.3 C.7.6.16.2.2)."""
    groups: Sequence[Dataset] = tags.items(instance.header, tags.PER_FRAME_GROUPS, instance.sop_instance_uid)
    for tag in (tags.FRAME_REFERENCE_DATE_TIME, tags.FRAME_ACQUISITION_DATE_TIME):
        found = [_date(group, tag, instance.sop_instance_uid) for group in groups]
        dates = [date for date in found if date is not None]
        if len(dates) == instance.pixels.frames and len({date.tzinfo is None for date in dates}) == 1:
            seconds = np.array([(date - dates[0]).total_seconds() for date in dates])
            if len(seconds) > 1 and bool(np.all(np.diff(seconds) > 0)):
                return seconds
    return None


def _date(group: Dataset, tag: int, uid: str) -> datetime | None:
    content = tags.items(group, tags.FRAME_CONTENT, uid)
    stated = tags.text(content[0], tag) if content else ""
    try:
        return DT(stated) if stated else None
    except PARSE_ERRORS:
        return None


def _images(instance: Instance, threads: int) -> tuple[list[Image], bool]:
    header, frames = instance.header, range(instance.pixels.frames)
    regions, doubted = regions_of(instance)
    spacing_mm, calibrated = spacing_of(instance)
    pixels = frames_of(instance, frames, threads=threads)
    return [
        Image(
            pixels=pixels[frame],
            source=_source(instance, frame),
            series_instance_uid=instance.series_instance_uid,
            inverted=is_inverted(instance),
            spacing_mm=spacing_mm,
            calibrated=calibrated,
            view=view_of(header),
            laterality=laterality_of(header),
            orientation=orientation_of(header),
            regions=regions,
            window=window_of(instance, frame),
            body_parts=body_parts_of(header),
            photographed=photographed_of(header),
            patient_years=years_of(header),
            number=str(frame + 1) if instance.multiframe else tags.text(header, tags.INSTANCE_NUMBER),
        )
        for frame in frames
    ], doubted


def _source(instance: Instance, frame: int) -> SliceSource:
    """The 0-based frame as results refer to it: with a number only where the instance is a multi-frame one."""
    return SliceSource(
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        frame=frame + 1 if instance.multiframe else None,
    )


def _in_order(instance: Instance) -> tuple[float, str, float, str]:
    """By series and number as people see them; the UIDs break ties, so that the order never depends on that of the files."""
    numbers = [tags.stated(instance.header, tag, 1) for tag in (tags.SERIES_NUMBER, tags.INSTANCE_NUMBER)]
    series, image = (number[0] if number else float("inf") for number in numbers)
    return series, instance.series_instance_uid, image, instance.sop_instance_uid
