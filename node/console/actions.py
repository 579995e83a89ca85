"""What an operator does to jobs and studies: pages and API do the same."""

from http import HTTPStatus

from node.console.access import Visitor
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.queries import job
from node.domain.errors import JournalError
from node.domain.state import ArrivalState, JobState
from node.flow import held
from node.flow.held import Part
from node.flow.settle import complete_now, put_back
from node.observe.events import event


def act(at: ConsoleContext, who: Visitor, number: int, verb: str) -> str:
    """Retry or cancel; the state that the job is in now.

    Raises
    ------
    RequestRefused
        There is no such job or verb, or the job's state does not allow it.
    """
    before, now = job(at, who, number), at.journal.now()
    try:
        if verb == "retry":
            at.journal.jobs.revive(number, now)
        elif verb == "cancel":
            if not at.journal.jobs.end(
                number, None, JobState.CANCELLED, before["code"] or "", f"cancelled by {who.name} at the console", now
            ):
                raise RequestRefused(HTTPStatus.CONFLICT, f"job {number} is {at.journal.jobs.get(number).state}: it was not cancelled")
        else:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "jobs are retried or cancelled")
    except JournalError as refused:
        if refused.retry:
            raise
        raise RequestRefused(HTTPStatus.CONFLICT, str(refused)) from refused
    event("console.acted", account=who.name, verb=verb, job=number)
    return at.journal.jobs.get(number).state.value


def complete(at: ConsoleContext, who: Visitor, uid: str) -> int:
    """Say that nothing more is expected of a study: what waits, for the rest of a series too, is routed now. How many of its arrivals did.

    Raises
    ------
    RequestRefused
        Nothing of the study is waited for.
    """
    open_now = at.journal.arrivals.find(states=(ArrivalState.RECEIVED,), study=uid)
    done = sum(complete_now(at.journal.arrivals, one, at.journal.now()) for one in open_now)
    if not done:
        raise RequestRefused(HTTPStatus.CONFLICT, "nothing more is expected of this study")
    event("console.acted", account=who.name, verb="complete", study=uid)
    return done


def route_again(at: ConsoleContext, who: Visitor, uid: str) -> int:
    """Have what is parked of a study routed again; how many of its arrivals were.

    Raises
    ------
    RequestRefused
        Nothing of the study is parked.
    """
    put = put_back(at.journal, uid)
    if not put:
        raise RequestRefused(HTTPStatus.CONFLICT, "nothing of this study is parked: its jobs are retried one by one")
    event("console.acted", account=who.name, verb="retry", study=uid)
    return put


def decide_held(at: ConsoleContext, who: Visitor, uid: str, verb: str, part: Part, *, seen: int | None = None) -> int:
    """Accept or refuse what is held of a study; how many instances.

    Parameters
    ----------
    seen
        How many the person was shown; None: all that is held, however many it is.

    Raises
    ------
    RequestRefused
        Nothing is held, more or less than was shown, or there is no such verb.
    """
    if verb not in ("accept", "refuse"):
        raise RequestRefused(HTTPStatus.NOT_FOUND, "what is held is accepted or refused")
    found = held.held_of(at.journal.held, uid, part)
    if not found:
        raise RequestRefused(HTTPStatus.CONFLICT, "nothing of this is held any more")
    if seen not in (None, len(found)):
        raise RequestRefused(HTTPStatus.CONFLICT, "more came, or somebody else decided, since the page was made: look again")
    by = f"{who.name} at the console"
    if verb == "accept":
        many = held.accept(at.journal.held, found, at.peers, at.journal.now, by=by)
    else:
        many = held.refuse(at.journal.held, found, at.journal.now, by=by)
    event("console.acted", account=who.name, verb=f"{verb}-held", study=uid)
    return many
