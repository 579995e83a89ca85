"""What the demo's models run on: the node's own processes, a Triton server that the demo starts, or one that is running."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.domain.errors import ConfigError

if TYPE_CHECKING:
    from inference.engines.port import ModelRef

_ENGINES = 'engines: {{default: {{kind: triton, url: "{url}"}}}}{remark}\n'
_ENDED = "  # this server ended with the demo"


class DemoEngineAway(ConfigError):
    """The Triton server that --triton-url names does not answer."""

    code = "HLM-2097"
    remedy = "Start it, or leave --triton-url out: `hilum demo --engine triton` starts one on this machine."


@dataclass(slots=True, kw_only=True)
class DemoEngine:
    """The engine of a demo.

    Attributes
    ----------
    config
        Its block of hilum.yaml; "" for the embedded engine, which needs none.
    detail
        What the server says of itself, as `hilum doctor` prints it.
    computed
        After the demo: calls that a server of the demo's own counted, by model.
    """

    name: str
    config: str = ""
    url: str = ""
    detail: str = ""
    computed: dict[str, int] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What the demo's JSON says of it."""
        if not self.url:
            return {"engine": self.name}
        return {"engine": self.name, "triton": {"url": self.url, "detail": self.detail, "computed": self.computed}}


@contextlib.contextmanager
def demo_engine(name: str, triton_url: str | None, application: str, repository: Path) -> Iterator[DemoEngine]:
    """The engine, ready for the application's models, as long as the demo lasts.

    Raises
    ------
    DemoEngineAway, ServerUnsupported, ServerNotStarted, RegistryAway
        There is no server.
    ModelError
        The server that was named serves other models than the demo's.
    """
    if triton_url is not None:
        yield _asked(triton_url, application, repository)
    elif name == "triton":
        from inference.engines.triton.server import LocalTriton

        with LocalTriton(repository, models=sorted({model.name for model in _models(application, repository)})) as server:
            engine = _asked(server.url, application, repository, _ENDED)
            yield engine
            engine.computed = _computed(server.url)
    else:
        yield DemoEngine(name=name)


def _models(application: str, repository: Path) -> "tuple[ModelRef, ...]":
    """The models that the application calls, and those that the repository has it call in their places."""
    from inference.applications.catalog import load
    from inference.engines.calling import with_places_taken
    from inference.engines.repository import Repository
    from inference.engines.serving import resolved

    models = Repository(repository)
    called = resolved(load(application, (repository,)).models, repository).values()
    return with_places_taken({model: models.call_of(model) for model in called})


def _asked(url: str, application: str, repository: Path, remark: str = "") -> DemoEngine:
    """A server that answers and serves the models; the node would wait for one that does not."""
    from inference.engines.triton.engine import TritonEngine

    with TritonEngine(url, repository) as engine:
        health = engine.health()
        if not health.ready:
            raise DemoEngineAway(health.detail)
        for model in _models(application, repository):
            engine.check(model)
    return DemoEngine(name="triton", config=_ENGINES.format(url=url, remark=remark), url=url, detail=health.detail)


def _computed(url: str) -> dict[str, int]:
    from tritonclient import grpc

    # http_proxy is for the world outside
    with grpc.InferenceServerClient(url.removeprefix("grpc://"), channel_args=[("grpc.enable_http_proxy", 0)]) as asked:
        statistics = asked.get_inference_statistics().model_stats
    return {each.name: int(each.inference_stats.success.count) for each in statistics}
