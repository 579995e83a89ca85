"""Routing in the journal: decisions kept, jobs inserted, joined or superseded, in one transaction with COMPLETE → ROUTED."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select, update

from node.domain.arrival import Arrival
from node.domain.errors import PixelsGone
from node.domain.job import RANKS, JobKind, NewJob, WhenExcluded, strictest
from node.domain.route import Decision
from node.domain.shortage import NewHold, Shortage
from node.domain.state import ArrivalState, JobState
from node.journal import schema
from node.journal.arrivals import keep_open, revise
from node.journal.claims import ARRIVAL_WAITS, peers_waiting, place_of
from node.journal.database import JournalPart, lock_study, rerun
from node.journal.errors import NoSuchRow
from node.journal.job_deliveries import cancel_deliveries, insert_deliveries
from node.journal.rows import PRIORITIES, micros, moment, to_arrival, to_decision, tried_text
from node.journal.transitions import ARRIVAL, JOB, move, note, state_of

_arrival = schema.arrival.c
_job = schema.job.c


class Routing(JournalPart):
    """Arrivals that become jobs: decisions, attempts and the jobs that they insert."""

    @rerun
    def route(
        self,
        arrival: int,
        decisions: Sequence[Decision],
        jobs: Sequence[NewJob],
        config_digest: str,
        now: datetime,
        *,
        revised: Mapping[int, str] | None = None,
        waits: tuple[datetime, str] | None = None,
        holds: Sequence[NewHold] = (),
    ) -> list[int]:
        """COMPLETE → ROUTED with every decision kept and jobs inserted, in one transaction.

        `revised` are arrivals of other studies that this one is a prior of, and why they are to be looked at again: each gets a COMPLETE
        revision that holds the same instances, unless it is open or was revised meanwhile. Nothing is revised by an arrival that was
        overtaken: the one that overtook it did.

        With `waits` (until when, and why) a route waits for a series that is missing, or for the rest of one (`holds`): a revision is open
        from now on that holds the same instances and is due then, unless one is open already. What comes joins it, and then its window is
        theirs, and what was held is held no more.

        When a later revision was routed already nothing is inserted: its jobs know more."""
        revised = revised or {}
        with self._database.writing() as connection:
            touched = select(_arrival.study_instance_uid).where(_arrival.id.in_([arrival, *revised]))
            lock_study(connection, *connection.execute(touched).scalars())
            words = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
            said = {"config_digest": config_digest, "code": None, "reason": None}
            move(connection, ARRIVAL, arrival, ArrivalState.ROUTED, now, words, **said)
            if decisions:
                connection.execute(
                    insert(schema.decision), [_decision_values(arrival, n, decision) for n, decision in enumerate(decisions)]
                )
            row = connection.execute(select(schema.arrival).where(_arrival.id == arrival)).one()
            if _later_revision_routed(connection, row):
                note(connection, ARRIVAL.name, arrival, "arrival.overtaken", "a later revision was routed first; no jobs inserted", now)
                return []
            _overtake_parked(connection, row, now)
            placed = [_place(connection, row, job, now) for job in jobs]
            for other, why in revised.items():
                revise(connection, other, why, now)
            if waits is not None:
                keep_open(connection, arrival, *waits, holds, now)
            return placed

    def decisions(self, arrival: int) -> list[Decision]:
        """In the order in which the routes were tried."""
        table = schema.decision
        with self._database.reading() as connection:
            rows = connection.execute(select(table).where(table.c.arrival_id == arrival).order_by(table.c.position))
            return [to_decision(row) for row in rows]

    def waiting(self, limit: int) -> list[Arrival]:
        """Those in COMPLETE: the oldest of each peer, then the second of each, …: hundreds of one peer hold up no other. Those of
        which routing failed before stand behind the others."""
        with self._database.reading() as connection:
            peers = connection.scalars(peers_waiting(schema.arrival, ARRIVAL_WAITS)).all()
            columns = (_arrival.id, _arrival.attempts)
            each = (select(*columns).where(ARRIVAL_WAITS, _arrival.peer == peer).order_by(_arrival.id).limit(limit) for peer in peers)
            found = [connection.execute(of_peer).all() for of_peer in each]
            # the first of every peer, the second of every peer, …; what failed before behind what has not
            order = sorted((row.attempts, turn, row.id) for of_peer in found for turn, row in enumerate(of_peer))
            wanted = [arrival for _, _, arrival in order[:limit]]
            rows = connection.execute(select(schema.arrival).where(_arrival.id.in_(wanted)))
            return sorted((to_arrival(row) for row in rows), key=lambda arrival: wanted.index(arrival.id))

    @rerun
    def failed(self, arrival: int, code: str, reason: str, config_digest: str, now: datetime, *, most: int) -> int:
        """Count one more attempt to route a complete arrival that failed, and why; at `most` of them it is parked, under the configuration
        that it was judged by. How many there were, 0 when it is not complete (any more)."""
        with self._database.writing() as connection:
            if state_of(connection, ARRIVAL, arrival) is not ArrivalState.COMPLETE:
                return 0  # its process died behind the commit that routed it
            attempts = 1 + int(connection.execute(select(_arrival.attempts).where(_arrival.id == arrival)).scalar_one())
            said = {"attempts": attempts, "code": code, "reason": reason}
            if attempts >= most:
                move(connection, ARRIVAL, arrival, ArrivalState.PARKED, now, f"{code} {reason}", config_digest=config_digest, **said)
            else:
                connection.execute(update(schema.arrival).where(_arrival.id == arrival).values(**said))
                note(connection, ARRIVAL.name, arrival, "arrival.retry", f"{code} {reason}", now, code=code)
            return attempts

    @rerun
    def put_back(self, arrival: int, now: datetime) -> None:
        """Have a parked arrival routed again, as if for the first time.

        Raises
        ------
        TransitionRefused
            It is not parked.
        """
        with self._database.writing() as connection:
            fresh = {"attempts": 0, "code": None, "reason": None, "config_digest": None}
            move(connection, ARRIVAL, arrival, ArrivalState.COMPLETE, now, "by the operator", **fresh)

    def config_digest(self, arrival: int) -> str | None:
        """The configuration under which the arrival was routed; None before."""
        with self._database.reading() as connection:
            row = connection.execute(select(_arrival.config_digest).where(_arrival.id == arrival)).one_or_none()
            if row is None:
                raise NoSuchRow(f"there is no arrival {arrival}")
            return None if row.config_digest is None else str(row.config_digest)


def _decision_values(arrival: int, position: int, decision: Decision) -> dict[str, Any]:
    return {
        "arrival_id": arrival,
        "position": position,
        "route": decision.route,
        "series_instance_uid": decision.series_instance_uid,
        "matched": decision.matched,
        "chosen": decision.chosen,
        "tried": tried_text(decision),
        "reason": decision.reason,
        "compares": json.dumps(decision.compares),
        "withheld": None if decision.withheld is None else decision.withheld.value,
        "lacks": decision.lacks,
        "untaken": json.dumps(decision.untaken),
    }


def _later_revision_routed(connection: Connection, row: Row[Any]) -> bool:
    later = exists().where(
        _arrival.study_instance_uid == row.study_instance_uid,
        _arrival.series_instance_uid == row.series_instance_uid,
        _arrival.peer == row.peer,
        _arrival.revision > row.revision,
        _arrival.state == ArrivalState.ROUTED.value,
    )
    return bool(connection.execute(select(later)).scalar())


def _overtake_parked(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Earlier revisions that are parked wait for nobody any more: this one has all that they have."""
    if row.supersedes is None:
        return
    earlier = select(_arrival.id).where(
        _arrival.study_instance_uid == row.study_instance_uid,
        _arrival.series_instance_uid == row.series_instance_uid,
        _arrival.peer == row.peer,
        _arrival.revision < row.revision,
        _arrival.state == ArrivalState.PARKED.value,
    )
    why = f"arrival {row.id} revises it; no jobs inserted"
    for parked in connection.execute(earlier).scalars().all():
        move(connection, ARRIVAL, parked, ArrivalState.ROUTED, now, why, code=None, reason=None)


