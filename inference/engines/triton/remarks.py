"""What `hilum doctor` says of a Triton server that answers: what it lacks, how much shared memory there is, until when its certificate
holds."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from inference.engines.kind import Remark
from inference.engines.port import Engine
from inference.engines.triton.engine import TritonEngine

_LEAST_ROOM = 2**30
_SOON = timedelta(days=21)
_NEEDED = {
    "statistics": "hilum cannot tell how busy it is",
    "model_configuration": "models cannot be compared with the repository",
}


def remarks(loads: bool, engine: Engine) -> Iterator[Remark]:
    """Ask the server for its report; `loads`: hilum loads its models.

    Raises
    ------
    EngineError
        It does not answer.
    """
    assert isinstance(engine, TritonEngine), "engines of this kind are opened by its record"
    report = engine.report()
    lacking = [why for extension, why in _NEEDED.items() if extension not in report.extensions]
    if loads and not any(extension.startswith("model_repository") for extension in report.extensions):
        lacking.append("hilum cannot load models there (`load: false` says so)")
    for why in lacking:
        yield Remark(level="warning", detail=f"a server with fewer extensions: {why}", fix="Use NVIDIA's Triton 24.10 or newer.")
    if not report.all_ready:
        fix = "Look at the server's log: a model that it was told to load is not ready; those below are what hilum needs."
        yield Remark(level="warning", detail="the server says that it is not ready", fix=fix)
    if engine.shares_memory and engine.shared_room < _LEAST_ROOM:
        detail = f"{engine.shared_room / 2**20:.0f} MiB of shared memory on this machine: tensors that are larger go by gRPC"
        fix = "Give the container more (`--shm-size=4g`, or `--ipc=host` as the server's)."
        yield Remark(level="warning", detail=detail, fix=fix)
    if report.certificate_until is not None:
        yield _certificate(report.certificate_until)


def _certificate(until: datetime) -> Remark:
    left = until - datetime.now(UTC)
    detail = f"the server's certificate is valid until {until:%Y-%m-%d}"
    if left < _SOON:
        return Remark(level="warning", detail=detail, fix="Renew it: without, the engine counts as away from then on.")
    return Remark(level="good", detail=detail)
