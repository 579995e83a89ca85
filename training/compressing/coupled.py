"""Dependency graph of a network's channels: which tensors get thinner together, found in the graph that torch exports.

A layer makes a space of channels; what follows passes it on, a sum couples two, a concatenation puts them side by side. What lies behind an
operation that is not known here, or is the answer, keeps its channels. Nothing is thrown away here: `thinned` does that.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from training.errors import UnfitSetting

_PASSING = frozenset(
    each
    for line in (
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool2d adaptive_avg_pool3d alias avg_pool2d avg_pool3d celu clone",
        "constant_pad_nd contiguous detach dropout dropout_ elu elu_ gelu hardswish hardswish_ hardtanh hardtanh_ leaky_relu leaky_relu_",
        "max_pool2d max_pool3d mish pad relu relu6 relu_ selu sigmoid silu silu_ softplus tanh to upsample_bilinear2d upsample_nearest2d",
        "upsample_nearest3d upsample_trilinear3d",
    )
    for each in line.split()
)
"""Operations that give as many channels as they take, each from its own."""
_SUMS = frozenset({"add", "add_", "sub", "mul", "mul_"})
_RESHAPING = frozenset({"flatten", "view", "reshape", "squeeze", "mean", "_unsafe_view"})
_CONVOLUTIONS = {
    **{f"conv{axes}d": False for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": True for axes in (1, 2, 3)},
}


@dataclass(slots=True, eq=False)
class CoupledChannels:
    """Channels that are made by a layer.

    Attributes
    ----------
    width
        How many.
    fixed
        Whether all of them stay.
    parts
        Of a normalisation by groups, into how many of one size they fall; each keeps as many as the others. 0: into none.
    made
        Tensors and their axis that make these channels: their filters tell which matter.
    uses
        Tensors and their axis, and where on it the channels begin, makers among them.
    features
        Modules without tensors of their own that are told how many channels there are.
    places
        Of the largest image that has these channels, how many pixels or voxels: what they cost.
    """

    width: int
    places: int = 1
    fixed: bool = False
    parts: int = 0
    made: set[tuple[str, int]] = field(default_factory=set)
    uses: set[tuple[str, int, int]] = field(default_factory=set)
    features: set[str] = field(default_factory=set)
    into: "CoupledChannels | None" = None

    def root(self) -> "CoupledChannels":
        """The space that it was coupled into."""
        found = self
        while found.into is not None:
            found = found.into
        return found


def spaces(network: Any, shape: tuple[int, ...]) -> tuple[CoupledChannels, ...]:
    """All spaces of a network for images (N, C, …) of this shape, coupled ones as one; the network is taken as it is served.

    Raises
    ------
    UnfitSetting
        A tensor serves several layers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(network.eval(), (torch.zeros(shape),))
    return _Graph(program).spaces()