def _place(connection: Connection, arrival: Row[Any], new: NewJob, now: datetime) -> int:
    """Join the job that does the same already, or insert one that replaces its predecessor."""
    same = (
        _job.study_instance_uid == arrival.study_instance_uid,
        # a slice that came late may have the number that the job is called by now
        *(() if new.whole_study else (_job.series_instance_uid.in_(new.slices or (new.series_instance_uid,)),)),
        _job.application == new.application,
        _job.kind == JobKind.ANALYSIS.value,
        _job.state != JobState.SUPERSEDED.value,
    )
    # locked, so that it is not encoded for its old sinks while it gains new ones
    latest = select(schema.job).where(*same).order_by(_job.id.desc()).limit(1).with_for_update()
    before = connection.execute(latest).one_or_none()
    replaced = [] if before is None or JobState(before.state) is JobState.CANCELLED else [before]
    if before is not None and new.slices:
        others = select(schema.job).where(*same, _job.id != before.id, _job.state != JobState.CANCELLED.value).order_by(_job.id)
        for other in connection.execute(others).all():
            supersede(connection, other.id, f"arrival {arrival.id} has it among the slices of another job", now)
            replaced.append(other)
    if new.slices or new.whole_study:
        new = _asked_by_all(connection, new, replaced)
    if before is not None and new.untaken and JobState(before.state) not in (JobState.NOT_APPLICABLE, JobState.CANCELLED):
        return int(before.id)
    if (
        before is not None
        and before.input_digest == new.input_digest
        and not (_upgrade_may_help(before, new) or _is_whole_now(before, new))
    ):
        _join(connection, before, new, now)
        return int(before.id)
    if before is not None and JobState(before.state) is not JobState.CANCELLED:
        supersede(connection, before.id, f"arrival {arrival.id} has other inputs", now)
    return _insert(connection, arrival, new, None if before is None else before.id, now)


