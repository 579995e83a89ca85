"""Several calls under way at a time, their results in the order of the calls: what comes back never depends on which came first."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from inference.engines.port import ModelRef

Result = TypeVar("Result")

AHEAD = 2
"""Times `at_once`: calls handed out before the oldest has come back. A slow one holds back the results after it, not the calls."""


def in_order(calls: Iterable[Callable[[], Result]], at_once: int, room: Callable[[], int] | None = None) -> Generator[Result, None, None]:
    """The results of `calls`, one after the other, while others are under way in threads.

    At most `at_once` calls run, and no more than AHEAD times as many results are held. The first call that fails ends it: its error is
    raised as soon as it is known, nothing further is begun, and what is under way is waited for. The same holds when the caller stops
    early (close the generator: `contextlib.closing`).

    Parameters
    ----------
    calls
        Taken one by one, in the caller's thread, not before there is room.
    room
        How many calls and results there is memory for, asked before each call; one is always under way.
    """
    if at_once < 1:
        raise ValueError(f"{at_once} calls under way; at least one makes sense")
    coming = iter(calls)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="call")
    try:
        while True:
            most = AHEAD * at_once if room is None else max(1, min(AHEAD * at_once, room()))
            while len(waiting) < most and (call := next(coming, None)) is not None:
                waiting.append(pool.submit(call))
            if not waiting:
                return
            _raise_failed(waiting)
            while not waiting[0].done():
                wait([each for each in waiting if not each.done()], return_when=FIRST_COMPLETED)
                _raise_failed(waiting)
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def calls_at_once(infer: Callable[..., Any], model: ModelRef) -> int:
    """How many calls are worth having under way: what an application's `infer` says; one for a plain function, which says nothing."""
    worth: Callable[[ModelRef], int] | None = getattr(infer, "at_once", None)
    return 1 if worth is None else worth(model)


def _raise_failed(futures: Iterable[Future[Result]]) -> None:
    for future in futures:
        if future.done() and (error := future.exception()) is not None:
            raise error
