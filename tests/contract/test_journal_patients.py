"""The contract of node.journal.port, for every journal: whose series are, what a prior revises, and one job for a whole study."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from alembic import command
from sqlalchemy import create_engine, insert

from node.domain.arrival import Completeness
from node.domain.header import Header
from node.domain.instance import Standing
from node.domain.state import ArrivalState, JobState
from node.journal import schema
from node.journal.database import alembic_config
from node.journal.port import Related
from node.journal.sql import SqlJournal
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
    return story.journal.record(news, story.now)


def studies(story: Story, study: str) -> list[str]:
    return [one.study_instance_uid for one in story.journal.related(study)]


def test_series_of_one_patient_are_found_the_newest_first(story: Story) -> None:
    """By ID and issuer, each series once however many instances it has; a study is not related to itself."""
    came(story, "1.1", 1, 2, 3)
    came(story, "1.2", StudyDate="20260310")
    came(story, "1.3", StudyDate="20240101", Modality="CT")
    assert story.journal.related("1.2") == [
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
    story.journal.record([story.new(corrected, replaces=old)], story.now)
    assert studies(story, "1.1") == ["1.3", "1.2"] or studies(story, "1.1") == ["1.2", "1.3"]
    assert (studies(story, "1.2"), studies(story, "1.3")) == (["1.1"], ["1.1"])


def test_recording_again_changes_nothing_and_other_dates_are_kept_up(story: Story) -> None:
    """Idempotent, as `record` is; a study date that was corrected counts from then on."""
    came(story, "1.1", 1)
    came(story, "1.2", 1)
    came(story, "1.1", 1)
    came(story, "1.1", 2, StudyDate="20200101")
    assert [one.studied_at for one in story.journal.related("1.2")] == ["20200101101500"]


def test_forgotten_headers_forget_whose_they_were_and_restored_ones_say_it_again(story: Story) -> None:
    """A patient's ID is not kept longer than the headers that said it."""
    ids = came(story, "1.1", 1, 2)
    came(story, "1.2", 1)
    for study in ("1.1", "1.2"):
        assert story.journal.complete(story.arrival(study).id, Completeness.QUIET, story.now)
        story.journal.route(story.arrival(study).id, [DECISION], [], "config 1", story.now)
    story.journal.tombstone(ids, story.now)
    assert story.journal.forget_headers(story.now + SECOND, limit=1) == 1
    assert studies(story, "1.2") == ["1.1"], "one header is left that says it"
    assert story.journal.forget_headers(story.now + SECOND) == 1
    assert studies(story, "1.2") == []
    story.journal.restore(ids[0], "instances/again.dcm", DAY, story.now)
    assert studies(story, "1.2") == ["1.1"]


def test_a_prior_revises_what_is_compared_with_it(story: Story) -> None:
    """In the transaction that routes the prior: a revision with the same instances, complete at once, that says why; routed as any."""
    ids = came(story, "1.2", 1, 2, StudyDate="20260310")
    story.route(story.job_asked(), study="1.2")
    later = story.arrival("1.2")
    came(story, "1.1")
    assert story.journal.complete(story.arrival("1.1").id, Completeness.QUIET, story.now)
    story.now += SECOND
    story.journal.route(story.arrival("1.1").id, [DECISION], [], "config 1", story.now, revised={later.id: "study 1.1 came"})
    revision = story.arrival("1.2")
    assert (revision.revision, revision.supersedes, revision.state, revision.completed_by) == (
        2,
        later.id,
        ArrivalState.COMPLETE,
        Completeness.PRIOR,
    )
    assert (revision.completed_at, revision.instances) == (story.now, 2)
    assert [one.id for one in story.journal.arrival_instances(revision.id)] == ids
    assert story.names("arrival", revision.id) == ["arrival.received", "arrival.complete"]
    (job,) = story.journal.route(revision.id, [DECISION], [story.job_asked()], "config 1", story.now)
    assert story.journal.job(job).arrival == later.id, "the same job: nothing changed for it"


def test_what_is_open_or_was_revised_meanwhile_is_left_alone(story: Story) -> None:
    """A late instance of the later study opened its revision already: that one looks for its prior itself."""
    came(story, "1.2", 1, StudyDate="20260310")
    story.route(story.job_asked(), study="1.2")
    routed = story.arrival("1.2")
    came(story, "1.2", 2, StudyDate="20260310")
    came(story, "1.1")
    assert story.journal.complete(story.arrival("1.1").id, Completeness.QUIET, story.now)
    story.journal.route(story.arrival("1.1").id, [DECISION], [], "config 1", story.now, revised={routed.id: "study 1.1 came"})
    assert (story.arrival("1.2").revision, story.arrival("1.2").state) == (2, ArrivalState.RECEIVED)