def _asked_by_all(connection: Connection, new: NewJob, replaced: Sequence[Row[Any]]) -> NewJob:
    """A job on what other arrivals brought too, as their routes asked for it in the jobs that it takes the place of: those routes do not
    decide of this arrival, and their sinks would get nothing."""
    unfinished = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED, JobState.PARKED)
    deadlines = [moment(job.deadline_at) for job in replaced if job.deadline_at is not None and JobState(job.state) in unfinished]
    deadlines += [new.deadline_at] if new.deadline_at is not None else []
    ranks = [RANKS[new.priority], *(job.rank for job in replaced)]
    return replace(
        new,
        routes=(*new.routes, *(name for job in replaced for name in _names(connection, schema.job_route, "route", job.id))),
        sinks=(*new.sinks, *(name for job in replaced for name in _names(connection, schema.job_sink, "sink", job.id))),
        priority=PRIORITIES[min(ranks)],
        deadline_at=min(deadlines, default=None),
        when_excluded=strictest([new.when_excluded, *(WhenExcluded(job.when_excluded) for job in replaced)]),
        marked=new.marked or any(job.marked for job in replaced),
    )


def _upgrade_may_help(before: Row[Any], new: NewJob) -> bool:
    """A job that a person would have to revive is worth a fresh start under another version of its application."""
    stuck = JobState(before.state) in (JobState.PARKED, JobState.FAILED, JobState.NOT_APPLICABLE)
    return stuck and bool(before.application_version != new.application_version)


def _is_whole_now(before: Row[Any], new: NewJob) -> bool:
    """A job whose results say that they are incomplete was made of what is known to be whole by now."""
    begun = JobState(before.state) in (JobState.INFERRED, JobState.ENCODED, JobState.DONE, JobState.FAILED)
    return before.lack is not None and new.shortage is None and begun


def _shortage_values(shortage: Shortage | None, marked: bool) -> dict[str, Any]:
    if shortage is None:
        return {"lack": None, "came": None, "expected": None, "marked": None}
    return {"lack": shortage.lack.value, "came": shortage.came, "expected": shortage.expected, "marked": marked}


def _insert(connection: Connection, arrival: Row[Any], new: NewJob, predecessor: int | None, now: datetime) -> int:
    at = micros(now)
    values = {
        "arrival_id": arrival.id,
        "study_instance_uid": arrival.study_instance_uid,
        "series_instance_uid": new.series_instance_uid,
        "application": new.application,
        "application_version": new.application_version,
        "engine": new.engine,
        "rank": RANKS[new.priority],
        "state": JobState.QUEUED.value,
        "attempts": 0,
        "due_at": at,
        "created_at": at,
        "moved_at": at,
        "input_digest": new.input_digest,
        "predecessor": predecessor,
        "deadline_at": None if new.deadline_at is None else micros(new.deadline_at),
        "turn": RANKS[new.priority],
        "place": place_of(connection, arrival.peer, RANKS[new.priority], new.deadline_at),
        "waits_since": at,
        "peer": arrival.peer,
        "when_excluded": new.when_excluded.value,
        **_shortage_values(new.shortage, new.marked),
    }
    job = int(connection.execute(insert(schema.job).values(**values).returning(_job.id)).scalar_one())
    note(connection, JOB.name, job, f"job.{JobState.QUEUED}", f"arrival {arrival.id}", now)
    _add_names(connection, schema.job_route, "route", job, new.routes)
    _add_names(connection, schema.job_sink, "sink", job, new.sinks)
    if new.instances:
        members = [
            {"job_id": job, "instance_id": instance, "role": new.roles.get(instance, "")} for instance in dict.fromkeys(new.instances)
        ]
        connection.execute(insert(schema.job_instance), members)
    _end_at_once(connection, job, new, now)
    return job


