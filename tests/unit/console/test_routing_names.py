"""The page of routes and patients: who is told what was found, and that the audit trail hears of it."""

import re
from datetime import timedelta

import pytest

from node.domain.account import Role
from node.domain.instance import Header
from node.observe.audit.message import Message, StudyObject
from node.settings.console import Console
from tests.lab.program import wait_until
from tests.unit.cli.conftest import REFUSED, TILTED, Hospital
from tests.unit.console.conftest import Open, browsers
from tests.unit.console.test_routing import ROUTES, THINNER, token, with_others

_PATIENCE_S = 120
STUDY = "1.2.826.0.1.3680043.8.498.9"
CODED = ROUTES.replace('SeriesDescription: {matches: "(?i)t1|mprage"}, ', "").replace("min: 3", "min: 99")
"""Rules about codes and numbers alone, which change what was decided about heads."""


@pytest.mark.slow
def test_the_studies_that_a_replay_shows_are_told_to_the_audit_trail(hospital: Hospital) -> None:
    """Each once, however often somebody looks how far it is."""
    told: list[Message] = []
    for open_ in browsers(hospital, told=told):
        mine = open_("otto")
        mine.post("/routes/replay", text=THINNER, since="2025-03-04")
        wait_until(lambda mine=mine: mine.client.get("/api/routes/replays/1").json()["state"] == "done", _PATIENCE_S, "the replay is done")  # type: ignore[misc]
        mine.client.get("/routes/replays/1")
    seen = [one.study_instance_uid for each in told for one in each.objects if isinstance(one, StudyObject)]
    assert sorted(seen) == sorted([TILTED, REFUSED])


@pytest.fixture
def names_for_admins(browser: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The console of a hospital where names are an admin's alone."""
    settings = Console(host="127.0.0.1", port=0, names=Role.ADMIN, session=timedelta(hours=1))
    mine = browser()
    monkeypatch.setattr(mine.client.app.state, "context", with_others(mine, settings=settings))  # type: ignore[attr-defined]


_MORE = ("PatientSex", "ResponsiblePerson", "StudyDescription", "SeriesDescription", "ImageComments", "AdmissionID")


@pytest.mark.parametrize("keyword", ["PatientName", *(pytest.param(one, marks=pytest.mark.slow) for one in _MORE)])
@pytest.mark.usefixtures("names_for_admins")
def test_a_patient_is_not_found_out_by_trying_rules(browser: Open, keyword: str) -> None:
    """An operator's rules about the patient, or about what people typed, are not tried: the verdicts would tell the name."""
    asking = CODED.replace("Modality: CT", f'{keyword}: "Doe*"')
    otto, ada = browser("otto"), browser("ada")
    for verb, status in (("explain", 404), ("replay", 422)):
        assert otto.post(f"/routes/{verb}", text=asking, study="1.2.3", since="lately") == 403
        assert otto.post(f"/routes/{verb}", text=CODED, study="1.2.3", since="lately") == status
        assert ada.post(f"/routes/{verb}", text=asking, study="1.2.3", since="lately") == status


@pytest.mark.slow
@pytest.mark.usefixtures("names_for_admins")
def test_a_name_in_a_description_is_in_no_answer(browser: Open, hospital: Hospital) -> None:
    """A technician typed it; the routes in force asked for descriptions, and found it. Admins are told, operators not, by any answer."""
    t1: Header = {"Modality": ("MR",), "SeriesDescription": ("T1 of Roe, Jane",)}
    flair: Header = {"Modality": ("MR",), "SeriesDescription": ("FLAIR of Roe, Jane",)}
    hospital.route(hospital.receive(STUDY, "pacs", "HILUM", (5, t1), (3, flair)))
    for name in ("ada", "otto"):
        mine = browser(name)
        headers = token(hospital, Role.ADMIN if name == "ada" else Role.OPERATOR)
        fields = {"form_token": mine.form_token, "text": CODED, "study": STUDY, "since": "2025-03-04"}
        answers = [
            mine.client.post("/routes/explain", data=fields).text,
            mine.client.post(f"/api/routes/explain?study={STUDY}", content=CODED, headers=headers).text,
        ]
        begun = re.search(r"/routes/replays/([0-9]+)", mine.client.post("/routes/replay", data=fields).text)
        assert begun is not None
        replay = f"/api{begun[0]}"
        wait_until(lambda mine=mine, at=replay: mine.client.get(at).json()["state"] == "done", _PATIENCE_S, "the replay is done")  # type: ignore[misc]
        answers += [mine.client.get(replay).text, mine.client.get(begun[0]).text]
        assert STUDY in answers[2], "it would be routed otherwise"
        assert ["Jane" in one for one in answers] == [name == "ada"] * 4, answers
