"""Instances in the journal: recording what came, what came again, what could not be read, and whose series it is, so that the prior of a
series is found without reading every header.

Of their headers the first of a series is kept whole, the others as their difference from it, because a series repeats itself.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, distinct, exists, func, insert, or_, select, text, update

from node.domain.arrival import Arrival
from node.domain.instance import Header, Instance, ResultSource, Standing, Value
from node.domain.patient import Related, mark_of, patient_of, studied_at
from node.domain.state import HistoryEvent
from node.journal import schema
from node.journal.arrivals import admit, came_again
from node.journal.database import SOUGHT, JournalPart, lock_study, rerun
from node.journal.errors import JournalRace, NoSuchRow, TransitionRefused
from node.journal.port import Aside, AssociationShare, CameAgain, NewInstance
from node.journal.rows import micros, moment, to_instance
from node.journal.store import refuse_tombstoned
from node.journal.transitions import INSTANCE, move, note

_known = schema.patient_series.c


class Patients(JournalPart):
    """Which series headers call one patient's."""

    def related(self, study_instance_uid: str) -> list[Related]:
        """The series of other studies that headers ever called the same patient's (PatientID with IssuerOfPatientID) as a series of this
        study, the newest study first; until their headers are forgotten."""
        mine, theirs = schema.patient_series.alias("mine"), schema.patient_series.alias("theirs")
        same = and_(mine.c.patient_id == theirs.c.patient_id, mine.c.issuer == theirs.c.issuer)
        columns = (theirs.c.study_instance_uid, theirs.c.series_instance_uid, theirs.c.modality, theirs.c.studied_at)
        others = theirs.c.study_instance_uid != study_instance_uid
        found = select(*columns).distinct().join(mine, same).where(mine.c.study_instance_uid == study_instance_uid, others)
        with self._database.reading() as connection:
            rows = connection.execute(found.order_by(theirs.c.studied_at.desc(), theirs.c.series_instance_uid))
            return [Related(**row._mapping) for row in rows]


def know(connection: Connection, instances: Iterable[Instance]) -> None:
    """Remember whose these are; an instance without a patient ID is nobody's. What is held says whose it is, for erasure, and changes
    nothing about a series that is known."""
    fresh: dict[tuple[str, str, str], dict[str, Any]] = {}
    counts: set[tuple[str, str, str]] = set()
    for instance in sorted(instances, key=lambda one: one.standing is not Standing.HELD):
        patient = patient_of(instance.header)
        if patient is not None:
            key = {"patient_id": patient.patient_id, "issuer": patient.issuer, "series_instance_uid": instance.series_instance_uid}
            this = patient.patient_id, patient.issuer, instance.series_instance_uid
            fresh[this] = key | _facts(instance)
            if instance.standing is not Standing.HELD:
                counts.add(this)
    if not fresh:
        return
    table = schema.patient_series
    series = {values["series_instance_uid"] for values in fresh.values()}
    for row in connection.execute(select(table).where(_known.series_instance_uid.in_(series))).all():
        known = row.patient_id, row.issuer, row.series_instance_uid
        values = fresh.pop(known, None)
        if values is not None and known in counts and values != dict(row._mapping):
            same = and_(*(table.c[column.name] == getattr(row, column.name) for column in table.primary_key))
            connection.execute(update(table).where(same).values(**values))
    if fresh:
        connection.execute(insert(table), list(fresh.values()))


def forget(connection: Connection, series: Collection[str]) -> None:
    """Forget whose these series are, where no header is left that says it."""
    instance = schema.instance.c
    said = exists().where(instance.series_instance_uid == _known.series_instance_uid, instance.header_base.is_not(None))
    connection.execute(delete(schema.patient_series).where(_known.series_instance_uid.in_(series), ~said))


def _facts(instance: Instance) -> dict[str, str]:
    modality = next((str(value) for value in instance.header.get("Modality", ())), "")
    return {"study_instance_uid": instance.study_instance_uid, "modality": modality, "studied_at": studied_at(instance.header)}


def _text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def whole(header: Header) -> str:
    """A header as the base of others, as JSON."""
    return _text(dict(header))


def difference(base: Header, header: Header) -> str:
    """What turns `base` into `header`, as JSON."""
    changed = {keyword: values for keyword, values in header.items() if base.get(keyword) != values}
    dropped = [keyword for keyword in base if keyword not in header]
    return _text({"set": changed, "drop": dropped})


