"""What was decided, read in bulk for replaying routes: a page of arrivals costs a handful of statements, whatever they hold."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from node.domain.arrival import Arrival
from node.domain.instance import Instance, Standing
from node.domain.job import Job, JobKind
from node.domain.route import Decision, Routed
from node.domain.state import JobState
from node.journal import schema
from node.journal.database import JournalPart
from node.journal.instances import read_instances
from node.journal.jobs import read_jobs
from node.journal.rows import micros, moment, to_arrival, to_decision

_arrival = schema.arrival.c
_instance = schema.instance.c
_member = schema.arrival_instance.c
_decision = schema.decision.c


class RoutingHistory(JournalPart):
    """What was decided, in bulk."""

    def find(self, since: datetime, keywords: Collection[str], *, after: int = 0, limit: int = 200) -> list[Routed]:
        """Of each study (or series) and sender what was routed last, where it was complete `since` then, with these of the headers'
        keywords: those behind arrival `after`, in the order in which they were opened. Of the decisions those of which something came."""
        later = schema.arrival.alias("later")
        newer = select(later.c.id).where(
            later.c.study_instance_uid == _arrival.study_instance_uid,
            later.c.series_instance_uid == _arrival.series_instance_uid,
            later.c.peer == _arrival.peer,
            later.c.revision > _arrival.revision,
            later.c.config_digest.is_not(None),
        )
        # by the digest, which routing alone sets: SQLite's planner would take the index of states, and sort all arrivals for each page
        of_last = (_arrival.config_digest.is_not(None), _arrival.completed_at >= micros(since), ~newer.exists())
        page = select(schema.arrival).where(_arrival.id > after, *of_last).order_by(_arrival.id).limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(page).all()
            return _together(connection, rows, keywords) if rows else []

    def decided(self, arrivals: Collection[int]) -> Mapping[int, Sequence[Decision]]:
        """All decisions of these arrivals, also those of which nothing came."""
        with self._database.reading() as connection:
            return _decisions(connection, select(schema.decision).where(_decision.arrival_id.in_(list(arrivals))))

    def since_the_last(self, count: int) -> datetime | None:
        """When the oldest of the `count` arrivals was complete that were routed last; None: none was."""
        routed = select(_arrival.completed_at).where(_arrival.config_digest.is_not(None), _arrival.completed_at.is_not(None))
        newest = routed.order_by(_arrival.id.desc()).limit(count).subquery()
        with self._database.reading() as connection:
            oldest = connection.execute(select(func.min(newest.c.completed_at))).scalar()
            return None if oldest is None else moment(oldest)


def _together(connection: Connection, rows: Sequence[Row[Any]], keywords: Collection[str]) -> list[Routed]:
    arrivals = [to_arrival(row) for row in rows]
    ids = [one.id for one in arrivals]
    studies = list({one.study_instance_uid for one in arrivals})
    decisions = _decisions(connection, select(schema.decision).where(_decision.arrival_id.in_(ids), _SOMETHING_CAME))
    series, first = _manifests(connection, ids)
    held, forgotten = _held(connection, studies, keywords)
    calling = {one.id: one.calling_ae for members in held.values() for one in members}
    jobs = _jobs(connection, studies)

    def routed(row: Row[Any], one: Arrival) -> Routed:
        return Routed(
            arrival=one,
            at=one.completed_at or one.due_at if row.routed_at is None else moment(row.routed_at),
            config_digest=row.config_digest,
            calling=calling.get(first.get(one.id, 0), ""),
            series=frozenset(series[one.id]),
            decisions=tuple(decisions[one.id]),
            study=tuple(held[one.study_instance_uid]),
            jobs=tuple(jobs[one.study_instance_uid]),
            forgotten=one.study_instance_uid in forgotten,
        )

    return [routed(row, one) for row, one in zip(rows, arrivals, strict=True)]


_SOMETHING_CAME = or_(_decision.chosen, _decision.withheld.is_not(None), _decision.untaken != "[]")
"""Of a decision: what most routes decide of most series is that nothing does, and that is most of what is kept."""


def _decisions(connection: Connection, statement: Select[Any]) -> dict[int, list[Decision]]:
    found: dict[int, list[Decision]] = defaultdict(list)
    for row in connection.execute(statement.order_by(_decision.arrival_id, _decision.position)):
        found[row.arrival_id].append(to_decision(row))
    return found


def _manifests(connection: Connection, arrivals: Sequence[int]) -> tuple[dict[int, set[str]], dict[int, int]]:
    """The series of each manifest, and its first instance."""
    series: dict[int, set[str]] = defaultdict(set)
    first: dict[int, int] = {}
    columns = (_member.arrival_id, _instance.series_instance_uid, func.min(_instance.id).label("first"))
    joined = select(*columns).join(schema.instance, _instance.id == _member.instance_id).where(_member.arrival_id.in_(arrivals))
    for row in connection.execute(joined.group_by(_member.arrival_id, _instance.series_instance_uid)):
        series[row.arrival_id].add(row.series_instance_uid)
        first[row.arrival_id] = min(row.first, first.get(row.arrival_id, row.first))
    return series, first


def _held(connection: Connection, studies: Sequence[str], keywords: Collection[str]) -> tuple[dict[str, list[Instance]], set[str]]:
    """What the arrivals of several studies hold now: each once, none that was replaced; and the studies whose headers are forgotten."""
    came = select(_member.instance_id).join(schema.arrival, _member.arrival_id == _arrival.id)
    came = came.where(_arrival.study_instance_uid.in_(studies))
    replaced = func.coalesce(_instance.standing_kept, _instance.standing) == Standing.REPLACED.value
    found: dict[str, list[Instance]] = defaultdict(list)
    held = _instance.id.in_(came) & ~replaced
    for one in read_instances(connection, select(schema.instance).where(held).order_by(_instance.id), keywords):
        found[one.study_instance_uid].append(one)
    if all(one.header for members in found.values() for one in members):
        return found, set()
    gone = select(_instance.study_instance_uid).where(held, _instance.header_base.is_(None)).distinct()
    return found, set(connection.execute(gone).scalars())


def _jobs(connection: Connection, studies: Sequence[str]) -> dict[str, list[Job]]:
    job = schema.job.c
    wanted = (job.study_instance_uid.in_(studies), job.state != JobState.SUPERSEDED.value, job.kind == JobKind.ANALYSIS.value)
    found: dict[str, list[Job]] = defaultdict(list)
    for one in read_jobs(connection, select(schema.job).where(*wanted).order_by(job.id)):
        found[one.study_instance_uid].append(one)
    return found
