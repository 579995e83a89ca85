"""The Triton server of this machine serves the repository as it is: every type, every caller its own answer, on loopback alone."""

import urllib.request
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from inference.engines.modelconfig import DTYPES
from inference.engines.triton.server import LocalTriton
from tests.lab.triton import Started, servers
from tests.triton.asking import ONE, X, ask, client_of, put_doubles, together
from tests.unit.engines.models import put

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that double, in a repository that the tests only read."""
    repository = tmp_path_factory.mktemp("models")
    put_doubles(repository)
    return repository


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[LocalTriton]:
    """One server over that repository, for tests that leave it as it is."""
    with servers() as start:
        yield start(models)


def _executions(server: LocalTriton, model: str) -> int:
    with client_of(server) as asked:
        return int(asked.get_inference_statistics(model).model_stats[0].execution_count)


def test_it_serves_the_repository_as_it_is_on_loopback_alone(server: LocalTriton) -> None:
    """config.pbtxt names NVIDIA's backends; models compute, metrics count, and no socket listens on another address."""
    np.testing.assert_array_equal(ask(server), X * 2)
    np.testing.assert_array_equal(ask(server, "picky"), X * 2)
    with urllib.request.urlopen(server.metrics_url, timeout=60) as page:
        assert 'nv_inference_request_success{model="double",version="1"}' in page.read().decode()
    sockets = psutil.Process(server.pid).net_connections("inet")
    addresses = [ip_address(each.laddr.ip) for each in sockets if each.status == psutil.CONN_LISTEN]
    # gRPC listens on IPv6's name of the same address, ::ffff:127.0.0.1
    assert [getattr(address, "ipv4_mapped", None) or address for address in addresses] == [ip_address("127.0.0.1")] * 2


def test_every_type_of_tensor_arrives_as_it_was_sent(triton: Started, tmp_path: Path) -> None:
    """The server's own conversion to numpy 2 gives zeros, silently; what is sent here comes back, in each type there is."""
    types = {np.bool_: TensorProto.BOOL, np.float16: TensorProto.FLOAT16, np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}
    for name, dtype in DTYPES.items():
        kind = types.get(dtype) or getattr(TensorProto, dtype.__name__.upper())
        x, y = (helper.make_tensor_value_info(tensor, kind, ["n"]) for tensor in "xy")
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        tensors = f'input [ {{ name: "x" data_type: {name} dims: [ -1 ] }} ]\noutput [ {{ name: "y" data_type: {name} dims: [ -1 ] }} ]\n'
        put(tmp_path, name, "model.onnx", model.SerializeToString(), f'backend: "onnxruntime"\n{tensors}{ONE}')
    server = triton(tmp_path)
    for name, dtype in DTYPES.items():
        values = np.array([0, 1, 1, 0, 1]) if dtype is np.bool_ else np.array([0, 1, 2, 100, 127])
        if np.issubdtype(dtype, np.signedinteger) or np.issubdtype(dtype, np.floating):
            values = -values
        sent = values.astype(dtype)
        answer = ask(server, name, sent)
        assert answer.dtype == sent.dtype
        np.testing.assert_array_equal(answer, sent)


def test_requests_of_one_batch_each_get_their_own_answer(server: LocalTriton) -> None:
    """Eight callers, batches of one, two and three: fewer executions than requests (Triton counts them), nobody gets another's voxels."""
    before = _executions(server, "batched")
    arrays = [np.concatenate([X + 100 * number] * (1 + number % 3)) for number in range(8)]
    for sent, answer in zip(arrays, together(server, "batched", arrays), strict=True):
        np.testing.assert_array_equal(answer, sent * 2)
    assert _executions(server, "batched") - before < 8


def test_a_request_that_cannot_be_computed_fails_alone(server: LocalTriton) -> None:
    """Its neighbours in the batch are answered; its error names the model and the reason."""
    answers = together(server, "picky", [X, -1 - X, X + 1, X + 2])
    for place, sent in ((0, X), (2, X + 1), (3, X + 2)):
        np.testing.assert_array_equal(answers[place], sent * 2)
    assert isinstance(answers[1], InferenceServerException)
    assert 'model "picky" cannot compute these inputs' in str(answers[1])