_NO_DIFFERENCE = difference({}, {})
"""Of the first instance of a series: most of what is read where only few of each are kept."""


def _tuples(content: Mapping[str, list[Value]]) -> dict[str, tuple[Value, ...]]:
    return {keyword: tuple(values) for keyword, values in content.items()}


def bases(connection: Connection, ids: Collection[int], keywords: Collection[str] | None = None) -> dict[int, Header]:
    """The whole headers under `ids`; of them `keywords` alone, where these are given."""
    rows = connection.execute(select(schema.series_header).where(schema.series_header.c.id.in_(list(ids)))) if ids else ()
    return {row.id: _tuples(_only(json.loads(row.content), keywords)) for row in rows}


def restored(row: Row[Any], known: Mapping[int, Header], keywords: Collection[str] | None = None) -> Header:
    """The header of one instance row; empty once retention forgot it."""
    if row.header_base is None:
        return {}
    if row.header_delta == _NO_DIFFERENCE:
        return known[row.header_base]
    delta = json.loads(row.header_delta)
    header = {keyword: values for keyword, values in known[row.header_base].items() if keyword not in delta["drop"]}
    return header | _tuples(_only(delta["set"], keywords))


def _only(content: dict[str, list[Value]], keywords: Collection[str] | None) -> dict[str, list[Value]]:
    return content if keywords is None else {keyword: content[keyword] for keyword in keywords if keyword in content}


class Bases:
    """The base headers that one transaction writes against: found in the journal, or made from the first instance of a series."""

    def __init__(self, connection: Connection, series: Collection[str]) -> None:
        self._connection = connection
        self._of: dict[str, tuple[int, Header]] = {}
        for row in connection.execute(_BASES, {"sought": list(series)}):
            self._of[row.series_instance_uid] = (row.id, _tuples(json.loads(row.content)))

    def columns(self, series: str, header: Header) -> dict[str, Any]:
        """`header_base` and `header_delta` for an instance of `series`."""
        if series not in self._of:
            statement = insert(schema.series_header).values(series_instance_uid=series, content=whole(header))
            self._of[series] = (self._connection.execute(statement.returning(schema.series_header.c.id)).scalar_one(), header)
        base_id, base = self._of[series]
        return {"header_base": base_id, "header_delta": difference(base, header)}


_instance = schema.instance.c
_base = schema.series_header.c
# of every instance that comes: to put together what is asked takes longer than to ask it
_BASES = select(schema.series_header).where(_base.series_instance_uid.in_(SOUGHT)).order_by(_base.id)
_NAMED = select(_instance.id, _instance.blob).where(_instance.blob.in_(SOUGHT))
_RECORDED = insert(schema.instance).returning(_instance.id, _instance.blob)


def read_instances(connection: Connection, statement: Select[Any], keywords: Collection[str] | None = None) -> list[Instance]:
    """The instances that `statement` selects, with their headers, or those of their `keywords` that are given."""
    rows: Sequence[Row[Any]] = connection.execute(statement).all()
    known: dict[int, Header] = bases(connection, {row.header_base for row in rows if row.header_base is not None}, keywords)
    return [to_instance(row, restored(row, known, keywords)) for row in rows]


def _keep(connection: Connection, private: Mapping[int, Header]) -> None:
    """Add private elements to the headers of these rows; a header that retention forgot stays forgotten."""
    if not private:
        return
    rows = read_instances(connection, select(schema.instance).where(_instance.id.in_(list(private)), _instance.header_base.is_not(None)))
    series = Bases(connection, {one.series_instance_uid for one in rows})
    for one in rows:
        columns = series.columns(one.series_instance_uid, {**private[one.id], **one.header})
        connection.execute(update(schema.instance).where(_instance.id == one.id).values(**columns))


def was(*standings: Standing) -> ColumnElement[bool]:
    """Rows of these standings, those included of which retention has deleted the bytes since."""
    values = [one.value for one in standings]
    return or_(_instance.standing.in_(values), and_(_instance.standing == Standing.PURGED.value, _instance.standing_kept.in_(values)))


