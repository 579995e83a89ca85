"""The queue and the list of jobs: whose they are to those who may see it, why they wait, filters, and what is done to several at once."""

import pytest

from node.domain.state import DeliveryState, JobState
from node.observe.audit.message import Message
from node.records.history import detail_in_words
from tests.unit.cli.conftest import HEAD, REFUSED, TILTED, Hospital
from tests.unit.console.conftest import Open, patient_in
from tests.unit.console.test_status import told

__all__ = ["told"]


@pytest.mark.parametrize(("name", "sees"), [("vera", False), ("otto", True)])
def test_the_queue_names_patients_to_those_who_may_see_them(browser: Open, name: str, sees: bool) -> None:
    """On the page, in the list of jobs and in the calls; the age in minutes and the reason stand there for everybody."""
    client = browser(name).client
    for path in ("/queue", "/jobs", "/api/queue", "/api/jobs"):
        text = client.get(path).text
        assert patient_in(text) == (sees, sees), path
        assert "HLM-6100" in text, path
    line = next(one for one in client.get("/api/jobs").json()["jobs"] if one["state"] == "parked")
    assert line["code"] == "HLM-3017"
    assert line["age_s"] > 60


def test_what_waits_says_why_and_when_it_is_tried_next(browser: Open, hospital: Hospital) -> None:
    """A paused engine, and a job that is due later."""
    mine = browser("otto")
    (tilted,) = hospital.journal.jobs.find(study=TILTED)
    assert mine.post("/pauses/engine/default/pause") == 303
    assert mine.post(f"/jobs/{tilted.id}/retry") == 303
    line = next(one for one in mine.client.get("/api/queue").json()["going"] if one["id"] == tilted.id)
    assert line["waits"] == 'waits: engine "default" is paused'
    assert line["next_try_at"] is None


@pytest.mark.parametrize(
    ("asked", "studies"),
    [
        ("state=parked", [REFUSED, TILTED]),  # the delivery's job too
        ("state=done", [HEAD]),
        ("sender=pacs", [HEAD]),
        ("sender=ct1", [REFUSED, TILTED]),
        ("route=head+MR", [HEAD]),
        ("route=chest+CT&state=parked", [REFUSED, TILTED]),
        ("application=ct-lung&state=parked", [REFUSED, TILTED]),
        ("code=hlm-6100", [REFUSED]),
        ("code=HLM-3017", [TILTED]),
        ("day=2025-03-04", [REFUSED, TILTED, HEAD]),
        ("day=2025-03-05", []),
        ("sender=%27+OR+1%3D1", []),
    ],
)
def test_jobs_are_filtered(browser: Open, asked: str, studies: list[str]) -> None:
    """By state, sender, route, application, code and day; the newest first."""
    client = browser("vera").client
    assert [one["study_uid"] for one in client.get(f"/api/jobs?{asked}").json()["jobs"]] == studies
    assert client.get(f"/jobs?{asked}").status_code == 200


def test_a_filter_that_is_none_is_refused(browser: Open) -> None:
    """With a sentence; a page of nothing says what to do next."""
    client = browser("vera").client
    assert client.get("/jobs?state=sleeping").status_code == 422
    assert client.get("/jobs?day=yesterday").status_code == 422
    assert client.get("/jobs?day=9999-12-31").status_code == 422, "no day follows"
    assert client.get("/jobs?day=0001-01-01").status_code in (200, 422), "in a zone east of Greenwich it begins before there are years"
    assert "Take a filter away" in client.get("/jobs?code=HLM-9999").text


