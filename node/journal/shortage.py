"""What series are short of, in the journal: what was refused, what broke off, what senders list; and the routes that wait for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, distinct, exists, func, insert, or_, select, update

from node.domain.instance import Standing
from node.domain.shortage import Hold, Lack, NewHold, RefusedInstance, SeriesCount, Shortage, Shortfalls, TornSeries
from node.domain.state import ArrivalState
from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.rows import micros, moment

_refused = schema.refused_instance.c
_torn = schema.torn_series.c
_count = schema.series_count.c
_hold = schema.hold.c
_arrival = schema.arrival.c
_instance = schema.instance.c
_ASIDE = (Standing.HELD.value, Standing.REFUSED.value)
_STANDING = func.coalesce(_instance.standing_kept, _instance.standing)
_GOES_ON = delete(schema.torn_series).where(_torn.series_instance_uid == bindparam("series"), _torn.at < bindparam("came"))
_GOES_ON_FROM = _GOES_ON.where(_torn.peer == bindparam("sender"))


class ShortSeries(JournalPart):
    """What is owed of series, and which routes wait for it."""

    @rerun
    def owe(self, refused: Sequence[RefusedInstance], torn: Sequence[TornSeries]) -> None:
        """Remember what the receiver refused, and what broke off. Idempotent; of an instance that is refused again the last time counts.
        What broke off before an instance of the series came that is journaled already is passed over."""
        with self._database.writing() as connection:
            for one in refused:
                key = (_refused.sop_instance_uid == one.sop_instance_uid, _refused.peer == (one.peer or ""))
                values = {
                    "series_instance_uid": one.series_instance_uid,
                    "study_instance_uid": one.study_instance_uid,
                    "status": one.status,
                    "at": micros(one.at),
                }
                if connection.execute(update(schema.refused_instance).where(*key).values(**values)).rowcount == 0:
                    named = {"sop_instance_uid": one.sop_instance_uid, "peer": one.peer or ""}
                    connection.execute(insert(schema.refused_instance).values(**named, **values))
            for broken in torn:
                later = exists().where(
                    _instance.series_instance_uid == broken.series_instance_uid,
                    _instance.received_at > micros(broken.at),
                    _STANDING.not_in(_ASIDE),
                )
                known = exists().where(_torn.association == broken.association, _torn.series_instance_uid == broken.series_instance_uid)
                if not connection.execute(select(later | known)).scalar():
                    connection.execute(
                        insert(schema.torn_series).values(
                            association=broken.association,
                            series_instance_uid=broken.series_instance_uid,
                            study_instance_uid=broken.study_instance_uid,
                            peer=broken.peer or "",
                            at=micros(broken.at),
                        )
                    )

    @rerun
    def count(self, study_instance_uid: str, peer: str, counts: Mapping[str, int], now: datetime) -> None:
        """How many instances of each series a peer listed when it was asked now."""
        at = micros(now)
        with self._database.writing() as connection:
            for series, count in counts.items():
                key = (_count.series_instance_uid == series, _count.peer == peer)
                known = connection.execute(select(_count.listed).where(*key).with_for_update()).scalar()
                if known is None:
                    values = {"series_instance_uid": series, "peer": peer, "study_instance_uid": study_instance_uid, "listed": count}
                    connection.execute(insert(schema.series_count).values(**values, same_since=at, asked_at=at))
                else:
                    changed = {} if known == count else {"listed": count, "same_since": at}
                    connection.execute(update(schema.series_count).where(*key).values(asked_at=at, **changed))

    def shortfalls(self, study_instance_uid: str) -> dict[str, Shortfalls]:
        """By series of the study, those of which there is anything to say."""
        # what another sender brings, and a person has to decide about, is used by nothing
        came = exists().where(
            _instance.sop_instance_uid == _refused.sop_instance_uid, or_(_STANDING.not_in(_ASIDE), _instance.peer == _refused.peer)
        )
        # of what cannot be read the series alone is known
        of_study = exists().where(
            _instance.series_instance_uid == _refused.series_instance_uid, _instance.study_instance_uid == study_instance_uid
        )
        owed_of = (
            select(_refused.series_instance_uid, func.count(distinct(_refused.sop_instance_uid)).label("owed"))
            .where(or_(_refused.study_instance_uid == study_instance_uid, and_(_refused.study_instance_uid == "", of_study)), ~came)
            .group_by(_refused.series_instance_uid)
        )
        with self._database.reading() as connection:
            owed = {row.series_instance_uid: int(row.owed) for row in connection.execute(owed_of)}
            torn = set(
                connection.execute(select(_torn.series_instance_uid).where(_torn.study_instance_uid == study_instance_uid)).scalars()
            )
            counts: dict[str, list[SeriesCount]] = {}
            for row in connection.execute(select(schema.series_count).where(_count.study_instance_uid == study_instance_uid)):
                counts.setdefault(row.series_instance_uid, []).append(_to_count(row))
            aside: dict[str, dict[str, int]] = {}
            for row in connection.execute(_aside(sorted(counts))) if counts else ():
                aside.setdefault(row.series_instance_uid, {})[row.peer] = int(row.aside)
        return {
            series: Shortfalls(
                owed=owed.get(series, 0), torn=series in torn, counts=tuple(counts.get(series, ())), aside=aside.get(series, {})
            )
            for series in sorted({*owed, *torn, *counts})
        }

    def holds(self, *, study: str | None = None) -> list[Hold]:
        """The series that routes wait for now, those first that have waited longest."""
        waits = and_(_arrival.state == ArrivalState.RECEIVED.value, _arrival.waits_last == _arrival.last_instance_at)
        statement = _holds().where(waits).order_by(_hold.since, _hold.arrival_id, _hold.series_instance_uid, _hold.route)
        if study is not None:
            statement = statement.where(_arrival.study_instance_uid == study)
        with self._database.reading() as connection:
            return [_to_hold(row) for row in connection.execute(statement)]

    def holds_of(self, arrival: int) -> list[Hold]:
        """What an arrival was kept open for when it was opened, whether it still is or not."""
        with self._database.reading() as connection:
            return [_to_hold(row) for row in connection.execute(_holds().where(_hold.arrival_id == arrival))]

    @rerun
    def forget(self, before: datetime) -> int:
        """Forget what was refused, broke off or was counted before then; how many rows."""
        old = micros(before)
        with self._database.writing() as connection:
            gone = 0
            for table, at in (
                (schema.refused_instance, _refused.at),
                (schema.torn_series, _torn.at),
                (schema.series_count, _count.asked_at),
            ):
                gone += connection.execute(delete(table).where(at < old)).rowcount
            return gone


def hold(connection: Connection, arrival: int, holds: Sequence[NewHold], now: datetime) -> None:
    """An arrival was opened that waits for these; what its predecessor waited for already has been held since then."""
    supersedes = connection.execute(select(_arrival.supersedes).where(_arrival.id == arrival)).scalar()
    before = {
        (row.series_instance_uid, row.route): row.since
        for row in connection.execute(select(schema.hold).where(_hold.arrival_id == supersedes))
    }
    for one in holds:
        connection.execute(
            insert(schema.hold).values(
                arrival_id=arrival,
                series_instance_uid=one.series_instance_uid,
                route=one.route,
                lack=one.shortage.lack.value,
                came=one.shortage.came,
                expected=one.shortage.expected,
                since=before.get((one.series_instance_uid, one.route), micros(now)),
                until=micros(one.until),
            )
        )


def goes_on(connection: Connection, series_instance_uid: str, received_at: int, *, peer: str | None = None) -> bool:
    """An instance of a series came: what broke off before then is being sent again. Whether anything had.

    Of a known one `peer` says who sent it once more: another one's copy says nothing of the transfer that broke off.
    """
    came = {"series": series_instance_uid, "came": received_at}
    ended = connection.execute(_GOES_ON, came) if peer is None else connection.execute(_GOES_ON_FROM, {**came, "sender": peer})
    return ended.rowcount > 0


def _aside(series: Sequence[str]) -> Select[Any]:
    """By series and peer, the instances of which nothing is used."""
    other = schema.instance.alias().c
    used = exists().where(other.sop_instance_uid == _instance.sop_instance_uid, other.standing.not_in(_ASIDE))
    counted = select(_instance.series_instance_uid, _instance.peer, func.count(distinct(_instance.sop_instance_uid)).label("aside"))
    counted = counted.where(_instance.series_instance_uid.in_(series), _instance.standing.in_(_ASIDE), ~used)
    return counted.group_by(_instance.series_instance_uid, _instance.peer)


def _holds() -> Select[Any]:
    return select(schema.hold, _arrival.study_instance_uid).join(schema.arrival, _arrival.id == _hold.arrival_id)


def _to_hold(row: Row[Any]) -> Hold:
    return Hold(
        arrival=row.arrival_id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        route=row.route,
        shortage=Shortage(lack=Lack(row.lack), came=row.came, expected=row.expected),
        since=moment(row.since),
        until=moment(row.until),
    )


def _to_count(row: Row[Any]) -> SeriesCount:
    return SeriesCount(
        series_instance_uid=row.series_instance_uid,
        peer=row.peer,
        count=row.listed,
        same_since=moment(row.same_since),
        asked_at=moment(row.asked_at),
    )
