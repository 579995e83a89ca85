"""The flow process: index, settle, route, deliver; the clock ticks retention and signs of life. And the index process, which only
empties the spool of a host that receives and does nothing else."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from node.assembly import compose
from node.assembly.horizon import Everywhere, Telling, journaled_until
from node.assembly.hosts import host_of, make_run_folder, owner_of
from node.assembly.roles import shares_journal
from node.assembly.stages import Alone, Beat, Paced, Ringing, Swept
from node.blobs.port import Blobs, Inbox
from node.domain.errors import JournalError
from node.flow.clock import Clock, Tick, turn
from node.flow.deliver import Deliver
from node.flow.index import Index
from node.flow.port import Stage
from node.flow.retention import Retention
from node.flow.route import RouteStage
from node.flow.settle import Settle
from node.journal.port import Journal
from node.settings.config import Config

_BEAT_EVERY = timedelta(seconds=10)
_RETAIN_EVERY = timedelta(seconds=30)
_SWEEP_COPIES_EVERY = timedelta(minutes=10)
_TELL_EVERY = timedelta(seconds=1)
_INDEX_EVERY_S = 0.1


def _now() -> datetime:
    return datetime.now(UTC)


def flow(config: Config, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Turn the stages until `stop`, then let deliveries under way finish."""
    blobs = compose.open_blobs(config)
    inbox = compose.open_inbox(config, blobs)
    owner = owner_of(config, os.getpid())
    with contextlib.closing(compose.open_journal(config)) as journal:
        sinks = {name: compose.open_sink(config, sink) for name, sink in config.sinks.items()}
        deliver = Deliver(journal, blobs, sinks, config, _now, owner)
        settle = Settle(
            journal,
            config,
            _now,
            lambda peer: compose.requestor(config, peer, brisk=True),
            horizon=_horizon(config, journal, inbox),
        )
        route = RouteStage(
            journal, config, _now, lambda name: compose.engine_of(config, name), lambda name: compose.application(config, name)
        )
        index = _index(config, journal, inbox, blobs)
        beat = Beat(journal, f"flow {owner}", _now)
        beat.step()
        clock = Clock(
            [
                Tick(stage=beat, every=_BEAT_EVERY),
                Tick(stage=Retention(journal, blobs, config, _now), every=_RETAIN_EVERY),
                Tick(stage=Swept(blobs), every=_SWEEP_COPIES_EVERY),
            ]
        )
        bell = compose.bell(config, "flow")
        with _telling(config, journal, inbox):
            clock.start()
            ready()
            try:
                stages: list[Stage] = [index, settle, Ringing(route, compose.bell(config, "work")), deliver]
                # no sweep too early, none late: a quiet window that ends between two sweeps would cost half a second on average
                turn(stages, lambda timeout_s: bell.wait(settle.due_in_s(timeout_s)), stop)
            finally:
                clock.stop()
                settle.close()
                deliver.close()


def index(config: Config, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Bring what this host receives to the blobs and into the journal, until `stop`."""
    blobs = compose.open_blobs(config)
    inbox = compose.open_inbox(config, blobs)
    with contextlib.closing(compose.open_journal(config)) as journal:
        beat = Beat(journal, f"index {owner_of(config, os.getpid())}", _now)
        beat.step()
        clock = Clock([Tick(stage=beat, every=_BEAT_EVERY), Tick(stage=Swept(blobs), every=_SWEEP_COPIES_EVERY)])
        bell = compose.bell(config, "flow")  # the listener rings it, whoever empties the spool
        with _telling(config, journal, inbox):
            clock.start()
            ready()
            try:
                turn([_index(config, journal, inbox, blobs)], bell.wait, stop)
            finally:
                clock.stop()


def _index(config: Config, journal: Journal, inbox: Inbox, blobs: Blobs) -> Stage:
    paced = Paced(Index(journal, inbox, blobs, config, _now), every_s=_INDEX_EVERY_S)
    # of the families that share a host's spool one empties it
    return Alone(paced, make_run_folder(config) / "spool.lock")


def _horizon(config: Config, journal: Journal, inbox: Inbox) -> Callable[[], datetime | None]:
    """Up to when everything received is journaled: here alone, or on every host."""

    def here() -> datetime | None:
        return journaled_until(inbox)

    return Everywhere(journal, here, host_of(config), _now) if shares_journal(config) else here


@contextlib.contextmanager
def _telling(config: Config, journal: Journal, inbox: Inbox) -> Iterator[None]:
    """Tell other hosts how far this one's spool is journaled, where there may be any."""
    if not shares_journal(config):
        yield
        return
    telling = Telling(journal, inbox, host_of(config), _now)
    with contextlib.suppress(JournalError):  # it is told again in a second
        telling.step()
    # a clock of its own: a sweep that takes long must not make this host look dead
    clock = Clock([Tick(stage=telling, every=_TELL_EVERY)])
    clock.start()
    try:
        yield
    finally:
        clock.stop()
        telling.leave()
