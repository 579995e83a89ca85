"""How many bytes a model's outputs take: from config.pbtxt where it says so, else as they were for inputs of the same shapes."""

import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.engines.modelconfig import ModelConfig, TensorConfig
from inference.engines.port import ModelRef

_MOST = 256
_Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]


class OutputSizes:
    """Sizes known so far. May be used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[ModelRef, _Shapes], dict[str, int]] = {}
        self._distrusted: set[ModelRef] = set()

    def of(self, model: ModelRef, config: ModelConfig, inputs: Mapping[str, NDArray[Any]]) -> dict[str, int]:
        """Bytes of every output; nothing unless all are known.

        A dimension that config.pbtxt leaves open is taken to be as long as the same one of the first input, which holds for
        networks that segment; where it does not, the server refuses the call and `distrust` is told.
        """
        with self._lock:
            seen = self._seen.get((model, _shapes(inputs)))
            guess = model not in self._distrusted
        if seen is not None:
            return dict(seen)
        shape = next(iter(inputs.values())).shape if inputs else ()
        sizes = {tensor.name: _size(tensor, shape, batched=config.max_batch_size > 0, guess=guess) for tensor in config.outputs}
        known = {name: size for name, size in sizes.items() if size is not None}
        return known if len(known) == len(sizes) else {}

    def learn(self, model: ModelRef, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        """What inputs of these shapes gave."""
        with self._lock:
            if len(self._seen) >= _MOST:
                self._seen.clear()
            self._seen[model, _shapes(inputs)] = {name: array.nbytes for name, array in outputs.items()}

    def distrust(self, model: ModelRef) -> None:
        """An output was larger than what was given here."""
        with self._lock:
            self._distrusted.add(model)
            for known in [each for each in self._seen if each[0] == model]:
                del self._seen[known]


def _shapes(inputs: Mapping[str, NDArray[Any]]) -> _Shapes:
    return tuple((name, array.shape) for name, array in inputs.items())


def _size(tensor: TensorConfig, shape: tuple[int, ...], *, batched: bool, guess: bool) -> int | None:
    dims = (-1, *tensor.dims) if batched else tensor.dims
    if batched and shape:
        dims = (shape[0], *tensor.dims)
    if -1 in dims:
        if not guess or len(dims) != len(shape):
            return None
        dims = tuple(side if dim == -1 else dim for dim, side in zip(dims, shape, strict=True))
    return int(np.prod(dims, dtype=np.int64)) * tensor.dtype.itemsize
