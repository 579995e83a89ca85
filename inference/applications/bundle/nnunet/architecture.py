"""The network that a configuration of plans describes, in both forms of plans (before and since nnU-Net 2.3), as plain numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from inference.applications.bundle.errors import HostileBundle, UnknownInPlans
from inference.applications.bundle.nnunet.reading import counts, mapping, must, number, sides, truth


class Block(Enum):
    """What a stage of the encoder is made of."""

    PLAIN = "plain"
    BASIC = "BasicBlockD"
    BOTTLENECK = "BottleneckD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A U-Net.

    Attributes
    ----------
    axes
        Of its convolutions: 2 or 3.
    features, kernels, strides, counts, narrow
        By stage, from the largest: channels, sides, how many convolutions or blocks, channels inside of a bottleneck.
    counts_back
        Convolutions of the decoder's stages, from the smallest.
    stem
        Channels of the stem of a residual encoder; None: those of the first stage.
    """

    axes: int
    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    counts_back: tuple[int, ...]
    bias: bool
    norm: str | None
    norm_settings: Mapping[str, Any] = field(default_factory=dict)
    activation: str | None = None
    activation_settings: Mapping[str, Any] = field(default_factory=dict)
    activation_first: bool = False
    block: Block = Block.PLAIN
    narrow: tuple[int | None, ...] = ()
    stem: int | None = None


_NETWORKS = {
    "dynamic_network_architectures.architectures.unet.PlainConvUNet": "PlainConvUNet",
    "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet": "ResidualEncoderUNet",
    "dynamic_network_architectures.architectures.residual_unet.ResidualEncoderUNet": "ResidualEncoderUNet",
    "PlainConvUNet": "PlainConvUNet",
    "ResidualEncoderUNet": "ResidualEncoderUNet",
}
_BLOCKS = {
    f"{module}{block.value}": block
    for block in (Block.BASIC, Block.BOTTLENECK)
    for module in ("", "dynamic_network_architectures.building_blocks.residual.")
}
_CONVOLUTIONS = {f"torch.nn.{module}Conv{axes}d": axes for axes in (2, 3) for module in ("", "modules.conv.")}
_NORMS = {
    f"torch.nn.{module}{name}{axes}d": (name, axes)
    for axes in (2, 3)
    for name, home in (("InstanceNorm", "modules.instancenorm."), ("BatchNorm", "modules.batchnorm."))
    for module in ("", home)
}
_ACTIVATIONS = {
    f"torch.nn.{module}{name}": name for name in ("LeakyReLU", "ReLU", "GELU", "ELU", "SiLU") for module in ("", "modules.activation.")
}
_DROPOUTS = {f"torch.nn.{module}Dropout{axes}d" for axes in (2, 3) for module in ("", "modules.dropout.")}
_NORM_SETTINGS = ("eps", "affine", "momentum", "track_running_stats")
_ACTIVATION_SETTINGS = ("negative_slope", "inplace", "alpha", "approximate")
_KEYS = frozenset(
    [
        "n_stages",
        "features_per_stage",
        "conv_op",
        "kernel_sizes",
        "strides",
        "n_conv_per_stage",
        "n_blocks_per_stage",
        "n_conv_per_stage_decoder",
        "conv_bias",
        "norm_op",
        "norm_op_kwargs",
        "dropout_op",
        "dropout_op_kwargs",
        "nonlin",
        "nonlin_kwargs",
        "nonlin_first",
        "deep_supervision",
        "block",
        "bottleneck_channels",
        "stem_channels",
    ]
)
_MOST_FEATURES, _MOST_STAGES, _MOST_BLOCKS, _MOST_SIDE = 8192, 16, 64, 31


