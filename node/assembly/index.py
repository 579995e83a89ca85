"""Emptying the spool of this host into the journal: a thread of the flow process, or the index process of a host that only receives."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from node.assembly import compose
from node.assembly.configuration import load
from node.assembly.roles import shares_journal
from node.blobs.port import Blobs
from node.commitment.inbox import CommitmentInboxStage
from node.domain.errors import JournalError
from node.domain.stage import Stage
from node.flow.index import BATCH, IndexStage, ShortfallStage
from node.flow.scheduling import LockedStage, PacedStage, Scheduler, Tick, WakingStage, turn
from node.journal.journal import Journal
from node.journal.wake_up import WakeUps
from node.settings.config import Config
from node.spool.horizon import HorizonStage
from node.spool.port import Inbox
from node.store.hosts import host_of, make_run_folder, owner_of
from node.store.identity import agree, refuse_other_places
from node.store.in_force import AdoptingStage, Adopts, ConfigInForce
from node.upkeep.sweeps import HeartbeatStage, SweepCopiesStage

_BEAT_EVERY = timedelta(seconds=10)
_SWEEP_COPIES_EVERY = timedelta(minutes=10)
_TELL_EVERY = timedelta(seconds=1)
_EVERY_S = 0.1
_STREAM_EVERY_S = 0.5
"""Half a second of what streams in costs a third of the processor time of five tenths of a second, and people see a study soon enough."""
_STREAM = 20
_BURST = 1
"""Instances that stream in keep no refusal waiting: the stages take turns step by step."""


def index(config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None) -> None:
    """Bring what this host receives to the blobs and into the journal, until `stop`, and do nothing else."""
    refuse_other_places(config)
    blobs = compose.open_blobs(config)
    inbox = compose.open_inbox(config, blobs)
    with contextlib.closing(compose.open_journal(config)) as journal:
        agree(config, journal, blobs)
        beat = HeartbeatStage(journal, f"index {owner_of(config, os.getpid())}", journal.now, config)
        beat.step()
        clock = Scheduler([Tick(stage=beat, every=_BEAT_EVERY), Tick(stage=SweepCopiesStage(blobs), every=_SWEEP_COPIES_EVERY)])
        with (
            contextlib.closing(compose.local_wake_up(config, "index")) as woken,
            contextlib.closing(compose.wake_up(config, "flow")) as others,
            telling(config, journal, inbox),
        ):
            clock.start()
            ready()
            try:
                turn(
                    [WakingStage(stage, others) for stage in _stages(config, journal, inbox, blobs, in_force, beat)],
                    woken.wait,
                    stop,
                    burst=_BURST,
                )
            finally:
                clock.stop()


@contextlib.contextmanager
def indexing(
    config: Config,
    journal: Journal,
    inbox: Inbox,
    blobs: Blobs,
    others: WakeUps,
    stop: threading.Event,
    *,
    in_force: Path | None = None,
) -> Iterator[None]:
    """Do the same in a thread beside the block, until its end, and wake `others` when something came.

    A defect in the thread sets `stop`, which is to end the block, and is raised there: the process ends as if the block had it.
    """
    done = threading.Event()
    stages = [WakingStage(stage, others) for stage in _stages(config, journal, inbox, blobs, in_force)]
    with (
        contextlib.closing(compose.local_wake_up(config, "index")) as woken,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="index") as beside,
    ):
        turning = beside.submit(turn, stages, woken.wait, done, burst=_BURST)
        turning.add_done_callback(lambda _: stop.set())  # before the block is done it ends by a defect only
        try:
            yield
        finally:
            done.set()
        turning.result()


@contextlib.contextmanager
def telling(config: Config, journal: Journal, inbox: Inbox) -> Iterator[None]:
    """Tell other hosts how far this one's spool is journaled, where there may be any."""
    if not shares_journal(config):
        yield
        return
    horizon = HorizonStage(journal, inbox, config.store.spooled, host_of(config))
    with contextlib.suppress(JournalError):  # it is told again in a second
        horizon.step()
    # a clock of its own: a sweep that takes long must not make this host look dead
    clock = Scheduler([Tick(stage=horizon, every=_TELL_EVERY)])
    clock.start()
    try:
        yield
    finally:
        clock.stop()
        horizon.leave()


def _stages(config: Config, journal: Journal, inbox: Inbox, blobs: Blobs, in_force: Path | None, *more: Adopts) -> list[Stage]:
    index = IndexStage(journal, inbox, blobs, config, journal.now)
    paced = PacedStage(index, every_s=_EVERY_S, stream_every_s=_STREAM_EVERY_S, stream=_STREAM, full=BATCH)
    # of the supervisors that share a host's spool one empties it
    commitment = CommitmentInboxStage(journal, compose.open_commitment_inbox(config), config, journal.now)
    # before the instances: no study settles whose last word is that one of them was refused
    shortfalls = ShortfallStage(journal, compose.open_shortfalls(config), journal.now)
    followed = ConfigInForce(config, in_force, [index, commitment, *more], load=load)
    run = make_run_folder(config)
    stages = [
        LockedStage(shortfalls, run / "owed.lock"),
        LockedStage(paced, run / "spool.lock"),
        LockedStage(commitment, run / "slips.lock"),
    ]
    return [AdoptingStage(stage, followed) for stage in stages]
