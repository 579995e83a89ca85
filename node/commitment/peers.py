"""Peers of storage commitment: what one is asked and told, and a thread for each, so that one that is slow or away holds up no other."""

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from inference.errors import HilumError
from node.domain.commitment import AskedCommitment, InstanceReference, Report, Request


class Committer(Protocol):
    """Storage commitment with one peer. `DeliveryError` when it does not answer as one would wish; its `retry` says whether it ever may."""

    def ask(self, asked: AskedCommitment, on_report: Callable[[Report], None]) -> None:
        """Ask it to commit. It has taken the question when this returns; a report that comes at once goes to `on_report`, which makes it
        durable."""
        ...

    def report(self, request: Request, verdicts: Sequence[tuple[InstanceReference, int]]) -> None:
        """Tell it what this node commits to (0), and what not (Failure Reason). It knows when this returns."""
        ...


class PeerThreads:
    """Runs one thing at a time under each name. What went wrong in a thread is raised, or told, by the next `reap`."""

    def __init__(self, name: str, tell: Callable[[str, Exception], None]) -> None:
        """`tell` gets what is no `HilumError`: a defect, which must not end the process."""
        # no bound: a thread is begun when none is idle, and one thing runs under a name
        self._threads = ThreadPoolExecutor(max_workers=sys.maxsize, thread_name_prefix=name)
        self._busy: dict[str, Future[None]] = {}
        self._guard = threading.Lock()
        self._tell = tell

    @property
    def busy(self) -> frozenset[str]:
        """The names under which something runs."""
        with self._guard:
            return frozenset(self._busy)

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run it in the thread of `name`, which is not busy."""
        with self._guard:
            self._busy[name] = self._threads.submit(work)

    def reap(self) -> int:
        """Forget what has ended; how many.

        Raises
        ------
        HilumError
            One of them failed: the journal is away, mostly.
        """
        with self._guard:
            ended = {name: future for name, future in self._busy.items() if future.done()}
            for name in ended:
                del self._busy[name]
        failed: HilumError | None = None
        for name, future in ended.items():
            error = future.exception()
            if isinstance(error, HilumError):
                failed = error
            elif isinstance(error, Exception):
                self._tell(name, error)
        if failed is not None:
            raise failed
        return len(ended)

    def close(self, timeout_s: float) -> None:
        """Start nothing more, and let what runs end; what does not is done again from what the journal says."""
        with self._guard:
            going = list(self._busy.values())
        with contextlib.suppress(RuntimeError):
            wait(going, timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)
