"""Backup and restore of a node whose journal is on a PostgreSQL server, by the server's own programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.node import Node
from tests.lab.postgres import Postgres
from tests.node.test_whole_way import _block, _done, _send, _settings

pytestmark = [pytest.mark.slow]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of its own."""
    with Postgres() as server:
        yield server


def test_a_journal_on_postgresql_is_dumped_and_restored(postgres: Postgres, tmp_path: Path) -> None:
    """pg_dump of the moment whose blobs are taken; onto an empty database and folder; the restored node has the job done and runs the next.
    A database that holds something is refused, and so is a journal of another kind."""
    settings = _settings(tmp_path)
    url = postgres.database()
    store = {"journal": url, "blobs": f"file:{tmp_path / 'blobs'}", "min_free": "100MB", "high_water": 1}
    settings["store"] = store
    with Node(settings, tmp_path) as node:
        _send(node, _block(tmp_path / "in"))
        _done(node)
        taken = node.hilum("backup", "--to", tmp_path / "backups", "--check", "--json")
        assert taken.code == 0, taken.out + taken.err
        folder = taken.json["folder"]
    elsewhere = tmp_path / "elsewhere"
    other = Node({**settings, "store": {**store, "blobs": f"file:{elsewhere / 'blobs'}"}}, elsewhere)
    assert "HLM-2098" in other.hilum("restore", folder).err
    wrong = Node({**settings, "store": {"journal": f"sqlite:{tmp_path / 'w.db'}", "blobs": f"file:{tmp_path / 'w'}"}}, tmp_path / "wrong")
    assert "HLM-2099" in wrong.hilum("restore", folder).err
    other = Node(
        {
            **settings,
            "store": {"journal": postgres.database(), "blobs": f"file:{elsewhere / 'blobs'}", "min_free": "100MB", "high_water": 1},
        },
        elsewhere,
    )
    told = other.hilum("restore", folder, "--json")
    assert told.code == 0, told.out + told.err
    with other:
        assert [job["state"] for job in other.jobs()] == ["done"]
        _send(other, _block(tmp_path / "next", slices=13, patient="NEXT"))
        _done(other, 2)
