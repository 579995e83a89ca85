"""The flow process: settle, route, deliver, and the index beside them; the clock ticks retention and signs of life."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from node.assembly import compose
from node.assembly.audit import open_trail, process_of
from node.assembly.configuration import load
from node.assembly.index import indexing, telling
from node.assembly.notices import messengers, telling_people
from node.assembly.roles import shares_journal
from node.blobs.port import Blobs
from node.commitment.scp import CommitmentScp
from node.commitment.scu import CommitmentScu
from node.domain.stage import Stage
from node.flow.clock_step import ClockStep
from node.flow.deliver import DeliverStage
from node.flow.route import RouteStage
from node.flow.scheduling import LeaderStage, RestingStage, Scheduler, Tick, WakingStage, turn
from node.flow.settle import SettleStage
from node.journal.journal import Journal
from node.journal.port import Leader
from node.observe.audit.trail import Trail
from node.observe.spans import OtlpExporter, SpanExporter
from node.settings.config import Config, SinkSettings
from node.settings.kinds import is_loopback
from node.settings.observe import Traces
from node.spool.horizon import HorizonOfAllHosts, journaled_until
from node.spool.port import Inbox
from node.store.hosts import host_of, owner_of
from node.store.identity import agree, refuse_other_places
from node.store.in_force import AdoptingStage, Adopts, ConfigInForce, Present, RebuiltStage
from node.upkeep.archive_notes import StatementStage, WithdrawalStage
from node.upkeep.audit import AuditStage
from node.upkeep.notices import follower_of
from node.upkeep.orphans import Orphans
from node.upkeep.retention import OldDeliveryMarks, Retention
from node.upkeep.sweeps import ForgetStage, HeartbeatStage, PriorityAging, SweepCopiesStage
from node.upkeep.traces import TraceStage

if TYPE_CHECKING:
    from node.dimse.requestor.commitment import PeerCommitment


_BEAT_EVERY = timedelta(seconds=10)
_RETAIN_EVERY = timedelta(seconds=30)
_MOVE_UP_EVERY = timedelta(seconds=10)
_STATE_EVERY = timedelta(seconds=5)
_SWEEP_COPIES_EVERY = timedelta(minutes=10)
_LOOK_FOR_ORPHANS_EVERY = timedelta(seconds=10)
_ROUND_S = 4 * 3600.0  # a listing of everything is dear, and nothing waits for what it finds
_FORGET_EVERY = timedelta(hours=1)
_LISTING_S = 3600.0
_TELL_EVERY = timedelta(seconds=1)


def flow(config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None) -> None:
    """Turn the stages until `stop`, then let deliveries under way finish; by the configuration that `in_force` holds, where it
    changes.

    Of all flow processes on one journal one leads: it settles, routes and sweeps. Each empties its own host's spool, and all deliver.
    """
    refuse_other_places(config)
    blobs = compose.open_blobs(config)
    inbox = compose.open_inbox(config, blobs)
    owner = owner_of(config, os.getpid())
    with contextlib.closing(compose.open_journal(config)) as journal, contextlib.closing(journal.leader("flow")) as leader:
        agree(config, journal, blobs)
        present = Present(config)
        sinks = OpenSinks(config)
        deliver = DeliverStage(journal, blobs, lambda: sinks.by_name, config, journal.now, owner)
        horizon = _horizon(config, journal, inbox)
        settle = SettleStage(
            journal, config, journal.now, lambda peer: compose.requestor(present.config, peer, brisk=True), horizon=horizon
        )
        route = RouteStage(
            journal,
            config,
            journal.now,
            lambda name: compose.engine_of(present.config, name),
            lambda name: compose.served(present.config, name),
            lambda name: compose.manifest(present.config, name),
        )
        route.blame()
        beat = HeartbeatStage(journal, f"flow {owner}", journal.now, config)
        beat.step()
        retention = Retention(journal.retention, blobs, config, journal.now, followers=lambda: followers(present.config))
        clock = Scheduler(
            [
                Tick(stage=beat, every=_BEAT_EVERY),
                Tick(stage=LeaderStage(retention, leader), every=_RETAIN_EVERY),
                *(
                    Tick(stage=LeaderStage(RebuiltStage(present, build), leader), every=every)
                    for build, every in (
                        (lambda config: PriorityAging(journal.jobs, config, journal.now), _MOVE_UP_EVERY),
                        (lambda config: StatementStage(journal, config, journal.now), _STATE_EVERY),
                        (lambda config: WithdrawalStage(journal, config, journal.now), _STATE_EVERY),
                    )
                ),
            ]
        )
        # a clock of its own: listing a large bucket must not keep the signs of life waiting
        slow = Scheduler(
            [
                Tick(
                    stage=LeaderStage(RestingStage(Orphans(journal, inbox, blobs, journal.now), rest_s=_ROUND_S), leader),
                    every=_LOOK_FOR_ORPHANS_EVERY,
                ),
                Tick(
                    stage=LeaderStage(RestingStage(_old_marks(config, journal, blobs), rest_s=_ROUND_S), leader),
                    every=_LOOK_FOR_ORPHANS_EVERY,
                ),
                Tick(stage=SweepCopiesStage(blobs), every=_SWEEP_COPIES_EVERY),
                Tick(stage=LeaderStage(ForgetStage(journal, journal.now), leader), every=_FORGET_EVERY),
            ],
            most_s=_LISTING_S,
        )
        with (
            contextlib.closing(compose.wake_up(config, "flow")) as woken,
            contextlib.closing(compose.wake_up(config, "work")) as work,
            telling(config, journal, inbox),
            telling_history(present, journal, leader),
            telling_people(present, journal, leader),
            tracing(present, journal, leader),
            committing(present, journal, blobs, horizon) as commitment,
        ):

            def wait(timeout_s: float) -> None:
                # no sweep too early, none late: a quiet window that ends between two sweeps would cost half a second on average
                woken.wait(settle.due_in_s(timeout_s) if leader.leads else timeout_s)

            clock.start()
            slow.start()
            try:
                # in a thread: neither a slow sink nor a sweep keeps a study from being seen, and a long batch keeps nothing from its sink
                with indexing(config, journal, inbox, blobs, woken, stop, in_force=in_force):
                    ready()
                    # among the stages, not on the clock that may have gone back
                    backwards = ClockStep(journal.processes, config, journal.now)
                    those: list[Adopts] = [present, route, backwards, settle, sinks, deliver, *commitment, beat]
                    followed = ConfigInForce(config, in_force, those, load=load)
                    stages: list[Stage] = [
                        LeaderStage(WakingStage(backwards, work), leader),
                        LeaderStage(settle, leader),
                        LeaderStage(WakingStage(route, work), leader),
                        deliver,
                        *(LeaderStage(one, leader) for one in commitment),
                    ]
                    turn([AdoptingStage(stage, followed) for stage in stages], wait, stop)
            finally:
                clock.stop()
                slow.stop()
                settle.close()
                deliver.close()


class OpenSinks:
    """The sinks of the configuration, by name; one that is the same in another configuration, its peer too, stays as it is."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.by_name = {name: compose.open_sink(config, sink) for name, sink in config.sinks.items()}

    def adopt(self, config: Config) -> None:
        """Open those that are new or other than before."""
        before = self._config
        self.by_name = {
            name: self.by_name[name] if self._stands(sink, before, config) else compose.open_sink(config, sink)
            for name, sink in config.sinks.items()
        }
        self._config = config

    @staticmethod
    def _stands(sink: SinkSettings, before: Config, now: Config) -> bool:
        known = before.sinks.get(sink.name)
        if known is None or known.destination != sink.destination:
            return False
        return sink.peer is None or before.peers[sink.peer] == now.peers[sink.peer]


