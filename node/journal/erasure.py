"""Erasure on request: what is a patient's, and its rows going in one transaction, with tombstones for its bytes in the same."""

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, text, update

from node.domain.instance import Header, Instance
from node.domain.patient import Patient, mark_of, mark_of_all, patient_of
from node.domain.state import DeliveryState, JobState
from node.journal import schema
from node.journal.database import JournalPart, lock_study, rerun
from node.journal.instances import bases, difference, read_instances, restored, whole
from node.journal.port import HeldRows
from node.journal.rows import micros
from node.journal.store import lock_tombstones
from node.journal.transitions import DELIVERY, JOB, REQUEST, move, note

T = TypeVar("T")

_instance = schema.instance.c
_job = schema.job.c
_CHUNK = 500
_CANCELLABLE = [state.value for state in (JobState.QUEUED, JobState.INFERRED, JobState.PARKED, JobState.FAILED)]

_CHUNK_BYTES = 8 << 20
_PATIENCE_S = 20.0
_LOOK_AGAIN_S = 0.2


class ErasedRows(JournalPart):
    """What there is of a patient or a study, and its erasure."""

    def issuers(self, patient_id: str) -> list[str]:
        """Who issued the patients' IDs that read so, as far as headers are known; "" where they do not say."""
        known = schema.patient_series.c
        with self._database.reading() as connection:
            return list(
                connection.execute(select(known.issuer).distinct().where(known.patient_id == patient_id).order_by(known.issuer)).scalars()
            )

    def find(self, patient: Patient | None, studies: Collection[str] = ()) -> HeldRows:
        """Everything of a patient, or of whole studies: each instance whose header names the patient, and those of the same study that
        name nobody (any more) where none names anybody else; the jobs that used them, what these made, and arrivals that hold nothing
        else."""
        with self._database.reading() as connection:
            return _held(connection, patient, studies)

    @rerun
    def cancel_work(self, held: HeldRows, now: datetime) -> int:
        """Cancel the jobs that wait, and the deliveries that have not begun; how many are still under a live lease."""
        delivery = schema.delivery.c
        why = "erased on request"
        leased = 0
        with self._database.writing() as connection:
            for jobs in _chunks(held.jobs):
                # a job before its deliveries, in one order: as everybody locks them
                rows = connection.execute(
                    select(_job.id, _job.state, _job.lease_until).where(_job.id.in_(jobs)).order_by(_job.id).with_for_update()
                )
                for row in rows.all():
                    if _live(row.lease_until, now):
                        leased += 1  # its worker ends it; cancelled under its lease, it would come back to life by that
                    elif row.state in _CANCELLABLE:
                        move(connection, JOB, row.id, JobState.CANCELLED, now, why, lease=None, lease_until=None)
                waiting = select(delivery.id, delivery.lease_until).where(
                    delivery.job_id.in_(jobs), delivery.state.in_([DeliveryState.WAITING.value, DeliveryState.PARKED.value])
                )
                for one in connection.execute(waiting.order_by(delivery.id).with_for_update()).all():
                    if _live(one.lease_until, now):
                        leased += 1  # half of it may be at the sink: it ends, one way or the other
                    else:
                        move(connection, DELIVERY, one.id, DeliveryState.CANCELLED, now, why, lease=None, lease_until=None)
        return leased

    @rerun
    def erase(self, held: HeldRows, blobs: Collection[str], entries: Collection[str], until: datetime, now: datetime) -> None:
        """Delete every row of it in one transaction, tombstones for its blobs (and for `blobs`) in the same; forget the files that were
        set aside under these names. Until `until` its marks are known again. Nothing is left of it in the history."""
        with self._database.writing() as connection:
            lock_study(connection, *held.studies, *held.shared)
            lock_tombstones(connection)
            now_held = _held(connection, held.patient, held.studies if held.patient is None else ())
            for mark in {*held.marks, *now_held.marks}:
                connection.execute(delete(schema.erased).where(schema.erased.c.mark == mark))
                connection.execute(insert(schema.erased).values(mark=mark, until=micros(until)))
            # before any event goes: the numbers of those that go are not given again, and who follows the history misses none
            of_whom = "a patient" if held.patient is not None else "a study" if len(held.studies) == 1 else f"{len(held.studies)} studies"
            counted = f"{len(now_held.instances)} instances and {len(now_held.jobs)} jobs of {of_whom}"
            note(connection, "instance", 0, "instance.erased", counted, now)
            tombstoned = [{"blob": blob, "at": micros(now)} for blob in dict.fromkeys([*now_held.blobs, *blobs])]
            if tombstoned:
                connection.execute(insert(schema.tombstone), tombstoned)
            made = schema.result_object.c
            uids = set(_where_in(connection, made.sop_instance_uid, made.job_id, now_held.jobs))
            sops = set(_where_in(connection, _instance.sop_instance_uid, _instance.id, now_held.instances))
            _rebase(connection, now_held)
            member = schema.arrival_instance.c
            left = set(_where_in(connection, member.arrival_id, member.instance_id, now_held.instances)) - set(now_held.arrivals)
            _delete(connection, {"instance": now_held.instances, "job": now_held.jobs, "arrival": now_held.arrivals})
            _count_again(connection, left)
            _forget_decisions(connection, now_held)
            _forget_words(connection, uids, sops)
            if held.patient is not None:
                known = schema.patient_series.c
                whose = (known.patient_id == held.patient.patient_id, known.issuer == held.patient.issuer)
                connection.execute(delete(schema.patient_series).where(*whose))
            else:
                for series in _chunks(now_held.series):
                    connection.execute(delete(schema.patient_series).where(schema.patient_series.c.series_instance_uid.in_(series)))
            _forget_shortfalls(connection, now_held)
            for names in _chunks(list(entries)):
                connection.execute(delete(schema.aside).where(schema.aside.c.entry.in_(names)))

    def erased(self, marks: Collection[str], now: datetime) -> set[str]:
        """Those of these marks that were erased and are still known."""
        table = schema.erased.c
        with self._database.reading() as connection:
            known = select(table.mark).where(table.mark.in_(list(marks)), table.until > micros(now))
            return set(connection.execute(known).scalars())

    @rerun
    def forget(self, now: datetime) -> int:
        """Forget the marks whose time is over; how many."""
        with self._database.writing() as connection:
            return int(connection.execute(delete(schema.erased).where(schema.erased.c.until <= micros(now))).rowcount)

    def clean_files(self, traces: Collection[bytes]) -> bool:
        """Make sure that deleted rows are gone from the database's files too, `traces` being what must not stand there. False when other
        processes kept it from that: to be tried again.

        Without traces the whole file is written anew.

        On PostgreSQL the tables are vacuumed: pages that its server has freed, and its log, are the server's own."""
        if self._database.shared:
            self._vacuum_server()
            return True
        with self._database.translating(), self._database.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            connection.rollback()  # neither can be done inside a transaction
            emptied = _empty_log(driver)
            if not traces or _stands_in(Path(self._database.name), traces):
                driver.execute("VACUUM")
                emptied = _empty_log(driver)
            return emptied

    def _vacuum_server(self) -> None:
        with self._database.translating(), self._database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("SET statement_timeout = 0"))
            for table in schema.metadata.sorted_tables:
                connection.execute(text(f'VACUUM "{table.name}"'))


