"""What a model's file says of its tensors: ONNX and torch.export files know them, TorchScript does not and is asked by running it.

Files are read, and run, in a confined process.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.engines.configtext import config_text
from inference.engines.errors import Underivable, UnreadableModel
from inference.engines.extras import demand
from inference.engines.jail.errors import JailBroken
from inference.engines.jail.model import Limits, call_in_jail, carries_code, imports_of
from inference.engines.modelconfig import ANY, TensorConfig
from inference.engines.program import UNREADABLE, load_program
from inference.engines.sieve.sieve import sift

BATCH = 8
"""max_batch_size of a model whose first axis may have any length."""

_MOST_ELEMENTS = 1 << 28
_LARGEST_SIDE = 1 << 20


def derive_config(
    name: str, file: str, weights: bytes, shape: tuple[int, ...] | None = None, batch: int = BATCH, *, limits: Limits | None = None
) -> str:
    """A config.pbtxt for weights.

    Parameters
    ----------
    file
        What the weights are called: model.onnx, model.pt2 or model.pt (TorchScript).
    shape
        Of the one input without its batch axis, for TorchScript; float32.

    Raises
    ------
    Underivable
        The file does not say it, or it is not the kind of model that a config.pbtxt describes.
    UnreadableModel
        The file is none of its kind.
    HostileModel
        It holds more than a computation; it was not loaded.
    Unconfined
        It can carry a program, and this kernel confines none.
    """
    what = f'the file of "{name}"'
    if file == "model.onnx":
        demand(what, "onnx")
    text, _ = call_in_jail(
        what,
        "inference.engines.deriving:derived",
        weights,
        {"name": name, "file": file, "shape": shape, "batch": batch},
        limits=limits or Limits.usual(),
        carries_code=carries_code(file, weights),
        imports=imports_of(file),
    )
    if not isinstance(text, str):
        raise JailBroken(f'the file of "{name}": no text for a config.pbtxt')
    return text


def derived(weights: bytes, *, name: str, file: str, shape: Sequence[int] | None, batch: int) -> str:
    """As `derive_config`, in the process that loads the file."""
    sift(file, weights, f'the file of "{name}"')
    if file == "model.onnx":
        inputs, outputs = _onnx(name, weights)
        return _from_graph(name, "onnxruntime", inputs, outputs, file, batch)
    if file == "model.pt2":
        inputs, outputs = _exported(name, weights)
        return _from_graph(name, "pytorch", inputs, outputs, file, batch)
    if shape is None:
        raise Underivable(f'TorchScript does not say what "{name}" takes')
    return _scripted(name, weights, tuple(shape), file, batch)


def _from_graph(name: str, backend: str, inputs: Sequence[TensorConfig], outputs: Sequence[TensorConfig], file: str, batch: int) -> str:
    """The first axis is the batch where every tensor leaves its length open."""
    tensors = [*inputs, *outputs]
    for tensor in tensors:
        if not tensor.dims:
            raise Underivable(f'model "{name}": {tensor.name} is a single number, which config.pbtxt cannot describe by itself')
    batched = all(tensor.dims[0] == ANY and len(tensor.dims) > 1 for tensor in tensors)
    if batched:
        inputs, outputs = [_unbatched(tensor) for tensor in inputs], [_unbatched(tensor) for tensor in outputs]
    return config_text(name, backend, batch if batched else 0, inputs, outputs, file)


def _unbatched(tensor: TensorConfig) -> TensorConfig:
    return TensorConfig(name=tensor.name, dtype=tensor.dtype, dims=tensor.dims[1:])


def _onnx(name: str, weights: bytes) -> tuple[list[TensorConfig], list[TensorConfig]]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(weights)
    except DecodeError as broken:
        raise UnreadableModel(f'the file of "{name}" is not an ONNX model: {broken}') from broken
    constants = {tensor.name for tensor in model.graph.initializer}

    def tensor(each: Any) -> TensorConfig:
        kind = each.type.tensor_type
        if each.type.WhichOneof("value") != "tensor_type" or kind.elem_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
            raise Underivable(f'model "{name}": {each.name} is no tensor of numbers')
        if not kind.HasField("shape"):
            raise Underivable(f'model "{name}": the file does not say how many axes {each.name} has')
        dims = tuple(side.dim_value if side.WhichOneof("value") == "dim_value" else ANY for side in kind.shape.dim)
        _check_sides(name, each.name, dims)
        return TensorConfig(name=each.name, dtype=np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), dims=dims)

    inputs = [tensor(each) for each in model.graph.input if each.name not in constants]
    return inputs, [tensor(each) for each in model.graph.output]


def _exported(name: str, weights: bytes) -> tuple[list[TensorConfig], list[TensorConfig]]:
    import torch

    try:
        program = load_program(weights)
    except UNREADABLE as broken:
        raise UnreadableModel(f'the file of "{name}" is not a torch.export file of weights alone: {broken}') from broken
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}

    def tensors(names: Sequence[Any], prefix: str) -> list[TensorConfig]:
        found = []
        for place, each in enumerate(names):
            value = values.get(each)
            if not isinstance(value, torch.Tensor):
                raise Underivable(f'model "{name}": {prefix.lower()} {place} is no tensor')
            dims = tuple(side if isinstance(side, int) else ANY for side in value.shape)
            _check_sides(name, str(each), dims)
            # torch's own names of types are numpy's
            found.append(TensorConfig(name=f"{prefix}__{place}", dtype=np.dtype(str(value.dtype).removeprefix("torch.")), dims=dims))
        return found

    signature = program.graph_signature
    return tensors(signature.user_inputs, "INPUT"), tensors(signature.user_outputs, "OUTPUT")


def _scripted(name: str, weights: bytes, shape: tuple[int, ...], file: str, batch: int) -> str:
    """Run it on zeros: a TorchScript file holds no shapes."""
    import torch

    from inference.engines.torch_model import load_scripted

    _check_sides(name, "the input", shape)
    if ANY in shape or np.prod([float(side) for side in shape]) > _MOST_ELEMENTS:
        raise Underivable(f'the shape {shape} of "{name}" is not one of fixed sides that could be tried')
    module = load_scripted(Path(file), weights, frozen=False)
    try:
        with torch.inference_mode():
            results = module(torch.zeros(1, *shape))
    except RuntimeError as failed:
        raise Underivable(f'"{name}" does not compute an input of shape {(1, *shape)}: {str(failed).strip().splitlines()[-1]}') from failed
    listed = [results] if isinstance(results, torch.Tensor) else results
    if not isinstance(listed, list | tuple) or not all(isinstance(each, torch.Tensor) for each in listed):
        raise Underivable(f'"{name}" gives a {type(results).__name__}, not tensors')
    outputs = [
        TensorConfig(name=f"OUTPUT__{place}", dtype=np.dtype(str(each.dtype).removeprefix("torch.")), dims=tuple(each.shape[1:]))
        for place, each in enumerate(listed)
    ]
    inputs = [TensorConfig(name="INPUT__0", dtype=np.dtype(np.float32), dims=shape)]
    return config_text(name, "pytorch", batch, inputs, outputs, file)


def _check_sides(name: str, tensor: str, dims: Sequence[int]) -> None:
    if any(side != ANY and not 0 < side <= _LARGEST_SIDE for side in dims):
        raise Underivable(f'model "{name}": {tensor} has the shape {tuple(dims)}')