def architecture(configuration: Mapping[str, Any], axes: int) -> Architecture:
    """The network of a configuration.

    Parameters
    ----------
    axes
        Of its patches.

    Raises
    ------
    UnknownInPlans
        It is another network, or one of its parts is; the message has its name.
    HostileBundle, UnreadableBundle
    """
    said = mapping(configuration["architecture"], "architecture") if "architecture" in configuration else _of_before(configuration, axes)
    name = must(said, "network_class_name", str)
    if name not in _NETWORKS:
        raise UnknownInPlans(f"the network {name} is not one that hilum builds: PlainConvUNet and ResidualEncoderUNet are")
    kind = _NETWORKS[name]
    given = mapping(must(said, "arch_kwargs", Mapping), "arch_kwargs")
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        raise UnknownInPlans(f"the setting {unknown[0]} of {kind} is not one that hilum knows")
    found = _looked_up(_CONVOLUTIONS, given.get("conv_op"), "conv_op")
    if found != axes:
        raise UnknownInPlans(f"conv_op has {found} axes, patch_size has {axes}")
    stages = number(given, "n_stages", 2, _MOST_STAGES)
    features = counts(given.get("features_per_stage"), stages, "features_per_stage", _MOST_FEATURES)
    block = _looked_up(_BLOCKS, given.get("block") or "BasicBlockD", "block") if kind == "ResidualEncoderUNet" else Block.PLAIN
    how_many = "n_conv_per_stage" if block is Block.PLAIN else "n_blocks_per_stage"
    norm = given.get("norm_op")
    activation = given.get("nonlin")
    if given.get("dropout_op") is not None and given["dropout_op"] not in _DROPOUTS:
        raise UnknownInPlans(f"dropout_op is {given['dropout_op']!r}, which hilum does not know")
    return Architecture(
        axes=axes,
        features=features,
        kernels=_of_stages(given, "kernel_sizes", stages, axes),
        strides=_of_stages(given, "strides", stages, axes),
        counts=counts(given.get(how_many), stages, how_many, _MOST_BLOCKS),
        counts_back=counts(given.get("n_conv_per_stage_decoder"), stages - 1, "n_conv_per_stage_decoder", _MOST_BLOCKS),
        bias=truth(given, "conv_bias", False),
        norm=None if norm is None else _norm(norm, axes),
        norm_settings=_settings(given, "norm_op_kwargs", _NORM_SETTINGS),
        activation=None if activation is None else _looked_up(_ACTIVATIONS, activation, "nonlin"),
        activation_settings=_settings(given, "nonlin_kwargs", _ACTIVATION_SETTINGS),
        activation_first=truth(given, "nonlin_first", False) and norm is not None and activation is not None,
        block=block,
        narrow=_narrow(given, stages, block),
        stem=None if given.get("stem_channels") is None else number(given, "stem_channels", 1, _MOST_FEATURES),
    )


def _of_before(configuration: Mapping[str, Any], axes: int) -> Mapping[str, Any]:
    """What plans said of the network before nnU-Net 2.3, in the keys since."""
    if "UNet_class_name" not in configuration:
        raise UnknownInPlans("the plans describe no network: neither architecture nor UNet_class_name is there")
    name = configuration["UNet_class_name"]
    stages = must(configuration, "n_conv_per_stage_encoder", Sequence)
    first = number(configuration, "UNet_base_num_features", 1, _MOST_FEATURES)
    most = number(configuration, "unet_max_num_features", 1, _MOST_FEATURES)
    if len(stages) > _MOST_STAGES:
        raise HostileBundle(f"n_conv_per_stage_encoder has {len(stages)} stages")
    return {
        "network_class_name": name,
        "arch_kwargs": {
            "n_stages": len(stages),
            "features_per_stage": [min(first * 2**place, most) for place in range(len(stages))],
            "conv_op": f"torch.nn.Conv{axes}d",
            "kernel_sizes": configuration.get("conv_kernel_sizes"),
            "strides": configuration.get("pool_op_kernel_sizes"),
            "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage": stages,
            "n_conv_per_stage_decoder": configuration.get("n_conv_per_stage_decoder"),
            "conv_bias": True,
            "norm_op": f"torch.nn.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }


def _looked_up(table: Mapping[str, Any], name: Any, key: str) -> Any:
    if not isinstance(name, str) or name not in table:
        raise UnknownInPlans(f"{key} is {name!r}, which is not one that hilum knows: {', '.join(sorted(table))}")
    return table[name]


def _norm(name: Any, axes: int) -> str:
    found: tuple[str, int] = _looked_up(_NORMS, name, "norm_op")
    if found[1] != axes:
        raise UnknownInPlans(f"norm_op has {found[1]} axes, patch_size has {axes}")
    return found[0]


def _settings(given: Mapping[str, Any], key: str, known: Sequence[str]) -> Mapping[str, Any]:
    said = given.get(key)
    if said is None:
        return {}
    settings = mapping(said, key)
    for name, value in settings.items():
        if name not in known or not isinstance(value, bool | int | float | str | None):
            raise UnknownInPlans(f"{key}: {name} {value!r} is not one that hilum knows")
    return {name: value for name, value in settings.items() if name != "inplace"}


def _of_stages(given: Mapping[str, Any], key: str, stages: int, axes: int) -> tuple[tuple[int, ...], ...]:
    said = given.get(key)
    each = said if isinstance(said, Sequence) and not isinstance(said, str) else [said] * stages
    if len(each) != stages:
        raise UnknownInPlans(f"{key} has {len(each)} entries for {stages} stages")
    return tuple(sides([one] * axes if isinstance(one, int) else one, axes, key, _MOST_SIDE) for one in each)


def _narrow(given: Mapping[str, Any], stages: int, block: Block) -> tuple[int | None, ...]:
    if block is not Block.BOTTLENECK:
        return (None,) * stages
    return counts(given.get("bottleneck_channels"), stages, "bottleneck_channels", _MOST_FEATURES)
