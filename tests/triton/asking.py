"""Asking a Triton server by NVIDIA's own client, not by hilum's engine, for models that double."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient import grpc as client
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from inference.engines.triton.server import LocalTriton
from tests.unit.engines.models import doubling_onnx, put, scripted

X = np.arange(64, dtype=np.float32).reshape(1, 1, 4, 4, 4)
DOUBLE = """
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4 ] } ]
"""
ONE = "instance_group [ { count: 1 kind: KIND_CPU } ]\n"


def put_doubles(repository: Path) -> None:
    """`double` and `batched` in ONNX, and `picky` in TorchScript, which refuses negative numbers; the last two with a dynamic batcher."""
    import torch

    class Picky(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if bool((x < 0).any()):
                raise RuntimeError("negative")
            return x * 2

    batching = "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 8000000 }\n"
    put(repository, "double", "model.onnx", doubling_onnx(), DOUBLE + ONE)
    put(repository, "batched", "model.onnx", doubling_onnx(), DOUBLE + ONE + batching)
    picky = DOUBLE.replace("onnxruntime", "pytorch").replace('"x"', '"INPUT__0"').replace('"y"', '"OUTPUT__0"')
    put(repository, "picky", "model.pt", scripted(Picky()), picky + ONE + batching)


def client_of(server: LocalTriton, **options: Any) -> Any:
    return client.InferenceServerClient(server.url.partition("://")[2], **options)


def tensor(name: str, array: np.ndarray) -> Any:
    given = client.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array)
    return given


def ask(server: LocalTriton, model: str = "double", array: np.ndarray = X, **options: Any) -> np.ndarray:
    names = ("INPUT__0", "OUTPUT__0") if model == "picky" else ("x", "y")
    with client_of(server) as asked:
        answer: np.ndarray = asked.infer(model, [tensor(names[0], array)], **options).as_numpy(names[1])
    return answer


def together(server: LocalTriton, model: str, arrays: list[np.ndarray]) -> list[np.ndarray | InferenceServerException]:
    """Ask at the same time; answers or exceptions, in order."""

    def one(array: np.ndarray) -> np.ndarray | InferenceServerException:
        try:
            return ask(server, model, array)
        except InferenceServerException as refused:
            return refused

    with ThreadPoolExecutor(len(arrays)) as callers:
        return list(callers.map(one, arrays))
