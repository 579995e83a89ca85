"""A long history: what a journal costs each step once it holds a million instances, beside the same steps on a short one."""

import contextlib
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from sqlalchemy import Connection, text

from bench.rows import Row, say
from node.domain.instance import Header, Instance
from node.domain.state import ArrivalState, JobState
from node.journal.database import connect
from node.journal.journal import Journal
from node.journal.port import CameAgain, EventFilter, NewInstance

INSTANCES = 1_000_000
PER_SERIES = 300
_SHORT = 10_000
"""A history that fits into any cache, and has a page or two of everything."""
_ROUNDS = 9
_BATCH = 200
QUEUED, _FEW_QUEUED = 100_000, 100
_CLAIMS = 50
_SERIES = "'2.25.4711.' || {0} || '.1'"
_STUDY = "'2.25.4711.' || {0}"
_NAMES = "'0123456789abcdef0123456789abcdef0123456789abcdef' || (1000000000000000 + {0})"
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) "


def fill(url: str, instances: int = INSTANCES, *, now: datetime | None = None, days: float = 60.0) -> None:
    """Give the empty journal at `url` a history: studies of 300 CT slices, received over the last `days`, each routed, analysed by one
    job and delivered to one sink; five studies a patient. Rows only, made by the database itself: a million takes about half a minute.
    No file lies behind them."""
    Journal.open(url).close()
    engine, _, _ = connect(url)
    end = int((now or datetime.now(UTC)).timestamp() * 1e6) - 3_600_000_000  # a quiet hour: nothing of it is due
    studies = -(-instances // PER_SERIES)
    every = int(days * 86_400e6 / studies)
    values = {"per": PER_SERIES, "first": end - every * studies, "every": every}
    with engine.execution_options(hilum_writes=True).begin() as connection:
        if connection.execute(text("SELECT count(*) FROM arrival")).scalar():
            raise ValueError("the journal has a history already")
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in _PER_STUDY:
            connection.execute(text(_NUMBERS + statement), {"most": studies, "all": instances, **values})
        for statement in _PER_INSTANCE:
            connection.execute(text(_NUMBERS + statement), {"most": instances, **values})
        _renumber(connection)
    if engine.dialect.name == "postgresql":  # which does so by itself within minutes; SQLite never does
        with engine.connect() as connection:
            connection.execute(text("ANALYZE"))
            connection.commit()
    engine.dispose()


def _renumber(connection: Connection) -> None:
    """New rows come behind the made ones; SQLite sees to that itself."""
    if connection.dialect.name == "postgresql":
        for table in ("series_header", "instance", "arrival", "job", "result_object", "delivery", "receipt", "event"):
            last = f"(SELECT max(id) FROM {table})"
            connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})"))


