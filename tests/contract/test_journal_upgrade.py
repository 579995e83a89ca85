"""Upgrades: a journal of every schema there ever was, with a study's whole line in it, is brought to the present one; a migration that
fails leaves it as it was; and a program that is too old for it says so and touches nothing."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, create_engine, insert, inspect, text

from node.domain.arrival import Completeness
from node.domain.erased import mark_of
from node.domain.errors import JournalError
from node.domain.patient import Patient
from node.domain.route import Withheld
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import database, schema
from node.journal.database import alembic_config
from node.journal.errors import NewerJournal
from node.journal.sql import SqlJournal
from tests.unit.journal.story import LEASE, START, Story

AT = 1_700_000_000_000_000
REVISIONS = sorted(path.name.partition("_")[0] for path in Path(database.__file__).with_name("migrations").glob("versions/0*.py"))
HEADER = {"PatientID": ["4711"], "PatientName": ["Doe^Jane"], "Modality": ["CT"], "StudyDate": ["20240101"]}
UIDS = {"study_instance_uid": "1.1", "series_instance_uid": "1.1.1"}
OBJECT = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4", "series_instance_uid": "2.25.9", "size": 9, "digest": "d"}
ROWS: dict[str, list[dict[str, Any]]] = {
    "series_header": [{"id": 1, "series_instance_uid": "1.1.1", "content": json.dumps(HEADER)}],
    "instance": [
        {
            "id": number,
            "sop_instance_uid": f"1.1.1.{number}",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "blob": f"instances/{number}.dcm",
            "size": 100,
            "digest": f"digest {number}",
            "calling_ae": "CT1",
            "called_ae": "HILUM",
            "address": "10.0.0.1",
            "peer": "ct1",
            "received_at": AT,
            "standing": "current",
            "header_base": 1,
            "header_delta": json.dumps({"set": {"InstanceNumber": [number]}, "drop": []}),
            **UIDS,
        }
        for number in (1, 2)
    ],
    "arrival": [
        {
            "id": 1,
            "peer": "ct1",
            "study_instance_uid": "1.1",
            "series_instance_uid": "",
            "called_ae": "HILUM",
            "state": "routed",
            "revision": 1,
            "opened_at": AT,
            "last_instance_at": AT,
            "due_at": AT,
            "completed_at": AT,
            "completed_by": "quiet",
            "config_digest": "c",
            "instances": 2,
        }
    ],
    "arrival_instance": [{"arrival_id": 1, "instance_id": number} for number in (1, 2)],
    "decision": [
        {
            "arrival_id": 1,
            "position": 0,
            "route": "all",
            "series_instance_uid": "1.1.1",
            "matched": True,
            "chosen": True,
            "tried": '[["Modality", "CT", "CT", true]]',
            "reason": "every condition held",
        },
        {
            "arrival_id": 1,
            "position": 1,
            "route": "follow-up",
            "series_instance_uid": "1.1.1",
            "matched": True,
            "chosen": True,
            "tried": "[]",
            "reason": "all conditions hold; one-a: no prior: the series has no date; b: compared with series 1 of 2022-01-01 (T1)",
        },
    ],
    "job": [
        {
            "id": number,
            "arrival_id": 1,
            "application": f"a{number}",
            "application_version": "1.0",
            "engine": "default",
            "rank": 1,
            "state": state,
            "attempts": 0,
            "due_at": AT,
            "created_at": AT,
            "moved_at": AT,
            "input_digest": "i",
            "findings_blob": None if state == "queued" else f"findings/{number}-x",
            "inferred_at": None if state == "queued" else AT,
            "model_digest": None if state == "queued" else "m",
            **UIDS,
        }
        for number, state in ((1, "encoded"), (2, "queued"), (3, "done"))
    ],
    "job_route": [{"job_id": number, "route": "all", "position": 0} for number in (1, 2, 3)],
    "job_sink": [{"job_id": number, "sink": "archive", "position": 0} for number in (1, 2, 3)],
    "job_instance": [{"job_id": job, "instance_id": number} for job in (1, 2, 3) for number in (1, 2)],
    "result_object": [
        {"id": job * 10 + number, "job_id": job, "kind": kind, "sop_instance_uid": f"2.25.{job}{number}", "description": kind}
        | {"blob": f"results/{job}-{kind}"}
        | OBJECT
        for job in (1, 3)
        for number, kind in enumerate(("seg", "sr"))
    ],
    "delivery": [
        {"id": 1, "job_id": 1, "sink": "archive", "state": "waiting", "round": 1, "attempts": 1, "due_at": AT, "waiting_since": AT},
        {"id": 2, "job_id": 3, "sink": "archive", "state": "committed", "round": 1, "attempts": 1, "due_at": AT, "waiting_since": AT},
    ],
    "receipt": [{"id": 1, "delivery_id": 1, "object_id": 10, "round": 1, "accepted": True, "status": 0, "detail": "", "at": AT}],
    "event": [{"id": 1, "at": AT, "subject": "job", "subject_id": 3, "name": "job.done", "detail": ""}],
    "pause": [{"kind": "sink", "name": "viewer", "since": AT}],
    "aside": [{"id": 1, "at": AT, "entry": "x.dcm", "sender": "CT1@10.0.0.1", "code": "HLM-3001", "reason": "no DICOM"}],
    "tombstone": [{"id": 1, "blob": "instances/old.dcm", "at": AT}],
}
"""A study's whole line, in the columns of the oldest schema: what later ones added fills itself."""


