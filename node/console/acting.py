"""What an operator does to jobs: pages and API do the same."""

from http import HTTPStatus

from node.console.access import Visitor
from node.console.asking import job
from node.console.desk import Desk
from node.console.errors import Refused
from node.domain.errors import JournalError
from node.domain.state import JobState
from node.observe.events import event


def act(at: Desk, who: Visitor, number: int, verb: str) -> str:
    """Retry or cancel; the state that the job is in now.

    Raises
    ------
    Refused
        There is no such job or verb, or the job's state does not allow it.
    """
    before, now = job(at, who, number), at.journal.now()
    try:
        if verb == "retry":
            at.journal.revive_job(number, now)
        elif verb == "cancel":
            if not at.journal.end_job(
                number, None, JobState.CANCELLED, before["code"] or "", f"cancelled by {who.name} at the console", now
            ):
                raise Refused(HTTPStatus.CONFLICT, f"job {number} is {at.journal.job(number).state}: it was not cancelled")
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "jobs are retried or cancelled")
    except JournalError as refused:
        if refused.retry:
            raise
        raise Refused(HTTPStatus.CONFLICT, str(refused)) from refused
    event("console.acted", account=who.name, verb=verb, job=number)
    return at.journal.job(number).state.value
