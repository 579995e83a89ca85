"""`Infer` for an application's `analyse`, over a network that is being trained or over the engine that serves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.applications.port import Application, ModelRef, Tensors
from inference.engines.calling import FiniteOutputs
from inference.engines.errors import NotFinite
from inference.engines.port import Call, Engine
from inference.findings import Findings
from inference.imaging.errors import EvenRole
from training.compute import device_of
from training.data.cases import Case, Labelled


@dataclass(frozen=True, slots=True)
class NetworkInfer:
    """An `Infer` over a torch module of one input and one output."""

    network: Any

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        (image,) = tensors.values()
        with torch.inference_mode():
            there = torch.from_numpy(np.ascontiguousarray(image)).to(device_of(self.network))
            answer: NDArray[Any] = self.network(there).cpu().numpy()
        return FiniteOutputs(model, {"OUTPUT__0": answer})

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


@dataclass(frozen=True, slots=True)
class EngineInfer:
    """An `Infer` over the engine that serves."""

    engine: Engine

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        return FiniteOutputs(model, self.engine.infer(model, tensors))

    def at_once(self, model: ModelRef) -> int:
        return self.engine.load(model).at_once

    def call_of(self, model: ModelRef) -> Call | None:
        return None


@contextmanager
def naming(case: Case) -> Iterator[None]:
    """Says of which case a model gives values that are no numbers: of such a case nothing would be found, and that be scored; or of which
    the image of a role shows nothing.

    Raises
    ------
    NotFinite, EvenRole
    """
    try:
        yield
    except (NotFinite, EvenRole) as told:
        raise type(told)(f"case {case.name}: {told}") from told


def mean_score(
    application: Application, score: Callable[[Findings, Labelled], Mapping[str, float]], figure: str, network: Any, cases: Sequence[Case]
) -> float:
    """The mean of a figure over cases, by the application's own `analyse`; cases that cannot tell do not count.

    Raises
    ------
    NotFinite
        The network gives values of a case that are no numbers.
    EvenRole
    """
    network.eval()
    found = []
    for case in cases:
        labelled = case.load()
        with naming(case):
            found.append(score(application.analyse(labelled.subject, NetworkInfer(network)), labelled)[figure])
    return float(np.nanmean(found))
