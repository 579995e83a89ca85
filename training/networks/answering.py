"""A classifier's network as it is served: the calibrated probability, its band, and class activation maps as a second output.

Networks that end in global average pooling and one linear layer have such maps. There Grad-CAM needs no gradient: that of the logit by each
feature is the feature's weight over the number of cells, so its map is the class activation map of Zhou and others (2016), which any engine
computes (Selvaraju and others 2017, 3.1).
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from training.evaluation.classification import Band, Calibration


@runtime_checkable
class Attending(Protocol):
    """A network of one logit whose last features are pooled to their mean and weighed by one linear layer."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The features before they are pooled: (N, 1, Y, X) → (N, K, cells down, cells across)."""
        ...

    def head(self) -> nn.Linear:
        """The layer from K means to the logit."""
        ...


def attended(network: Attending, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits (N,), and each cell's part in them (N, cells down, cells across): parts and the head's bias sum up to the logit."""
    features, head = network.features(images), network.head()
    parts = torch.einsum("nkyx,k->nyx", features, head.weight[0]) / (features.shape[2] * features.shape[3])
    # pooled as in training, so that the answer is the trained network's to the last digit
    logits: torch.Tensor = head(features.mean(dim=(2, 3)))[:, 0]
    return logits, parts


def cells_of(network: Any, window: tuple[int, ...]) -> tuple[int, int] | None:
    """How many cells down and across the features of an image of this window have; None where the network has none to tell of."""
    if not isinstance(network, Attending):
        return None
    network_of: Any = network
    network_of.eval()
    with torch.inference_mode():
        down, across = network.features(torch.zeros(1, 1, *window)).shape[2:]
    return int(down), int(across)


class Answering(nn.Module):
    """The network as it is served: (N, 3) with the band's two ends and the calibrated probability of each image.

    The band lies in the file with the weights that it was chosen for; no copy of it elsewhere can be another's. A network with features
    to tell of gives besides (N, cells down, cells across) what each of its cells adds to the log odds of that probability.
    """

    def __init__(self, network: Any, calibration: Calibration, band: Band) -> None:
        super().__init__()
        self._network = network
        self._slope, self._offset = calibration.slope, calibration.offset
        self._band: torch.Tensor
        self.register_buffer("_band", torch.tensor([[band.low, band.high]], dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if not isinstance(self._network, Attending):
            return self._told(images, self._network(images))
        logits, parts = attended(self._network, images)
        return self._told(images, logits), self._slope * parts

    def _told(self, images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        probability = torch.sigmoid(self._slope * logits + self._offset)
        return torch.cat([self._band.expand(images.shape[0], 2), probability[:, None]], dim=1)
