"""The series of an arrival or a study: the instances of each that count now, and why no application can be given one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from node.domain.arrival import Arrival
from node.domain.instance import Instance, Standing
from node.flow.errors import ConflictingInstances, PixelsGone
from node.flow.header import merge
from node.flow.routing import SeriesView
from node.journal.port import Journal

_NAMED = 3  # instances named in a reason


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """

    series_instance_uid: str
    current: tuple[Instance, ...]
    gone: tuple[Instance, ...]
    conflicts: tuple[Instance, ...]

    @property
    def view(self) -> SeriesView:
        """The series as routes see it; pixels that are gone change nothing about what was received."""
        members = self.current + self.gone
        header = merge([member.header for member in members])
        return SeriesView(series_instance_uid=self.series_instance_uid, header=header, instances=len(members))

    @property
    def input_digest(self) -> str:
        """`digest_of` this series alone."""
        return digest_of([self])

    def unfit(self) -> tuple[str, str] | None:
        """(code, reason) when no application can be given this series."""
        if self.conflicts:
            named = _named(self.conflicts)
            return ConflictingInstances.code, f"two different images came under one SOP Instance UID: {named}"
        if self.gone:
            return PixelsGone.code, f"the pixels of {len(self.gone)} instances were deleted by retention: {_named(self.gone)}"
        return None


def digest_of(series: Sequence[SeriesContent]) -> str:
    """SHA-256 over the sorted (SOP Instance UID, digest) pairs of all of them; the same before and after retention deleted pixels."""
    lines = sorted(f"{member.sop_instance_uid} {member.digest}\n" for one in series for member in one.current + one.gone)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def contents(instances: Sequence[Instance]) -> list[SeriesContent]:
    """The series of an arrival, in the order of their UIDs; instances that were replaced do not count."""
    by_series: dict[str, list[Instance]] = {}
    for instance in instances:
        by_series.setdefault(instance.series_instance_uid, []).append(instance)
    return [_content(series, members) for series, members in sorted(by_series.items())]


def series_of(journal: Journal, arrival: Arrival, manifest: Sequence[Instance]) -> list[SeriesContent]:
    """The series of an arrival's manifest as they stand now: with what other peers sent of them, and what has replaced an instance since.

    An arrival tells when to look; what is there to be analysed is the same for every sender. Otherwise an archive that forwards what the
    scanner sends too, with its own headers or in part, would have jobs run on a part of a series.
    """
    came = {instance.series_instance_uid for instance in manifest}
    return [content for content in contents(journal.study_instances(arrival.study_instance_uid)) if content.series_instance_uid in came]


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
