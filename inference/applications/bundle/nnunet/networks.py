"""The networks that plans of nnU-Net name: U-Nets of plain or residual blocks, whose weights have the names that its checkpoints give.

torch is imported here, and only at import. Names of torch's classes are keys of the tables below: nothing that plans name is looked up
anywhere else (docs/adr/ADR-0078-nnunet.md).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inference.applications.bundle.errors import HostileBundle, UnknownInPlans
from inference.applications.bundle.nnunet.architecture import Architecture, Block

_CONVOLUTIONS: Mapping[int, tuple[Any, Any, Any]] = {
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.AvgPool2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.AvgPool3d),
}
_NORMS: Mapping[tuple[str, int], Any] = {
    ("InstanceNorm", 2): nn.InstanceNorm2d,
    ("InstanceNorm", 3): nn.InstanceNorm3d,
    ("BatchNorm", 2): nn.BatchNorm2d,
    ("BatchNorm", 3): nn.BatchNorm3d,
}
_ACTIVATIONS: Mapping[str, Any] = {"LeakyReLU": nn.LeakyReLU, "ReLU": nn.ReLU, "GELU": nn.GELU, "ELU": nn.ELU, "SiLU": nn.SiLU}


class ConvNorm(nn.Module):
    """A convolution, its normalisation and its activation; dropout is none where nothing is learned."""

    def __init__(
        self, of: Architecture, before: int, after: int, kernel: Sequence[int], stride: Sequence[int], *, bias: bool, active: bool = True
    ) -> None:
        super().__init__()
        convolution = _CONVOLUTIONS[of.axes][0]
        self.conv = convolution(before, after, tuple(kernel), tuple(stride), padding=tuple((side - 1) // 2 for side in kernel), bias=bias)
        self.norm = None if of.norm is None else _NORMS[of.norm, of.axes](after, **of.norm_settings)
        self.nonlin = _activation(of) if active else None
        self._activation_first = of.activation_first

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, …) to (N, C, …)."""
        values = self.conv(values)
        steps = (self.nonlin, self.norm) if self._activation_first else (self.norm, self.nonlin)
        for step in steps:
            values = values if step is None else step(values)
        return values


class Stacked(nn.Module):
    """Convolutions one after the other; the first may have a stride."""

    def __init__(self, of: Architecture, count: int, before: int, after: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        once = (1,) * of.axes
        self.convs = nn.Sequential(
            *(ConvNorm(of, before if n == 0 else after, after, kernel, stride if n == 0 else once, bias=of.bias) for n in range(count))
        )

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, …) to (N, C, …)."""
        made: Tensor = self.convs(values)
        return made


class Residual(nn.Module):
    """A residual block in the form of ResNet-D: where it shrinks, what goes around it is averaged, then projected."""

    def __init__(self, of: Architecture, before: int, after: int, narrow: int | None, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        once = (1,) * of.axes
        if of.block is Block.BASIC:
            self.conv1 = ConvNorm(of, before, after, kernel, stride, bias=of.bias)
            self.conv2 = ConvNorm(of, after, after, kernel, once, bias=of.bias, active=False)
            self.conv3 = None
        else:
            assert narrow is not None, "the plans are read so"
            self.conv1 = ConvNorm(of, before, narrow, once, once, bias=of.bias)
            self.conv2 = ConvNorm(of, narrow, narrow, kernel, stride, bias=of.bias)
            self.conv3 = ConvNorm(of, narrow, after, once, once, bias=of.bias, active=False)
        around: list[nn.Module] = []
        if max(stride) > 1:
            around.append(_CONVOLUTIONS[of.axes][2](tuple(stride), tuple(stride)))
        if before != after:
            around.append(ConvNorm(of, before, after, once, once, bias=False, active=False))
        self.skip = nn.Sequential(*around) if around else None
        self.last = _activation(of)

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, …) to (N, C, …)."""
        around = values if self.skip is None else self.skip(values)
        made = self.conv2(self.conv1(values))
        if self.conv3 is not None:
            made = self.conv3(made)
        last: Tensor = self.last(made + around)
        return last


