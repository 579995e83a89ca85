"""What the reading verbs say of a day in a hospital, and what an operator's verbs change in the journal."""

import io
from dataclasses import replace
from datetime import timedelta
from threading import Timer
from typing import Any

import pytest

from node.domain.arrival import Completeness
from node.domain.instance import Header, HeldFor, Standing
from node.domain.job import Delivery, Demand, method_digest
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal.port import NewInstance
from node.records.studies import Ending, ending
from node.records.words import when

from .conftest import HEAD, OPEN, REFUSED, TILTED, UNTAKEN, Hospital, Run

PROMISED = ("study_uid", "state", "application", "code", "reason")


def test_studies_are_listed_for_scripts_newest_first(hospital: Hospital, run: Run) -> None:
    """One object each with the promised keys; a file that is no DICOM is listed too, so that nothing received is invisible."""
    listed = run("studies", "list", "--json").json
    assert [tuple(one[key] for key in PROMISED[:4]) for one in listed] == [
        (OPEN, "received", None, None),
        (UNTAKEN, "routed", None, None),
        (REFUSED, "parked", "ct-lung", "HLM-6100"),
        (TILTED, "parked", "ct-lung", "HLM-3017"),
        (HEAD, "done", "mr-brain", None),
        (None, "set-aside", None, "HLM-3001"),
    ]
    reasons = [one["reason"] for one in listed]
    assert reasons[1] == "no route took it; nearest: head MR (Modality is US, expected MR)"
    assert "0x0122" in reasons[2]
    assert "tilted by 12.5°" in reasons[3]


def test_studies_are_listed_for_people_within_100_columns(hospital: Hospital, run: Run) -> None:
    """Every line fits, and every study can be found by the end of its UID that is shown."""
    answer = run("studies", "list")
    assert all(len(line) <= 100 for line in answer.out.splitlines())
    for uid in (HEAD, TILTED, REFUSED, UNTAKEN, OPEN):
        assert f"…{uid[-15:]}" in answer.out
    assert "1 file set aside" in answer.out


def test_an_empty_journal_says_what_to_do_next(empty: Hospital, run: Run) -> None:
    """The first look of a newcomer."""
    assert "hilum send" in run("studies", "list").out
    assert run("studies", "list", "--json").json == []
    assert run("jobs", "list", "--json").json == []


WAITING = "1.2.826.0.1.3680043.8.498.55512345678901234567890123456789012905"
MISSING = 'the study has no series "contrast" (ContrastBolusAgent present)'
_T1: tuple[int, Header] = (5, {"Modality": ("MR",), "SeriesDescription": ("T1 MPRAGE sag",)})
HALF_AN_HOUR = timedelta(minutes=30)


def _listed(run: Run) -> dict[str, Any]:
    (found,) = [one for one in run("studies", "list", "--json").json if one["study_uid"] == WAITING]
    return dict(found)


def test_a_study_that_waits_for_a_series_says_so_for_what_and_until_when(hospital: Hospital, run: Run) -> None:
    """Nothing more is expected but the series that a route needs: `waits`, and neither `received` nor done. When an image comes, the study
    is received again, until it has settled."""
    until = hospital.now + HALF_AN_HOUR
    arrival = hospital.receive(WAITING, "pacs", "HILUM", (2, {"Modality": ("MR",), "SeriesDescription": ("FLAIR",)}))
    hospital.route(arrival, waits=(until, MISSING))
    said = f"a route waits until {until:%Y-%m-%d %H:%M:%S}: {MISSING}"
    found = _listed(run)
    assert (found["state"], found["reason"], found["jobs"]) == ("waits", said, [])
    assert found["waits"] == {"for": MISSING, "until": until.isoformat()}
    assert [one["study_uid"] for one in run("studies", "list", "--search", "waits", "--json").json] == [WAITING]
    assert said in " ".join(run("studies", "list").out.split())
    shown = run("studies", "show", WAITING, "--json").json
    assert [one["waits"] for one in shown["arrivals"]] == [None, found["waits"]]
    assert said in " ".join(run("studies", "show", WAITING).out.split())
    hospital.now += timedelta(minutes=1)
    hospital.receive(WAITING, "pacs", "HILUM", (3, {"Modality": ("MR",), "SeriesDescription": ("localizer",)}))
    found = _listed(run)
    assert (found["state"], found["waits"], found["reason"]) == ("received", None, None)


