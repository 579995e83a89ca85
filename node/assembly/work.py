"""The work process: claims jobs, infers, encodes; one job at a time, as many processes as `node: {workers: …}` says."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inference.applications.container.run_folder import clear_left_behind
from inference.imaging.decode_ahead import decode_ahead
from inference.imaging.frame_cache import FrameCache
from inference.imaging.header import ReadAhead
from inference.imaging.subjects import subjects
from node.assembly import compose
from node.assembly.configuration import load
from node.blobs.encryption.decrypted import FileEncryption
from node.blobs.port import Blobs
from node.domain.stage import Stage
from node.flow.decode_ahead import DecodeAheadStage
from node.flow.engines import Engines, measured
from node.flow.infer import Analyst
from node.flow.runner import Runner
from node.flow.scheduling import Scheduler, Tick, WakingStage, turn
from node.journal.journal import Journal
from node.results.encode import encode
from node.results.statement.make import encode_statement
from node.results.withdrawal.make import encode_withdrawal
from node.settings.config import Config
from node.store.encryption import keep_temporaries_in_memory
from node.store.hosts import make_run_folder, owner_of
from node.store.identity import agree, refuse_other_places
from node.store.in_force import AdoptingStage, Adopts, ConfigInForce, Present
from node.upkeep.sweeps import HeartbeatStage, SweepCopiesStage, SweepFramesStage

if TYPE_CHECKING:
    from inference.applications.port import Application

_BEAT_EVERY = timedelta(seconds=10)
_SWEEP_COPIES_EVERY = timedelta(minutes=10)
_SWEEP_FRAMES_EVERY = timedelta(minutes=1)
_FRAMES = "ahead"
_SHARE_OF_MEMORY = 4
"""Decoded frames get no more than a quarter of what encrypted files may have, and that beside it."""


def work(config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None) -> None:
    """Work off jobs until `stop`; the job under way is finished."""
    present = Present(config)

    def application_of(name: str) -> "Application":
        return compose.application(present.config, name)

    engines = Engines(
        config,
        lambda name: measured(name, lambda: compose.open_engine(present.config, name)),
        lambda name: compose.served(present.config, name),
    )

    refuse_other_places(config)
    # before temporary files lie elsewhere: images of the time before, too
    clear_left_behind()
    blobs = compose.open_blobs(config)
    file_encryption = compose.encryption_of(blobs)
    if file_encryption is not None:
        keep_temporaries_in_memory(file_encryption)
    with contextlib.closing(compose.open_journal(config)) as journal, contextlib.closing(engines):
        agree(config, journal, blobs)
        memory = memory_of(config) if file_encryption is None else memory_off_disk(config, file_encryption)
        read_ahead = None if memory is None else ReadAhead(memory)
        analyst = Analyst(config, application_of, engines.of, ahead=read_ahead)
        runner = Runner(
            journal,
            blobs,
            config,
            journal.now,
            owner_of(config, os.getpid()),
            analyst,
            encode,
            encode_statement=encode_statement,
            encode_withdrawal=encode_withdrawal,
            assemble=partial(subjects, ahead=read_ahead),
            application_of=application_of,
            away=engines.away,
            at_once=engines.at_once,
        )
        beat = HeartbeatStage(journal, f"work {owner_of(config, os.getpid())}", journal.now, config)
        beat.step()
        ticks = [Tick(stage=beat, every=_BEAT_EVERY), Tick(stage=SweepCopiesStage(blobs), every=_SWEEP_COPIES_EVERY)]
        if memory is not None:
            ticks.append(Tick(stage=SweepFramesStage(memory.sweep), every=_SWEEP_FRAMES_EVERY))
        clock = Scheduler(ticks)
        ahead = None if read_ahead is None else _ahead(config, journal, blobs, read_ahead, plain=file_encryption is None)
        those: list[Adopts] = [present, engines, analyst, runner, beat, *([] if ahead is None else [ahead])]
        followed = ConfigInForce(config, in_force, those, load=load)
        with contextlib.closing(compose.wake_up(config, "work")) as woken, contextlib.closing(compose.wake_up(config, "flow")) as flow:

            def wait(timeout_s: float) -> None:
                woken.wait(timeout_s if ahead is None or ahead.idle else 0.0)

            clock.start()
            ready()
            try:
                stages: list[Stage] = [WakingStage(runner, flow), *([] if ahead is None else [ahead])]
                turn([AdoptingStage(stage, followed) for stage in stages], wait, stop)
            finally:
                clock.stop()


def memory_of(config: Config) -> FrameCache | None:
    """Where decoded frames are kept; None, and nothing is left of those that were, where the configuration gives them no room."""
    folder = make_run_folder(config) / _FRAMES
    if not config.node.ahead_bytes:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    memory = FrameCache(folder, most_bytes=config.node.ahead_bytes, min_free_bytes=2 * config.store.min_free_bytes)
    with contextlib.suppress(OSError):
        memory.sweep()
    return memory


def memory_off_disk(config: Config, file_encryption: FileEncryption) -> FrameCache | None:
    """The same where nothing decoded may lie on the disk: in memory, as long as as much is left there as encrypted files may need."""
    shutil.rmtree(make_run_folder(config) / _FRAMES, ignore_errors=True)  # of the time before
    encryption = config.store.encryption
    if not config.node.ahead_bytes or encryption is None:
        return None
    most_bytes = min(config.node.ahead_bytes, encryption.memory_bytes // _SHARE_OF_MEMORY)
    return FrameCache(file_encryption.memory.folder(_FRAMES), most_bytes=most_bytes, min_free_bytes=encryption.memory_bytes)


def _ahead(config: Config, journal: Journal, blobs: Blobs, read_ahead: ReadAhead, *, plain: bool) -> DecodeAheadStage:
    """What reads and decodes while studies come in; not `plain` where a whole file would have to be opened in memory for its header."""
    return DecodeAheadStage(journal, blobs, config.routes, journal.now, lambda path: decode_ahead(path, read_ahead), plain=plain)
