"""What the tests against real peers share: a network with loopback only, and a PostgreSQL with journals on it."""

from collections.abc import Callable, Iterator

import pytest

from node.journal.journal import Journal
from tests.lab.loopback import loopback_only
from tests.lab.postgres import Postgres


@pytest.fixture(scope="package", autouse=True)
def alone() -> Iterator[bool]:
    """Peers that bind every address do it where there is one; False where that is not permitted."""
    with loopback_only() as isolated:
        yield isolated


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server for this file."""
    with Postgres() as running:
        yield running


@pytest.fixture
def url(postgres: Postgres) -> str:
    """A new database."""
    return postgres.database()


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], Journal]]:
    """Journals, each as another process would have it."""
    journals: list[Journal] = []

    def open_() -> Journal:
        journals.append(Journal.open(url))
        return journals[-1]

    yield open_
    for journal in journals:
        journal.close()
