"""A node under test leaves nothing decrypted behind, however it ended."""

from pathlib import Path

import pytest

from tests.crash.node_under_test import NodeUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]


def test_a_killed_node_that_encrypts_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """Killed, it cannot tidy up, and it is never started again: the test's surroundings do it in its place."""
    with NodeUnderTest(tmp_path / "node", encrypted=True) as under_test:
        under_test.send_until_acknowledged(under_test.study())
        memory = under_test.memory
        under_test.kill()
        assert memory is not None
        assert memory.exists()
    assert not memory.exists()
