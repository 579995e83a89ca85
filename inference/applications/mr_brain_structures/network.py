"""The published network as ONNX: MeshNet, dilated convolutions one behind the other, whose layers are named in the published weights."""

import numpy as np

from inference.applications.mr_brain_structures.structures import CHANNELS
from inference.engines.errors import WrongWeights
from inference.engines.onnx_graph import PublishedGraph

INPUT, OUTPUT = "IMAGE", "LOGITS"
DILATIONS = (1, 2, 2, 4, 4, 8, 8, 16)
"""Of the eight layers of 3 × 3 × 3; each voxel's answer depends on what lies up to their sum, 45 voxels, away."""
LOST = DILATIONS[-1]
"""Voxels along each border for which there is no answer: what the last layer would see of them lies beyond, and what nobody asks for takes
no memory."""
CLASSES = 104
GROUP = 16
"""How many classes that are not offered are looked at together: of all 104 at once a brain would take 2 GB."""


def to_onnx(published: bytes) -> bytes:
    """An ONNX model of the published weights: (N, 1, Z + 32, Y + 32, X + 32) from 0 to 1 to (N, 1 + offered, Z, Y, X) logits.

    The first channel is the highest logit of every class that is not offered, background included; the others are those of
    `structures.CHANNELS` in their order. The highest channel is so the class that the published network answers.

    Raises
    ------
    WrongWeights
        The file does not hold this network's weights.
    """
    graph = _MeshNetGraph(published)
    graph.network()
    return graph.content(
        "brainchop_104", (INPUT, ["batch", 1, "planes", "rows", "columns"]), (OUTPUT, ["batch", 1 + len(CHANNELS), "z", "y", "x"])
    )


class _MeshNetGraph(PublishedGraph):
    """Layer by layer; places with an odd number in the published names are activations, which have no weights."""

    def network(self) -> None:
        """Eight dilated layers, each cut at zero, and a last one that answers voxel by voxel."""
        tensor = INPUT
        for place, dilation in enumerate(DILATIONS):
            name = f"model.{2 * place}"
            weights = [self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
            pad = dilation if place < len(DILATIONS) - 1 else 0
            tensor = self.node("Conv", [tensor, *weights], name, pads=[pad] * 6, dilations=[dilation] * 3)
            tensor = self.node("Relu", [tensor], f"model.{2 * place + 1}")
        self._answer(tensor, f"model.{2 * len(DILATIONS)}")

    def _answer(self, tensor: str, name: str) -> None:
        weight, bias = self.taken(f"{name}.weight"), self.taken(f"{name}.bias")
        if len(weight) != CLASSES or bias.shape != (CLASSES,):
            raise WrongWeights(f"{name} tells {len(weight)} classes apart, not {CLASSES}: it is another network's")

        def some(classes: list[int], called: str) -> str:
            constants = [
                self.constant(f"{called}.{each}", np.ascontiguousarray(array[classes], dtype=np.float32))
                for each, array in (("weight", weight), ("bias", bias))
            ]
            return self.node("Conv", [tensor, *constants], called)

        rest = [each for each in range(CLASSES) if each not in CHANNELS]
        highest = [
            self.node("ReduceMax", [some(rest[first : first + GROUP], f"{name}.rest.{first}")], f"{name}.highest.{first}", axes=[1])
            for first in range(0, len(rest), GROUP)
        ]
        other = self.node("Max", highest, f"{name}.other")
        self.node("Concat", [other, some(list(CHANNELS), f"{name}.offered")], OUTPUT, axis=1)
