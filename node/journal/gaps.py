"""Gaps: how long senders pause between two instances of what settles as one. Kept at an arrival when it is complete, of what came for it;
nothing is written while instances come."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, select

from node.domain.quiet_window import ArrivalGap
from node.journal import schema
from node.journal.database import JournalPart

_arrival = schema.arrival.c
_member = schema.arrival_instance.c
_instance = schema.instance.c


class Gaps(JournalPart):
    """How arrivals came."""

    def last_of(self, peer: str, limit: int) -> list[ArrivalGap]:
        """The newest `limit` arrivals of a peer that are complete and had instances of their own, the oldest first."""
        columns = (_arrival.id, _arrival.study_instance_uid, _arrival.series_instance_uid, _arrival.largest_gap, _arrival.came_after)
        newest = select(*columns).where(_arrival.peer == peer, _arrival.largest_gap.is_not(None)).order_by(_arrival.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_to_gap(row) for row in reversed(connection.execute(newest).all())]


def gaps_of(connection: Connection, arrival: Row[Any]) -> dict[str, int]:
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
        arrival=row.id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid or None,
        largest=timedelta(microseconds=row.largest_gap),
        after=None if row.came_after is None else timedelta(microseconds=row.came_after),
    )
