"""Residual network whose batches may be of any size, of one image too, as the last one of an epoch is now and then."""

from typing import Any

from monai.networks.nets.resnet import ResNet
from torch import nn


class ResidualNetwork(ResNet):  # type: ignore[misc]  # MONAI tells no types
    """MONAI's, whose blocks normalise each channel over the batch: of one image, deep in the network, that is one value and no deviation.

    Such an image is normalised by what was seen before, as it is when it is served.
    """

    def forward(self, x: Any) -> Any:
        if not self.training or len(x) > 1:
            return super().forward(x)
        over_batch = [each for each in self.modules() if isinstance(each, nn.BatchNorm2d | nn.BatchNorm3d)]
        for each in over_batch:
            each.eval()
        found = super().forward(x)
        for each in over_batch:
            each.train()
        return found
