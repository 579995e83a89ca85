"""Small models for the engines' tests: what each computes can be done by hand."""

from pathlib import Path
from typing import Any

import numpy as np

CONFIG = """
name: "{name}"
backend: "{backend}"
max_batch_size: {batch}
input [ {{ name: "{input}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
"""


PREPARE = """
backend: "onnxruntime"
max_batch_size: 4
input [
  { name: "STORED" data_type: TYPE_INT16 dims: [ 1, 4, 4, 4 ] },
  { name: "SLOPE" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "INTERCEPT" data_type: TYPE_FP32 dims: [ 1 ] }
]
output [ { name: "VALUES" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
"""

PREPARED = """
platform: "ensemble"
max_batch_size: 4
input [
  { name: "IMAGE" data_type: TYPE_INT16 dims: [ 1, 4, 4, 4 ] },
  { name: "SLOPE" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "INTERCEPT" data_type: TYPE_FP32 dims: [ 1 ] }
]
output [
  { name: "DOUBLED" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] },
  { name: "values" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] }
]
ensemble_scheduling { step [
  { model_name: "double_onnx" model_version: -1
    input_map { key: "x" value: "values" } output_map { key: "y" value: "DOUBLED" } },
  { model_name: "prepare" model_version: 1
    input_map { key: "STORED" value: "IMAGE" } input_map { key: "SLOPE" value: "SLOPE" }
    input_map { key: "INTERCEPT" value: "INTERCEPT" } output_map { key: "VALUES" value: "values" } }
] }
"""
"""Its steps stand against the order of computing; `values` is an output and what the second step takes."""


def put(repository: Path, name: str, file: str, content: bytes, config: str) -> None:
    """Lay a model into the repository as Triton wants it, with nothing of hilum's beside it."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / file).write_bytes(content)
    (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")


def scripted(module: Any) -> bytes:
    """A module as TorchScript."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


def exported(module: Any, example: Any, most: int = 4) -> bytes:
    """A module as torch.export, any batch size."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.export.save(
        torch.export.export(module.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=most)},)), buffer
    )
    return buffer.getvalue()


def doubling_onnx() -> bytes:
    """y = 2 x, any shape (n, 1, 4, 4, 4)."""
    from onnx import TensorProto, helper, numpy_helper

    axes = ["n", 1, 4, 4, 4]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
        [numpy_helper.from_array(np.array(2, dtype=np.float32), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def preparing_onnx() -> bytes:
    """VALUES = clip(STORED · SLOPE + INTERCEPT, -1000, 1000): stored int16 voxels rescaled where the model runs."""
    from onnx import TensorProto, helper, numpy_helper

    axes = ["n", 1, 4, 4, 4]
    each = {"STORED": (TensorProto.INT16, axes), "SLOPE": (TensorProto.FLOAT, ["n", 1]), "INTERCEPT": (TensorProto.FLOAT, ["n", 1])}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["STORED"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["SLOPE", "axes"], ["slope"]),
            helper.make_node("Unsqueeze", ["INTERCEPT", "axes"], ["intercept"]),
            helper.make_node("Mul", ["floats", "slope"], ["scaled"]),
            helper.make_node("Add", ["scaled", "intercept"], ["moved"]),
            helper.make_node("Clip", ["moved", "least", "most"], ["VALUES"]),
        ],
        "prepare",
        [helper.make_tensor_value_info(name, *what) for name, what in each.items()],
        [helper.make_tensor_value_info("VALUES", TensorProto.FLOAT, axes)],
        [
            numpy_helper.from_array(np.array([2, 3, 4], dtype=np.int64), "axes"),
            numpy_helper.from_array(np.array(-1000, dtype=np.float32), "least"),
            numpy_helper.from_array(np.array(1000, dtype=np.float32), "most"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def put_ensemble(repository: Path, name: str, config: str) -> None:
    """An ensemble: a configuration beside an empty version folder."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")


def put_refusing(repository: Path) -> None:
    """`picky` (TorchScript) doubles what is not negative; `fixed` (torch.export) doubles four numbers, though its config.pbtxt says any."""
    import torch
    from torch import Tensor, nn

    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if bool((x < 0).any()):
                raise RuntimeError("negative")
            return 2 * x

    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    config = CONFIG.format(name="{name}", backend="pytorch", batch=8, input="INPUT__0", output="OUTPUT__0", dims="-1")
    put(repository, "picky", "model.pt", scripted(Picky()), config.replace("{name}", "picky"))
    put(repository, "fixed", "model.pt2", exported(Double(), torch.ones(2, 4), most=8), config.replace("{name}", "fixed"))


def fill(repository: Path) -> None:
    """`double` as TorchScript, torch.export and ONNX, a convolution of 16 channels, a model of two inputs and outputs,
    and `prepared`: an ensemble that rescales int16 voxels and doubles them.
    """
    import torch
    from torch import Tensor, nn

    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    class Both(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return a - b, a + b

    def config(name: str, backend: str, input: str, output: str, dims: str = "1, 4, 4, 4", batch: int = 4) -> str:
        return CONFIG.format(name=name, backend=backend, batch=batch, input=input, output=output, dims=dims)

    put(repository, "double_pt", "model.pt", scripted(Double()), config("double_pt", "pytorch", "INPUT__0", "OUTPUT__0"))
    example = torch.ones(2, 1, 4, 4, 4)
    pt2 = config("double_pt2", "pytorch", "INPUT__0", "OUTPUT__0") + 'default_model_filename: "model.pt2"\n'
    put(repository, "double_pt2", "model.pt2", exported(Double(), example), pt2)
    put(repository, "double_onnx", "model.onnx", doubling_onnx(), config("double_onnx", "onnxruntime", "x", "y"))
    torch.manual_seed(0)
    convolution = nn.Sequential(nn.Conv3d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv3d(16, 1, 3, padding=1))
    put(repository, "conv", "model.pt", scripted(convolution), config("conv", "pytorch", "INPUT__0", "OUTPUT__0", "1, -1, -1, -1"))
    # outputs named against their order: the index in the name decides, as in Triton
    both = """
    backend: "pytorch"
    input [ { name: "B__1" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "A__0" data_type: TYPE_FP32 dims: [ 2 ] } ]
    output [ { name: "SUM__1" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "DIFFERENCE__0" data_type: TYPE_FP32 dims: [ 2 ] } ]
    """
    put(repository, "both", "model.pt", scripted(Both()), both)
    put(repository, "prepare", "model.onnx", preparing_onnx(), PREPARE)
    put_ensemble(repository, "prepared", PREPARED)
