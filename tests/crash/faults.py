"""Fault rows: the disk, the clock, the database and the archive fail for a while, with nobody killed; then they are as they should be."""

import errno
import functools
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import product

from tests.crash.disk import Mode, Operation
from tests.crash.node_under_test import NodeUnderTest
from tests.crash.rows import Round, Row

_STAGES = ("receive", "flow", "work")
_FOREVER = -1


def _for_a_while(operations: Operation, error: int, path: str, stage: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """Every such operation fails until somebody mends it; a sender that is refused tries again."""
    study = under_test.study()
    # it comes in before, or while nothing works any more
    if stage != "receive" and draw.random() < 0.5:
        under_test.send_until_acknowledged(study)
    under_test.disk.fail(operations, error=error, count=_FOREVER, path=path, process=f" {stage}" if stage else "")
    under_test.send(study)
    time.sleep(draw.uniform(0.2, 3))  # for how long it stays so
    fired = under_test.disk.fired > 0
    under_test.disk.heal()
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return fired


def _now_and_then(
    operations: Operation, error: int, mode: Mode, stage: str, most: int, under_test: NodeUnderTest, draw: random.Random
) -> bool:
    """One to three operations fail, somewhere on the way."""
    study = under_test.study()
    under_test.disk.fail(operations, error=error, mode=mode, skip=draw.randrange(most), count=draw.randint(1, 3), process=f" {stage}")
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    fired = under_test.disk.fired > 0
    under_test.disk.heal()
    return fired


def _full(under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The file system says that nothing is free; senders are refused before anything is acknowledged; then somebody makes room."""
    study = under_test.study()
    under_test.disk.set_free(0)
    under_test.send(study)
    refused = bool(study.unacknowledged)
    under_test.disk.set_free(None)
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return refused


def _clock(ahead_s: float, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The clock jumps while a study is on its way, and jumps back when it is done."""
    study = under_test.study()
    unsent = draw.randrange(len(study.files))
    under_test.send(study, most=len(study.files) - unsent)
    time.sleep(draw.choice([0, 0.3, 1.5]) * draw.random())  # where on its way
    under_test.disk.turn_clock(ahead_s)
    try:
        under_test.send_until_acknowledged(study)
        under_test.until_done(study)
    finally:
        under_test.disk.turn_clock(0)
    return True


def _locked(under_test: NodeUnderTest, draw: random.Random) -> bool:
    """Another program holds the write lock of the journal for a while."""
    study = under_test.study()
    if draw.random() < 0.5:
        under_test.send_until_acknowledged(study)
    with _write_lock(under_test):
        under_test.send(study)
        time.sleep(draw.uniform(0.5, 3))
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return True


@contextmanager
def _write_lock(under_test: NodeUnderTest) -> Iterator[None]:
    with closing(sqlite3.connect(under_test.store / "hilum.db", timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def _locked_for_long(under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The same for longer than the node waits for the lock (30 s): the stages fail, and begin again."""
    study = under_test.study()
    under_test.send_until_acknowledged(study)
    with _write_lock(under_test):
        time.sleep(34)
    under_test.until_done(study)
    return True


def _archive(under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The archive is killed, mostly over a delivery, and comes back."""
    study = under_test.study()
    under_test.send_until_acknowledged(study)
    time.sleep(draw.uniform(0, 2))  # the random moment
    under_test.sink.stop()
    time.sleep(draw.uniform(0, 1))
    under_test.sink.start()
    under_test.until_done(study)
    return True


def _told_unreadable(most: int, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The node dies with instances acknowledged and not flushed, and cannot read some of them when it starts again: once, or until somebody
    mends the disk. What it cannot read is neither given up nor presented: it comes up, and somebody does as the remedy of HLM-3086 says."""
    study = under_test.study()
    under_test.send(study, most=len(study.files) - draw.randrange(2), before_release=under_test.kill)
    under_test.disk.fail(Operation.READ, error=errno.EIO, count=most, path="/coming/")
    under_test.up()
    fired = under_test.disk.fired > 0
    under_test.disk.heal()
    under_test.kill()
    blobs = under_test.store / "blobs"
    for unread in (blobs / "aside").glob("*"):
        if unread.suffix == ".told":
            unread.rename(blobs / "coming" / unread.name)
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return fired


def promised_rows() -> list[Row]:
    """What only happens where an answer precedes its flush."""
    return [Row(name="acknowledged, not flushed, and unreadable (EIO) at the start", ways=_each(_told_unreadable, (1, 3, _FOREVER)))]


def _each(way: Callable[..., bool], *choices: tuple[object, ...]) -> list[Round]:
    return [functools.partial(way, *chosen) for chosen in product(*choices)]


def rows() -> list[Row]:
    """All of them."""
    blobs = "/blobs/"
    change = Operation.CHANGE | Operation.FLUSH
    return [
        Row(
            name="ENOSPC for what comes in until room is made",
            ways=_each(_for_a_while, (Operation.WRITE, Operation.OPEN), (errno.ENOSPC,), (blobs,), ("receive",)),
        ),
        Row(name="ENOSPC everywhere for a while", ways=_each(_for_a_while, (Operation.WRITE,), (errno.ENOSPC,), ("",), (*_STAGES, ""))),
        Row(name="no room by statvfs, then room again", ways=[_full]),
        Row(
            name="EIO of one to three writes",
            ways=_each(_now_and_then, (Operation.WRITE,), (errno.EIO,), (Mode.FAIL,), _STAGES, (8, 40)),
        ),
        Row(name="short writes", ways=_each(_now_and_then, (Operation.WRITE,), (0,), (Mode.SHORT,), _STAGES, (8, 40))),
        Row(
            name="EIO or ENOSPC of one to three flushes (fsync, fdatasync)",
            ways=_each(_now_and_then, (Operation.FLUSH,), (errno.EIO, errno.ENOSPC), (Mode.FAIL,), _STAGES, (3, 8)),
            weight=1.5,
        ),
        Row(
            name="EIO or ENOSPC of one to three renames, links, opens",
            ways=_each(
                _now_and_then, (Operation.RENAME | Operation.LINK, Operation.OPEN), (errno.EIO, errno.ENOSPC), (Mode.FAIL,), _STAGES, (3,)
            ),
        ),
        Row(
            name="read-only disk for a while",
            ways=_each(_for_a_while, (change | Operation.UNLINK,), (errno.EROFS,), ("",), (*_STAGES, "")),
        ),
        Row(name="clock jumps an hour ahead, or ten minutes", ways=_each(_clock, (3600.0, 600.0))),
        Row(name="clock jumps back an hour, or ten minutes", ways=_each(_clock, (-3600.0, -600.0))),
        Row(name="database locked by another program", ways=[_locked]),
        Row(name="database locked for longer than the node waits", ways=[_locked_for_long], weight=0.2),
        Row(name="archive killed and back", ways=[_archive]),
    ]
