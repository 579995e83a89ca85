"""`hilum doctor` about room and spool."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.assembly.doctor.store import look_at_disk
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from node.spool.inbox import FolderInbox
from tests.contract.test_blobs import keep


def _levels(config: Config) -> dict[str, str]:
    return {finding.subject: finding.level for finding in look_at_disk(config)}


def test_it_says_when_no_association_is_admitted(tmp_path: Path) -> None:
    """Below `min_free`, a little above it, and with plenty; each with what to do unless all is well."""
    status = os.statvfs(tmp_path)
    free = status.f_bavail * status.f_frsize
    store = Store(journal="", blobs=tmp_path)
    config = Config(path=tmp_path, digest="", node=Node(), store=store, models=tmp_path)
    for least, level in ((2 * free, "bad"), (int(free / 1.05), "bad"), (int(free / 1.5), "warning"), (0, "good")):
        (finding,) = look_at_disk(replace(config, store=replace(store, min_free_bytes=least)))
        assert finding.level == level
        assert bool(finding.fix) == (level != "good")


def test_a_small_disk_is_told_in_digits_that_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 MiB in all, 4 KB above a `min_free` of 100MB: nothing is rounded to 0 GiB, and the two read differently."""
    status = SimpleNamespace(free=100_003_840, total=200 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: status)
    store = Store(journal="", blobs=tmp_path, min_free_bytes=100_000_000)
    (finding,) = look_at_disk(Config(path=tmp_path, digest="", node=Node(), store=store, models=tmp_path))
    assert finding.detail == f"95.371 MiB free of 200.00 MiB at {tmp_path}, min_free is 95.367 MiB"


def test_it_says_what_waits(tmp_path: Path) -> None:
    """Nothing, something just now, something for long, more than `most_waiting`."""
    store = Store(journal="", blobs=tmp_path, min_free_bytes=0)
    config = Config(path=tmp_path, digest="", node=Node(), store=store, models=tmp_path)
    inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert _levels(config)["spool"] == "good"
    keep(inbox)
    assert _levels(config)["spool"] == "good"
    (entry,) = inbox.waiting(1)
    os.utime(entry, (time.time() - 3600,) * 2)
    assert _levels(config)["spool"] == "warning"
    assert _levels(replace(config, store=replace(store, most_waiting=0)))["spool"] == "bad"


def test_it_says_what_is_owed_for_too_long(tmp_path: Path) -> None:
    """Acknowledged and named within seconds is as it should be; for minutes it is not, and somebody has to look."""
    store = Store(journal="", blobs=tmp_path, min_free_bytes=0)
    config = Config(path=tmp_path, digest="", node=Node(), store=store, models=tmp_path)
    FolderInbox(tmp_path, min_free_bytes=0)
    for ago_s, level in ((2, "good"), (300, "warning")):
        name = f"{time.time_ns() - ago_s * 10**9:020d}-a1-1-000000001.10.0000000000000000.told"
        owing = tmp_path / "coming" / f"0123456789abcdef-{name}"
        owing.touch()
        (found,) = (one for one in look_at_disk(config) if one.subject == "spool")
        assert (found.level, f"the oldest for {ago_s}" in found.detail) == (level, True), found.detail
        owing.unlink()


def test_it_says_what_was_set_aside(tmp_path: Path) -> None:
    """What was acknowledged and is in no study: an operator finds it without looking into folders; reasons are no files of their own."""
    store = Store(journal="", blobs=tmp_path, min_free_bytes=0)
    config = Config(path=tmp_path, digest="", node=Node(), store=store, models=tmp_path)
    inbox = FolderInbox(tmp_path, min_free_bytes=0)
    assert "set aside" not in _levels(config)
    keep(inbox)
    (entry,) = inbox.waiting(1)
    inbox.set_aside(entry, "it cannot be read [HLM-3086]")
    (found,) = (one for one in look_at_disk(config) if one.subject == "set aside")
    assert (found.level, found.detail.split()[0]) == ("warning", "1")
    assert "HLM-3086" in found.fix
