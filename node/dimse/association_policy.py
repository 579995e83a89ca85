"""Association policy: decides who may associate, by titles, addresses, certificates and users, how many at once and how often.

Half-open is a connection from its accept() until its A-ASSOCIATE-RQ has been read whole, the TLS handshake included. Each costs a thread,
so their number is bounded, and so that nobody can lock others out by standing there, a new one displaces an old one. No socket here.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from node.dimse import addresses
from node.dimse.addresses import AddressBook, Whose
from node.dimse.requestor_identity import APPLICATION_CONTEXT, USERNAME, USERNAME_AND_PASSCODE, Certificate, RequestorIdentity, UserIdentity
from node.dimse.shared_limits import Of, Seat, SharedLimits, TransferRate
from node.domain.places import address_group, plain
from node.observe import metrics
from node.observe.security import Refusals
from node.settings.config import Config
from node.settings.kinds import ae_title
from node.settings.peers import Limits, May, Peer
from node.settings.secrets import NotPrivate, PasscodeUnusable, is_user
from node.settings.tls import CertificateRule, User

SEATS: Final = 128
"""Half-open connections of one process: a handshake and an A-ASSOCIATE-RQ take milliseconds where the peer does not stall."""
GRACE_S: Final = 0.1
"""How long a connection stands before one of its own group, or of a group as large, displaces it."""
UNKNOWN_GRACE_S: Final = 1.0
"""The same for unknown groups: each that is displaced costs a thread, and a flood of them is to cost peers no time."""

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpenSeat(Generic[T]):
    """A seat was found; `displaced` is the connection that had it, which is to be closed."""

    displaced: T | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stands:
    group: str
    known: bool
    since: float


class HalfOpen(Generic[T]):
    """The half-open connections of one process, by group of addresses. Called from many threads at once.

    Parameters
    ----------
    reserved
        Seats that only known groups (addresses of peers and trusted proxies) may take.
    per_group
        Connections that one group may have; known ones are not bounded so.
    seats
        In all.
    """

    def __init__(self, *, reserved: int, per_group: int, seats: int = SEATS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seats = seats
        self._open_to_all = seats - reserved
        self._per_group = per_group
        self._clock = clock
        self._lock = threading.Lock()
        self._standing: dict[T, _Stands] = {}  # the oldest first
        self._leaving: set[T] = set()

    def enter(self, who: T, group: str, *, known: bool) -> HalfOpenSeat[T] | None:
        """A seat for a connection until `leave`; None: it is to be closed itself, since no other has to make room for it."""
        with self._lock:
            taken = self._seat(group, known=known)
            if taken is None:
                return None
            if taken.displaced is not None:
                del self._standing[taken.displaced]
                self._leaving.add(taken.displaced)
            self._standing[who] = _Stands(group=group, known=known, since=self._clock())
            return taken

    def reserve(self, seats: int) -> None:
        """Keep so many seats for known groups from now on."""
        with self._lock:
            self._open_to_all = self._seats - seats

    def leave(self, who: T) -> None:
        """It is an association now, has been one, or has ended without; or its thread has ended after it was displaced."""
        with self._lock:
            self._standing.pop(who, None)
            self._leaving.discard(who)

    def __len__(self) -> int:
        return len(self._standing)

    def _seat(self, group: str, *, known: bool) -> HalfOpenSeat[T] | None:
        others = [who for who, one in self._standing.items() if not one.known]
        if known:
            if len(self._standing) < self._seats:
                return HalfOpenSeat()
            return self._from(others or list(self._standing), group, at_once=bool(others))
        own = [who for who in others if self._standing[who].group == group]
        if len(own) >= self._per_group:
            return self._from(own, group)
        if len(others) >= self._open_to_all:
            return self._from(others, group)
        # the rest of the seats is taken by known ones, which do not make room for others
        return HalfOpenSeat() if len(self._standing) < self._seats else None

    def _from(self, candidates: list[T], group: str, *, at_once: bool = False) -> HalfOpenSeat[T] | None:
        """The oldest connection of the largest group among the candidates, if it has to go now."""
        if len(self._leaving) >= self._seats:
            return None  # threads of those that were displaced have not ended yet: they are bounded too
        sizes = Counter(self._standing[who].group for who in candidates)
        most = max(sizes.values())
        oldest = next(who for who in candidates if sizes[self._standing[who].group] == most)
        stands = self._standing[oldest]
        fairer = stands.known and most > sizes[group] + 1
        if at_once or fairer or self._clock() - stands.since >= (GRACE_S if stands.known else UNKNOWN_GRACE_S):
            return HalfOpenSeat(displaced=oldest)
        return None


_LINGERING = SEATS // 4
"""Connections that may wait for their peers to close them; beyond, the node closes them, as it does when ARTIM ends (PS3.8 9.1.4)."""


class AssociationRejection(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    CONTEXT = (1, 1, 2)  # permanent, service user, application context name not supported
    CALLED = (1, 1, 7)  # permanent, service user, called AE title not recognised
    CALLING = (1, 1, 3)  # permanent, service user, calling AE title not recognised
    IDENTITY = (1, 2, 1)  # permanent, service provider (ACSE), no reason given: PS3.7 D.3.3.7 has an unauthorised user told so
    CONGESTED = (2, 3, 1)  # transient, service provider (presentation), temporary congestion
    BUSY = (2, 3, 2)  # transient, service provider (presentation), local limit exceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An association that is not admitted. `why` is for the operator: the sender learns the rejection alone; `label` is for metrics."""

    rejection: AssociationRejection
    why: str
    label: str = metrics.STRANGER


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An association that is admitted, to be given back by `leave`. `peer` None is a stranger's.

    `confirms_user`: the sender asked to be told that its user was recognised, and it was: the A-ASSOCIATE-AC has a User Identity sub-item
    whose server response is empty (PS3.7 D.3.3.7.2). `pace`: what slows it down, where its peer has rates.
    """

    peer: Peer | None
    seat: Seat
    may: frozenset[May]
    limits: Limits
    confirms_user: bool = False
    rate: TransferRate | None = None

    @property
    def label(self) -> str:
        """What metrics call the sender: never by a title that anybody may make up."""
        return metrics.STRANGER if self.peer is None else self.peer.name


class _Known:
    """The peers of one configuration, and what follows from them: an association is admitted by one of these, never by two."""

    def __init__(self, config: Config) -> None:
        self.peers = tuple(config.peers.values())
        self.addresses = AddressBook(config)
        most = config.node.max_associations
        self.most_strangers = most - most // 2 if config.peers else most
        # where there is none for whom they could be kept, all seats are everybody's
        self.reserved = SEATS // 2 if config.peers or config.node.trusted_proxies else 0


class AssociationPolicy:
    """Decides on connections and associations, and counts those that stand. Called from many threads at once.

    `crowded` says why nothing can be taken in just now (the intake's watermarks), or None. `shared` counts over all receive processes;
    without it this process is the only one.
    """

    def __init__(self, config: Config, *, crowded: Callable[[], str | None] = lambda: None, shared: SharedLimits | None = None) -> None:
        self._crowded = crowded
        self._node = config.node
        self._known = _Known(config)
        self._shared = shared or SharedLimits.alone(config)
        self.half_open: HalfOpen[Hashable] = HalfOpen(reserved=self._known.reserved, per_group=config.node.connections_per_address)
        """The connections of this process that no association stands on yet."""
        self._lingering = 0
        self._counting = threading.Lock()
        self.refusals = Refusals()

    def adopt(self, config: Config) -> None:
        """Decide by these peers from now on; who was admitted keeps what it was admitted with."""
        self._known = _Known(config)
        self.half_open.reserve(self._known.reserved)

    def whose(self, address: str) -> Whose:
        """Whose an address is; connections of unknown ones are closed at once, since none of them could be admitted."""
        return self._known.addresses.whose(address)

    def connect(self, caller: Hashable, address: str, whose: Whose) -> HalfOpenSeat[Hashable] | None:
        """Let a connection in, of which nothing but its address is known, until `disconnect`; what it displaces is to be closed. None: it
        is to be closed itself."""
        return self.half_open.enter(caller, address_group(address), known=whose.is_known)

    def disconnect(self, caller: Hashable) -> None:
        """A connection was admitted by `enter`, or has ended."""
        self.half_open.leave(caller)

    def linger(self) -> bool:
        """Let a connection stand whose association is over, until its peer closes it and `lingered`; False: close it.

        It does not count for its address: who was rejected, and is slow to hang up, may come again.
        """
        with self._counting:
            if self._lingering >= _LINGERING:
                return False
            self._lingering += 1
            return True

    def lingered(self) -> None:
        """It is closed."""
        with self._counting:
            self._lingering -= 1

    def enter(self, requestor: RequestorIdentity) -> Admitted | Refusal:
        """Admit or refuse one association; who is admitted must `leave`."""
        known = self._known
        titled = [peer for peer in known.peers if peer.ae_title == requestor.calling]
        label = titled[0].name if titled else metrics.STRANGER
        if requestor.application_context != APPLICATION_CONTEXT:
            # PS3.8 7.1.1.2: it says by which rules the association speaks, and there is one set of them
            return Refusal(rejection=AssociationRejection.CONTEXT, why="its application context name is not DICOM's", label=label)
        if requestor.called not in self._node.ae_titles:
            return Refusal(
                rejection=AssociationRejection.CALLED, why=f'called AE title "{requestor.called}" is none of this node', label=label
            )
        if not titled and not (self._node.strangers and _is_title(requestor.calling)):
            return Refusal(rejection=AssociationRejection.CALLING, why=f'calling AE title "{requestor.calling}" is no peer')
        # a peer's title from another address is not a stranger's, but somebody else's
        there = sorted((peer for peer in titled if _is_at(peer.host, requestor.address)), key=_proofs, reverse=True)
        if titled and not there and not requestor.behind_proxy:
            why = f'peer "{titled[0].name}" is not at {requestor.address} but at {titled[0].host}'
            return Refusal(rejection=AssociationRejection.CALLING, why=why, label=label)
        there = there or sorted(titled, key=_proofs, reverse=True)
        # several may share title and address, and be told apart by what they prove
        unproved = [_unproved(peer, requestor, known.peers) for peer in there]
        if unproved and None not in unproved:
            return next(refusal for refusal in unproved if refusal is not None)
        proved = [peer for peer, why_not in zip(there, unproved, strict=True) if why_not is None]
        if requestor.behind_proxy and len(proved) > 1 and _proofs(proved[0]) == _proofs(proved[1]):
            why = f'peers "{proved[0].name}" and "{proved[1].name}" cannot be told apart behind the trusted proxy {requestor.address}'
            return Refusal(rejection=AssociationRejection.CALLING, why=why, label=label)
        peer = proved[0] if proved else None
        who = f"stranger {requestor.calling}" if peer is None else peer.name
        may, limits = (frozenset({May.STORE, May.ECHO}), Limits()) if peer is None else (peer.may, peer.limits)
        crowded = self._crowded() if May.STORE in may else None
        if crowded is not None:
            return Refusal(rejection=AssociationRejection.CONGESTED, why=crowded, label=label)
        seat = self._seat(who, limits, most_strangers=known.most_strangers if peer is None else None)
        if isinstance(seat, str):
            return Refusal(rejection=AssociationRejection.BUSY, why=seat, label=label)
        confirms = peer is not None and peer.user is not None and requestor.identity is not None and requestor.identity.wants_response
        admitted = Admitted(peer=peer, seat=seat, may=may, limits=limits, confirms_user=confirms, rate=self._rate(who, limits))
        metrics.ASSOCIATIONS_OPEN.add(1, peer=admitted.label)
        return admitted

    def leave(self, admitted: Admitted) -> None:
        """One association has ended."""
        self._shared.leave(admitted.seat)
        metrics.ASSOCIATIONS_OPEN.add(-1, peer=admitted.label)

    def _seat(self, who: str, limits: Limits, *, most_strangers: int | None) -> Seat | str:
        most = self._node.max_associations
        seat = self._shared.enter(who, most=limits.associations, most_in_all=most, most_strangers=most_strangers)
        if not isinstance(seat, Seat):
            if seat.of is Of.STRANGERS:
                return f"{seat.stand} associations of strangers stand already, and the other seats are kept for peers"
            return f"{seat.stand} associations{'' if seat.of is Of.ALL else f' of {who}'} stand already"
        rate = limits.associations_per_minute
        if rate is not None and not self._shared.allows(f"associations {who}", per_minute=rate):
            self._shared.leave(seat)
            return f"more than {rate} associations of {who} within a minute"
        return seat

    def _rate(self, who: str, limits: Limits) -> TransferRate | None:
        if limits.bytes_per_second is None and limits.instances_per_second is None:
            return None
        return TransferRate(
            shared=self._shared, who=who, bytes_per_second=limits.bytes_per_second, instances_per_second=limits.instances_per_second
        )


def _unproved(peer: Peer, requestor: RequestorIdentity, peers: Sequence[Peer]) -> Refusal | None:
    """What a peer's title and address alone do not prove, where the configuration asks for more."""
    if peer.certificate is not None and (why := _other_certificate(peer.certificate, requestor.certificate)):
        owner = next((one.name for one in peers if one.certificate and not _other_certificate(one.certificate, requestor.certificate)), "")
        whose = f', which is peer "{owner}"\'s' if owner else ""
        return Refusal(
            rejection=AssociationRejection.CALLING,
            why=f'peer "{peer.name}" is proved by its certificate: {why}{whose}',
            label=peer.name,
        )
    if peer.user is not None and (why := _other_user(peer.user, requestor.identity)):
        return Refusal(rejection=AssociationRejection.IDENTITY, why=f'peer "{peer.name}": {why}', label=peer.name)
    return None


def _is_title(text: str) -> bool:
    try:
        return bool(ae_title(text))
    except ValueError:
        return False


def _proofs(peer: Peer) -> int:
    """How much a peer has to prove: who proves more is not taken for one who need not."""
    return (peer.certificate is not None) + (peer.user is not None)


def _other_certificate(rule: CertificateRule, shown: Certificate | None) -> str:
    """Why a certificate is not the one that a rule asks for; empty where it is."""
    if shown is None:
        return "none was shown"
    fits = (
        (rule.fingerprints, {shown.fingerprint}),
        (rule.names, set(shown.alternative_names)),
        (rule.subjects, {shown.subject}),
    )
    if all(not wanted or set(wanted) & found for wanted, found in fits):
        return ""
    return f"another was shown ({shown.subject or 'no subject'}, SHA-256 {shown.fingerprint})"


def _other_user(user: User, given: UserIdentity | None) -> str:
    """Why a user identity is not the one that is asked for; empty where it is. It quotes nothing of what was given."""
    if given is None:
        return "no user was named"
    if given.kind not in (USERNAME, USERNAME_AND_PASSCODE):
        return f"a user identity of type {given.kind}, where a username is asked for"
    try:
        return "" if is_user(user, username=given.username, passcode=given.passcode) else "another user, or another passcode, was given"
    except (NotPrivate, PasscodeUnusable) as unusable:
        return f"its user cannot be checked: {unusable}"


def _is_at(host: str, address: str) -> bool:
    """Whether `host`, a name or an address, is where `address` is; a name that cannot be resolved now is nowhere."""
    if plain(host) == plain(address):
        return True
    try:
        return plain(address) in addresses.resolved(host)
    except OSError:
        return False
