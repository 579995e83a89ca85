"""Builds subjects from the files of a job: the one way from files to what is analysed, with the headers that results speak of."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import FileDataset

from inference.errors import InputError
from inference.imaging.assemble import imaging, kinds_of, placed, read_images, volume_from, volume_of
from inference.imaging.cine_loops import cine_at, loops_at_places
from inference.imaging.diffusion import b_value_of
from inference.imaging.dimensions import Part, Split, split
from inference.imaging.errors import NotACine, NotAPair, NotOneUnweighted, TooLarge, UnfitPrior, naming
from inference.imaging.frame_values import MOST_BYTES
from inference.imaging.header import Instance, ReadAhead, SetAside
from inference.imaging.identity import Identity, identities, one_identity, refuse_unusable_uids, same_patient
from inference.imaging.single_images import bounded_together, cine_from, images_from, loops_among, over_time
from inference.imaging.slices import Slice, frame_data
from inference.imaging.subject import Pair, Parts, Subject, Takes
from inference.stages import ASSEMBLE, stage
from inference.translatable import Translatable, say


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
    remarks: tuple[Translatable, ...] = ()


def subjects(
    takes: Takes,
    parts: Parts,
    files: Sequence[Path],
    series_instance_uid: str = "",
    of_prior: Collection[Path] = (),
    *,
    threads: int = 2,
    ahead: ReadAhead | None = None,
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
    ahead
        What was read and decoded of the files before.

    Returns
    -------
    list of Assembled
        One; of several volumes of one place that without diffusion weighting where `parts` is "b0", all of them where it is "each", in
        the order of what tells them apart.

    Raises
    ------
    InputError
        One of `inference.imaging.errors`.
    """
    with stage(ASSEMBLE):
        if takes is Takes.PAIR:
            return _pair(files, of_prior, series_instance_uid, threads, ahead)
        images, others = read_images(files, ahead)
        _named(takes, images)
        made = _READERS[takes](images, parts, series_instance_uid, threads)
        aside = _set_aside(others, len(files))
        return [replace(each, remarks=(*aside, *each.remarks)) for each in made]


def _named(takes: Takes, images: Sequence[Instance]) -> None:
    refuse_unusable_uids(_headers(images), placed=takes in (Takes.VOLUME, Takes.PAIR))


def _set_aside(others: Sequence[SetAside], files: int) -> tuple[Translatable, ...]:
    of = str(files)
    captures, imageless = ([one for one in others if one.capture is kind] for kind in (True, False))
    said = []
    if len(imageless) == 1:
        said.append(say("1 of {of} instances is no image and was not looked at ({kinds}).", of=of, kinds=", ".join(kinds_of(imageless))))
    elif imageless:
        told = {"number": str(len(imageless)), "of": of, "kinds": ", ".join(kinds_of(imageless))}
        said.append(say("{number} of {of} instances are no images and were not looked at ({kinds}).", **told))
    if len(captures) == 1:
        said.append(say("1 of {of} instances is a screen capture, no slice, and was not looked at.", of=of))
    elif captures:
        number = str(len(captures))
        said.append(say("{number} of {of} instances are screen captures, no slices, and were not looked at.", number=number, of=of))
    return tuple(said)


def _volumes(instances: Sequence[Instance], parts: Parts, series_instance_uid: str, threads: int) -> list[Assembled]:
    images = imaging(instances)
    remarks = (*_left_out(instances, images), *one_identity(identities(images)))
    slices = placed(images) if parts != "refuse" else []
    found = split(slices) if slices else None
    if parts == "b0" and found is None:
        _unweighted(slices)
    if found is None or not found.parts:
        return [Assembled(subject=volume_from(images, threads=threads), headers=_headers(images), remarks=remarks)]
    if parts == "b0":
        remarks = (
            *remarks,
            say("Of {number} volumes the one without diffusion weighting (b 0) alone was looked at.", number=str(len(found.parts))),
        )
        found = _without_diffusion(found)
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


def _without_diffusion(found: Split) -> Split:
    """The one volume at b 0.

    Raises
    ------
    NotOneUnweighted
        There is none, or there are several.
    """
    at_zero = tuple(part for part in found.parts if part.b_value == 0)
    if len(at_zero) != 1:
        among = naming(part.label for part in found.parts)
        raise NotOneUnweighted(f"{len(at_zero)} volumes at b 0, one is needed, among {found.reason}: {among}")
    return replace(found, parts=at_zero)


def _unweighted(slices: Sequence[Slice]) -> None:
    """Refuse a single volume that says that it is weighted; one that says nothing is no diffusion series."""
    stated = {one[0] for frame in frame_data(slices) if (one := b_value_of(frame)) is not None}
    if stated - {0}:
        raise NotOneUnweighted(f"the series is one volume at b {', '.join(f'{value:g}' for value in sorted(stated))}, none at b 0")


