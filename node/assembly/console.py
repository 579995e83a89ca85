"""The console's process: the journal, and what answers browsers."""

import contextlib
import os
import threading
from collections.abc import Callable
from datetime import timedelta

from node.assembly import compose
from node.assembly.hosts import owner_of
from node.assembly.stages import Beat
from node.console.errors import ConsoleAbsent
from node.flow.clock import Clock, Tick
from node.settings.config import Config

_BEAT_EVERY = timedelta(seconds=10)


def console(config: Config, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Answer operators until `stop`.

    Raises
    ------
    ConsoleAbsent
        What it is made of is not installed.
    """
    try:
        from node.console.server import serve
    except ModuleNotFoundError as absent:
        raise ConsoleAbsent(f"the console needs {absent.name}") from absent
    assert config.console is not None, "the family starts a console only where the configuration has one"
    with contextlib.closing(compose.open_journal(config)) as journal:
        beat = Beat(journal, f"console {owner_of(config, os.getpid())}", journal.now)
        beat.step()
        clock = Clock([Tick(stage=beat, every=_BEAT_EVERY)])
        clock.start()
        try:
            serve(config.console, journal, stop, ready=ready)
        finally:
            clock.stop()
