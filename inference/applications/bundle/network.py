"""Converts a bundle's state dict into a model that is served: a network of known parts, its weights loaded as data.

torch and MONAI are imported here alone, and only at import.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle import retinanet
from inference.applications.bundle.config import Config
from inference.applications.bundle.errors import CodeRefused, HostileBundle, UnfitBundle, UnreadableBundle
from inference.applications.bundle.shifted_windows import regions_kept
from inference.engines.errors import LibraryNotInstalled, UnreadableModel
from inference.engines.extras import demand
from inference.engines.safetensors import read_safetensors
from inference.engines.statedict import read_state_dict

NETWORKS = (
    "UNet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "SegResNet",
    "SegResNetVAE",
    "SegResNetDS",
    "VNet",
    "AttentionUnet",
    "HighResNet",
    "UNETR",
    "SwinUNETR",
    "MedNeXt",
    "FlexibleUNet",
    "DiNTS",
    "TopologyInstance",
    "DenseNet",
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "DenseNet264",
    "SEResNet50",
    "SEResNet101",
    "SEResNet152",
    "TorchVisionFCModel",
)
"""The networks of MONAI that are built without asking: they compute on their input and do nothing else."""

OF_VOLUMES = tuple(each for each in NETWORKS if each != "TorchVisionFCModel")
"""Those of them that can have three axes."""

_WITHOUT = {
    "SwinUNETR": {"img_size"},
    "TopologyInstance": {"device"},
    "TorchVisionFCModel": {"pretrained", "weights"},
    **{each: {"pretrained"} for each in ("FlexibleUNet", "DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264")},
    **{each: {"pretrained"} for each in ("SEResNet50", "SEResNet101", "SEResNet152")},
}
"""Arguments that are left out: one that checked sides of images, which MONAI has no more; one that fetches other weights, for nothing; one
that asks for a GPU."""

_ARRAYS: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    ("TopologyInstance", "arch_code"): lambda value: [np.array(each) for each in value],
    ("DiNTS", "node_a"): np.array,
}
"""Arguments that are arrays, which the configuration takes from the file of a searched architecture."""

_TORCHVISION = {"inception_v3", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"}
"""The networks of torchvision that MONAI's adapter is made for."""

_UNFIT = (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError, AttributeError, LookupError, ImportError)
"""What MONAI's networks, numpy and torch raise on settings that are none."""

_OF_EINOPS = {"SwinUNETR", "UNETR"}
"""What rearranges its tensors by einops, which MONAI does not bring."""

_MODULE = "monai.networks.nets."
_LARGEST = 65536
_MOST_SETTINGS = 2000


def build(config: Config, id: str = "network_def", depth: int = 0) -> Any:
    """The network of a configuration, with the weights that it begins with.

    Raises
    ------
    CodeRefused
        It is no network on the list, or a setting is an expression.
    HostileBundle, UnfitBundle
    """
    import monai.networks.nets as nets

    node, place = config.raw(id), config.place(id)
    if depth > 8:
        raise HostileBundle(f"{config.at(place)} is nested without end")
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise UnreadableBundle(f"{config.at(id)} is missing, or names no network")
    name = node["_target_"].removeprefix(_MODULE).split(".")[-1] if node["_target_"].startswith(_MODULE) else node["_target_"]
    if name in retinanet.NAMES and depth == 0:
        return retinanet.build(config, place, _bounded)
    if name not in NETWORKS or set(node) & {"_requires_", "_mode_", "_disabled_"}:
        raise CodeRefused(f"{config.at(place)} asks to run code: it builds {node['_target_']!r}, which is not among the known networks")
    if name in _OF_EINOPS:
        demand(f"{config.at(place)}: {name}", "einops")
    settings = {}
    for key in node:
        if key in ("_target_", "_desc_") or key in _WITHOUT.get(name, ()):
            continue
        inner = config.raw(f"{place}::{key}")
        nested = isinstance(inner, Mapping) and "_target_" in inner
        if nested:
            settings[key] = build(config, f"{place}::{key}", depth + 1)
            continue
        settings[key] = _bounded(config.value(f"{place}::{key}"), config.at(f"{place}::{key}"))
    if name == "TorchVisionFCModel":
        settings |= _of_torchvision(settings, config, place)
    try:
        for key, value in settings.items():
            if value is not None and (name, key) in _ARRAYS:
                settings[key] = _ARRAYS[name, key](value)
        # one of them prints advice, which is no part of what a verb says
        with contextlib.redirect_stdout(io.StringIO()):
            made = getattr(nets, name)(**settings)
        if name == "TopologyInstance":
            # numbers and no tensors: which way it goes is decided when it is exported, not by what it computes
            made.arch_code_a = made.arch_code_a.numpy()
    except _UNFIT as wrong:
        raise UnfitBundle(f"{name} cannot be built with the settings of {config.at(place)}: {wrong}") from wrong
    return made


def _of_torchvision(settings: Mapping[str, Any], config: Config, place: str) -> dict[str, Any]:
    """What a network of torchvision is told besides; its published weights, which it begins with, are never fetched."""
    model, at = settings.get("model_name", "resnet18"), config.at(place)
    if not isinstance(model, str) or model not in _TORCHVISION:
        raise CodeRefused(f"{at} asks to run code: it builds torchvision's {model!r}, which is not among the known networks")
    if find_spec("torchvision") is None:
        raise LibraryNotInstalled(
            f"{at} builds torchvision's {model}, and torchvision is not installed: install the one made for this torch"
        )
    if model != "inception_v3":
        return {}
    # begun with published weights it looks at its input on their scale, and keeps to that
    begun = bool(config.value(f"{place}::pretrained")) or config.raw(f"{place}::weights") is not None
    return {"transform_input": begun or bool(settings.get("transform_input", False)), "init_weights": False}


