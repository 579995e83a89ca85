"""The files of a job become what its application analyses: the one way from files to subjects, with the headers that results speak of."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydicom.dataset import FileDataset

from inference.errors import InputError
from inference.imaging.assemble import imaging, placed, volume_from, volume_of
from inference.imaging.dimensions import Part, split
from inference.imaging.errors import NotACine, NotAPair, TooLarge, UnfitPrior, naming
from inference.imaging.frame_values import MOST_BYTES
from inference.imaging.header import Instance, read_instance
from inference.imaging.moving import cine_at, loops_at_places
from inference.imaging.single import bounded_together, cine_from, images_from, loops_among, over_time
from inference.imaging.slices import Slice
from inference.imaging.subject import Pair, Subject, Takes
from inference.stages import ASSEMBLE, stage

Parts: TypeAlias = Literal["refuse", "each"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assembled:
    """A subject, and where it comes from.

    Attributes
    ----------
    headers
        Of the instances that it was made of, a prior's too, each once, without pixels, in no order of meaning.
    part
        For people: which part of a series that was split ("b 1000 s/mm2"); "" where it is all of it.
    remarks
        Sentences that a reader of the results must see.
    """

    subject: Subject
    headers: tuple[FileDataset, ...]
    part: str = ""
    remarks: tuple[str, ...] = ()


def subjects(
    takes: Takes, parts: Parts, files: Sequence[Path], series_instance_uid: str = "", of_prior: Collection[Path] = (), *, threads: int = 2
) -> list[Assembled]:
    """Read the files of a job as its application wants them.

    Parameters
    ----------
    takes, parts
        `Accepts.takes` and `Accepts.parts` of the application.
    files
        Part 10 files: of one series; for a pair, of it and of its prior; for images, of all series whose views belong together.
    series_instance_uid
        The series that the job is for. Of a pair it is the current one.
    of_prior
        Of a pair: those of `files` that are known to be the prior's, which is what is unfit where they cannot be read.
    threads
        How many images are read or decoded at a time.

    Returns
    -------
    list of Assembled
        One; more where `parts` is "each" and the series holds several volumes of one place, in the order of what tells them apart.

    Raises
    ------
    InputError
        One of `inference.imaging.errors`.
    """
    with stage(ASSEMBLE):
        if takes is Takes.PAIR:
            return _pair(files, of_prior, series_instance_uid, threads)
        return _READERS[takes]([read_instance(path) for path in files], parts, series_instance_uid, threads)


def _volumes(instances: Sequence[Instance], parts: Parts, series_instance_uid: str, threads: int) -> list[Assembled]:
    images = imaging(instances)
    remarks = _left_out(instances, images)
    found = split(placed(images)) if parts == "each" else None
    if found is None or not found.parts:
        return [Assembled(subject=volume_from(images, threads=threads), headers=_headers(images), remarks=remarks)]
    _bounded(found.parts)
    return [
        Assembled(
            subject=volume_of(part.slices, threads=threads),
            headers=_headers(list({each.instance.sop_instance_uid: each.instance for each in part.slices}.values())),
            part=part.label,
            remarks=remarks,
        )
        for part in found.parts
    ]


def _left_out(instances: Sequence[Instance], images: Sequence[Instance]) -> tuple[str, ...]:
    left = len(instances) - len(images)
    return (f"{left} of {len(instances)} instances are localizers and were not looked at.",) if left else ()


def _bounded(parts: Sequence[Part]) -> None:
    voxels = sum(each.plane.rows * each.plane.columns for part in parts for each in part.slices)
    if voxels * 2 > MOST_BYTES:
        raise TooLarge(f"{len(parts)} volumes of {len(parts[0].slices)} slices: {voxels / 1e6:.0f} million voxels")


def _pair(files: Sequence[Path], of_prior: Collection[Path], series_instance_uid: str, threads: int) -> list[Assembled]:
    known = set(of_prior)
    instances = [read_instance(path) for path in files if path not in known]
    unread: InputError | None = None
    try:
        instances += [read_instance(path) for path in files if path in known]
    except InputError as error:
        unread = error  # today's series is looked at first: what is wrong with it is for a person
    of_series: dict[str, list[Instance]] = {}
    for instance in instances:
        of_series.setdefault(instance.series_instance_uid, []).append(instance)
    if series_instance_uid not in of_series or (unread is None and len(of_series) != 2):
        raise NotAPair(f"{len(of_series)} series, where series {series_instance_uid} and one prior were expected")
    current = imaging(of_series.pop(series_instance_uid))
    volume = volume_from(current, threads=threads)
    try:
        if unread is not None:
            raise unread
        prior = imaging(of_series.popitem()[1])
        pair = Pair(current=volume, prior=volume_from(prior, threads=threads))
    except InputError as error:
        raise UnfitPrior(f"the prior: {error}") from error
    return [Assembled(subject=pair, headers=_headers([*current, *prior]), remarks=_left_out(instances, [*current, *prior]))]


def _images(instances: Sequence[Instance], parts: Parts, series_instance_uid: str, threads: int) -> list[Assembled]:
    images, used, remarks = images_from(instances, series_instance_uid, threads=threads)
    return [Assembled(subject=images, headers=_headers(used), remarks=tuple(remarks))]


def _cines(instances: Sequence[Instance], parts: Parts, series_instance_uid: str, threads: int) -> list[Assembled]:
    loops = [each for each in instances if over_time(each)]
    if not loops and (places := loops_at_places(instances)):
        return _moving(places, parts, threads)
    loops = loops_among(instances)
    if len(loops) > 1 and parts == "refuse":
        raise NotACine(f"{len(loops)} loops in one series: {naming(loop.sop_instance_uid for loop in loops)}")
    bounded_together(loops)
    made = []
    for number, loop in enumerate(loops, start=1):
        cine, remarks = cine_from(loop, threads=threads)
        if len(loops) < len(instances):
            remarks.append(f"{len(instances) - len(loops)} of {len(instances)} instances are single images and were not looked at.")
        part = f"loop {number} of {len(loops)}" if len(loops) > 1 else ""
        made.append(Assembled(subject=cine, headers=_headers([loop]), part=part, remarks=tuple(remarks)))
    return made


def _moving(places: Sequence[Sequence[Slice]], parts: Parts, threads: int) -> list[Assembled]:
    """A cine for each place of a series of single images."""
    if len(places) > 1 and parts == "refuse":
        raise NotACine(f"{len(places)} slices, each a loop of {len(places[0])} images, for example {places[0][0].plane.name}")
    return [
        Assembled(
            subject=cine_at(images, threads=threads),
            headers=_headers(list({each.instance.sop_instance_uid: each.instance for each in images}.values())),
            part=f"slice {number} of {len(places)}" if len(places) > 1 else "",
        )
        for number, images in enumerate(places, start=1)
    ]


def _headers(instances: Sequence[Instance]) -> tuple[FileDataset, ...]:
    return tuple(instance.header for instance in instances)


_READERS: Mapping[Takes, Callable[[Sequence[Instance], Parts, str, int], list[Assembled]]] = {
    Takes.VOLUME: _volumes,
    Takes.IMAGES: _images,
    Takes.CINE: _cines,
}
