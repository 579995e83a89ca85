"""The golden run: a known input through a model, to see that it still computes what it did when the application was written."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import GoldenMismatch
from inference.engines.execution import Compute, Precision
from inference.engines.modelconfig import ModelConfig
from inference.engines.port import Engine, Golden, ModelRef
from inference.engines.repository import Repository

SLACK = {Precision.F32: 1.0, Precision.BF16: 10.0}
"""Of the tolerance, by precision: the golden figures of a lower one tell a broken model from a coarse one, masks tell how coarse."""

_STEP = 2654435761  # Knuth's multiplicative hash: neighbouring indices land far apart


def golden_input(shape: tuple[int, ...], dtype: np.dtype[Any], scale: float = 1.0) -> NDArray[Any]:
    """The golden input: noise from 0 to `scale`, made by integer arithmetic, so that it is the same everywhere."""
    steps = np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(_STEP) % np.uint64(2**32)
    return (steps / 2**32 * scale).astype(dtype).reshape(shape)


def golden_run(engine: Engine, repository: Repository, model: ModelRef, golden: Golden) -> tuple[float, float]:
    """Mean and standard deviation of the last channel (axis 1) of the model's first output, for the golden input."""
    config = repository.config(model)
    return _figures(config, engine.infer(model, _inputs(config, golden)))


def check_golden(engine: Engine, repository: Repository, model: ModelRef, golden: Golden) -> None:
    """Compare a golden run with what it should give.

    Raises
    ------
    GoldenMismatch
    """
    found = golden_run(engine, repository, model, golden)
    # a lower precision, where the operator asked for it, was judged by its masks
    slack = max((SLACK[precision] for precision in Precision if f" {precision} " in engine.runtime(model)), default=1.0)
    _compare(model, replace(golden, tolerance=golden.tolerance * slack), found)


def compare_golden(model: ModelRef, config: ModelConfig, golden: Golden, compute: Compute, *, slack: float = 1.0) -> None:
    """The same of a model that is loaded, without an engine around it; within `slack` times the tolerance.

    Raises
    ------
    GoldenMismatch
    """
    _compare(model, replace(golden, tolerance=golden.tolerance * slack), _figures(config, compute(_inputs(config, golden))))


def _inputs(config: ModelConfig, golden: Golden) -> dict[str, NDArray[Any]]:
    return {tensor.name: golden_input(golden.shape, tensor.dtype, golden.scale) for tensor in config.inputs}


def _figures(config: ModelConfig, outputs: Mapping[str, NDArray[Any]]) -> tuple[float, float]:
    """Of one channel: over all channels of a softmax the mean says nothing."""
    first = outputs[config.outputs[0].name]
    channel = first[:, -1] if first.ndim > 1 else first
    return float(channel.mean(dtype=np.float64)), float(channel.std(dtype=np.float64))


def _compare(model: ModelRef, golden: Golden, found: tuple[float, float]) -> None:
    mean, deviation = found
    if abs(mean - golden.mean) > golden.tolerance or abs(deviation - golden.deviation) > golden.tolerance:
        raise GoldenMismatch(
            f'model "{model.name}" version {model.version}: the golden input gives mean {mean:.5f}, deviation {deviation:.5f}; '
            f"expected {golden.mean:.5f} and {golden.deviation:.5f} within {golden.tolerance:g}"
        )
