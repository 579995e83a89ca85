"""The engine port: what an application may ask of whatever runs its models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""Tensors by the names of the model's config.pbtxt; axes as its `dims` say, with a leading batch axis when max_batch_size > 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model of the repository, by name and version."""

    name: str
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """Whether an engine answers, and the sentence that `hilum doctor` prints."""

    ready: bool
    detail: str


class Engine(Protocol):
    """Runs models of the repository.

    Contract (tests/contract/test_engine.py holds every engine to it): `infer` checks names, dtypes and shapes of the inputs against
    config.pbtxt before it computes (`ModelError` says what differs); raises `ModelError` when the model is not there or its
    digest differs from the repository entry's, `EngineError` when the engine is away or late (a retry helps); never modifies its
    inputs; returns all outputs that config.pbtxt names. `digest` is stable for the same model file: it goes into the results' UIDs.
    """

    def infer(self, model: ModelRef, inputs: Tensors, *, deadline_s: float | None = None) -> dict[str, NDArray[Any]]: ...

    def digest(self, model: ModelRef) -> str: ...

    def health(self) -> EngineHealth: ...

    def close(self) -> None: ...
