"""What of a record says whose study it is, left out for those who may not know. Reasons that quote a condition on the patient are, too."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from node.dicom.vr import identifies, quotes
from node.domain.instance import Header

HIDDEN = "hidden"
_QUOTED = re.compile("«[^»]*(?:»|$)")  # what `inference.errors.quoted` puts around values of data sets
_SIDES = ("before", "after")
_CODE = re.compile(r"[A-Z0-9]{1,16}")


def person(header: Header | None) -> dict[str, str]:
    """Name and ID of a study's patient, and the study's own words, as its newest header has them."""
    said = {
        "patient_name": "PatientName",
        "patient_id": "PatientID",
        "accession": "AccessionNumber",
        "study_date": "StudyDate",
        "description": "StudyDescription",
        "modality": "Modality",
    }
    return {name: str(next(iter((header or {}).get(keyword, ())), "")) for name, keyword in said.items()}


def without_person(one: Mapping[str, str]) -> dict[str, str]:
    """Only what is not about the patient: descriptions are written by people, and may be."""
    return {name: code(value) if name == "modality" else "" for name, value in one.items()}


def without_patients(passport: dict[str, Any]) -> dict[str, Any]:
    """A passport without what people wrote about its series, whose decisions do not tell the patient's data that a route asks for."""
    return {
        **passport,
        "arrivals": [{**one, "decisions": decisions(one["decisions"])} for one in passport["arrivals"]],
        "series": [
            {**one, "description": "", "number": _of_digits(one["number"]), "modality": code(one["modality"])} for one in passport["series"]
        ],
        "jobs": [job(one) for one in passport["jobs"]],
        "other_results": [
            {**one, "description": "", "application": "", "software": [], "modality": code(one["modality"])}
            for one in passport["other_results"]
        ],
    }


def job(record: Mapping[str, Any]) -> dict[str, Any]:
    """A job without what people wrote about the series that it uses, and when those were taken."""
    series = [{**one, "description": "", "number": _of_digits(one["number"]), "study_date": ""} for one in record["series"]]
    return {**record, "series": series}


def code(said: str | None) -> str:
    """A code string (PS3.5 6.2), if it is one: a sender may have put any text in its place."""
    return said if said and _CODE.fullmatch(said) else ""


def _of_digits(said: str | None) -> str:
    return said if said and said.isdecimal() else ""


def decisions(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Decisions that do not tell the patient's data that a route asks for."""
    told = []
    for one in records:
        asks = any(map(_asks, one["conditions"]))
        told.append(
            {**one, "conditions": _conditions(one["conditions"]), "reason": HIDDEN if asks and not one["matched"] else one["reason"]}
        )
    return told


def _conditions(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **each,
            **({"found": HIDDEN} if _asks(each) or quotes(each["found"]) else {}),
            **({"entries": [_conditions(entry) for entry in each["entries"]]} if "entries" in each else {}),
        }
        for each in records
    ]


def _asks(condition: Mapping[str, Any]) -> bool:
    """Whether a condition is about the patient, or has one in it that is."""
    return identifies(condition["key"]) or any(_asks(each) for entry in condition.get("entries", ()) for each in entry)


def differences(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What would be decided otherwise, without the patient's data that routes ask for, then or now."""
    told = []
    for one in records:
        telling = [
            each for each in one["conditions"] if identifies(each["key"]) or any(each[s] and quotes(each[s]["found"]) for s in _SIDES)
        ]
        conditions = [
            {**each, **{side: each[side] and {**each[side], "found": HIDDEN} for side in _SIDES}} if each in telling else each
            for each in one["conditions"]
        ]
        sides = {
            side: {**one[side], "reason": HIDDEN if telling or quotes(one[side]["reason"]) else one[side]["reason"]} for side in _SIDES
        }
        told.append({**one, **sides, "conditions": conditions})
    return told


def unquoted(record: Any) -> Any:
    """A record without what its sentences quote of data sets."""
    if isinstance(record, str):
        return _QUOTED.sub("«…»", record)
    if isinstance(record, dict):
        return {name: unquoted(value) for name, value in record.items()}
    return [unquoted(one) for one in record] if isinstance(record, list) else record


def reason_of(study: Mapping[str, Any]) -> str | None:
    """The reason of a study in a list; hidden where it quotes what a route asked of the patient."""
    reason = study["reason"]
    told = reason is not None and study["code"] is None and quotes(reason)
    return HIDDEN if told else reason
