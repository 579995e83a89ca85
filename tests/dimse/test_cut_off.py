"""Associations that are cut off while what they sent is being written."""

import threading
from collections.abc import Sequence

import pytest

from node.blobs.files import write_parts
from node.spool import receiving
from tests.dimse.conftest import Listen, data_set, instance
from tests.dimse.test_hazards import _associated, _fragment, _store_command
from tests.lab.program import wait_until


def test_what_is_being_written_is_not_closed_under_its_writer(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node stops while the disk takes its time: the file stays open, its number nobody else's, until the write returns; then it is
    deleted, and only then the association has ended."""
    writing, goes_on = threading.Event(), threading.Event()

    def slow(fd: int, parts: Sequence[bytes | memoryview]) -> None:
        if writing.is_set():
            return
        writing.set()
        assert goes_on.wait(60)
        write_parts(fd, parts)

    running = listen()
    with _associated(running) as connection:
        monkeypatch.setattr(receiving, "write_parts", slow)
        connection.sendall(_store_command(0x0001) + _fragment(0x00, data_set(instance(pixels=b"\1\2" * 4096))[:6000]))
        assert writing.wait(60)
        running.listener.stop(0.0, abort_s=0.5)
        assert not running.said("association.ended")
        goes_on.set()
        wait_until(lambda: running.said("association.ended"), 60, "it has ended")
    assert running.left() == []
