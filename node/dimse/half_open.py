"""Connections of which no association has been asked for yet: how many may stand, and which of them makes room for another.

Half-open is a connection from its accept() until its A-ASSOCIATE-RQ has been read whole, the TLS handshake included. Each costs a thread,
so their number is bounded, and so that nobody can lock others out by standing there, a new one displaces an old one. No socket here.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

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
