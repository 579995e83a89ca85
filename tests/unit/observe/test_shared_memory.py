"""The memory that processes count in: nothing is lost when one is killed, and nothing outside can make a store fail."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.observe.shared_memory import SharedCells

_COUNTS = """
import sys, os, time
from node.observe.shared_memory import SharedCells
cells = SharedCells.attach(int(sys.argv[1]))
place = cells.place(b"studies", 1)
for _ in range(int(sys.argv[2])):
    cells.add(place, 1.0)
print("counted", flush=True)
sys.stdin.read()
"""


def _counted_by_a_child(cells: SharedCells, times: int) -> None:
    """A process counts, says so, and is killed while it lives on."""
    child = subprocess.Popen(
        [sys.executable, "-c", _COUNTS, str(cells.descriptor), str(times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(cells.descriptor,),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "counted\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_a_killed_process_loses_nothing_and_its_successor_counts_on() -> None:
    """Two processes after each other count 1000 and 234 in shared memory, each ended by SIGKILL."""
    cells = SharedCells.make()
    _counted_by_a_child(cells, 1000)
    assert dict(cells.read()) == {b"studies": (1000.0,)}
    _counted_by_a_child(cells, 234)
    assert dict(cells.read()) == {b"studies": (1234.0,)}


def test_threads_lose_no_count() -> None:
    """Eight threads, 5,000 each, in one cell; they begin together."""
    cells = SharedCells.alone()
    place = cells.place(b"x", 1)
    assert place is not None
    together = threading.Barrier(8)

    def count() -> None:
        together.wait()
        for _ in range(5000):
            cells.add(place, 1.0)

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(count) for _ in range(8)]:
            done.result()
    assert dict(cells.read())[b"x"] == (40000.0,)


def test_series_keep_apart_and_are_found_again() -> None:
    """Keys of every length from 0 to 40 bytes, with 1 to 5 cells: each has its own numbers, also for a reader that comes later."""
    cells = SharedCells.make()
    wanted = {}
    for length in range(41):
        key, count = b"k" * length, length % 5 + 1
        place = cells.place(key, count)
        assert place is not None
        assert cells.place(key, count) == place
        for cell in range(count):
            cells.add(place + cell, length * 10 + cell)
        wanted[key] = tuple(float(length * 10 + cell) for cell in range(count))
    assert dict(SharedCells.attach(cells.descriptor).read()) == wanted


def test_what_has_no_room_is_refused_and_said() -> None:
    """A label that takes ever new values fills the memory: no error, no growth, and what was there goes on counting."""
    cells = SharedCells.alone()
    first = cells.place(b"first", 1)
    assert first is not None
    number = 0
    while cells.place(f"series {number}".encode(), 100) is not None:
        number += 1
    assert 500 < number < 1000
    assert cells.place(b"one more", 100) is None
    assert cells.refused == 2
    cells.add(first, 1.0)
    assert dict(cells.read())[b"first"] == (1.0,)


def test_a_record_that_a_killed_process_did_not_finish_is_nobodys() -> None:
    """Everything of a new series is written before the one number that says it is there."""
    cells = SharedCells.make()
    cells.place(b"whole", 1)
    used = os.pread(cells.descriptor, 8, 0)
    cells.place(b"torn", 1)
    os.pwrite(cells.descriptor, used, 0)  # as if it had died just before
    again = SharedCells.attach(cells.descriptor)
    assert [key for key, _ in again.read()] == [b"whole"]
    place = again.place(b"other", 2)
    assert place is not None
    again.add(place, 5.0)
    assert dict(again.read()) == {b"whole": (0.0,), b"other": (5.0, 0.0)}


def test_what_was_left_blank_begins_at_nothing() -> None:
    """A gauge of a dead process is no number; its successor's first change counts from 0."""
    cells = SharedCells.alone()
    open_, kept = cells.place(b"open", 1), cells.place(b"kept", 1)
    assert open_ is not None
    assert kept is not None
    cells.add(open_, 3.0)
    cells.add(kept, 7.0)
    cells.blank(lambda key: key == b"open")
    assert str(dict(cells.read())) == str({b"open": (float("nan"),), b"kept": (7.0,)})
    cells.add(open_, 1.0)
    assert dict(cells.read()) == {b"open": (1.0,), b"kept": (7.0,)}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_has_no_file_behind_it() -> None:
    """A full disk cannot make a store fail: what is mapped is memory."""
    cells = SharedCells.make()
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if "hilum-metrics" in line]
    assert mapped
    assert all("/memfd:" in line for line in mapped)
    assert cells.refused == 0
