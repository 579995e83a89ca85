"""The count at the end of a day: what was acknowledged is there, and every study has one set of results, made of all its instances.

When is a second set of results right? The node promises one set for each time that a study settles, and a study settles when nothing came
for the quiet window. So a second set is a revision, and no defect, only where all of this holds:

- The *sender* had no answer for the quiet window or longer, by its own clock and not by what the node wrote down.
- That was not the node's slowness: in this pause a receive process had been killed, or the senders themselves did not come to run. A node
  that keeps its senders waiting for so long without being disturbed has a defect.
- One job stands, and it was made of every instance; all the others are superseded by it.
- There is no result that no job accounts for: as many sets at most as jobs.
"""

from itertools import pairwise

from node.domain.state import JobState
from node.journal.journal import Journal
from tests.soak.happened import Day
from tests.soak.studies import Study

RESULTS = 2
"""A report and a page."""


def count(day: Day, journal: Journal) -> None:
    """Fill in what was lost, changed, not delivered, doubled and revised."""
    for study in day.studies:
        rows = {row.sop_instance_uid: row.digest for row in journal.instances.by_uid(*study.acknowledged)}
        day.lost += [uid for uid in study.acknowledged if uid not in rows]
        day.changed += [uid for uid, digest in study.acknowledged.items() if rows.get(uid, digest) != digest]
        results = len(day.objects.get(study.uid, ()))
        if not results:
            day.undelivered.append(study.uid)
            continue
        jobs = journal.jobs.find(study=study.uid)
        wrong = _wrong(journal, study, results)
        if not wrong and results == RESULTS:
            continue
        if not wrong and results <= RESULTS * len(jobs) and paused(day, study):
            day.revised.append(study.uid)
        else:
            day.doubled.append(f"{study.uid} ({study.kind.name}): {wrong or 'no pause explains it'}; {results} results, {len(jobs)} jobs")


def _wrong(journal: Journal, study: Study, results: int) -> str:
    """What of a study's jobs is not as it should be, whether they were revised or not; the empty text where nothing is."""
    jobs = journal.jobs.find(study=study.uid)
    done = [job for job in jobs if job.state is JobState.DONE]
    others = [job for job in jobs if job.state not in (JobState.DONE, JobState.SUPERSEDED)]
    if len(done) != 1 or others:
        return f"jobs are {', '.join(sorted(job.state.value for job in jobs))}"
    if results < RESULTS:
        return "results are missing"
    of = len(journal.instances.of_job(done[0].id))
    return "" if of == study.kind.instances else f"the results are of {of} instances, where {study.kind.instances} came"


def paused(day: Day, study: Study) -> bool:
    """Whether its sender had no answer for the quiet window or longer, while a receiver was away or the senders did not run."""
    killed = [one.at for one in day.disturbances if one.stage == "receive"]
    return any(
        after - before >= day.quiet_s and (day.stood_still((before, after)) or any(before <= at <= after for at in killed))
        for before, after in pairwise(study.answers)
    )
