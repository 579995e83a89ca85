"""The server's configuration of a model against the node's, both as text that Triton reads."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from inference.engines import modelconfig
from inference.engines.errors import DigestMismatch, UnreadableModel, WrongTensors
from inference.engines.modelconfig import parse_config
from inference.engines.port import ModelRef
from inference.engines.triton.metadata import ModelOnServer, compare, served_from

HERE = """
name: "lung" backend: "onnxruntime" max_batch_size: 4
input [ { name: "x" data_type: TYPE_INT16 dims: [ 1, -1, -1, -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2, -1, -1, -1 ] } ]
"""
DIGEST = "ab" * 32
NAMED = f'{HERE} parameters {{ key: "hilum.sha256.2" value {{ string_value: "{DIGEST}" }} }}'
MODEL = ModelRef(name="lung", version=2)


def served(text: str) -> ModelOnServer:
    """What the server would say of a config.pbtxt."""
    return served_from(text_format.Parse(text, model_config_pb2.ModelConfig()), "grpc://gpu:8001")


def told(folder: Path, here: str, there: str) -> None:
    """Compare two texts."""
    (folder / "config.pbtxt").write_text(here)
    compare(MODEL, parse_config(folder / "config.pbtxt", "lung"), served(there), DIGEST, "grpc://gpu:8001")


@pytest.mark.parametrize(("here", "there"), [(HERE, HERE), (NAMED, NAMED), (HERE, NAMED), (NAMED, NAMED.replace(DIGEST, DIGEST.upper()))])
def test_the_same_model_is_taken(tmp_path: Path, here: str, there: str) -> None:
    """A repository that was made for Triton alone names no digest."""
    told(tmp_path, here, there)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("TYPE_INT16", "TYPE_FP32"), "input x is float32 on the server, int16 here"),
        (("dims: [ 2, -1", "dims: [ 3, -1"), "output y has dims [3, -1, -1, -1] on the server, [2, -1, -1, -1] here"),
        (('"y"', '"z"'), "the server has no output y; the server has an output z that is not described here"),
        (("max_batch_size: 4", "max_batch_size: 8"), "max_batch_size is 8 on the server, 4 here"),
    ],
)
def test_what_differs_is_said(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """Both sides of it, with the model, its version and the server."""
    with pytest.raises(WrongTensors) as refused:
        told(tmp_path, HERE, HERE.replace(*change))
    assert said in str(refused.value)
    assert 'model "lung" version 2: grpc://gpu:8001 serves another model' in str(refused.value)


def test_everything_that_differs_is_said_at_once(tmp_path: Path) -> None:
    """An operator mends it in one go."""
    with pytest.raises(WrongTensors, match=r"max_batch_size is 0.*input x is uint8.*output y is float64"):
        told(tmp_path, HERE, HERE.replace("4", "0", 1).replace("TYPE_INT16", "TYPE_UINT8").replace("TYPE_FP32", "TYPE_FP64"))


def test_other_weights_are_refused_with_both_digests(tmp_path: Path) -> None:
    """The results would bear the name of a model that did not make them."""
    other = "cd" * 32
    for here in (HERE, NAMED):
        with pytest.raises(DigestMismatch, match=f"{other}.*{DIGEST}"):
            told(tmp_path, here, NAMED.replace(DIGEST, other))


def test_a_server_that_does_not_say_its_weights_is_refused_where_the_node_names_them(tmp_path: Path) -> None:
    """Its repository is not a copy of the node's; nor is one that names another version's weights only."""
    for there in (HERE, NAMED.replace("sha256.2", "sha256.1")):
        with pytest.raises(DigestMismatch, match=r"has no parameter hilum\.sha256\.2"):
            told(tmp_path, NAMED, there)


@pytest.mark.parametrize(
    ("more", "at_once"),
    [
        ("", 1),
        ("instance_group [ { count: 2 kind: KIND_CPU } ]", 2),
        ("instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1, 3 ] } ]", 6),
        ("instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0 ] }, { count: 1 kind: KIND_CPU } ]", 3),
        ("dynamic_batching { }", 4),
        ("instance_group [ { count: 2 } ] dynamic_batching { }", 8),
        ("instance_group [ { count: 9 } ] dynamic_batching { }", 16),
    ],
)
def test_calls_at_once_are_instances_times_what_the_batcher_puts_together(more: str, at_once: int) -> None:
    """Instances are counted a device; 16 at most, each call holds a tensor."""
    assert served(HERE + more).at_once == at_once


def test_a_tensor_that_no_application_can_give_is_said_with_the_server(tmp_path: Path) -> None:
    """Strings, for instance."""
    with pytest.raises(UnreadableModel, match=r"lung at grpc://gpu:8001: tensor x is TYPE_STRING"):
        served(HERE.replace("TYPE_INT16", "TYPE_STRING"))


def test_a_config_is_read_by_the_message_that_the_client_has() -> None:
    """Triton's description lies in the package, so that gRPC need not; it is the one of the client that is installed."""
    described = Path(modelconfig.__file__).with_name("model_config.binpb").read_bytes()
    assert described == model_config_pb2.DESCRIPTOR.serialized_pb
