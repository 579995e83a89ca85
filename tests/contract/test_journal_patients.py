"""The contract of node.journal.journal, on every database: whose series are, what a prior revises, and one job for a whole study."""

from datetime import timedelta
from typing import Any

from node.domain.arrival import Completeness
from node.domain.instance import Header, Standing
from node.domain.patient import Related
from node.domain.state import ArrivalState, JobState
from tests.unit.journal.story import DECISION, START, Story

SECOND = timedelta(seconds=1)
DAY: Header = {"Modality": ("MR",), "PatientID": ("4711",), "StudyDate": ("20250601",), "StudyTime": ("101500",)}


def came(story: Story, study: str, *numbers: int, **header: Any) -> list[int]:
    """Instances of one series of `study` come; names are made from the study's."""
    values = {**DAY, **{key: value if isinstance(value, tuple) else (value,) for key, value in header.items()}}
    news = []
    for number in numbers or (1, 2):
        uid = f"{study}.1.{number}"
        changes = {"sop_instance_uid": uid, "blob": f"instances/{uid}.dcm", "digest": f"digest of {uid}", "header": values}
        news.append(story.new(story.instance(number, study_instance_uid=study, series_instance_uid=f"{study}.1", **changes)))
    return story.journal.instances.record(news, story.now)


def studies(story: Story, study: str) -> list[str]:
    return [one.study_instance_uid for one in story.journal.patients.related(study)]


def test_series_of_one_patient_are_found_the_newest_first(story: Story) -> None:
    """By ID and issuer, each series once however many instances it has; a study is not related to itself."""
    came(story, "1.1", 1, 2, 3)
    came(story, "1.2", StudyDate="20260310")
    came(story, "1.3", StudyDate="20240101", Modality="CT")
    assert story.journal.patients.related("1.2") == [
        Related(study_instance_uid="1.1", series_instance_uid="1.1.1", modality="MR", studied_at="20250601101500"),
        Related(study_instance_uid="1.3", series_instance_uid="1.3.1", modality="CT", studied_at="20240101101500"),
    ]
    assert studies(story, "1.1") == ["1.2", "1.3"]


def test_a_name_relates_nobody_and_an_issuer_sets_apart(story: Story) -> None:
    """The same name under two IDs, one ID of two issuers, no ID at all: four patients, or none."""
    came(story, "1.1", PatientName="DOE^JANE")
    came(story, "1.2", PatientName="DOE^JANE", PatientID="4712")
    came(story, "1.3", PatientName="DOE^JANE", IssuerOfPatientID="ELSEWHERE")
    came(story, "1.4", PatientName="DOE^JANE", PatientID=())
    came(story, "1.5", PatientName="DOE^JANE", PatientID="  ")
    assert [studies(story, f"1.{n}") for n in range(1, 6)] == [[], [], [], [], []]


def test_a_corrected_patient_id_relates_by_either(story: Story) -> None:
    """Whoever was compared under the wrong ID is found by it, whoever belongs together by the right one; headers decide who does."""
    (old,) = came(story, "1.1", 1)
    came(story, "1.2", 1)
    came(story, "1.3", 1, PatientID="4712")
    corrected = story.instance(
        1,
        sop_instance_uid="1.1.1.1",
        study_instance_uid="1.1",
        series_instance_uid="1.1.1",
        blob="instances/corrected.dcm",
        digest="corrected",
        header={**DAY, "PatientID": ("4712",)},
    )
    story.journal.instances.record([story.new(corrected, replaces=old)], story.now)
    assert studies(story, "1.1") == ["1.3", "1.2"] or studies(story, "1.1") == ["1.2", "1.3"]
    assert (studies(story, "1.2"), studies(story, "1.3")) == (["1.1"], ["1.1"])


def test_recording_again_changes_nothing_and_other_dates_are_kept_up(story: Story) -> None:
    """Idempotent, as `record` is; a study date that was corrected counts from then on."""
    came(story, "1.1", 1)
    came(story, "1.2", 1)
    came(story, "1.1", 1)
    came(story, "1.1", 2, StudyDate="20200101")
    assert [one.studied_at for one in story.journal.patients.related("1.2")] == ["20200101101500"]


def test_forgotten_headers_forget_whose_they_were_and_restored_ones_say_it_again(story: Story) -> None:
    """A patient's ID is not kept longer than the headers that said it."""
    ids = came(story, "1.1", 1, 2)
    came(story, "1.2", 1)
    for study in ("1.1", "1.2"):
        assert story.journal.arrivals.complete(story.arrival(study).id, Completeness.QUIET, story.now)
        story.journal.routing.route(story.arrival(study).id, [DECISION], [], "config 1", story.now)
    story.journal.retention.tombstone(ids, story.now)
    assert story.journal.retention.forget_headers(story.now + SECOND, limit=1) == 1
    assert studies(story, "1.2") == ["1.1"], "one header is left that says it"
    assert story.journal.retention.forget_headers(story.now + SECOND) == 1
    assert studies(story, "1.2") == []
    story.journal.instances.restore(ids[0], "instances/again.dcm", DAY, story.now)
    assert studies(story, "1.2") == ["1.1"]


