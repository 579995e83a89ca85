"""What an association leaves in the process that served it, however it ended: nothing."""

import gc
import os
import threading
from collections import Counter
from itertools import count

import pytest
from pydicom.uid import MRImageStorage
from pynetdicom.sop_class import _STORAGE_CLASSES, Verification

from tests.dimse.conftest import Listen, Listening, data_set, instance
from tests.dimse.ul.talk import RELEASE, echo, request, store, talk
from tests.lab.program import wait_until

_ROUNDS = 10
"""Associations of each kind between two looks: fewer objects of a type than that are nobody's leak."""
_CLASSES = (MRImageStorage, Verification, *sorted(set(_STORAGE_CLASSES.values()) - {MRImageStorage}))[:128]
_ABORT = b"\x07\0" + (4).to_bytes(4, "big") + bytes(4)


def _associations(port: int, number: int) -> None:
    """One association of each kind: released, of 128 contexts, aborted, cut off within a data set, of unreadable bytes, never asked for."""
    content = data_set(instance(pixels=bytes(1 << 16)))
    whole = store(1, f"1.2.3.{number}", content, fragment=16000)
    talk(port, [request(), whole, echo(2), RELEASE])
    talk(port, [request(classes=_CLASSES), whole, RELEASE])
    talk(port, [request(), whole], last=_ABORT)
    talk(port, [request()], last=whole[: len(whole) // 2])
    talk(port, [request()], last=b"\x04\0\0\0\0\x06\0\0\0\x02\x01\x07")
    talk(port, [], last=request()[:50])
    talk(port, [request(calling="NOBODY")])


def _threads() -> int:
    """Without the one that sums up refusals a minute later."""
    return sum(not isinstance(one, threading.Timer) for one in threading.enumerate())


def _held(running: Listening, threads: int) -> tuple[Counter[str], int]:
    """What is alive by type, and how many files are open, once every association is over."""
    server = running.listener.server
    assert server is not None
    wait_until(lambda: not server.standing() and _threads() <= threads, 120, "every association and its threads have ended")
    running.events.clear()
    gc.collect()
    files = len(os.listdir("/proc/self/fd"))
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects()), files


@pytest.mark.slow
def test_associations_that_are_over_hold_no_objects_threads_or_files(listen: Listen) -> None:
    """However many there were: neither objects by their kind, nor threads, nor open files grow with their number."""
    running = listen()
    threads = _threads()
    numbers = count()
    for _ in range(_ROUNDS // 2):  # what is made once is made now, by counting too
        _associations(running.port, next(numbers))
    _held(running, threads)
    before, files_before = _held(running, threads)
    for _ in range(_ROUNDS):
        _associations(running.port, next(numbers))
    after, files_after = _held(running, threads)
    assert {kind: more for kind, more in (after - before).items() if more >= _ROUNDS} == {}
    assert files_after <= files_before
