"""ONNX files of a few operators, whose answers can be worked out by hand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _saved(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], takes: list[object], gives: list[object]) -> Path:
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("image", floats, takes)],
        [helper.make_tensor_value_info("answer", floats, gives)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


def brighter(path: Path, limit: float = 0.5, sides: tuple[object, object, object] = ("z", "y", "x")) -> Path:
    """Two channels of logits: the second is the larger one where the image is above `limit`; no voxel knows of another."""
    kernel, bias = np.array([-40.0, 40.0], np.float32).reshape(2, 1, 1, 1, 1), np.array([40 * limit, -40 * limit], np.float32)
    node = helper.make_node("Conv", ["image", "kernel", "bias"], ["answer"], kernel_shape=[1, 1, 1])
    return _saved(path, [node], {"kernel": kernel, "bias": bias}, ["n", 1, *sides], ["n", 2, *sides])


def mean_of(path: Path, scale: float = 1.0) -> Path:
    """One number: the mean of the whole image, times `scale`."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3, 4], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["answer"]),
    ]
    return _saved(path, nodes, {"scale": np.array([scale], np.float32)}, ["n", 1, "z", "y", "x"], ["n", 1])


def one_of_two(path: Path, last: str = "", scale: float = 1.0) -> Path:
    """Two numbers for a picture of 16 × 16 pixels: of one that is white (255) the logits 0 and ln 9, or what a last operator makes of them
    ("Softmax": 0.1 and 0.9), times `scale`."""
    weights = {"bright": np.array([[0.0, np.log(9) / 255]], np.float32), "scale": np.array([scale], np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "bright"], ["logits"]),
        helper.make_node(last or "Identity", ["logits"], ["said"]),
        helper.make_node("Mul", ["said", "scale"], ["answer"]),
    ]
    return _saved(path, nodes, weights, ["n", 1, 16, 16], ["n", 2])
