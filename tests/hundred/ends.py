"""The ends that a study may come to, as a person sees them: from `hilum studies list` and the archive, and from nothing inside the node."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class End(StrEnum):
    """What became of a study."""

    RESULT = "result"
    DECLINED = "declined and said"
    HELD = "held and said"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """An object of the node's in the archive.

    Attributes
    ----------
    patient, refers_to
        Whose it claims to be, and every SOP Instance UID that it refers to.
    volumes
        In cm³, as a report states them.
    status
        Of a note that there is no result: its Summary of Analyses (111224 Failed, 111225 Not Attempted); "" of a result.
    text
        All that it says in TEXT items.
    """

    modality: str
    patient: str
    refers_to: frozenset[str]
    volumes: tuple[float, ...] = ()
    status: str = ""
    text: str = ""


def ends_of(listed: Mapping[str, Any] | None, objects: Sequence[Object]) -> frozenset[End]:
    """Every end that a study came to by what is listed of it and what the archive has; none is silence, several are a contradiction.

    What was declined is said to its operator, by code and reason, and to its reader, by one note that has the code, of every patient whom
    the study names. No note stands beside a result, and nothing in the archive where a study waits or no application is for it.

    Parameters
    ----------
    listed
        Its record of `hilum studies list --json`; None where it is not listed.
    """
    if listed is None:
        return frozenset()
    said = bool(listed["reason"])
    notes = [one for one in objects if one.status]
    results = len(objects) > len(notes)
    if listed["held"]:
        # what the first sender sent may go on: of it there may be results, which `wrongs_of` looks at
        return frozenset() if results and notes else frozenset({End.HELD})
    found = set()
    states = {job["state"] for job in listed["jobs"] if job["kind"] == "analysis"}
    if states == {"done"} and results and not notes and listed["state"] == "done":
        found.add(End.RESULT)
    if listed["state"] in ("parked", "failed") and listed["code"] and said and not results:
        told = [one for one in notes if one.status in NO_RESULT and listed["code"] in one.text]
        if told == notes and 0 < len(notes) == len({one.patient for one in notes}):
            found.add(End.DECLINED)
    if listed["state"] in ("waits", "incomplete") and said and not objects:
        found.add(End.HELD)
    if (states == {"not_applicable"} or (not states and listed["state"] == "routed")) and said and not objects:
        found.add(End.NOT_APPLICABLE)
    return frozenset(found)


NO_RESULT = ("111224", "111225")
"""(DCM, Failed) and (DCM, Not Attempted) of CID 6042."""


def wrongs_of(objects: Sequence[Object], instances: Mapping[str, Collection[str]]) -> list[str]:
    """What is not true of a study's objects: whose they are, and what they refer to.

    Parameters
    ----------
    instances
        By PatientID, what the archive has of the study.
    """
    wrongs = []
    for one in objects:
        if one.patient not in instances:
            wrongs.append(f"{one.modality} is of patient {one.patient!r}, not of {sorted(instances)}")
        strange = one.refers_to - set(instances.get(one.patient, ()))
        if strange:
            wrongs.append(f"{one.modality} refers to {len(strange)} instances of others, {min(strange)} among them")
    return wrongs


def wrong_volumes(objects: Sequence[Object], true_cm3: Sequence[float], *, within: float) -> list[str]:
    """What is wrong with the volumes that are stated: each thing has its own, once, with an error of at most this fraction."""
    stated = sorted(volume for one in objects for volume in one.volumes)
    true = sorted(true_cm3)
    if len(stated) == len(true) and all(abs(said - is_) <= within * is_ for said, is_ in zip(stated, true, strict=True)):
        return []
    return [f"volumes of {stated} cm³ are stated, and there are {[round(one, 2) for one in true]}"]
