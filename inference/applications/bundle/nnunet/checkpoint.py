"""Checkpoints of nnU-Net, read in a confined process: weights, and the few facts beside them that decide how they are used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.applications.bundle.errors import UnreadableBundle
from inference.applications.bundle.weights_only import loaded, read_in_jail, refusing
from inference.engines.errors import UnreadableModel
from inference.engines.safetensors import read_safetensors, safetensors_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One fold.

    Attributes
    ----------
    weights
        torch.Tensor by name, each once.
    configuration
        For which it was trained: "3d_fullres".
    mirrored
        Axes of a patch along which it may be mirrored.
    numbers
        How many the file's weights are, all counted: what its network may have at most.
    """

    weights: Mapping[str, Any]
    trainer: str
    configuration: str
    mirrored: tuple[int, ...]
    numbers: int


def read_checkpoint(content: bytes, where: str) -> Checkpoint:
    """The checkpoint of one fold.

    Raises
    ------
    UnreadableBundle
        It is none, or asks for a name that no checkpoint of nnU-Net needs.
    ModelDied, ModelHung, MemoryBound, JailBroken
        The process that read it was ended.
    """
    facts, made = read_in_jail("nnunet.checkpoint:weights_of", content, where)
    try:
        weights = read_safetensors(made, where)
    except UnreadableModel as broken:
        raise UnreadableBundle(str(broken)) from broken
    return Checkpoint(
        weights=weights,
        trainer=str(facts["trainer"])[:200],
        configuration=str(facts["configuration"])[:200],
        mirrored=tuple(sorted({int(axis) for axis in facts["mirrored"]})),
        numbers=sum(int(tensor.numel()) for tensor in weights.values()),
    )


def weights_of(content: bytes, *, where: str) -> tuple[dict[str, Any], bytes]:
    """As `read_checkpoint`, in the process that reads the file: the facts, and the weights as safetensors."""
    import torch

    with refusing(f"{where} is no checkpoint of nnU-Net that can be read as data"):
        said = loaded(content)
        weights = said["network_weights"]
        if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in weights.items()):
            raise UnreadableModel(f"{where}: its network_weights are no tensors by name")
        mirrored = said.get("inference_allowed_mirroring_axes")
        facts = {
            "trainer": str(said["trainer_name"]),
            "configuration": str(said["init_args"]["configuration"]),
            "mirrored": [] if mirrored is None else [int(axis) for axis in mirrored],
        }
    # a checkpoint has the weights of a layer under each name by which its network can reach it
    once = {
        name.removeprefix("module.").removeprefix("_orig_mod."): tensor
        for name, tensor in weights.items()
        if ".all_modules." not in name and not name.startswith("decoder.encoder.")
    }
    return facts, safetensors_of(once, where)
