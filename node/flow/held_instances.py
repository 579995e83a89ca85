"""Held instances wait for a person: which are held (the identity check), what that person decides, and what a report says that was
made without them.

A sender is the peer that its association was let in as, else the one with its calling AE title and network address. Held is what is added
or rewritten, never what the first sender sent: its series goes on. The check looks at what is known, and asks no journal and no file.
"""

import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from inference.translatable import Translatable, say
from node.domain.instance import Header, HeldFor, Instance, Sender, ae_at_host
from node.domain.patient import Patient, mark_of, patient_of
from node.domain.places import plain
from node.domain.stage import Clock
from node.journal.held_instances import HeldInstances
from node.journal.port import AcceptedInstance, SeriesKnown
from node.settings.config import Config
from node.settings.peers import May, Peer, Scope, Settle


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
        and part.sender in (None, ae_at_host(one.calling_ae, one.address))
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


class Senders:
    """The peers of one configuration, looked up by how they call."""

    def __init__(self, config: Config) -> None:
        self._by_title: dict[str, list[Peer]] = {}
        for peer in config.peers.values():
            self._by_title.setdefault(peer.ae_title, []).append(peer)

    def peer(self, calling_ae: str, address: str, admitted_as: str = "") -> Peer | None:
        """The peer with this AE title at this address; None for a stranger.

        Several may share both and be told apart by certificate or user, so the name under which admission let it in goes first. It may be
        none any more: the configuration has changed since.
        `address` is as the receiver writes it, an address with or without scheme and port. A peer whose host name cannot be
        resolved now goes by its title alone: admission has checked its address before.
        """
        titled = self._by_title.get(calling_ae, ())
        if admitted_as and (named := next((peer for peer in titled if peer.name == admitted_as), None)):
            return named
        host = host_of(address)
        return next((peer for peer in titled if _same(peer.host, host)), None)


def host_of(address: str) -> str:
    """An address as the receiver writes it, without scheme and port."""
    bare = address.partition("://")[2] or address
    if bare.startswith("["):
        return bare[1:].partition("]")[0]
    return bare.partition(":")[0] if bare.count(":") == 1 else bare


def _same(configured: str, host: str) -> bool:
    if not host:
        return True
    known = _addresses(configured)
    if known and plain(host) not in known:
        _addresses.cache_clear()  # admission, which asks every time, let it in: the name has moved
        known = _addresses(configured)
    return not known or plain(host) in known


@lru_cache(maxsize=1024)
def _addresses(host: str) -> frozenset[str]:
    try:
        return frozenset(plain(str(found[4][0])) for found in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()


class SenderTrust:
    """Which senders may add to, and rewrite, what another one sent first.

    Parameters
    ----------
    peers
        Those of the configuration, by name.
    """

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers

    def may_change(self, first: Sender, later: Sender) -> bool:
        """Whether `later` is the same sender as `first`, or may do as it may.

        Peers are known by their names. Who is no peer of the configuration, a stranger or one that it no longer has, is known by AE title
        and host.
        """
        one, other = (self._peers.get(sender.peer or "") for sender in (first, later))
        if other is not None and (May.CORRECT in other.may or other is one):
            return True
        if one is not None:
            return other is not None and bool(one.archive) and one.archive == other.archive
        return (first.calling_ae, host_of(first.address)) == (later.calling_ae, host_of(later.address))


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingInstance:
    """Who sent an instance, and whom it names; `mark` is `node.domain.patient.mark_of` both its patient and its study."""

    sender: Sender
    mark: str
    patient: Patient | None


def incoming_instance(sender: Sender, study_instance_uid: str, header: Header) -> IncomingInstance:
    """An instance as its header has it."""
    patient = patient_of(header)
    return IncomingInstance(sender=sender, mark=mark_of(study_instance_uid, patient), patient=patient)


def held_when_added(one: IncomingInstance, trust: SenderTrust, series: SeriesKnown | None, study: Collection[Patient]) -> HeldFor | None:
    """Why an instance whose UID nobody has used is held; None: it joins its series, or begins one.

    Parameters
    ----------
    series
        What is known of its Series Instance UID; None: nothing.
    study
        The patients of its study; asked only of a series that is new: a series' own instances say whose it is.
    """
    if series is None:
        named = [patient for patient in study if one.patient is not None and patient.contradicts(one.patient)]
        return HeldFor.IDENTITY if named and len(named) == len(study) else None
    if series.marks and one.mark not in series.marks:
        return HeldFor.IDENTITY
    return None if trust.may_change(series.first, one.sender) else HeldFor.ADDED


def held_when_rewritten(
    one: IncomingInstance, trust: SenderTrust, was_in: SeriesKnown | None, now_in: SeriesKnown | None, *, moves: bool
) -> HeldFor | None:
    """Why other bytes under a known SOP Instance UID are held; None: they are a correction, of identity too.

    Parameters
    ----------
    was_in, now_in
        What is known of the series that the instance was in, and of the one that it names now.
    moves
        Whether these are two.
    """
    if was_in is not None and not trust.may_change(was_in.first, one.sender):
        return HeldFor.REWRITTEN
    return held_when_added(one, trust, now_in, ()) if moves and now_in is not None else None
