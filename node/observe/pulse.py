"""Signs of life in shared memory of the supervisor: that the loops of a process turn, and what it has in hand, so that its successor knows
over what it died; how long a process may give none, how it is ended then, who is told, and how systemd is told that the supervisor
turns.

The beats in the journal are others: they need a journal that answers, and are for `hilum doctor`.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from node.domain.notice import About, Item
from node.observe.events import alarm
from node.observe.instruments import end_of_process, process_memory
from node.observe.shared_memory import SharedCells

_KEY = b"pulse"  # no declared metric: it is never exposed
_EVERY_S = 1.0
_STANDS_S = 10.0
"""A loop that has not turned for so long is told, with the place where it stands."""


@dataclass(slots=True)
class TurningLoop:
    """One loop of a process whose standstill matters, in a thread of its own: when it last turned, and `until` when it need not, on the
    monotonic clock."""

    name: str
    thread: int
    turned: float = field(default_factory=time.monotonic)
    until: float = float("-inf")
    told: bool = False

    def sign(self, now: float) -> float:
        """The last moment, on the monotonic clock, at which it was in time."""
        return now if now < self.until else max(self.turned, self.until)


_LOOPS: dict[int, TurningLoop] = {}
"""By thread. Each entry is written by its own thread alone, and read by the one that gives the signs."""


@contextlib.contextmanager
def turning(name: str) -> Iterator[None]:
    """The block is a loop: from now on the process gives signs of life only while this thread says that it has `turned`."""
    thread = threading.get_ident()
    _LOOPS[thread] = TurningLoop(name, thread)
    try:
        yield
    finally:
        del _LOOPS[thread]


def loop_of_this_thread() -> TurningLoop | None:
    """The loop that turns in the thread that asks; None in one that is no loop."""
    return _LOOPS.get(threading.get_ident())


def turned() -> None:
    """The loop of this thread goes on: it has turned, or one part of a long step is done. Nothing in a thread that is no loop."""
    loop = loop_of_this_thread()
    if loop is not None:
        loop.turned = time.monotonic()


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The block is one step of this thread's loop that may take so long, because of its size or because it has a bound of its own; of
    blocks within blocks the innermost says, and what it takes is not taken off the outer ones."""
    loop = loop_of_this_thread()
    if loop is None:
        yield
        return
    before, began = loop.until, time.monotonic()
    loop.until = began + seconds
    try:
        yield
    finally:
        loop.turned = time.monotonic()
        loop.until = before + loop.turned - began


class Pulse:
    """When a process last gave a sign of life, on the monotonic clock, which all processes of a machine share.

    Made by the supervisor before the process attaches to the region, so that both look at one place.
    """

    def __init__(self, cells: SharedCells) -> None:
        place = cells.place(_KEY, 1)
        assert place is not None, "the first series of a region finds room"
        self._cells, self._place = cells, place

    @property
    def at_s(self) -> float:
        """The moment of the last sign."""
        return self._cells.get(self._place)

    def beat(self) -> None:
        """Give a sign now."""
        self._cells.put(self._place, time.monotonic())

    def beat_on(self) -> None:
        """Give one every second, from a thread of its own, of the loop that has not turned for longest: stopped by a signal, held by a
        library that does not let go of the interpreter, or with a loop that stands, the process falls silent."""
        threading.Thread(target=self._beat_on, name="pulse", daemon=True).start()

    def _beat_on(self) -> None:
        while True:
            now = time.monotonic()
            loops = list(_LOOPS.values())
            self._cells.put(self._place, min((loop.sign(now) for loop in loops), default=now))
            for loop in loops:
                _tell(loop, now)
            time.sleep(_EVERY_S)


def _tell(loop: TurningLoop, now: float) -> None:
    """Say once where a loop stands, frame by frame."""
    stands_s = now - loop.sign(now)
    if stands_s < _STANDS_S:
        loop.told = False
    elif not loop.told:
        loop.told = True
        frame = sys._current_frames().get(loop.thread)
        at = [f"{one.filename}:{one.lineno} {one.name}" for one in traceback.extract_stack(frame)] if frame is not None else []
        alarm("loop.stands", loop=loop.name, stands_s=round(stands_s), trace=at)


