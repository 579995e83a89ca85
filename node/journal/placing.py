"""Placing the jobs that routing asks for: each joins the job that does the same already, or is inserted and takes the place of its
predecessor.

Of one application on the same images there is one job, whichever routes ask, but where they ask what it does not answer (`Demand`): a
version of the application, or one that is accepted here. What a job answers is a fact that it has on record: of one that has findings the
version and the digest of the models that made them, of one that waits what it will be held to.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, Table, delete, func, insert, literal, select, update

from node.domain.errors import AnotherVersion, ApplicationUnaccepted, PixelsGone
from node.domain.job import RANKS, Demand, JobKind, NewJob, PartedJob, RefusedRoutes, RouteWishes, WhenExcluded, strictest
from node.domain.shortage import Shortage
from node.domain.state import JobState
from node.journal import schema
from node.journal.claims import place_of
from node.journal.job_deliveries import cancel_deliveries, insert_deliveries
from node.journal.port import PlacedJobs
from node.journal.rows import PRIORITIES, micros, moment, to_demand
from node.journal.transitions import JOB, move, note

_job = schema.job.c
_NONE = Demand()
_STUCK = (JobState.PARKED, JobState.FAILED, JobState.NOT_APPLICABLE)
_UNANSWERED = (AnotherVersion.code, ApplicationUnaccepted.code)
_NOT_TRIED = (PixelsGone.code, *_UNANSWERED)
_NEW_INPUTS = "arrival {arrival} has other inputs"
_NEW_DEMANDS = "its routes ask otherwise since arrival {arrival}"


class Placing:
    """Places the jobs of one arrival; what they replace ends behind the last of them, so that each finds its predecessor."""

    def __init__(self, connection: Connection, arrival: Row[Any], jobs: Sequence[NewJob], now: datetime) -> None:
        self._connection = connection
        self._arrival = arrival
        self._jobs = jobs
        self._now = now
        self._replaced: dict[int, str] = {}
        self._joined: set[int] = set()
        self._ended: list[int] = []

    def place(self) -> PlacedJobs:
        """What these became."""
        answered = {_subject(job) for job in self._jobs if not job.refused}
        refused = {_subject(job): job for job in self._jobs if job.refused}
        for job in [job for subject, job in refused.items() if subject not in answered]:
            # what others asked for in the jobs that they take the place of does not wait with them
            self._place(replace(job, routes=(), sinks=(), demands={}, shares={}, parked=None, declined=False, refused=False))
        placed = [number for job in self._jobs for number in self._place(job)]
        for number in sorted(self._replaced.keys() - set(placed) - self._joined):
            supersede(self._connection, number, self._replaced[number].format(arrival=self._arrival.id), self._now)
        return PlacedJobs(jobs=tuple(placed), ended=tuple(dict.fromkeys(self._ended)))

    def _place(self, new: NewJob) -> list[int]:
        # locked, so that none is encoded for its old sinks while it gains new ones
        found = self._connection.execute(_same(self._arrival.study_instance_uid, new).with_for_update()).all()
        latest = JobState(found[0].state) if found else None
        if found and new.untaken and latest not in (JobState.NOT_APPLICABLE, JobState.CANCELLED):
            return [int(found[0].id)]
        asked = demands_of(self._connection, [row.id for row in found])
        in_vain = {demand for one in self._jobs if one.refused and _subject(one) == _subject(new) for demand in one.demands.values()}
        current = _current(found, new.input_digest)
        parts = list(_parts(new, current, asked, in_vain))
        self._joined |= {row.id for _, row in parts if row is not None}
        others = [row for row in found if row.id not in self._joined]
        return [self._place_part(part, row, others, asked) for part, row in parts]

    def _place_part(self, new: NewJob, same: Row[Any] | None, others: Sequence[Row[Any]], asked: "Asked") -> int:
        """Join `same`, which answers all of its routes, or insert a job; `others` are those that none of its arrival joins."""
        outdated = [row for row in others if row.input_digest != new.input_digest]
        ended = [row for row in outdated if JobState(row.state) is not JobState.CANCELLED]
        if (new.slices or new.whole_study) and not new.refused:
            live = [] if same is None or JobState(same.state) is JobState.CANCELLED else [same]
            new = self._asked_by_all(new, [*live, *ended], asked)
        if not new.routes:
            return 0  # nobody else had asked
        self._replaced |= {row.id: _NEW_INPUTS for row in ended}
        unasked = [row for row in others if row.input_digest == new.input_digest and self._asks_otherwise(row, new, asked)]
        self._replaced |= {row.id: _NEW_DEMANDS for row in unasked}
        if same is not None and not _is_made_anew(same, new):
            if _join(self._connection, same, new, self._now):
                self._ended.append(same.id)
            return int(same.id)
        if same is not None:
            self._replaced.pop(same.id, None)
            if JobState(same.state) is not JobState.CANCELLED:
                supersede(self._connection, same.id, _NEW_INPUTS.format(arrival=self._arrival.id), self._now)
            return self._made(new, same.id)
        own = [row for row in others if row not in outdated and asked.get(row.id) and asked[row.id].keys() <= set(new.routes)]
        sharing = [row for row in outdated if not asked.get(row.id, {}).keys().isdisjoint(new.routes)]
        predecessor = max((row.id for row in [*own, *sharing] or outdated), default=None)
        return self._made(new, predecessor)

    def _made(self, new: NewJob, predecessor: int | None) -> int:
        job = _insert(self._connection, self._arrival, new, predecessor, self._now)
        if _end_at_once(self._connection, job, new, self._now):
            self._ended.append(job)
        return job

    def _asks_otherwise(self, row: Row[Any], new: NewJob, asked: "Asked") -> bool:
        """Whether a job on the same images is nobody's any more: each of its routes asks now for what another job is. What has findings, or
        waits to be analysed, was asked for as it is: it stays until there is a job that answers what is asked now."""
        idle = _idle(row)
        routes = asked.get(row.id, {}).keys()
        here = {name for one in self._jobs if _subject(one) == _subject(new) and (idle or not one.refused) for name in one.routes}
        mine = JobState(row.state) is not JobState.CANCELLED and not routes.isdisjoint(new.routes)
        return mine and routes <= here

    def _asked_by_all(self, new: NewJob, replaced: Sequence[Row[Any]], asked: "Asked") -> NewJob:
        """A job on what other arrivals brought too, as their routes asked for it in the jobs that it takes the place of: those routes do
        not decide of this arrival, and their sinks would get nothing. What a route has by another job of this arrival, it has by that."""
        unfinished = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED, JobState.PARKED)
        apart = [one for one in self._jobs if _subject(one) == _subject(new) and set(one.routes).isdisjoint(new.routes)]
        elsewhere = {name for one in apart for name in one.routes}
        kept = {sink for one in apart for sink in one.sinks} - set(new.sinks)
        replaced = [row for row in replaced if not asked.get(row.id) or asked[row.id].keys() - elsewhere]
        deadlines = [moment(job.deadline_at) for job in replaced if job.deadline_at is not None and JobState(job.state) in unfinished]
        deadlines += [new.deadline_at] if new.deadline_at is not None else []
        ranks = [RANKS[new.priority], *(job.rank for job in replaced)]
        others = {name: demand for row in replaced for name, demand in asked.get(row.id, {}).items() if name not in elsewhere}
        sinks = {row.id: tuple(name for name in _sinks(self._connection, row.id) if name not in kept) for row in replaced}
        return replace(
            new,
            routes=(*new.routes, *others),
            sinks=(*new.sinks, *itertools.chain.from_iterable(sinks.values())),
            demands={**{name: demand for name, demand in others.items() if not demand.none and name not in new.routes}, **new.demands},
            priority=PRIORITIES[min(ranks)],
            deadline_at=min(deadlines, default=None),
            when_excluded=strictest([new.when_excluded, *(WhenExcluded(job.when_excluded) for job in replaced)]),
            marked=new.marked or any(job.marked for job in replaced),
        )


def _subject(job: NewJob) -> tuple[str, str]:
    """What the jobs of one arrival have in common whose routes ask otherwise of the same: the application, and the series that names it."""
    return job.application, job.series_instance_uid


Asked: TypeAlias = Mapping[int, Mapping[str, Demand]]
"""By job and route, in the order in which they asked, what each asks of the application."""


def demands_of(connection: Connection, jobs: Sequence[int]) -> Asked:
    """The routes of these jobs, each with what it asked."""
    if not jobs:
        return {}
    table = schema.job_route
    found: dict[int, dict[str, Demand]] = {}
    for row in connection.execute(select(table).where(table.c.job_id.in_(jobs)).order_by(table.c.job_id, table.c.position)):
        found.setdefault(row.job_id, {})[row.route] = to_demand(row)
    return found


def standing(connection: Connection, study: str, new: NewJob) -> dict[str, tuple[int, JobState]]:
    """By route of a job that is not placed yet, the job of the study that it would get and that does not wait for what is asked: one with
    findings that answer it, or one that was cancelled."""
    found = connection.execute(_same(study, new)).all()
    asked = demands_of(connection, [row.id for row in found])
    parts = _parts(new, _current(found, new.input_digest), asked, set(new.demands.values()))
    there = [(part, row, JobState(row.state)) for part, row in parts if row is not None and not _is_made_anew(row, part)]
    stands = [(part, row, state) for part, row, state in there if row.model_digest is not None or state is JobState.CANCELLED]
    return {route: (row.id, state) for part, row, state in stands for route in part.routes}


def _same(study: str, new: NewJob) -> Select[Any]:
    """The jobs of the application on the same series, the newest first."""
    same = (
        _job.study_instance_uid == study,
        # a slice that came late may have the number that the job is called by now
        *(() if new.whole_study else (_job.series_instance_uid.in_(new.slices or (new.series_instance_uid,)),)),
        _job.application == new.application,
        _job.kind == JobKind.ANALYSIS.value,
        _job.state != JobState.SUPERSEDED.value,
    )
    return select(schema.job).where(*same).order_by(_job.id.desc())


def _current(found: Sequence[Row[Any]], input_digest: str) -> list[Row[Any]]:
    """Those on these images, of the newest first; what was cancelled before there were others counts no more."""
    since = next((place for place, row in enumerate(found) if row.input_digest != input_digest), len(found))
    return [
        row
        for place, row in enumerate(found)
        if row.input_digest == input_digest and (place < since or JobState(row.state) is not JobState.CANCELLED)
    ]


def _idle(row: Row[Any]) -> bool:
    """Whether a job ended, for now, without an analysis."""
    return JobState(row.state) in _STUCK and row.model_digest is None


def _parts(new: NewJob, current: Sequence[Row[Any]], asked: Asked, in_vain: Collection[Demand]) -> Iterator[tuple[NewJob, Row[Any] | None]]:
    """The job that is asked for, in as many as its routes find others to join, each with the one that answers them; None: none does.

    A route goes to the job that has it already before the newest, and to one that is stuck last.
    """

    def answering(*routes: str) -> Row[Any] | None:
        found = [row for row in current if all(_answers(row, asked.get(row.id, {}), new, route, in_vain) for route in routes)]
        return max(found, key=lambda row: (not _idle(row), not asked.get(row.id, {}).keys().isdisjoint(routes), row.id), default=None)

    if not new.shares:
        yield new, answering(*new.routes) if new.routes else None
        return
    joining = {route: answering(route) for route in new.routes}
    rows = {None if row is None else row.id: row for row in joining.values()}
    for number, row in rows.items():
        routes = [route for route, of in joining.items() if (None if of is None else of.id) == number]
        yield new if len(rows) == 1 else new.of(routes), row


def _answers(row: Row[Any], asked: Mapping[str, Demand], new: NewJob, route: str, in_vain: Collection[Demand]) -> bool:
    """Whether a job on the same images answers what a route asks; what waits to be analysed for who asks `in_vain` by now alone does not
    answer who asks nothing."""
    demand, made = new.demands.get(route, _NONE), row.model_digest is not None
    # it ended without an analysis: what it ended of may be what its routes ask
    ended = JobState(row.state) in (JobState.PARKED, JobState.FAILED, JobState.CANCELLED) and not made
    plain = not asked or any(one.none for one in asked.values())
    if demand.none:
        waits = JobState(row.state) is JobState.QUEUED and row.lease is None
        return plain or not (ended or (waits and not set(in_vain).isdisjoint(asked.values())))
    if asked.get(route) == demand:
        return True  # it was asked of it before it was analysed, or will be
    if made:
        as_served = row.findings_version == new.application_version and row.model_digest == new.models_digest
        return not demand.against_version(new.application, row.findings_version or "") and (as_served or not demand.accepted)
    if demand in asked.values() and not (new.refused and JobState(row.state) is JobState.QUEUED):
        return True  # likewise, by another route
    # one that is at work was asked already, before this route was heard
    return not new.refused and row.lease is None and (plain or not ended)


def _is_made_anew(before: Row[Any], new: NewJob) -> bool:
    """Whether another takes the place of a job that answers. What is incomplete stays until there is one that answers: what is asked in
    vain takes nothing away."""
    return _upgrade_may_help(before, new) or (not new.refused and _is_whole_now(before, new))


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
    _add_routes(connection, job, new)
    _add_sinks(connection, job, new.sinks)
    if new.instances:
        members = [
            {"job_id": job, "instance_id": instance, "role": new.roles.get(instance, "")} for instance in dict.fromkeys(new.instances)
        ]
        connection.execute(insert(schema.job_instance), members)
    return job


def _end_at_once(connection: Connection, job: int, new: NewJob, now: datetime) -> bool:
    """End a job that is queued, where routing knows an end of it; whether it does."""
    ends = ((JobState.NOT_APPLICABLE, new.not_applicable), (JobState.PARKED, new.parked))
    state, said = next(((state, said) for state, said in ends if said is not None), (None, None))
    if state is not None and said is not None:
        code, reason = said
        declined = state is JobState.PARKED and new.declined
        move(connection, JOB, job, state, now, f"{code} {reason}", code=code, reason=reason, declined=declined)
    return state is not None


def _join(connection: Connection, job: Row[Any], new: NewJob, now: datetime) -> bool:
    """Give a job the routes and sinks that it lacks; one that has its objects brings them to the new sinks. Whether it was queued anew, and
    ended at once."""
    routes = _add_routes(connection, job.id, new)
    sinks = _add_sinks(connection, job.id, new.sinks)
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
    ended = _begin_anew(connection, job, new, now)
    if routes or sinks:
        note(connection, JOB.name, job.id, "job.joined", f"routes {', '.join(routes) or '-'}; sinks {', '.join(sinks) or '-'}", now)
    if sinks and JobState(job.state) in (JobState.ENCODED, JobState.DONE):
        insert_deliveries(connection, job.id, sinks, now)
        if JobState(job.state) is JobState.DONE:
            move(connection, JOB, job.id, JobState.ENCODED, now, f"for {', '.join(sinks)}")
    return ended


def _begin_anew(connection: Connection, job: Row[Any], new: NewJob, now: datetime) -> bool:
    """Queue a job that nobody has tried yet: it ended when it was made, for pixels, an application or a manifest that are others now. Or
    one that was tried while its pixels were away: after a power loss they may lie in the inbox again, and the worker be first; or while
    what was served was not what its routes ask. Whether it ended once more."""
    before = JobState(job.state)
    ends = {JobState.PARKED: new.parked, JobState.NOT_APPLICABLE: new.not_applicable}
    tried = job.attempts and job.code not in _NOT_TRIED
    if before not in ends or tried or ends[before] is not None:
        return False
    was = "parked" if before is JobState.PARKED else "not applicable"
    why = f"what it was {was} for is mended"
    anew = {"code": None, "reason": None, "declined": False, "attempts": 0, "due_at": micros(now)}
    move(connection, JOB, job.id, JobState.QUEUED, now, why, **anew)
    return _end_at_once(connection, job.id, new, now)


def _sinks(connection: Connection, job: int) -> list[str]:
    """The sinks of a job, in their order."""
    table = schema.job_sink.c
    return list(connection.execute(select(table.sink).where(table.job_id == job).order_by(table.position)).scalars())


def _add_sinks(connection: Connection, job: int, names: Iterable[str]) -> list[str]:
    """Insert the sinks that the job does not have; returns these."""
    have = _sinks(connection, job)
    fresh = [name for name in dict.fromkeys(names) if name not in have]
    if fresh:
        rows = [{"job_id": job, "sink": name, "position": n} for n, name in enumerate(fresh, _behind(connection, schema.job_sink, job))]
        connection.execute(insert(schema.job_sink), rows)
    return fresh


def _add_routes(connection: Connection, job: int, new: NewJob) -> list[str]:
    """Insert the routes that the job does not have, and keep what those that it has ask by now; returns the first. What was asked of a job
    that has findings was answered by them, and stays on record."""
    table = schema.job_route
    have = demands_of(connection, [job]).get(job, {})
    demands = {name: new.demands.get(name, _NONE) for name in new.routes}
    fresh = [name for name in demands if name not in have]
    if fresh:
        behind = _behind(connection, table, job)
        rows = [{"job_id": job, "route": name, "position": n, **_demand_values(demands[name])} for n, name in enumerate(fresh, behind)]
        connection.execute(insert(table), rows)
    made = connection.execute(select(_job.model_digest).where(_job.id == job)).scalar_one() is not None
    by_now = {name: before.also(demands[name]) if made else demands[name] for name, before in have.items() if name in demands}
    for name in [name for name in by_now if by_now[name] != have[name]]:
        _keep_demand(connection, job, name, by_now[name])
    return fresh


def keep_demands(connection: Connection, job: int, demands: Mapping[str, Demand], now: datetime) -> None:
    """Keep what routes of a job asked of what analysed it, and say so of those that had asked otherwise when it was routed."""
    before = demands_of(connection, [job]).get(job, {})
    changed = {route: demand for route, demand in demands.items() if before.get(route, demand) != demand}
    for route, demand in changed.items():
        _keep_demand(connection, job, route, demand)
        was = before[route].text or "any version"
        note(connection, JOB.name, job, "job.asked_otherwise", f'route "{route}" asks for {demand.text} (it had asked for {was})', now)


def _keep_demand(connection: Connection, job: int, route: str, demand: Demand) -> None:
    table = schema.job_route
    mine = (table.c.job_id == job, table.c.route == route)
    connection.execute(update(table).where(*mine).values(**_demand_values(demand)))


def _behind(connection: Connection, table: Table, job: int) -> int:
    """The position behind the last of a job's; where some were parted from it, there are fewer than that."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.position), -1)).where(table.c.job_id == job)).scalar_one()) + 1


