"""Steps over what a peer wrote, bounded in the processor time that they take: a loop without an end in one of them holds nothing else up.

Processor time of the thread, not time on the clock: on a machine that is busy with other things a good study takes no more of it.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from node.flow.errors import TookTooLong

STEP_S = 5.0
"""What matching, parsing or deciding may take of one instance; of a study of thousands a little more (`of_instances`)."""
_INSTANCE_S = 0.001
_LOOK_EVERY_S = 0.5

T = TypeVar("T")


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
