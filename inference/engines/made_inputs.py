"""Inputs to measure a model with when nobody gives real ones: the golden input, and bodies in noise, up to the size of a real volume."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.golden import golden_input
from inference.engines.modelconfig import ModelConfig, TensorConfig
from inference.engines.port import Golden

MOST_VOXELS = 2**24
"""A head at 256³."""
MOST_SIDE = 512
_SIDE = {1: 256, 2: 128, 3: 64}
_DEFAULT_SIDE = 16
_NOISE = 0.1


def golden_inputs(config: ModelConfig, golden: Golden | None) -> dict[str, NDArray[Any]]:
    """The golden input; without one, noise from 0 to 1 of a small size."""
    if golden is not None:
        return {tensor.name: golden_input(golden.shape, tensor.dtype, golden.scale) for tensor in config.inputs}
    return {tensor.name: golden_input(_shape(config, tensor, 1), tensor.dtype) for tensor in config.inputs}


def growing_inputs(config: ModelConfig, golden: Golden | None) -> Iterator[dict[str, NDArray[Any]]]:
    """Bodies in noise: first of the golden input's size, then with every free axis doubled, and so on to the size of a real volume."""
    scale = golden.scale if golden else 1.0
    factor = 1
    while True:
        shapes = {tensor.name: _grown(config, tensor, golden, factor) for tensor in config.inputs}
        sides = [side for tensor in config.inputs for side in _spatial(config, tensor, shapes[tensor.name])]
        if factor > 1 and (max(math.prod(shape) for shape in shapes.values()) > MOST_VOXELS or max(sides, default=0) > MOST_SIDE):
            return
        yield {tensor.name: _body(shapes[tensor.name], tensor.dtype, scale) for tensor in config.inputs}
        if not any(_free(tensor) for tensor in config.inputs):
            return
        factor *= 2


def _free(tensor: TensorConfig) -> bool:
    """Whether an axis of space may have any length; the first axis is the channels."""
    return any(side == -1 for side in tensor.dims[1:])


def _spatial(config: ModelConfig, tensor: TensorConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sides that may be grown."""
    own = shape[1:] if config.max_batch_size else shape
    return tuple(side for side, dim in zip(own[1:], tensor.dims[1:], strict=True) if dim == -1)


def _grown(config: ModelConfig, tensor: TensorConfig, golden: Golden | None, factor: int) -> tuple[int, ...]:
    if golden is None:
        return _shape(config, tensor, factor)
    batch, own = (golden.shape[:1], golden.shape[1:]) if config.max_batch_size else ((), golden.shape)
    grown = (side * factor if index and dim == -1 else side for index, (side, dim) in enumerate(zip(own, tensor.dims, strict=True)))
    return (*batch, *grown)


def _shape(config: ModelConfig, tensor: TensorConfig, factor: int) -> tuple[int, ...]:
    free = sum(side == -1 for side in tensor.dims[1:])
    side = _SIDE.get(free, _DEFAULT_SIDE) * factor
    own = (each if each > 0 else (side if index else 1) for index, each in enumerate(tensor.dims))
    return (*((1,) if config.max_batch_size else ()), *own)


def _body(shape: tuple[int, ...], dtype: np.dtype[Any], scale: float) -> NDArray[Any]:
    """An ellipsoid with soft layers, dark outside, noise over all of it, from 0 to `scale`; whole numbers make it the same everywhere."""
    noise = golden_input(shape, np.dtype(np.float32))
    radius = np.zeros(shape[2:] or shape, dtype=np.float32)
    for axis, side in enumerate(radius.shape):
        at = np.linspace(-1.25, 1.25, side, dtype=np.float32) ** 2
        radius += at.reshape([-1 if each == axis else 1 for each in range(radius.ndim)])
    layers = np.where(radius < 1, 0.4 + 0.25 * np.cos(12 * radius), 0).astype(np.float32)
    values = layers * (1 - _NOISE) + noise * _NOISE
    return (np.clip(values, 0, 1) * scale).astype(dtype)
