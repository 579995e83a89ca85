"""The index beside a process: it empties the spool and rings, ends with the block, and takes the process along when it breaks."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.assembly import compose
from node.assembly.index import indexing
from node.blobs.folder import FolderBlobs
from node.domain.instance import Reception
from node.flow.index import IndexStage
from node.journal.journal import Journal
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from node.spool.inbox import FolderInbox
from tests.lab import empty_journal
from tests.lab.program import wait_until
from tests.lab.spool import keep_whole
from tests.unit.flow.files import data_set, slice_of


@dataclass
class Woken:
    """Counts its rings."""

    rings: int = 0

    def ring(self) -> None:
        self.rings += 1

    def wait(self, timeout_s: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A node that nobody runs."""
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs", min_free_bytes=0)
    return Config(path=tmp_path / "hilum.yaml", digest="0", node=Node(), store=store, models=tmp_path)


@contextlib.contextmanager
def _beside(config: Config, woken: Woken, stop: threading.Event) -> Iterator[tuple[Journal, FolderInbox]]:
    with contextlib.closing(Journal.open(empty_journal.make(config.store.journal))) as journal:
        inbox = FolderInbox(config.store.blobs, min_free_bytes=0)
        with indexing(config, journal, inbox, FolderBlobs(config.store.blobs), woken, stop):
            yield journal, inbox


def _receive(config: Config, inbox: FolderInbox) -> None:
    """One instance comes, and the receiver rings."""
    reception = Reception(
        sop_instance_uid="1.2.3.4.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        calling_ae="CT1",
        called_ae="HILUM",
        address="127.0.0.1",
        association="1",
        received_at=datetime.now(UTC),
    )
    keep_whole(inbox, reception, data_set(slice_of(1)))
    compose.local_wake_up(config, "index").ring()


def test_what_comes_is_journaled_while_the_block_runs(config: Config) -> None:
    """And whoever settles and routes is woken for it."""
    woken, stop = Woken(), threading.Event()
    with _beside(config, woken, stop) as (journal, inbox):
        _receive(config, inbox)
        wait_until(
            lambda: journal.arrivals.find() and woken.rings, 30, "the study is visible, and the next process was woken", every_s=0.01
        )
        assert not stop.is_set()


def test_a_defect_ends_the_process(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is told to end, and what broke is raised behind it: the supervisor starts the process again."""
    stop = threading.Event()

    def broken(_: IndexStage) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(IndexStage, "step", broken)
    with pytest.raises(ZeroDivisionError), _beside(config, Woken(), stop):
        assert stop.wait(30)
