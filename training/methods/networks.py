"""Networks of the field, small and large, none of which knows anything yet: of classes, (N, C, S, S) to (N, K); of labels, to (N, K, S, S).

LeNet, AlexNet, VGG-16 and the fully convolutional network are written here with batch normalisation, without which the deep ones do not
begin to learn from small sets; the others are MONAI's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One network: what it is called, by whom, how it is made for channels, answers and side, and the rate at which it begins to learn."""

    title: str
    make: Callable[[int, int, int], Any]
    learning_rate: float = 1e-3


def _convolved(come: int, go: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(come, go, size, stride, size // 2, bias=False), nn.BatchNorm2d(go), nn.ReLU(inplace=True)]


def lenet(channels: int, answers: int, side: int) -> Any:
    """LeCun and others 1998: two convolutions, three linear layers."""
    return nn.Sequential(
        *_convolved(channels, 6, 5), nn.MaxPool2d(2), *_convolved(6, 16, 5), nn.AdaptiveAvgPool2d(5), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, answers),
    )  # fmt: skip


def alexnet(channels: int, answers: int, side: int) -> Any:
    """Krizhevsky and others 2012, its five convolutions at a fourth of the stride: the images are that much smaller."""
    return nn.Sequential(
        *_convolved(channels, 64, 7, 2), nn.MaxPool2d(2), *_convolved(64, 192, 5), nn.MaxPool2d(2), *_convolved(192, 384),
        *_convolved(384, 256), *_convolved(256, 256), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
        nn.Dropout(), nn.Linear(2304, 1024), nn.ReLU(), nn.Dropout(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, answers),
    )  # fmt: skip


def _blocks(channels: int, blocks: tuple[tuple[int, int], ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for count, go in blocks:
        for _ in range(count):
            layers += _convolved(channels, go)
            channels = go
        layers.append(nn.MaxPool2d(2))
    return layers


def vgg16(channels: int, answers: int, side: int) -> Any:
    """Simonyan and Zisserman 2015: thirteen convolutions; its linear layers as wide as images of this size need."""
    layers = _blocks(channels, ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, answers)
    )


def _resnet(depth: int, channels: int, answers: int, side: int) -> Any:
    from monai.networks.nets import resnet

    make = {18: resnet.resnet18, 50: resnet.resnet50}[depth]
    return make(spatial_dims=2, n_input_channels=channels, num_classes=answers, conv1_t_stride=2)


def _densenet(channels: int, answers: int, side: int) -> Any:
    from monai.networks.nets.densenet import DenseNet121

    return DenseNet121(spatial_dims=2, in_channels=channels, out_channels=answers)


class Seeing(nn.Module):
    """A vision transformer without what MONAI's tells besides its answer."""

    def __init__(self, channels: int, answers: int, side: int) -> None:
        super().__init__()
        from monai.networks.nets.vit import ViT

        self._network = ViT(
            in_channels=channels, img_size=side, patch_size=8, hidden_size=192, mlp_dim=768, num_layers=8, num_heads=6,
            classification=True, num_classes=answers, dropout_rate=0.1, spatial_dims=2, post_activation=None,
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._network(images)[0]
        return found


class FullyConvolutional(nn.Module):
    """Long and others 2015: a deepening network whose answers at three strides are enlarged and added up (FCN-8s)."""

    def __init__(self, channels: int, answers: int, side: int) -> None:
        super().__init__()
        self._fine = nn.Sequential(*_blocks(channels, ((2, 32), (2, 64), (2, 128))))
        self._middle = nn.Sequential(*_blocks(128, ((2, 256),)))
        self._coarse = nn.Sequential(*_blocks(256, ((2, 256),)))
        self._scored = nn.ModuleList([nn.Conv2d(each, answers, 1) for each in (128, 256, 256)])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fine = self._fine(images)
        middle = self._middle(fine)
        found: torch.Tensor = self._scored[2](self._coarse(middle))
        for scored, features in ((self._scored[1], middle), (self._scored[0], fine)):
            found = _enlarged(found, features) + scored(features)
        return _enlarged(found, images)


class MultiScale(nn.Module):
    """Features at an eighth of the size, seen at four dilations at once (as DeepLab, Chen and others 2018), joined with fine ones."""

    def __init__(self, channels: int, answers: int, side: int) -> None:
        super().__init__()
        from monai.networks.blocks.aspp import SimpleASPP

        self._fine = nn.Sequential(*_convolved(channels, 32), *_convolved(32, 32))
        self._deep = nn.Sequential(nn.MaxPool2d(2), *_blocks(32, ((2, 64), (2, 128))), *_convolved(128, 256))
        self._scales = SimpleASPP(spatial_dims=2, in_channels=256, conv_out_channels=48)
        self._last = nn.Sequential(*_convolved(4 * 48 + 32, 64), nn.Conv2d(64, answers, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fine = self._fine(images)
        found: torch.Tensor = self._last(torch.cat([_enlarged(self._scales(self._deep(fine)), fine), fine], dim=1))
        return found


def _enlarged(found: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(found, size=like.shape[2:], mode="bilinear", align_corners=False)


def _unet(channels: int, answers: int, side: int) -> Any:
    from monai.networks.nets.basic_unet import BasicUNet

    return BasicUNet(spatial_dims=2, in_channels=channels, out_channels=answers, features=(32, 32, 64, 128, 256, 32))


def _attention_unet(channels: int, answers: int, side: int) -> Any:
    from monai.networks.nets.attentionunet import AttentionUnet

    return AttentionUnet(spatial_dims=2, in_channels=channels, out_channels=answers, channels=(32, 64, 128, 256), strides=(2, 2, 2))


def _segresnet(channels: int, answers: int, side: int) -> Any:
    from monai.networks.nets.segresnet import SegResNet

    return SegResNet(spatial_dims=2, init_filters=16, in_channels=channels, out_channels=answers)


CLASSIFIERS: Mapping[str, Architecture] = {
    "lenet": Architecture(title="LeNet", make=lenet),
    "alexnet": Architecture(title="AlexNet", make=alexnet, learning_rate=3e-4),
    "vgg-16": Architecture(title="VGG-16", make=vgg16, learning_rate=3e-4),
    "resnet-18": Architecture(title="ResNet-18", make=partial(_resnet, 18)),
    "resnet-50": Architecture(title="ResNet-50", make=partial(_resnet, 50), learning_rate=5e-4),
    "densenet": Architecture(title="DenseNet-121", make=_densenet),
    "vit": Architecture(title="ViT, from scratch", make=Seeing, learning_rate=3e-4),
}
SEGMENTERS: Mapping[str, Architecture] = {
    "fcn": Architecture(title="FCN-8s", make=FullyConvolutional),
    "unet": Architecture(title="U-Net", make=_unet),
    "attention-unet": Architecture(title="attention U-Net", make=_attention_unet),
    "segresnet": Architecture(title="SegResNet", make=_segresnet),
    "multi-scale": Architecture(title="multi-scale net (ASPP)", make=MultiScale),
}
