"""`hilum jobs list|show|retry|cancel|resend`: the analyses, why they stand where they stand, and what an operator can do."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.errors import NotDone, NothingFound
from node.cli.job_choice import Asking, JobQuery, Numbers, chosen, filter_of
from node.cli.opened import ConfigOption, JsonOption, journal
from node.domain.job import Delivery, Job
from node.domain.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from node.journal.journal import Journal

_ALL = JobQuery()
_ASKS = Asking()
_GOES_ON = {
    JobState.QUEUED: "it is analysed in its turn",
    JobState.INFERRED: "its objects are made from the findings that stand",
    JobState.ENCODED: "the same objects are sent again",
}
"""What a retry does, by the state that it brings a job to."""
_RETRIED = (JobState.PARKED, JobState.FAILED)
_CANCELLED = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED, JobState.PARKED)
_RESENT = (JobState.ENCODED, JobState.DONE)


def list_jobs(
    *,
    which: JobQuery = _ALL,
    study: str | None = None,
    limit: int = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List jobs, the newest first.

    Of what is not over, `why` says what it waits for (its turn, a pause, the next try, a sink), or that it is at work.

    Parameters
    ----------
    study
        Only jobs of this study (its UID, or the end of it).
    limit
        At most so many.
    """
    from node.cli import screen
    from node.records.jobs import at_work, record, waits, why
    from node.records.words import work_of

    with journal(config) as (_, opened):
        found = [(job, _pending(opened, job)) for job in _wanted(opened, which, study, limit)]
        paused = [(kind, name) for kind, name, _ in opened.pauses.find()]
        now = opened.now()
    if as_json:
        screen.as_json(
            [
                {**record(job, sent), "at_work": at_work(job, sent, now), "waits": waits(job, sent, paused, now) or None}
                for job, sent in found
            ]
        )
        return 0
    console = screen.out()
    if not found:
        console.print("no job is of this kind" if which.says else "no jobs")
        return 0
    table = screen.table("job", "state", "application", "created", "study", "why")
    for job, deliveries in found:
        code, reason = why(job, deliveries)
        doing = "at work" if at_work(job, deliveries, now) else waits(job, deliveries, paused, now)
        said = "; ".join(each for each in (doing, f"{code} {reason}" if code else reason) if each)
        told = screen.brief(said, console.width)
        uid = screen.uid(job.study_instance_uid, console.width)
        table.add_row(
            str(job.id),
            screen.state(job.state),
            work_of({"application": job.application, "kind": job.kind}),
            screen.when(job.created_at)[5:16],
            uid,
            told,
        )
    console.print(table)
    return 0


def show(job: int, /, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show one job: state, reason, what to do, objects, deliveries, history.

    Parameters
    ----------
    job
        Its number, as `hilum jobs list` prints it.
    """
    from node.cli import screen
    from node.cli.job_page import print_page
    from node.records.jobs import page

    with journal(config) as (_, opened):
        content = page(opened, opened.jobs.get(job))
    if as_json:
        screen.as_json(content)
    else:
        print_page(screen.out(), content)
    return 0


def retry(
    *job: Numbers,
    which: JobQuery = _ALL,
    asking: Asking = _ASKS,
    afresh: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
) -> int:
    """Go on with a parked, failed or cancelled job from what is already on disk.

    Findings that are journaled are not computed again, objects are never encoded again: a job that has them sends the same bytes. By what
    they have in common, parked and failed jobs are meant, unless --state says others; they are shown, and you are asked.

    Parameters
    ----------
    job
        Numbers, as `hilum jobs list` prints them.
    afresh
        Forget the findings of a job that has no objects yet, and analyse again.
    """

    def revive(opened: "Journal", number: int, now: datetime) -> str:
        state = opened.jobs.revive(number, now, afresh=afresh)
        return f"job {number} goes on: {_GOES_ON.get(state, state)}"

    with journal(config) as (_, opened):
        return _each(opened, chosen(opened, job, which, asking, verb="retry", usual=_RETRIED), revive)


def cancel(*job: Numbers, which: JobQuery = _ALL, asking: Asking = _ASKS, config: ConfigOption = None) -> int:
    """Cancel a job; what was delivered stays where it is.

    By what they have in common, jobs that are not over are meant, unless --state says others; they are shown, and you are asked.

    Parameters
    ----------
    job
        Numbers, as `hilum jobs list` prints them.
    """

    def end(opened: "Journal", number: int, now: datetime) -> str:
        before = opened.jobs.get(number)
        if not opened.jobs.end(number, None, JobState.CANCELLED, before.code or "", "cancelled by the operator", now):
            raise NotDone(f"job {number} is {opened.jobs.get(number).state}: it was not cancelled")
        return f"job {number} is cancelled"

    with journal(config) as (_, opened):
        return _each(opened, chosen(opened, job, which, asking, verb="cancel", usual=_CANCELLED), end)


def resend(*job: Numbers, which: JobQuery = _ALL, asking: Asking = _ASKS, to: str | None = None, config: ConfigOption = None) -> int:
    """Send a job's frozen objects again: the same bytes.

    By what they have in common, jobs whose objects stand are meant, unless --state says others; they are shown, and you are asked.

    Parameters
    ----------
    job
        Numbers, as `hilum jobs list` prints them.
    to
        The sink to send to (a name under `sinks`); without it, every sink of the job.
    """
    from node.settings.source import suggestion

    def send(opened: "Journal", number: int, now: datetime) -> str:
        made = opened.deliveries.resend(number, to, now)
        return f"job {number}: {len(made)} {'delivery waits' if len(made) == 1 else 'deliveries wait'} to be sent"

    with journal(config) as (loaded, opened):
        if to is not None and to not in loaded.sinks:
            raise NothingFound(f'unknown sink "{to}"{suggestion(to, list(loaded.sinks))}')
        return _each(opened, chosen(opened, job, which, asking, verb="resend", usual=_RESENT), send)


def _wanted(opened: "Journal", which: JobQuery, study: str | None, limit: int) -> list[Job]:
    from node.cli.studies import find_study

    return opened.jobs.select(filter_of(opened, which, study=None if study is None else find_study(opened, study)), limit)


def _pending(opened: "Journal", job: Job) -> list[Delivery]:
    """The deliveries of a job that waits for them; others need no look."""
    return opened.deliveries.find(job=job.id) if job.state is JobState.ENCODED else []


def _each(opened: "Journal", jobs: "Sequence[int] | None", act: "Callable[[Journal, int, datetime], str]") -> int:
    """Do one thing to each job; one that refuses does not keep the others from being done. Exit code 1 where one did, or where no job was
    agreed to (None)."""
    from inference.errors import HilumError
    from node.cli.ending import told

    if jobs is None:
        return 1
    refused = 0
    for number in jobs:
        try:
            print(act(opened, number, opened.now()))
        except HilumError as error:
            if len(jobs) == 1:
                raise
            refused += 1
            print(told(error))
    return 1 if refused else 0
