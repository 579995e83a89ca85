"""Routing in the journal: decisions kept and jobs placed (node.journal.placing), in one transaction with COMPLETE → ROUTED."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, insert, select, update

from node.domain.arrival import Arrival
from node.domain.job import NewJob
from node.domain.route import Decision
from node.domain.shortage import NewHold
from node.domain.state import ArrivalState, JobState
from node.journal import schema
from node.journal.arrivals import keep_open, revise
from node.journal.claims import ARRIVAL_WAITS, peers_waiting
from node.journal.database import MOST, JournalPart, lock_study, rerun
from node.journal.errors import NoSuchRow
from node.journal.placing import Placing, standing
from node.journal.port import PlacedJobs
from node.journal.rows import to_arrival, to_decision, tried_text
from node.journal.transitions import ARRIVAL, move, note, state_of

_arrival = schema.arrival.c
_job = schema.job.c
# looked at every second
_PEERS_WAITING = peers_waiting(schema.arrival, ARRIVAL_WAITS)
_WAITING_OF = select(_arrival.id, _arrival.attempts).where(ARRIVAL_WAITS, _arrival.peer == bindparam("sender"))
_FIRST_WAITING_OF = _WAITING_OF.order_by(_arrival.id).limit(MOST)


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
    ) -> PlacedJobs:
        """COMPLETE → ROUTED with every decision kept and jobs inserted, in one transaction. Returns what `jobs` became.

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
                return PlacedJobs()
            _overtake_parked(connection, row, now)
            placed = Placing(connection, row, jobs, now).place()
            for other, why in revised.items():
                revise(connection, other, why, now)
            if waits is not None:
                keep_open(connection, arrival, *waits, holds, now)
            return placed

    def standing(self, study: str, job: NewJob) -> dict[str, tuple[int, JobState]]:
        """By route of a job that routing is about to ask for, the job of the study that the route has or gets instead: one with findings
        that answer what it asks, or one that was cancelled; and its state."""
        with self._database.reading() as connection:
            return standing(connection, study, job)

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
            peers = connection.scalars(_PEERS_WAITING).all()
            if not peers:
                return []
            found = [connection.execute(_FIRST_WAITING_OF, {"sender": peer, "most": limit}).all() for peer in peers]
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
