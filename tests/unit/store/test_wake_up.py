"""A wake-up pipe wakes whoever waits, remembers a ring that came early, and never blocks the one who rings."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from node.store.hosts import WakeUpPipe


def test_a_ring_wakes_a_waiter_long_before_its_timeout(tmp_path: Path) -> None:
    """A process that waits up to five minutes goes on at the ring."""
    waiting, ringing = WakeUpPipe(tmp_path, "flow"), WakeUpPipe(tmp_path, "flow")
    waiting.wait(0)  # opens the pipe, so that rings from now on count
    began = time.monotonic()
    threading.Timer(0.05, ringing.ring).start()
    waiting.wait(300)
    assert time.monotonic() - began < 120
    waiting.close()


def test_a_ring_between_two_waits_is_not_lost(tmp_path: Path) -> None:
    """Work that came while its process was busy is seen at the next wait, at once."""
    pipe = WakeUpPipe(tmp_path, "flow")
    pipe.wait(0)
    pipe.ring()
    began = time.monotonic()
    pipe.wait(300)
    assert time.monotonic() - began < 120
    pipe.close()


def test_rings_are_spent_by_one_wait(tmp_path: Path) -> None:
    """Many rings are one hint: the second wait runs into its timeout."""
    pipe = WakeUpPipe(tmp_path, "flow")
    pipe.wait(0)
    for _ in range(5):
        pipe.ring()
    pipe.wait(30)
    began = time.monotonic()
    pipe.wait(0.05)
    assert time.monotonic() - began >= 0.04
    pipe.close()


def test_ringing_nobody_and_ringing_a_full_pipe_never_block(tmp_path: Path) -> None:
    """The receiver rings for every instance, whether or not flow is alive or keeps up."""
    nobody = WakeUpPipe(tmp_path, "flow")
    nobody.ring()
    waiting = WakeUpPipe(tmp_path, "work")
    waiting.wait(0)
    for _ in range(70_000):  # more than a pipe holds
        waiting.ring()
    waiting.close()


def test_a_bell_that_cannot_be_rung_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can be opened: whoever has kept an instance goes on to say so; the sweep finds it."""
    pipe = WakeUpPipe(tmp_path, "index")

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", full)
    pipe.ring()
