"""Held instances in the journal: whose a series is, what waits for a person beside it, and what becomes of that."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from node.domain.instance import Instance, Sender, Standing
from node.domain.patient import Patient, mark_of
from node.journal import schema
from node.journal.arrivals import admit
from node.journal.database import JournalPart, rerun
from node.journal.instances import know, read_instances, replace_row, was
from node.journal.port import AcceptedInstance, HeldSeries, NewInstance, SeriesKnown
from node.journal.transitions import INSTANCE, move

_instance = schema.instance.c
_WAITING = (Standing.HELD.value, Standing.REFUSED.value)


class HeldInstances(JournalPart):
    """Instances that wait for a person, and whose the series are that they came for."""

    def series_known(self, series: Collection[str]) -> dict[str, SeriesKnown]:
        """Those of these Series Instance UIDs of which something counts or counted, in whichever study."""
        with self._database.reading() as connection:
            return _series_known(connection, series)

    def patients_of(self, studies: Collection[str]) -> dict[str, frozenset[Patient]]:
        """The patients whom instances of these studies name that count now."""
        named = schema.patient_series.c
        found: dict[str, set[Patient]] = {study: set() for study in studies}
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.patient_series).where(named.study_instance_uid.in_(list(studies)))).all()
            series = {row.series_instance_uid for row in rows}
            counts = select(_instance.whose).distinct().where(_instance.series_instance_uid.in_(series), was(Standing.CURRENT))
            marks = set(connection.execute(counts).scalars())
        for row in rows:
            patient = Patient(patient_id=row.patient_id, issuer=row.issuer)
            if mark_of(row.study_instance_uid, patient) in marks:
                found[row.study_instance_uid].add(patient)
        return {study: frozenset(patients) for study, patients in found.items()}

    def find(self, *, study: str | None = None, limit: int = 10_000) -> list[Instance]:
        """What waits for a person, the oldest first; of one study: what names it, and what names a series that it has."""
        statement = select(schema.instance).where(_instance.standing == Standing.HELD.value).order_by(_instance.id).limit(limit)
        if study is not None:
            # by its arrivals: instances are not found by their study without reading all of them, and lists ask this of every study
            arrival, member, other = schema.arrival.c, schema.arrival_instance.c, schema.instance.alias("other")
            of_study = (
                select(other.c.series_instance_uid)
                .join(schema.arrival_instance, member.instance_id == other.c.id)
                .join(schema.arrival, arrival.id == member.arrival_id)
                .where(arrival.study_instance_uid == study)
            )
            statement = statement.where(or_(_instance.study_instance_uid == study, _instance.series_instance_uid.in_(of_study)))
        with self._database.reading() as connection:
            return read_instances(connection, statement)

    def by_series(self) -> list[HeldSeries]:
        """The same, counted by series and sender."""
        groups = (
            _instance.study_instance_uid,
            _instance.series_instance_uid,
            _instance.peer,
            _instance.calling_ae,
            _instance.address,
        )
        counted = select(*groups, func.count().label("many"), func.min(_instance.id).label("first"))
        counted = counted.where(_instance.standing == Standing.HELD.value).group_by(*groups).order_by(func.min(_instance.id))
        with self._database.reading() as connection:
            return [
                HeldSeries(
                    study_instance_uid=row.study_instance_uid,
                    series_instance_uid=row.series_instance_uid,
                    sender=Sender(peer=row.peer or None, calling_ae=row.calling_ae, address=row.address),
                    instances=row.many,
                )
                for row in connection.execute(counted)
            ]

    @rerun
    def accept(self, accepted: Sequence[AcceptedInstance], now: datetime, *, by: str = "a person") -> list[int]:
        """What is held, or was refused, counts from now on, and opens revisions. Returned are the rows that do; the others are neither any
        more. The history says `by` whom, where nobody sent it now."""
        by_row = {one.instance: one for one in accepted}
        with self._database.writing() as connection:
            waiting = select(schema.instance).where(_instance.id.in_(list(by_row)), _instance.standing.in_(_WAITING))
            held = read_instances(connection, waiting.order_by(_instance.id).with_for_update())
            known = _series_known(connection, {one.series_instance_uid for one in held})
            current: list[tuple[int, NewInstance]] = []
            for instance in held:
                one = by_row[instance.id]
                moved = replace(instance, standing=one.standing, held_for=None)
                columns: dict[str, object] = {"held_for": None}
                if one.sender is not None:
                    sender = {"peer": one.sender.peer or "", "calling_ae": one.sender.calling_ae, "address": one.sender.address}
                    columns |= {**sender, "called_ae": one.called_ae}
                    moved = replace(moved, peer=one.sender.peer, called_ae=one.called_ae)
                elif instance.series_instance_uid in known:
                    moved = replace(moved, peer=known[instance.series_instance_uid].first.peer)
                replaces = _before(connection, instance.sop_instance_uid) if one.standing is Standing.CURRENT else None
                if replaces is not None:
                    replace_row(connection, replaces, moved, now)
                how = f"by {by}" if one.sender is None else f"sent by {one.sender.peer or 'a stranger'}"
                move(connection, INSTANCE, instance.id, one.standing, now, f"{how}, {one.standing.value}", **columns)
                if one.standing is Standing.CURRENT:
                    entry = NewInstance(instance=moved, opens=True, scope_series=one.scope_series, due_at=one.due_at, replaces=replaces)
                    current.append((instance.id, entry))
            know(connection, [new.instance for _, new in current])
            admit(connection, current, now)
            return [instance.id for instance in held]

    @rerun
    def refuse(self, instances: Collection[int], now: datetime, *, by: str = "a person") -> list[int]:
        """HELD → REFUSED. Returned are the rows that were held. The history says `by` whom."""
        with self._database.writing() as connection:
            waiting = select(_instance.id).where(_instance.id.in_(list(instances)), _instance.standing == Standing.HELD.value)
            held = list(connection.execute(waiting.order_by(_instance.id).with_for_update()).scalars())
            for row in held:
                move(connection, INSTANCE, row, Standing.REFUSED, now, f"by {by}")
            return held


def _series_known(connection: Connection, series: Collection[str]) -> dict[str, SeriesKnown]:
    of_series = _instance.series_instance_uid.in_(list(series))
    counted = select(_instance.series_instance_uid, func.min(_instance.id).label("first"))
    counted = counted.where(of_series, was(Standing.CURRENT, Standing.REPLACED)).group_by(_instance.series_instance_uid)
    first = {row.first: row.series_instance_uid for row in connection.execute(counted)}
    if not first:
        return {}
    columns = (_instance.id, _instance.peer, _instance.calling_ae, _instance.address)
    senders = {
        first[row.id]: Sender(peer=row.peer or None, calling_ae=row.calling_ae, address=row.address)
        for row in connection.execute(select(*columns).where(_instance.id.in_(first)))
    }
    named = select(_instance.series_instance_uid, _instance.whose).distinct()
    marks: dict[str, set[str]] = {one: set() for one in senders}
    for row in connection.execute(named.where(of_series, was(Standing.CURRENT), _instance.whose != "")):
        marks.setdefault(row.series_instance_uid, set()).add(row.whose)
    return {one: SeriesKnown(first=sender, marks=frozenset(marks[one])) for one, sender in senders.items()}


def _before(connection: Connection, sop_instance_uid: str) -> int | None:
    """The row that counts under this UID, or did when its bytes were deleted."""
    rows = select(_instance.id, _instance.standing).where(_instance.sop_instance_uid == sop_instance_uid, was(Standing.CURRENT))
    found = connection.execute(rows.order_by(_instance.id)).all()
    return next((row.id for row in found if row.standing == Standing.CURRENT), found[-1].id if found else None)
