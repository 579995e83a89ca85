"""Ensembles: models of the repository behind one another in one call, as Triton's `ensemble_scheduling` describes them.

The rules are Triton's where it refuses, and stricter where it converts silently: a tensor has one whole shape, batch axis included, for the
step that makes it and every step that takes it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.engines.calling import refuse_not_finite
from inference.engines.errors import BrokenEnsemble
from inference.engines.modelconfig import ModelConfig, TensorConfig, compatible
from inference.engines.port import ModelRef, Tensors

MARKED = "hilum.not_finite"
"""Parameter of an ensemble's config.pbtxt: with the value "marked" its own answer tells where a step gave what is no number."""


class Configs(Protocol):
    """Where the configurations of an ensemble's members come from."""

    def config(self, model: ModelRef) -> ModelConfig: ...

    def served(self, name: str, version: int) -> ModelRef: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One step, its version decided; `spent` are the ensemble's tensors that no later step and no output needs."""

    model: ModelRef
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    spent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The members of an ensemble in an order in which each finds its inputs made."""

    config: ModelConfig
    members: tuple[Member, ...]

    def run(self, inputs: Tensors, infer: Callable[[ModelRef, Tensors], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """Run every member by `infer`, which checks each one's tensors; a tensor is let go after its last use.

        What one member gives and another takes has to be numbers: of NaN a member that takes the largest channel makes a label, which
        nobody behind it can tell from one that was found.

        Raises
        ------
        NotFinite
        """
        tensors = dict(inputs)
        taken = {tensor for member in self.members for tensor in member.inputs.values()}
        for member in self.members:
            answer = infer(member.model, {name: tensors[tensor] for name, tensor in member.inputs.items()})
            for name, tensor in member.outputs.items():
                if tensor in taken:
                    refuse_not_finite(member.model, answer[name], name)
                tensors[tensor] = answer[name]
            for tensor in member.spent:
                del tensors[tensor]
        return {output.name: tensors[output.name] for output in self.config.outputs}


def ensemble_of(model: ModelRef, configs: Configs) -> Ensemble:
    """The ensemble that a model's configuration describes, checked before anything is computed.

    Raises
    ------
    BrokenEnsemble
        Its steps do not fit together, or it contains itself.
    ModelMissing, UnreadableModel
        A member is not in the repository.
    """
    config = configs.config(model)
    _refuse_itself(model, configs, ())
    members = [Member(model=configs.served(step.model, step.version), inputs=step.inputs, outputs=step.outputs) for step in config.steps]
    _Fitting(config).check([(member, configs.config(member.model)) for member in members])
    return Ensemble(config=config, members=_let_go(config, _ordered(config, members)))


def to_be_looked_into(ensemble: Ensemble, configs: Configs) -> bool:
    """Whether something that is no number could become an answer unseen, where another computes all steps in one call: floating-point
    values go from one step to another, and nothing says that the answer tells (`MARKED`)."""
    taken = {tensor for member in ensemble.members for tensor in member.inputs.values()}
    handed_on = any(
        tensor.dtype.kind == "f" and member.outputs.get(tensor.name) in taken
        for member in ensemble.members
        for tensor in configs.config(member.model).outputs
    )
    return handed_on and ensemble.config.parameters.get(MARKED) != "marked"


def ensemble_digest(model: ModelRef, configs: Configs, digest_of: Callable[[ModelRef], str]) -> str:
    """SHA-256 (hex) over what an ensemble computes: its tensors, its steps, and what `digest_of` says of its members.

    What only says how it is served (instances, queues, parameters) is left out.
    """
    ensemble = ensemble_of(model, configs)
    config = ensemble.config
    said = {
        "max_batch_size": config.max_batch_size,
        "inputs": [_said(tensor) for tensor in config.inputs],
        "outputs": [_said(tensor) for tensor in config.outputs],
        "steps": [
            [member.model.name, member.model.version, digest_of(member.model), dict(member.inputs), dict(member.outputs)]
            for member in ensemble.members
        ],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _said(tensor: TensorConfig) -> list[Any]:
    return [tensor.name, tensor.dtype.name, list(tensor.dims)]


def _refuse_itself(model: ModelRef, configs: Configs, above: tuple[str, ...]) -> None:
    """An ensemble of ensembles ends somewhere."""
    chain = (*above, model.name)
    if model.name in above:
        raise BrokenEnsemble(f'ensemble "{chain[0]}" contains itself: {" → ".join(chain)}')
    for step in configs.config(model).steps:
        _refuse_itself(configs.served(step.model, step.version), configs, chain)


class _Fitting:
    """What is known of an ensemble's tensors, as its own config.pbtxt and one member after the other say it."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._known: dict[str, tuple[str, np.dtype[Any], tuple[int, ...]]] = {}
        for tensor in (*config.inputs, *config.outputs):
            self._meet(tensor.name, config, tensor)

    def check(self, members: Sequence[tuple[Member, ModelConfig]]) -> None:
        for member, config in members:
            if 0 < config.max_batch_size < self._config.max_batch_size:
                raise self._broken(
                    f"takes batches of {self._config.max_batch_size}, its step {config.name} of {config.max_batch_size} only"
                )
            self._names(config, "input", config.inputs, member.inputs, all_of_them=True)
            self._names(config, "output", config.outputs, member.outputs, all_of_them=False)
            for tensors, mapped in ((config.inputs, member.inputs), (config.outputs, member.outputs)):
                for tensor in tensors:
                    if tensor.name in mapped:
                        self._meet(mapped[tensor.name], config, tensor)
        made = Counter([tensor.name for tensor in self._config.inputs])
        made.update(name for member, _ in members for name in member.outputs.values())
        twice = sorted(name for name, times in made.items() if times > 1)
        if twice:
            raise self._broken(f"makes tensor {', '.join(twice)} more than once")

    def _names(
        self, config: ModelConfig, kind: str, tensors: Sequence[TensorConfig], mapped: Mapping[str, str], *, all_of_them: bool
    ) -> None:
        names = {tensor.name for tensor in tensors}
        unknown, absent = sorted(mapped.keys() - names), sorted(names - mapped.keys())
        if unknown:
            raise self._broken(f"maps {kind} {', '.join(unknown)}, which its step {config.name} does not have")
        if absent and all_of_them:
            raise self._broken(f"leaves {kind} {', '.join(absent)} of its step {config.name} without a tensor; optional ones need one, too")

    def _meet(self, name: str, config: ModelConfig, tensor: TensorConfig) -> None:
        shape = config.shape(tensor)
        where, dtype, known = self._known.setdefault(name, (config.name, tensor.dtype, shape))
        if dtype != tensor.dtype:
            raise self._broken(f"has tensor {name}, which is {dtype} for {where} and {tensor.dtype} for {config.name}")
        if not compatible(known, shape):
            raise self._broken(f"has tensor {name}, which is of shape {known} for {where} and {shape} for {config.name}")

    def _broken(self, what: str) -> BrokenEnsemble:
        return BrokenEnsemble(f'ensemble "{self._config.name}" {what}')