def _demand_values(demand: Demand) -> dict[str, Any]:
    return {"version": demand.version, "accepted": demand.accepted}


def part(connection: Connection, job: Row[Any], refused: RefusedRoutes, now: datetime) -> PartedJob:
    """Give routes of a job that waits to be analysed a job of their own, parked for what they ask; returns it. One that they got already,
    because the study came while the job was at work, is theirs."""
    asked, used = schema.job_route.c, schema.job_instance.c
    mine = (asked.job_id == job.id, asked.route.in_(list(refused.demands)))
    if (own := _parted_before(connection, job, refused)) is not None:
        connection.execute(delete(schema.job_route).where(*mine))
        _add_sinks(connection, own, refused.sinks)
        return PartedJob(job=own, refused=refused, new=False)
    facts = {name: value for name, value in job._mapping.items() if name != "id"} | wished(connection, job, refused.wishes)
    anew = {"state": JobState.QUEUED.value, "lease": None, "lease_until": None, "attempts": 0, "created_at": micros(now)}
    own = int(connection.execute(insert(schema.job).values(**facts | anew).returning(_job.id)).scalar_one())
    note(connection, JOB.name, own, f"job.{JobState.QUEUED}", f"parted from job {job.id}", now)
    (demand,) = set(refused.demands.values())
    connection.execute(update(schema.job_route).where(*mine).values(job_id=own, **_demand_values(demand)))
    _add_sinks(connection, own, refused.sinks)
    members = select(literal(own), used.instance_id, used.role).where(used.job_id == job.id)
    connection.execute(insert(schema.job_instance).from_select(["job_id", "instance_id", "role"], members))
    move(connection, JOB, own, JobState.PARKED, now, f"{refused.code} {refused.reason}", code=refused.code, reason=refused.reason)
    return PartedJob(job=own, refused=refused, new=True)


