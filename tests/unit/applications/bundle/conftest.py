"""Bundles that are imported once, and an engine that answers as a job's would."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call, ModelRef, Tensors


class EngineInfer:
    """The port `Infer` over an engine."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, np.ndarray]:
        return self._engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return self._engine.load(model).at_once

    def call_of(self, model: ModelRef) -> Call | None:
        return None


@pytest.fixture
def infer_of() -> Iterator[Callable[[Path], Any]]:
    """What calls the models of a repository."""
    opened: list[EmbeddedEngine] = []

    def infer(repository: Path) -> EngineInfer:
        opened.append(EmbeddedEngine(repository, threads=1))
        return EngineInfer(opened[-1])

    yield infer
    for engine in opened:
        with closing(engine):
            pass
