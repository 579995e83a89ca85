"""The series of an arrival or a study are the instances of each that count now; and why no application can be given one."""

import hashlib
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from inference.errors import InputError
from node.dicom.header import names_no_study
from node.domain.arrival import Arrival
from node.domain.errors import PixelsGone, SourcesNameless
from node.domain.instance import Instance, Standing
from node.routing.decisions import SeriesView, holds_slices, is_image, seen
from node.routing.port import SeriesReader

_NAMED = 3  # instances named in a reason


class ConflictingInstances(InputError):
    """The series holds two different images under one SOP Instance UID."""

    code = "HLM-3080"
    remedy = "Find out at the sender which of the two is right, send the corrected series under new UIDs, and cancel this job."


@dataclass(frozen=True, kw_only=True)
class SeriesContent:
    """The instances of one series in an arrival.

    Attributes
    ----------
    current
        Those that jobs use: one for each SOP Instance UID.
    gone
        Those of which only the header is left.
    conflicts
        Those that came under another one's UID.
    held
        How many more are held for a person: what is there may not be all of it.
    """

    series_instance_uid: str
    current: tuple[Instance, ...]
    gone: tuple[Instance, ...]
    conflicts: tuple[Instance, ...]
    held: int = 0

    @cached_property
    def view(self) -> SeriesView:
        """The series as routes see it; pixels that are gone change nothing about what was received."""
        members = self.current + self.gone
        return seen(self.series_instance_uid, [(member.sop_class_uid, member.header) for member in members])

    @property
    def input_digest(self) -> str:
        """`digest_of` this series alone."""
        return digest_of([self])

    @property
    def counted(self) -> bool:
        """Whether what is there of it is all of it, as far as it is known."""
        return self.unfit is None and not self.held

    def images_of(self, members: Sequence[Instance]) -> tuple[Instance, ...]:
        """Those that are images, and among slices no captures of a screen."""
        if not members:
            return ()
        of_slices = holds_slices((one.sop_class_uid, one.header) for one in (*self.current, *self.gone, *self.conflicts))
        return tuple(one for one in members if is_image(one.sop_class_uid, one.header, of_slices=of_slices))

    @cached_property
    def unfit(self) -> tuple[str, str] | None:
        """(code, reason) when no application can be given this series."""
        first = self.current[0] if self.current else None
        if first and names_no_study(first.study_instance_uid, first.series_instance_uid, first.sop_instance_uid, first.header):
            return SourcesNameless.code, "its images name no study, or no series: a result would have no place in the archive"
        if conflicts := self.images_of(self.conflicts):
            named = _named(conflicts)
            return ConflictingInstances.code, f"two different images came under one SOP Instance UID: {named}"
        if gone := self.images_of(self.gone):
            return PixelsGone.code, f"the pixels of {len(gone)} instances were deleted by retention: {_named(gone)}"
        return None


def digest_of(series: Sequence[SeriesContent], roles: Mapping[str, str] = MappingProxyType({})) -> str:
    """SHA-256 over the sorted (SOP Instance UID, digest) pairs of all their images; the same before and after retention deleted pixels.

    `roles` are those of series, by their UIDs: the same images in other roles are other inputs. What is set aside changes nothing: raw
    data, or a capture among slices, that come late are no reason to analyse the images again.
    """
    lines = sorted(
        f"{member.sop_instance_uid} {member.digest}{f' {role}' if (role := roles.get(one.series_instance_uid)) else ''}\n"
        for one in series
        for member in one.images_of(one.current + one.gone)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def contents(instances: Sequence[Instance]) -> list[SeriesContent]:
    """The series of an arrival, in the order of their UIDs; instances that were replaced do not count."""
    by_series: dict[str, list[Instance]] = {}
    for instance in instances:
        by_series.setdefault(instance.series_instance_uid, []).append(instance)
    return [_content(series, members) for series, members in sorted(by_series.items())]


def as_known(found: Sequence[SeriesContent], known: Sequence[SeriesContent]) -> list[SeriesContent]:
    """The series that were found; in place of one of the very same instances the known one, whose view is made already."""
    by_uid = {one.series_instance_uid: one for one in known}
    return [same if (same := by_uid.get(one.series_instance_uid)) is not None and _of_the_same(one, same) else one for one in found]


def _of_the_same(one: SeriesContent, other: SeriesContent) -> bool:
    of, as_ = (*one.current, *one.gone, *one.conflicts, one.held), (*other.current, *other.gone, *other.conflicts, other.held)
    return len(of) == len(as_) and all(map(operator.is_, of, as_))


def series_of(journal: SeriesReader, arrival: Arrival, manifest: Sequence[Instance]) -> list[SeriesContent]:
    """The series of an arrival's manifest as they stand now: with what other peers sent of them, and what has replaced an instance since.

    An arrival tells when to look; what is there to be analysed is the same for every sender. Otherwise an archive that forwards what the
    scanner sends too, with its own headers or in part, would have jobs run on a part of a series.
    """
    came = {instance.series_instance_uid for instance in manifest}
    found = [one for one in contents(journal.instances.of_study(arrival.study_instance_uid)) if one.series_instance_uid in came]
    held = Counter(one.series_instance_uid for one in journal.held.find(study=arrival.study_instance_uid))
    return [replace(one, held=held[one.series_instance_uid]) for one in found]


def _content(series: str, members: Sequence[Instance]) -> SeriesContent:
    current = {member.sop_instance_uid: member for member in members if member.standing is Standing.CURRENT}
    # a purged row may be one that a current one replaced before; of several purged ones the newest counts
    gone = {
        member.sop_instance_uid: member
        for member in members
        if member.standing is Standing.PURGED and member.sop_instance_uid not in current
    }
    conflicts = tuple(member for member in members if member.standing is Standing.CONFLICT)
    return SeriesContent(series_instance_uid=series, current=tuple(current.values()), gone=tuple(gone.values()), conflicts=conflicts)


def _named(instances: Sequence[Instance]) -> str:
    names = ", ".join(instance.sop_instance_uid for instance in instances[:_NAMED])
    return names if len(instances) <= _NAMED else f"{names} and {len(instances) - _NAMED} more"
