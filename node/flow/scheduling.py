"""Scheduling: the loop that steps the stages when a wake-up comes, and the scheduler that ticks the slow sweeps.

Stages around a stage wake the next process, let work gather, and hold a stage back while another process has its turn.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from inference.errors import HilumError
from node.domain.stage import Stage
from node.journal.port import Leader
from node.journal.wake_up import WakeUps
from node.observe import metrics
from node.observe.events import alarm, trace
from node.observe.pulse import at_most, turned, turning

_SWEEP_S = 1.0
_BURST = 50
_PAUSE_FIRST_S = 0.5
_PAUSE_MOST_S = 30.0
_LOOK_EVERY_S = 1.0
_TICK_S = 600.0
_WENT_BACK_S = 1.0


def turn(
    stages: Sequence[Stage],
    wait: Callable[[float], None],
    stop: threading.Event,
    *,
    burst: int = _BURST,
    seconds: Callable[[], float] = time.monotonic,
) -> None:
    """Step the stages, in their order and each until it is idle, until `stop` is set.

    A stage that fails (a journal that is away, mostly) pauses, longer each time, and the others go on. Anything that is no `HilumError`
    is a defect and ends the loop: the supervisor starts the process again. A step that stands ends it as well: the process gives no sign
    of life until the step says that it goes on (`node.observe.pulse`).

    Parameters
    ----------
    wait
        Returns at the next wake-up or after so many seconds; called when every stage is idle.
    burst
        Steps of one stage at most before the others have their turn.
    seconds
        A clock that only goes forward.
    """
    pauses = {id(stage): _Pause() for stage in stages}
    with turning(threading.current_thread().name):
        while not stop.is_set():
            moved = 0
            for stage in stages:
                pause = pauses[id(stage)]
                if seconds() >= pause.until:
                    moved += _burst(stage, pause, stop, burst, seconds)
            turned()
            if moved == 0 and not stop.is_set():
                wait(_SWEEP_S)


@dataclass(slots=True)
class _Pause:
    """How often in a row a stage has failed, and until when it rests."""

    failures: int = 0
    until: float = float("-inf")


def _burst(stage: Stage, pause: _Pause, stop: threading.Event, burst: int, seconds: Callable[[], float]) -> int:
    moved = 0
    try:
        for _ in range(burst):
            turned()
            began = time.monotonic()
            step = stage.step()
            if step:
                metrics.STAGE.observe(time.monotonic() - began, stage=stage.name)
            moved += step
            if step == 0 or stop.is_set():
                break
    except HilumError as error:
        pause_s = min(_PAUSE_MOST_S, _PAUSE_FIRST_S * 2.0 ** min(pause.failures, 10))
        pause.failures += 1
        pause.until = seconds() + pause_s
        metrics.STAGE_FAILURES.add(stage=stage.name, code=error.code)
        alarm("stage.failed", stage=stage.name, code=error.code, reason=str(error), again_in_s=pause_s)
        return 0
    pause.failures = 0
    return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A stage that is stepped every so often, work or none."""

    stage: Stage
    every: timedelta


class Scheduler:
    """Ticks idempotent sweeps; a tick that is lost, late or doubled changes nothing but the time at which things happen.

    One that takes longer than `most_s` stands: the process gives no sign of life.
    """

    def __init__(self, ticks: Sequence[Tick], *, most_s: float = _TICK_S) -> None:
        # the scheduler's own log repeats what the events say, without codes
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._ticks = tuple(ticks)
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._follow, name="clock", daemon=True)
        # one thread: sweeps share the disk
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        self._scheduler.add_listener(_failed, EVENT_JOB_ERROR)
        for tick in ticks:
            self._scheduler.add_job(
                _within(tick.stage, most_s),
                "interval",
                seconds=tick.every.total_seconds(),
                id=tick.stage.name,
                misfire_grace_time=None,  # a late tick is as good as one in time
                coalesce=True,
                max_instances=1,
            )

    def start(self) -> None:
        """Begin to tick; the first tick comes one interval from now."""
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """Tick no more; wait for a sweep under way."""
        self._over.set()
        self._watch.join()
        self._scheduler.shutdown(wait=True)

    def _follow(self) -> None:
        """The scheduler plans by the host's clock: when that goes back, plan anew, or nothing ticks until it has caught up."""
        ahead_s = time.time() - time.monotonic()
        while not self._over.wait(_LOOK_EVERY_S):
            before_s, ahead_s = ahead_s, time.time() - time.monotonic()
            if ahead_s < before_s - _WENT_BACK_S:
                for tick in self._ticks:
                    self._scheduler.reschedule_job(tick.stage.name, trigger="interval", seconds=tick.every.total_seconds())


