"""The fixtures of the stages' tests: one clock, one node in miniature."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.blobs.folder import FolderBlobs
from node.domain.route import Route
from node.journal.sql import SqlJournal
from node.settings.config import ApplicationSettings, Config, Node, Sink, SinkKind, Store
from tests.unit.flow.mini import CT1, FakeClock, MiniNode


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def node(tmp_path: Path, clock: FakeClock) -> Iterator[MiniNode]:
    """A node with one peer, one application, two sinks and one route to the first of them."""
    config = Config(
        path=tmp_path / "hilum.yaml",
        digest="0" * 64,
        node=Node(),
        store=Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs"),
        models=tmp_path / "models",
        peers={"ct1": CT1},
        sinks={name: Sink(name=name, kind=SinkKind.FOLDER, path=tmp_path / name) for name in ("archive", "second")},
        applications={"threshold": ApplicationSettings(name="threshold")},
        routes=(Route(name="all", run=("threshold",), send=("archive",)),),
    )
    journal = SqlJournal.open(config.store.journal)
    yield MiniNode(journal=journal, blobs=FolderBlobs(config.store.blobs), config=config, clock=clock, folder=tmp_path)
    journal.close()
