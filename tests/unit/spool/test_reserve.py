"""The reserve: records on a disk that takes nothing more, each whole or not at all, kept until what was read is emptied."""

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from node.spool.shortfalls import MOST_BYTES, Reserve


def _key(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def made(tmp_path: Path) -> Reserve:
    one = Reserve(tmp_path / "reserve")
    one.make()
    return one


def test_what_is_kept_is_read_by_the_next_process_and_once(made: Reserve) -> None:
    """In order, whatever its length; the same key is the same record."""
    records = [b"x", b"y" * MOST_BYTES, b"z"]
    for number, record in enumerate([*records, b"again"]):
        made.keep(_key(number % 3), record)
    made.make()
    assert Reserve(made.path).records() == records


def test_no_record_makes_the_file_larger(made: Reserve) -> None:
    """All of its blocks are there before; when they are full that is said, and what is kept stays."""
    assert made.path.stat().st_blocks * 512 >= made.path.stat().st_size > 300 * 512
    os.truncate(made.path, 300 * 512)
    for number in range(300):
        made.keep(_key(number), b"%d" % number)
    with pytest.raises(OSError, match="300 slots") as full:
        made.keep(_key(300), b"300")
    assert (full.value.errno, made.path.stat().st_size) == (errno.EDQUOT, 300 * 512)
    assert made.records() == [b"%d" % number for number in range(300)]
    with pytest.raises(OSError, match="more than"):
        made.keep(_key(301), b"x" * (MOST_BYTES + 1))


def test_what_came_since_it_was_read_is_not_emptied(made: Reserve) -> None:
    """Two processes: one has told the journal of a record while the other wrote a second one."""
    made.keep(_key(1), b"one")
    seen = len(made.records())
    made.keep(_key(2), b"two")
    made.clear(seen)
    assert made.records() == [b"one", b"two"]
    made.clear(2)
    assert made.records() == []
    made.keep(_key(1), b"one")
    assert made.records() == [b"one"]


def test_a_record_that_was_written_in_half_is_none_and_hides_no_other(made: Reserve) -> None:
    """As a disk does that loses its power."""
    for number in range(3):
        made.keep(_key(number), b"%d" % number)
    with made.path.open("r+b") as file:
        file.seek(512 + 24)
        file.write(b"x")
    assert made.records() == [b"0", None, b"2"]


def test_it_is_not_made_where_it_would_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what is free stays free. What a crash left of it is completed when there is room."""
    disk = namedtuple("disk", "f_bavail f_frsize")
    one = Reserve(tmp_path / "reserve")
    with monkeypatch.context() as crowded:
        crowded.setattr(os, "fstatvfs", lambda _: disk(1000, 4096))
        one.make()
    assert one.path.stat().st_size == 0
    one.path.write_bytes(bytes(1000))
    one.make()
    assert one.path.read_bytes() == bytes(4096 * 512)