_KEPT = 8
_BEGINS = b"in hand "


class InHand:
    """The number of what a process has in hand, and of what its predecessors died over, with how often they did.

    Nothing is written to a disk for it: it is gone with the supervisor, whose death nothing in hand is to blame for. Numbers are whole, and
    below 2**53; 0 is none.
    """

    def __init__(self, name: str, cells: SharedCells | None = None) -> None:
        self._cells = cells or process_memory()
        place = self._cells.place(_BEGINS + name.encode(), 1 + 2 * _KEPT)
        assert place is not None, "one of the first series of a region finds room"
        self._place = place

    @property
    def number(self) -> int:
        """What is in hand; in a process that has taken nothing yet, what its predecessor died over. 0: nothing."""
        return int(self._cells.get(self._place))

    def take(self, number: int) -> None:
        """It is in hand from now on."""
        self._cells.put(self._place, number)

    def put_down(self) -> None:
        """Nothing is in hand."""
        self._cells.put(self._place, 0)

    def count_death(self) -> int:
        """Count what is in hand as what the predecessor died over, and put it down; its number, 0 where there was none."""
        number = self.number
        if number:
            known = [slot for slot in self._slots() if int(self._cells.get(slot)) == number]
            # of those that are kept the one that fewest died over makes room
            slot = known[0] if known else min(self._slots(), key=lambda slot: self._cells.get(slot + 1))
            deaths = self._cells.get(slot + 1) if known else 0.0
            self._cells.put(slot, number)
            self._cells.put(slot + 1, deaths + 1)
            self.put_down()
        return number

    def deaths(self, number: int) -> int:
        """How many processes died over it, as far as that is kept."""
        return next((int(self._cells.get(slot + 1)) for slot in self._slots() if int(self._cells.get(slot)) == number), 0)

    def _slots(self) -> range:
        return range(self._place + 1, self._place + 1 + 2 * _KEPT, 2)


def excuse(cells: SharedCells) -> None:
    """The process that counts in them was ended on purpose: nothing that it had in hand is to blame."""
    cells.put_first(lambda key: key.startswith(_BEGINS), 0.0)


@dataclass(slots=True)
class WatchedProcess:
    """One process of the node as it looks from outside; `cells` is where it counts, and its successors after it."""

    name: str
    cells: SharedCells = field(default_factory=SharedCells.make)
    pid: int | None = None
    owner: str = ""
    ready: bool = False
    ended: int = 0
    why: str = "not started yet"
    pulse: Pulse = field(init=False)

    def __post_init__(self) -> None:
        """The place of its signs of life, before it attaches to its region."""
        self.pulse = Pulse(self.cells)
        self.pulse.beat()

    def silent_s(self, awake_since: float) -> float:
        """How long it has given no sign of life, as far as the supervisor was awake to hear it; 0 where it does not run."""
        return 0.0 if self.pid is None else max(0.0, time.monotonic() - max(self.pulse.at_s, awake_since))

    def began(self, pid: int, owner: str) -> None:
        """It was started."""
        self.pid, self.owner, self.ready, self.why = pid, owner, False, "starting"
        self.pulse.beat()

    def died(self, exit_code: int) -> None:
        """It ended by itself."""
        self.pid, self.ready, self.why = None, False, f"it ended with {exit_code} and is started again"
        self.ended += 1
        end_of_process(self.cells)


SILENT_S = 20.0
"""A process that gave no sign of life for so long is not ready, and people are told."""
ENDED_S = 60.0
"""A process that gave no sign of life for so long is ended."""
_MAY_DRAIN_S = 5.0
_SLEPT_S = 10.0
_BEGINS_S = 3600.0
_SAYS_EVERY_S = 1.0


