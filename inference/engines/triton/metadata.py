"""What the server says of a model, against what the node's copy of the repository says: tensors, versions, digests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inference.engines.errors import DigestMismatch, WrongTensors
from inference.engines.modelconfig import ModelConfig, TensorConfig, read_config
from inference.engines.port import ModelRef

DIGEST = "hilum.sha256."
"""Begins the name of the parameter in config.pbtxt that holds the SHA-256 of a version's weights; the version follows."""

_MOST_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOnServer:
    """A model as the server runs it.

    Attributes
    ----------
    config
        Its tensors and parameters, as the server's own config.pbtxt says.
    at_once
        How many calls it computes at the same time: its instances, times what the dynamic batcher puts together.
    steps
        The models of an ensemble by name and version (0 or less: the newest); those compute.
    """

    config: ModelConfig
    at_once: int
    steps: tuple[tuple[str, int], ...] = ()


def served_from(config: Any, where: object) -> ModelOnServer:
    """Read the ModelConfig (model_config_pb2) that the server at `where` gave.

    Raises
    ------
    UnreadableModel
    """
    instances = sum(max(group.count, 1) * max(len(group.gpus), 1) for group in config.instance_group) or 1
    batched = 1
    if config.HasField("dynamic_batching") and config.max_batch_size > 1:
        batched = max(config.dynamic_batching.preferred_batch_size, default=config.max_batch_size)
    return ModelOnServer(
        config=read_config(config, config.name, f"the configuration of {config.name} at {where}"),
        at_once=min(instances * batched, _MOST_AT_ONCE),
        steps=tuple((step.model_name, step.model_version) for step in config.ensemble_scheduling.step),
    )


def compare(model: ModelRef, expected: ModelConfig, served: ModelOnServer, digest: str, where: object) -> None:
    """Refuse a model that the server runs otherwise than the node's repository says.

    Parameters
    ----------
    digest
        SHA-256 of the weights in the node's repository. The server's config.pbtxt may leave its own unsaid only where the node's does.

    Raises
    ------
    WrongTensors, DigestMismatch
        With everything that differs.
    """
    what = f'model "{model.name}" version {model.version}'
    parameter = f"{DIGEST}{model.version}"
    differs = [
        *_batch(expected, served.config),
        *_tensors("input", expected.inputs, served.config.inputs),
        *_tensors("output", expected.outputs, served.config.outputs),
    ]
    if differs:
        raise WrongTensors(f"{what}: {where} serves another model than the node's repository describes: {'; '.join(differs)}")
    there = served.config.parameters.get(parameter, "").strip().lower()
    if not there and parameter in expected.parameters:
        raise DigestMismatch(
            f"{what}: {where} does not say which weights it serves (its config.pbtxt has no parameter {parameter}), "
            f"the node's repository has {digest}"
        )
    if there and there != digest:
        raise DigestMismatch(f"{what}: {where} serves weights with SHA-256 {there}, the node's repository has {digest}")


def _batch(expected: ModelConfig, served: ModelConfig) -> Iterator[str]:
    if expected.max_batch_size != served.max_batch_size:
        yield f"max_batch_size is {served.max_batch_size} on the server, {expected.max_batch_size} here"
    if expected.steps != served.steps:
        yield f"its steps are {_models(served)} on the server, {_models(expected)} here, or joined otherwise"


def _models(config: ModelConfig) -> str:
    return " → ".join(step.model for step in config.steps) or "none"


def _tensors(kind: str, expected: Sequence[TensorConfig], served: Sequence[TensorConfig]) -> Iterator[str]:
    there = {tensor.name: tensor for tensor in served}
    for tensor in expected:
        other = there.pop(tensor.name, None)
        if other is None:
            yield f"the server has no {kind} {tensor.name}"
            continue
        if other.dtype != tensor.dtype:
            yield f"{kind} {tensor.name} is {other.dtype} on the server, {tensor.dtype} here"
        if other.dims != tensor.dims:
            yield f"{kind} {tensor.name} has dims {list(other.dims)} on the server, {list(tensor.dims)} here"
    for name in there:
        yield f"the server has {'an' if kind[0] in 'aeiou' else 'a'} {kind} {name} that is not described here"
