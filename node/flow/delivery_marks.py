"""Sets delivery marks, and looks for them before a job is worked on (named by `node.domain.job.delivery_mark`)."""

from node.blobs.port import Blobs
from node.domain.job import Job, delivery_mark
from node.journal.jobs import Jobs


def set_mark(jobs: Jobs, blobs: Blobs, job: int, sink: str) -> None:
    """Say, durably, that a sink has accepted everything of a job; before the journal says so, which may be lost after it."""
    blobs.put(delivery_mark(jobs.get(job), sink), b"")


def delivered_before(jobs: Jobs, blobs: Blobs, job: Job) -> bool:
    """Whether every sink of a job that waits has its results already, and the journal has forgotten it. Never of a job that the operator
    revived in spite of that."""
    if job.delivered_before or not job.sinks or not all(blobs.has(delivery_mark(job, sink)) for sink in job.sinks):
        return False
    # a corrected series that was corrected back: the journal knows who set the marks, and results of others came between
    return not any(other.id != job.id and _same(other, job) for other in jobs.find(study=job.study_instance_uid))


def _same(one: Job, other: Job) -> bool:
    facts = [(job.series_instance_uid, job.application, job.application_version, job.input_digest) for job in (one, other)]
    return facts[0] == facts[1]
