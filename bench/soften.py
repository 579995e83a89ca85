"""The model of the application `bench-soften`: 3 × 3 × 3 convolutions in a row that cost time, and give whole numbers back as they were."""

from pathlib import Path

import numpy as np

CHANNELS = 8
_CONFIG = """\
name: "soften"
backend: "onnxruntime"
max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1, 1, -1, -1, -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1, 1, -1, -1, -1 ] } ]
instance_group [ { count: %d kind: KIND_CPU } ]
"""


def write_soften(repository: Path, *, layers: int = 12, instances: int = 1) -> Path:
    """Lay the model into a repository; each layer costs 3,456 multiplications a voxel."""
    folder = repository / "soften"
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(_CONFIG % instances, encoding="utf-8")
    (folder / "1" / "model.onnx").write_bytes(_onnx(layers))
    return folder


def _onnx(layers: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    # weights of one and of an eighth: whole numbers up to 2²¹ are not rounded on the way
    spread = np.zeros((CHANNELS, 1, 3, 3, 3), np.float32)
    spread[:, 0, 1, 1, 1] = 1
    keep = np.zeros((CHANNELS, CHANNELS, 3, 3, 3), np.float32)
    keep[range(CHANNELS), range(CHANNELS), 1, 1, 1] = 1
    gather = np.zeros((1, CHANNELS, 3, 3, 3), np.float32)
    gather[0, :, 1, 1, 1] = 1 / CHANNELS
    weights = ["spread", *["keep"] * layers, "gather"]
    names = ["x", *[f"h{index}" for index in range(layers + 1)], "y"]
    nodes = [
        helper.make_node("Conv", [source, weight], [target], pads=[1] * 6)
        for source, weight, target in zip(names, weights, names[1:], strict=False)
    ]
    axes = [1, 1, "z", "y", "x"]
    graph = helper.make_graph(
        nodes,
        "soften",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
        [numpy_helper.from_array(spread, "spread"), numpy_helper.from_array(keep, "keep"), numpy_helper.from_array(gather, "gather")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
