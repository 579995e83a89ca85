"""What the processes of a node hold over time, and whether any of it grows: memory, open files, threads, sockets, children.

And how long its threads wait for a processor meanwhile.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

_MIB = 1 << 20
GROWS_FREELY_MIB = 32.0
"""Memory that allocators and caches of libraries may take while they warm up; more than that, and more than a fifth, is growth."""
_WARM_S = 300.0
"""A process that lives for less is still meeting the largest of everything for the first time."""
_JOURNAL = "/hilum.db"
_HANDLES = 4
"""Files, threads or sockets that a quiet moment late in the run may hold above one early in it: what happened to be under way."""
_JOURNAL_FILES = 15
"""Open files of the journal that a quiet moment may hold: a pool keeps five connections, three files each. It opens the next one when so
many threads first meet, which on a busy machine may be late; more than these are leaked, however slowly they came."""
_GOES_ON = 1
"""Those that were to come since the middle of the run too, if so many leaked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process at one moment; `files` are its descriptors but for those of the `journal`."""

    at: float
    rss_mib: float
    files: int
    journal: int
    threads: int
    sockets: int


@dataclass(slots=True)
class Life:
    """One process of the family, from its start until it was killed or the run ended."""

    name: str
    pid: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def lasted_s(self) -> float:
        """Between its first and its last sample."""
        return self.samples[-1].at - self.samples[0].at if self.samples else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What one process held early, amid and late in its life, at its quietest moments: what is under way goes, what leaks stays."""

    name: str
    lasted_s: float
    what: str
    early: float
    middle: float
    late: float
    most: float

    @property
    def grew(self) -> bool:
        """Beyond what noise explains."""
        if self.what == "rss_mib":
            return self.lasted_s >= _WARM_S and self.late - self.early > max(GROWS_FREELY_MIB, 0.2 * self.early)
        # what is opened once, at the first job of a slow machine, is there in the middle already; what leaks goes on
        if self.what == "journal":
            return self.late > _JOURNAL_FILES
        return self.late - self.early > _HANDLES and self.late - self.middle > _GOES_ON


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Between two samples, `lasted_s` apart: processor seconds of the node, and seconds that its threads, ready to run, had to wait."""

    at: float
    lasted_s: float
    used_s: float
    waited_s: float


class Watch:
    """Samples the family of a supervisor in a thread; a context manager.

    Parameters
    ----------
    supervisor
        Its process id now; None while it is down.
    """

    def __init__(self, supervisor: Callable[[], int | None], *, every_s: float = 2.0) -> None:
        self.lives: dict[int, Life] = {}
        self.children_most = 0
        self.shares: list[Share] = []
        self._supervisor = supervisor
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ran: tuple[float, dict[int, tuple[float, float]]] | None = None

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            pid = self._supervisor()
            family = self._look(pid) if pid is not None else frozenset()
            self._share_out(family)

    def _share_out(self, family: Collection[int]) -> None:
        """What the node's threads used since the last sample, and waited for; one that began or ended in between is not counted."""
        now = time.time()
        ran = {thread: times for pid in family for thread, times in _threads(pid)}
        if self._ran is not None:
            then, before = self._ran
            took = [(used - before[thread][0], waited - before[thread][1]) for thread, (used, waited) in ran.items() if thread in before]
            self.shares.append(
                Share(at=now, lasted_s=now - then, used_s=sum(used for used, _ in took), waited_s=sum(waited for _, waited in took))
            )
        self._ran = now, ran

    def _look(self, supervisor: int) -> frozenset[int]:
        """Sample the family; who belongs to it."""
        try:
            family = [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]
        except psutil.NoSuchProcess:
            return frozenset()
        self.children_most = max(self.children_most, len(family) - 1)
        for process in family:
            try:
                with process.oneshot():
                    name = "serve" if process.pid == supervisor else _stage(process)
                    held = _held(process.pid)
                    journal = sum(_JOURNAL in one for one in held)
                    sample = Sample(
                        at=time.monotonic(),
                        rss_mib=process.memory_info().rss / _MIB,
                        files=len(held) - journal,
                        journal=journal,
                        threads=process.num_threads(),
                        sockets=sum(one.startswith("socket:") for one in held),
                    )
            except (psutil.Error, OSError):
                continue  # it has just ended
            self.lives.setdefault(process.pid, Life(name, process.pid)).samples.append(sample)
        return frozenset(process.pid for process in family)

    def trends(self, *, lasted_s: float) -> list[Trend]:
        """Of every process that lived so long."""
        found = []
        for life in self.lives.values():
            if life.lasted_s >= lasted_s and len(life.samples) >= 12:
                found += [_trend(life, what) for what in ("rss_mib", "files", "journal", "threads", "sockets")]
        return found


def _threads(pid: int) -> Iterator[tuple[int, tuple[float, float]]]:
    """Seconds that each thread of a process ran, and waited for a processor (proc(5): /proc/pid/schedstat, in ns)."""
    with contextlib.suppress(OSError):  # it has just ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                ran, waited, _ = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()
                yield int(thread), (int(ran) / 1e9, int(waited) / 1e9)


def _held(pid: int) -> list[str]:
    """What the descriptors of a process refer to."""
    held = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            held.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return held


def _stage(process: psutil.Process) -> str:
    words = process.cmdline()
    return next((word for word in words if word in ("receive", "index", "flow", "work")), words[0] if words else "?")


def _trend(life: Life, what: str) -> Trend:
    # the first sixth warms up: imports, pools, the first of everything
    values = [float(getattr(sample, what)) for sample in life.samples][len(life.samples) // 6 :]
    third = max(len(values) // 3, 1)
    quiet: Callable[[Sequence[float]], float] = _quietest if what != "rss_mib" else median
    early, middle, late = (quiet(part) for part in (values[:third], values[third:-third] or values, values[-third:]))
    return Trend(name=life.name, lasted_s=life.lasted_s, what=what, early=early, middle=middle, late=late, most=max(values))


def _quietest(values: Sequence[float]) -> float:
    """The lowest tenth: one sample alone may have met a process that was just starting."""
    return sorted(values)[len(values) // 10]
