"""Which jobs a verb is for: those that are numbered, or all that are of a kind, which are shown and asked about first."""

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from node.cli.errors import NothingFound, WrongWords
from node.domain.job import Job
from node.domain.state import JobState

if TYPE_CHECKING:
    from node.journal.journal import Journal
    from node.journal.port import JobFilter

Numbers: TypeAlias = Annotated[int, Parameter(show_default=False)]
_PAGE = 500
_SHOWN = 20


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
    from node.cli.routes_replay import moment
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
    table = screen.table("job", "state", "application", "created", "study", "why")
    for job in found[:_SHOWN]:
        why = screen.brief(" ".join(each for each in (job.code, job.reason) if each), console.width)
        when = screen.when(job.created_at)[5:16]
        table.add_row(str(job.id), screen.state(job.state), job.application, when, screen.uid(job.study_instance_uid, console.width), why)
    console.print(table)
    screen.say(screen.plural(len(found), "job") + (f", of which the newest {_SHOWN} are shown" if len(found) > _SHOWN else ""))


def _agreed(verb: str, count: int) -> bool:
    try:
        answer = input(f"To {verb} {'it' if count == 1 else f'all {count}'}, type yes: ")
    except EOFError:
        print("there is nobody to ask: give --yes", file=sys.stderr)
        return False
    return answer.strip().lower() in ("y", "yes")
