"""Databases as administrators make them: in whatever encoding the cluster's locale gives."""

import pytest

from node.journal.journal import Journal
from tests.lab.postgres import Postgres
from tests.unit.journal.story import START, Story

NAME = "Gehirn, 頭部"


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
def test_a_journal_keeps_text_whatever_the_database_is_made_in(postgres: Postgres, encoding: str) -> None:
    """`initdb` in the C locale makes SQL_ASCII, for which psycopg gives bytes unless it is told what the client means."""
    journal = Journal.open(postgres.database(encoding=encoding))
    try:
        story = Story(journal)
        journal.instances.record([story.new(story.instance(1, calling_ae=NAME))], START)
        (found,) = journal.instances.of_arrival(journal.arrivals.find()[0].id)
        assert found.calling_ae == NAME
    finally:
        journal.close()
