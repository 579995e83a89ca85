"""Held instances wait for a person: what that person decides, and what a report says that was made without them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from inference.translatable import Translatable, say
from node.domain.instance import HeldFor, Instance
from node.domain.stage import Clock
from node.journal.held_instances import HeldInstances
from node.journal.port import AcceptedInstance
from node.settings.peers import Peer, Scope, Settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What of a study's held instances is decided about; what is None is not asked. `sender` is "calling AE title@address"."""

    series_instance_uid: str | None = None
    sender: str | None = None
    held_for: HeldFor | None = None


def held_of(waiting: HeldInstances, study: str, part: Part) -> list[Instance]:
    """The instances that are held of a part of a study, the oldest first."""
    return [
        one
        for one in waiting.find(study=study)
        if part.series_instance_uid in (None, one.series_instance_uid)
        and part.sender in (None, f"{one.calling_ae}@{one.address}")
        and part.held_for in (None, one.held_for)
    ]


def accept(waiting: HeldInstances, held: Iterable[Instance], peers: Mapping[str, Peer], clock: Clock, *, by: str) -> int:
    """Let instances count that are held, and have their studies analysed anew; how many do. `by` says for people who decided it."""
    now = clock()
    accepted = [AcceptedInstance(instance=one.id, scope_series=_by_series(peers, one), due_at=now) for one in held]
    return len(waiting.accept(accepted, now, by=by))


def refuse(waiting: HeldInstances, held: Iterable[Instance], clock: Clock, *, by: str) -> int:
    """Never use what is held; how many instances were. `by` as in `accept`."""
    return len(waiting.refuse([one.id for one in held], clock(), by=by))


def said_of_held(waiting: HeldInstances, study: str, series: Collection[str]) -> tuple[Translatable, ...]:
    """A sentence for every sender of whom instances of these series are held now: a report of the series was made without them."""
    counted: dict[str, int] = {}
    for one in waiting.find(study=study):
        if one.series_instance_uid in series:
            sender = one.peer or one.calling_ae
            counted[sender] = counted.get(sender, 0) + 1
    return tuple(_says(sender, count) for sender, count in counted.items())


def _says(sender: str, count: int) -> Translatable:
    if count == 1:
        return say("1 instance of this series that came from {sender} is held and was not analysed.", sender=sender)
    return say("{count} instances of this series that came from {sender} are held and were not analysed.", count=str(count), sender=sender)


def _by_series(peers: Mapping[str, Peer], one: Instance) -> bool:
    peer = peers.get(one.peer or "")
    return (Settle() if peer is None else peer.settle).scope is Scope.SERIES
