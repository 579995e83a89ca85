"""What the tests against real peers share: a network with loopback only, and a PostgreSQL with journals on it."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from node.journal.journal import Journal
from tests.lab.browser import chromium
from tests.lab.loopback import loopback_only
from tests.lab.postgres import Postgres

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package", autouse=True)
def alone() -> Iterator[bool]:
    """Peers that bind every address do it where there is one; False where that is not permitted."""
    with loopback_only() as isolated:
        yield isolated


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser for this file: its start takes as much as ten pages. Each test has a profile of its own in it."""
    with chromium() as running:
        yield running


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
