"""Phases: assembles images over time into one volume a phase, all on one grid, or refuses with what is wrong.

Images of one place are told apart by `dimensions`, which alone decides what belongs together; here one thing more is asked: that it is time
that tells them apart, and nothing else. They may be of one series, of one series a slice (the study's, as scanners send short axes), of
one series a phase (as 4-D CT comes, `phase_series`), or frames of enhanced instances; in what order they come, and what they are numbered,
has no say.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from inference.imaging.assemble import all_of_each_concatenation, placed, volume_of
from inference.imaging.axes import axes_of
from inference.imaging.cine_loops import OVER_TIME
from inference.imaging.clock import timing_of
from inference.imaging.dimensions import split
from inference.imaging.errors import (
    DuplicatePosition,
    MixedFrameOfReference,
    NoClock,
    NotAVolume,
    PhasesApart,
    PhasesMissing,
    TooLarge,
    naming,
)
from inference.imaging.frame_values import MOST_BYTES
from inference.imaging.geometry import Plane, places_of
from inference.imaging.header import Instance
from inference.imaging.phase_series import a_series_each, phase_series, said_of, stack_of
from inference.imaging.slices import Slice, frame_data
from inference.imaging.subject import Phases, Timing
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

_SAME_PLACE_VOXELS = 0.1
"""By how much of a voxel phases may lie otherwise than the first: positions are rounded."""
_BYTES_A_VOXEL = 2


def phases_from(
    instances: Sequence[Instance], series_instance_uid: str, *, threads: int = 2
) -> tuple[Phases, list[Instance], tuple[Translatable, ...]]:
    """One volume for each phase, the images that were used, and what a reader has to know.

    Parameters
    ----------
    instances
        Of one series, or of several whose slices belong together.
    series_instance_uid
        The series that the job is for; "" where there is one.

    Returns
    -------
    tuple
        A series with one image at each place comes back as one phase: who wants more than one says so (`Accepts.min_phases`).

    Raises
    ------
    DuplicatePosition
        Images of one place came in several series that are no phases, or a phase came twice.
    PhasesMissing, PhasesApart, NoClock
        Images are missing at some places, or of other times or places than the others; nothing says that it is time that they differ in.
    InputError
        Those of `inference.imaging.assemble`, of each phase.
    """
    images = [one for one in instances if "LOCALIZER" not in one.image_type]
    if not images:
        raise NotAVolume("the series holds no instances, or localizers only")
    all_of_each_concatenation(images)
    if len({one.series_instance_uid for one in images}) > 1 and not all(one.frame_of_reference_uid for one in images):
        raise MixedFrameOfReference("slices of several series name no frame of reference: nothing says that they lie in one space")
    slices = placed(images)
    series = a_series_each([each.plane for each in slices], [each.instance.series_instance_uid for each in slices])
    if series:
        return _of_series_each({uid: [slices[index] for index in indices] for uid, indices in series.items()}, series_instance_uid, threads)
    places = places_of([each.plane for each in slices])
    if repeated := several_series([[slices[index].instance.series_instance_uid for index in place] for place in places]):
        raise DuplicatePosition(repeated)
    phases = in_time(slices, places)
    _bounded(phases)
    timing, said = timing_of(phases) if len(phases) > 1 else (Timing(clock=None, attribute="", unit="", values=(0.0,)), ())
    return Phases(volumes=_volumes(phases, series_instance_uid, threads), timing=timing), images, said


def _of_series_each(
    series: Mapping[str, Sequence[Slice]], series_instance_uid: str, threads: int
) -> tuple[Phases, list[Instance], tuple[Translatable, ...]]:
    """Of one series a phase, each in the order of its places; what else lies on their grid is left out and told."""
    stacks = {uid: stack_of(uid, [one.plane for one in of], map(said_of, frame_data(of))) for uid, of in series.items()}
    found = phase_series([*stacks.values()])
    if found.fault is not None:
        raise found.fault
    if not found.order:
        raise NoClock(f"{len(series)} series lie on one grid, and nothing in their headers says which phase each is: {naming(series)}")
    phases = [tuple(series[one.series_instance_uid]) for one in found.order]
    _time_alone(phases)
    _bounded(phases)
    if found.shares is None:
        timing, said = timing_of(phases)
    else:
        timing, said = Timing(clock=found.clock, attribute=found.keyword, unit="%", values=found.shares), ()
    left = [say("Left out of the phases: {series} ({why}).", series=stacks[uid].name, why=why) for uid, why in found.left_out.items()]
    used = list({one.instance.sop_instance_uid: one.instance for each in phases for one in each}.values())
    return Phases(volumes=_volumes(phases, series_instance_uid, threads), timing=timing), used, (*left, *said)


def _time_alone(phases: Sequence[Sequence[Slice]]) -> None:
    """Refuse phases that differ in something else than time as well."""
    slices = [one for each in phases for one in each]
    places = [tuple(range(at, len(slices), len(phases[0]))) for at in range(len(phases[0]))]
    if others := [axis for axis in axes_of(slices, places) if axis.tells and axis.plural not in OVER_TIME]:
        named = naming(axis.attribute for axis in others)
        raise NoClock(f"{len(phases)} phases came as a series each, and time alone does not tell them apart: they differ in {named} too")


def _bounded(phases: Sequence[Sequence[Slice]]) -> None:
    voxels = sum(one.plane.rows * one.plane.columns for each in phases for one in each)
    if voxels * _BYTES_A_VOXEL > MOST_BYTES:
        raise TooLarge(f"{len(phases)} phases of {len(phases[0])} slices: {voxels / 1e6:.0f} million voxels")


def _volumes(phases: Sequence[Sequence[Slice]], series_instance_uid: str, threads: int) -> tuple[Volume, ...]:
    volumes = tuple(_of_series(volume_of(each, threads=threads), series_instance_uid) for each in phases)
    _one_grid(volumes)
    return volumes


def in_time(slices: Sequence[Slice], places: Sequence[Sequence[int]]) -> list[tuple[Slice, ...]]:
    """The slices of each phase, in the order of time; all of them in one where every place holds one image.

    Parameters
    ----------
    places
        Indices into `slices` of those at each place.

    Raises
    ------
    PhasesMissing, NoClock
    """
    if reason := uneven([[slices[index].plane for index in place] for place in places]):
        raise PhasesMissing(reason)
    found = split(slices)
    if found is None:
        return [tuple(slices[index] for (index,) in places)]
    if len(found.plurals) != 1 or not OVER_TIME.issuperset(found.plurals):
        raise NoClock(
            f"{len(places[0])} images at each of {len(places)} positions, and time alone does not tell them apart: {found.reason}"
        )
    return [part.slices for part in found.parts]


def uneven(places: Sequence[Sequence[Plane]]) -> str:
    """What is wrong where places hold different numbers of images: which lack some, or have too many; "" where all hold as many."""
    counts = Counter(map(len, places))
    if len(counts) == 1:
        return ""
    usual = max(counts, key=lambda count: (counts[count], count))
    others = [place for place in places if len(place) != usual]
    at = ", ".join(f"{len(place)} at ({', '.join(f'{mm:.1f}' for mm in place[0].position)}) mm" for place in others[:3])
    named = naming(place[0].name for place in others)
    return f"{len(others)} of {len(places)} slices have not {usual} images as the others, but {at}: {named}"


def several_series(places: Sequence[Sequence[str]]) -> str:
    """What is wrong where the images of a place, by their SeriesInstanceUIDs, came in several series; "" where none did.

    A slice that was acquired twice has other times each time: put in one order, the two would be one heart that beats twice.
    """
    repeated = [place for place in places if len(set(place)) > 1]
    if not repeated:
        return ""
    named = naming(sorted(set(repeated[0])))
    return f"{len(repeated)} of {len(places)} slices came in several series, for example {named}: which of them counts nobody says"


def _of_series(volume: Volume, series_instance_uid: str) -> Volume:
    return replace(volume, series_instance_uid=series_instance_uid or volume.series_instance_uid)


def _one_grid(volumes: Sequence[Volume]) -> None:
    """Refuse phases that lie otherwise than the first."""
    first = volumes[0]
    for number, volume in enumerate(volumes[1:], start=2):
        if volume.voxels.shape != first.voxels.shape:
            sides, others = (" × ".join(map(str, one.voxels.shape[::-1])) for one in (volume, first))
            raise PhasesApart(f"phase {number} of {len(volumes)} has {sides} voxels, the first {others}")
    corners = np.array([[0, 0, 0], np.array(first.voxels.shape) - 1], dtype=np.float64)
    for number, volume in enumerate(volumes[1:], start=2):
        off = np.abs(first.to_indices(volume.to_patient(corners)) - corners).max()
        if off > _SAME_PLACE_VOXELS:
            raise PhasesApart(f"phase {number} of {len(volumes)} lies {off:.2g} voxels from where the first lies")
