"""Residual network whose batches may be of any size, of one image too, as the last one of an epoch is now and then."""

from typing import Any

from monai.networks.nets.resnet import ResNet, ResNetBlock
from torch import nn

GROUPS = 8
"""Of channels; what a block has is a multiple."""


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


class SeparateBlock(ResNetBlock):  # type: ignore[misc]  # MONAI tells no types
    """MONAI's block, which writes over nothing that it has computed: gradients of single cases are taken of it."""

    def forward(self, x: Any) -> Any:
        found = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        return self.act(found + (x if self.downsample is None else self.downsample(x)))


def over_groups(network: Any) -> Any:
    """The network with each normalisation over a batch replaced by one over groups of an image's own channels (Wu and He 2018)."""
    for name, each in list(network.named_children()):
        if isinstance(each, nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(network, name, nn.GroupNorm(GROUPS, each.num_features))
        else:
            over_groups(each)
    return network
