"""What the tests against real peers share: a network with loopback only."""

from collections.abc import Iterator

import pytest

from tests.lab.loopback import loopback_only


@pytest.fixture(scope="package", autouse=True)
def alone() -> Iterator[bool]:
    """Peers that bind every address do it where there is one; False where that is not permitted."""
    with loopback_only() as isolated:
        yield isolated
