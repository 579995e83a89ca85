"""The fixtures of the stages' tests: one clock, one node in miniature."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.blobs.folder import FolderBlobs
from node.domain.route import Route
from node.journal.journal import Journal
from node.settings.config import ApplicationSettings, Config, SinkSettings
from node.settings.node import Node
from node.settings.store import Store
from node.sinks.folder import Folder
from tests.lab import empty_journal
from tests.unit.flow.mini import CT1, FakeClock, MiniNode


@pytest.fixture
def make_node() -> Iterator[Callable[[Path], MiniNode]]:
    """Makes nodes with one peer, one application, two sinks and one route to the first of them."""
    with contextlib.ExitStack() as opened:

        def make(folder: Path) -> MiniNode:
            folder.mkdir(exist_ok=True)
            config = Config(
                path=folder / "hilum.yaml",
                digest="0" * 64,
                node=Node(),
                store=Store(journal=f"sqlite:{folder}/hilum.db", blobs=folder / "blobs", high_water=1),
                models=folder / "models",
                peers={"ct1": CT1},
                sinks={name: SinkSettings(name=name, destination=Folder(path=folder / name)) for name in ("archive", "second")},
                applications={"threshold": ApplicationSettings(name="threshold")},
                routes=(Route(name="all", run=("threshold",), send=("archive",)),),
            )
            journal = Journal.open(empty_journal.make(config.store.journal))
            opened.callback(journal.close)
            return MiniNode(journal=journal, blobs=FolderBlobs(config.store.blobs), config=config, clock=FakeClock(), folder=folder)

        yield make


@pytest.fixture
def node(tmp_path: Path, make_node: Callable[[Path], MiniNode]) -> MiniNode:
    """One such node."""
    return make_node(tmp_path)
