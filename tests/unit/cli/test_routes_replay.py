"""`hilum routes replay`: what an edited configuration would have done, of a day in a hospital; and since when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.cli.ending import WrongWords
from node.cli.opened import moment
from tests.unit.cli.conftest import CONFIG, HEAD, REFUSED, TILTED, Hospital, Run

EDITED = CONFIG.replace("SliceThickness: {max: 5}", "SliceThickness: {max: 1}")
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def test_an_edited_rule_is_told_with_the_studies_that_it_would_change(hospital: Hospital, run: Run, place: Path) -> None:
    """Two chests of 1.25 mm would not be taken; the head, the ultrasound and the one that still comes are not spoken of."""
    (place / "edited.yaml").write_text(EDITED, encoding="utf-8")
    said = run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml", "--json")
    assert (said.code, said.err) == (0, "")
    assert [(one["study_uid"], one["route"]) for one in said.json["differences"]] == [(TILTED, "chest CT"), (REFUSED, "chest CT")]
    first = said.json["differences"][0]
    assert (first["before"]["chosen"], first["after"]["chosen"], first["peer"]) == (True, False, "ct1")
    assert first["before"]["runs"] == [{"application": "ct-lung", "sinks": ["archive", "copies"], "urgency": ""}]
    assert first["conditions"] == [
        {
            "key": "SliceThickness",
            "before": {"expected": "at most 5", "found": "1.25", "held": True},
            "after": {"expected": "at most 1", "found": "1.25", "held": False},
        }
    ]
    assert (said.json["arrivals"], said.json["decided"], said.json["forgotten"]) == (4, 4, 0)
    assert first["decided_by"] == hospital.config.digest != said.json["digest"]
    assert run("routes", "replay", "--against", "edited.yaml", "--json").json["differences"] == said.json["differences"], "the last 200"
    shown = " ".join(run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml").out.split())
    assert "chest CT: run (ct-lung to archive and copies) → not run" in shown
    assert "SliceThickness: at most 5, found 1.25: holds → at most 1, found 1.25: does not hold" in shown
    assert "2 decisions would differ, in 2 studies; routes: chest CT" in shown
    assert HEAD not in shown


def test_the_same_routes_change_nothing_and_a_bad_file_is_refused(hospital: Hospital, run: Run, place: Path) -> None:
    """Without --against it is the configuration as it is now."""
    assert "nothing would differ" in run("routes", "replay", "--since", "2025-03-04").out
    (place / "edited.yaml").write_text(CONFIG.replace("Modality", "Modalty"), encoding="utf-8")
    refused = run("routes", "replay", "--since", "30d", "--against", "edited.yaml")
    assert (refused.code, 'did you mean "Modality"?' in refused.err) == (1, True)
    refused = run("routes", "replay", "--since", "lately")
    assert (refused.code, "HLM-2064" in refused.err) == (1, True)


def test_another_priority_is_told_and_what_cannot_be_compared_is_counted(hospital: Hospital, run: Run, place: Path) -> None:
    """Chests within ten minutes, and heads compared with a prior: of those it is said that nobody knows whether there was one."""
    sooner = CONFIG.replace("    priority: urgent\n", "    priority: urgent\n    deadline: 10m\n")
    text = sooner.replace("run: [mr-brain]", "run: [mr-register]")
    (place / "edited.yaml").write_text(text, encoding="utf-8")
    shown = " ".join(run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml").out.split())
    assert "→ run (mr-register where there is a prior)" in shown
    assert "1 comparison asked for: whether a prior was there then is not replayed" in shown
    answer = run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml", "--json").json
    assert (answer["priors"], answer["urgencies"]) == (1, 0)
    chests = [one for one in answer["differences"] if one["route"] == "chest CT"]
    said = [each["urgency"] for one in chests for each in (*one["before"]["runs"], *one["after"]["runs"])]
    assert said == ["routine, no deadline", "urgent, within 10 min"] * 2


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30d", NOW - timedelta(days=30)),
        ("90m", NOW - timedelta(minutes=90)),
        ("1000000000d", NOW - timedelta(days=73_000)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T14:30", datetime(2026, 3, 1, 14, 30, tzinfo=UTC)),
        ("2026-03-01T14:30+02:00", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_since_is_so_long_ago_or_a_date(text: str, meant: datetime) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "30", "yesterday"])
def test_since_is_nothing_else(text: str) -> None:
    with pytest.raises(WrongWords):
        moment(text, NOW)


def test_a_version_that_nothing_here_has_is_told_beside_what_would_differ(hospital: Hospital, run: Run, place: Path) -> None:
    """By the sentence that `hilum config check` has; of what is served nothing is said."""
    (place / "edited.yaml").write_text(CONFIG.replace("run: [ct-lung]", "run: [ct-lung@9.1]"), encoding="utf-8")
    shown = " ".join(run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml").out.split())
    (said,) = run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml", "--json").json["unserved"]
    assert "9.1" in said
    assert f"{said}: its jobs would be parked" in shown
    assert said in run("config", "check", "--config", "edited.yaml").err.replace("\n", " ")
    assert run("routes", "replay", "--since", "2025-03-04", "--json").json["unserved"] == []


def test_what_is_not_accepted_is_told_beside_what_would_differ(hospital: Hospital, run: Run, place: Path) -> None:
    """Its jobs would be parked, and no study shows it."""
    (place / "edited.yaml").write_text(CONFIG.replace("run: [mr-brain]", "run: [bright-lesion]\n    accepted: required"), encoding="utf-8")
    shown = " ".join(run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml").out.split())
    (said,) = run("routes", "replay", "--since", "2025-03-04", "--against", "edited.yaml", "--json").json["unaccepted"]
    assert 'route "head MR": bright-lesion' in said
    assert f"{said}: its jobs would be parked" in shown
    assert run("routes", "replay", "--since", "2025-03-04", "--json").json["unaccepted"] == []


def test_what_no_acceptance_test_compares_cannot_be_asked_for_as_accepted(hospital: Hospital, run: Run, place: Path) -> None:
    """The check of the configuration says so, and what to do; each job of the route would be parked for ever."""
    text = CONFIG.replace("run: [mr-brain]", "run: [mr-register]\n    accepted: required")
    (place / "edited.yaml").write_text(text, encoding="utf-8")
    (remark,) = [one for one in run("config", "check", "--config", "edited.yaml", "--json").json["remarks"] if "cannot be accepted" in one]
    assert "mr-register takes pair; an acceptance test compares applications that take one series: this one cannot be accepted" in remark
    assert "Take `accepted: required` out of the route" in remark
