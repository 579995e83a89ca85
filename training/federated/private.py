"""Differentially private steps (DP-SGD, Abadi and others 2016) by Opacus: each case's gradient is bounded, and noise is added to their sum.

Every step sees each case with the same probability, independent of all others, as the accountant has it (Poisson sampling). Noise and
draws are of the system's own generator: whoever knew the seed of a run could take them out again. So a private training is not the same
twice.
"""

import math
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from training.errors import UnfitSetting
from training.federated.asked import Privacy

_LEAST_BATCH = 16
"""Of fewer cases a step would now and then see none (e⁻¹⁶ of all of these), and noise would be all that is learned."""


@dataclass(frozen=True, slots=True)
class PrivateTraining:
    """The private steps of one site's training, and what they tell."""

    privacy: Privacy
    cases: int
    batch: int
    steps: int
    noise: float

    def batches(self, cases: int, draws: int, batch: int) -> list[list[int]]:
        """Each case with the same probability in every step; as many steps as an epoch has otherwise."""
        generator = np.random.default_rng(secrets.randbits(128))
        drawn = [np.flatnonzero(generator.random(cases) < batch / cases) for _ in range(math.ceil(cases * draws / batch))]
        # nobody is seen in some step of ten million: then there is none
        return [[int(step * cases + case) for case in seen] for step, seen in enumerate(drawn) if len(seen)]

    def optimizer(self, network: Any, optimizer: Any, batch: int) -> Any:
        """Opacus's optimizer around the recipe's.

        `refuse_layers` has looked at the network.
        """
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer

        for module in network.modules():
            # a gradient is taken of what goes in, which may not be overwritten
            if hasattr(module, "inplace"):
                module.inplace = False
        # its hooks are of the network's own layers: the network itself is called as before
        per_case = GradSampleModule(network, loss_reduction="mean")
        generator = torch.Generator(device=next(network.parameters()).device)
        generator.manual_seed(secrets.randbits(63))
        bounded: Any = DPOptimizer(
            optimizer, noise_multiplier=self.noise, max_grad_norm=self.privacy.norm, expected_batch_size=batch, generator=generator
        )
        # taken back with the last name that it has, it would take its hooks along
        bounded.per_case = per_case
        return bounded

    def spent(self) -> float:
        """The ε of all steps."""
        return _epsilon(self.noise, self.batch / self.cases, self.steps, self.privacy.delta)


def private_training(privacy: Privacy, cases: int, draws: int, batch: int, epochs: int) -> PrivateTraining:
    """The steps with as little noise as `privacy` allows for this many epochs.

    Raises
    ------
    UnfitSetting
        The site has too few cases, or batches are too small.
    """
    from opacus.accountants.utils import get_noise_multiplier

    if batch < _LEAST_BATCH or cases < 2 * batch:
        raise UnfitSetting(
            f"--epsilon: batches of {batch} out of {cases} training cases; {_LEAST_BATCH} at the least, and twice as many cases as that"
        )
    steps = epochs * math.ceil(cases * draws / batch)
    noise = get_noise_multiplier(
        target_epsilon=privacy.epsilon, target_delta=privacy.delta, sample_rate=batch / cases, steps=steps, accountant="rdp"
    )
    return PrivateTraining(privacy=privacy, cases=cases, batch=batch, steps=steps, noise=float(noise))


def refuse_layers(network: Any) -> None:
    """Layers that look over a batch have no gradient of one case.

    Raises
    ------
    UnfitSetting
    """
    from opacus.validators import ModuleValidator

    wrong = ModuleValidator.validate(network, strict=False)
    if wrong:
        first = str(wrong[0]).strip().partition(". ")[0]
        raise UnfitSetting(f"--epsilon: this network cannot be trained with differential privacy: {first}")


def _epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, rate, steps)]
    return float(accountant.get_epsilon(delta=delta))