# ---- what is whose


def _held(connection: Connection, patient: Patient | None, studies: Collection[str]) -> HeldRows:
    if patient is not None:
        known = schema.patient_series.c
        mine = (known.patient_id == patient.patient_id, known.issuer == patient.issuer)
        studies = set(connection.execute(select(known.study_instance_uid).where(*mine)).scalars())
    rows: list[Instance] = []
    for some in _chunks(sorted(studies)):
        rows += read_instances(connection, select(schema.instance).where(_instance.study_instance_uid.in_(some)))
    others = {row.study_instance_uid for row in rows if patient is not None and patient_of(row.header) not in (None, patient)}
    ours = [row for row in rows if patient is None or patient_of(row.header) == patient or _nobodys(row.header, row, others)]
    ids = [row.id for row in ours]
    touched = {row.study_instance_uid for row in ours}
    jobs = set(_where_in(connection, schema.job_instance.c.job_id, schema.job_instance.c.instance_id, ids))
    jobs |= set(_where_in(connection, _job.id, _job.study_instance_uid, sorted(set(studies) - others)))
    arrivals = _emptied(connection, set(studies), others, set(ids))
    jobs |= set(_where_in(connection, _job.id, _job.arrival_id, arrivals))
    ordered = sorted(jobs)
    objects = schema.result_object.c
    delivered = (
        select(schema.delivery.c.sink)
        .distinct()
        .where(schema.delivery.c.state.in_([DeliveryState.DELIVERED.value, DeliveryState.COMMITTED.value]))
    )
    sinks: set[str] = set()
    for some_jobs in _chunks(ordered):
        sinks |= set(connection.execute(delivered.where(schema.delivery.c.job_id.in_(some_jobs))).scalars())
    blobs = [row.blob for row in ours]
    blobs += _where_in(connection, objects.blob, objects.job_id, ordered)
    blobs += [name for name in _where_in(connection, _job.findings_blob, _job.id, ordered) if name is not None]
    return HeldRows(
        patient=patient,
        instances=tuple(sorted(ids)),
        arrivals=tuple(sorted(arrivals)),
        jobs=tuple(ordered),
        studies=tuple(sorted(set(studies) - others)),
        shared=tuple(sorted(others & touched)),
        series=tuple(sorted({row.series_instance_uid for row in ours})),
        blobs=tuple(dict.fromkeys(blobs)),
        sinks=tuple(sorted(sinks)),
        marks=tuple(sorted(_marks(patient, touched, set(studies) - others))),
        patients=len({patient_of(row.header) for row in ours} - {None}),
        size=sum(row.size for row in ours),
    )


