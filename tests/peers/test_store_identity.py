"""One store on a real PostgreSQL: an emptied schema, another store's database and lost tables are told; nothing is made in silence."""

import contextlib
from pathlib import Path

import pytest
from psycopg import sql

from node.assembly import compose
from node.assembly.configuration import load
from node.backup.examination import examine
from node.journal.errors import JournalAway, JournalCorrupt, JournalGone
from node.settings.config import Config
from node.store.identity import JournalLost, Meant, StoresMixed, agree
from tests.lab.postgres import Postgres
from tests.unit.journal.story import START, Story

pytestmark = [pytest.mark.peers, pytest.mark.slow]

_EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC"


def _config(folder: Path, url: str, name: str = "blobs") -> Config:
    path = folder / f"{name}.yaml"
    path.write_text(f"node: {{ae_title: HILUM, listen: '127.0.0.1:0'}}\nstore: {{journal: '{url}', blobs: 'file:{folder}/{name}'}}\n")
    return load(path)


def _start(config: Config, meant: Meant | None = None) -> str:
    with contextlib.closing(compose.open_journal(config, meant)) as journal:
        return agree(config, journal, compose.open_bare_blobs(config), meant or Meant())


def _fill(config: Config) -> None:
    compose.open_bare_blobs(config).put("instances/1.dcm", b"an instance")
    with contextlib.closing(compose.open_journal(config)) as journal:
        Story(journal).receive(1)


def test_an_emptied_schema_is_refused_and_nothing_is_made_in_it(postgres: Postgres, tmp_path: Path) -> None:
    """At the start: HLM-7059, as often as it is tried, with no table made. Under an open journal: HLM-7013. `--new-journal` means it."""
    url = postgres.database()
    config = _config(tmp_path, url)
    identity = _start(config)
    _fill(config)
    with contextlib.closing(compose.open_journal(config)) as journal:
        postgres.ask_nothing(url, _EMPTY)
        with pytest.raises(JournalGone):
            journal.events.note("instance", 0, "instance.seen", "into nothing", START)
    for _ in range(2):
        with pytest.raises(JournalLost):
            compose.open_journal(config)
    assert postgres.ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert _start(config, Meant(new_journal=True)) == identity


def test_a_database_of_another_store_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    """Two nodes' lines exchanged."""
    one, two = _config(tmp_path, postgres.database(), "one"), _config(tmp_path, postgres.database(), "two")
    for config in (one, two):
        _start(config)
        _fill(config)
    with pytest.raises(StoresMixed):
        _start(_config(tmp_path, two.store.journal, "one"))


def test_a_database_of_another_store_that_takes_the_name_is_written_by_nobody(postgres: Postgres, tmp_path: Path) -> None:
    """Two databases exchange their names under an open journal (HLM-7013) and before a command (HLM-7061): the other store's journal gets
    no row. With the right one back the open journal goes on."""
    urls = postgres.database(), postgres.database()
    one, two = (_config(tmp_path, url, name) for url, name in zip(urls, ("one", "two"), strict=True))
    for config in (one, two):
        _start(config)
        _fill(config)
    rows = "SELECT count(*) FROM event"
    theirs = postgres.ask(urls[1], rows)
    with contextlib.closing(compose.open_journal(one)) as journal:
        _exchange(postgres, *urls)
        for _ in range(2):
            with pytest.raises((JournalGone, JournalAway)):
                journal.events.note("instance", 0, "instance.seen", "into another's", START)
        with pytest.raises(JournalGone, match="is the journal of the store"):
            journal.events.note("instance", 0, "instance.seen", "into another's", START)
        with pytest.raises(StoresMixed):
            compose.open_journal(one)
        assert postgres.ask(urls[0], rows) == theirs
        _exchange(postgres, *urls)
        with contextlib.suppress(JournalAway):  # its connections were broken once more
            journal.census.take(START)
        journal.events.note("instance", 0, "instance.seen", "into its own", START)
    assert postgres.ask(urls[1], rows) == theirs


def _exchange(postgres: Postgres, *urls: str) -> None:
    """Two databases have each other's name; whoever had a connection has none."""
    one, two = (url.rpartition("/")[2] for url in urls)
    with postgres.admin() as server:
        server.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = ANY(%s)", ([one, two],))
        for was, becomes in ((one, "aside"), (two, one), ("aside", two)):
            server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(was), sql.Identifier(becomes)))


def test_a_table_that_is_lost_and_a_page_that_is_damaged_are_told(postgres: Postgres, tmp_path: Path) -> None:
    """The revision gone from a full database is damage, no new journal; amcheck and reading every row find the database whole before."""
    url = postgres.database()
    config = _config(tmp_path, url)
    _start(config)
    with contextlib.closing(compose.open_journal(config)) as journal:
        postgres.ask_nothing(url, "CREATE EXTENSION amcheck; GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean) TO PUBLIC")
        assert examine(journal, compose.open_bare_blobs(config)).whole
    postgres.ask_nothing(url, "DROP TABLE alembic_version")
    with pytest.raises(JournalCorrupt, match="alembic_version"):
        compose.open_journal(config)
