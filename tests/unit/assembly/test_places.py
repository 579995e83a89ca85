"""The supervisor's look at the places of a store, step by step; with real processes tests/node/test_store_lost.py."""

import contextlib
from pathlib import Path

from node.assembly import compose, restoring
from node.assembly.backup_errors import HalfRestored
from node.assembly.identity import agree
from node.assembly.places import Places
from node.settings.config import Config
from node.settings.load import load


def _store(folder: Path) -> Config:
    (folder / "hilum.yaml").write_text(
        f"node: {{ae_title: HILUM, listen: '127.0.0.1:0'}}\nstore: {{journal: 'sqlite:{folder}/hilum.db', blobs: 'file:{folder}/blobs'}}\n"
    )
    config = load(folder / "hilum.yaml")
    with contextlib.closing(compose.open_journal(config)) as journal:
        agree(config, journal, compose.open_bare_blobs(config))
    return config


def test_a_store_that_is_restored_under_the_node_is_looked_at_until_it_is_whole(tmp_path: Path) -> None:
    """The folder is another one and holds a part of a backup: that is said, the look goes on, and the processes begin anew at its end."""
    config = _store(tmp_path)
    places = Places(config)
    places._take()
    places._look()
    assert places.why() == ""
    config.store.blobs.rename(tmp_path / "lost")
    places._look()
    assert "was deleted or moved" in places.why()
    (tmp_path / "lost").rename(config.store.blobs)
    moved = tmp_path / "again"
    moved.mkdir(mode=0o700)
    for one in config.store.blobs.iterdir():
        one.rename(moved / one.name)
    config.store.blobs.rmdir()
    moved.rename(config.store.blobs)
    restoring.begin(config, tmp_path / "backup")
    places._look()
    assert HalfRestored.code in places.why()
    assert not places.came_anew()
    restoring.end(config)
    places._look()
    assert places.why() == ""
    assert places.came_anew()