def _ordered(config: ModelConfig, members: Sequence[Member]) -> list[Member]:
    """The members, each after those that make its inputs."""
    made = {tensor.name for tensor in config.inputs}
    left, ordered = list(members), []
    while left:
        ready = [member for member in left if made.issuperset(member.inputs.values())]
        if not ready:
            everything = made.union(*(member.outputs.values() for member in left))
            wanted = {name for member in left for name in member.inputs.values()} - made
            nowhere = sorted(wanted - everything)
            waiting = ", ".join(member.model.name for member in left)
            reason = f"no step makes {', '.join(nowhere)}" if nowhere else f"they wait for each other ({', '.join(sorted(wanted))})"
            raise BrokenEnsemble(f'ensemble "{config.name}" never comes to {waiting}: {reason}')
        ordered += ready
        left = [member for member in left if member not in ready]
        made.update(name for member in ready for name in member.outputs.values())
    absent = sorted({tensor.name for tensor in config.outputs} - made)
    if absent:
        raise BrokenEnsemble(f'ensemble "{config.name}" has output {", ".join(absent)}, which no step makes')
    return ordered


def _let_go(config: ModelConfig, members: Sequence[Member]) -> tuple[Member, ...]:
    """The members, each with what may go after it: volumes are large."""
    needed = {tensor.name for tensor in config.outputs}
    inputs = {tensor.name for tensor in config.inputs}
    kept: list[Member] = []
    for place, member in reversed(list(enumerate(members))):
        here = set(member.inputs.values()) | set(member.outputs.values()) | (inputs if place == 0 else set())
        spent = tuple(sorted(here - needed))
        kept.append(Member(model=member.model, inputs=member.inputs, outputs=member.outputs, spent=spent))
        needed |= here
    return tuple(reversed(kept))
