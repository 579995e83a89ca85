"""Engines that are away or back, and what the digest of several models is."""

import hashlib
from dataclasses import replace

import pytest

from inference.engines.port import Engine, ModelRef
from inference.errors import EngineError
from node.domain.route import Route
from node.flow.infer import Engines, engine_of, model_digest
from node.settings.config import ApplicationSettings
from tests.unit.flow.mini import MiniNode, ThresholdEngine


def test_only_engines_that_routes_need_are_looked_at(node: MiniNode) -> None:
    """An engine that no route leads to is not opened, away or not."""
    node.configure(
        applications={"a": ApplicationSettings(name="a", engine="gpu"), "b": ApplicationSettings(name="b", engine="unused")},
        routes=(Route(name="r", run=("a", "c"), send=("archive",)),),
    )
    opened: list[str] = []

    def open_engine(name: str) -> Engine:
        opened.append(name)
        return ThresholdEngine(ready=name != "gpu")

    engines = Engines(node.config, open_engine)
    assert engines.away() == {"gpu"}
    assert sorted(opened) == ["default", "gpu"]
    assert engine_of(node.config, "c") == "default"


def test_health_is_asked_every_few_seconds_and_at_once_when_it_matters(node: MiniNode) -> None:
    """Between two looks the last answer holds."""
    now = 0.0
    engine = ThresholdEngine()
    engines = Engines(node.config, lambda _: engine, seconds=lambda: now)
    assert engines.away() == frozenset()
    engine.ready = False
    now = 4.0
    assert engines.away() == frozenset()
    assert engines.away(True) == {"default"}
    engine.ready = True
    now = 8.0
    assert engines.away() == {"default"}
    now = 9.1
    assert engines.away() == frozenset()


def test_an_engine_that_cannot_be_opened_is_away(node: MiniNode, capsys: pytest.CaptureFixture[str]) -> None:
    """Its jobs wait, and the event says why, once."""

    def refuse(_: str) -> Engine:
        raise EngineError("connection refused")

    engines = Engines(node.config, refuse)
    assert engines.away(True) == engines.away(True) == {"default"}
    told = capsys.readouterr()
    assert (told.out + told.err).count("connection refused") == 1


def test_engines_are_opened_once_and_closed(node: MiniNode) -> None:
    """One engine a name and process: models stay loaded."""
    engine = ThresholdEngine()
    opened: list[str] = []
    engines = Engines(node.config, lambda name: opened.append(name) or engine)  # type: ignore[func-returns-value]
    assert engines.of("default") is engines.of("default")
    assert opened == ["default"]
    engines.close()
    assert not engine.ready


def test_the_digest_of_several_models_depends_on_each_of_them() -> None:
    """One model: its own digest. Several: one over names, versions and digests, in any order."""
    first, second = ModelRef(name="a"), ModelRef(name="b", version=2)
    engine = ThresholdEngine()
    own = hashlib.sha256(b"weights-1").hexdigest()
    assert model_digest(engine, [first]) == own
    both = model_digest(engine, [first, second])
    assert both == model_digest(engine, [second, first]) == hashlib.sha256(f"a 1 {own}\nb 2 {own}".encode()).hexdigest()
    assert model_digest(engine, [first, replace(second, version=3)]) != both
