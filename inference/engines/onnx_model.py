"""ONNX models as a computation on arrays; the only module of the engines that imports onnxruntime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import NoSuchGpu, OutOfMemory, UnreadableModel, WrongTensors
from inference.engines.library_telemetry import onnxruntime
from inference.engines.modelconfig import ModelConfig

ort = onnxruntime()
_state = ort.capi.onnxruntime_pybind11_state
_UNREADABLE = (_state.InvalidProtobuf, _state.InvalidGraph, _state.Fail, _state.InvalidArgument)


def onnx_computation(config: ModelConfig, file: Path, content: bytes, threads: int, gpu: int | None = None) -> "OnnxComputation":
    """Load a model from its bytes, to be computed on the processor or on GPU number `gpu`, there without TF32's rounding.

    Raises
    ------
    UnreadableModel
    NoSuchGpu
        onnxruntime computes on no GPU of that number here.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # 3: errors only; warnings about graph clean-up are no operator's business
    options.log_severity_level = 3
    provider = "CPUExecutionProvider" if gpu is None else "CUDAExecutionProvider"
    if provider not in ort.get_available_providers():
        raise NoSuchGpu(
            f'model "{config.name}" is to be computed on GPU {gpu}, and this onnxruntime {ort.__version__} computes on the processor only: '
            "`pip install onnxruntime-gpu` puts the other one in its place"
        )
    chosen = provider if gpu is None else (provider, {"device_id": gpu, "use_tf32": 0})
    try:
        session = ort.InferenceSession(content, options, providers=[chosen])
    except _UNREADABLE as broken:
        raise UnreadableModel(f"{file} is not an ONNX model: {broken}") from broken
    if provider not in session.get_providers():
        # it goes on with the processor where CUDA's libraries do not load, and only logs that
        raise NoSuchGpu(f'model "{config.name}" is to be computed on GPU {gpu}, and onnxruntime {ort.__version__} cannot use it')
    for kind, tensors, nodes in (("input", config.inputs, session.get_inputs()), ("output", config.outputs, session.get_outputs())):
        absent = {tensor.name for tensor in tensors} - {node.name for node in nodes}
        if absent:
            raise WrongTensors(f"{file} has no {kind} {', '.join(sorted(absent))} that its config.pbtxt names")
    return OnnxComputation(config, session)


class OnnxComputation:
    """A loaded model; call it with arrays by tensor name."""

    def __init__(self, config: ModelConfig, session: Any) -> None:
        self._config = config
        self._session = session
        self._outputs = [tensor.name for tensor in config.outputs]

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            results = self._session.run(self._outputs, {name: np.ascontiguousarray(array) for name, array in inputs.items()})
        except _state.RuntimeException as failed:
            if "alloc" in str(failed):
                raise OutOfMemory(f'model "{self._config.name}": {failed}') from failed
            raise WrongTensors(f'model "{self._config.name}" cannot compute these inputs: {failed}') from failed
        except (_state.InvalidArgument, _state.Fail) as failed:
            raise WrongTensors(f'model "{self._config.name}" cannot compute these inputs: {failed}') from failed
        return dict(zip(self._outputs, results, strict=True))
