"""Builds subjects from the files of a job: the one way from files to what is analysed, with the headers that results speak of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pydicom.dataset import FileDataset

from inference.errors import InputError
from inference.imaging import tags
from inference.imaging.assemble import imaging, kinds_of, placed, read_images, volume_from, volume_of
from inference.imaging.cine_loops import cine_at, loops_at_places
from inference.imaging.diffusion import b_value_of
from inference.imaging.dimensions import Part, Split, split
from inference.imaging.errors import NotACine, NotAPair, NotOneUnweighted, RoleUnfilled, TooLarge, UnfitPrior, naming
from inference.imaging.frame_values import MOST_BYTES
from inference.imaging.header import Instance, ReadAhead, SetAside
from inference.imaging.identity import Identity, identities, one_identity, refuse_unusable_uids, same_patient
from inference.imaging.phases import phases_from
from inference.imaging.roles import PAIR_PLACES, RolePlace, motion_onto
from inference.imaging.single_images import bounded_together, cine_from, images_from, loops_among, over_time
from inference.imaging.slices import Slice, frame_data
from inference.imaging.subject import Parts, Subject, Takes, VolumeSet
from inference.imaging.volume import Affine, Volume
from inference.stages import ASSEMBLE, stage
from inference.translatable import Translatable, say


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assembled:
    """A subject, and where it comes from.

    Attributes
    ----------
    headers
        Of the instances that it was made of, in whatever role, each once, without pixels, in no order of meaning.
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
    given: Mapping[Path, str] = MappingProxyType({}),
    *,
    roles: Sequence[RolePlace] = PAIR_PLACES,
    threads: int = 2,
    ahead: ReadAhead | None = None,
) -> list[Assembled]:
    """Read the files of a job as its application wants them.

    Parameters
    ----------
    takes, parts
        `Accepts.takes` and `Accepts.parts` of the application.
    files
        Part 10 files: of one series; for volumes in roles, of all of them; for images and phases, of all series whose views, or slices,
        belong together.
    series_instance_uid
        The series that the job is for: of several volumes the reference.
    given
        The role of each file, of several volumes. A file without one is the reference's, where its series is; else it is of the only
        other role that must be filled.
    roles
        Those of the application, the reference first.
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
        if takes in (Takes.PAIR, Takes.VOLUMES):
            return [_in_roles(takes, files, given, roles, series_instance_uid, threads, ahead)]
        images, others = read_images(files, ahead)
        _named(takes, images)
        made = _READERS[takes](images, parts, series_instance_uid, threads)
        aside = _set_aside(others, len(files))
        return [replace(each, remarks=(*aside, *each.remarks)) for each in made]


def _named(takes: Takes, images: Sequence[Instance]) -> None:
    refuse_unusable_uids(_headers(images), placed=takes.of_slices)


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
    return _localizers(len(instances) - len(images), len(instances))


def _localizers(left: int, of: int) -> tuple[Translatable, ...]:
    if not left:
        return ()
    return (say("{number} of {of} instances are localizers and were not looked at.", number=str(left), of=str(of)),)


def _bounded(parts: Sequence[Part]) -> None:
    voxels = sum(each.plane.rows * each.plane.columns for part in parts for each in part.slices)
    if voxels * 2 > MOST_BYTES:
        raise TooLarge(f"{len(parts)} volumes of {len(parts[0].slices)} slices: {voxels / 1e6:.0f} million voxels")


class _InRoles:
    """Reads the volumes of a set, one role after the other, and keeps what there is to say of them."""

    def __init__(self, files: Sequence[Path], given: Mapping[Path, str], ahead: ReadAhead | None, threads: int) -> None:
        self._files = files
        self._given = given
        self._ahead = ahead
        self._threads = threads
        self._loose: dict[str, list[Instance]] = {}
        self._others: list[SetAside] = []
        self._images: dict[str, list[Instance]] = {}
        self._left: dict[str, int] = {}
        self._whose: dict[str, list[tuple[str, Identity]]] = {}
        self.remarks: list[Translatable] = []

    def sort(self, roles: Sequence[RolePlace], series_instance_uid: str) -> None:
        """Give the files that came without a role theirs: the reference's series first, what is left to the one role that needs it."""
        loose = [path for path in self._files if path not in self._given]
        if not loose:
            return
        of_series: dict[str, list[Instance]] = {}
        for instance in self._read(loose):
            of_series.setdefault(instance.series_instance_uid, []).append(instance)
        needed = [place.name for place in roles[1:] if not place.optional and place.name not in self._given.values()]
        if series_instance_uid not in of_series or len(of_series) != 1 + len(needed) or len(needed) > 1:
            wanted = f"series {series_instance_uid} and {len(needed)} more" if needed else f"series {series_instance_uid} alone"
            raise NotAPair(f"{len(of_series)} series, where {wanted} {'were' if needed else 'was'} expected")
        self._loose[roles[0].name] = of_series.pop(series_instance_uid)
        for name in needed:
            self._loose[name] = of_series.popitem()[1]

    def filled(self, role: str) -> bool:
        """Whether there are files in a role."""
        return role in self._loose or role in self._given.values()

    def volume(self, place: RolePlace, reference: RolePlace) -> Volume:
        """The volume of a role: of one patient, with the reference's, and of its study unless it is a prior."""
        instances = self._loose.get(place.name)
        if instances is None:
            instances = self._read([path for path in self._files if self._given.get(path) == place.name])
        series = {one.series_instance_uid for one in instances}
        if len(series) > 1:
            raise NotAPair(f"{len(series)} series in the role {place.name}, where one was expected")
        images = imaging(instances)
        _named(Takes.VOLUME, images)
        whose = identities(images)
        said = [*one_identity(whose)]
        if place is not reference:
            mine = self._whose[reference.name]
            said += same_patient(mine, whose) if place.prior_of else one_identity([*mine[:1], *whose[:1]])
        volume = volume_from(images, threads=self._threads)
        self._whose[place.name], self._images[place.name] = whose, images
        self._left[place.name] = len(instances) - len(images)
        self.remarks += said
        return volume

    def _read(self, paths: Sequence[Path]) -> list[Instance]:
        instances, others = read_images(paths, self._ahead)
        self._others += others
        return instances

    def headers_of(self, roles: Iterable[str]) -> tuple[FileDataset, ...]:
        """Those of the images of these roles."""
        return tuple(header for role in roles for header in _headers(self._images[role]))

    def said(self, subject: VolumeSet) -> tuple[Translatable, ...]:
        """What a reader has to know of how these volumes were read."""
        images = sum(len(self._images[role]) for role in subject.volumes)
        left = sum(self._left[role] for role in subject.volumes)
        return (*_set_aside(self._others, len(self._files)), *_localizers(left, images + left), *self.remarks)

    def number_of(self, role: str) -> str:
        """What people call the series of a role by: its number, else its UID."""
        first = self._images[role][0]
        return tags.text(first.header, tags.SERIES_NUMBER) or first.series_instance_uid


