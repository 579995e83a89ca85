"""The journals that the contract suite is run over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.journal.sql import SqlJournal
from tests.unit.journal.story import Story


@pytest.fixture(params=["sqlite"])
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    """One story on each journal there is."""
    journal = SqlJournal.open(f"{request.param}:{tmp_path / 'journal.db'}")
    yield Story(journal)
    journal.close()