def _insert(table: str, **columns: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM n"


def _series_of(instance: str) -> str:
    return f"(({instance} - 1) / :per + 1)"


_AT = "(:first + i * :every)"
_PER_STUDY = (
    _insert(
        "series_header",
        id="i",
        series_instance_uid=_SERIES.format("i"),
        content="""'{"Modality":["CT"],"PatientID":["P' || (i / 5) || '"],"StudyDescription":["CT Thorax"],"Rows":[512]}'""",
    ),
    _insert(
        "patient_series",
        patient_id="'P' || (i / 5)",
        issuer="''",
        series_instance_uid=_SERIES.format("i"),
        study_instance_uid=_STUDY.format("i"),
        modality="'CT'",
        studied_at="'20260101120000'",
    ),
    _insert(
        "arrival",
        id="i",
        peer="'ct1'",
        study_instance_uid=_STUDY.format("i"),
        series_instance_uid="''",
        called_ae="'HILUM'",
        state="'routed'",
        revision="1",
        opened_at=_AT,
        last_instance_at=_AT,
        due_at=_AT,
        completed_at=_AT,
        completed_by="'quiet'",
        config_digest="'0'",
        instances="CASE WHEN i * :per > :all THEN :all - (i - 1) * :per ELSE :per END",
    ),
    _insert(
        "job",
        id="i",
        arrival_id="i",
        study_instance_uid=_STUDY.format("i"),
        series_instance_uid=_SERIES.format("i"),
        application="'threshold'",
        application_version="'1.0.0'",
        engine="'default'",
        rank="1",
        state="'done'",
        attempts="1",
        due_at=_AT,
        created_at=_AT,
        moved_at=_AT,
        input_digest=_NAMES.format("i"),
        findings_blob="'findings/' || i || '-0.bin'",
        inferred_at=_AT,
        model_digest="'0'",
    ),
    _insert("job_route", job_id="i", route="'all'", position="0"),
    _insert("job_sink", job_id="i", sink="'archive'", position="0"),
    *(
        _insert(
            "result_object",
            id=f"i * 3 - {kind}",
            job_id="i",
            kind=f"'{name}'",
            sop_instance_uid=f"'2.25.4712.' || i || '.{kind}'",
            sop_class_uid="'1.2.840.10008.5.1.4.1.1.66.4'",
            series_instance_uid=f"'2.25.4712.' || i || '.{kind}.1'",
            description=f"'{name}'",
            blob=f"'results/' || i || '-{name}.dcm'",
            size="1000",
            digest=_NAMES.format("i"),
        )
        for kind, name in enumerate(("seg", "sr", "sc"))
    ),
    _insert(
        "delivery",
        id="i",
        job_id="i",
        sink="'archive'",
        state="'delivered'",
        round="1",
        attempts="1",
        due_at=_AT,
        waiting_since=_AT,
    ),
    *(
        _insert(
            "receipt", id=f"i * 3 - {kind}", delivery_id="i", object_id=f"i * 3 - {kind}", round="1", accepted="true", detail="''", at=_AT
        )
        for kind in range(3)
    ),
    *(
        _insert("event", id=f"i * 9 - {number}", at=_AT, subject=f"'{subject}'", subject_id="i", name=f"'{subject}.{name}'", detail="''")
        for number, (subject, name) in enumerate(
            (
                *(("delivery", state) for state in ("committed", "delivered", "claimed")),
                *(("job", state) for state in ("done", "encoded", "claimed")),
                *(("arrival", state) for state in ("routed", "complete", "received")),
            )
        )
    ),
)
_PER_INSTANCE = (
    _insert(
        "instance",
        id="i",
        sop_instance_uid=f"{_SERIES.format(_series_of('i'))} || '.' || i",
        sop_class_uid="'1.2.840.10008.5.1.4.1.1.2'",
        study_instance_uid=_STUDY.format(_series_of("i")),
        series_instance_uid=_SERIES.format(_series_of("i")),
        transfer_syntax_uid="'1.2.840.10008.1.2.1'",
        blob=f"'instances/' || {_NAMES.format('i')} || '-0.dcm'",
        size="526000",
        digest=_NAMES.format("i"),
        calling_ae="'CT1'",
        called_ae="'HILUM'",
        address="'dicom://127.0.0.1'",
        peer="'ct1'",
        received_at=f"(:first + {_series_of('i')} * :every)",
        standing="'current'",
        header_base=_series_of("i"),
        header_delta="""'{"set":{"InstanceNumber":[' || i || '],"ImagePositionPatient":[-178.5,-178.5,' || i || '.0]},"drop":[]}'""",
    ),
    _insert("arrival_instance", arrival_id=_series_of("i"), instance_id="i"),
    _insert("job_instance", job_id=_series_of("i"), instance_id="i"),
)


def _batch(number: int, now: datetime, size: int = _BATCH) -> list[NewInstance]:
    """One step's worth of a new study."""
    made = []
    for each in range(size):
        name = f"{number}-{each}"
        header: Header = {"Modality": ("CT",), "PatientID": (f"N{number}",), "InstanceNumber": (each,), "Rows": (512,), "Columns": (512,)}
        instance = Instance(
            sop_instance_uid=f"2.25.99.{number}.{each}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            study_instance_uid=f"2.25.99.{number}",
            series_instance_uid=f"2.25.99.{number}.1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            blob=f"instances/{name}.dcm",
            size=526000,
            digest=name,
            calling_ae="CT1",
            called_ae="HILUM",
            address="127.0.0.1",
            peer="ct1",
            received_at=now,
            header=header,
        )
        made.append(NewInstance(instance=instance, opens=True, scope_series=False, due_at=now + timedelta(minutes=10)))
    return made


def asked_of(journal: Journal, now: datetime) -> dict[str, Callable[[int], object]]:
    """What the stages and the sweeps ask of a journal, by name; each takes the number of the round, from 0."""
    ours = [f"2.25.99.{each}" for each in range(_BATCH)]
    return {
        "index: what is known": lambda number: (journal.instances.by_uid(*ours), journal.results.own(ours)),
        "index: record 200": lambda number: journal.instances.record(_batch(number, now), now),
        "index: came again": lambda number: journal.instances.came_again([_again(number, now)], "0", now),
        "settle: what is due": lambda _: journal.arrivals.find(states=(ArrivalState.RECEIVED,), due_before=now),
        "settle: what is open": lambda _: journal.arrivals.find(states=(ArrivalState.RECEIVED,)),
        "settle: the latest": lambda number: journal.arrivals.latest(f"2.25.4711.{number + 5}", None, "ct1"),
        "settle: its history": lambda number: journal.events.of("arrival", number + 5),
        "route: what is complete": lambda _: journal.routing.waiting(20),
        "route: a manifest": lambda number: journal.instances.of_arrival(number + 5),
        "route: priors": lambda number: journal.patients.related(f"2.25.4711.{number + 5}"),
        "route: jobs of a study": lambda number: journal.jobs.find(study=f"2.25.4711.{number + 5}"),
        "work: claim a job": lambda _: journal.jobs.claim("bench:1", now, timedelta(minutes=1)),
        "work: its instances": lambda number: journal.instances.of_job(number + 5),
        "work: its predecessors": lambda number: journal.results.of_predecessor(number + 5),
        "deliver: claim a delivery": lambda _: journal.deliveries.claim("bench:1", now, timedelta(minutes=1)),
        "deliver: what is left": lambda number: journal.deliveries.undelivered(number + 5),
        "patience: move up": lambda _: journal.jobs.move_up(now, timedelta(minutes=30), offpeak_since=None),
        "release: a dead process": lambda _: journal.processes.release("bench:2", now),
        "retention: nothing is old": lambda _: journal.retention.purgeable(now - timedelta(days=90), parked=True),
        "retention: no results are old": lambda _: journal.retention.purge_results(now - timedelta(days=90), now),
        "retention: no headers are old": lambda _: journal.retention.forget_headers(now - timedelta(days=400)),
        "retention: tombstones": lambda _: journal.retention.purged_blobs(),
        "orphans: what is kept": lambda number: journal.retention.kept_blobs(
            [f"results/{number + 5}-seg.dcm", f"findings/{number + 5}-0.bin"]
        ),
        "census": lambda _: journal.census.take(now),
        "people: events of a peer": lambda _: journal.events.find(EventFilter(peer="ct1", since=now)),
        "people: events of a study": lambda number: journal.events.find(EventFilter(study=f"2.25.4711.{number + 5}", since=now)),
        "people: the newest studies": lambda _: journal.arrivals.find(limit=20, newest=True),
        "people: what failed": lambda _: journal.jobs.find(states=(JobState.FAILED, JobState.PARKED), limit=20, newest=True),
        "people: one study": lambda number: journal.instances.of_study(f"2.25.4711.{number + 5}"),
        "people: results of other nodes": lambda number: journal.instances.other_results(f"2.25.4711.{number + 5}"),
        "people: what was set aside beside it": lambda number: journal.instances.asides_near(f"2.25.4711.{number + 5}"),
        "statements: what stays unanswered": lambda _: journal.statements.insert(["archive"], now),
        "withdrawals: what was superseded": lambda _: journal.withdrawals.insert(["archive"], now, since=now - timedelta(days=30)),
        "people: conflicts": lambda _: journal.instances.conflicts(limit=20),
    }


def _again(number: int, now: datetime) -> CameAgain:
    return CameAgain(instance=(number + 5) * PER_SERIES, peer="ct1", called_ae="HILUM", scope_series=False, due_at=now)


def queue(url: str, jobs: int) -> None:
    """Let so many jobs wait in a journal that has a history: all but one in twenty are of one peer, the others of four."""
    engine, _, _ = connect(url)
    with engine.execution_options(hilum_writes=True).begin() as connection:
        for statement in _PER_JOB:
            connection.execute(text(_NUMBERS + statement), {"most": jobs, "now": int(datetime.now(UTC).timestamp() * 1e6) - 1})
    engine.dispose()


_PER_JOB = (
    _insert(
        "job",
        id="i + 10000000",
        arrival_id="1",
        study_instance_uid="'2.25.4712.' || i",
        series_instance_uid="'2.25.4712.' || i || '.1'",
        application="'threshold'",
        application_version="'1.0.0'",
        engine="'default'",
        rank="1",
        state="'queued'",
        attempts="0",
        due_at=":now",
        created_at=":now",
        moved_at=":now",
        waits_since=":now",
        input_digest=_NAMES.format("i"),
        peer="CASE WHEN i % 20 = 0 THEN 'ct' || (i / 20 % 4) ELSE 'flood' END",
    ),
    _insert("job_route", job_id="i + 10000000", route="'all'", position="0"),
)


def _claims(url: str, jobs: int) -> float:
    """Median milliseconds of a claim while so many jobs wait."""
    fill(url, PER_SERIES)
    queue(url, jobs)
    took = []
    with contextlib.closing(Journal.open(url)) as journal:
        for _ in range(_CLAIMS):
            began = time.perf_counter()
            assert journal.jobs.claim("bench:1", datetime.now(UTC), timedelta(minutes=1)) is not None
            took.append((time.perf_counter() - began) * 1e3)
    return median(took)


def _took(journal: Journal) -> dict[str, float]:
    """Median milliseconds of each."""
    asked = asked_of(journal, datetime.now(UTC))
    took: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(_ROUNDS):
        for name, ask in asked.items():
            began = time.perf_counter()
            ask(number)
            took[name].append((time.perf_counter() - began) * 1e3)
    return {name: median(each) for name, each in took.items()}


def measure(instances: int = INSTANCES) -> list[Row]:
    """Every step with a long history, beside the same with a short one."""
    with tempfile.TemporaryDirectory(prefix="hilum-bench-", ignore_cleanup_errors=True) as made:
        urls = {size: f"sqlite:{Path(made) / f'{size}.db'}" for size in (_SHORT, instances)}
        say(f"filling a journal with {instances} instances")
        began = time.perf_counter()
        fill(urls[instances], instances)
        rows = [Row(name=f"journal: fill {instances} instances", value=time.perf_counter() - began, unit="s")]
        took = {}
        fill(urls[_SHORT], _SHORT)
        for size, url in urls.items():
            with contextlib.closing(Journal.open(url)) as journal:
                took[size] = _took(journal)
        for name, ms in took[instances].items():
            rows.append(Row(name=f"journal of {instances}: {name}", value=ms, unit="ms", baseline=took[_SHORT][name]))
        many, few = (_claims(f"sqlite:{Path(made) / f'queue-{jobs}.db'}", jobs) for jobs in (QUEUED, _FEW_QUEUED))
        goal = "≤ 2 × with a hundred"
        rows.append(Row(name=f"{QUEUED:,} jobs queued: claim", value=many, unit="ms", baseline=few, goal=goal, met=many <= 2 * few))
        return rows