def _old_marks(config: Config, journal: Journal, blobs: Blobs) -> Stage:
    return OldDeliveryMarks(blobs, journal.now, keep=config.store.keep_headers)


def _horizon(config: Config, journal: Journal, inbox: Inbox) -> Callable[[], datetime | None]:
    """Up to when everything received is journaled: here alone, or on every host."""
    spool = config.store.spooled

    def here() -> datetime | None:
        return journaled_until(journal, inbox, spool)

    return HorizonOfAllHosts(journal, here, host_of(config)) if shares_journal(config) else here


@contextlib.contextmanager
def telling_history(present: Present, journal: Journal, leader: Leader) -> Iterator[None]:
    """Follow the journal's history while the block runs, and this process leads.

    On a clock of its own: neither a slow disk nor a long history may keep other sweeps waiting.
    """
    trail = open_trail(present.config)
    if trail is None:
        yield
        return
    audit_stage(present.config, journal, trail).begin()
    stage = RebuiltStage(present, lambda config: audit_stage(config, journal, trail))
    clock = Scheduler([Tick(stage=LeaderStage(stage, leader), every=_TELL_EVERY)])
    clock.start()
    try:
        yield
    finally:
        clock.stop()
        trail.close()


@contextlib.contextmanager
def tracing(present: Present, journal: Journal, leader: Leader) -> Iterator[None]:
    """Tell a collector of traces what studies wait for, while the block runs, this process leads, and somebody wants it.

    On a clock of its own: a collector that is slow keeps nothing waiting.
    """
    telling = Tracing(present, journal)
    clock = Scheduler([Tick(stage=LeaderStage(telling, leader), every=_TELL_EVERY)])
    clock.start()
    try:
        yield
    finally:
        clock.stop()
        telling.close()