def _engine(url: str) -> Engine:
    return create_engine(url.replace("sqlite:", "sqlite:///").replace("postgresql:", "postgresql+psycopg:"))


def _made(url: str, revision: str) -> None:
    """A journal at `revision` with `ROWS` in it."""
    engine = _engine(url)
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        tables = MetaData()
        tables.reflect(connection)
        for name, rows in ROWS.items():
            connection.execute(insert(tables.tables[name]), rows)
        if "patient_series" in tables.tables:  # written by the programs since 0004; what is older gets it by the upgrade
            known = {"patient_id": "4711", "issuer": "", "modality": "CT", "studied_at": "20240101", **UIDS}
            connection.execute(insert(tables.tables["patient_series"]), [known])
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:  # rows with numbers of their own do not move the sequences
            for name in (
                "series_header",
                "instance",
                "arrival",
                "job",
                "result_object",
                "delivery",
                "receipt",
                "event",
                "aside",
                "tombstone",
            ):
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 1000)"))
    engine.dispose()


def _rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every table with every row, past the code under test."""
    engine = _engine(url)
    with engine.connect() as connection:
        found = {
            name: sorted((tuple(row) for row in connection.execute(text(f'SELECT * FROM "{name}"'))), key=repr)
            for name in inspect(connection).get_table_names()
        }
    engine.dispose()
    return found


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_journal_of_every_revision_is_read_as_it_was_written(
    revision: str, journal_url: str, opened: Callable[[str], SqlJournal]
) -> None:
    """Instances with their headers, the arrival, its decision, jobs in every state, objects, what was accepted of them, history, pauses:
    read through the port after the upgrade; and work goes on: the queued job is claimed, the half-sent delivery sends the other half."""
    _made(journal_url, revision)
    journal = opened(journal_url)
    both = journal.study_instances("1.1")
    assert [(one.sop_instance_uid, one.header["PatientName"], one.header["InstanceNumber"]) for one in both] == [
        (f"1.1.1.{number}", ("Doe^Jane",), (number,)) for number in (1, 2)
    ]
    (arrival,) = journal.arrivals(study="1.1")
    assert (arrival.state, arrival.instances) == (ArrivalState.ROUTED, 2)
    assert [one.compares for one in journal.decisions(1)] == [(), ("one-a", "b") if revision < "0009" else ()]
    assert {job.id: job.state for job in journal.jobs()} == {1: JobState.ENCODED, 2: JobState.QUEUED, 3: JobState.DONE}
    assert [one.sop_instance_uid for one in journal.objects(3)] == ["2.25.30", "2.25.31"]
    assert [one.state for one in journal.deliveries(job=3)] == [DeliveryState.COMMITTED]
    assert [one.name for one in journal.events("job", 3)] == ["job.done"]
    assert ([name for _, name, _ in journal.paused()], [one.entry for one in journal.asides()]) == (["viewer"], ["x.dcm"])
    assert journal.held(Patient(patient_id="4711", issuer="")).instances == (1, 2)
    claimed = journal.claim_job("host:1", START, LEASE)
    assert claimed is not None
    assert claimed.id == 2
    delivery = journal.claim_delivery("host:1", START, LEASE)
    assert delivery is not None
    assert [one.id for one in journal.undelivered(delivery.id)] == [11]
    story = Story(journal)
    story.receive(50, study_instance_uid="9.9", series_instance_uid="9.9.1", sop_instance_uid="9.9.1.50")
    assert story.arrival("9.9").state is ArrivalState.RECEIVED


def test_objects_of_before_keep_the_part_that_their_description_told(journal_url: str, opened: Callable[[str], SqlJournal]) -> None:
    """A result of one echo, written by a program that said so in its description alone: its reports are still found as that echo's."""
    _made(journal_url, "0009")
    engine = _engine(journal_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE result_object SET description = 'ct 1.0.0 segmentation [echo 1 (TE 20 ms)]' WHERE id = 30"))
        connection.execute(text("UPDATE result_object SET description = 'ct 1.0.0 [odd] report' WHERE id = 31"))
    engine.dispose()
    assert [one.part for one in opened(journal_url).objects(3)] == ["echo 1 (TE 20 ms)", ""]


def test_what_grew_for_too_long_is_told_by_the_word_of_its_key(journal_url: str, opened: Callable[[str], SqlJournal]) -> None:
    """0023: it was `longest`, which is the key for short series."""
    _made(journal_url, "0022")
    engine = _engine(journal_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE arrival SET completed_by = 'longest'"))
    engine.dispose()
    (arrival,) = opened(journal_url).arrivals(study="1.1")
    assert arrival.completed_by is Completeness.GROWING


def test_a_migration_that_fails_leaves_the_journal_as_it_was(
    journal_url: str, opened: Callable[[str], SqlJournal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It broke after it had made a table and changed rows: all of it is undone, and the program of before goes on with what it has."""
    _made(journal_url, schema.HEAD)
    before = _rows(journal_url)
    scripts = tmp_path / "migrations"
    shutil.copytree(Path(database.__file__).with_name("migrations"), scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "9998_break.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = '9998'\ndown_revision = '{schema.HEAD}'\n"
        "def upgrade():\n"
        "    op.create_table('half', sa.Column('id', sa.Integer(), primary_key=True))\n"
        "    op.execute(\"UPDATE job SET engine = 'broken'\")\n"
        "    op.add_column('job', sa.Column('half', sa.Text(), nullable=True))\n"
        "    op.execute('SELECT nothing FROM nowhere')\n"
    )

    def newer() -> Any:
        config = alembic_config()
        config.set_main_option("script_location", str(scripts))
        return config

    with monkeypatch.context() as patched:
        patched.setattr(database, "alembic_config", newer)
        patched.setattr(database, "HEAD", "9998")
        assert "9998" in {one.revision for one in ScriptDirectory.from_config(newer()).walk_revisions()}
        with pytest.raises(JournalError):
            SqlJournal.open(journal_url)
    assert _rows(journal_url) == before
    journal = opened(journal_url)
    assert {job.engine for job in journal.jobs()} == {"default"}


def test_an_older_program_refuses_a_newer_journal_and_touches_nothing(journal_url: str) -> None:
    """It names both revisions, in words that say what to do; not a row is different afterwards."""
    _made(journal_url, schema.HEAD)
    engine = _engine(journal_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    before = _rows(journal_url)
    with pytest.raises(NewerJournal, match=f"9999 is newer than this hilum, which knows up to {schema.HEAD}") as refused:
        SqlJournal.open(journal_url)
    assert "hilum" in refused.value.remedy
    assert not refused.value.retry
    assert _rows(journal_url) == before


def test_what_was_told_in_sentences_becomes_columns(journal_url: str, opened: Callable[[str], SqlJournal]) -> None:
    """0011: an open arrival waits for what its event said, and only as long as nothing came since; so does a count that was met."""
    _made(journal_url, "0010")
    engine = _engine(journal_url)
    arrivals = [
        {**ROWS["arrival"][0], "id": number, "series_instance_uid": f"1.1.{number}", "state": "received", "supersedes": 1, "due_at": AT * 2}
        for number in (2, 3)
    ]
    events = [
        {"id": 10, "at": AT, "subject": "arrival", "subject_id": 2, "name": "arrival.waits", "detail": f"no series; last {_iso(AT)}"},
        {"id": 11, "at": AT, "subject": "arrival", "subject_id": 3, "name": "arrival.waits", "detail": f"no series; last {_iso(AT - 1)}"},
        {"id": 12, "at": AT, "subject": "arrival", "subject_id": 3, "name": "arrival.counted", "detail": f"2 received, last {_iso(AT)}"},
    ]
    with engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection)
        connection.execute(insert(tables.tables["arrival"]), arrivals)
        connection.execute(insert(tables.tables["event"]), events)
    engine.dispose()
    found = {one.id: (one.waits_for, one.counted) for one in opened(journal_url).arrivals(states=(ArrivalState.RECEIVED,))}
    assert found == {2: ("no series", False), 3: ("", True)}


def test_decisions_of_before_say_what_was_withheld(journal_url: str, opened: Callable[[str], SqlJournal]) -> None:
    """0017: what waited for a series, or for the rest of one, and what was parked; what ran, or lacked nothing, is as it was."""
    _made(journal_url, "0016")
    needs, whole = '[["needs late", "IOHEXOL", "", false]]', '[["whole", "every instance of the series", "2 of 4", false]]'
    said = [
        (False, needs, "waits until 2026-03-10 12:10:00 UTC, then is parked: the study has no series"),
        (False, whole, "held until 2026-03-10 12:10:00 UTC, then parked as incomplete: 2 of 4 instances came"),
        (True, needs, 'all conditions hold; threshold is parked: the study has no series "late" (…)'),
        (True, needs, 'all conditions hold; is run without: the study has no series "late" (…)'),
        (False, '[["Modality", "CT", "MR", false]]', "waits until nothing"),
    ]
    rows = [
        {**ROWS["decision"][0], "position": number, "chosen": chosen, "tried": tried, "reason": reason}
        for number, (chosen, tried, reason) in enumerate(said, 10)
    ]
    engine = _engine(journal_url)
    with engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection)
        connection.execute(insert(tables.tables["decision"]), rows)
    engine.dispose()
    found = [one.withheld for one in opened(journal_url).decisions(1)]
    assert found[-5:] == [Withheld.WAITS, Withheld.WAITS, Withheld.PARKED, None, None]
    assert set(found[:-5]) == {None}


def _iso(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()


def test_instances_of_before_say_whose_they_are(journal_url: str, opened: Callable[[str], SqlJournal]) -> None:
    """0012: by what their headers say, the first one's or their own; what has no header any more says nothing, and nothing is held."""
    _made(journal_url, "0011")
    engine = _engine(journal_url)
    other, none = ({"set": {"PatientID": ["0815"]}, "drop": []}, {"set": {}, "drop": ["PatientID"]})
    said = {3: (1, other), 4: (1, none), 5: (None, None)}
    rows = [
        {
            **ROWS["instance"][0],
            "id": number,
            "sop_instance_uid": f"1.1.1.{number}",
            "blob": f"instances/{number}.dcm",
            "digest": f"digest {number}",
            "header_base": base,
            "header_delta": None if delta is None else json.dumps(delta),
        }
        for number, (base, delta) in said.items()
    ]
    with engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection)
        connection.execute(insert(tables.tables["instance"]), rows)
    engine.dispose()
    journal = opened(journal_url)
    whose = [Patient(patient_id="4711", issuer=""), Patient(patient_id="0815", issuer=""), None]
    assert journal.series_known(["1.1.1"])["1.1.1"].marks == {mark_of("1.1", patient) for patient in whose}
    assert journal.held_instances() == []
    with _engine(journal_url).connect() as connection:
        marks = {row.id: row.whose for row in connection.execute(text("SELECT id, whose FROM instance"))}
    assert (marks[1] == marks[2], marks[5]) == (True, "")
    assert marks[3] == mark_of("1.1", whose[1])
