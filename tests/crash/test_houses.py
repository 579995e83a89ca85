"""A house leaves nothing decrypted behind, however its node ended."""

from pathlib import Path

import pytest

from tests.crash.house import House

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]


def test_a_killed_node_that_encrypts_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """Killed, it cannot tidy up, and it is never started again: the house does it in its place."""
    with House(tmp_path / "house", encrypted=True) as house:
        house.send_until_acknowledged(house.study())
        memory = house.memory
        house.kill()
        assert memory is not None
        assert memory.exists()
    assert not memory.exists()
