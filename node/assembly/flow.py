"""The flow process: settle, route, deliver, and the index beside them; the clock ticks retention and signs of life."""

import contextlib
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from node.assembly import compose
from node.assembly.commitment import committing
from node.assembly.history import telling_history
from node.assembly.horizon import Everywhere, journaled_until
from node.assembly.hosts import host_of, owner_of
from node.assembly.identity import agree, refuse_other_places
from node.assembly.in_force import Followed
from node.assembly.index import indexing, telling
from node.assembly.notices import telling_people
from node.assembly.roles import shares_journal
from node.assembly.stages import Beat, Forgotten, Led, Ringing, Rounds, Swept
from node.blobs.port import Blobs, Inbox
from node.flow.backwards import Backwards
from node.flow.clock import Clock, Tick, turn
from node.flow.deliver import Deliver
from node.flow.marks import OldMarks
from node.flow.orphans import Orphans
from node.flow.patience import Patience
from node.flow.port import Stage
from node.flow.retention import Retention
from node.flow.route import RouteStage
from node.flow.settle import Settle
from node.flow.superseded import WithdrawalStage
from node.flow.unanswered import StatementStage
from node.journal.port import Journal
from node.settings.config import Config

_BEAT_EVERY = timedelta(seconds=10)
_RETAIN_EVERY = timedelta(seconds=30)
_MOVE_UP_EVERY = timedelta(seconds=10)
_STATE_EVERY = timedelta(seconds=5)
_SWEEP_COPIES_EVERY = timedelta(minutes=10)
_LOOK_FOR_ORPHANS_EVERY = timedelta(seconds=10)
_ROUND_S = 4 * 3600.0  # a listing of everything is dear, and nothing waits for what it finds
_FORGET_EVERY = timedelta(hours=1)
_LISTING_S = 3600.0


def flow(config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None) -> None:
    """Turn the stages until `stop`, then let deliveries under way finish; by the routes that `in_force` holds, where it changes.

    Of all flow processes on one journal one leads: it settles, routes and sweeps. Each empties its own host's spool, and all deliver.
    """
    refuse_other_places(config)
    blobs = compose.open_blobs(config)
    inbox = compose.open_inbox(config, blobs)
    owner = owner_of(config, os.getpid())
    with contextlib.closing(compose.open_journal(config)) as journal, contextlib.closing(journal.leader("flow")) as leader:
        agree(config, journal, blobs)
        sinks = {name: compose.open_sink(config, sink) for name, sink in config.sinks.items()}
        deliver = Deliver(journal, blobs, sinks, config, journal.now, owner)
        horizon = _horizon(config, journal, inbox)
        settle = Settle(journal, config, journal.now, lambda peer: compose.requestor(config, peer, brisk=True), horizon=horizon)
        route = RouteStage(
            journal,
            config,
            journal.now,
            lambda name: compose.engine_of(config, name),
            lambda name: compose.application(config, name),
            lambda name: compose.manifest(config, name),
        )
        route.blame()
        beat = Beat(journal, f"flow {owner}", journal.now)
        beat.step()
        clock = Clock(
            [
                Tick(stage=beat, every=_BEAT_EVERY),
                Tick(stage=Led(Retention(journal, blobs, config, journal.now), leader), every=_RETAIN_EVERY),
                Tick(stage=Led(Patience(journal, config, journal.now), leader), every=_MOVE_UP_EVERY),
                Tick(stage=Led(StatementStage(journal, config, journal.now), leader), every=_STATE_EVERY),
                Tick(stage=Led(WithdrawalStage(journal, config, journal.now), leader), every=_STATE_EVERY),
            ]
        )
        # a clock of its own: listing a large bucket must not keep the signs of life waiting
        slow = Clock(
            [
                Tick(
                    stage=Led(Rounds(Orphans(journal, inbox, blobs, journal.now), rest_s=_ROUND_S), leader), every=_LOOK_FOR_ORPHANS_EVERY
                ),
                Tick(stage=Led(Rounds(_old_marks(config, journal, blobs), rest_s=_ROUND_S), leader), every=_LOOK_FOR_ORPHANS_EVERY),
                Tick(stage=Swept(blobs), every=_SWEEP_COPIES_EVERY),
                Tick(stage=Led(Forgotten(journal, journal.now), leader), every=_FORGET_EVERY),
            ],
            most_s=_LISTING_S,
        )
        with (
            contextlib.closing(compose.bell(config, "flow")) as bell,
            contextlib.closing(compose.bell(config, "work")) as work,
            telling(config, journal, inbox),
            telling_history(config, journal, leader),
            telling_people(config, journal, leader),
            committing(config, journal, blobs, leader, horizon) as commitment,
        ):

            def wait(timeout_s: float) -> None:
                # no sweep too early, none late: a quiet window that ends between two sweeps would cost half a second on average
                bell.wait(settle.due_in_s(timeout_s) if leader.leads else timeout_s)

            clock.start()
            slow.start()
            try:
                # in a thread: neither a slow sink nor a sweep keeps a study from being seen, and a long batch keeps nothing from its sink
                with indexing(config, journal, inbox, blobs, bell, stop, in_force=in_force):
                    ready()
                    # among the stages, not on the clock that may have gone back
                    backwards = Backwards(journal, config, journal.now)
                    followed = Followed(config, in_force, [route, backwards])
                    stages: list[Stage] = [
                        followed,
                        Led(Ringing(backwards, work), leader),
                        Led(settle, leader),
                        Led(Ringing(route, work), leader),
                        deliver,
                        *commitment,
                    ]
                    turn(stages, wait, stop)
            finally:
                clock.stop()
                slow.stop()
                settle.close()
                deliver.close()


def _old_marks(config: Config, journal: Journal, blobs: Blobs) -> Stage:
    return OldMarks(blobs, journal.now, keep=config.store.keep_headers)


def _horizon(config: Config, journal: Journal, inbox: Inbox) -> Callable[[], datetime | None]:
    """Up to when everything received is journaled: here alone, or on every host."""
    spool = config.store.spool or config.store.blobs

    def here() -> datetime | None:
        return journaled_until(journal, inbox, spool)

    return Everywhere(journal, here, host_of(config)) if shares_journal(config) else here