def test_a_route_that_waits_hides_no_other_job_and_is_hidden_by_none(hospital: Hospital, run: Run) -> None:
    """Another route's job runs meanwhile, and is told with the wait; one that waits for a person is the study's state all the same."""
    until = hospital.now + HALF_AN_HOUR
    head: tuple[int, Header] = (5, {"Modality": ("MR",), "SeriesDescription": ("T1 MPRAGE sag",)})
    hospital.route(hospital.receive(WAITING, "pacs", "HILUM", head), waits=(until, MISSING), parked=("HLM-3017", "tilted"))
    found = _listed(run)
    assert (found["state"], found["code"]) == ("parked", "HLM-3017")
    assert found["waits"] == {"for": MISSING, "until": until.isoformat()}
    said = " ".join(run("studies", "list").out.split())
    assert f"mr-brain parked; HLM-3017 tilted; a route waits until {until:%Y-%m-%d %H:%M:%S}: {MISSING}" in said
    assert run("jobs", "retry", str(found["jobs"][0]["id"])).code == 0
    assert _listed(run)["state"] == "waits"


def test_studies_are_found_by_what_their_headers_say(hospital: Hospital, run: Run) -> None:
    """--search looks at patient, accession number, description, date, modality, and at sender, application and state."""
    assert [one["study_uid"] for one in run("studies", "list", "--search", "doe^jane", "--json").json] == [
        OPEN,
        UNTAKEN,
        REFUSED,
        TILTED,
        HEAD,
    ]
    assert [one["study_uid"] for one in run("studies", "list", "--search", "mr-brain", "--json").json] == [HEAD]
    assert run("studies", "list", "--search", "nobody", "--json").json == []


def test_the_passport_tells_the_whole_story(hospital: Hospital, run: Run) -> None:
    """Instances by series, the decisions with their conditions, model digest, objects, and what the sink said of each object."""
    content = run("studies", "show", HEAD, "--json").json
    assert [(one["description"], one["instances"], one["senders"]) for one in content["series"]] == [
        ("T1 MPRAGE sag", 5, ["PACS@127.0.0.1"]),
        ("FLAIR tra", 3, ["PACS@127.0.0.1"]),
    ]
    (arrival,) = content["arrivals"]
    assert (arrival["completed_by"], arrival["config_digest"]) == ("quiet", hospital.config.digest)
    assert [(one["route"], one["chosen"]) for one in arrival["decisions"]] == [
        ("head MR", True),
        ("head MR", False),
        ("chest CT", False),
        ("chest CT", False),
    ]
    (job,) = content["jobs"]
    assert job["model_digest"] == "ab" * 32
    assert [one["kind"] for one in job["objects"]] == ["seg", "sr"]
    assert [(one["accepted"], one["status"]) for one in job["deliveries"][0]["objects"]] == [(True, 0), (True, 0)]
    names = [one["name"] for one in content["events"]]
    assert names.index("arrival.routed") < names.index("job.inferred") < names.index("delivery.delivered")
    assert "Doe" not in run("studies", "show", HEAD).out + run("studies", "show", HEAD, "--json").out


def test_a_study_is_called_by_the_end_of_its_uid(hospital: Hospital, run: Run) -> None:
    """As lists show it, with or without the dots before it; an ending that several share is refused."""
    assert run("studies", "show", f"…{TILTED[-15:]}", "--json").json["study_uid"] == TILTED
    ambiguous = run("studies", "show", "1")  # HEAD and TILTED both end with 1
    assert (ambiguous.code, "[HLM-2061]" in ambiguous.err) == (1, True)
    unknown = run("studies", "show", "999999")
    assert (unknown.code, "[HLM-2060]" in unknown.err) == (1, True)


