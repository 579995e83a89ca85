"""Which series a job uses, for its page and the passport: its own, a prior that it compares with, the other views of a study."""

from collections.abc import Sequence
from typing import Any

from node.domain.instance import Instance
from node.domain.job import Job
from node.domain.patient import studied_at
from node.records.words import plural

_WORDS = {"prior": "compared with", "with": "together with"}


def series_records(job: Job, instances: Sequence[Instance]) -> list[dict[str, Any]]:
    """For scripts, the job's own series first. `role` is "own", "prior" (of another study) or "with" (of the same)."""
    by_series: dict[tuple[str, str], list[Instance]] = {}
    for one in instances:
        by_series.setdefault((one.study_instance_uid, one.series_instance_uid), []).append(one)
    own = job.series_instance_uid
    return [
        {
            "study_uid": study,
            "series_uid": series,
            "role": "own" if series == own else "with" if study == job.study_instance_uid else "prior",
            "number": _first(members[0], "SeriesNumber"),
            "description": _first(members[0], "SeriesDescription"),
            "study_date": studied_at(members[0].header)[:8],
            "instances": len(members),
        }
        for (study, series), members in sorted(by_series.items(), key=lambda each: (each[0][1] != own, each[0]))
    ]


def own_instances(content: dict[str, Any]) -> int:
    """How many instances of its own series a job uses."""
    return sum(int(one["instances"]) for one in content["series"] if one["role"] == "own")


def other_series(content: dict[str, Any]) -> list[tuple[str, str]]:
    """What a job uses beside its own series, in words."""
    return [(_WORDS[one["role"]], _said(one)) for one in content["series"] if one["role"] != "own"]


def _said(one: dict[str, Any]) -> str:
    day = one["study_date"]
    of = f"of {day[:4]}-{day[4:6]}-{day[6:]}" if one["role"] == "prior" and day else ""
    counted = f"{one['series_uid']} ({plural(one['instances'], 'instance')})"
    return " ".join(word for word in (one["description"], of, counted) if word)


def _first(one: Instance, keyword: str) -> str:
    return next((str(value) for value in one.header.get(keyword, ())), "")
