"""`hilum doctor` on engines: do they answer, and does a Triton server serve what the applications were made for?"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from node.cli.finding import Finding
from node.settings.config import Config, EngineKind, EngineSettings

if TYPE_CHECKING:
    from inference.engines.triton.engine import TritonEngine

_LEAST_ROOM = 2**30
_SOON = timedelta(days=21)
_NEEDED = {
    "statistics": "hilum cannot tell how busy it is",
    "model_configuration": "models cannot be compared with the repository",
}


def look_at_engines(config: Config, applications: Sequence[str]) -> Iterator[Finding]:
    """Every engine that an application of a route runs on."""
    from node.assembly.compose import engine_of, open_engine, open_triton

    for name in sorted({engine_of(config, application) for application in applications}):
        settings = config.engines.get(name)
        if settings is not None and settings.kind is EngineKind.TRITON:
            with open_triton(config, settings) as engine:
                yield from _triton(config, settings, engine, [each for each in applications if engine_of(config, each) == name])
            continue
        with contextlib.closing(open_engine(config, name)) as opened:
            health = opened.health()
        fix = "" if health.ready else "Install the embedded engine (`pip install 'hilum[embedded]'`); jobs wait until then."
        yield Finding(subject=f"engine {name}", level="good" if health.ready else "bad", detail=health.detail, fix=fix)


def _triton(config: Config, settings: EngineSettings, engine: "TritonEngine", applications: Sequence[str]) -> Iterator[Finding]:
    from inference.errors import HilumError

    subject = f"engine {settings.name}"
    health = engine.health()
    if not health.ready:
        yield Finding(subject=subject, level="bad", detail=health.detail, fix=_mend(settings))
        return
    try:
        report = engine.report()
    except HilumError as away:
        yield Finding(subject=subject, level="bad", detail=f"{away} [{away.code}]", fix=_mend(settings))
        return
    yield Finding(subject=subject, level="good", detail=health.detail)
    lacking = [why for extension, why in _NEEDED.items() if extension not in report.extensions]
    if settings.load and not any(extension.startswith("model_repository") for extension in report.extensions):
        lacking.append("hilum cannot load models there (`load: false` says so)")
    for why in lacking:
        yield Finding(
            subject=subject, level="warning", detail=f"a server with fewer extensions: {why}", fix="Use NVIDIA's Triton 24.10 or newer."
        )
    if not report.all_ready:
        fix = "Look at the server's log: a model that it was told to load is not ready; those below are what hilum needs."
        yield Finding(subject=subject, level="warning", detail="the server says that it is not ready", fix=fix)
    if engine.shares_memory and engine.shared_room < _LEAST_ROOM:
        detail = f"{engine.shared_room / 2**20:.0f} MiB of shared memory on this machine: tensors that are larger go by gRPC"
        fix = "Give the container more (`--shm-size=4g`, or `--ipc=host` as the server's)."
        yield Finding(subject=subject, level="warning", detail=detail, fix=fix)
    if report.certificate_until is not None:
        yield _certificate(subject, report.certificate_until)
    for application in applications:
        yield from _served(config, subject, engine, application)


def _mend(settings: EngineSettings) -> str:
    tls = " Is its certificate the one that `tls:` names the authority of?" if settings.url.startswith("grpcs://") else ""
    return f"Is the server running at {settings.url}, and may this machine reach the port?{tls} Until then jobs wait; intake goes on."


def _certificate(subject: str, until: datetime) -> Finding:
    left = until - datetime.now(UTC)
    detail = f"the server's certificate is valid until {until:%Y-%m-%d}"
    if left < _SOON:
        return Finding(subject=subject, level="warning", detail=detail, fix="Renew it: without, the engine counts as away from then on.")
    return Finding(subject=subject, level="good", detail=detail)


def _served(config: Config, subject: str, engine: "TritonEngine", application: str) -> Iterator[Finding]:
    from inference.engines.calling import with_places_taken
    from inference.errors import HilumError
    from node.assembly import compose
    from node.flow.infer import calls_of

    try:
        models = with_places_taken(calls_of(config, compose.application(config, application)))
        for model in models:
            engine.check(model)
            at_once = engine.load(model).at_once
            detail = f"serves {model.name} version {model.version} as the repository describes it, {at_once} calls at once ({application})"
            yield Finding(subject=subject, level="good", detail=detail)
    except HilumError as refused:
        yield Finding(subject=subject, level="bad", detail=f"{application}: {refused} [{refused.code}]", fix=refused.remedy)
