"""config.pbtxt as far as hilum goes by it: the tensors of a model, and whether given arrays fit them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import UnreadableModel, WrongTensors

DTYPES: dict[str, type[np.generic]] = {
    "TYPE_BOOL": np.bool_,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT16": np.uint16,
    "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
}
"""What tensors may hold: Triton's names, and numpy's."""

_DESCRIPTION = Path(__file__).with_name("model_config.binpb")
"""model_config.proto of Triton Inference Server, compiled (a FileDescriptorProto), as tritonclient 2.73 has it; BSD-3-Clause, NVIDIA."""

_BACKENDS = {"pytorch_libtorch": "pytorch", "onnxruntime_onnx": "onnxruntime"}
ENSEMBLE = "ensemble"
LATEST = -1
ANY = -1
"""A length that config.pbtxt leaves open."""

_NUMBERED = re.compile(r".*__(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorConfig:
    """One tensor: `dims` as config.pbtxt says (-1 is any length), without the batch axis."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleStep:
    """One model of an ensemble; `version` LATEST is the highest that is served.

    `inputs` and `outputs` map the model's own names to the names of the ensemble's tensors.
    """

    model: str
    version: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The tensors of a model.

    Attributes
    ----------
    weights
        default_model_filename, "" where the backend's own name holds.
    parameters
        By key.
    steps
        What an ensemble runs, in the order of config.pbtxt (which need not be that of computing); empty for a model with weights.
    versions
        Those that its version_policy names; empty where it names none.
    """

    name: str
    backend: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    weights: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[EnsembleStep, ...] = ()
    versions: tuple[int, ...] = ()

    def shape(self, tensor: TensorConfig) -> tuple[int, ...]:
        """The whole shape of a tensor: `dims` behind a batch axis of any length where the model takes batches."""
        return (ANY, *tensor.dims) if self.max_batch_size > 0 else tensor.dims

    def check_inputs(self, given: Mapping[str, NDArray[Any]]) -> None:
        """Refuse inputs whose names, dtypes or shapes config.pbtxt does not describe.

        Raises
        ------
        WrongTensors
        """
        _check_names(self.name, "input", {tensor.name for tensor in self.inputs}, set(given))
        for tensor in self.inputs:
            _check_tensor(self, "input", tensor, given[tensor.name])

    def check_outputs(self, computed: Mapping[str, NDArray[Any]]) -> None:
        """Refuse outputs that are not those of config.pbtxt: the weights are not the model that it describes.

        Raises
        ------
        WrongTensors
        """
        for tensor in self.outputs:
            _check_tensor(self, "output", tensor, computed[tensor.name])


def positions(tensors: tuple[TensorConfig, ...]) -> tuple[int, ...]:
    """Where each tensor stands in the list of a TorchScript model's arguments or results.

    Triton's convention for its pytorch backend: `NAME__<index>`; where not every name is of this form, the order of config.pbtxt.
    """
    matches = [_NUMBERED.match(tensor.name) for tensor in tensors]
    if all(matches):
        return tuple(int(match[1]) for match in matches if match)
    return tuple(range(len(tensors)))


def parse_config(file: Path, name: str) -> ModelConfig:
    """Read a config.pbtxt.

    Raises
    ------
    UnreadableModel
        It is not a model configuration, or it names a tensor type that hilum does not know, or an ensemble has inputs that a call may
        leave out.
    """
    try:
        return parse_text(file.read_text(encoding="utf-8"), name, file)
    except (UnicodeDecodeError, OSError) as broken:
        raise UnreadableModel(f"{file}: {broken}") from broken


def names_gpu(file: Path) -> bool:
    """Whether a config.pbtxt itself says KIND_GPU of its instances; a server says so, too, of instances whose kind was left to it.

    Raises
    ------
    UnreadableModel
    """
    parsed = _parsed(file.read_text(encoding="utf-8"), file)
    return any(group.kind == group.KIND_GPU for group in parsed.instance_group)


def _parsed(text: str, where: object) -> Any:
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, _message()())
    except text_format.ParseError as broken:
        raise UnreadableModel(f"{where}: {broken}") from broken


def parse_text(text: str, name: str, where: object) -> ModelConfig:
    """The same from the text that stands, or is about to stand, at `where`.

    Raises
    ------
    UnreadableModel
    """
    parsed = _parsed(text, where)
    if parsed.name and parsed.name != name:
        raise UnreadableModel(f'{where} is the configuration of "{parsed.name}", in the folder of "{name}"')
    return read_config(parsed, name, where)


@cache
def _message() -> Any:
    """The class of the message that a config.pbtxt is, made of Triton's own description: its Python client would bring gRPC with it."""
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_DESCRIPTION.read_bytes())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def read_config(parsed: Any, name: str, where: object) -> ModelConfig:
    """The same from a parsed message (inference.ModelConfig) that stands at `where`: a file, a server.

    Raises
    ------
    UnreadableModel
    """
    if not parsed.input or not parsed.output:
        raise UnreadableModel(f"{where} names no input or no output")

    def tensor(each: Any) -> TensorConfig:
        kind = each.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[each.data_type].name
        if kind not in DTYPES:
            raise UnreadableModel(f"{where}: tensor {each.name} is {kind}, which no application can give")
        return TensorConfig(name=each.name, dtype=np.dtype(DTYPES[kind]), dims=tuple(each.dims))

    steps = tuple(
        EnsembleStep(model=each.model_name, version=each.model_version, inputs=dict(each.input_map), outputs=dict(each.output_map))
        for each in parsed.ensemble_scheduling.step
    )
    if (parsed.platform == ENSEMBLE) != bool(steps):
        raise UnreadableModel(f'{where}: platform "{ENSEMBLE}" and the steps of ensemble_scheduling belong together')
    optional = [each.name for each in parsed.input if each.optional]
    if steps and optional:
        raise UnreadableModel(f"{where}: input {', '.join(optional)} is optional; an ensemble gets all its inputs in every call")
    return ModelConfig(
        name=name,
        backend=parsed.backend or _BACKENDS.get(parsed.platform, parsed.platform),
        max_batch_size=parsed.max_batch_size,
        inputs=tuple(tensor(each) for each in parsed.input),
        outputs=tuple(tensor(each) for each in parsed.output),
        weights=parsed.default_model_filename,
        steps=steps,
        versions=tuple(parsed.version_policy.specific.versions),
        parameters={key: value.string_value for key, value in parsed.parameters.items()},
    )