def _end_at_once(connection: Connection, job: int, new: NewJob, now: datetime) -> None:
    """A job that is queued, and that routing knows an end of."""
    ends = ((JobState.NOT_APPLICABLE, new.not_applicable), (JobState.PARKED, new.parked))
    state, said = next(((state, said) for state, said in ends if said is not None), (None, None))
    if state is not None and said is not None:
        code, reason = said
        declined = state is JobState.PARKED and new.declined
        move(connection, JOB, job, state, now, f"{code} {reason}", code=code, reason=reason, declined=declined)


def _join(connection: Connection, job: Row[Any], new: NewJob, now: datetime) -> None:
    """Give a job the routes and sinks that it lacks; one that has its objects brings them to the new sinks."""
    routes = _add_names(connection, schema.job_route, "route", job.id, new.routes)
    sinks = _add_names(connection, schema.job_sink, "sink", job.id, new.sinks)
    rank = RANKS[new.priority]
    if rank < job.rank:
        connection.execute(update(schema.job).where(_job.id == job.id).values(rank=rank, turn=min(rank, job.turn)))
        waiting = schema.delivery.c
        connection.execute(update(schema.delivery).where(waiting.job_id == job.id, waiting.turn > rank).values(turn=rank))
    if new.deadline_at is not None and (job.deadline_at is None or micros(new.deadline_at) < job.deadline_at):
        nearer = min(place_of(connection, job.peer, min(rank, job.turn), new.deadline_at), job.place)
        connection.execute(update(schema.job).where(_job.id == job.id).values(deadline_at=micros(new.deadline_at), place=nearer))
    if JobState(job.state) in (JobState.QUEUED, JobState.PARKED, JobState.NOT_APPLICABLE) and job.lease is None:
        marked = new.marked or bool(job.marked)  # as the most careful of the routes that share it asks
        connection.execute(update(schema.job).where(_job.id == job.id).values(**_shortage_values(new.shortage, marked)))
    wanted = strictest((WhenExcluded(job.when_excluded), new.when_excluded))
    if wanted is not WhenExcluded(job.when_excluded):
        connection.execute(update(schema.job).where(_job.id == job.id).values(when_excluded=wanted.value))
    _begin_anew(connection, job, new, now)
    if routes or sinks:
        note(connection, JOB.name, job.id, "job.joined", f"routes {', '.join(routes) or '-'}; sinks {', '.join(sinks) or '-'}", now)
    if sinks and JobState(job.state) in (JobState.ENCODED, JobState.DONE):
        insert_deliveries(connection, job.id, sinks, now)
        if JobState(job.state) is JobState.DONE:
            move(connection, JOB, job.id, JobState.ENCODED, now, f"for {', '.join(sinks)}")


def _begin_anew(connection: Connection, job: Row[Any], new: NewJob, now: datetime) -> None:
    """Queue a job that nobody has tried yet: it ended when it was made, for pixels, an application or a manifest that are others now. Or
    one that was tried while its pixels were away: after a power loss they may lie in the inbox again, and the worker be first."""
    before = JobState(job.state)
    ends = {JobState.PARKED: new.parked, JobState.NOT_APPLICABLE: new.not_applicable}
    tried = job.attempts and job.code != PixelsGone.code
    if before not in ends or tried or ends[before] is not None:
        return
    was = "parked" if before is JobState.PARKED else "not applicable"
    why = f"what it was {was} for is mended"
    anew = {"code": None, "reason": None, "declined": False, "attempts": 0, "due_at": micros(now)}
    move(connection, JOB, job.id, JobState.QUEUED, now, why, **anew)
    _end_at_once(connection, job.id, new, now)


def _names(connection: Connection, table: Any, column: str, job: int) -> list[str]:
    """Routes or sinks of a job, in their order."""
    return list(connection.execute(select(table.c[column]).where(table.c.job_id == job).order_by(table.c.position)).scalars())


def _add_names(connection: Connection, table: Any, column: str, job: int, names: Iterable[str]) -> list[str]:
    """Insert the names that the job does not have; returns these."""
    have = set(_names(connection, table, column, job))
    fresh = [name for name in dict.fromkeys(names) if name not in have]
    if fresh:
        connection.execute(insert(table), [{"job_id": job, column: name, "position": len(have) + n} for n, name in enumerate(fresh)])
    return fresh


def supersede(connection: Connection, job: int, why: str, now: datetime) -> None:
    """End a job for its successor. What has not begun to leave stays; what was begun is finished, so that no report lacks its segments."""
    move(connection, JOB, job, JobState.SUPERSEDED, now, why, lease=None, lease_until=None)
    cancel_deliveries(connection, job, why, now, begun_too=False)
