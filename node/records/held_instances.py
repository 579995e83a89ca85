"""What is held, for scripts and for pages: how many instances of which series, from whom, and why; and studies that have no arrival. No
patient name and no identifier."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from node.domain.instance import HeldFor, Instance
from node.records.words import stamp

if TYPE_CHECKING:
    from node.journal.journal import Journal

HELD = "held"
RESULTS = "results"
_WITHOUT_ARRIVAL: dict[str, Any] = {
    "application": None,
    "code": None,
    "instances": 0,
    "attempts": 0,
    "conflicts": 0,
    "held": 0,
    "held_because": [],
    "revision": 0,
    "due_at": None,
    "waits": None,
    "incomplete": [],
    "jobs": [],
}
"""What a study's record says that has no arrival (`node.records.studies.study_record`)."""
_SAYS = {
    HeldFor.IDENTITY: "they name another patient (PatientID, IssuerOfPatientID) or study than the series, or the study, has",
    HeldFor.ADDED: "they were added to a series that another sender sent first",
    HeldFor.REWRITTEN: "they rewrite instances that another sender sent first",
}
_BRIEFLY = {
    HeldFor.IDENTITY: "another patient or study",
    HeldFor.ADDED: "added by another sender",
    HeldFor.REWRITTEN: "rewritten by another sender",
}


def held_briefly(held: Sequence[Instance]) -> list[str]:
    """Why instances are held, each reason once, in a few words for lists."""
    reasons = {one.held_for for one in held}
    return [words for why, words in _BRIEFLY.items() if why in reasons]


def held_records(held: Sequence[Instance]) -> list[dict[str, Any]]:
    """What is held, by series, sender and reason, in the order in which it came."""
    groups: dict[tuple[str, str, str, HeldFor], list[Instance]] = {}
    for one in held:
        if one.held_for is not None:
            sender = f"{one.calling_ae}@{one.address}"
            groups.setdefault((one.study_instance_uid, one.series_instance_uid, sender, one.held_for), []).append(one)
    return [
        {
            "study_uid": study,
            "series_uid": series,
            "sender": sender,
            "peer": members[0].peer,
            "held_for": why.value,
            "reason": _SAYS[why],
            "instances": len(members),
            "sop_instance_uids": [one.sop_instance_uid for one in members],
            "received_at": stamp(members[0].received_at),
        }
        for (study, series, sender, why), members in groups.items()
    ]


def studies_of_results(opened: "Journal", limit: int) -> list[dict[str, Any]]:
    """Studies of which nothing came but what says that hilum made it, and this node did not: no arrival tells of them."""
    return [
        {
            **_WITHOUT_ARRIVAL,
            "study_uid": one.study_instance_uid,
            "state": RESULTS,
            "reason": f"{len(opened.instances.other_results(one.study_instance_uid))} received; all say that hilum made them, and this "
            "node did not: kept, never analysed",
            "peer": one.peer,
            "called": one.called_ae,
            "received_at": stamp(one.received_at),
        }
        for one in opened.instances.results_alone(limit=limit)
        if not opened.held.find(study=one.study_instance_uid, limit=1)
    ]


def held_studies(opened: "Journal") -> list[dict[str, Any]]:
    """Studies of which nothing but held instances came: no arrival tells of them."""
    studies: dict[str, int] = {}
    for one in opened.held.by_series():
        studies[one.study_instance_uid] = studies.get(one.study_instance_uid, 0) + one.instances
    found: list[dict[str, Any]] = []
    for uid, many in studies.items():
        if opened.arrivals.find(study=uid, limit=1):
            continue
        held = opened.held.find(study=uid)
        if not held:
            continue  # a person decided about it in this moment
        first = held[0]
        found.append(
            {
                **_WITHOUT_ARRIVAL,
                "study_uid": uid,
                "state": HELD,
                "reason": "all that came of it is held",
                "peer": first.peer,
                "called": first.called_ae,
                "held": many,
                "held_because": held_briefly(held),
                "received_at": stamp(first.received_at),
            }
        )
    return found
