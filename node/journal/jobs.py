"""Jobs in the journal: the steps that only the holder of the lease may take. A step whose answer was lost knows itself again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, delete, exists, or_, select, update

from node.domain.job import Demand, Job, JobKind, Measured, PartedJob, PartedRoutes, RefusedRoutes, ResultObject
from node.domain.state import DeliveryState, JobState
from node.journal import schema
from node.journal.arrivals import revise_askers
from node.journal.claims import LostClaims, full_applications, given_before, had_turn, in_order, move_up, new_lease, next_job
from node.journal.database import Database, JournalPart, lock_study, repeatable, rerun
from node.journal.errors import NoSuchRow, TransitionRefused
from node.journal.job_deliveries import cancel_deliveries, insert_deliveries, revive
from node.journal.placing import demands_of, keep_demands, part, parted_under, supersede, wished
from node.journal.port import DoneJob, JobFilter
from node.journal.results import insert_objects, keep_measured, read_objects
from node.journal.rows import micros, moment, to_job
from node.journal.schema import NEVER
from node.journal.store import refuse_tombstoned
from node.journal.transitions import JOB, held, move, note

_arrival = schema.arrival.c
_job = schema.job.c
_ENDS = (JobState.PARKED, JobState.FAILED, JobState.NOT_APPLICABLE, JobState.CANCELLED, JobState.SUPERSEDED)


def read_jobs(connection: Connection, statement: Select[Any]) -> list[Job]:
    """The jobs that `statement` selects, with their routes and sinks."""
    rows = connection.execute(statement).all()
    ids = [row.id for row in rows]
    sinks = _names(connection, schema.job_sink, "sink", ids)
    asked = demands_of(connection, ids)
    return [to_job(row, asked.get(row.id, {}), sinks) for row in rows]


def _names(connection: Connection, table: Table, column: str, jobs: Sequence[int]) -> dict[int, tuple[str, ...]]:
    if not jobs:
        return {}
    found: dict[int, list[str]] = {}
    for row in connection.execute(select(table).where(table.c.job_id.in_(jobs)).order_by(table.c.job_id, table.c.position)):
        found.setdefault(row.job_id, []).append(getattr(row, column))
    return {job: tuple(names) for job, names in found.items()}


class Jobs(JournalPart):
    """Jobs: claimed under a lease, moved from state to state, ended.

    Parameters
    ----------
    lost
        The claims of this process whose answer was lost.
    """

    def __init__(self, database: Database, lost: LostClaims) -> None:
        super().__init__(database)
        self._lost = lost

    @repeatable
    def renew(self, job: int, lease: str, until: datetime) -> bool:
        """Hold the lease longer; False when it is lost."""
        with self._database.writing() as connection:
            renewed = update(schema.job).where(_job.id == job, _job.lease == lease).values(lease_until=micros(until))
            return connection.execute(renewed).rowcount == 1

    @repeatable
    def inferred(
        self,
        job: int,
        lease: str,
        findings_blob: str,
        model_digest: str,
        now: datetime,
        *,
        version: str | None = None,
        measured: Sequence[Measured] = (),
        demands: Mapping[str, Demand] = MappingProxyType({}),
    ) -> bool:
        """QUEUED → INFERRED; the lease stays held. `version` is of the application that made the findings. `measured` replaces what earlier
        findings of the job measured. `demands` of its routes take the place of what is on record, where these were answered instead."""
        with self._database.writing() as connection:
            if not held(connection, schema.job, job, lease):
                return False
            row = _row(connection, job)
            if row.state == JobState.INFERRED and (row.findings_blob, row.model_digest) == (findings_blob, model_digest):
                return True
            refuse_tombstoned(connection, [findings_blob])
            keep_measured(connection, job, measured)
            keep_demands(connection, job, demands, now)
            made = {"findings_blob": findings_blob, "model_digest": model_digest, "findings_version": version, "inferred_at": micros(now)}
            facts = {**made, "code": None, "reason": None}
            move(connection, JOB, job, JobState.INFERRED, now, f"model {model_digest}", **facts)
            return True

    @repeatable
    def encoded(self, job: int, lease: str, objects: Sequence[ResultObject], now: datetime) -> bool:
        """INFERRED → ENCODED; inserts the objects and one WAITING delivery per sink of the job; releases the lease. A result supersedes
        what said of its study and application that there was none, and what stood for its routes until there was what they ask.

        A job without sinks has nobody to wait for and is DONE at once."""
        with self._database.writing() as connection:
            if not held(connection, schema.job, job, lease):
                # these very objects stand: it was this call, before its answer was lost, or another that made the same
                return bool(objects) and [one.blob for one in read_objects(connection, job)] == [one.blob for one in objects]
            if objects:
                refuse_tombstoned(connection, [one.blob for one in objects])
                insert_objects(connection, job, objects)
            free = {"lease": None, "lease_until": None, "code": None, "reason": None}
            move(connection, JOB, job, JobState.ENCODED, now, f"{len(objects)} objects", **free)
            _supersede_statements(connection, job, now)
            _supersede_predecessor(connection, job, now)
            sinks = _names(connection, schema.job_sink, "sink", [job]).get(job, ())
            if not insert_deliveries(connection, job, sinks, now):
                move(connection, JOB, job, JobState.DONE, now, "no sinks")
            return True

    @repeatable
    def retry(
        self,
        job: int,
        lease: str,
        due_at: datetime,
        code: str,
        reason: str,
        now: datetime,
        *,
        count_attempt: bool,
        engine_lost: bool = False,
    ) -> bool:
        """Keep the state, release the lease, set `due_at`; an engine that is away gives the attempt back (`count_attempt` False).
        `engine_lost`: it ended in the middle of the job, which is counted for as long as the job is there."""
        with self._database.writing() as connection:
            if not held(connection, schema.job, job, lease):
                return False
            attempts = _job.attempts if count_attempt else _job.attempts - 1
            values = {"lease": None, "lease_until": None, "due_at": micros(due_at), "code": code, "reason": reason, "attempts": attempts}
            if engine_lost:
                values["engines_lost"] = _job.engines_lost + 1
            connection.execute(update(schema.job).where(_job.id == job).values(**values))
            note(connection, JOB.name, job, "job.retry", f"{code} {reason}", now, code=code)
            return True

    @repeatable
    def part(self, job: Job, refused: Sequence[RefusedRoutes], others: PartedRoutes, now: datetime) -> list[PartedJob]:
        """Give routes whose demands are not answered jobs of their own, which are parked; the job, as it was claimed, waits again, for its
        `others`, with those of its sinks that are theirs. The attempt does not count. Returns these jobs, in the order of `refused`.

        [] when nothing was parted: the lease is lost; or others have asked for the job since it was claimed, and it waits as it is."""
        with self._database.writing() as connection:
            lock_study(connection, job.study_instance_uid)  # first, as whoever routes does
            if job.lease is None or not held(connection, schema.job, job.id, job.lease):
                return parted_under(connection, _row(connection, job.id), job.lease, refused)
            waits = {"lease": None, "lease_until": None, "due_at": micros(now), "attempts": _job.attempts - 1}
            connection.execute(update(schema.job).where(_job.id == job.id).values(**waits))
            (by_now,) = read_jobs(connection, select(schema.job).where(_job.id == job.id))
            asked, asks = ((one.demands, set(one.routes), set(one.sinks)) for one in (job, by_now))
            if asked != asks:
                return []
            connection.execute(update(schema.job).where(_job.id == job.id).values(ended_lease=job.lease))
            row = _row(connection, job.id)
            own = [part(connection, row, one, now) for one in refused]
            table = schema.job_sink
            connection.execute(delete(table).where(table.c.job_id == job.id, table.c.sink.not_in(others.sinks)))
            gone = ", ".join(route for one in refused for route in one.demands)
            said = f"routes {gone}: job {', '.join(str(one.job) for one in own)}"
            # no error; and claimed again it has waited already
            values = {**wished(connection, row, others.wishes), "code": "", "reason": said}
            connection.execute(update(schema.job).where(_job.id == job.id).values(**values))
            note(connection, JOB.name, job.id, "job.parted", said, now)
            return own

    @repeatable
    def end(
        self,
        job: int,
        lease: str | None,
        state: JobState,
        code: str,
        reason: str,
        now: datetime,
        *,
        again: str | None = None,
        declined: bool = False,
        delivered_before: bool = False,
    ) -> bool:
        """To PARKED, FAILED, NOT_APPLICABLE, CANCELLED, or, of a statement that has become needless, SUPERSEDED.

        `lease` None is the operator, who needs no lease. With `again` (why) what came is looked at anew, in the same transaction: the
        arrivals that asked for the job, whoever sent them, get COMPLETE revisions, unless these are open. `declined`: the images are the
        cause, not the machinery. `delivered_before`: every sink has its results; a person who revives it wants them once more.

        A cancelled job's waiting deliveries are cancelled with it.
        """
        if state not in _ENDS:
            raise TransitionRefused(f"job {job}: end_job leads to parked, failed, not_applicable, cancelled or superseded, not to {state}")
        with self._database.writing() as connection:
            if again is not None:
                lock_study(connection, _row(connection, job).study_instance_uid)  # first, as whoever routes does
            if lease is not None and not held(connection, schema.job, job, lease):
                row = _row(connection, job)  # the answer was lost
                return bool(row.state == state and row.ended_lease == lease)
            free = {"lease": None, "lease_until": None, "ended_lease": lease, "code": code, "reason": reason, "declined": declined}
            if delivered_before:
                free["delivered_before"] = True
            move(connection, JOB, job, state, now, f"{code} {reason}", **free)
            if state is JobState.CANCELLED:
                cancel_deliveries(connection, job, reason, now, begun_too=True)
            if again is not None:
                revise_askers(connection, _row(connection, job), again, now)
            return True

    def find(
        self,
        *,
        states: Collection[JobState] = (),
        arrival: int | None = None,
        study: str | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> list[Job]:
        """The oldest first, or the `newest`."""
        statement = select(schema.job).order_by(_job.id.desc() if newest else _job.id).limit(limit)
        if states:
            statement = statement.where(_job.state.in_([state.value for state in states]))
        if arrival is not None:
            statement = statement.where(_job.arrival_id == arrival)
        if study is not None:
            statement = statement.where(_job.study_instance_uid == study)
        with self._database.reading() as connection:
            return read_jobs(connection, statement)

    def select(self, wanted: JobFilter, limit: int) -> list[Job]:
        """The newest that are asked for."""
        delivery = schema.delivery.c
        with self._database.reading() as connection:
            statement = select(schema.job).order_by(_job.id.desc()).limit(limit)
            if wanted.states:
                found = _job.state.in_([state.value for state in wanted.states])
                stuck = exists().where(delivery.job_id == _job.id, delivery.state == DeliveryState.PARKED.value)
                statement = statement.where(or_(found, stuck) if JobState.PARKED in wanted.states else found)
            if wanted.study is not None:
                statement = statement.where(_job.study_instance_uid == wanted.study)
            if wanted.peer is not None:
                statement = statement.where(_job.arrival_id.in_(select(_arrival.id).where(_arrival.peer == wanted.peer)))
            if wanted.route is not None:
                statement = statement.where(_job.id.in_(select(schema.job_route.c.job_id).where(schema.job_route.c.route == wanted.route)))
            if wanted.application is not None:
                statement = statement.where(_job.application == wanted.application)
            if wanted.code is not None:
                of_delivery = exists().where(delivery.job_id == _job.id, delivery.code == wanted.code)
                statement = statement.where(or_(_job.code == wanted.code, of_delivery))
            if wanted.since is not None:
                statement = statement.where(_job.created_at >= micros(wanted.since))
            if wanted.until is not None:
                statement = statement.where(_job.created_at < micros(wanted.until))
            if wanted.before is not None:
                statement = statement.where(_job.id < wanted.before)
            return read_jobs(connection, statement)

    def get(self, job: int) -> Job:
        """One job; NoSuchRow when there is none."""
        with self._database.reading() as connection:
            found = read_jobs(connection, select(schema.job).where(_job.id == job))
            if not found:
                raise NoSuchRow(f"there is no job {job}")
            return found[0]

    def done_since(self, since: datetime, limit: int) -> list[DoneJob]:
        """The jobs that became done since then, the newest `limit` of them, in no order. One whose results an operator sent again became
        done again."""
        columns = (_job.application, _job.created_at, _job.moved_at, _arrival.last_instance_at)
        done = (
            select(*columns)
            .join(schema.arrival, _arrival.id == _job.arrival_id)
            .where(_job.state == JobState.DONE.value, _job.kind == JobKind.ANALYSIS.value)
        )
        with self._database.reading() as connection:
            rows = connection.execute(done.where(_job.moved_at >= micros(since)).order_by(_job.moved_at.desc()).limit(limit))
            return [
                DoneJob(
                    application=row.application,
                    last_instance_at=moment(row.last_instance_at),
                    queued_at=moment(row.created_at),
                    done_at=moment(row.moved_at),
                )
                for row in rows
            ]

    @rerun
    def claim(
        self,
        owner: str,
        now: datetime,
        lease: timedelta,
        *,
        away_engines: Collection[str] = (),
        offpeak: bool = True,
        at_once: Mapping[str, int] | None = None,
    ) -> Job | None:
        """Lease the due job in QUEUED or INFERRED whose turn it is and whose route and engine are neither paused nor away; counts an
        attempt.

        Urgent jobs come before routine ones, these before off-peak ones (which are passed over without `offpeak`). Within a class the
        earliest deadline goes first, where a job counts as due a little later for each that its peer has waiting before it; then what
        has none, by turns of the peers that it came from, of each in the order in which they became due. `at_once` bounds how many jobs
        of an application are under a live lease at any time, whoever holds these. A claim whose answer was lost is given out again to its
        owner."""
        token, at = new_lease(owner), micros(now)
        with self._lost.looked_for(token) as unsure, self._database.writing() as connection:
            if (lost := given_before(connection, schema.job, unsure, now, lease)) is not None:
                return read_jobs(connection, select(schema.job).where(_job.id == lost))[0]
            in_order(connection, "pg_advisory_xact_lock(4711204)")
            full = full_applications(connection, at_once, at) if at_once else []
            chosen = next_job(connection, at, away_engines, full, offpeak)
            if chosen is None:
                return None
            claim = (
                update(schema.job)
                .where(_job.id == chosen)
                .values(lease=token, lease_until=micros(now + lease), attempts=_job.attempts + 1)
                .returning(_job.id, _job.attempts, _job.turn, _job.place, _job.peer)
            )
            claimed = connection.execute(claim).one()
            had_turn(
                connection,
                schema.job_turn,
                {"turn": claimed.turn, "placed": claimed.place != NEVER, "peer": claimed.peer},
                at=at,
            )
            note(connection, JOB.name, claimed.id, "job.claimed", f"by {owner}, attempt {claimed.attempts}", now)
            return read_jobs(connection, select(schema.job).where(_job.id == claimed.id))[0]

    @rerun
    def move_up(self, now: datetime, patience: timedelta, *, offpeak_since: datetime | None) -> int:
        """A job that has waited in its class for `patience` waits in the next higher one from now on; in the first class, one without a
        deadline goes to the front. Of each peer and class the first moves, where none was claimed for as long: what waits behind others
        of its own peer stays, and so does a second one while the first waits. Off-peak jobs wait only since `offpeak_since`, when their
        window opened (None: it is shut), and never leave it. Returns how many moved."""
        with self._database.writing() as connection:
            return move_up(connection, now, patience, offpeak_since)

    @rerun
    def revive(self, job: int, now: datetime, *, afresh: bool = False) -> JobState:
        """The operator's retry: PARKED, FAILED, NOT_APPLICABLE, CANCELLED → the furthest durable state (QUEUED, INFERRED); a job with its
        objects (DONE, or ENCODED) gets its deliveries WAITING again, to send the same bytes; of one that is SUPERSEDED those alone that
        were parked half-way. Attempts restart.

        `afresh` forgets the findings of a job that has no objects yet; a job that waits for its retry is due at once."""
        with self._database.writing() as connection:
            return revive(connection, job, now, afresh=afresh)


def _supersede_statements(connection: Connection, job: int, now: datetime) -> None:
    """There is a result now: what said that there was none, of the same study and application, is superseded."""
    row = _row(connection, job)
    if JobKind(row.kind) is not JobKind.ANALYSIS:
        return
    stands = _job.state.not_in([JobState.SUPERSEDED.value, JobState.CANCELLED.value])
    said = (_job.study_instance_uid == row.study_instance_uid, _job.application == row.application, _job.kind == JobKind.STATEMENT.value)
    for statement in connection.execute(select(_job.id).where(*said, stands).order_by(_job.id)).scalars().all():
        supersede(connection, statement, f"job {job} gave a result", now)


def _supersede_predecessor(connection: Connection, job: int, now: datetime) -> None:
    """What a job replaces, and what that replaces in its turn, stayed where it was asked for in vain then; it is superseded by this result,
    if all of its routes have that. Where the study comes again, placing sees to it: an operator's retry brings no study."""
    routes = demands_of(connection, [job]).get(job, {}).keys()
    number = _row(connection, job).predecessor
    while number is not None:
        before = connection.execute(select(schema.job).where(_job.id == number).with_for_update()).one()
        asked = demands_of(connection, [number]).get(number, {}).keys()
        if JobState(before.state) not in (JobState.SUPERSEDED, JobState.CANCELLED) and asked and asked <= routes:
            supersede(connection, number, f"job {job} gave what its routes ask by now", now)
        number = before.predecessor


def _row(connection: Connection, job: int) -> Row[Any]:
    return connection.execute(select(schema.job).where(_job.id == job)).one()
