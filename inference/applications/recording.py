"""Recorder of model calls: keeps what an application asks of a model for a real series, so that the model can be measured with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Application, Infer, ModelRef, Tensors
from inference.engines.calling import room_of
from inference.engines.port import Call
from inference.imaging.subject import Subject

MOST = 8
"""Inputs that are kept: the first, the last, and others evenly between them."""


@dataclass(slots=True)
class _Recorder:
    """An `Infer` that keeps what it passes on to one model."""

    infer: Infer
    model: ModelRef
    kept: list[dict[str, NDArray[Any]]] = field(default_factory=list)

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        if model == self.model:
            self.kept.append({name: np.array(tensor) for name, tensor in tensors.items()})
        return self.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return self.infer.at_once(model)

    def call_of(self, model: ModelRef) -> Call | None:
        return self.infer.call_of(model)

    def room_of(self, model: ModelRef) -> int | None:
        return room_of(self.infer, model)


def inputs_of(application: Application, subject: Subject, infer: Infer, model: ModelRef) -> tuple[Mapping[str, NDArray[Any]], ...]:
    """The inputs that `application` gives to `model` for a subject, at most `MOST` of them, the largest last; empty when it calls it never.

    Raises
    ------
    HilumError
        The application cannot analyse it.
    """
    recorder = _Recorder(infer=infer, model=model)
    application.analyse(subject, recorder)
    if len(recorder.kept) > MOST:
        chosen = sorted({round(at) for at in np.linspace(0, len(recorder.kept) - 1, MOST)})
        recorder.kept = [recorder.kept[index] for index in chosen]
    return tuple(sorted(recorder.kept, key=lambda tensors: sum(tensor.size for tensor in tensors.values())))