def _marks(patient: Patient | None, touched: set[str], whole_studies: set[str]) -> set[str]:
    if patient is None:
        return {mark_of_all(study) for study in whole_studies}
    # what names nobody is the patient's only where nobody else is named
    return {mark_of(study, patient) for study in touched | whole_studies} | {mark_of(study, None) for study in whole_studies}


def _nobodys(header: Header, row: Instance, others: Collection[str]) -> bool:
    """Whether a header that names no one patient stands in a study in which no other patient is named."""
    return patient_of(header) is None and row.study_instance_uid not in others


def _emptied(connection: Connection, studies: set[str], others: set[str], gone: set[int]) -> list[int]:
    """The arrivals of these studies that hold nothing but what goes."""
    arrival, member = schema.arrival.c, schema.arrival_instance.c
    found: list[int] = []
    for some in _chunks(sorted(studies)):
        for row in connection.execute(select(arrival.id, arrival.study_instance_uid).where(arrival.study_instance_uid.in_(some))).all():
            members = set(connection.execute(select(member.instance_id).where(member.arrival_id == row.id)).scalars())
            if members <= gone and (members or row.study_instance_uid not in others):
                found.append(row.id)
    return found


# ---- how it goes


def _delete(connection: Connection, rows: Mapping[str, Sequence[int]]) -> None:
    """Delete these rows and all that stand on them, whichever tables these are; a reference that may be null becomes null."""
    going: dict[str, set[int]] = {name: set(ids) for name, ids in rows.items()}
    order = [table for table in schema.metadata.sorted_tables if table is not schema.event]
    for table in order:  # parents come first
        for column, parent in _references(table):
            if not going.get(parent) or column.nullable or "id" not in table.c:
                continue
            going.setdefault(table.name, set()).update(_where_in(connection, table.c.id, column, sorted(going[parent])))
    for table in reversed(order):
        for column, parent in _references(table):
            for some in _chunks(sorted(going.get(parent, ()))):
                if column.nullable:
                    connection.execute(update(table).where(column.in_(some)).values({column.name: None}))
                else:
                    connection.execute(delete(table).where(column.in_(some)))
        for some in _chunks(sorted(going.get(table.name, ()))):
            connection.execute(delete(table).where(table.c.id.in_(some)))
    for name, ids in going.items():
        for some in _chunks(sorted(ids)):
            connection.execute(delete(schema.event).where(schema.event.c.subject == name, schema.event.c.subject_id.in_(some)))


def _references(table: Table) -> Iterator[tuple[Any, str]]:
    for key in table.foreign_keys:
        if key.column.table is not schema.series_header:
            yield key.parent, key.column.table.name