class Tracing:
    """The stage of traces as the configuration of now wants it; none where it wants none."""

    name = TraceStage.name

    def __init__(self, present: Present, journal: Journal) -> None:
        self._present = present
        self._journal = journal
        self._wanted: Traces | None = None
        self._stage: TraceStage | None = None

    def step(self) -> int:
        """Step it, made anew where something else is wanted."""
        config = self._present.config
        if (wanted := config.observe.traces) != self._wanted:
            self.close()
            self._wanted, self._stage = wanted, None if wanted is None else trace_stage(config, wanted, self._journal)
        return 0 if self._stage is None else self._stage.step()

    def close(self) -> None:
        """Tell nothing more."""
        if self._stage is not None:
            self._stage.close()


def trace_stage(config: Config, wanted: Traces, journal: Journal) -> TraceStage:
    """What tells the collector; of what happens from now on, where nobody was told before."""

    def exporter() -> SpanExporter:
        proxied = not is_loopback(urlsplit(wanted.otlp).hostname or "")
        return OtlpExporter(wanted.otlp, host=host_of(config), version=version("hilum"), proxied=proxied)

    stage = TraceStage(journal, journal.now, wanted.sample, exporter)
    stage.begin()
    return stage


def followers(config: Config) -> list[str]:
    """Under which names the history is followed that this configuration has told to somebody."""
    return [*([] if config.audit.folder is None else [AuditStage.name]), *(follower_of(name) for name in messengers(config))]


def audit_stage(config: Config, journal: Journal, trail: Trail) -> AuditStage:
    """What tells the history."""
    return AuditStage(journal, config, journal.now, trail.write, partial(compose.recipient, config), process=process_of(config, "flow"))


@contextlib.contextmanager
def committing(
    present: Present, journal: Journal, blobs: Blobs, horizon: Callable[[], datetime | None]
) -> Iterator[tuple[CommitmentScu, CommitmentScp]]:
    """The stages of storage commitment in both roles, for the block; of all flow processes the leader alone steps them."""

    def committer(peer: str) -> "PeerCommitment":
        return compose.committer(present.config, peer, journal.now)

    config = present.config
    asks = CommitmentScu(journal.commitments, config, journal.now, committer, compose.open_commitment_inbox(config))
    answers = CommitmentScp(journal.commitment_requests, journal.instances, blobs, config, journal.now, committer, horizon=horizon)
    try:
        yield asks, answers
    finally:
        asks.close()
        answers.close()