def test_several_jobs_are_cancelled_at_once(browser: Open, hospital: Hospital, told: list[Message]) -> None:
    """What refuses keeps no other from being done, and is named with its reason; each is told to the audit trail by itself."""
    mine = browser("otto")
    (head,), (tilted,), (refused,) = (hospital.journal.jobs.find(study=uid) for uid in (HEAD, TILTED, REFUSED))
    data = {"form_token": mine.form_token, "verb": "cancel", "job": [str(one.id) for one in (head, tilted, refused)], "back": "/jobs?day=x"}
    answer = mine.client.post("/jobs/chosen", data=data)
    assert answer.status_code == 200
    assert f"Job {tilted.id} is cancelled now" in answer.text
    assert f"Job {head.id} was left as it is: " in answer.text
    assert hospital.journal.jobs.get(tilted.id).state is JobState.CANCELLED
    assert hospital.journal.deliveries.find(states=(DeliveryState.PARKED,)) == []
    acts = [str(getattr(one.objects[0], "description", "")) for one in told if one.kinds and one.kinds[0].value == "110132"]
    assert acts == [f"done at the console: cancel job {one.id}" for one in (tilted, refused)]


def test_several_jobs_are_no_way_round_the_rules(browser: Open, hospital: Hospital) -> None:
    """Not for a viewer, nor without the session's token, nor with nothing ticked, another verb, or numbers that are none."""
    (tilted,) = hospital.journal.jobs.find(study=TILTED)
    number = str(tilted.id)
    assert browser("vera").post("/jobs/chosen", verb="cancel", job=number) == 403
    mine = browser("otto")
    assert mine.client.post("/jobs/chosen", data={"form_token": "0" * 64, "verb": "cancel", "job": number}).status_code == 403
    assert mine.post("/jobs/chosen", verb="cancel") == 422
    assert mine.post("/jobs/chosen", verb="erase", job=number) == 422
    assert mine.post("/jobs/chosen", verb="cancel", job="7 OR 1=1") == 422
    assert mine.post("/jobs/chosen", verb="cancel", job="9" * 30) == 422
    assert hospital.journal.jobs.get(tilted.id).state is JobState.PARKED


def test_results_are_sent_again_to_one_sink_or_to_all(browser: Open, hospital: Hospital) -> None:
    """As `hilum jobs resend` does; there is no sink of another name."""
    mine = browser("otto")
    (head,) = hospital.journal.jobs.find(study=HEAD)
    assert "Send again" in mine.client.get(f"/studies/{HEAD}").text
    assert mine.post(f"/jobs/{head.id}/resend", sink="copies", study=HEAD) == 303
    assert {one.sink: one.state for one in hospital.journal.deliveries.find(job=head.id)}["copies"] is DeliveryState.WAITING
    assert mine.post(f"/jobs/{head.id}/resend", sink="arhcive") == 404
    assert mine.post(f"/jobs/{head.id}/resend") == 303
    assert {one.state for one in hospital.journal.deliveries.find(job=head.id)} == {DeliveryState.WAITING}
    assert browser("vera").post(f"/jobs/{head.id}/resend") == 403
    assert mine.post(f"/jobs/{head.id}/afresh") == 409, "its results are made"


def test_tries_of_the_same_thing_are_one_line_of_the_history() -> None:
    """With how often, and until when; what comes between begins another."""
    from node.console.rendering import fold

    names = ("job.queued", *("job.claimed", "job.retry") * 3, "job.claimed", "job.inferred")
    history = [{"at": f"{number}", "name": name, "subject": "job 1", "detail": ""} for number, name in enumerate(names)]
    folded = fold(history)
    assert [(one["name"], [each["at"] for each in one["again"]]) for one in folded] == [
        ("job.queued", []),
        ("job.retry", ["4", "6"]),
        ("job.inferred", []),
    ]


def test_the_history_names_a_digest_by_its_begin() -> None:
    """A SHA-256 fills two lines of a narrow screen and tells a person no more; whatever is shorter or longer stays as it is."""
    digest = "0123456789abcdef" * 4
    assert detail_in_words(f"model {digest}") == "model 0123456789abcdef…"
    assert detail_in_words(f"model {digest}0") == f"model {digest}0"
    assert detail_in_words("job 12 archive") == "job 12 archive"