def test_a_prior_revises_what_is_compared_with_it(story: Story) -> None:
    """In the transaction that routes the prior: a revision with the same instances, complete at once, that says why; routed as any."""
    ids = came(story, "1.2", 1, 2, StudyDate="20260310")
    story.route(story.job_asked(), study="1.2")
    later = story.arrival("1.2")
    came(story, "1.1")
    assert story.journal.arrivals.complete(story.arrival("1.1").id, Completeness.QUIET, story.now)
    story.now += SECOND
    story.journal.routing.route(story.arrival("1.1").id, [DECISION], [], "config 1", story.now, revised={later.id: "study 1.1 came"})
    revision = story.arrival("1.2")
    assert (revision.revision, revision.supersedes, revision.state, revision.completed_by) == (
        2,
        later.id,
        ArrivalState.COMPLETE,
        Completeness.PRIOR,
    )
    assert (revision.completed_at, revision.instances) == (story.now, 2)
    assert [one.id for one in story.journal.instances.of_arrival(revision.id)] == ids
    assert story.names("arrival", revision.id) == ["arrival.received", "arrival.complete"]
    (job,) = story.journal.routing.route(revision.id, [DECISION], [story.job_asked()], "config 1", story.now).jobs
    assert story.journal.jobs.get(job).arrival == later.id, "the same job: nothing changed for it"


def test_what_is_open_or_was_revised_meanwhile_is_left_alone(story: Story) -> None:
    """A late instance of the later study opened its revision already: that one looks for its prior itself."""
    came(story, "1.2", 1, StudyDate="20260310")
    story.route(story.job_asked(), study="1.2")
    routed = story.arrival("1.2")
    came(story, "1.2", 2, StudyDate="20260310")
    came(story, "1.1")
    assert story.journal.arrivals.complete(story.arrival("1.1").id, Completeness.QUIET, story.now)
    story.journal.routing.route(story.arrival("1.1").id, [DECISION], [], "config 1", story.now, revised={routed.id: "study 1.1 came"})
    assert (story.arrival("1.2").revision, story.arrival("1.2").state) == (2, ArrivalState.RECEIVED)


def test_an_arrival_that_was_overtaken_revises_nothing(story: Story) -> None:
    """The revision that overtook it has looked."""
    came(story, "1.2", 1, StudyDate="20260310")
    story.route(story.job_asked(), study="1.2")
    came(story, "1.1", 1)
    first = story.arrival("1.1")
    assert story.journal.arrivals.complete(first.id, Completeness.QUIET, story.now)
    came(story, "1.1", 2)
    story.route(study="1.1")
    story.journal.routing.route(first.id, [DECISION], [], "config 1", story.now, revised={story.arrival("1.2").id: "study 1.1 came"})
    assert story.arrival("1.2").revision == 1


def test_one_job_stands_for_a_whole_study_whichever_series_names_it(story: Story) -> None:
    """A late series with a lower number names the job from then on: the one before is superseded, not left beside it."""
    first = story.queued(series_instance_uid="1.1.2", whole_study=True)
    same = story.queued(series_instance_uid="1.1.2", whole_study=True)
    late = story.queued(series_instance_uid="1.1.1", whole_study=True, input_digest="inputs 2")
    assert same == first
    assert (story.journal.jobs.get(first).state, story.journal.jobs.get(late).predecessor) == (JobState.SUPERSEDED, first)
    assert story.journal.jobs.get(late).series_instance_uid == "1.1.1"


def test_instances_of_a_prior_are_kept_while_a_job_needs_them(story: Story) -> None:
    """Retention looks at jobs, whichever study these are of."""
    prior = came(story, "1.1", 1, 2)
    story.route(study="1.1")
    came(story, "1.2", 1, StudyDate="20260310")
    own = [one.id for one in story.journal.instances.of_study("1.2")]
    (job,) = story.route(story.job_asked(instances=(*own, *prior)), study="1.2")
    soon = story.now + SECOND
    assert story.journal.retention.purgeable(soon) == []
    story.journal.retention.tombstone(prior, story.now)
    assert {one.standing for one in story.journal.instances.of_job(job)} == {Standing.CURRENT}
    assert story.journal.jobs.end(job, None, JobState.CANCELLED, "HLM-0000", "by the operator", START)
    assert {one.id for one in story.journal.retention.purgeable(soon)} == {*own, *prior}