def test_an_operator_completes_a_study_by_hand(hospital: Hospital, run: Run) -> None:
    """The manifest freezes with the reason that a person said so; a study that is complete already is refused."""
    assert run("studies", "complete", OPEN).code == 0
    (arrival,) = hospital.journal.arrivals.find(study=OPEN)
    assert (arrival.state, arrival.completed_by) == (ArrivalState.COMPLETE, "operator")
    again = run("studies", "complete", OPEN)
    assert (again.code, "[HLM-2062]" in again.err) == (1, True)


def test_jobs_are_listed_for_scripts(hospital: Hospital, run: Run) -> None:
    """The promised keys; the reason of a delivery that is stuck is the reason of its job."""
    listed = run("jobs", "list", "--json").json
    assert [tuple(one[key] for key in PROMISED[:4]) for one in listed] == [
        (REFUSED, "encoded", "ct-lung", "HLM-6100"),
        (TILTED, "parked", "ct-lung", "HLM-3017"),
        (HEAD, "done", "mr-brain", None),
    ]
    assert {"reason", "id", "attempts", "routes", "sinks"} <= set(listed[0])


@pytest.mark.parametrize("words", [("studies", "list"), ("jobs", "list")])
def test_a_narrow_terminal_has_the_reasons_word_by_word(
    hospital: Hospital, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """What folds is the last column, and other columns are left out before it is too narrow for its words."""
    monkeypatch.setenv("COLUMNS", "60")
    lines = run(*words).out.splitlines()
    assert max(map(len, lines)) <= 60
    assert {"parked", "HLM-3017"} <= set(" ".join(lines).split())


def test_what_is_not_over_says_what_it_is_at_or_waits_for(hospital: Hospital, run: Run) -> None:
    """In its turn, held back by a pause of its route or engine, computed, tried again at a moment; then what a paused sink holds back."""
    journal = hospital.journal
    assert run("jobs", "retry", "2").code == 0

    def told(job: int = 2) -> tuple[bool, str | None]:
        (one,) = [one for one in run("jobs", "list", "--json").json if one["id"] == job]
        doing = "at work" if one["at_work"] else one["waits"]
        assert (doing or "") in run("jobs", "list").out
        return one["at_work"], one["waits"]

    assert told() == (False, "waits for its turn")
    for kind, name in (("engine", "default"), ("route", "chest CT")):
        assert run("pause", kind, name).code == 0
        assert told() == (False, f'waits: {kind} "{name}" is paused')
        assert run("resume", kind, name).code == 0
    job = journal.jobs.claim("work", journal.now(), timedelta(minutes=5))
    assert job is not None
    assert job.lease is not None
    assert told(job.id) == (True, None)
    later = journal.now() + timedelta(hours=30)
    assert journal.jobs.retry(job.id, job.lease, later, "HLM-4001", "it is away", journal.now(), count_attempt=True)
    assert told(job.id) == (False, f"tried again at {when(later)}")
    assert told(1) == (False, None)

    assert run("jobs", "resend", "1", "--to", "archive").code == 0
    assert told(1) == (False, "waits to be sent to archive")
    assert run("pause", "sink", "archive").code == 0
    assert told(1) == (False, 'waits: sink "archive" is paused')


def test_a_list_of_parked_jobs_has_those_with_a_parked_delivery(hospital: Hospital, run: Run) -> None:
    """Whatever waits for a person is in one list."""
    assert [one["study_uid"] for one in run("jobs", "list", "--state", "parked", "--json").json] == [REFUSED, TILTED]
    assert [one["study_uid"] for one in run("jobs", "list", "--state", "done", "--json").json] == [HEAD]
    assert [one["study_uid"] for one in run("jobs", "list", "--study", TILTED[-9:], "--json").json] == [TILTED]


def test_a_job_page_says_what_to_do(hospital: Hospital, run: Run) -> None:
    """The remedy of the journaled code stands under the reason."""
    from inference.imaging.errors import GantryTilt

    assert run("jobs", "show", "2", "--json").json["remedy"] == GantryTilt.remedy
    shown = run("jobs", "show", "2").out
    assert "HLM-3017" in shown
    assert "what to do:" in shown


def test_what_a_route_asked_of_the_application_is_shown(empty: Hospital, run: Run) -> None:
    """As it was when it was routed, whatever the configuration says by now."""
    arrival = empty.receive("1.2.77", "pacs", "HILUM", (5, {"Modality": ("MR",), "SeriesDescription": ("T1 MPRAGE sag",)}))
    (job,) = empty.route(arrival, demand=Demand(version="1.2", accepted=True))
    (route,) = job.routes
    shown = run("jobs", "show", str(job.id), "--json").json
    assert shown["demands"] == [{"route": route, "version": "1.2", "accepted": True}]
    assert f"{route} (asks for version 1.2, one accepted here)" in run("jobs", "show", str(job.id)).out


def test_a_parked_job_is_retried_and_cancelled(hospital: Hospital, run: Run) -> None:
    """Retry takes it to the furthest state whose facts are on disk, and says what that means; cancel ends it; both leave the operator's
    mark in the history."""
    assert "goes on: it is analysed in its turn" in run("jobs", "retry", "2").out
    assert "goes on: the same objects are sent again" in run("jobs", "retry", "1").out
    assert hospital.journal.jobs.get(2).state is JobState.QUEUED
    assert run("jobs", "cancel", "2").code == 0
    job = hospital.journal.jobs.get(2)
    assert (job.state, job.reason) == (JobState.CANCELLED, "cancelled by the operator")


@pytest.mark.parametrize(
    ("asked", "studies"),
    [
        (("--code", "hlm-6100"), [REFUSED]),
        (("--route", "chest CT"), [REFUSED, TILTED]),
        (("--route", "chest CT", "--state", "parked", "--code", "HLM-3017"), [TILTED]),
        (("--sender", "pacs"), [HEAD]),
        (("--application", "ct-lung", "--study", TILTED[-9:]), [TILTED]),
        (("--since", "2025-03-04T08:00"), [REFUSED, TILTED, HEAD]),
        (("--since", "2025-03-05"), []),
        (("--route", "chest"), []),
    ],
)
def test_jobs_are_listed_by_what_they_have_in_common(hospital: Hospital, run: Run, asked: tuple[str, ...], studies: list[str]) -> None:
    """A job is to be all of what is said."""
    assert [one["study_uid"] for one in run("jobs", "list", *asked, "--json").json] == studies


def test_a_dry_run_shows_which_jobs_are_meant_and_touches_nothing(hospital: Hospital, run: Run) -> None:
    """Every one of them, with why it stands where it stands; by number too."""
    shown = run("jobs", "retry", "--route", "chest CT", "--dry-run")
    assert shown.code == 0
    assert "HLM-3017" in shown.out
    assert shown.out.splitlines()[-1] == "2 jobs"
    assert "1 job" in run("jobs", "cancel", "2", "--dry-run").out
    assert hospital.journal.jobs.get(2).state is JobState.PARKED
    assert hospital.journal.deliveries.find(states=(DeliveryState.WAITING,)) == []


@pytest.mark.parametrize(("typed", "goes_on"), [("yes\n", True), ("y\n", True), ("no\n", False), ("\n", False), ("", False)])
def test_whoever_names_no_numbers_is_asked(
    hospital: Hospital, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, goes_on: bool
) -> None:
    """Only who says yes has it done; where nobody can be asked, nothing is done."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    answer = run("jobs", "retry", "--code", "HLM-3017")
    assert (hospital.journal.jobs.get(2).state is JobState.QUEUED) == goes_on
    assert ("nobody to ask" in answer.err) == (not typed)
    assert answer.code == (0 if goes_on else 1)


def test_jobs_of_a_kind_are_retried_and_cancelled(hospital: Hospital, run: Run) -> None:
    """What is over already is not meant, unless its state is named."""
    assert run("jobs", "retry", "--application", "ct-lung", "--yes").code == 0
    assert hospital.journal.jobs.get(2).state is JobState.QUEUED
    assert len(hospital.journal.deliveries.find(states=(DeliveryState.WAITING,))) == 1
    cancelled = run("jobs", "cancel", "--since", "2025-03-04", "--yes")
    assert cancelled.code == 0
    assert [hospital.journal.jobs.get(number).state for number in (1, 2, 3)] == [JobState.DONE, JobState.CANCELLED, JobState.CANCELLED]
    assert run("jobs", "retry", "--route", "chest CT", "--yes").code == 1, "no parked or failed one is left"
    assert run("jobs", "retry", "--route", "chest CT", "--state", "cancelled", "--yes").code == 0
    assert run("jobs", "resend", "--sender", "pacs", "--yes").out.splitlines()[-1] == "job 1: 1 delivery waits to be sent"


@pytest.mark.parametrize("asked", [(), ("2", "--code", "HLM-3017"), ("--code", "HLM-9999", "--yes"), ("--since", "yesterday", "--yes")])
def test_which_jobs_are_meant_is_said_one_way(hospital: Hospital, run: Run, asked: tuple[str, ...]) -> None:
    """Neither nothing nor both, nor a kind of which there is no job."""
    answer = run("jobs", "cancel", *asked)
    assert answer.code == 1
    assert "HLM-20" in answer.err
    assert hospital.journal.jobs.get(2).state is JobState.PARKED


def test_one_job_that_refuses_does_not_stop_the_others(hospital: Hospital, run: Run) -> None:
    """Exit code 1 says that something was refused; what could be done is done."""
    answer = run("jobs", "cancel", "99", "2")
    assert answer.code == 1
    assert "HLM-7008" in answer.out
    assert hospital.journal.jobs.get(2).state is JobState.CANCELLED


def test_objects_are_sent_again_to_one_sink_or_to_all(hospital: Hospital, run: Run) -> None:
    """A delivery waits again for every object; a sink that the configuration does not name is refused with a suggestion."""
    assert run("jobs", "resend", "1", "--to", "copies").code == 0
    states = {one.sink: one.state for one in hospital.journal.deliveries.find(job=1)}
    assert states == {"archive": DeliveryState.DELIVERED, "copies": DeliveryState.WAITING}
    refused = run("jobs", "resend", "1", "--to", "archiv")
    assert (refused.code, 'did you mean "archive"?' in refused.err) == (1, True)


def test_a_delivery_that_awaits_its_commitment_is_told_from_one_that_is_over(hospital: Hospital, run: Run) -> None:
    """Both are delivered; asked for or not, who looks sees which."""
    journal = hospital.journal
    journal.deliveries.resend(1, None, hospital.now)
    delivery = journal.deliveries.claim("flow", hospital.now, timedelta(minutes=5))
    assert delivery is not None
    assert delivery.lease is not None
    for one in journal.deliveries.undelivered(delivery.id):
        assert journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", hospital.now)
    assert journal.deliveries.delivered(delivery.id, delivery.lease, hospital.now, commits=True)

    def told() -> tuple[Any, ...]:
        (one,) = [one for one in run("jobs", "show", "1", "--json").json["deliveries"] if one["sink"] == delivery.sink]
        return one["state"], one["awaits_commitment"], "awaits its commitment" in run("jobs", "show", "1").out

    assert told() == ("delivered", True, True)
    assert journal.commitments.leave(delivery.id, "it does not commit", hospital.now)
    assert told() == ("delivered", False, False)


def test_a_pause_is_kept_until_it_is_ended(hospital: Hospital, run: Run) -> None:
    """Only what the configuration names can be paused: a misspelt name would hold back nothing."""
    assert run("pause", "sink", "archive").code == 0
    assert [(str(kind), name) for kind, name, _ in hospital.journal.pauses.find()] == [("sink", "archive")]
    assert run("resume", "sink", "archive").code == 0
    assert hospital.journal.pauses.find() == []
    assert run("resume", "sink", "archive").code == 1
    misspelt = run("pause", "route", "head MRI")
    assert (misspelt.code, 'did you mean "head MR"?' in misspelt.err) == (1, True)


def test_an_instance_in_conflict_is_seen_in_list_passport_and_doctor(hospital: Hospital, run: Run) -> None:
    """Other pixels under a known UID belong to no arrival and no job; they are visible all the same, with the place of their bytes."""
    known = hospital.journal.instances.of_study(HEAD)[0]
    other = replace(known, id=0, blob="conflict.dcm", digest="f" * 64, standing=Standing.CONFLICT)
    hospital.journal.instances.record([NewInstance(instance=other, opens=False, scope_series=False, due_at=hospital.now)], hospital.now)
    listed = {one["study_uid"]: one.get("conflicts") for one in run("studies", "list", "--json").json}
    assert listed[HEAD] == 1
    assert listed[TILTED] == 0
    assert "1 in conflict" in run("studies", "list", "--search", "mr-brain").out
    (conflict,) = run("studies", "show", HEAD, "--json").json["conflicts"]
    assert (conflict["sop_instance_uid"], conflict["blob"]) == (known.sop_instance_uid, "conflict.dcm")
    assert "conflict.dcm" in run("studies", "show", HEAD).out
    findings = run("doctor", "--json").json["findings"]
    assert [one["detail"] for one in findings if one["subject"] == "conflicts"] == ["1 kept, studies concerned: 1"]


def test_held_instances_are_told_and_decided_by_a_person(hospital: Hospital, run: Run) -> None:
    """In the list, the passport and doctor's findings, without a patient; accepted, a revision waits, and nothing is held any more."""
    known = hospital.journal.instances.of_study(HEAD)[0]
    rows = []
    for number in (1, 2):
        held = replace(
            known,
            id=0,
            sop_instance_uid=f"1.2.3.{number}",
            blob=f"held {number}.dcm",
            digest=f"{number}" * 64,
            standing=Standing.HELD,
            held_for=HeldFor.ADDED,
            calling_ae="OTHER",
            peer=None,
        )
        rows += hospital.journal.instances.record(
            [NewInstance(instance=held, opens=False, scope_series=False, due_at=hospital.now)], hospital.now
        )
    assert {one["study_uid"]: one.get("held") for one in run("studies", "list", "--json").json}[HEAD] == 2
    assert "2 held" in run("studies", "list", "--search", "mr-brain").out
    (told,) = run("studies", "show", HEAD, "--json").json["held"]
    assert (told["instances"], told["held_for"], told["sender"]) == (2, "added", f"OTHER@{known.address}")
    assert "another sender sent first" in " ".join(run("studies", "show", HEAD).out.split())
    findings = run("doctor", "--json").json["findings"]
    assert [one["detail"] for one in findings if one["subject"] == "held instances"] == [
        "2 instances wait for a person, studies concerned: 1"
    ]
    wrong = run("studies", "accept-held", HEAD, "--series", "9.9")
    assert (wrong.code, "nothing is held" in wrong.err) == (1, True)
    before = hospital.journal.arrivals.find(study=HEAD)
    assert run("studies", "accept-held", HEAD).code == 0
    assert len(hospital.journal.arrivals.find(study=HEAD)) == len(before) + 1
    assert {one.standing for one in hospital.journal.instances.get(rows)} == {Standing.CURRENT}
    assert run("studies", "refuse-held", HEAD).code == 1, "nothing is held any more"


def test_a_study_of_which_everything_is_held_is_listed(hospital: Hospital, run: Run) -> None:
    """No arrival tells of it: it stands in the list all the same, and a person may refuse it."""
    known = hospital.journal.instances.of_study(HEAD)[0]
    copied = replace(known, id=0, study_instance_uid="1.2.3.77", sop_instance_uid="1.2.3.78", blob="held.dcm", digest="e" * 64)
    held = replace(copied, standing=Standing.HELD, held_for=HeldFor.IDENTITY)
    hospital.journal.instances.record([NewInstance(instance=held, opens=False, scope_series=False, due_at=hospital.now)], hospital.now)
    assert run("studies", "show", "1.2.3.77", "--wait").code == 1, "nobody has decided yet"
    listed = {one["study_uid"]: one for one in run("studies", "list", "--json").json}
    assert (listed["1.2.3.77"]["state"], listed["1.2.3.77"]["held"]) == ("held", 1)
    assert listed[HEAD]["held"] == 1, "it names a series of this study"
    assert run("studies", "refuse-held", "1.2.3.77").code == 0
    assert "1.2.3.77" not in {one["study_uid"] for one in run("studies", "list", "--json").json}
    assert [one.standing for one in hospital.journal.instances.by_uid("1.2.3.78")] == [Standing.REFUSED]


def test_a_study_that_cannot_be_routed_is_listed_with_why_and_put_back_by_an_operator(hospital: Hospital, run: Run) -> None:
    """Parked, with the code, the sentence and what to do; `studies retry` has it routed again, once."""
    (arrival,) = hospital.journal.arrivals.find(study=OPEN)
    hospital.journal.arrivals.complete(arrival.id, Completeness.QUIET, hospital.now)
    why = ("HLM-3089", "the process that routed it ended in the middle of it", "d" * 64, hospital.now)
    assert [hospital.journal.routing.failed(arrival.id, *why, most=3) for _ in range(3)] == [1, 2, 3]
    listed = {one["study_uid"]: one for one in run("studies", "list", "--json").json}
    assert [listed[OPEN][key] for key in PROMISED] == [OPEN, "parked", None, why[0], why[1]]
    assert listed[OPEN]["attempts"] == 3
    shown = run("studies", "show", OPEN).out
    assert "parked, 3 attempts: HLM-3089" in shown
    assert "hilum studies retry" in shown.replace("\n", " ")
    (said,) = [one["detail"] for one in run("doctor", "--json").json["findings"] if one["subject"] == "studies"]
    assert said == f"1 parked: they could not be routed, such as {OPEN}"
    assert "is routed again" in run("studies", "retry", OPEN).out
    (put_back,) = hospital.journal.arrivals.find(study=OPEN)
    assert (put_back.state, put_back.attempts, put_back.code) == (ArrivalState.COMPLETE, 0, None)
    again = run("studies", "retry", OPEN)
    assert again.code == 1
    assert "is not parked" in again.err


def test_a_study_of_which_only_results_of_others_came_is_listed_and_shown(hospital: Hospital, run: Run) -> None:
    """Nothing that was acknowledged is invisible: it stands in the list with what is done with it, and its page can be asked for."""
    study = "1.2.826.0.1.3680043.8.498.55512345678901234567890123456789012999"
    instance = replace(
        hospital.journal.instances.of_arrival(hospital.journal.arrivals.find()[0].id)[0],
        id=0,
        sop_instance_uid=f"{study}.1",
        study_instance_uid=study,
        series_instance_uid=f"{study}.2",
        blob="instances/theirs.dcm",
        digest="d" * 64,
        standing=Standing.RESULT,
    )
    at = hospital.journal.now()
    hospital.journal.instances.record([NewInstance(instance=instance, opens=False, scope_series=False, due_at=at, replaces=None)], at)
    (listed,) = [one for one in run("studies", "list", "--json").json if one["study_uid"] == study]
    assert (listed["state"], listed["jobs"], listed["instances"]) == ("results", [], 0)
    assert listed["reason"].endswith("kept, never analysed")
    shown = run("studies", "show", study[-12:], "--json").json
    assert [one["sop_instance_uid"] for one in shown["other_results"]] == [f"{study}.1"]


def test_a_script_waits_until_a_study_has_ended_and_hears_how(hospital: Hospital, run: Run) -> None:
    """0: done, or no route took it. 1: something waits for a person, or was cancelled. 3: the time was over. The passport comes each
    time."""
    assert run("studies", "show", HEAD, "--wait").code == 0
    assert run("studies", "show", UNTAKEN, "--wait").code == 0
    assert run("studies", "show", TILTED, "--wait", "--json").json["study_uid"] == TILTED
    assert run("studies", "show", TILTED, "--wait").code == 1
    assert run("studies", "show", REFUSED, "--wait").code == 1, "one of its deliveries is parked"
    late = run("studies", "show", OPEN, "--wait", "--timeout", "300ms")
    assert (late.code, late.err) == (3, "its instances come, or are routed\nafter 300ms the study had not ended\n")
    assert OPEN in late.out
    unknown = run("studies", "show", "1.2.3.4", "--wait", "--timeout", "300ms")
    assert (unknown.code, "[HLM-2060]" in unknown.err) == (1, True)
    wrong = run("studies", "show", OPEN, "--wait", "--timeout", "soon")
    assert (wrong.code, "[HLM-2064]" in wrong.err) == (1, True)


def test_a_wait_says_once_what_it_waits_for(hospital: Hospital, run: Run) -> None:
    """As `jobs list` has it, on stderr, and again only where that is something else."""
    (job,) = hospital.route(hospital.receive(WAITING, "pacs", "HILUM", _T1))
    over = "after 1200ms the study had not ended\n"
    told = run("studies", "show", WAITING, "--wait", "--timeout", "1200ms", "--json")
    assert (told.code, told.err) == (3, f"job {job.id}: waits for its turn\n{over}")
    assert told.json["study_uid"] == WAITING
    assert run("pause", "engine", "default").code == 0
    told = run("studies", "show", WAITING, "--wait", "--timeout", "1200ms")
    assert told.err == f'job {job.id}: waits: engine "default" is paused\n{over}'


def test_a_wait_ends_when_the_study_does(hospital: Hospital, run: Run) -> None:
    """It is looked at again and again: the journal of a running node changes meanwhile."""
    arrival = hospital.receive(WAITING, "pacs", "HILUM", _T1)
    ended = Timer(1.0, lambda: hospital.route(arrival, parked=("HLM-3017", "tilted")))
    ended.start()
    assert run("studies", "show", WAITING, "--wait", "--timeout", "60s").code == 1
    ended.join()


def test_a_wait_that_looks_while_the_last_delivery_ends_waits_on(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job is read as encoded, its deliveries a moment later, as delivered: still under way, and good at the next look."""
    (job,) = hospital.route(hospital.receive(WAITING, "pacs", "HILUM", _T1))
    assert ending(hospital.journal, WAITING) is Ending.UNDER_WAY
    hospital.analyse(job)
    assert ending(hospital.journal, WAITING) is Ending.UNDER_WAY
    find, looked = hospital.journal.deliveries.find, list[int]()

    def late(**wanted: Any) -> list[Delivery]:
        if not looked:
            hospital.deliver()
        looked.append(1)
        return find(**wanted)

    monkeypatch.setattr(hospital.journal.deliveries, "find", late)
    assert [ending(hospital.journal, WAITING) for _ in range(2)] == [Ending.UNDER_WAY, Ending.GOOD]
    assert looked


def test_no_model_digest_is_shown_of_an_application_that_calls_none(hospital: Hospital, run: Run) -> None:
    """What stands for one in the journal, and makes the device, names no file that anybody could look for."""
    (job,) = hospital.route(hospital.receive(WAITING, "pacs", "HILUM", _T1))
    claimed = hospital.journal.jobs.claim("work", hospital.now, timedelta(minutes=5))
    assert claimed is not None
    assert claimed.lease is not None
    digest = method_digest(job.application, "1.0.0")
    assert hospital.journal.jobs.inferred(job.id, claimed.lease, "findings/x", digest, hospital.now, version="1.0.0")
    assert run("jobs", "show", str(job.id), "--json").json["model_digest"] is None
    assert "sha256" not in run("jobs", "show", str(job.id)).out
    assert digest not in run("studies", "show", WAITING).out
