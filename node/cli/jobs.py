"""`hilum jobs list|show|retry|cancel|resend`: the analyses, why they stand where they stand, and what an operator can do, to those that are
numbered, or to all that are of a kind, which are shown and asked about first.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from node.cli.ending import NotDone, NothingFound, WrongWords
from node.cli.opened import ConfigOption, JsonOption, journal
from node.domain.job import Delivery, Job
from node.domain.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from node.journal.journal import Journal
    from node.journal.port import JobFilter


Numbers: TypeAlias = Annotated[int, Parameter(show_default=False)]
_PAGE = 500
_SHOWN = 20
_SPARE = ("created", "application")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """What jobs have in common; a job is to be all of what is said.

    Attributes
    ----------
    state
        Only jobs in this state; may be given several times. `parked` means jobs of which a delivery is parked, too.
    code
        Only jobs that have this error code, or of which a delivery has it.
    route
        Only jobs that this route asked for.
    application
        Only jobs of this application.
    sender
        Only jobs on studies that this peer sent.
    since
        Only jobs made since then: so long ago (`30m`, `12h`, `7d`), or a date with or without a time, in UTC.
    """

    state: Annotated[tuple[JobState, ...], Parameter(negative="", show_default=False)] = ()
    code: str | None = None
    route: str | None = None
    application: str | None = None
    sender: str | None = None
    since: str | None = None

    @property
    def says(self) -> bool:
        """Whether it says which jobs are meant."""
        return bool(self.state) or any(each is not None for each in (self.code, self.route, self.application, self.sender, self.since))


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whether a person is asked, about jobs that were not given by number.

    Attributes
    ----------
    dry_run
        Show which jobs these are, and touch nothing.
    yes
        Do not ask.
    """

    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False
    yes: Annotated[bool, Parameter(negative="", show_default=False)] = False


def filter_of(opened: "Journal", query: JobQuery, usual: Collection[JobState] = (), *, study: str | None = None) -> "JobFilter":
    """The filter of a query, on whole codes and moments; `usual` states where it names none."""
    from node.cli.opened import moment
    from node.journal.port import JobFilter

    return JobFilter(
        states=query.state or tuple(usual),
        study=study,
        code=None if query.code is None else query.code.upper(),
        route=query.route,
        application=query.application,
        peer=query.sender,
        since=None if query.since is None else moment(query.since, opened.now()),
    )


def chosen(
    opened: "Journal", numbers: Sequence[int], query: JobQuery, asking: Asking, *, verb: str, usual: Collection[JobState]
) -> list[int] | None:
    """The numbers of the jobs that a verb is for; [] where it is only shown which they are, None where a person says no.

    Parameters
    ----------
    numbers
        Those that were given by number: nobody is asked about them.
    usual
        The states of jobs that the verb is for, where none is given.

    Raises
    ------
    WrongWords
        Numbers and a query, or neither.
    NothingFound
        No job is of this kind.
    """
    from node.cli import screen

    if numbers and query.says:
        raise WrongWords("name jobs by number, or say which (--code, --route, …): not both")
    if not numbers and not query.says:
        raise WrongWords(f"which jobs? Their numbers (`hilum jobs list` prints them), or `hilum jobs {verb} --code HLM-… --since 2d`")
    if numbers and not asking.dry_run:
        return list(numbers)
    found = [opened.jobs.get(number) for number in numbers] or list(_all(opened, filter_of(opened, query, usual)))
    if not found:
        raise NothingFound(f"no job to {verb} is of this kind")
    _show(found)
    if asking.dry_run:
        return []
    if not (asking.yes or _agreed(verb, len(found))):
        screen.say("nothing was done")
        return None
    return sorted(job.id for job in found)


def _all(opened: "Journal", wanted: "JobFilter") -> Iterator[Job]:
    """The newest first, a page at a time."""
    from dataclasses import replace

    while page := opened.jobs.select(wanted, _PAGE):
        yield from page
        wanted = replace(wanted, before=page[-1].id)


def _show(found: Sequence[Job]) -> None:
    from node.cli import screen

    console = screen.out()
    rows = [_row(job, job.application, " ".join(each for each in (job.code, job.reason) if each), console.width) for job in found[:_SHOWN]]
    console.print(screen.listing(rows, _SPARE))
    screen.say(screen.plural(len(found), "job") + (f", of which the newest {_SHOWN} are shown" if len(found) > _SHOWN else ""))


def _row(job: Job, work: str, why: str, width: int) -> dict[str, "str | Text"]:
    from node.cli import screen

    return {
        "job": str(job.id),
        "state": screen.state(job.state),
        "application": work,
        "created": screen.when(job.created_at)[5:16],
        "study": screen.uid(job.study_instance_uid, width),
        "why": screen.brief(why, width),
    }


def _agreed(verb: str, count: int) -> bool:
    try:
        answer = input(f"To {verb} {'it' if count == 1 else f'all {count}'}, type yes: ")
    except EOFError:
        print("there is nobody to ask: give --yes", file=sys.stderr)
        return False
    return answer.strip().lower() in ("y", "yes")


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
    from node.records.jobs import at_work, doing, record, waits
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
    rows = [
        _row(job, work_of({"application": job.application, "kind": job.kind}), doing(job, deliveries, paused, now), console.width)
        for job, deliveries in found
    ]
    console.print(screen.listing(rows, _SPARE))
    return 0


def show(job: int, /, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show one job: state, reason, what to do, objects, deliveries, history.

    Parameters
    ----------
    job
        Its number, as `hilum jobs list` prints it.
    """
    from node.cli import screen
    from node.cli.passport import print_page
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
