"""The work process: claims jobs, infers, encodes; one job at a time, as many processes as `node: {workers: …}` says."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from inference.applications.port import Application
from inference.imaging.ahead import decode_ahead
from inference.imaging.remembered import Remembered, remember_in
from inference.imaging.subjects import subjects
from node.assembly import compose
from node.assembly.hosts import make_run_folder, owner_of
from node.assembly.identity import agree, refuse_other_places
from node.assembly.in_force import Followed
from node.assembly.sealing import keep_temporaries_in_memory
from node.assembly.stages import Beat, Ringing, Swept, SweptFrames
from node.blobs.port import Blobs
from node.blobs.sealing.sealing import Sealing
from node.flow.ahead import Ahead
from node.flow.clock import Clock, Tick, turn
from node.flow.engines import Engines
from node.flow.infer import Analyst
from node.flow.measured import measured
from node.flow.runner import Runner
from node.journal.port import Journal
from node.results.encode import encode
from node.results.statement.statement import encode_statement
from node.results.withdrawal.withdrawal import encode_withdrawal
from node.settings.config import Config

_BEAT_EVERY = timedelta(seconds=10)
_SWEEP_COPIES_EVERY = timedelta(minutes=10)
_SWEEP_FRAMES_EVERY = timedelta(minutes=1)
_FRAMES = "ahead"
_SHARE_OF_MEMORY = 4
"""Decoded frames get no more than a quarter of what encrypted files may have, and that beside it."""


def work(config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None) -> None:
    """Work off jobs until `stop`; the job under way is finished."""

    def application_of(name: str) -> Application:
        return compose.application(config, name)

    engines = Engines(config, lambda name: measured(name, lambda: compose.open_engine(config, name)), application_of)

    refuse_other_places(config)
    blobs = compose.open_blobs(config)
    sealing = compose.sealing_of(blobs)
    if sealing is not None:
        keep_temporaries_in_memory(sealing)
    with contextlib.closing(compose.open_journal(config)) as journal, contextlib.closing(engines):
        agree(config, journal, blobs)
        runner = Runner(
            journal,
            blobs,
            config,
            journal.now,
            owner_of(config, os.getpid()),
            Analyst(config, application_of, engines.of),
            encode,
            encode_statement=encode_statement,
            encode_withdrawal=encode_withdrawal,
            assemble=subjects,
            application_of=application_of,
            away=engines.away,
            at_once=engines.at_once,
        )
        beat = Beat(journal, f"work {owner_of(config, os.getpid())}", journal.now)
        beat.step()
        ticks = [Tick(stage=beat, every=_BEAT_EVERY), Tick(stage=Swept(blobs), every=_SWEEP_COPIES_EVERY)]
        memory = memory_of(config) if sealing is None else sealed_memory_of(config, sealing)
        if memory is not None:
            ticks.append(Tick(stage=SweptFrames(memory.sweep), every=_SWEEP_FRAMES_EVERY))
        clock = Clock(ticks)
        ahead = None if memory is None else _ahead(config, journal, blobs, memory, plain=sealing is None)
        followed = Followed(config, in_force, [engines, *([] if ahead is None else [ahead])])
        with contextlib.closing(compose.bell(config, "work")) as bell, contextlib.closing(compose.bell(config, "flow")) as flow:

            def wait(timeout_s: float) -> None:
                bell.wait(timeout_s if ahead is None or ahead.idle else 0.0)

            clock.start()
            ready()
            try:
                turn([followed, Ringing(runner, flow), *([] if ahead is None else [ahead])], wait, stop)
            finally:
                clock.stop()


def memory_of(config: Config) -> Remembered | None:
    """Where decoded frames are kept; None, and nothing is left of those that were, where the configuration gives them no room."""
    folder = make_run_folder(config) / _FRAMES
    if not config.node.ahead_bytes:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    memory = remember_in(folder, most_bytes=config.node.ahead_bytes, min_free_bytes=2 * config.store.min_free_bytes)
    with contextlib.suppress(OSError):
        memory.sweep()
    return memory


def sealed_memory_of(config: Config, sealing: Sealing) -> Remembered | None:
    """The same where nothing decoded may lie on the disk: in memory, as long as as much is left there as encrypted files may need."""
    shutil.rmtree(make_run_folder(config) / _FRAMES, ignore_errors=True)  # of the time before
    encryption = config.store.encryption
    if not config.node.ahead_bytes or encryption is None:
        return None
    most_bytes = min(config.node.ahead_bytes, encryption.memory_bytes // _SHARE_OF_MEMORY)
    return remember_in(sealing.memory.folder(_FRAMES), most_bytes=most_bytes, min_free_bytes=encryption.memory_bytes)


def _ahead(config: Config, journal: Journal, blobs: Blobs, memory: Remembered, *, plain: bool) -> Ahead:
    """What reads and decodes while studies come in; not `plain` where a whole file would have to be opened in memory for its header."""
    return Ahead(journal, blobs, config.routes, journal.now, lambda path: decode_ahead(path, memory), plain=plain)
