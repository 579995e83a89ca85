"""What the supervisor looks up, when what it looks at is slow, gone or broken: a scrape never harms the node."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import pytest

from node.assembly.compose import open_journal
from node.domain.job import Census
from node.journal.journal import Journal
from node.journal.port import Pausable
from node.observe import metrics
from node.observe.instruments import count_in
from node.observe.pulse import WatchedProcess
from node.observe.shared_memory import SharedCells
from node.records.telemetry import Facts, Telemetry
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from tests.lab import empty_journal


class _Slow:
    """A journal that answers only when it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked = 0
        self.takes: Callable[[], object] = lambda: None

    def now(self) -> datetime:
        return datetime.now(UTC)

    @property
    def census(self) -> Self:
        return self

    @property
    def processes(self) -> Self:
        return self

    @property
    def pauses(self) -> Self:
        return self

    def take(self, now: datetime) -> Census:
        self.asked += 1
        self.takes()
        assert self.let_go.wait(30)
        return Census(jobs=(), arrivals=(), deliveries=(), jobs_held=3, deliveries_held=0, size_bytes=1)

    def beats(self) -> dict[str, tuple[datetime, str]]:
        return {}

    def find(self) -> list[tuple[Pausable, str, datetime]]:
        return []


def _facts(config: Config, *, least_s: float = 5.0, share: float = 20.0) -> Facts:
    """What is asked for the first time is waited for, however busy the machine is."""
    return Facts(config.store, partial(open_journal, config), patience_s=120.0, least_s=least_s, share=share)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A node of which only the store matters here."""
    (tmp_path / "blobs").mkdir()
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs", min_free_bytes=1)
    return Config(path=tmp_path / "hilum.yaml", digest="d" * 64, node=Node(metrics_host="127.0.0.1"), store=store, models=tmp_path)


@pytest.fixture
def watched() -> Iterator[list[WatchedProcess]]:
    """A listener and a worker that are up."""
    processes = [WatchedProcess(name="receive"), WatchedProcess(name="work 1")]
    for number, one in enumerate(processes):
        one.began(100_000_000 + number, f"host:{number}")
        one.ready = True
    yield processes
    count_in(SharedCells.alone())


def _ready(telemetry: Telemetry) -> tuple[int, Any]:
    page = telemetry.readiness_page()
    return page.status.value, json.loads(page.body)


def test_a_journal_that_hangs_is_asked_once_and_holds_up_a_scrape_for_a_moment(config: Config) -> None:
    """Every scrape comes back; one thread waits, not one each; when the journal answers, so do the figures."""
    slow = _Slow()
    looked = Facts(config.store, lambda: cast(Journal, slow), patience_s=0.2)
    began = time.monotonic()
    assert [looked.latest() for _ in range(5)] == [None] * 5
    assert time.monotonic() - began < 60
    assert slow.asked == 1
    slow.let_go.set()
    looked.patience_s = 30.0
    found = looked.latest()
    assert found is not None
    assert metrics.LEASES.of(3, subject="job") in found.samples
    assert slow.asked == 1


def test_figures_are_kept_for_five_seconds_and_longer_when_they_cost_much(config: Config) -> None:
    """By a clock of the test's own: looked up anew after 5 s; after 20 times as long as the last time took, where that is more."""
    now = [0.0]
    slow = _Slow()
    slow.let_go.set()
    slow.takes = lambda: now.append(now.pop() + (2.0 if slow.asked == 4 else 0.0))
    looked = Facts(config.store, lambda: cast(Journal, slow), patience_s=120.0, seconds=lambda: now[0])
    for at, asked in ((0.0, 1), (4.9, 1), (5.0, 2), (9.9, 2), (10.0, 3)):
        now[0] = at
        assert looked.latest() is not None
        assert slow.asked == asked, f"after {at} s"
    for at, asked in ((15.0, 4), (54.9, 4), (55.0, 5)):
        now[0] = at
        looked.latest()
        assert slow.asked == asked, f"after {at} s"


