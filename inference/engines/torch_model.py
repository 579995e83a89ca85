"""TorchScript (.pt) and torch.export (.pt2) models as a computation on arrays; the only module of the engines that imports torch."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from inference.engines.errors import OutOfMemory, UnreadableModel, WrongTensors
from inference.engines.modelconfig import ModelConfig, positions

_MEMORY = ("alloc", "out of memory")


def torch_computation(config: ModelConfig, file: Path, content: bytes, threads: int) -> "TorchComputation":
    """Load a model from its bytes.

    Raises
    ------
    UnreadableModel
    """
    torch.set_num_threads(threads)
    return TorchComputation(config, _exported(file, content) if file.suffix == ".pt2" else load_scripted(file, content))


class TorchComputation:
    """A loaded model; call it with arrays by tensor name."""

    def __init__(self, config: ModelConfig, module: Any) -> None:
        self._config = config
        self._module = module
        order = sorted(zip(positions(config.inputs), (tensor.name for tensor in config.inputs), strict=True))
        self._inputs = [name for _, name in order]
        self._outputs = list(zip(positions(config.outputs), (tensor.name for tensor in config.outputs), strict=True))

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        arguments = [_tensor(inputs[name]) for name in self._inputs]
        try:
            with torch.inference_mode():
                results = self._module(*arguments)
        except RuntimeError as failed:
            raise _failure(self._config.name, failed) from failed
        listed = [results] if isinstance(results, torch.Tensor) else _flat(results)
        missing = [name for position, name in self._outputs if position >= len(listed)]
        if missing:
            raise WrongTensors(f'model "{self._config.name}" gives {len(listed)} outputs, config.pbtxt also names {", ".join(missing)}')
        return {name: listed[position].contiguous().numpy() for position, name in self._outputs}


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    # torch refuses negative strides and warns of read-only arrays: those, and only those, are copied
    usable = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if usable else array.copy())


def _flat(results: Any) -> Sequence[torch.Tensor]:
    return list(results.values()) if isinstance(results, Mapping) else list(results)


def _failure(model: str, failed: RuntimeError) -> OutOfMemory | WrongTensors:
    text = str(failed).strip()
    if any(word in text for word in _MEMORY):
        return OutOfMemory(f'model "{model}": {text.splitlines()[-1]}')
    return WrongTensors(f'model "{model}" cannot compute these inputs: {text.splitlines()[-1]}')


def load_scripted(file: Path, content: bytes) -> Any:
    """A TorchScript module, frozen for serving.

    Raises
    ------
    UnreadableModel
    """
    try:
        module = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as broken:
        raise UnreadableModel(f"{file} is not a TorchScript file: {str(broken).strip().splitlines()[0]}") from broken
    # weights become constants: batch norms fold and nothing profiles itself between the first call and the third
    return torch.jit.freeze(module.eval())


def _exported(file: Path, content: bytes) -> Any:
    try:
        return torch.export.load(io.BytesIO(content)).module()
    except (RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as broken:
        raise UnreadableModel(f"{file} is not a torch.export file: {broken}") from broken