def parted_under(connection: Connection, job: Row[Any], lease: str | None, refused: Sequence[RefusedRoutes]) -> list[PartedJob]:
    """What was parted from a job under a lease that it has no more: whoever parted it did not hear the answer. [] where nothing was."""
    if lease is None or job.ended_lease != lease:
        return []
    found = [(one, _parted_before(connection, job, one)) for one in refused]
    made = select(_job.id).where(_job.ended_lease == lease, _job.id.in_([own for _, own in found if own is not None]))
    new = set(connection.execute(made).scalars())
    return [PartedJob(job=own, refused=one, new=own in new) for one, own in found if own is not None]


def wished(connection: Connection, job: Row[Any], wishes: RouteWishes | None) -> dict[str, Any]:
    """The columns of a job that says what its routes want of it, for some of them alone: never stricter than for all."""
    if wishes is None:
        return {}
    rank = max(job.rank, RANKS[wishes.priority])
    deadline = None
    if wishes.deadline is not None and job.deadline_at is not None:
        completed = select(schema.arrival.c.completed_at).where(schema.arrival.c.id == job.arrival_id)
        deadline = max(moment(job.deadline_at), moment(connection.execute(completed).scalar_one()) + wishes.deadline)
    turn = rank if job.turn == job.rank else job.turn  # one that was moved up has waited long enough
    laxer = min((wishes.when_excluded, WhenExcluded(job.when_excluded)), key=list(WhenExcluded).index)
    deadline_at = None if deadline is None else micros(deadline)
    same = deadline_at == job.deadline_at and turn == job.turn  # what has no deadline may have come to the front
    return {
        "rank": rank,
        "turn": turn,
        "deadline_at": deadline_at,
        "place": job.place if same else place_of(connection, job.peer, turn, deadline),
        # what had nothing above it may have by now
        "waits_since": job.waits_since if same else min(job.waits_since, job.due_at),
        "when_excluded": laxer.value,
    }


def _parted_before(connection: Connection, job: Row[Any], refused: RefusedRoutes) -> int | None:
    """The job that waits for what all of these routes ask, on the same images: as they asked when it was made."""
    same = (_job.study_instance_uid, _job.series_instance_uid, _job.application, _job.input_digest)
    waits = (_job.state == JobState.PARKED.value, _job.model_digest.is_(None), _job.kind == JobKind.ANALYSIS.value)
    alike = [column == job._mapping[column.name] for column in same]
    found = select(_job.id).where(*alike, *waits, _job.id != job.id).order_by(_job.id.desc()).with_for_update()
    others = connection.execute(found).scalars().all()
    asked = demands_of(connection, others)
    waiting = {one: {route for route, demand in asked.get(one, {}).items() if not demand.none} for one in others}
    return next((one for one in others if refused.demands.keys() <= waiting[one]), None)


def supersede(connection: Connection, job: int, why: str, now: datetime) -> None:
    """End a job for its successor. What has not begun to leave stays; what was begun is finished, so that no report lacks its segments."""
    move(connection, JOB, job, JobState.SUPERSEDED, now, why, lease=None, lease_until=None)
    cancel_deliveries(connection, job, why, now, begun_too=False)