def _bounded(value: Any, id: str) -> Any:
    """A network's settings are small numbers and short lists; channels by the billion are an attack on memory."""
    if isinstance(value, list):
        if len(value) > _MOST_SETTINGS:
            raise HostileBundle(f"{id} is a list of {len(value)}")
        return [_bounded(each, id) for each in value]
    if isinstance(value, dict):
        return {key: _bounded(each, id) for key, each in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) <= _LARGEST:
        raise HostileBundle(f"{id} is {value!r}")
    return value


def state_dict(content: bytes, where: str) -> dict[str, Any]:
    """The weights of a checkpoint; a pickle is read as data, in a confined process, and one that would run something is refused.

    Raises
    ------
    UnreadableBundle
    """
    try:
        return read_safetensors(content, where) if where.endswith(".safetensors") else read_state_dict(content, where)
    except UnreadableModel as broken:
        raise UnreadableBundle(str(broken)) from broken


def refuse_larger(config: Config, state: Mapping[str, Any]) -> None:
    """Refuse a network that is larger than its checkpoint before memory is taken for it, where torch can tell.

    Raises
    ------
    HostileBundle, UnfitBundle, CodeRefused
    """
    import torch

    try:
        with torch.device("meta"):
            empty = build(config)
    except UnfitBundle as untold:
        # some networks read values while they are built, which tensors without values do not have
        if "meta" in str(untold):
            return
        raise
    asked = sum(int(tensor.numel()) for tensor in empty.state_dict().values())
    there = sum(int(tensor.numel()) for tensor in state.values())
    if asked > 4 * there + 1_000_000:
        raise HostileBundle(f"{config.at('network_def')} has {asked} weights, its checkpoint {there}")


def window_bytes(config: Config, window: Sequence[int]) -> int:
    """Bytes that the network of a configuration holds at a time while it sees one window of one channel, beside its weights.

    Nothing is computed: the network is traced without values, and what is still needed at each step is added up.
    """
    import torch

    with torch.device("meta"):
        network, image = build(config).eval(), torch.empty(1, 1, *window)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.export.export(network, (image,)).graph
    steps = {node: place for place, node in enumerate(graph.nodes)}
    held: dict[Any, tuple[int, int]] = {}
    owners: dict[Any, Any] = {}
    for node in graph.nodes:
        given = node.meta.get("val")
        if not isinstance(given, torch.Tensor) or (node.op == "placeholder" and given.shape != image.shape):
            continue
        # what works in place gives what it was given
        in_place = node.op == "call_function" and str(node.target).split(".")[-2].endswith("_")
        owner = owners[node] = owners.get(node.args[0], node.args[0]) if in_place else node
        last = max((steps[user] for user in node.users), default=steps[node])
        held[owner] = (given.numel() * given.element_size(), max(last, held.get(owner, (0, 0))[1]))
    return max(
        sum(size for owner, (size, last) in held.items() if steps[owner] <= place <= last) for place in {steps[owner] for owner in held}
    )


def load(network: Any, state: Mapping[str, Any], at: str) -> Any:
    """The network with the checkpoint's weights, ready to be served; `at` is where it stands, for messages.

    Raises
    ------
    UnfitBundle
        The weights are another network's.
    """
    # a checkpoint of several processes names every layer after the wrapper
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as other:
        lines = [line.strip() for line in str(other).splitlines() if line.strip()]
        raise UnfitBundle(f"{at}: the checkpoint's weights are not those of the network: {' '.join(lines[:3])}") from other
    return network.eval()


def convert(
    network: Any,
    window: Sequence[int],
    open_sides: bool,
    batch: int,
    to: str,
    channels: int = 1,
    outputs: Sequence[str] = ("OUTPUT__0",),
) -> tuple[str, bytes]:
    """The network as a model of the repository: the file's name and its bytes.

    Parameters
    ----------
    window
        Sides of what it sees.
    open_sides
        Whether images of other sides come too.
    to
        "onnx" or "pt2".
    channels
        Of what it sees.
    outputs
        Names of what it gives.

    Raises
    ------
    UnfitBundle
        torch cannot convert it.
    """
    import torch

    from inference.engines.exporting import onnx_of, program_bytes

    # two in the batch: with one, torch takes the batch for a constant
    example = torch.zeros(2, channels, *window)
    shapes: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=max(2, batch))}
    if open_sides:
        shapes |= dict.fromkeys(range(2, 2 + len(window)), torch.export.Dim.AUTO)
    # torch warns of parts of itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with regions_kept():
                program = torch.export.export(network, (example,), dynamic_shapes=(shapes,))
        except (RuntimeError, ValueError, TypeError, NotImplementedError, AssertionError, torch._dynamo.exc.TorchDynamoException) as failed:
            raise UnfitBundle(f"torch cannot export the network: {str(failed).strip().splitlines()[0]}") from failed
        if to == "pt2":
            return "model.pt2", program_bytes(program)
        return "model.onnx", onnx_of(program, ["INPUT__0"], outputs)


def answers(network: Any) -> Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """The network as it was before it was converted, called with arrays."""
    import torch

    def compute(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            result = network(torch.from_numpy(inputs["INPUT__0"]))
        given = [result] if isinstance(result, torch.Tensor) else list(result)
        return {f"OUTPUT__{number}": each.numpy() for number, each in enumerate(given)}

    return compute
