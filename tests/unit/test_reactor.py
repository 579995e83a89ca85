"""pynetdicom's reactor is held, under test, where pynetdicom takes it to be held."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from tests.lab.reactor import checkpoint


class Slow:
    """A checkpoint behind which the reactor is as slow as on a loaded machine."""

    def __init__(self, checkpoint: Any) -> None:
        self.set, self.clear, self._wait = checkpoint.set, checkpoint.clear, checkpoint.wait

    def wait(self) -> None:
        self._wait()
        time.sleep(0.02)


@pytest.fixture
def association() -> Iterator[Association]:
    provider, user = AE(), AE()
    provider.add_supported_context(Verification)
    server = provider.start_server(("127.0.0.1", 0), block=False)
    user.add_requested_context(Verification)
    association = user.associate("127.0.0.1", server.server_address[1])
    yield association
    association.abort()
    server.shutdown()


def looks(association: Association, held_at: Any) -> int:
    """How often the reactor looks for a message while somebody has it held to wait for one: ten times."""
    association._reactor_checkpoint = Slow(held_at)
    look, while_held, held = association.dimse.get_msg, [], threading.Event()

    def looked(block: bool = False) -> Any:
        if held.is_set():
            while_held.append(block)
        return look(block)

    association.dimse.get_msg = looked
    for _ in range(10):
        held_at.clear()
        while not association._is_paused:
            time.sleep(0.0001)
        held.set()
        time.sleep(0.05)
        held.clear()
        held_at.set()
        time.sleep(0.005)
    return len(while_held)


def test_a_slow_reactor_is_held(association: Association) -> None:
    """It looks at no message that somebody waits for; at pynetdicom's own event it passes."""
    assert looks(association, checkpoint(association)) == 0
    bare = threading.Event()
    bare.set()
    assert looks(association, bare) > 0
