"""Moving average of a network's weights over the steps of a training: it varies less than the last step's weights.

Polyak and Juditsky (1992); the exponential form, begun fast so that the first weights are soon forgotten, is that of TensorFlow's
ExponentialMovingAverage. Statistics of batch normalisation are averaged with the weights that they belong to.
"""

from copy import deepcopy
from typing import Any

import torch


class Average:
    """A copy of `network` that follows it by 1 − `decay` of the way at each step, and faster at first."""

    def __init__(self, network: Any, decay: float) -> None:
        self.network = deepcopy(network).eval()
        self.steps = 0
        self._decay = decay

    def follow(self, network: Any) -> None:
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        with torch.no_grad():
            floating = [(kept, now) for kept, now in pairs if kept.dtype.is_floating_point]
            torch._foreach_lerp_([kept for kept, _ in floating], [now for _, now in floating], 1 - decay)
            for kept, now in pairs:
                if not kept.dtype.is_floating_point:
                    kept.copy_(now)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]
