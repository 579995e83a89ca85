"""Engines that are away or back, whether they serve what their applications were made for, and how many jobs they are worth."""

from dataclasses import dataclass, field, replace

import pytest

from inference.applications.port import Application
from inference.engines.errors import WrongTensors
from inference.engines.port import Engine, Load, ModelRef
from inference.engines.triton.kind import Triton
from inference.errors import EngineError, HilumError
from node.domain.route import Route
from node.flow.engines import Engines
from node.flow.infer import engine_of
from node.settings.config import ApplicationSettings, EngineSettings
from tests.unit.flow.mini import APPLICATION, MiniNode, ThresholdEngine

SMALL, LARGE = ModelRef(name="small"), ModelRef(name="large", version=3)


def application_of(name: str) -> Application:
    """Every application is the one that needs no model but a threshold."""
    return APPLICATION


@dataclass(slots=True)
class ServerEngine(ThresholdEngine):
    """An engine that refuses models, and says how busy it is, as the test wants."""

    refuses: dict[ModelRef, HilumError] = field(default_factory=dict)
    loads: dict[ModelRef, Load] = field(default_factory=dict)
    checked: list[ModelRef] = field(default_factory=list)

    def check(self, model: ModelRef) -> None:
        self.checked.append(model)
        if model in self.refuses:
            raise self.refuses[model]

    def load(self, model: ModelRef) -> Load:
        return self.loads[model]


class Server:
    """Two applications on one Triton server, a third on the embedded engine; time is what the test says."""

    def __init__(self, node: MiniNode) -> None:
        gpu = {name: ApplicationSettings(name=name, engine="gpu") for name in ("one", "both")}
        node.configure(
            applications=gpu,
            engines={"gpu": EngineSettings(name="gpu", options=Triton(url="grpc://localhost:8001"))},
            routes=(Route(name="r", run=("one", "both", "here"), send=("archive",)),),
        )
        self.now = 0.0
        self.engine = ServerEngine()
        self.engines = Engines(node.config, self.open_engine, self.application_of, seconds=lambda: self.now)

    def open_engine(self, name: str) -> Engine:
        return self.engine if name == "gpu" else ThresholdEngine()

    def application_of(self, name: str) -> Application:
        models = {"one": (SMALL,), "both": (SMALL, LARGE), "here": (SMALL,)}
        return replace(APPLICATION, name=name, models=models[name])

    def look(self, after_s: float) -> frozenset[str]:
        self.now += after_s
        return self.engines.away()


@pytest.fixture
def server(node: MiniNode) -> Server:
    """A server that answers and serves everything."""
    return Server(node)


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

    engines = Engines(node.config, open_engine, application_of)
    assert engines.away() == {"gpu"}
    assert sorted(opened) == ["default", "gpu"]
    assert engine_of(node.config, "c") == "default"


def test_health_is_asked_every_few_seconds_and_at_once_when_it_matters(node: MiniNode) -> None:
    """Between two looks the last answer holds."""
    now = 0.0
    engine = ThresholdEngine()
    engines = Engines(node.config, lambda _: engine, application_of, seconds=lambda: now)
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

    engines = Engines(node.config, refuse, application_of)
    assert engines.away(True) == engines.away(True) == {"default"}
    told = capsys.readouterr()
    assert (told.out + told.err).count("connection refused") == 1


def test_engines_are_opened_once_and_closed(node: MiniNode) -> None:
    """One engine a name and process: models stay loaded."""
    engine = ThresholdEngine()
    opened: list[str] = []
    engines = Engines(node.config, lambda name: opened.append(name) or engine, application_of)  # type: ignore[func-returns-value]
    assert engines.of("default") is engines.of("default")
    assert opened == ["default"]
    engines.close()
    assert not engine.ready


def test_models_are_checked_as_soon_as_their_engine_answers_and_again_when_it_is_back(server: Server) -> None:
    """Before any study, once; a server that was away may be another one."""
    server.look(0)
    assert server.engine.checked == [SMALL, LARGE, SMALL]
    for _ in range(5):
        server.look(5)
    assert len(server.engine.checked) == 3
    server.engine.ready = False
    assert server.look(5) == {"gpu"}
    assert len(server.engine.checked) == 3
    server.engine.ready = True
    assert server.look(5) == frozenset()
    assert len(server.engine.checked) == 6


def test_a_model_that_differs_is_an_alarm_once_and_the_engine_is_not_away(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The other application goes on; the refused one is asked again every minute, and the mended one is told."""
    server.engine.refuses[LARGE] = WrongTensors("input X is float32 on the server, int16 here")
    assert server.look(0) == frozenset()
    for _ in range(20):
        server.look(5)
    told = capsys.readouterr()
    lines = [line for line in (told.out + told.err).splitlines() if "model_refused" in line]
    assert len(lines) == 1
    assert all(word in lines[0] for word in ("gpu", "both", "HLM-4104", "float32 on the server"))
    assert server.engine.checked.count(LARGE) == 2
    del server.engine.refuses[LARGE]
    for _ in range(20):
        server.look(5)
    told = capsys.readouterr()
    assert (told.out + told.err).count("engine.model_served") == 1


def test_a_server_that_goes_away_while_its_models_are_checked_is_asked_at_the_next_look(server: Server) -> None:
    """That is no refusal: nobody knows yet."""
    server.engine.refuses[SMALL] = EngineError("connection reset")
    server.look(0)
    server.engine.refuses.clear()
    server.engine.checked.clear()
    server.look(5)
    assert server.engine.checked == [SMALL, LARGE, SMALL]


def test_an_application_is_worth_as_many_jobs_as_its_narrowest_model_computes(server: Server) -> None:
    """Twice as many, so that one is decoded while another computes; an engine in each worker bounds nobody else."""
    server.engine.loads = {SMALL: Load(at_once=4), LARGE: Load(at_once=1)}
    server.look(0)
    assert server.engines.at_once() == {"one": 8, "both": 2}


def test_a_server_that_others_keep_busy_gets_one_job_at_a_time(server: Server) -> None:
    """Calls that wait for ten seconds and more are not made faster by more of them."""
    server.engine.loads = {SMALL: Load(at_once=4), LARGE: Load(at_once=4, queue_s=12.0)}
    server.look(0)
    assert server.engines.at_once() == {"one": 8, "both": 1}
    server.engine.loads[LARGE] = Load(at_once=4)
    assert server.engines.at_once() == {"one": 8, "both": 1}, "it is not asked at every claim"
    server.look(5)
    assert server.engines.at_once() == {"one": 8, "both": 8}
    server.engine.ready = False
    server.look(5)
    assert server.engines.at_once() == {}
