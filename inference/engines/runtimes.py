"""Loads a model's bytes into the library that computes it; each library is imported when a model is first loaded into it."""

from pathlib import Path

from inference.engines.errors import NoSuchGpu
from inference.engines.execution import Compute, Execution, Runtime, installed
from inference.engines.extras import not_installed
from inference.engines.modelconfig import ModelConfig
from inference.engines.sieve.sieve import sift


def computation(execution: Execution, config: ModelConfig, file: Path, content: bytes, threads: int, gpu: int | None = None) -> Compute:
    """Load a model's bytes to be computed in a way, on the processor or on GPU number `gpu`.

    Raises
    ------
    LibraryNotInstalled
        The library is not there.
    UnreadableModel, WrongTensors
        The library cannot read the file, or it holds other tensors than config.pbtxt says.
    HostileModel
        It holds more than a computation; it was not loaded.
    NoSuchGpu
        The library does not compute on that GPU.
    """
    if installed(execution.runtime) is None:
        raise not_installed(f'model "{config.name}" ({file.name})', execution.runtime)
    sift(file, content)
    match execution.runtime:
        case Runtime.OPENVINO:
            if gpu is not None:
                raise NoSuchGpu(f'model "{config.name}" is to be computed on GPU {gpu}, and OpenVINO computes on the processor here')
            from inference.engines.openvino_model import openvino_computation

            return openvino_computation(config, file, content, threads, execution.precision)
        case Runtime.ONNXRUNTIME:
            from inference.engines.onnx_model import onnx_computation

            return onnx_computation(config, file, content, threads, gpu)
        case Runtime.TORCH:
            from inference.engines.torch_model import torch_computation

            return torch_computation(config, file, content, threads, channels_last=execution.channels_last, gpu=gpu)