def _count_again(connection: Connection, arrivals: Collection[int]) -> None:
    """Arrivals that stay know how many instances they have."""
    arrival, member = schema.arrival.c, schema.arrival_instance.c
    count = select(func.count()).where(member.arrival_id == arrival.id).scalar_subquery()
    for some in _chunks(sorted(arrivals)):
        connection.execute(update(schema.arrival).where(arrival.id.in_(some)).values(instances=count))


def _rebase(connection: Connection, held: HeldRows) -> None:
    """Let go of the headers that others were written against; those that stay get one of their own as their base."""
    gone = set(held.instances)
    using = set(_where_in(connection, _instance.header_base, _instance.id, held.instances)) - {None}
    known = bases(connection, using)
    for base in sorted(using):
        stay = [row for row in connection.execute(select(schema.instance).where(_instance.header_base == base)).all() if row.id not in gone]
        headers = {row.id: restored(row, known) for row in stay}
        if stay:
            first = headers[stay[0].id]
            connection.execute(update(schema.series_header).where(schema.series_header.c.id == base).values(content=whole(first)))
            for row in stay:
                connection.execute(
                    update(schema.instance).where(_instance.id == row.id).values(header_delta=difference(first, headers[row.id]))
                )
    for some in _chunks(held.instances):
        connection.execute(update(schema.instance).where(_instance.id.in_(some)).values(header_base=None, header_delta=None))
    unused = ~select(_instance.id).where(_instance.header_base == schema.series_header.c.id).exists()
    for some in _chunks(sorted(using)):
        connection.execute(delete(schema.series_header).where(schema.series_header.c.id.in_(some), unused))


def _forget_decisions(connection: Connection, held: HeldRows) -> None:
    """Of arrivals that stay, the decisions about series of which something went: they quote headers."""
    decision = schema.decision.c
    for some in _chunks(held.series):
        connection.execute(delete(schema.decision).where(decision.series_instance_uid.in_(some)))


def _forget_shortfalls(connection: Connection, held: HeldRows) -> None:
    """What was refused, broke off or was counted of studies that go, and of the series of others of which something goes."""
    for table in (schema.refused_instance, schema.torn_series, schema.series_count):
        for some in _chunks(held.studies):
            connection.execute(delete(table).where(table.c.study_instance_uid.in_(some)))
        for some in _chunks(held.series):
            connection.execute(delete(table).where(table.c.series_instance_uid.in_(some)))


def _forget_words(connection: Connection, results: set[str], instances: set[str]) -> None:
    """What names them in words: results that came back, and requests of peers to commit to them."""
    asked, event = schema.promise_asked, schema.event.c
    for some in _chunks(sorted(results)):
        connection.execute(delete(schema.event).where(event.sop_instance_uid.in_(some)))
    for row in connection.execute(select(asked.c.id, asked.c.content)).all():
        references = json.loads(row.content)
        left = [one for one in references if one[1] not in instances and one[1] not in results]
        if not left:
            connection.execute(delete(asked).where(asked.c.id == row.id))
            # its history too: SQLite gives the number of the last row to the next one
            connection.execute(delete(schema.event).where(event.subject == REQUEST.name, event.subject_id == row.id))
        elif len(left) < len(references):
            connection.execute(update(asked).where(asked.c.id == row.id).values(content=json.dumps(left)))


# ---- short ways


def _live(lease_until: int | None, now: datetime) -> bool:
    return lease_until is not None and lease_until > micros(now)


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    listed = list(values)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


def _where_in(connection: Connection, wanted: ColumnElement[Any], column: ColumnElement[Any], values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for some in _chunks(values):
        found += connection.execute(select(wanted).where(column.in_(some))).scalars()
    return found


def _empty_log(driver: sqlite3.Connection) -> bool:
    """Bring the write-ahead log into the file, and cut it off; whether nobody kept it from that."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_AGAIN_S)


def _stands_in(path: Path, traces: Collection[bytes]) -> bool:
    """Whether one of these stands anywhere in a file."""
    overlap = max(len(trace) for trace in traces)
    with path.open("rb") as file:
        behind = b""
        while part := file.read(_CHUNK_BYTES):
            look = behind + part
            if any(trace in look for trace in traces):
                return True
            behind = look[-overlap:]
    return False
