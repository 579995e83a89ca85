"""TorchScript (.pt) and torch.export (.pt2) models as a computation on arrays; the only module of the engines that imports torch."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch.export.passes import move_to_device_pass

from inference.engines.errors import NoSuchGpu, OutOfMemory, UnreadableModel, WrongTensors
from inference.engines.modelconfig import ModelConfig, positions
from inference.engines.program import UNREADABLE, load_program
from inference.engines.sieve.walking import refuse_operators

# torch's own; a `raise` in TorchScript; a shape that torch.export was not told of; an axis or a value that an operator does not take
_REFUSALS = (RuntimeError, torch.jit.Error, AssertionError, IndexError, ValueError)
_MEMORY = ("alloc", "out of memory")
_PROCESSOR = torch.device("cpu")
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def torch_computation(
    config: ModelConfig, file: Path, content: bytes, threads: int, *, channels_last: bool = False, gpu: int | None = None
) -> "TorchComputation":
    """Load a model from its bytes; `channels_last` keeps the channels of a voxel beside each other, which speeds up some networks.

    On GPU number `gpu` single precision is computed as single precision: torch would let cuDNN round to TF32, ten bits of mantissa.

    Raises
    ------
    UnreadableModel
    NoSuchGpu
        torch computes on no GPU of that number here.
    """
    torch.set_num_threads(threads)
    with contextlib.suppress(RuntimeError):
        # one computation at a time, and its operators one after the other; torch allows this once a process, before the first of them
        torch.set_num_interop_threads(1)
    device = torch.device("cpu") if gpu is None else _gpu(config.name, gpu)
    if file.suffix == ".pt2":
        module = _exported(file, content, device)
    else:
        module = load_scripted(file, content, channels_last=channels_last, device=device)
    return TorchComputation(config, module, channels_last=channels_last, device=device)


class TorchComputation:
    """A loaded model; call it with arrays by tensor name."""

    def __init__(self, config: ModelConfig, module: Any, *, channels_last: bool = False, device: torch.device = _PROCESSOR) -> None:
        self._config = config
        self._channels_last = channels_last
        self._device = device
        self._module = module
        order = sorted(zip(positions(config.inputs), (tensor.name for tensor in config.inputs), strict=True))
        self._inputs = [name for _, name in order]
        self._outputs = list(zip(positions(config.outputs), (tensor.name for tensor in config.outputs), strict=True))

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        arguments = [_arranged(_tensor(inputs[name]).to(self._device), self._channels_last) for name in self._inputs]
        try:
            with torch.inference_mode():
                results = self._module(*arguments)
        except _REFUSALS as failed:
            raise _failure(self._config.name, failed) from failed
        listed = [results] if isinstance(results, torch.Tensor) else _flat(results)
        missing = [name for position, name in self._outputs if position >= len(listed)]
        if missing:
            raise WrongTensors(f'model "{self._config.name}" gives {len(listed)} outputs, config.pbtxt also names {", ".join(missing)}')
        return {name: listed[position].contiguous().cpu().numpy() for position, name in self._outputs}


def _gpu(model: str, number: int) -> torch.device:
    """A GPU of this machine, set to compute single precision as it is."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= there:
        why = "was built without CUDA" if torch.version.cuda is None else f"finds {there} GPUs that it can use, numbered from 0"
        raise NoSuchGpu(f'model "{model}" is to be computed on GPU {number}, and torch {torch.__version__} {why}')
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda", number)


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    # torch refuses negative strides and warns of read-only arrays: those, and only those, are copied
    usable = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if usable else array.copy())


def _arranged(tensor: torch.Tensor, channels_last: bool) -> torch.Tensor:
    form = _CHANNELS_LAST.get(tensor.ndim)
    return tensor.contiguous(memory_format=form) if channels_last and form else tensor


def _flat(results: Any) -> Sequence[torch.Tensor]:
    return list(results.values()) if isinstance(results, Mapping) else list(results)


def _failure(model: str, failed: Exception) -> OutOfMemory | WrongTensors:
    text = str(failed).strip()
    if any(word in text for word in _MEMORY):
        return OutOfMemory(f'model "{model}": {text.splitlines()[-1]}')
    return WrongTensors(f'model "{model}" cannot compute these inputs: {text.splitlines()[-1]}')


def load_scripted(
    file: Path, content: bytes, *, channels_last: bool = False, frozen: bool = True, device: torch.device = _PROCESSOR
) -> Any:
    """A TorchScript module on a device, frozen for serving.

    A frozen module that is a bare layer may end the process instead of raising when it cannot compute an input (torch 2.13, in the
    interpreter's own report of the error): whoever tries inputs that may not fit takes one that is not frozen.

    Raises
    ------
    UnreadableModel
    HostileModel
        A method calls what is not on the list of operators; none of them was run.
    """
    try:
        module = torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as broken:
        raise UnreadableModel(f"{file} is not a TorchScript file: {str(broken).strip().splitlines()[0]}") from broken
    refuse_operators(module, str(file))
    if channels_last:
        for weights in module.parameters():
            if form := _CHANNELS_LAST.get(weights.ndim):
                weights.data = weights.data.contiguous(memory_format=form)
    # weights become constants: batch norms fold and nothing profiles itself between the first call and the third
    return torch.jit.freeze(module.eval()) if frozen else module.eval()


def _exported(file: Path, content: bytes, device: torch.device) -> Any:
    try:
        program = load_program(content)
        # constants and devices that its operators name, too
        return (program if device.type == "cpu" else move_to_device_pass(program, device)).module()
    except UNREADABLE as broken:
        raise UnreadableModel(f"{file} is not a torch.export file of weights alone: {broken}") from broken