def _within(stage: Stage, most_s: float) -> Callable[[], None]:
    def step() -> None:
        with turning(stage.name), at_most(most_s):
            stage.step()

    return step


def _failed(failure: JobExecutionEvent) -> None:
    error = failure.exception
    if isinstance(error, HilumError):
        metrics.STAGE_FAILURES.add(stage=failure.job_id, code=error.code)
        alarm("stage.failed", stage=failure.job_id, code=error.code, reason=str(error))
    else:
        alarm("stage.defect", stage=failure.job_id, error=type(error).__name__, trace=trace(error))


class WakingStage:
    """A stage that wakes the next process whenever it has moved something."""

    def __init__(self, stage: Stage, following: WakeUps) -> None:
        self.name = stage.name
        self._stage = stage
        self._next = following

    def step(self) -> int:
        """Step the stage; wake the next process when it moved."""
        moved = self._stage.step()
        if moved:
            self._next.ring()
        return moved


class PacedStage:
    """A stage that lets work gather while it streams in: a step that follows a busy one waits a while since that began.

    A step costs a commit, which is a flush, however little it moves, and the receiver wants the disk and the processor too. Where little
    comes it follows soon; a step that moved `full` is behind, and the next one follows at once.

    Parameters
    ----------
    every_s, stream_every_s
        The pace behind a step that moved little, and behind one that moved `stream` or more.
    """

    def __init__(self, stage: Stage, *, every_s: float, stream_every_s: float, stream: int, full: int) -> None:
        self.name = stage.name
        self._stage = stage
        self._every_s = every_s
        self._stream_every_s = stream_every_s
        self._stream = stream
        self._full = full
        self._next = float("-inf")

    def step(self) -> int:
        """Step the stage, not sooner than its pace allows."""
        early_s = self._next - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
        began = time.monotonic()
        moved = self._stage.step()
        if 0 < moved < self._full:
            self._next = began + (self._stream_every_s if moved >= self._stream else self._every_s)
        return moved


class LockedStage:
    """A stage that only one process of a host steps: the one that holds `lock`, until it ends."""

    def __init__(self, stage: Stage, lock: Path) -> None:
        self.name = stage.name
        self._stage = stage
        self._lock = lock.open("w", encoding="ascii")
        self._mine = False

    def step(self) -> int:
        """Step the stage if it is this process's turn; 0 otherwise."""
        if not self._mine:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            self._mine = True
        return self._stage.step()


class LeaderStage:
    """A stage that only the leader of all hosts steps."""

    def __init__(self, stage: Stage, leader: Leader) -> None:
        self.name = stage.name
        self._stage = stage
        self._leader = leader

    def step(self) -> int:
        """Step the stage if this process leads; 0 otherwise."""
        return self._stage.step() if self._leader.leads else 0


class RestingStage:
    """A stage that rests after each round: once a step has moved nothing, and after the start too, it is left alone for `rest_s`."""

    def __init__(self, stage: Stage, *, rest_s: float) -> None:
        self.name = stage.name
        self._stage = stage
        self._rest_s = rest_s
        self._rests_until = time.monotonic() + rest_s

    def step(self) -> int:
        """Step the stage unless it rests."""
        if time.monotonic() < self._rests_until:
            return 0
        moved = self._stage.step()
        if moved == 0:
            self._rests_until = time.monotonic() + self._rest_s
        return moved