@dataclass(slots=True)
class StandstillWatch:
    """Since when the supervisor has turned without a gap, in seconds of the monotonic clock. While it slept itself (SIGSTOP, a machine that
    stood still) its processes may have slept as well: nobody is late before a whole period has passed since."""

    since: float = field(default_factory=time.monotonic)
    _turned: float = field(default_factory=time.monotonic)

    def turn(self, now: float) -> None:
        """It turns."""
        if now - self._turned > _SLEPT_S:
            self.since = now
        self._turned = now


class Endable(Protocol):
    """A process as far as ending it goes."""

    pid: int

    def send_signal(self, number: int, /) -> None:
        """Send it a signal, unless it has ended."""

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended."""


@dataclass(slots=True)
class Termination:
    """How far a silent process has been ended: told by SIGTERM, killed if it does not go."""

    told_at: float | None = None
    killed: bool = False

    def turn(self, process: Endable, stage: str, silent_s: float, now: float) -> None:
        """End it as far as it is time to."""
        if self.told_at is None:
            if silent_s >= ENDED_S:
                self.told_at = now
                alarm("process.silent", stage=stage, pid=process.pid, silent_s=round(silent_s))
                process.send_signal(signal.SIGTERM)
        elif not self.killed and now - self.told_at >= _MAY_DRAIN_S:
            self.killed = True
            alarm("process.killed", pid=process.pid, after_s=_MAY_DRAIN_S)
            process.kill()


class Watchdog:
    """Says to systemd, where `WatchdogSec=` asks for it, that the supervisor turns (sd_notify(3)); it is killed and started again there
    when it does not."""

    def __init__(self) -> None:
        self._to = os.environ.get("NOTIFY_SOCKET", "")
        period_us = os.environ.get("WATCHDOG_USEC", "") if os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) else ""
        self._every_s = int(period_us) / 2e6 if period_us.isdigit() else 0.0
        self._next = 0.0

    def turn(self) -> None:
        """It turns; said twice a period."""
        now = time.monotonic()
        if not self._to or not self._every_s or now < self._next:
            return
        self._next = now + self._every_s
        address = "\0" + self._to[1:] if self._to.startswith("@") else self._to
        # who does not listen any more is none to wait for
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.setblocking(False)
            told.sendto(b"WATCHDOG=1", address)


@contextlib.contextmanager
def beginning() -> Iterator[None]:
    """Say to systemd that the supervisor lives while the block runs, whose loop does not turn yet: to bring a journal of years to a new
    schema is one step of minutes, and whoever is killed in it begins again."""
    over = threading.Event()

    def say() -> None:
        watchdog, until = Watchdog(), time.monotonic() + _BEGINS_S
        while time.monotonic() < until:
            watchdog.turn()
            if over.wait(_SAYS_EVERY_S):
                return

    if not os.environ.get("WATCHDOG_USEC"):
        yield
        return
    saying = threading.Thread(target=say, name="beginning", daemon=True)
    saying.start()
    try:
        yield
    finally:
        over.set()
        saying.join()


_LOOK = "Nothing that was taken is lost. Should it happen again, the events before `process.silent` say at what it stood."


class SilenceAlerts:
    """Tells from the supervisor: the process that tells of everything else may be the silent one."""

    def __init__(self, tell: Callable[[Item], None]) -> None:
        self._tell = tell
        self._told: dict[str, Item] = {}

    def turn(self, process: str, silent_s: float, *, ready: bool) -> None:
        """Tell that it is silent, and later that it is no more."""
        if silent_s >= SILENT_S and process not in self._told:
            says = f"The process {process} of the node gives no sign of life; after {ENDED_S:.0f} s it is ended and started again."
            self._told[process] = Item(about=About.PROCESS, says=says, remedy=_LOOK)
            self._tell(self._told[process])
        elif silent_s < SILENT_S and ready and process in self._told:
            told = self._told.pop(process)
            self._tell(replace(told, says=f"No more: {told.says}", remedy="", over=True))