class ResidualStage(nn.Module):
    """Residual blocks one after the other; the first may have a stride."""

    def __init__(
        self, of: Architecture, count: int, before: int, after: int, narrow: int | None, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        once = (1,) * of.axes
        self.blocks = nn.Sequential(
            *(Residual(of, before if n == 0 else after, after, narrow, kernel, stride if n == 0 else once) for n in range(count))
        )

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, …) to (N, C, …)."""
        made: Tensor = self.blocks(values)
        return made


class Encoder(nn.Module):
    """Stages, each smaller than the one before it; with residual blocks, a stem comes first."""

    def __init__(self, of: Architecture, channels: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        self.stem = None
        if of.block is not Block.PLAIN:
            stem = of.stem or of.features[0]
            self.stem = Stacked(of, 1, channels, stem, of.kernels[0], (1,) * of.axes)
            channels = stem
        for features, kernel, stride, count, narrow in zip(of.features, of.kernels, of.strides, of.counts, of.narrow, strict=True):
            if of.block is Block.PLAIN:
                stages.append(nn.Sequential(Stacked(of, count, channels, features, kernel, stride)))
            else:
                stages.append(ResidualStage(of, count, channels, features, narrow, kernel, stride))
            channels = features
        self.stages = nn.Sequential(*stages)

    def forward(self, values: Tensor) -> list[Tensor]:
        """(N, C, …) to what each stage gives, the largest first."""
        if self.stem is not None:
            values = self.stem(values)
        given = []
        for stage in self.stages:
            values = stage(values)
            given.append(values)
        return given


class Decoder(nn.Module):
    """Stages back to the image's size; one segmentation layer a stage, of which the last is used."""

    def __init__(self, of: Architecture, classes: int) -> None:
        super().__init__()
        convolution, transposed, _ = _CONVOLUTIONS[of.axes]
        stages, ups, layers = [], [], []
        for place, count in enumerate(of.counts_back, start=1):
            below, beside = of.features[-place], of.features[-(place + 1)]
            stride = of.strides[-place]
            ups.append(transposed(below, beside, stride, stride, bias=of.bias))
            stages.append(Stacked(of, count, 2 * beside, beside, of.kernels[-(place + 1)], (1,) * of.axes))
            layers.append(convolution(beside, classes, 1, 1, 0, bias=True))
        self.stages, self.transpconvs, self.seg_layers = nn.ModuleList(stages), nn.ModuleList(ups), nn.ModuleList(layers)

    def forward(self, given: list[Tensor]) -> Tensor:
        """What the encoder's stages gave, to logits (N, classes, …) of the image's size."""
        values = given[-1]
        for place, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True), start=2):
            values = stage(torch.cat((up(values), given[-place]), dim=1))
        logits: Tensor = self.seg_layers[-1](values)
        return logits


class UNet(nn.Module):
    """A U-Net as plans describe it; of images (N, C, Z, Y, X) also where its convolutions have two axes, and Z is then 1."""

    def __init__(self, of: Architecture, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(of, channels)
        self.decoder = Decoder(of, classes)
        self._flat = of.axes == 2

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, Z, Y, X) to logits (N, classes, Z, Y, X)."""
        if self._flat:
            flat: Tensor = self.decoder(self.encoder(values.squeeze(2)))
            return flat.unsqueeze(2)
        whole: Tensor = self.decoder(self.encoder(values))
        return whole


class Folds(nn.Module):
    """Several networks of one form, their logits behind each other: nnU-Net blends those of each fold before it takes their mean."""

    def __init__(self, networks: Sequence[UNet]) -> None:
        super().__init__()
        self.folds = nn.ModuleList(networks)

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, Z, Y, X) to logits (N, folds times classes, Z, Y, X)."""
        return torch.cat([fold(values) for fold in self.folds], dim=1)


def network(of: Architecture, channels: int, classes: int, state: Mapping[str, Tensor], most: int) -> UNet:
    """The network with the weights of one checkpoint.

    Parameters
    ----------
    most
        Weights that it may have; more are not what a checkpoint of this size is of.

    Raises
    ------
    HostileBundle
        It would have far more weights than the checkpoint.
    ValueError
        The checkpoint's weights are another network's; the message says in what.
    """
    # without memory for weights: those of the checkpoint take their place
    with torch.device("meta"):
        made = UNet(of, channels, classes)
    asked = sum(int(tensor.numel()) for tensor in made.state_dict().values())
    if asked > most:
        raise HostileBundle(f"the network of the plans has {asked} weights, its checkpoint {most} at most")
    wanted = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    there = {name: tuple(tensor.shape) for name, tensor in state.items()}
    differ = [
        f"{name} is {there.get(name, 'not there')} in the checkpoint and {wanted.get(name, 'not there')} in the plans"
        for name in dict.fromkeys((*wanted, *there))
        if wanted.get(name) != there.get(name)
    ]
    if differ:
        raise ValueError(f"{differ[0]}{f', and {len(differ) - 1} more' if len(differ) > 1 else ''}")
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    made.load_state_dict(floats, strict=True, assign=True)
    return made.eval().requires_grad_(False)


def _activation(of: Architecture) -> Any:
    if of.activation is None:
        return nn.Identity()
    if of.activation not in _ACTIVATIONS:
        raise UnknownInPlans(f"the plans' nonlin is {of.activation}, which hilum does not compute")
    return _ACTIVATIONS[of.activation](**of.activation_settings)
