"""Small models that a Triton server runs as they are, in its python backend: what each answers is known without it."""

from pathlib import Path

_CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 0
default_model_filename: "model.py"
input [ {{ name: "X" data_type: {input} dims: [ {dims} ] }} ]
output [ {{ name: "Y" data_type: {output} dims: [ {out} ] }} ]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
{more}
"""

# from_dlpack both ways: what as_numpy gives is wrong under numpy 2
_MODEL = """
import os, time
import numpy as np
import triton_python_backend_utils as pb

def answer(x, request):
    {body}

class TritonPythonModel:
    def execute(self, requests):
        made = []
        for request in requests:
            x = np.from_dlpack(pb.get_input_tensor_by_name(request, "X"))
            made.append(pb.InferenceResponse([pb.Tensor.from_dlpack("Y", np.array(answer(x, request)))]))
        return made
"""

ECHO = "return x"
GROW = "return np.repeat(x, 100)"
# begun at, on a clock that all processes share; sleeps as long as X says, notes that beside the repository, and stops when the caller gave
# up or the note is taken away
_SLEEP = """began = time.monotonic()
    if x[0]:
        with open({naps!r}, "a") as naps:
            naps.write("begun\\n")
    while time.monotonic() - began < float(x[0]) and not request.is_cancelled() and os.path.exists({naps!r}):
        time.sleep(0.01)
    return np.array([began], np.float64)"""
FAIL = "raise RuntimeError('the weights are sour')"


def serve(
    repository: Path,
    name: str,
    body: str,
    *,
    input: str = "TYPE_FP32",
    output: str = "TYPE_FP32",
    dims: str = "-1, -1, -1",
    out: str = "-1, -1, -1",
    instances: int = 1,
    more: str = "",
) -> None:
    """Lay a model into the repository; `body` is what it does with its input `x`."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(_MODEL.format(body=body), encoding="utf-8")
    config = _CONFIG.format(name=name, input=input, output=output, dims=dims, out=out, instances=instances, more=more)
    (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")


def sleeper(repository: Path, name: str, **changes: object) -> None:
    """A model that takes as long as its input says and answers when it began."""
    body = _SLEEP.format(naps=str(_naps(repository, name)))
    serve(repository, name, body, output="TYPE_FP64", dims="1", out="1", **changes)  # type: ignore[arg-type]


def naps_begun(repository: Path, name: str) -> int:
    """How many calls, of those that take time at all, such a model has begun to compute."""
    naps = _naps(repository, name)
    return len(naps.read_text(encoding="utf-8").splitlines()) if naps.exists() else 0


def end_naps(repository: Path, name: str) -> None:
    """Let each call that it computes now be done."""
    _naps(repository, name).unlink()


def _naps(repository: Path, name: str) -> Path:
    return repository.with_name(f"{repository.name}.{name}.naps")
