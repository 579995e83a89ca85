"""Models that are to be computed on a GPU, where there is none: each library says so, and no processor stands in for it."""

from pathlib import Path

import pytest
import torch

from inference.engines.choosing import on_gpu
from inference.engines.errors import NoSuchGpu
from inference.engines.execution import Execution, Runtime
from inference.engines.modelconfig import names_gpu
from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.engines.runtimes import computation
from tests.unit.engines.models import CONFIG, doubling_onnx, put, scripted

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: python -m bench gpu computes on it"),
]


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A model as TorchScript, and one as ONNX."""
    taken = {"batch": 1, "dims": "1, 4, 4, 4"}
    config = CONFIG.format(name="script", backend="pytorch", input="INPUT__0", output="OUTPUT__0", **taken)
    put(tmp_path, "script", "model.pt", scripted(Double()), config)
    put(tmp_path, "onnx", "model.onnx", doubling_onnx(), CONFIG.format(name="onnx", backend="onnxruntime", input="x", output="y", **taken))
    return Repository(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("script", r'model "script" is to be computed on GPU 1, and torch \S+ (was built without CUDA|finds 0 GPUs that it can use)'),
        ("onnx", r'model "onnx" is to be computed on GPU 1, and this onnxruntime \S+ computes on the processor only'),
    ],
)
def test_a_library_without_a_gpu_says_so(repository: Repository, name: str, said: str) -> None:
    """At loading: a model that computes on the processor although its configuration says KIND_GPU would only be slow."""
    model = ModelRef(name=name)
    file, content, _ = repository.read(model)
    with pytest.raises(NoSuchGpu, match=said):
        on_gpu(model, repository.config(model), file, content, threads=1, golden=None, gpu=1)


@pytest.mark.parametrize(
    ("group", "named"),
    [
        ("instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] } ]", True),
        ("instance_group [ { kind: KIND_CPU }, { kind: KIND_GPU } ]", True),
        ("instance_group [ { kind: KIND_CPU } ]", False),
        ("instance_group [ { count: 2 } ]", False),
        ("instance_group [ { kind: KIND_AUTO } ]", False),
        ("", False),
    ],
)
def test_a_gpu_is_named_by_the_configuration_alone(tmp_path: Path, group: str, named: bool) -> None:
    """A server on a host with a GPU says GPU of an instance whose kind was left out: that asks for none."""
    file = tmp_path / "config.pbtxt"
    file.write_text(CONFIG.format(name="one", backend="pytorch", input="x", output="y", batch=1, dims="1, 4") + group, encoding="utf-8")
    assert names_gpu(file) is named


def test_openvino_computes_on_processors(repository: Repository) -> None:
    """`backend: "openvino"` on KIND_GPU is refused, too."""
    model = ModelRef(name="onnx")
    file, content, _ = repository.read(model)
    with pytest.raises(NoSuchGpu, match="OpenVINO computes on the processor"):
        computation(Execution(runtime=Runtime.OPENVINO), repository.config(model), file, content, 1, 0)