def test_an_arrival_that_was_overtaken_revises_nothing(story: Story) -> None:
    """The revision that overtook it has looked."""
    came(story, "1.2", 1, StudyDate="20260310")
    story.route(story.job_asked(), study="1.2")
    came(story, "1.1", 1)
    first = story.arrival("1.1")
    assert story.journal.complete(first.id, Completeness.QUIET, story.now)
    came(story, "1.1", 2)
    story.route(study="1.1")
    story.journal.route(first.id, [DECISION], [], "config 1", story.now, revised={story.arrival("1.2").id: "study 1.1 came"})
    assert story.arrival("1.2").revision == 1


def test_one_job_stands_for_a_whole_study_whichever_series_names_it(story: Story) -> None:
    """A late series with a lower number names the job from then on: the one before is superseded, not left beside it."""
    first = story.queued(series_instance_uid="1.1.2", whole_study=True)
    same = story.queued(series_instance_uid="1.1.2", whole_study=True)
    late = story.queued(series_instance_uid="1.1.1", whole_study=True, input_digest="inputs 2")
    assert same == first
    assert (story.journal.job(first).state, story.journal.job(late).predecessor) == (JobState.SUPERSEDED, first)
    assert story.journal.job(late).series_instance_uid == "1.1.1"


def test_instances_of_a_prior_are_kept_while_a_job_needs_them(story: Story) -> None:
    """Retention looks at jobs, whichever study these are of."""
    prior = came(story, "1.1", 1, 2)
    story.route(study="1.1")
    came(story, "1.2", 1, StudyDate="20260310")
    own = [one.id for one in story.journal.study_instances("1.2")]
    (job,) = story.route(story.job_asked(instances=(*own, *prior)), study="1.2")
    soon = story.now + SECOND
    assert story.journal.purgeable(soon) == []
    story.journal.tombstone(prior, story.now)
    assert {one.standing for one in story.journal.job_instances(job)} == {Standing.CURRENT}
    assert story.journal.end_job(job, None, JobState.CANCELLED, "HLM-0000", "by the operator", START)
    assert {one.id for one in story.journal.purgeable(soon)} == {*own, *prior}


def test_a_journal_of_before_priors_were_found_finds_those_that_it_has(journal_url: str, opened: Callable[[str], SqlJournal]) -> None:
    """From the first header of each series, and from instances that were called another patient's later; forgotten ones are unknown."""
    engine = create_engine(journal_url.replace("sqlite:", "sqlite:///").replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        first = json.dumps({key: list(values) for key, values in DAY.items()})
        connection.execute(insert(schema.series_header).values(id=1, series_instance_uid="1.1.1", content=first))
        connection.execute(insert(schema.series_header).values(id=2, series_instance_uid="1.2.1", content='{"PatientID": ["4712"]}'))
        connection.execute(insert(schema.series_header).values(id=3, series_instance_uid="1.3.1", content='{"Modality": ["MR"]}'))
        nothing, corrected = '{"set":{},"drop":[]}', '{"set":{"PatientID":["4712"],"IssuerOfPatientID":[]},"drop":["StudyTime"]}'
        rows = [
            ("1.1", 1, nothing),
            ("1.1", 1, nothing),
            ("1.1", 1, corrected),
            ("1.2", 2, nothing),
            ("1.3", 3, nothing),
            ("1.4", None, None),
        ]
        for number, (study, base, delta) in enumerate(rows):
            names = {"sop_instance_uid": f"{study}.1.{number}", "study_instance_uid": study, "series_instance_uid": f"{study}.1"}
            facts = {"sop_class_uid": "1.2", "transfer_syntax_uid": "1.2", "blob": f"{number}", "size": 1, "digest": f"{number}"}
            came_by = {"calling_ae": "A", "called_ae": "B", "address": "C", "peer": "", "received_at": 0, "standing": "current"}
            row = {**names, **facts, **came_by, "header_base": base, "header_delta": delta}
            connection.execute(insert(schema.instance).values(**row))
    engine.dispose()
    journal = opened(journal_url)
    assert [(one.study_instance_uid, one.modality, one.studied_at) for one in journal.related("1.2")] == [("1.1", "MR", "20250601")]
    assert [one.study_instance_uid for one in journal.related("1.1")] == ["1.2"]
    assert journal.related("1.3") == journal.related("1.4") == []
