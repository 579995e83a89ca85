"""The supervisor's look at the places of a store, step by step; with real processes tests/node/test_store_lost.py."""

import contextlib
from pathlib import Path

from node.assembly import compose
from node.assembly.configuration import load
from node.assembly.watches import store_watch
from node.backup.manifest import HalfRestored, begin_restore, end_restore
from node.settings.config import Config
from node.store.identity import BlobsLost, agree


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
    places = store_watch(config, lambda item: None)
    places.look()
    assert places.why() == ""
    config.store.blobs.rename(tmp_path / "lost")
    places.look()
    assert "was deleted or moved" in places.why()
    (tmp_path / "lost").rename(config.store.blobs)
    moved = tmp_path / "again"
    moved.mkdir(mode=0o700)
    for one in config.store.blobs.iterdir():
        one.rename(moved / one.name)
    config.store.blobs.rmdir()
    moved.rename(config.store.blobs)
    begin_restore(config, tmp_path / "backup")
    places.look()
    assert HalfRestored.code in places.why()
    assert not places.came_anew()
    end_restore(config)
    places.look()
    assert places.why() == ""
    assert places.came_anew()


def test_a_spool_that_goes_with_its_run_folder_is_not_begun_anew(tmp_path: Path) -> None:
    """Both lay on a disk that is not mounted any more, and there are folders below the mount point: nothing there becomes the spool of this
    store, and nothing is started meanwhile. With the disk back it is gone on with."""
    disk, aside = tmp_path / "disk", tmp_path / "aside"
    (tmp_path / "hilum.yaml").write_text(
        f"node: {{ae_title: HILUM, listen: '127.0.0.1:0'}}\n"
        f"store: {{journal: 'sqlite:{tmp_path}/hilum.db', blobs: 'file:{tmp_path}/blobs', spool: 'file:{disk}/spool'}}\n"
    )
    config = load(tmp_path / "hilum.yaml")
    with contextlib.closing(compose.open_journal(config)) as journal:
        agree(config, journal, compose.open_bare_blobs(config))
    places = store_watch(config, lambda item: None)
    places.look()
    assert places.stood_since(0)
    disk.rename(aside)
    (disk / "spool" / "inbox").mkdir(parents=True, mode=0o700)
    for _ in range(2):
        places.look()
        assert BlobsLost.code in places.why()
        assert not places.stood_since(0)
        assert not places.came_anew()
    assert not (disk / "spool" / "store").exists()
    disk.rename(tmp_path / "below")
    aside.rename(disk)
    places.look()
    assert places.why() == ""
    assert places.stood_since(0)
