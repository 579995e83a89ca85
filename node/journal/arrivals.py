"""Arrivals in the journal: joining and opening them, their revisions, their completion, and how long senders paused inside them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, exists, func, insert, literal, or_, select, update

from node.domain.arrival import Arrival, ArrivalGap, Completeness
from node.domain.instance import Standing
from node.domain.shortage import NewHold
from node.domain.state import ArrivalState, HistoryEvent
from node.journal import schema
from node.journal.database import MOST, SOUGHT, JournalPart, lock_study, rerun
from node.journal.port import WAITS, CameAgain, NewInstance
from node.journal.rows import micros, moment, to_arrival
from node.journal.shortage import goes_on, hold
from node.journal.transitions import ARRIVAL, move, note, state_of

_arrival = schema.arrival.c
_member = schema.arrival_instance.c
_instance = schema.instance.c

_CLOSED = [ArrivalState.COMPLETE.value, ArrivalState.ROUTED.value, ArrivalState.PARKED.value]

# of every instance that comes: to put together what is asked takes longer than to ask it
_KEYED = select(schema.arrival).where(
    _arrival.study_instance_uid == bindparam("study"),
    _arrival.series_instance_uid == bindparam("series"),
    _arrival.peer == bindparam("sender"),
)
_NEWEST = _KEYED.order_by(_arrival.revision.desc()).limit(1)
_NEWEST_LOCKED = _NEWEST.with_for_update()
_INSIDE = select(_member.instance_id).where(_member.arrival_id == bindparam("joined"), _member.instance_id.in_(SOUGHT))
_ADDED = insert(schema.arrival_instance)
_TIMES = select(_arrival.last_instance_at, _arrival.due_at).where(_arrival.id == bindparam("joined"))
_JOINED = (
    update(schema.arrival)
    .where(_arrival.id == bindparam("joined"))
    .values(
        last_instance_at=bindparam("last"),
        due_at=bindparam("due"),
        instances=select(func.count()).where(_member.arrival_id == bindparam("joined")).scalar_subquery(),
    )
)


@dataclass(frozen=True, slots=True)
class _Key:
    """What settles as one: a study or series from one peer; empty texts as in the schema."""

    study: str
    series: str
    peer: str


@cache
def _found(by: frozenset[str], *, newest: bool) -> Select[Any]:
    """What finds arrivals by these of `sought` (states), `study` and `due`."""
    statement = select(schema.arrival).limit(MOST)
    if "sought" in by:
        statement = statement.where(_arrival.state.in_(SOUGHT))
    if "study" in by:
        statement = statement.where(_arrival.study_instance_uid == bindparam("study"))
    if "due" in by:
        statement = statement.where(_arrival.due_at <= bindparam("due")).order_by(_arrival.due_at)
    return statement.order_by(_arrival.id.desc() if newest else _arrival.id)


class Arrivals(JournalPart):
    """Arrivals that are open or complete: what is received until nothing more is expected."""

    def find(
        self,
        *,
        states: Collection[ArrivalState] = (),
        due_before: datetime | None = None,
        study: str | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> list[Arrival]:
        """The oldest first (by `due_at` with `due_before`), so that a stage that takes a few is fair; `newest` first for people."""
        wanted: dict[str, Any] = {"most": limit}
        if states:
            wanted["sought"] = [state.value for state in states]
        if study is not None:
            wanted["study"] = study
        if due_before is not None:
            wanted["due"] = micros(due_before)
        with self._database.reading() as connection:
            return [to_arrival(row) for row in connection.execute(_found(frozenset(wanted), newest=newest), wanted)]

    def latest(self, study_instance_uid: str, series_instance_uid: str | None, peer: str | None) -> Arrival | None:
        """The newest revision; `series_instance_uid` None is the arrival of a whole study."""
        with self._database.reading() as connection:
            row = _latest(connection, _Key(study_instance_uid, series_instance_uid or "", peer or ""))
            return None if row is None else to_arrival(row)

    @rerun
    def shorten(self, arrival: int, due_at: datetime, *, counted: bool = False) -> None:
        """Move an open arrival's `due_at` nearer, never further; `counted`: because what came meets the count of who was asked."""
        nearer = micros(due_at)
        values: dict[str, Any] = {"due_at": nearer}
        if counted:
            values["counted_last"] = _arrival.last_instance_at
        with self._database.writing() as connection:
            connection.execute(
                update(schema.arrival)
                .where(_arrival.id == arrival, _arrival.state == ArrivalState.RECEIVED.value, _arrival.due_at > nearer)
                .values(**values)
            )

    @rerun
    def complete(self, arrival: int, by: Completeness, now: datetime, *, expected_last: datetime | None = None) -> bool:
        """Freeze the manifest, and keep the pauses of what came. False when it is not open, or an instance came after `expected_last`."""
        with self._database.writing() as connection:
            if state_of(connection, ARRIVAL, arrival) is not ArrivalState.RECEIVED:
                return False
            row = connection.execute(select(schema.arrival).where(_arrival.id == arrival)).one()
            if expected_last is not None and row.last_instance_at > micros(expected_last):
                return False
            completed = {"completed_at": micros(now), "completed_by": by.value, **_pauses(connection, row)}
            move(connection, ARRIVAL, arrival, ArrivalState.COMPLETE, now, by.value, **completed)
            return True

    def last_received(self, since: datetime, limit: int) -> list[datetime]:
        """When the last instance came of each arrival that is complete and had it since then; the newest `limit`, in no order."""
        # nothing is due before its last instance: so the index on what is due serves
        closed = select(_arrival.last_instance_at).where(_arrival.state.in_(_CLOSED), _arrival.due_at >= micros(since))
        with self._database.reading() as connection:
            rows = connection.execute(
                closed.where(_arrival.last_instance_at >= micros(since)).order_by(_arrival.due_at.desc()).limit(limit)
            )
            return [moment(row.last_instance_at) for row in rows]

    def received_from(self, since: datetime, limit: int) -> dict[str, list[datetime]]:
        """When the last instance came of each arrival that had it since then, by peer, the newest first; of the newest `limit` of all."""
        # nothing is due before its last instance: so the index on what is due serves
        came = (
            select(_arrival.peer, _arrival.last_instance_at)
            .where(_arrival.state.in_([state.value for state in ArrivalState]), _arrival.due_at >= micros(since))
            .where(_arrival.last_instance_at >= micros(since), _arrival.peer != "")
            .order_by(_arrival.last_instance_at.desc())
            .limit(limit)
        )
        found: dict[str, list[datetime]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(came):
                found.setdefault(row.peer, []).append(moment(row.last_instance_at))
        return found

    def last_received_from(self, peer: str, limit: int) -> list[datetime]:
        """When the last instance came of each of the newest `limit` arrivals of a peer that are complete and had instances of their own,
        however long ago, the newest arrival first."""
        own = (_arrival.peer == peer, _arrival.largest_gap.is_not(None))  # by its index
        newest = select(_arrival.last_instance_at).where(*own).order_by(_arrival.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [moment(row.last_instance_at) for row in connection.execute(newest)]

    def pauses_from(self, peer: str, limit: int) -> list[ArrivalGap]:
        """How the newest `limit` arrivals of a peer came that are complete and had instances of their own, the oldest first."""
        columns = (_arrival.study_instance_uid, _arrival.series_instance_uid, _arrival.largest_gap, _arrival.came_after)
        newest = select(*columns).where(_arrival.peer == peer, _arrival.largest_gap.is_not(None)).order_by(_arrival.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_to_gap(row) for row in reversed(connection.execute(newest).all())]

    def get(self, arrival: int) -> Arrival | None:
        """The row, if there is one."""
        with self._database.reading() as connection:
            row = connection.execute(select(schema.arrival).where(schema.arrival.c.id == arrival)).one_or_none()
            return None if row is None else to_arrival(row)


def admit(connection: Connection, news: Iterable[tuple[int, NewInstance]], now: datetime) -> None:
    """Let new instances (row id, what they are) join the open arrivals of their studies and peers, or open these."""
    groups: dict[_Key, list[tuple[int, NewInstance]]] = {}
    for row_id, new in news:
        instance = new.instance
        key = _Key(instance.study_instance_uid, instance.series_instance_uid if new.scope_series else "", instance.peer or "")
        groups.setdefault(key, []).append((row_id, new))
    lock_study(connection, *(key.study for key in groups))
    for key, members in groups.items():
        called = members[0][1].instance.called_ae
        arrival = _open_arrival(connection, key, called, now)
        replaced = [new.replaces for _, new in members if new.replaces is not None]
        if replaced:
            connection.execute(delete(schema.arrival_instance).where(_member.arrival_id == arrival, _member.instance_id.in_(replaced)))
        received = max(micros(new.instance.received_at) for _, new in members)
        _go_on(connection, [(new.instance.series_instance_uid, micros(new.instance.received_at)) for _, new in members])
        due = max(micros(new.due_at) for _, new in members)
        _join(connection, arrival, [row_id for row_id, _ in members], received, due)


def revise(connection: Connection, arrival: int, why: str, now: datetime) -> None:
    """Open a revision of a routed arrival that is complete at once, to be routed again on what it holds; see `Journal.route`."""
    opened = _reopen(connection, arrival, micros(now), now)
    if opened is not None:
        _complete_again(connection, opened, why, now)


def revise_askers(connection: Connection, job: Row[Any], why: str, now: datetime) -> None:
    """As `revise`, of the newest revisions of all that asked for a job, whoever sent it, be they routed or about to be; one that is open
    looks for itself."""
    of_study = select(schema.arrival).where(_arrival.study_instance_uid == job.study_instance_uid).order_by(_arrival.id)
    keys = {row.id: _Key(row.study_instance_uid, row.series_instance_uid, row.peer) for row in connection.execute(of_study)}
    own = keys[job.arrival_id]
    for key in dict.fromkeys(keys.values()):
        latest = _latest(connection, key, locked=True)
        still = (ArrivalState.RECEIVED, ArrivalState.PARKED)  # the second until a person puts it back
        if latest is None or latest.state in still or not (key == own or _asks(connection, latest, job)):
            continue
        opened = _open_arrival(connection, key, latest.called_ae, now)
        _join(connection, opened, [], latest.last_instance_at, micros(now))
        _complete_again(connection, opened, why, now)


def _asks(connection: Connection, arrival: Row[Any], job: Row[Any]) -> bool:
    """Whether a route of the job chose its series in this arrival; of one that is complete, whether it may at this moment: a process may
    have it in its hands that does not know yet what became of the job."""
    if arrival.state == ArrivalState.COMPLETE:
        used = select(schema.job_instance.c.instance_id).where(schema.job_instance.c.job_id == job.id)
        mine = exists().where(_member.arrival_id == arrival.id, _member.instance_id.in_(used))
    else:
        said = schema.decision.c
        routes = select(schema.job_route.c.route).where(schema.job_route.c.job_id == job.id)
        of_series = (said.arrival_id == arrival.id, said.chosen, said.series_instance_uid == job.series_instance_uid)
        mine = exists().where(*of_series, said.route.in_(routes))
    return bool(connection.execute(select(mine)).scalar())


def _complete_again(connection: Connection, opened: int, why: str, now: datetime) -> None:
    completed = {"completed_at": micros(now), "completed_by": Completeness.PRIOR.value}
    move(connection, ARRIVAL, opened, ArrivalState.COMPLETE, now, why, **completed)


def keep_open(connection: Connection, arrival: int, until: datetime, why: str, holds: Sequence[NewHold], now: datetime) -> None:
    """Open a revision of a routed arrival that waits `until` for what may come; see `Journal.route`."""
    opened = _reopen(connection, arrival, micros(until), now)
    if opened is not None:
        waits = {"waits_last": _arrival.last_instance_at, "waits_for": why}
        connection.execute(update(schema.arrival).where(_arrival.id == opened).values(**waits))
        hold(connection, opened, holds, now)
        note(connection, ARRIVAL.name, opened, WAITS, why, now)


def _reopen(connection: Connection, arrival: int, due: int, now: datetime) -> int | None:
    row = connection.execute(select(schema.arrival).where(_arrival.id == arrival)).one()
    key = _Key(row.study_instance_uid, row.series_instance_uid, row.peer)
    latest = _latest(connection, key, locked=True)
    if latest is None or latest.id != arrival or latest.state != ArrivalState.ROUTED:
        return None  # a revision that came meanwhile looks for itself
    opened = _open_arrival(connection, key, row.called_ae, now)
    _join(connection, opened, [], row.last_instance_at, due)
    return opened


def came_again(connection: Connection, again: Sequence[CameAgain], config_digest: str, now: datetime) -> frozenset[int]:
    """Extend, join or revise the arrivals of known instances; see the port."""
    table = schema.instance
    columns = (table.c.id, table.c.study_instance_uid, table.c.series_instance_uid, table.c.standing)
    rows = {row.id: row for row in connection.execute(select(*columns).where(table.c.id.in_([one.instance for one in again])))}
    groups: dict[_Key, list[CameAgain]] = {}
    gone: set[int] = set()
    for one in again:
        row = rows[one.instance]
        if row.standing == Standing.PURGED:
            gone.add(row.id)
            continue
        note(connection, "instance", one.instance, HistoryEvent.INSTANCE_DUPLICATE.value, f"from {one.peer or 'a stranger'}", now)
        if row.standing != Standing.CURRENT:
            continue  # what was replaced, or is in conflict, stays out of arrivals however often it comes
        key = _Key(row.study_instance_uid, row.series_instance_uid if one.scope_series else "", one.peer or "")
        groups.setdefault(key, []).append(one)
    lock_study(connection, *(key.study for key in groups))
    for key, members in groups.items():
        latest = _latest(connection, key, locked=True)
        due = max(micros(one.due_at) for one in members)
        came = [(rows[one.instance].series_instance_uid, micros(one.received_at or now)) for one in members]
        mended = _go_on(connection, came, peer=key.peer)
        if latest is not None:
            inside = set(connection.execute(select(_member.instance_id).where(_member.arrival_id == latest.id)).scalars())
            missing = [one.instance for one in members if one.instance not in inside]
            if latest.state != ArrivalState.RECEIVED:
                routed = latest.state in (ArrivalState.ROUTED, ArrivalState.PARKED)
                elsewhere = any(one.called_ae != latest.called_ae or one.restored for one in members)
                if not (missing or elsewhere or mended or (routed and latest.config_digest != config_digest)):
                    continue
            elif not missing:
                # a transfer that broke off is made again: nobody waits any longer than its window
                otherwise = _arrival.due_at < due if not mended else _arrival.due_at != due
                connection.execute(update(schema.arrival).where(_arrival.id == latest.id, otherwise).values(due_at=due))
                continue
        arrival = _open_arrival(connection, key, members[0].called_ae, now)
        _join(connection, arrival, [one.instance for one in members], micros(now), due)
    return frozenset(gone)


def _go_on(connection: Connection, came: Iterable[tuple[str, int]], *, peer: str | None = None) -> bool:
    """Whether the transfer of a series had broken off before one of its instances came: (series, when); once more, where a `peer` is
    named, and from there."""
    newest: dict[str, int] = {}
    for series, at in came:
        newest[series] = max(at, newest.get(series, at))
    mended = [goes_on(connection, series, at, peer=peer) for series, at in newest.items()]
    return any(mended)


def _latest(connection: Connection, key: _Key, *, locked: bool = False) -> Row[Any] | None:
    sought = {"study": key.study, "series": key.series, "sender": key.peer}
    return connection.execute(_NEWEST_LOCKED if locked else _NEWEST, sought).one_or_none()


def _open_arrival(connection: Connection, key: _Key, called_ae: str, now: datetime) -> int:
    """The open arrival under `key`, or a new one that inherits what its predecessor had."""
    latest = _latest(connection, key, locked=True)  # it must not be completed while something joins it
    if latest is not None and latest.state == ArrivalState.RECEIVED:
        return int(latest.id)
    revision = 1 if latest is None else latest.revision + 1
    values = {
        "peer": key.peer,
        "study_instance_uid": key.study,
        "series_instance_uid": key.series,
        "called_ae": called_ae,
        "state": ArrivalState.RECEIVED.value,
        "revision": revision,
        "supersedes": None if latest is None else latest.id,
        "opened_at": micros(now),
        "last_instance_at": 0,
        "due_at": 0,
        "instances": 0,
    }
    opened = connection.execute(insert(schema.arrival).values(**values).returning(_arrival.id)).scalar_one()
    if latest is not None:
        instance = schema.instance.c
        used = or_(
            instance.standing == Standing.CURRENT.value,
            and_(instance.standing == Standing.PURGED.value, instance.standing_kept == Standing.CURRENT.value),
        )
        inherited = (
            select(literal(opened), _member.instance_id)
            .join(schema.instance, instance.id == _member.instance_id)
            .where(_member.arrival_id == latest.id, used)
        )
        connection.execute(insert(schema.arrival_instance).from_select(["arrival_id", "instance_id"], inherited))
    detail = f"revision {revision}" + ("" if latest is None else f" of arrival {latest.id}")
    note(connection, ARRIVAL.name, opened, f"arrival.{ArrivalState.RECEIVED}", detail, now)
    return int(opened)


def _join(connection: Connection, arrival: int, instances: Sequence[int], received: int, due: int) -> None:
    inside = set(connection.execute(_INSIDE, {"joined": arrival, "sought": list(instances)}).scalars()) if instances else set()
    fresh = [{"arrival_id": arrival, "instance_id": one} for one in dict.fromkeys(instances) if one not in inside]
    if fresh:
        connection.execute(_ADDED, fresh)
    row = connection.execute(_TIMES, {"joined": arrival}).one()
    # strictly later than before, even when the clock stood still: `complete` sees by it that something came meanwhile
    last = max(received, row.last_instance_at + 1)
    connection.execute(_JOINED, {"joined": arrival, "last": last, "due": due})


def _pauses(connection: Connection, arrival: Row[Any]) -> dict[str, int]:
    """The columns that say how an arrival came: of the instances of its manifest that its predecessor had not, and that came behind it.

    Empty where there is none: it was opened for something else, or what it had had come before.
    """
    other = schema.arrival_instance.alias().c
    mine = [_member.arrival_id == arrival.id]
    before = None
    if arrival.supersedes is not None:
        before = connection.execute(select(_arrival.last_instance_at).where(_arrival.id == arrival.supersedes)).scalar_one()
        mine.append(~exists().where(and_(other.arrival_id == arrival.supersedes, other.instance_id == _member.instance_id)))
        mine.append(_instance.received_at > before)
    came = select(
        _instance.received_at,
        (_instance.received_at - func.lag(_instance.received_at).over(order_by=_instance.received_at)).label("pause"),
    )
    came = came.join(schema.arrival_instance, _instance.id == _member.instance_id).where(*mine)
    each = came.subquery().c
    first, largest = connection.execute(select(func.min(each.received_at), func.max(each.pause))).one()
    if first is None:
        return {}
    found = {"largest_gap": int(largest or 0)}
    return found if before is None else {**found, "came_after": int(first - before)}


def _to_gap(row: Row[Any]) -> ArrivalGap:
    return ArrivalGap(
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid or None,
        largest=timedelta(microseconds=row.largest_gap),
        after=None if row.came_after is None else timedelta(microseconds=row.came_after),
    )
