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
from tests.crash.house import House
from tests.crash.rows import Round, Row

_STAGES = ("receive", "flow", "work")
_FOREVER = -1


def _for_a_while(operations: Operation, error: int, path: str, stage: str, house: House, draw: random.Random) -> bool:
    """Every such operation fails until somebody mends it; a sender that is refused tries again."""
    study = house.study()
    # it comes in before, or while nothing works any more
    if stage != "receive" and draw.random() < 0.5:
        house.send_until_acknowledged(study)
    house.disk.fail(operations, error=error, count=_FOREVER, path=path, process=f" {stage}" if stage else "")
    house.send(study)
    time.sleep(draw.uniform(0.2, 3))  # for how long it stays so
    fired = house.disk.fired > 0
    house.disk.heal()
    house.send_until_acknowledged(study)
    house.until_done(study)
    return fired


def _now_and_then(operations: Operation, error: int, mode: Mode, stage: str, most: int, house: House, draw: random.Random) -> bool:
    """One to three operations fail, somewhere on the way."""
    study = house.study()
    house.disk.fail(operations, error=error, mode=mode, skip=draw.randrange(most), count=draw.randint(1, 3), process=f" {stage}")
    house.send_until_acknowledged(study)
    house.until_done(study)
    fired = house.disk.fired > 0
    house.disk.heal()
    return fired


def _full(house: House, draw: random.Random) -> bool:
    """The file system says that nothing is free; senders are refused before anything is acknowledged; then somebody makes room."""
    study = house.study()
    house.disk.set_free(0)
    house.send(study)
    refused = bool(study.unacknowledged)
    house.disk.set_free(None)
    house.send_until_acknowledged(study)
    house.until_done(study)
    return refused


def _clock(ahead_s: float, house: House, draw: random.Random) -> bool:
    """The clock jumps while a study is on its way, and jumps back when it is done."""
    study = house.study()
    unsent = draw.randrange(len(study.files))
    house.send(study, most=len(study.files) - unsent)
    time.sleep(draw.choice([0, 0.3, 1.5]) * draw.random())  # where on its way
    house.disk.turn_clock(ahead_s)
    try:
        house.send_until_acknowledged(study)
        house.until_done(study)
    finally:
        house.disk.turn_clock(0)
    return True


def _locked(house: House, draw: random.Random) -> bool:
    """Another program holds the write lock of the journal for a while."""
    study = house.study()
    if draw.random() < 0.5:
        house.send_until_acknowledged(study)
    with _write_lock(house):
        house.send(study)
        time.sleep(draw.uniform(0.5, 3))
    house.send_until_acknowledged(study)
    house.until_done(study)
    return True


@contextmanager
def _write_lock(house: House) -> Iterator[None]:
    with closing(sqlite3.connect(house.store / "hilum.db", timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def _locked_for_long(house: House, draw: random.Random) -> bool:
    """The same for longer than the node waits for the lock (30 s): the stages fail, and begin again."""
    study = house.study()
    house.send_until_acknowledged(study)
    with _write_lock(house):
        time.sleep(34)
    house.until_done(study)
    return True


def _archive(house: House, draw: random.Random) -> bool:
    """The archive is killed, mostly over a delivery, and comes back."""
    study = house.study()
    house.send_until_acknowledged(study)
    time.sleep(draw.uniform(0, 2))  # the random moment
    house.sink.stop()
    time.sleep(draw.uniform(0, 1))
    house.sink.start()
    house.until_done(study)
    return True


def _told_unreadable(most: int, house: House, draw: random.Random) -> bool:
    """The node dies with instances acknowledged and not flushed, and cannot read some of them when it starts again: once, or until somebody
    mends the disk. What it cannot read is neither given up nor presented: it comes up, and somebody does as the remedy of HLM-3086 says."""
    study = house.study()
    house.send(study, most=len(study.files) - draw.randrange(2), before_release=house.kill)
    house.disk.fail(Operation.READ, error=errno.EIO, count=most, path="/coming/")
    house.up()
    fired = house.disk.fired > 0
    house.disk.heal()
    house.kill()
    blobs = house.store / "blobs"
    for unread in (blobs / "aside").glob("*"):
        if unread.suffix in (".told", ".slot"):  # of a slot nobody can say whether it holds something
            unread.rename(blobs / "coming" / unread.name)
    house.send_until_acknowledged(study)
    house.until_done(study)
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
