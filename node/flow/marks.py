"""Marks of what was delivered, kept beside the blobs: they outlive a database that is lost, or replaced by an older copy of itself.

A database that was restored from yesterday's backup has jobs waiting that were done since, and does not know studies that came since. The
marks say of a job's inputs, application and sink that this very result has been delivered, so that nothing is analysed and sent twice:
the same findings once more, with other times in them and under other UIDs. A mark is empty; its name is a digest: it tells nothing about a
patient.
"""

import hashlib
from collections.abc import Iterator
from datetime import timedelta

from node.blobs.port import Blobs
from node.domain.job import Job
from node.flow.errors import DeliveredBefore
from node.flow.port import Clock
from node.journal.port import Journal

PREFIX = "marks/"
_AT_ONCE = 200


def mark_of(job: Job, sink: str) -> str:
    """The blob that says that the results of this job are at this sink."""
    facts = (job.study_instance_uid, job.series_instance_uid, job.application, job.application_version, job.input_digest, sink)
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return f"{PREFIX}{digest[:2]}/{digest[2:]}"


def set_mark(journal: Journal, blobs: Blobs, job: int, sink: str) -> None:
    """Say, durably, that a sink has accepted everything of a job; before the journal says so, which may be lost after it."""
    blobs.put(mark_of(journal.job(job), sink), b"")


def delivered_before(journal: Journal, blobs: Blobs, job: Job) -> bool:
    """Whether every sink of a job that waits has its results already, and the journal has forgotten it. Never of a job that the operator
    revived in spite of that."""
    if not job.sinks or not all(blobs.has(mark_of(job, sink)) for sink in job.sinks):
        return False
    told = f"{DeliveredBefore.code} "
    if any(line.detail.startswith(told) for line in journal.events("job", job.id) if line.name == "job.cancelled"):
        return False
    # a corrected series that was corrected back: the journal knows who set the marks, and results of others came between
    return not any(other.id != job.id and _same(other, job) for other in journal.jobs(study=job.study_instance_uid))


def _same(one: Job, other: Job) -> bool:
    facts = [(job.series_instance_uid, job.application, job.application_version, job.input_digest) for job in (one, other)]
    return facts[0] == facts[1]


class OldMarks:
    """Stage: deletes the marks that are older than headers are kept; what is so old is not sent again."""

    name = "marks"

    def __init__(self, blobs: Blobs, clock: Clock, *, keep: timedelta) -> None:
        self._blobs = blobs
        self._clock = clock
        self._keep = keep
        self._old: Iterator[str] | None = None

    def step(self) -> int:
        """Delete some; 0 when all have been looked at, and the next step begins anew."""
        if self._old is None:
            self._old = self._blobs.names(PREFIX, written_before=self._clock() - self._keep)
        deleted = 0
        for name in self._old:
            self._blobs.delete(name)
            deleted += 1
            if deleted == _AT_ONCE:
                return deleted
        self._old = None
        return deleted