class Instances(JournalPart):
    """Instances that were received, and files that were set aside because they cannot be indexed."""

    def by_uid(self, *sop_instance_uids: str) -> list[Instance]:
        """Every row of these SOP Instance UIDs, in the order in which they came."""
        wanted = select(schema.instance).where(_instance.sop_instance_uid.in_(sop_instance_uids))
        with self._database.reading() as connection:
            return read_instances(connection, wanted.order_by(_instance.id))

    @rerun
    def record(self, news: Sequence[NewInstance], now: datetime) -> list[int]:
        """Insert all in one transaction; returns their row ids. Idempotent by `blob`."""
        with self._database.writing() as connection:
            blobs = [new.instance.blob for new in news]
            ids = {row.blob: row.id for row in connection.execute(_NAMED, {"sought": blobs})}
            fresh: dict[str, NewInstance] = {}
            for new in news:
                if new.instance.blob not in ids:
                    fresh.setdefault(new.instance.blob, new)
            refuse_tombstoned(connection, fresh)
            _refuse_begun(connection, {new.instance.series_instance_uid for new in fresh.values() if new.begins})
            for new in fresh.values():
                if new.replaces is not None:  # before the insert: one SOP Instance UID has one current row at most
                    replace_row(connection, new.replaces, new.instance, now)
            ids |= _insert(connection, list(fresh.values()))
            know(connection, [new.instance for new in fresh.values()])
            _hold_sources(connection, [(ids[blob], new.result_of) for blob, new in fresh.items() if new.result_of is not None])
            for blob, new in fresh.items():
                if new.instance.standing is Standing.CONFLICT:
                    note(
                        connection,
                        "instance",
                        ids[blob],
                        HistoryEvent.INSTANCE_CONFLICT.value,
                        f"other pixels under {new.instance.sop_instance_uid}",
                        now,
                    )
                if new.instance.held_for is not None:
                    note(connection, "instance", ids[blob], HistoryEvent.INSTANCE_HELD.value, new.instance.held_for.value, now)
                if new.instance.standing is Standing.RESULT:
                    note(
                        connection,
                        "instance",
                        ids[blob],
                        "instance.other_result",
                        f"{new.instance.sop_instance_uid}, made by another node",
                        now,
                    )
            admit(connection, [(ids[blob], new) for blob, new in fresh.items() if new.opens], now)
            return [ids[blob] for blob in blobs]

    @rerun
    def came_again(self, again: Sequence[CameAgain], config_digest: str, now: datetime) -> frozenset[int]:
        """Known instances came once more: an event each, in one transaction. An open arrival of theirs waits longer. They join the
        open arrival of their study and peer, or open a revision, when that peer had not sent them yet, when the arrival was routed
        under another configuration than `config_digest`, when they came for another called AE title, or were restored; else nothing
        moves. Private elements that their headers lack are kept. Returned are those (rows) whose bytes retention has deleted meanwhile:
        nothing was noted of them."""
        with self._database.writing() as connection:
            gone = came_again(connection, again, config_digest, now)
            _keep(connection, {one.instance: one.private for one in again if one.private and one.instance not in gone})
            return gone

    @rerun
    def restore(self, instance: int, blob: str, header: Header, now: datetime) -> None:
        """PURGED → the standing before, the bytes lying under the new name `blob`: they were received again `now`, and with them their
        header. Idempotent by `blob`."""
        with self._database.writing() as connection:
            row = connection.execute(select(schema.instance).where(_instance.id == instance).with_for_update()).one_or_none()
            if row is None:
                raise NoSuchRow(f"there is no instance {instance}")
            if row.standing != Standing.PURGED:
                if row.blob == blob:
                    return
                raise TransitionRefused(f"instance {instance} is {row.standing}: its bytes lie under {row.blob} already")
            refuse_tombstoned(connection, [blob])
            # its age counts anew: retention would take it again before anybody could use it
            values = {"standing_kept": None, "blob": blob, "received_at": micros(now)}
            if row.header_base is None:  # forgotten meanwhile
                values |= Bases(connection, {row.series_instance_uid}).columns(row.series_instance_uid, header)
                know(connection, [to_instance(row, header)])
            move(connection, INSTANCE, instance, Standing(row.standing_kept), now, f"received again, {row.standing_kept}", **values)

    @rerun
    def set_aside(self, aside: Aside) -> None:
        """Remember a file that cannot be indexed. Idempotent by `entry`."""
        with self._database.writing() as connection:
            if not connection.execute(select(exists().where(schema.aside.c.entry == aside.entry))).scalar():
                values = {one.name: getattr(aside, one.name) for one in fields(Aside) if one.name != "at"}
                connection.execute(insert(schema.aside).values(at=micros(aside.at), **values))

    def asides(self, *, limit: int = 1000) -> list[Aside]:
        """The newest first."""
        with self._database.reading() as connection:
            return [_aside(row) for row in connection.execute(select(schema.aside).order_by(schema.aside.c.id.desc()).limit(limit))]

    def asides_near(self, study: str) -> list[Aside]:
        """What was set aside and names the study, a series of a patient of it, or a patient whom it ever named; the oldest first."""
        one, named = schema.aside.c, schema.patient_series.c
        series = select(named.series_instance_uid).where(named.study_instance_uid == study)
        patients = select(named.patient_id).where(named.study_instance_uid == study)
        whose = [one.study_instance_uid == study, one.series_instance_uid.in_(series), one.patient_id.in_(patients)]
        with self._database.reading() as connection:
            # one by one: an index serves each
            found = {row.id: row for by in whose for row in connection.execute(select(schema.aside).where(by))}
        return [_aside(found[number]) for number in sorted(found)]

    def other_results(self, study_instance_uid: str) -> list[Instance]:
        """What other nodes made of a study and somebody sent here, in the order in which it came; purged ones included."""
        wanted = select(schema.instance).where(
            _instance.study_instance_uid == study_instance_uid,
            # in words, as the index has it
            text("coalesce(instance.standing_kept, instance.standing) = 'result'"),
        )
        with self._database.reading() as connection:
            return read_instances(connection, wanted.order_by(_instance.id))

    def result_sources(self, study_instance_uid: str) -> dict[int, ResultSource]:
        """How other nodes made what `other_results` of a study gives, by the id of its row."""
        told, named = schema.other_result.c, schema.other_result_series.c
        rows = (
            select(_instance.id, told.device_uid, named.series_instance_uid)
            .outerjoin(schema.other_result, told.instance_id == _instance.id)
            .outerjoin(schema.other_result_series, named.instance_id == _instance.id)
            .where(_instance.study_instance_uid == study_instance_uid)
            .where(text("coalesce(instance.standing_kept, instance.standing) = 'result'"))
        )
        devices: dict[int, str] = {}
        series: dict[int, set[str]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(rows):
                devices[row.id] = row.device_uid or ""
                series.setdefault(row.id, set()).update([row.series_instance_uid] if row.series_instance_uid else [])
        return {number: ResultSource(device_uid=device, series=frozenset(series[number])) for number, device in devices.items()}

    def results_alone(self, *, study: str | None = None, limit: int = 100) -> list[Instance]:
        """Of each study of which nothing but `other_results` came, the one that came last, the newest first; of one `study` alone."""
        # in words, as the index has it
        result = text("coalesce(instance.standing_kept, instance.standing) = 'result'")
        first = select(func.max(_instance.id)).where(result).group_by(_instance.study_instance_uid)
        if study is not None:
            first = first.where(_instance.study_instance_uid == study)
        came = schema.arrival.c.study_instance_uid == _instance.study_instance_uid
        wanted = select(schema.instance).where(_instance.id.in_(first), ~exists().where(came))
        with self._database.reading() as connection:
            return read_instances(connection, wanted.order_by(_instance.id.desc()).limit(limit))

    def of_arrival(self, arrival: int, *, after: int = 0) -> list[Instance]:
        """The manifest of an arrival, purged instances included, in the order of their rows; of those behind row `after` alone."""
        member = schema.arrival_instance.c
        with self._database.reading() as connection:
            joined = select(schema.instance).join(schema.arrival_instance, member.instance_id == _instance.id)
            wanted = joined.where(member.arrival_id == arrival, member.instance_id > after)
            return read_instances(connection, wanted.order_by(_instance.id))

    def count_by_series(self, study_instance_uid: str, *, listed_by: str | None = None) -> dict[str, int]:
        """How many instances of each series of the study came, whoever sent them, those included that a person has to decide about; where a
        peer lists what it has, of these only what it sent."""
        standing = func.coalesce(_instance.standing_kept, _instance.standing)
        made_here = standing == Standing.RESULT.value
        counted = select(_instance.series_instance_uid, func.count(distinct(_instance.sop_instance_uid)).label("came"))
        counted = counted.where(_instance.study_instance_uid == study_instance_uid, ~made_here).group_by(_instance.series_instance_uid)
        if listed_by is not None:
            counted = counted.where(or_(standing.not_in([Standing.HELD.value, Standing.REFUSED.value]), _instance.peer == listed_by))
        with self._database.reading() as connection:
            return {row.series_instance_uid: int(row.came) for row in connection.execute(counted)}

    def count_of_arrival(self, arrival: int) -> dict[str, int]:
        """How many instances of each series the manifest of an arrival holds."""
        member = schema.arrival_instance.c
        counted = select(_instance.series_instance_uid, func.count().label("came")).group_by(_instance.series_instance_uid)
        counted = counted.join(schema.arrival_instance, member.instance_id == _instance.id).where(member.arrival_id == arrival)
        with self._database.reading() as connection:
            return {row.series_instance_uid: int(row.came) for row in connection.execute(counted)}

    def by_association(self, arrival: Arrival) -> list[AssociationShare]:
        """What each association brought of an arrival, in the order in which they began; neither what its predecessor had, nor what another
        sender brought first."""
        member, other = schema.arrival_instance.c, schema.arrival_instance.alias().c
        columns = func.count().label("came"), func.min(_instance.received_at).label("first"), func.max(_instance.received_at).label("last")
        shares = select(*columns).join(schema.arrival_instance, member.instance_id == _instance.id).group_by(_instance.association)
        shares = shares.where(member.arrival_id == arrival.id, _instance.association != "", _instance.peer == (arrival.peer or ""))
        if arrival.supersedes is not None:
            had = exists().where(other.arrival_id == arrival.supersedes, other.instance_id == member.instance_id)
            shares = shares.where(~had)
        with self._database.reading() as connection:
            rows = connection.execute(shares.order_by("first", _instance.association)).all()
            return [AssociationShare(instances=int(row.came), first=moment(row.first), last=moment(row.last)) for row in rows]

    def one_of_each(self, arrival: int) -> list[Instance]:
        """Of each series in the manifest of an arrival one instance of each SOP class: what the series is made of."""
        member = schema.arrival_instance.c
        first = select(func.min(_instance.id)).join(schema.arrival_instance, member.instance_id == _instance.id)
        first = first.where(member.arrival_id == arrival).group_by(_instance.series_instance_uid, _instance.sop_class_uid)
        with self._database.reading() as connection:
            return read_instances(connection, select(schema.instance).where(_instance.id.in_(first)).order_by(_instance.id))

    def of_study(self, study_instance_uid: str) -> list[Instance]:
        """What the arrivals of a study hold now, whoever sent it, purged instances included: each once, none that was replaced; and the
        study's conflicts, which belong to no arrival."""
        member, arrival = schema.arrival_instance.c, schema.arrival.c
        came = select(member.instance_id).join(schema.arrival, member.arrival_id == arrival.id)
        came = came.where(arrival.study_instance_uid == study_instance_uid)
        replaced = func.coalesce(_instance.standing_kept, _instance.standing) == Standing.REPLACED.value
        with self._database.reading() as connection:
            held = _instance.id.in_(came) & ~replaced
            conflict = (_instance.study_instance_uid == study_instance_uid) & (_instance.standing == Standing.CONFLICT.value)
            return read_instances(connection, select(schema.instance).where(held | conflict).order_by(_instance.id))

    def conflicts(self, *, study: str | None = None, limit: int = 1000) -> list[Instance]:
        """Instances that came with other pixels under a known UID: kept, never analysed. The newest first."""
        statement = select(schema.instance).where(_instance.standing == Standing.CONFLICT.value).order_by(_instance.id.desc()).limit(limit)
        if study is not None:
            statement = statement.where(_instance.study_instance_uid == study)
        with self._database.reading() as connection:
            return read_instances(connection, statement)

    def of_job(self, job: int) -> list[Instance]:
        """Exactly what a job uses, purged instances included."""
        member = schema.job_instance.c
        with self._database.reading() as connection:
            joined = select(schema.instance).join(schema.job_instance, member.instance_id == _instance.id)
            return read_instances(connection, joined.where(member.job_id == job).order_by(_instance.id))

    def roles_of_job(self, job: int) -> dict[int, str]:
        """The role of each instance that a job uses in one, by its row."""
        member = schema.job_instance.c
        with self._database.reading() as connection:
            rows = connection.execute(select(member.instance_id, member.role).where(member.job_id == job, member.role != ""))
            return {int(row.instance_id): str(row.role) for row in rows}

    def get(self, instances: list[int]) -> list[Instance]:
        """Those of these rows that are still there."""
        wanted = select(schema.instance).where(schema.instance.c.id.in_(instances)).order_by(schema.instance.c.id)
        with self._database.reading() as connection:
            return read_instances(connection, wanted)


def _aside(row: Row[Any]) -> Aside:
    return Aside(at=moment(row.at), **{one.name: getattr(row, one.name) for one in fields(Aside) if one.name != "at"})


def _refuse_begun(connection: Connection, series: Collection[str]) -> None:
    """Let nobody begin a series that another process has begun meanwhile: who sent it first decides who may add to it."""
    if not series:
        return
    lock_study(connection, *series)  # their UIDs are locked as those of studies are
    counts = (_instance.series_instance_uid.in_(list(series)), was(Standing.CURRENT, Standing.REPLACED))
    began = select(_instance.id).where(*counts).limit(1)
    if connection.execute(began).scalar() is not None:
        raise JournalRace("another process has begun a series of this batch: it is judged anew")


def replace_row(connection: Connection, old: int, by: Instance, now: datetime) -> None:
    """CURRENT → REPLACED: what comes counts in its place.

    Raises
    ------
    NoSuchRow, JournalRace
        There is no such row, or another process replaced it.
    """
    # locked: who was first is told from a change that no table allows
    row = connection.execute(select(_instance.standing).where(_instance.id == old).with_for_update()).one_or_none()
    if row is None:
        raise NoSuchRow(f"there is no instance {old}")
    corrected = f"corrected by {by.calling_ae}: {by.blob}"
    if row.standing == Standing.CURRENT:
        move(connection, INSTANCE, old, Standing.REPLACED, now, corrected)
    elif row.standing == Standing.PURGED:
        note(connection, INSTANCE.name, old, "instance.replaced", corrected, now)
    else:
        raise JournalRace(f"instance {old} ({by.sop_instance_uid}) is {row.standing}: another process replaced it first")
    # whatever was purged under this UID was replaced with it: bytes that come again must not stand beside the new ones
    purged = (_instance.sop_instance_uid == by.sop_instance_uid, _instance.standing_kept == Standing.CURRENT.value)
    connection.execute(update(schema.instance).where(*purged).values(standing_kept=Standing.REPLACED.value))


def _hold_sources(connection: Connection, sources: Sequence[tuple[int, ResultSource]]) -> None:
    """Lift how other nodes made their results: which they are looked for by."""
    if not sources:
        return
    devices = [{"instance_id": number, "device_uid": one.device_uid} for number, one in sources]
    connection.execute(insert(schema.other_result), devices)
    series = [{"instance_id": number, "series_instance_uid": uid} for number, one in sources for uid in sorted(one.series)]
    if series:
        connection.execute(insert(schema.other_result_series), series)


def _insert(connection: Connection, news: Iterable[NewInstance]) -> dict[str, int]:
    instances = [new.instance for new in news]
    if not instances:
        return {}
    headers = Bases(connection, {instance.series_instance_uid for instance in instances})
    values = [
        {
            "sop_instance_uid": instance.sop_instance_uid,
            "sop_class_uid": instance.sop_class_uid,
            "study_instance_uid": instance.study_instance_uid,
            "series_instance_uid": instance.series_instance_uid,
            "transfer_syntax_uid": instance.transfer_syntax_uid,
            "blob": instance.blob,
            "size": instance.size,
            "digest": instance.digest,
            "calling_ae": instance.calling_ae,
            "called_ae": instance.called_ae,
            "address": instance.address,
            "peer": instance.peer or "",
            "association": instance.association,
            "received_at": micros(instance.received_at),
            "standing": instance.standing.value,
            "held_for": None if instance.held_for is None else instance.held_for.value,
            "whose": mark_of(instance.study_instance_uid, patient_of(instance.header)),
            **headers.columns(instance.series_instance_uid, instance.header),
        }
        for instance in instances
    ]
    return {row.blob: row.id for row in connection.execute(_RECORDED, values)}
