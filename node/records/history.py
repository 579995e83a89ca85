"""The journal's history line by line, as people and scripts read it."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from node.observe.events import without_patients
from node.records.remedies import remedy
from node.records.words import stamp

if TYPE_CHECKING:
    from node.journal.port import LocatedEvent

WORDS: Final[Mapping[str, str]] = {
    "arrival.received": "images come in",
    "arrival.complete": "complete",
    "arrival.routed": "the routes have decided",
    "arrival.waits": "waits",
    "arrival.counted": "the sender was asked how many images it has",
    "arrival.prior_left_out": "an earlier study was left out",
    "arrival.overtaken": "a newer revision stands for this one",
    "arrival.retry": "routing it failed, and is tried again",
    "arrival.parked": "routing it failed: a person decides",
    "job.queued": "waits for its turn",
    "job.claimed": "is being worked on",
    "job.released": "goes back into the queue: the process that had it is gone",
    "job.joined": "another route asked for the same",
    "job.parted": "goes on without the routes whose demands the application does not answer",
    "job.asked_otherwise": "was analysed for what its route asks by now",
    "job.analysed": "computed",
    "job.inferred": "findings are kept",
    "job.made": "results are made",
    "job.encoded": "results are kept and checked",
    "job.sent": "sent",
    "job.done": "done",
    "job.retry": "failed, and is tried again",
    "job.hastened": "a person had it tried at once",
    "job.moved_up": "waited for long, and moved up",
    "job.parked": "stopped: a person decides",
    "job.failed": "failed for good",
    "job.not_applicable": "not made for this series: nothing is to be done",
    "job.cancelled": "cancelled",
    "job.superseded": "a newer analysis takes its place",
    "job.prior_mistaken": "it was compared with another patient's images",
    "delivery.waiting": "results wait to be sent",
    "delivery.claimed": "sending",
    "delivery.released": "waits to be sent again: the process that sent it is gone",
    "delivery.retry": "not all was taken; the rest is sent again",
    "delivery.form": "form of the masks",
    "delivery.left_out": "objects that the sink does not take were left out",
    "delivery.cine_masks_left_out": "masks that a viewer would show on other phases, or fail at, were left out",
    "delivery.wanting": "objects that the profile asks for were not made",
    "delivery.again": "everything is sent again",
    "delivery.delivered": "delivered",
    "delivery.asked": "storage commitment is asked for",
    "delivery.reported": "the report on the commitment came",
    "delivery.committed": "the sink has committed to keep it",
    "delivery.uncommitted": "delivered, without the commitment that was asked for",
    "delivery.parked": "refused: a person decides",
    "delivery.cancelled": "not sent any more",
    "commitment.begun": "storage commitment is about to be asked for",
    "commitment.accepted": "the archive will report",
    "commitment.refused": "the archive would not; it is asked again",
    "commitment.reported": "the archive's report came",
    "request.received": "a peer asks this node to commit",
    "request.again": "a peer asks for the same again",
    "request.judged": "the answer is kept",
    "request.reported": "the peer has the answer",
    "request.unreported": "the peer never took the answer",
    "instance.duplicate": "came again, the same",
    "instance.conflict": "came again with other pixels: kept, not used",
    "instance.held": "held: a person decides",
    "instance.accepted": "what was held counts now",
    "instance.held_refused": "what was held is not used",
    "instance.replaced": "came again with a corrected header",
    "instance.restored": "deleted pixels came again",
    "instance.purged": "pixels were deleted by age",
    "instance.committed_to": "this node has committed to keep it",
    "instance.erased": "erased on request",
    "instance.own_result": "a result of this node came back",
    "instance.other_result": "a result of another node came",
}
"""What an event's name means to a person, as what its subject does; docs/reference/events.md says it at length."""


_DIGEST = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")


def located_record(one: "LocatedEvent") -> dict[str, Any]:
    """One line for scripts, without what its sentence quotes of data sets, unless the configuration lets logs tell that."""
    code = one.event.code
    said = {
        "number": one.number,
        "at": stamp(one.event.at),
        "event": one.event.name,
        "subject": one.event.subject,
        "study_uid": one.study_instance_uid,
        "job": one.job,
        "application": one.application,
        "peer": one.peer,
        "sink": one.sink,
        "code": code,
        "detail": one.event.detail,
        "remedy": remedy(code) if code else None,
    }
    return without_patients(said)


def about_in_words(said: Mapping[str, Any]) -> str:
    """What a record is about: `job 12 mr-brain`, `to archive, job 12`, `study from ct1`."""
    job = f"job {said['job']}" if said["job"] is not None else ""
    match said["subject"]:
        case "job":
            return f"{job} {said['application']}" if job else "a job that is gone"
        case "delivery":
            return f"to {said['sink']}, {job}" if said["sink"] else "a delivery that is gone"
        case "commitment":
            return f"commitment of {said['peer']}, {job}" if said["peer"] else "a commitment that is gone"
        case "request":
            return f"commitment for {said['peer'] or 'a peer'}"
        case "arrival":
            return f"study from {said['peer'] or 'a stranger'}"
        case _ if said["event"] == "instance.erased":
            return "images"
        case _:
            return f"image from {said['peer']}" if said["peer"] else "an image"


def event_in_words(said: Mapping[str, Any]) -> str:
    """What happened, with the detail behind it where that says more than the words."""
    words = name_in_words(said["event"])
    detail = detail_in_words(said["detail"])
    return f"{words}: {detail}" if detail else words


def name_in_words(name: str) -> str:
    """An event's name as a person says it; one that has no words yet without its subject."""
    return WORDS.get(name, name.partition(".")[2].replace("_", " "))


def detail_in_words(detail: str) -> str:
    """A detail; of one that is written for programs (`job.analysed`) the seconds, of a SHA-256 what tells it from others."""
    if not detail.startswith("{"):
        return _DIGEST.sub(r"\1…", detail)
    try:
        measured = json.loads(detail)
    except ValueError:
        return detail
    took = measured.get("took_s") if isinstance(measured, dict) else None
    return ", ".join(f"{name} {seconds:g} s" for name, seconds in took.items()) if isinstance(took, dict) else ""
