"""ONNX files: weights in other files, foreign operators, functions, endless loops, each refused by name before a library reads it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.sieve.sieve import sift


def model(*nodes: Any, initializers: tuple[Any, ...] = (), functions: tuple[Any, ...] = ()) -> Any:
    """A model of these nodes, from x to y."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y"))
    graph = helper.make_graph(list(nodes), "g", [x], [y], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("other", 1)], functions=list(functions))


def external(location: str) -> Any:
    """Weights that lie elsewhere."""
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def constant(tensor: Any) -> Any:
    """A node that gives weights."""
    return helper.make_node("Constant", [], ["w"], value=tensor, name="weights")


def endless() -> Any:
    """A loop without a count and without a condition."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["v", "v"], ["u"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []), helper.make_tensor_value_info("u", TensorProto.FLOAT, None)],
    )
    return helper.make_node("Loop", ["", "", "x"], ["y"], name="forever", body=body)


def inside(node: Any) -> Any:
    """A node in the branch of an If."""
    branch = helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [4])])
    return helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)


DOUBLE = helper.make_node("Add", ["x", "x"], ["y"], name="double")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: model(DOUBLE, initializers=(external("../../journal.db"),)), r"'w' lie in another file \('../../journal\.db'\)"),
        (lambda: model(DOUBLE, initializers=(external("/etc/passwd"),)), "'/etc/passwd'"),
        (lambda: model(DOUBLE, constant(external("weights.bin"))), "lie in another file"),
        (lambda: model(DOUBLE, inside(constant(external("/etc/passwd")))), "lie in another file"),
        (lambda: model(helper.make_node("Run", ["x"], ["y"], domain="other", name="n")), r"'n' is the operator 'other\.Run'"),
        (lambda: model(helper.make_node("Add", ["x", "x"], ["y"], domain="other")), r"'other\.Add'"),
        (lambda: model(helper.make_node("PyOp", ["x"], ["y"], domain="com.microsoft")), r"com\.microsoft\.PyOp"),
        (lambda: model(helper.make_node("ImageDecoder", ["x"], ["y"])), "ImageDecoder"),
        (lambda: model(inside(helper.make_node("Run", [], ["w"], domain="other"))), r"other\.Run"),
        (
            lambda: model(DOUBLE, functions=(helper.make_function("other", "F", ["a"], ["b"], [], [helper.make_opsetid("", 18)]),)),
            "functions of its own",
        ),
        (lambda: model(endless()), "'forever' is a Loop without a count and without a condition: it never ends"),
    ],
)
def test_what_is_more_than_a_computation_is_refused(made: Callable[[], Any], said: str) -> None:
    """By the node or the weights, wherever in the model they stand."""
    with pytest.raises(HostileModel, match=said):
        sift("model.onnx", made().SerializeToString())


def test_a_field_that_stands_twice_is_read_twice() -> None:
    """A protobuf library takes the last of two types; the sieve looks at each."""
    content = model(helper.make_node("Run", ["x"], ["y"])).SerializeToString()
    honest = model(DOUBLE).SerializeToString()
    for merged in (content + honest, honest + content):
        assert onnx.load_from_string(merged).graph.node
        with pytest.raises((HostileModel, UnreadableModel)):
            sift("model.onnx", merged)


def test_honest_models_pass() -> None:
    """Branches, loops with a count, weights inside."""
    sift("model.onnx", model(DOUBLE, initializers=(numpy_helper.from_array(np.ones(4, np.float32), "w"),)).SerializeToString())
    sift("model.onnx", model(inside(constant(numpy_helper.from_array(np.ones(4, np.float32), "w")))).SerializeToString())


def test_every_cut_of_a_file_is_a_sentence() -> None:
    """However much of it arrived: taken or refused, never an error of a parser."""
    whole = model(DOUBLE, inside(constant(numpy_helper.from_array(np.ones(4, np.float32), "w")))).SerializeToString()
    for end in range(len(whole)):
        try:
            sift("model.onnx", whole[:end])
        except (HostileModel, UnreadableModel):
            continue
        onnx.load_from_string(whole[:end])


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", b"MZ\x90", bytes(100)])
def test_what_is_no_message_is_refused(content: bytes) -> None:
    """In a sentence."""
    with pytest.raises(UnreadableModel, match="is not an ONNX model"):
        sift("model.onnx", content)


def test_another_ending_is_no_model() -> None:
    """OpenVINO's own format takes weights from a path and layers from libraries: it is none of the repository's."""
    with pytest.raises(HostileModel, match=r"ends in '\.xml'; models are \.onnx, \.pt2"):
        sift("model.xml", b"<net/>")