def _check_names(model: str, kind: str, expected: set[str], given: set[str]) -> None:
    if expected == given:
        return
    said = ", ".join(sorted(expected))
    lacking, unknown = ", ".join(sorted(expected - given)), ", ".join(sorted(given - expected))
    problem = " and ".join(part for part in (lacking and f"lacks {lacking}", unknown and f"has {unknown}") if part)
    raise WrongTensors(f'model "{model}": the call {problem}; config.pbtxt names the {kind}s {said}')


def _check_tensor(config: ModelConfig, kind: str, tensor: TensorConfig, array: NDArray[Any]) -> None:
    what = f'model "{config.name}": {kind} {tensor.name}'
    if array.dtype != tensor.dtype:
        raise WrongTensors(f"{what} is {array.dtype}, config.pbtxt says {tensor.dtype}")
    dims = tensor.dims
    if config.max_batch_size > 0:
        if array.ndim == 0 or not 1 <= array.shape[0] <= config.max_batch_size:
            raise WrongTensors(f"{what} has shape {array.shape}; its first axis is the batch of 1 to {config.max_batch_size}")
        dims = (array.shape[0], *dims)
    if not compatible(dims, array.shape):
        raise WrongTensors(f"{what} has shape {array.shape}, config.pbtxt says {dims}")


def compatible(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two shapes can be the same array's, where ANY is any length."""
    return len(one) == len(other) and all(a == b or ANY in (a, b) for a, b in zip(one, other, strict=True))
