"""Builds the network of a bundle's detector: MONAI's RetinaNet (Lin and others 2017) on a residual network with a feature pyramid.

torch and MONAI are imported here alone, and only at import.
"""

from collections.abc import Callable, Mapping
from typing import Any

from inference.applications.bundle.config import Called, Config
from inference.applications.bundle.errors import CodeRefused, UnfitBundle

NAME = "RetinaNet"
NAMES = (NAME, f"monai.apps.detection.networks.retinanet_network.{NAME}")
BACKBONES = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200")
"""The residual networks of MONAI that it may stand on."""

_PYRAMID = ("backbone", "spatial_dims", "pretrained_backbone", "returned_layers", "trainable_backbone_layers")
"""Arguments of `resnet_fpn_feature_extractor` in their order."""
_FETCHED = {"pretrained", "progress"}
_FROM, _TO = 1, 4
"""Layers of a residual network that may be returned."""


def returned_layers(config: Config, id: str) -> tuple[int, ...]:
    """The layers of the backbone whose features the network uses; one level of anchors more than they are.

    Raises
    ------
    CodeRefused, UnfitBundle
    """
    pyramid, at = _pyramid(config, id)
    layers = config.value_of(pyramid, _argument(pyramid, "returned_layers"))
    layers = [1, 2, 3] if layers is None else layers
    if not isinstance(layers, list) or not layers or any(type(each) is not int or not _FROM <= each <= _TO for each in layers):
        raise UnfitBundle(f"{at}: returned_layers is {layers!r}, not layers of a residual network (1 to 4)")
    if sorted(set(layers)) != layers:
        raise UnfitBundle(f"{at}: returned_layers is {layers!r}, whose levels are not in their order")
    return tuple(layers)


def build(config: Config, id: str, bounded: Callable[[Any, str], Any]) -> Any:
    """The network whose settings stand at an id; it gives the class maps of all levels, then their box maps.

    Parameters
    ----------
    bounded
        Refuses a setting that is too large.

    Raises
    ------
    CodeRefused
        A part of it is none that is known.
    UnfitBundle
        A part of it cannot be built with its settings.
    """
    from monai.apps.detection.networks.retinanet_network import RetinaNet
    from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
    from monai.networks.nets import resnet
    from torch import nn

    class Layers(nn.ModuleDict):
        """A network's parts until the last whose features are wanted, under their own names, as its checkpoint has them."""

        def __init__(self, parts: Mapping[str, nn.Module], wanted: tuple[str, ...]) -> None:
            super().__init__(parts)
            self._wanted = wanted

        def forward(self, image: Any) -> dict[str, Any]:
            features: dict[str, Any] = {}
            for name, part in self.items():
                image = part(image)
                if name in self._wanted:
                    features[str(self._wanted.index(name))] = image
            return features

    class Pyramid(nn.Module):
        """The features of some layers, and a pyramid of them, as MONAI's BackboneWithFPN, which takes them by a class of torchvision."""

        def __init__(self, backbone: Any, layers: tuple[int, ...]) -> None:
            super().__init__()
            wanted = tuple(f"layer{each}" for each in layers)
            names = [name for name, _ in backbone.named_children()]
            last = max(names.index(name) for name in wanted)
            self.body = Layers({name: getattr(backbone, name) for name in names[: last + 1]}, wanted)
            first = backbone.in_planes // 8
            self.out_channels = _FEATURES
            channels = [first * 2 ** (each - 1) for each in layers]
            self.fpn = FeaturePyramidNetwork(
                spatial_dims=3, in_channels_list=channels, out_channels=_FEATURES, extra_blocks=LastLevelMaxPool(3)
            )

        def forward(self, image: Any) -> Any:
            return self.fpn(self.body(image))

    place, at = config.place(id), config.at(id)
    network = config.called(id)
    assert network is not None, "whoever asks has seen it"
    pyramid, pyramid_at = _pyramid(config, id)
    backbone = config.called(pyramid.arguments.get(_argument(pyramid, "backbone"), ""))
    if backbone is None or backbone.short not in BACKBONES or not _is_monai(backbone, "monai.networks.nets."):
        what = "nothing that can be read" if backbone is None else repr(backbone.name)
        raise CodeRefused(f"{pyramid_at} asks to run code: its backbone is {what}, which is not among {', '.join(BACKBONES)}")
    settings = {key: bounded(config.value_of(backbone, key), config.at(backbone.id)) for key in backbone.arguments if key not in _FETCHED}
    own = {
        key: bounded(config.value_of(network, key), config.at(f"{place}::{key}"))
        for key in network.arguments
        if key not in ("feature_extractor", "use_list_output")
    }
    try:
        made = getattr(resnet, backbone.short)(pretrained=False, progress=False, **settings)
        extractor = Pyramid(made, returned_layers(config, id))
        return RetinaNet(feature_extractor=extractor, use_list_output=True, **own)
    except _UNFIT as wrong:
        raise UnfitBundle(f"{NAME} cannot be built with the settings of {at}: {wrong}") from wrong


_FEATURES = 256
"""Channels of each level of MONAI's pyramid."""
_UNFIT = (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError, AttributeError, LookupError)


def _pyramid(config: Config, id: str) -> tuple[Called, str]:
    place = config.place(id)
    extractor = config.called(f"{place}::feature_extractor")
    at = config.at(f"{place}::feature_extractor" if extractor is None else extractor.id)
    if extractor is None or extractor.short != "resnet_fpn_feature_extractor" or not _is_monai(extractor, "monai.apps.detection."):
        what = "nothing that can be read" if extractor is None else repr(extractor.name)
        raise CodeRefused(f"{at} asks to run code: the features are {what}; resnet_fpn_feature_extractor is known")
    unknown = {key for key in extractor.arguments if key not in _PYRAMID and not (key.isdecimal() and int(key) < len(_PYRAMID))}
    if unknown:
        raise CodeRefused(f'{at} asks to run code: the setting "{min(unknown)}" of {extractor.short} is not known')
    if config.value_of(extractor, _argument(extractor, "spatial_dims")) != _AXES:
        raise UnfitBundle(f"{at}: the features are not of three axes; detectors of volumes are taken")
    return extractor, at


_AXES = 3


def _argument(pyramid: Called, name: str) -> str:
    """The key of an argument that may stand there by its name or by its place."""
    return name if name in pyramid.arguments else str(_PYRAMID.index(name))


def _is_monai(called: Called, module: str) -> bool:
    """Whether a name is MONAI's: whole, or short as its bundles may have it."""
    return "." not in called.name or called.name.startswith(module)
