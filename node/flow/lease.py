"""The lease fences a claimed job; a thread renews it while the work runs."""

import threading
from datetime import timedelta
from types import TracebackType
from typing import Self

from node.domain.errors import JournalError
from node.domain.stage import Clock
from node.journal.jobs import Jobs
from node.observe.events import event

LENGTH = timedelta(seconds=60)
_RENEW_S = 15.0


class LeaseLost(Exception):
    """Another process holds the work now, or it was cancelled or superseded: whatever was made is discarded."""


class JobLease:
    """Renews the lease of one job until the block ends; `lost` says that it is no longer held.

    It bounds no work: a step that never comes back leaves the process without a sign of life (`node.flow.time_limits`).
    """

    def __init__(self, jobs: Jobs, clock: Clock, job: int, token: str) -> None:
        self._jobs = jobs
        self._clock = clock
        self._job = job
        self.token = token
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease of job {job}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether a renewal was refused."""
        return self._lost.is_set()

    def check(self) -> None:
        """Go on only while the lease is held.

        Raises
        ------
        LeaseLost
            A renewal was refused.
        """
        if self.lost:
            raise LeaseLost

    def renew(self) -> None:
        """Extend the lease now."""
        try:
            if not self._jobs.renew(self._job, self.token, self._clock() + LENGTH):
                self._lost.set()
        except JournalError as error:
            # the next renewal comes well before the lease runs out
            event("job.lease_not_renewed", job=self._job, code=error.code, reason=str(error))

    def _renew(self) -> None:
        while not self._over.wait(_RENEW_S) and not self.lost:
            self.renew()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