def _left_out(instances: Sequence[Instance], images: Sequence[Instance]) -> tuple[Translatable, ...]:
    left = len(instances) - len(images)
    if not left:
        return ()
    return (say("{number} of {of} instances are localizers and were not looked at.", number=str(left), of=str(len(instances))),)


def _bounded(parts: Sequence[Part]) -> None:
    voxels = sum(each.plane.rows * each.plane.columns for part in parts for each in part.slices)
    if voxels * 2 > MOST_BYTES:
        raise TooLarge(f"{len(parts)} volumes of {len(parts[0].slices)} slices: {voxels / 1e6:.0f} million voxels")


def _pair(
    files: Sequence[Path], of_prior: Collection[Path], series_instance_uid: str, threads: int, ahead: ReadAhead | None
) -> list[Assembled]:
    known = set(of_prior)
    instances, others = read_images([path for path in files if path not in known], ahead)
    unread: InputError | None = None
    try:
        of_known, others_of_known = read_images([path for path in files if path in known], ahead)
        instances += of_known
        others += others_of_known
    except InputError as error:
        unread = error  # today's series is looked at first: what is wrong with it is for a person
    of_series: dict[str, list[Instance]] = {}
    for instance in instances:
        of_series.setdefault(instance.series_instance_uid, []).append(instance)
    if series_instance_uid not in of_series or (unread is None and len(of_series) != 2):
        raise NotAPair(f"{len(of_series)} series, where series {series_instance_uid} and one prior were expected")
    current = imaging(of_series.pop(series_instance_uid))
    _named(Takes.PAIR, current)
    whose = identities(current)
    remarks = one_identity(whose)
    volume = volume_from(current, threads=threads)
    try:
        if unread is not None:
            raise unread
        prior = imaging(of_series.popitem()[1])
        _named(Takes.PAIR, prior)
        remarks = (*remarks, *_of_one_patient(whose, prior))
        pair = Pair(current=volume, prior=volume_from(prior, threads=threads))
    except InputError as error:
        raise UnfitPrior(f"the prior: {error}") from error
    left = (*_set_aside(others, len(files)), *_left_out(instances, [*current, *prior]))
    return [Assembled(subject=pair, headers=_headers([*current, *prior]), remarks=(*left, *remarks))]


def _of_one_patient(whose: Sequence[tuple[str, Identity]], prior: Sequence[Instance]) -> tuple[Translatable, ...]:
    """What is to be said of a prior beside today's series: that each is of one patient, and both of the same, or it is refused."""
    theirs = identities(prior)
    return (*one_identity(theirs), *same_patient(whose, theirs))


def _images(instances: Sequence[Instance], parts: Parts, series_instance_uid: str, threads: int) -> list[Assembled]:
    images, used, remarks = images_from(instances, series_instance_uid, threads=threads)
    return [Assembled(subject=images, headers=_headers(used), remarks=(*remarks, *one_identity(identities(used))))]


def _cines(instances: Sequence[Instance], parts: Parts, series_instance_uid: str, threads: int) -> list[Assembled]:
    said = one_identity(identities(instances))
    loops = [each for each in instances if over_time(each)]
    if not loops and (places := loops_at_places(instances)):
        return _moving(places, parts, said, threads)
    loops = loops_among(instances)
    if len(loops) > 1 and parts == "refuse":
        raise NotACine(f"{len(loops)} loops in one series: {naming(loop.sop_instance_uid for loop in loops)}")
    bounded_together(loops)
    made = []
    for number, loop in enumerate(loops, start=1):
        cine, remarks = cine_from(loop, threads=threads)
        remarks = [*remarks, *said]
        if len(loops) < len(instances):
            single, of = str(len(instances) - len(loops)), str(len(instances))
            remarks.append(say("{number} of {of} instances are single images and were not looked at.", number=single, of=of))
        part = say("loop {number} of {of}", number=str(number), of=str(len(loops))) if len(loops) > 1 else ""
        made.append(Assembled(subject=cine, headers=_headers([loop]), part=part, remarks=tuple(remarks)))
    return made


def _moving(places: Sequence[Sequence[Slice]], parts: Parts, said: tuple[Translatable, ...], threads: int) -> list[Assembled]:
    """A cine for each place of a series of single images."""
    if len(places) > 1 and parts == "refuse":
        raise NotACine(f"{len(places)} slices, each a loop of {len(places[0])} images, for example {places[0][0].plane.name}")
    return [
        Assembled(
            subject=cine_at(images, threads=threads),
            headers=_headers(list({each.instance.sop_instance_uid: each.instance for each in images}.values())),
            part=say("slice {number} of {of}", number=str(number), of=str(len(places))) if len(places) > 1 else "",
            remarks=said,
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
