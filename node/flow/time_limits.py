"""Time limits bound steps over what a peer wrote: processor time of matching, parsing and deciding, and what a job's long steps may take.

A step of the first kind is ended: a loop without an end in one holds nothing else up. It is processor time of the thread, not time on the
clock: on a machine that is busy with other things a good study takes no more of it.

A job's long steps are allowed time by the size of the files that it reads, far more than they take on a busy machine: what takes so long
has met a file that its decoder, or its application, never comes back from. A step beyond it stands (`node.observe.pulse`), and its process
ends with it. Sizes are those of the files: what their headers claim proves nothing.
"""

import ctypes
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from inference.errors import InputError

STEP_S = 5.0
"""What matching, parsing or deciding may take of one instance; of a study of thousands a little more (`of_instances`)."""
_INSTANCE_S = 0.001
_LOOK_EVERY_S = 0.5

T = TypeVar("T")


class TookTooLong(InputError):
    """Matching, parsing or deciding took more processor time than what a peer wrote explains."""

    code = "HLM-3088"
    remedy = (
        "Look at the event `arrival.retry` or `loop.stands`, and report this as a defect; other studies go on. `hilum studies retry STUDY` "
        "routes the study again once hilum, or the route, is mended."
    )


class _Over(BaseException):
    """Raised into the thread whose step takes too long. No `Exception`: nothing that handles what is wrong with an input handles it."""


@dataclass(slots=True)
class _Step:
    clock: int
    ends: float


class _Watch:
    """The steps under way, by thread, and the thread that ends those that take too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[int, _Step] = {}
        self._looks = False

    def begin(self, thread: int, most_s: float) -> None:
        if not hasattr(time, "pthread_getcpuclockid"):
            return  # macOS: there the loop that stands is all that tells
        clock = time.pthread_getcpuclockid(thread)
        with self._lock:
            self._steps[thread] = _Step(clock, time.clock_gettime(clock) + most_s)
            if not self._looks:
                self._looks = True
                threading.Thread(target=self._look, name="bounds", daemon=True).start()

    def end(self, thread: int) -> None:
        """The step is over: what was not raised into it yet is raised into nothing else."""
        with self._lock:
            if self._steps.pop(thread, None) is None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            with self._lock:
                over = [thread for thread, step in self._steps.items() if time.clock_gettime(step.clock) > step.ends]
                for thread in over:
                    del self._steps[thread]  # once: a step that goes on all the same stands, and its process with it
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_Over))


_WATCH = _Watch()


def within(most_s: float, what: str, work: Callable[[], T]) -> T:
    """What `work` returns, if it takes no more than `most_s` of this thread's processor time; `what` it is, for people.

    It is ended between two instructions of Python, so it must leave nothing half done. A library that does not let go of the interpreter
    is not ended this way: the process falls silent (`node.observe.pulse`), and is ended as a whole.

    Raises
    ------
    TookTooLong
        It took more.
    """
    thread = threading.get_ident()
    try:
        _WATCH.begin(thread, most_s)
        try:
            return work()
        finally:
            _WATCH.end(thread)
    except _Over:
        raise TookTooLong(f"{what} took more than {most_s:g} s of processor time") from None


def of_instances(count: int) -> float:
    """What a step over so many instances may take, in seconds."""
    return STEP_S + _INSTANCE_S * count


_MIB = 1 << 20
_FETCH_S, _FETCH_S_PER_MIB = 120.0, 2.0
_DECODE_S, _DECODE_S_PER_MIB = 120.0, 5.0
_ENCODE_S, _ENCODE_S_PER_MIB = 300.0, 5.0
_BESIDE_S = 120.0
BETWEEN_S = 300.0
"""What there is to do between the long steps."""


def size_of(files: Iterable[Path]) -> int:
    """Bytes of these files."""
    return sum(file.stat().st_size for file in files)


def to_fetch_s(size: int) -> float:
    """From the bucket to this host."""
    return _FETCH_S + _FETCH_S_PER_MIB * size / _MIB


def to_decode_s(size: int) -> float:
    """Headers read, pixels decoded, volumes put together."""
    return _DECODE_S + _DECODE_S_PER_MIB * size / _MIB


def to_infer_s(timeout_s: float) -> float:
    """The analysis, whose calls of models are bounded by the application's own time-out, and what is judged before and behind it."""
    return timeout_s + _BESIDE_S


def to_encode_s(size: int) -> float:
    """Result objects made, and checked."""
    return _ENCODE_S + _ENCODE_S_PER_MIB * size / _MIB
