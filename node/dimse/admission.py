"""Who may associate: called and calling AE titles, source addresses, and how many at once; no network here, only the decision."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from node.dimse.claim import Claim
from node.observe import metrics
from node.settings.config import Config, Limits, May, Peer


class Rejection(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    CALLED = (1, 1, 7)  # permanent, service user, called AE title not recognised
    CALLING = (1, 1, 3)  # permanent, service user, calling AE title not recognised
    IDENTITY = (1, 2, 1)  # permanent, service provider (ACSE), no reason given: PS3.7 D.3.3.7 has an unauthorised user told so
    CONGESTED = (2, 3, 1)  # transient, service provider (presentation), temporary congestion
    BUSY = (2, 3, 2)  # transient, service provider (presentation), local limit exceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An association that is not admitted. `why` is for the operator: the sender learns the rejection alone; `label` is for metrics."""

    rejection: Rejection
    why: str
    label: str = metrics.STRANGER


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An association that is admitted, to be given back by `leave`. `peer` None is a stranger's.

    `confirms_user`: the sender asked to be told that its user was recognised, and it was: the A-ASSOCIATE-AC has a User Identity sub-item
    whose server response is empty (PS3.7 D.3.3.7.2).
    """

    peer: Peer | None
    key: str
    may: frozenset[May]
    limits: Limits
    confirms_user: bool = False

    @property
    def label(self) -> str:
        """What metrics call the sender: never by a title that anybody may make up."""
        return metrics.STRANGER if self.peer is None else self.peer.name


class Admission:
    """Decides on associations and counts those that stand. Called from many threads at once.

    `crowded` says why nothing can be taken in just now (the intake's watermarks), or None.
    """

    def __init__(self, config: Config, *, crowded: Callable[[], str | None] = lambda: None) -> None:
        self._crowded = crowded
        self._node = config.node
        self._peers = tuple(config.peers.values())
        self._lock = threading.Lock()
        self._standing: Counter[str] = Counter()

    def enter(self, claim: Claim) -> Admitted | Refusal:
        """Admit or refuse one association; who is admitted must `leave`."""
        called, calling, address = claim.called, claim.calling, claim.address
        titled = [peer for peer in self._peers if peer.ae_title == calling]
        label = titled[0].name if titled else metrics.STRANGER
        if called not in self._node.ae_titles:
            return Refusal(rejection=Rejection.CALLED, why=f'called AE title "{called}" is none of this node', label=label)
        if not titled and not self._node.strangers:
            return Refusal(rejection=Rejection.CALLING, why=f'calling AE title "{calling}" is no peer')
        # a peer's title from another address is not a stranger's, but somebody else's
        peer = next((peer for peer in titled if _is_at(peer.host, address)), None)
        if titled and peer is None:
            why = f'peer "{titled[0].name}" is not at {address} but at {titled[0].host}'
            return Refusal(rejection=Rejection.CALLING, why=why, label=label)
        admitted = (
            Admitted(peer=None, key=f"stranger {calling}", may=frozenset({May.STORE, May.ECHO}), limits=Limits())
            if peer is None
            else Admitted(peer=peer, key=peer.name, may=peer.may, limits=peer.limits)
        )
        crowded = self._crowded() if May.STORE in admitted.may else None
        if crowded is not None:
            return Refusal(rejection=Rejection.CONGESTED, why=crowded, label=label)
        with self._lock:
            if self._standing.total() >= self._node.max_associations:
                return Refusal(rejection=Rejection.BUSY, why=f"{self._node.max_associations} associations stand already", label=label)
            if self._standing[admitted.key] >= admitted.limits.associations:
                why = f"{admitted.limits.associations} associations of {admitted.key} stand already"
                return Refusal(rejection=Rejection.BUSY, why=why, label=label)
            self._standing[admitted.key] += 1
        metrics.ASSOCIATIONS_OPEN.add(1, peer=admitted.label)
        return admitted

    def leave(self, admitted: Admitted) -> None:
        """One association has ended."""
        with self._lock:
            self._standing[admitted.key] -= 1
        metrics.ASSOCIATIONS_OPEN.add(-1, peer=admitted.label)


def _is_at(host: str, address: str) -> bool:
    """Whether `host`, a name or an address, is where `address` is; a name that cannot be resolved now is nowhere."""
    if _plain(host) == _plain(address):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return _plain(address) in {_plain(str(one[4][0])) for one in found}


def _plain(host: str) -> str:
    """An IPv4 address as such, also where a socket for both families reports it as IPv6; names as they are."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower()
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
