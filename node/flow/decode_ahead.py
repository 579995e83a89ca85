"""The ahead stage reads and decodes a study while it is still coming in, so that its completion starts inference.

Nothing depends on it: what was not read and decoded ahead is when a job asks for it. So an arrival over which a process died, or that takes
too long to look at, is left to its jobs, which count what they cost.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from inference.errors import InputError
from node.blobs.port import Blobs
from node.dicom.transfer_syntax import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, UNCOMPRESSED
from node.domain.arrival import Arrival
from node.domain.errors import JournalError
from node.domain.instance import Instance, Standing
from node.domain.route import Route, Tried
from node.domain.stage import Clock
from node.domain.state import ArrivalState
from node.flow.time_limits import TookTooLong, of_instances, within
from node.journal.journal import Journal
from node.observe.pulse import InHand, at_most, turned
from node.routing.decisions import decide, is_image, seen
from node.settings.config import Config

_SLICE_S = 0.1
"""How long a step works: a job that becomes due waits no longer."""
_LOOK_EVERY_S = 1.0
_FETCH_S = 300.0
_PLAIN = frozenset({*UNCOMPRESSED, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN})
"""Transfer syntaxes whose pixels need no decoding (PS3.5 A.1 to A.3, A.5)."""
_LULL = timedelta(milliseconds=500)
"""Headers alone are read when nothing has come for so long: they take little, and receiving comes first."""
_OPEN_MOST = 50
"""Arrivals that are looked at, the newest: what has been open for long waits for something else."""


@dataclass(slots=True)
class _Open:
    """An arrival under way: up to which row it was looked at, which of its series a route would take, what is left to decode, and of what
    the header alone is left to read."""

    last: int = 0
    taken: dict[str, bool] = field(default_factory=dict)
    waiting: deque[str] = field(default_factory=deque)
    plain: deque[str] = field(default_factory=deque)


class DecodeAheadStage:
    """The stage of the work process that reads instances of open arrivals which a route would take, as far as the header of the first
    instance of their series tells: compressed ones as they come, the headers of others in a lull.

    Parameters
    ----------
    decode
        Reads the header of one file and decodes its frames, one a turn.
    plain
        Whether the headers of what is not compressed are read.
    seconds
        A clock that only goes forward.
    """

    name = "ahead"

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        routes: Sequence[Route],
        clock: Clock,
        decode: Callable[[Path], Iterator[bool]],
        *,
        plain: bool = True,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._routes = routes
        self._clock = clock
        self._decode = decode
        self._plain = plain
        self._seconds = seconds
        self._open: dict[int, _Open] = {}
        self._looked_at = float("-inf")
        self._under_way: tuple[int, Iterator[bool]] | None = None
        self._left: set[int] = set()
        self._in_hand = InHand("ahead")
        self._in_hand.count_death()

    def adopt(self, config: Config) -> None:
        """Ask these routes about what comes from now on."""
        self._routes = config.routes
        self._open.clear()

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to decode of what was found."""
        return self._under_way is None and not any(one.waiting for one in self._open.values())

    def step(self) -> int:
        """Decode for a tenth of a second; never counts as work, so that jobs have their turn in between."""
        began = self._seconds()
        try:
            if began - self._looked_at >= _LOOK_EVERY_S:
                self._looked_at = began
                self._look()
            while self._seconds() - began < _SLICE_S and self._turn():
                pass
        except JournalError:
            self._in_hand.put_down()
            self._open.clear()  # found anew once the journal and the blobs answer again
            raise
        return 0

    def _turn(self) -> bool:
        """One frame; False when there is none."""
        turned()
        if self._under_way is None:
            found = self._next()
            if found is None:
                return False
            self._under_way = found[0], self._decode(found[1])
        arrival, frames = self._under_way
        self._in_hand.take(arrival)
        if next(frames, None) is None:
            self._under_way = None
        self._in_hand.put_down()
        return True

    def _look(self) -> None:
        """Find what came since the last look."""
        arrivals = self._journal.arrivals.find(states=(ArrivalState.RECEIVED,), limit=_OPEN_MOST, newest=True)
        arrivals = [one for one in arrivals if one.id not in self._left and not self._in_hand.deaths(one.id)]
        self._open = {arrival.id: self._open.get(arrival.id) or _Open() for arrival in arrivals}
        for arrival in arrivals:
            self._in_hand.take(arrival.id)
            known = self._open[arrival.id]
            try:
                within(of_instances(arrival.instances), "looking ahead", partial(self._look_at, arrival, known))
            except TookTooLong:
                self._left.add(arrival.id)
                del self._open[arrival.id]
        self._in_hand.put_down()

    def _look_at(self, arrival: Arrival, known: _Open) -> None:
        for instance in self._journal.instances.of_arrival(arrival.id, after=known.last):
            known.last = max(known.last, instance.id)
            if self._wanted(arrival, known, instance):
                queue = known.plain if instance.transfer_syntax_uid in _PLAIN else known.waiting
                queue.append(instance.blob)
        if self._clock() - arrival.last_instance_at >= _LULL:
            known.waiting.extend(known.plain)
            known.plain.clear()

    def _wanted(self, arrival: Arrival, known: _Open, instance: Instance) -> bool:
        if instance.standing is not Standing.CURRENT or (instance.transfer_syntax_uid in _PLAIN and not self._plain):
            return False
        if not is_image(instance.sop_class_uid, instance.header):
            return False
        series = instance.series_instance_uid
        if series not in known.taken:
            view = seen(series, [(instance.sop_class_uid, instance.header)])
            called, calling = instance.called_ae, instance.calling_ae
            last = arrival.last_instance_at
            decisions = decide(self._routes, [view], peer=arrival.peer, calling=calling, called=called, now=self._clock(), came=last)
            known.taken[series] = any(all(tried.held or _counts(tried) for tried in decision.tried) for decision in decisions)
        return known.taken[series]

    def _next(self) -> tuple[int, Path] | None:
        for arrival, known in self._open.items():
            while known.waiting:
                try:
                    with at_most(_FETCH_S):
                        path = self._blobs.path(known.waiting.popleft())
                except InputError:
                    continue  # who analyses it is told the reason
                if path.is_file():
                    return arrival, path
        return None


def _counts(tried: Tried) -> bool:
    """Whether a condition, or one of a block, speaks of how many there are, or of other series, which nobody knows before the end."""
    told = tried.key.startswith("NumberOf") or tried.key in ("any_series", "all_series")
    return told or any(_counts(one) for entry in tried.entries for one in entry)