def test_a_journal_that_is_broken_and_mended(config: Config, watched: list[WatchedProcess], tmp_path: Path) -> None:
    """Degraded, not unready: studies are taken in. The reason stands there with its code; once mended, it is gone."""
    (tmp_path / "hilum.db").write_bytes(b"no journal at all " * 1000)
    telemetry = Telemetry(config, watched, _facts(config, least_s=0.0, share=0.0))
    status, said = _ready(telemetry)
    assert (status, said["ready"], said["degraded"]) == (200, True, ["journal"])
    assert "HLM-7004" in said["parts"]["journal"]["why"]
    assert b"hilum_journal_up 0.0" in telemetry.metrics_page().body
    (tmp_path / "hilum.db").unlink()
    assert _ready(telemetry)[1]["degraded"] == []
    assert b"hilum_journal_up 1.0" in telemetry.metrics_page().body


def test_a_node_without_room_or_listener_is_not_ready(config: Config, watched: list[WatchedProcess]) -> None:
    """What intake needs decides; the rest is named and does not."""
    full = replace(config, store=replace(config.store, min_free_bytes=2**62))
    status, said = _ready(Telemetry(full, watched, _facts(full)))
    assert (status, said["ready"]) == (503, False)
    assert "are free" in said["parts"]["disk"]["why"]
    watched[1].died(-9)
    status, said = _ready(Telemetry(config, watched, _facts(config)))
    assert (status, said["degraded"]) == (200, ["work 1"])
    watched[0].died(-11)
    status, said = _ready(Telemetry(config, watched, _facts(config)))
    assert status == 503
    assert said["parts"]["receive"]["why"] == "it ended with -11 and is started again"


def test_a_node_that_ends_is_not_ready_and_lives(config: Config, watched: list[WatchedProcess]) -> None:
    """A load balancer sends nothing new; nobody kills what drains."""
    telemetry = Telemetry(config, watched, _facts(config))
    telemetry.drain()
    status, said = _ready(telemetry)
    assert (status, said["why"]) == (503, "the node is ending")
    assert telemetry.liveness_page().status == 200


def test_a_supervisor_that_does_not_turn_is_not_live(config: Config, watched: list[WatchedProcess]) -> None:
    """What the page shows is that the loop goes round, not that a thread answers."""
    now = [0.0]
    telemetry = Telemetry(config, watched, _facts(config), seconds=lambda: now[0])
    assert telemetry.liveness_page().status == 200
    now[0] = 60.0
    page = telemetry.liveness_page()
    assert page.status == 503
    assert "has not turned for 60 s" in json.loads(page.body)["why"]


def test_an_engine_that_is_away_is_named(config: Config, watched: list[WatchedProcess]) -> None:
    """By any worker's word; and no more once that worker is gone."""
    count_in(watched[1].cells)
    metrics.ENGINE_UP.set(0, engine="gpu")
    telemetry = Telemetry(config, watched, _facts(config))
    status, said = _ready(telemetry)
    assert (status, said["degraded"]) == (200, ["engine gpu"])
    watched[1].died(1)
    watched[1].began(1, "host:9")
    watched[1].ready = True
    assert _ready(telemetry)[1]["degraded"] == []


def test_signs_of_life_and_pauses_are_told(config: Config, watched: list[WatchedProcess]) -> None:
    """Of this node's processes only, by their stage; what the operator paused stands there by name."""
    journal = Journal.open(empty_journal.make(config.store.journal))
    now = datetime.now(UTC)
    journal.processes.beat("work host:1", "running", now)
    journal.processes.beat("work elsewhere:1", "running", now)
    journal.pauses.add(Pausable.SINK, "archive", now)
    journal.close()
    lines = Telemetry(config, watched, _facts(config)).metrics_page().body.decode().splitlines()
    assert [line.partition(" ")[0] for line in lines if line.startswith("hilum_process_beat_age_seconds{")] == [
        'hilum_process_beat_age_seconds{process="work'
    ]
    assert 'hilum_paused{kind="sink",name="archive"} 1.0' in lines
