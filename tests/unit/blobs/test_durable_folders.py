"""Folders are durable before anything is moved into them, whatever happened when they were made."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from node.blobs import files
from node.blobs.files import DurableFolders


class Disk:
    """Notes which folders were flushed, and refuses some."""

    def __init__(self) -> None:
        self.flushed: list[str] = []
        self.refuses: set[str] = set()

    def flush(self, folder: Path) -> None:
        """In the place of `flush_folder`."""
        if folder.name in self.refuses:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        assert folder.is_dir()
        self.flushed.append(folder.name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """One that takes everything."""
    made = Disk()
    monkeypatch.setattr(files, "flush_folder", made.flush)
    return made


def test_every_level_is_flushed_before_the_act_and_once_in_a_process(tmp_path: Path, disk: Disk) -> None:
    """A second file in the same folder costs no flush."""
    folder = tmp_path / "instances" / "study" / "series"
    seen: list[list[str]] = []
    folders = DurableFolders(tmp_path)
    for _ in range(2):
        folders.act(folder, lambda: seen.append(list(disk.flushed)))
    assert seen == [[tmp_path.name, "instances", "study"]] * 2


def test_nothing_goes_into_a_folder_whose_flush_failed_and_it_is_flushed_when_it_is_tried_again(tmp_path: Path, disk: Disk) -> None:
    """It is there by then: that it is there says nothing."""
    folder = tmp_path / "instances" / "study"
    done: list[list[str]] = []
    folders = DurableFolders(tmp_path)
    disk.refuses = {"instances"}
    with pytest.raises(OSError, match="Input/output error"):
        folders.act(folder, lambda: done.append([]))
    assert (folder.is_dir(), done) == (True, [])
    disk.refuses, disk.flushed = set(), []
    folders.act(folder, lambda: done.append(list(disk.flushed)))
    assert done == [["instances"]]


def test_another_process_flushes_what_it_finds(tmp_path: Path, disk: Disk) -> None:
    """Whoever made it may have been killed before it did."""
    folder = tmp_path / "instances" / "study"
    folder.mkdir(parents=True)
    DurableFolders(tmp_path).act(folder, lambda: None)
    assert disk.flushed == [tmp_path.name, "instances"]


def test_a_folder_that_goes_meanwhile_is_made_and_flushed_again(tmp_path: Path, disk: Disk) -> None:
    """Retention deletes the last file of a study while a late one comes."""
    folder, file = tmp_path / "instances" / "study", tmp_path / "entry"
    folders = DurableFolders(tmp_path)
    folders.act(folder, lambda: None)
    shutil.rmtree(tmp_path / "instances")
    disk.flushed.clear()
    file.touch()
    folders.act(folder, lambda: file.rename(folder / "blob"))
    assert disk.flushed == [tmp_path.name, "instances"]
    with pytest.raises(FileNotFoundError):
        folders.act(folder, lambda: file.rename(folder / "another"))


def test_a_spools_own_folder_is_flushed_at_every_start(tmp_path: Path, disk: Disk) -> None:
    """And each level above it that was missing."""
    files.make_folder(tmp_path / "blobs" / "inbox")
    assert disk.flushed[-2:] == [tmp_path.name, "blobs"]
    disk.flushed.clear()
    files.make_folder(tmp_path / "blobs" / "inbox")
    assert disk.flushed == ["blobs"]