class _Graph:
    def __init__(self, program: Any) -> None:
        signature = program.graph_signature
        self._tensors: Mapping[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self._all: list[CoupledChannels] = []
        self._of: dict[Any, tuple[CoupledChannels, ...]] = {}
        self._claimed: set[tuple[str, int]] = set()
        for node in program.graph.nodes:
            if node.op == "placeholder" and node.name not in self._tensors:
                self._of[node] = self._kept(node)
            elif node.op == "call_function":
                self._of[node] = self._follow(node)
                self._seen(self._of[node], node)
            elif node.op == "output":
                self._fix(node.all_input_nodes)

    def spaces(self) -> tuple[CoupledChannels, ...]:
        return tuple(space for space in self._all if space.into is None and space.uses)

    def _follow(self, node: Any) -> tuple[CoupledChannels, ...]:
        name = str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)
        if name in _CONVOLUTIONS:
            found = self._convolution(node, transposed=_CONVOLUTIONS[name])
        elif name == "linear":
            found = self._linear(node)
        elif name in ("batch_norm", "instance_norm", "group_norm", "prelu"):
            found = self._each_channel(node, name)
        elif name in _SUMS:
            found = self._sum(node)
        elif name == "cat":
            found = self._side_by_side(node)
        elif name in _PASSING or name in _RESHAPING:
            found = self._passed(node)
        else:
            found = None
        if found is None:
            self._fix(node.all_input_nodes)
            return self._kept(node)
        return found

    def _convolution(self, node: Any, *, transposed: bool) -> tuple[CoupledChannels, ...] | None:
        image, weight, bias = (*node.args, None)[:3]
        name, values = self._tensor(weight), weight.meta["val"]
        before = self._of.get(image)
        if name is None or before is None:
            return None
        channels, made = image.meta["val"].shape[1], node.meta["val"].shape[1]
        into, out = (0, 1) if transposed else (1, 0)
        if values.shape[into] == channels and values.shape[out] == made:
            self._used(before, name, into)
            found = self._space(made)
            found.made.add((name, out))
            self._used((found,), name, out)
        elif not transposed and values.shape[1] == 1 and channels == made and len(before) == 1:
            # a filter a channel: no channel of its own
            found = before[0].root()
            found.made.add((name, 0))
            self._used((found,), name, 0)
        else:
            return None
        self._also((found,), bias)
        return (found,)

    def _linear(self, node: Any) -> tuple[CoupledChannels, ...] | None:
        features, weight, bias = (*node.args, None)[:3]
        name, before = self._tensor(weight), self._of.get(features)
        if name is None or before is None or features.meta["val"].ndim != 2:
            return None
        self._used(before, name, 1)
        found = self._space(node.meta["val"].shape[1])
        found.made.add((name, 0))
        self._used((found,), name, 0)
        self._also((found,), bias)
        return (found,)

    def _each_channel(self, node: Any, name: str) -> tuple[CoupledChannels, ...] | None:
        """A normalisation, or a slope: tensors with a value a channel, or none."""
        image, given = node.args[0], node.args[1:]
        before = self._of.get(image)
        if before is None:
            return None
        if name == "group_norm":
            parts, given = given[0], given[1:]
            if len(before) > 1 or before[0].root().parts not in (0, parts):
                return None
            before[0].root().parts = parts
        for tensor in given:
            if isinstance(tensor, torch.fx.Node) and tensor.meta["val"].shape != (1,):
                self._also(before, tensor)
        if len(before) == 1 and (path := _module_of(node)):
            before[0].root().features.add(path)
        return before if len(before) == 1 or name in ("prelu", "batch_norm") else None

    def _sum(self, node: Any) -> tuple[CoupledChannels, ...] | None:
        shape = node.meta["val"].shape
        sides = [self._of[each] for each in node.args[:2] if each in self._of and each.meta["val"].ndim == len(shape)]
        whole = [each for each in node.args[:2] if isinstance(each, torch.fx.Node)]
        if len(sides) < len(whole) or any(each.meta["val"].shape[1] != shape[1] for each in whole):
            return None
        if len(sides) == 2:
            one, other = ([space.root().width for space in side] for side in sides)
            if one != other:
                return None
            for first, second in zip(*sides, strict=True):
                self._couple(first.root(), second.root())
        return sides[0]

    def _side_by_side(self, node: Any) -> tuple[CoupledChannels, ...] | None:
        images = node.args[0]
        axis = node.args[1] if len(node.args) > 1 else 0
        if axis != 1 or any(each not in self._of for each in images):
            return None
        return tuple(space for each in images for space in self._of[each])

    def _passed(self, node: Any) -> tuple[CoupledChannels, ...] | None:
        image, made = node.args[0], node.meta["val"]
        before = self._of.get(image)
        if before is None or not isinstance(made, torch.Tensor):
            return None
        given = image.meta["val"].shape
        if made.ndim < 2 or made.shape[:2] != given[:2] or (made.ndim != len(given) and made[0, 0].numel() != 1):
            return None
        return before

    def _also(self, layout: tuple[CoupledChannels, ...], tensor: Any) -> None:
        if (name := self._tensor(tensor)) is not None:
            self._used(layout, name, 0)

    def _used(self, layout: tuple[CoupledChannels, ...], name: str, axis: int) -> None:
        if (name, axis) in self._claimed:
            raise UnfitSetting(f"{name} serves several layers of the network: such a network is not made thinner")
        self._claimed.add((name, axis))
        begin = 0
        for space in layout:
            space.root().uses.add((name, axis, begin))
            begin += space.root().width

    def _tensor(self, node: Any) -> str | None:
        return self._tensors.get(node.name) if isinstance(node, torch.fx.Node) else None

    def _space(self, width: int, *, fixed: bool = False) -> CoupledChannels:
        made = CoupledChannels(width=int(width), fixed=fixed)
        self._all.append(made)
        return made

    def _seen(self, layout: tuple[CoupledChannels, ...], node: Any) -> None:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            for space in layout:
                root = space.root()
                root.places = max(root.places, int(value.shape[2:].numel()))

    def _kept(self, node: Any) -> tuple[CoupledChannels, ...]:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.ndim < 2:
            return ()
        return (self._space(value.shape[1], fixed=True),)

    def _fix(self, nodes: Any) -> None:
        for node in nodes:
            for space in self._of.get(node, ()):
                space.root().fixed = True

    def _couple(self, one: CoupledChannels, other: CoupledChannels) -> None:
        if one is other:
            return
        one.fixed |= other.fixed or (bool(one.parts) and bool(other.parts) and one.parts != other.parts)
        one.parts = one.parts or other.parts
        one.made |= other.made
        one.uses |= other.uses
        one.features |= other.features
        one.places = max(one.places, other.places)
        other.into = one


def _module_of(node: Any) -> str:
    """The path of the module that an operation is of; "" where it is of none."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""
