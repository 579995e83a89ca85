"""The console's process: the journal, the blobs, and what answers browsers."""

import contextlib
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.assembly import compose
from node.assembly.audit import open_trail, process_of
from node.assembly.configuration import load
from node.assembly.doctor.glance import glance
from node.assembly.health import subjects
from node.console.context import StudyAccessAudit
from node.console.edited_routes import EditedRoutes
from node.console.errors import ConsoleAbsent
from node.console.trials import Trials
from node.flow.scheduling import Scheduler, Tick
from node.journal.pauses import pausable
from node.journal.port import Pausable
from node.observe.association_log import kept_lines
from node.records.senders import sender_records
from node.settings.config import Config
from node.store.hosts import association_folder, owner_of, sinks_of
from node.upkeep.room import make_room
from node.upkeep.sweeps import HeartbeatStage

if TYPE_CHECKING:
    from node.journal.journal import Journal

_BEAT_EVERY = timedelta(seconds=10)


_NEEDED: Final = ("fastapi", "uvicorn", "jinja2", "argon2", "markdown_it")


def demand_console() -> None:
    """Refuse where what the console is made of is not installed; nothing is imported.

    Raises
    ------
    ConsoleAbsent
    """
    absent = [name for name in _NEEDED if find_spec(name) is None]
    if absent:
        raise ConsoleAbsent(f"the console needs {', '.join(absent)}")


def console(config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None) -> None:
    """Answer operators until `stop`; `in_force` is where the configuration in force lies.

    Raises
    ------
    ConsoleAbsent
        What it is made of is not installed.
    """
    demand_console()
    from node.assembly.own_receiver import OwnReceiverOf
    from node.console.context import ConsoleContext
    from node.console.health import Health, SharedLook
    from node.console.images.gallery import Gallery
    from node.console.server import serve

    assert config.console is not None, "the supervisor starts a console only where the configuration has one"
    with contextlib.ExitStack() as opened:
        journal = opened.enter_context(contextlib.closing(compose.open_journal(config)))
        trials = opened.enter_context(contextlib.closing(trials_of(config)))
        blobs = compose.open_blobs(config)
        context = ConsoleContext(
            journal=journal,
            settings=config.console,
            gallery=Gallery(journal, blobs),
            accesses=_accesses(config, journal, opened),
            health=Health(list(subjects(config)), lambda: glance(config, journal)),
            senders=SharedLook(partial(sender_records, journal, list(config.peers))),
            models=config.models,
            editing=edited_routes(config, in_force, trials),
            peers=config.peers,
            associations=SharedLook(lambda: list(kept_lines(association_folder(config)))),
            sinks_of=partial(sinks_of, config),
            make_room=partial(make_room, config, journal, blobs),
            pausable=_PausableNow(config, in_force),
            receiver=OwnReceiverOf(config),
        )
        context.health.look()  # whoever comes first finds it looked at
        context.health.look_at_node()
        beat = HeartbeatStage(journal, f"console {owner_of(config, os.getpid())}", journal.now)
        beat.step()
        clock = Scheduler([Tick(stage=beat, every=_BEAT_EVERY)])
        clock.start()
        try:
            serve(context, stop, ready=ready)
        finally:
            clock.stop()


def trials_of(config: Config) -> Trials:
    """What tries edited routes out, each time in a process of its own."""
    return Trials(config.path, "node.assembly.trial_process")


def edited_routes(config: Config, in_force: Path | None, trials: Trials) -> EditedRoutes:
    """What the page of routes may do with the file of the configuration."""
    return EditedRoutes(config, in_force, trials, load=load, demand=compose.demand_own_series_numbers)


class _PausableNow:
    """Names that may be paused, as the configuration in force has them: routes change while the console runs."""

    def __init__(self, config: Config, in_force: Path | None) -> None:
        self._config = config
        self._in_force = in_force
        self._known = pausable(config)
        self._text: bytes | None = None
        self._guard = threading.Lock()

    def __call__(self) -> dict[Pausable, list[str]]:
        with self._guard:
            text = self._text
            if self._in_force is not None:
                with contextlib.suppress(OSError):  # somebody tidied it away: the supervisor puts it there again
                    text = self._in_force.read_bytes()
            if text is not None and text != self._text:
                self._known, self._text = pausable(load(self._config.path, text=text)), text
            return self._known


def _accesses(config: Config, journal: "Journal", opened: contextlib.ExitStack) -> StudyAccessAudit:
    trail = open_trail(config)
    if trail is None:
        return StudyAccessAudit(journal)
    opened.callback(trail.close)
    return StudyAccessAudit(journal, trail.tell, process=process_of(config, "console"), ae_titles=config.node.ae_titles)
