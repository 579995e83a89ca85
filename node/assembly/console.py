"""The console's process: the journal, the blobs, and what answers browsers."""

import contextlib
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from node.assembly import compose
from node.assembly.audit import open_trail, process_of
from node.assembly.editing import EditedRoutes
from node.assembly.health import subjects
from node.assembly.hosts import owner_of
from node.assembly.stages import HeartbeatStage
from node.assembly.trials import Trials
from node.console.access_audit import StudyAccessAudit
from node.console.errors import ConsoleAbsent
from node.flow.scheduling import Scheduler, Tick
from node.settings.config import Config

if TYPE_CHECKING:
    from node.journal.journal import Journal

_BEAT_EVERY = timedelta(seconds=10)


def console(config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None) -> None:
    """Answer operators until `stop`; `in_force` is where the configuration in force lies.

    Raises
    ------
    ConsoleAbsent
        What it is made of is not installed.
    """
    try:
        from node.console.context import ConsoleContext
        from node.console.health import Health
        from node.console.images.gallery import Gallery
        from node.console.server import serve
    except ModuleNotFoundError as absent:
        raise ConsoleAbsent(f"the console needs {absent.name}") from absent
    assert config.console is not None, "the supervisor starts a console only where the configuration has one"
    with contextlib.ExitStack() as opened:
        journal = opened.enter_context(contextlib.closing(compose.open_journal(config)))
        trials = opened.enter_context(contextlib.closing(Trials(config.path)))
        context = ConsoleContext(
            journal=journal,
            settings=config.console,
            gallery=Gallery(journal, compose.open_blobs(config)),
            accesses=_accesses(config, journal, opened),
            health=Health(list(subjects(config))),
            models=config.models,
            editing=EditedRoutes(config, in_force, trials),
            peers=config.peers,
        )
        beat = HeartbeatStage(journal, f"console {owner_of(config, os.getpid())}", journal.now)
        beat.step()
        clock = Scheduler([Tick(stage=beat, every=_BEAT_EVERY)])
        clock.start()
        try:
            serve(context, stop, ready=ready)
        finally:
            clock.stop()


def _accesses(config: Config, journal: "Journal", opened: contextlib.ExitStack) -> StudyAccessAudit:
    trail = open_trail(config)
    if trail is None:
        return StudyAccessAudit(journal)
    opened.callback(trail.close)
    return StudyAccessAudit(journal, trail.tell, process=process_of(config, "console"), ae_titles=config.node.ae_titles)
