"""What an operator does to jobs, studies, pauses and whatever can be asked: pages and API do the same, and the audit trail is told."""

from collections.abc import Sequence
from http import HTTPStatus

from node.console.access import Visitor
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.queries import job
from node.domain.errors import JournalError
from node.domain.health import DependencyKind
from node.domain.state import ArrivalState, JobState
from node.flow import held_instances
from node.flow.held_instances import Part
from node.flow.settle import complete_now, put_back
from node.journal.port import Pausable
from node.observe.security import ConsoleActed, tell


def act(at: ConsoleContext, who: Visitor, number: int, verb: str, sink: str | None = None) -> str:
    """Retry, analyse afresh, cancel, or send again (to one `sink`; None: to all of the job); the state that the job is in now.

    Raises
    ------
    RequestRefused
        There is no such job or verb, or the job's state does not allow it.
    """
    before, now = job(at, who, number), at.journal.now()
    try:
        if verb == "retry":
            at.journal.jobs.revive(number, now)
        elif verb == "afresh":
            at.journal.jobs.revive(number, now, afresh=True)
        elif verb == "resend":
            if sink is not None and sink not in at.pausable()[Pausable.SINK]:
                raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no sink of this name")
            at.journal.deliveries.resend(number, sink, now)
        elif verb == "cancel":
            if not at.journal.jobs.end(
                number, None, JobState.CANCELLED, before["code"] or "", f"cancelled by {who.name} at the console", now
            ):
                raise RequestRefused(HTTPStatus.CONFLICT, f"job {number} is {at.journal.jobs.get(number).state}: it was not cancelled")
        else:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "jobs are retried, analysed afresh, cancelled, or sent again")
    except JournalError as refused:
        if refused.retry:
            raise
        raise RequestRefused(HTTPStatus.CONFLICT, str(refused)) from refused
    _tell(at, who, verb, f"job {number}" if sink is None else f"job {number} to {sink}")
    return at.journal.jobs.get(number).state.value


def act_on_each(at: ConsoleContext, who: Visitor, numbers: Sequence[int], verb: str) -> list[tuple[int, str]]:
    """Do one thing to each job; one that refuses does not keep the others from being done. What became of each, in words."""
    said = []
    for number in numbers:
        try:
            said.append((number, f"is {act(at, who, number, verb)} now"))
        except RequestRefused as refused:
            said.append((number, f"was left as it is: {refused.words}"))
    return said


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
    _tell(at, who, "complete", f"study {uid}")
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
    _tell(at, who, "retry", f"study {uid}")
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
    found = held_instances.held_of(at.journal.held, uid, part)
    if not found:
        raise RequestRefused(HTTPStatus.CONFLICT, "nothing of this is held any more")
    if seen not in (None, len(found)):
        raise RequestRefused(HTTPStatus.CONFLICT, "more came, or somebody else decided, since the page was made: look again")
    by = f"{who.name} at the console"
    if verb == "accept":
        many = held_instances.accept(at.journal.held, found, at.peers(), at.journal.now, by=by)
    else:
        many = held_instances.refuse(at.journal.held, found, at.journal.now, by=by)
    _tell(at, who, f"{verb}-held", f"study {uid}")
    return many


def pause(at: ConsoleContext, who: Visitor, kind: Pausable, name: str) -> None:
    """Hold back a route, a sink or an engine; intake goes on.

    Raises
    ------
    RequestRefused
        There is none of this name.
    """
    if name not in at.pausable()[kind]:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no {kind} of this name")
    at.journal.pauses.add(kind, name, at.journal.now())
    _tell(at, who, "pause", f"{kind} {name}")


def resume(at: ConsoleContext, who: Visitor, kind: Pausable, name: str) -> None:
    """Let it go on.

    Raises
    ------
    RequestRefused
        It is not paused.
    """
    if not at.journal.pauses.remove(kind, name):
        raise RequestRefused(HTTPStatus.CONFLICT, f"this {kind} is not paused")
    _tell(at, who, "resume", f"{kind} {name}")


def make_room(at: ConsoleContext, who: Visitor) -> int:
    """Delete the oldest pixels that nothing needs until the disk is roomy again; of how many instances.

    Raises
    ------
    RequestRefused
        Nothing may be deleted.
    """
    many: int | None = None
    try:
        many = at.make_room()
    finally:
        if many != 0:  # what broke off may have deleted some
            _tell(at, who, "make room of", "instances, until it broke off" if many is None else f"{many} instances")
    if not many:
        words = "nothing was deleted: there is room, or all that is kept waits, is parked, held or promised; free the disk otherwise"
        raise RequestRefused(HTTPStatus.CONFLICT, words)
    return many


def ask_again(at: ConsoleContext, who: Visitor, kind: DependencyKind, name: str) -> None:
    """Have a peer (C-ECHO), a sink or an engine asked now how it is.

    Raises
    ------
    RequestRefused
        There is none that can be asked.
    """
    if not at.health.forget(kind, name):
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no {kind} of this name that can be asked")
    at.health.look()
    _tell(at, who, "ask", f"{kind} {name}")


def _tell(at: ConsoleContext, who: Visitor, verb: str, subject: str) -> None:
    """Tell what was done, and have the first page look anew."""
    tell(ConsoleActed(account=who.name, address=who.address, verb=verb, subject=subject))
    at.health.forget()