def _in_roles(
    takes: Takes,
    files: Sequence[Path],
    given: Mapping[Path, str],
    roles: Sequence[RolePlace],
    series_instance_uid: str,
    threads: int,
    ahead: ReadAhead | None,
) -> Assembled:
    """Several volumes of one patient: the reference first, which decides whether there is anything to analyse."""
    reading = _InRoles(files, given, ahead, threads)
    reading.sort(roles, series_instance_uid)
    first, *others = roles
    if lacking := [one.name for one in roles if not one.optional and not reading.filled(one.name)]:
        raise RoleUnfilled(f"there is no series for {naming(lacking)}")
    reference = reading.volume(first, first)
    volumes: dict[str, Volume] = {first.name: reference}
    motions: dict[str, Affine] = {}
    for place in (one for one in others if reading.filled(one.name)):
        try:
            volume = reading.volume(place, first)
            if place.motion is not None or not place.own_grid:
                motions[place.name], said = motion_onto(reference, volume, place)
                reading.remarks += said
            volumes[place.name] = volume
        except InputError as unfit:
            if not place.optional:
                raise (UnfitPrior(f"the {place.name}: {unfit}") if place.prior_of else unfit) from unfit
            reading.remarks.append(left_out(place.name, unfit))
    subject = VolumeSet(
        volumes=volumes,
        priors=tuple(place.name for place in others if place.prior_of and place.name in volumes),
        motions=motions,
        own_grids=tuple(place.name for place in others if place.own_grid and place.name in motions),
    )
    remarks = reading.said(subject)
    if takes is Takes.VOLUMES:  # of a pair everybody knows
        filled = ", ".join(f"{role} {reading.number_of(role)}" for role in volumes)
        absent = ", ".join(one.name for one in roles if not reading.filled(one.name))
        remarks = (say("Analysed together, each role with the number of its series: {filled}.", filled=filled), *remarks)
        remarks += (say("Analysed without {roles}: there was no such series.", roles=absent),) if absent else ()
    return Assembled(subject=subject, headers=reading.headers_of(volumes), remarks=remarks)


def left_out(role: str, unfit: InputError) -> Translatable:
    """What a reader has to know of an optional role whose series was not taken."""
    return say("{role} was left out: {why} [{code}]", role=role, why=str(unfit), code=unfit.code)


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


def _phases(instances: Sequence[Instance], parts: Parts, series_instance_uid: str, threads: int) -> list[Assembled]:
    said = one_identity(identities(instances))
    phases, used, remarks = phases_from(instances, series_instance_uid, threads=threads)
    localizers = sum("LOCALIZER" in one.image_type for one in instances)
    remarks = (*_localizers(localizers, len(instances)), *said, *remarks)
    if phases.timing.attribute:
        told = {"number": str(len(phases)), "first": phases.moment(0), "last": phases.moment(len(phases) - 1)}
        remarks = (say("Analysed over time: {number} phases from {first} to {last}.", **told), *remarks)
    return [Assembled(subject=phases, headers=_headers(used), remarks=remarks)]


def _headers(instances: Sequence[Instance]) -> tuple[FileDataset, ...]:
    return tuple(instance.header for instance in instances)


_READERS: Mapping[Takes, Callable[[Sequence[Instance], Parts, str, int], list[Assembled]]] = {
    Takes.VOLUME: _volumes,
    Takes.IMAGES: _images,
    Takes.CINE: _cines,
    Takes.PHASES: _phases,
}
