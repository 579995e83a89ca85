"""The flow process: index, settle, route, deliver; the clock ticks retention and signs of life."""

import contextlib
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from node.assembly import compose
from node.assembly.family import owner_of
from node.assembly.stages import Beat, Paced, Ringing
from node.blobs.port import Inbox
from node.flow.clock import Clock, Tick, turn
from node.flow.deliver import Deliver
from node.flow.index import Index
from node.flow.port import Stage
from node.flow.retention import Retention
from node.flow.route import RouteStage
from node.flow.settle import Settle
from node.settings.config import Config

_BEAT_EVERY = timedelta(seconds=10)
_RETAIN_EVERY = timedelta(seconds=30)
_INDEX_EVERY_S = 0.1


def _now() -> datetime:
    return datetime.now(UTC)


def flow(config: Config, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Turn the stages until `stop`, then let deliveries under way finish."""
    inbox = compose.open_inbox(config)
    blobs = compose.open_blobs(config)
    with contextlib.closing(compose.open_journal(config)) as journal:
        sinks = {name: compose.open_sink(config, sink) for name, sink in config.sinks.items()}
        deliver = Deliver(journal, blobs, sinks, config, _now, owner_of(os.getpid()))
        settle = Settle(
            journal, config, _now, lambda peer: compose.requestor(config, peer, brisk=True), horizon=lambda: _journaled_until(inbox)
        )
        route = RouteStage(
            journal, config, _now, lambda name: compose.engine_of(config, name), lambda name: compose.application(config, name)
        )
        index = Paced(Index(journal, inbox, blobs, config, _now), every_s=_INDEX_EVERY_S)
        beat = Beat(journal, f"flow {owner_of(os.getpid())}", _now)
        beat.step()
        clock = Clock(
            [
                Tick(stage=beat, every=_BEAT_EVERY),
                Tick(stage=Retention(journal, blobs, config, _now), every=_RETAIN_EVERY),
            ]
        )
        clock.start()
        ready()
        bell = compose.bell(config, "flow")
        try:
            stages: list[Stage] = [index, settle, Ringing(route, compose.bell(config, "work")), deliver]
            # no sweep too early, none late: a quiet window that ends between two sweeps would cost half a second on average
            turn(stages, lambda timeout_s: bell.wait(settle.due_in_s(timeout_s)), stop)
        finally:
            clock.stop()
            settle.close()
            deliver.close()


def _journaled_until(inbox: Inbox) -> datetime | None:
    """The moment before which everything received is in the journal: when the oldest entry of the inbox came; None: all of it is."""
    for entry in inbox.waiting(1):
        with contextlib.suppress(FileNotFoundError):
            return datetime.fromtimestamp(entry.stat().st_mtime, UTC)
    return None
