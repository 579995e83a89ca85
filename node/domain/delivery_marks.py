"""Marks of what was delivered, kept beside the blobs: they outlive a database that is lost, or replaced by an older copy of itself.

A database that was restored from yesterday's backup has jobs waiting that were done since, and does not know studies that came since. The
marks say of a job's inputs, application and sink that this very result has been delivered, so that nothing is analysed and sent twice:
the same findings once more, with other times in them and under other UIDs. A mark is empty; its name is a digest: it tells nothing about a
patient.
"""

import hashlib

from node.domain.job import Job

PREFIX = "marks/"


def mark_of(job: Job, sink: str) -> str:
    """The blob that says that the results of this job are at this sink."""
    facts = (job.study_instance_uid, job.series_instance_uid, job.application, job.application_version, job.input_digest, sink)
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return f"{PREFIX}{digest[:2]}/{digest[2:]}"
