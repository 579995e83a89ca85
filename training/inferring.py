"""How the application's own `analyse` calls a network that is being trained, or a model that was exported."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call, Engine


@dataclass(frozen=True, slots=True)
class OfNetwork:
    """An `Infer` over a torch module of one input and one output."""

    network: Any

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        (image,) = tensors.values()
        with torch.inference_mode():
            answer: NDArray[Any] = self.network(torch.from_numpy(np.ascontiguousarray(image))).numpy()
        return {"OUTPUT__0": answer}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


@dataclass(frozen=True, slots=True)
class OfEngine:
    """An `Infer` over the engine that serves."""

    engine: Engine

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        return self.engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return self.engine.load(model).at_once

    def call_of(self, model: ModelRef) -> Call | None:
        return None
