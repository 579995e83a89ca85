"""The lease of a job while the work runs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from node.domain.errors import JournalError
from node.domain.job import Job
from node.domain.state import JobState
from node.flow.lease import LENGTH, JobLease, LeaseLost
from node.flow.route import RouteStage
from node.flow.settle import complete_now
from tests.unit.flow.mini import APPLICATION, MiniNode


def claim(node: MiniNode, owner: str) -> Job | None:
    return node.journal.jobs.claim(owner, node.clock(), LENGTH)


@pytest.fixture
def job(node: MiniNode) -> Job:
    """A claimed job."""
    node.receive("1.1", "1.1.1")
    complete_now(node.journal.arrivals, node.arrivals()[0], node.clock())
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", lambda name: replace(APPLICATION, name=name)).step()
    claimed = claim(node, "one")
    assert claimed is not None
    return claimed


def lease_of(node: MiniNode, job: Job) -> JobLease:
    assert job.lease is not None
    return JobLease(node.journal.jobs, node.clock, job.id, job.lease)


def test_a_renewed_lease_keeps_others_away(node: MiniNode, job: Job) -> None:
    """Without renewals another worker may claim after a minute; with them it may not."""
    with lease_of(node, job) as lease:
        for _ in range(3):
            node.clock.advance(45)
            lease.renew()
            assert claim(node, "two") is None
        lease.check()
    node.clock.now += LENGTH + timedelta(seconds=1)
    assert claim(node, "two") is not None


def test_a_lease_that_somebody_else_holds_is_lost(node: MiniNode, job: Job) -> None:
    """The work ends at the next check, and touches nothing."""
    node.clock.advance(61)
    assert claim(node, "two") is not None
    lease = lease_of(node, job)
    lease.renew()
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_job_that_the_operator_cancelled_is_lost(node: MiniNode, job: Job) -> None:
    """The same for cancelled and superseded jobs."""
    node.journal.jobs.end(job.id, None, JobState.CANCELLED, "HLM-0000", "by the operator", node.clock())
    lease = lease_of(node, job)
    lease.renew()
    assert lease.lost


def test_a_journal_that_is_away_for_a_moment_does_not_end_the_work(node: MiniNode, job: Job) -> None:
    """The next renewal comes well before the lease runs out."""
    lease = lease_of(node, job)
    original = node.journal.jobs.renew

    def busy(*_: Any, **__: Any) -> bool:
        raise JournalError("database is locked")

    node.journal.jobs.renew = busy  # type: ignore[method-assign]
    lease.renew()
    lease.check()
    node.journal.jobs.renew = original  # type: ignore[method-assign]
    lease.renew()
    lease.check()
