"""Liveness: how long a process may give no sign of life (`node.observe.pulse`), how it is ended then, who is told, and how systemd is told
that the supervisor turns.
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from node.domain.notice import About, Item
from node.observe.events import alarm

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


@dataclass(slots=True)
class Termination:
    """How far a silent process has been ended: told by SIGTERM, killed if it does not go."""

    told_at: float | None = None
    killed: bool = False

    def turn(self, process: "subprocess.Popen[str]", stage: str, silent_s: float, now: float) -> None:
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
