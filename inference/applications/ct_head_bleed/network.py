"""BLAST-CT's networks as ONNX: DeepMedic in its pre-activation form, whose layers are named in the published state dict, as a graph."""

import numpy as np

from inference.engines.errors import WrongWeights
from inference.engines.onnx_graph import PublishedGraph

INPUT, OUTPUT = "IMAGE", "LOGITS"

MARGIN = 40
"""Voxels by which a tile's input reaches beyond its output on every side."""
MULTIPLE = 15
"""Sides and origins of tiles are multiples of it: paths pick every third and every fifth voxel, and would pick others elsewhere."""

CLASSES = 5
"""Channels of the output: background, intraparenchymal, extra-axial, oedema, intraventricular."""

_PATHS = {"path(5, 5, 5)0": 5, "path(3, 3, 3)1": 3, "path(1, 1, 1)2": 1}
"""The three paths in the order in which their outputs are joined, each with its scale: it sees every so manyth voxel."""
_BLOCKS = 8
_CONTEXT = 16
"""Voxels of its own scale that eight blocks of 3 × 3 × 3 without padding take from each axis of a path."""


def to_onnx(published: bytes) -> bytes:
    """An ONNX model of the published state dict: (N, 1, Z + 80, Y + 80, X + 80) of scaled HU to (N, 5, Z, Y, X) logits.

    Z, Y and X are multiples of `MULTIPLE`. Dropout, which training used, is left out: it does nothing when a trained network is served.

    Raises
    ------
    WrongWeights
        The file does not hold this network's weights.
    """
    graph = _DeepMedicGraph(published)
    graph.network()
    return graph.content("blast_ct", (INPUT, ["batch", 1, "planes", "rows", "columns"]), (OUTPUT, ["batch", CLASSES, "z", "y", "x"]))


class _DeepMedicGraph(PublishedGraph):
    """Layer by layer; every method takes the name of a tensor and gives the name of the next."""

    def network(self) -> None:
        """Three paths at three scales see the same centre; what they found is joined and looked at voxel by voxel."""
        joined = self.node("Concat", [self._path(name, scale) for name, scale in _PATHS.items()], "joined", axis=1)
        for place in range(3):
            joined = self._block(joined, f"fully_connected.{place}", kernel=1, output=OUTPUT if place == 2 else None)

    def _path(self, name: str, scale: int) -> str:
        """Every `scale`th voxel of what this path sees, eight blocks, and enlarged again."""
        # of an output side o, a multiple of 15, it is the middle o + 16 · scale of o + 80, and of each `scale` voxels the middle one
        spare = MARGIN - _CONTEXT * scale // 2
        tensor = INPUT if spare == 0 and scale == 1 else self._every(INPUT, name, spare, scale)
        for place in range(1, _BLOCKS + 1):
            tensor = self._block(tensor, f"{name}.path.{place}", kernel=3)
        return tensor if scale == 1 else self._enlarge(tensor, name, scale)

    def _every(self, tensor: str, name: str, spare: int, scale: int) -> str:
        end = -spare if spare else np.iinfo(np.int64).max
        return self._slice(tensor, f"{name}.seen", spare + scale // 2, end, scale)

    def _block(self, tensor: str, name: str, *, kernel: int, output: str | None = None) -> str:
        """Normalise, PReLU, convolve without padding and bias; where as many channels come out as went in, the block's input is added."""
        normal = self.normalised(tensor, f"{name}.bn")
        active = self.node("PRelu", [normal, self.weight(f"{name}.prelu.weight")], f"{name}.prelu")
        weight = f"{name}.conv.weight"
        sides, channels = self._shape(weight)
        adds = sides == channels
        convolved = self.node("Conv", [active, self.weight(weight)], (None if adds else output) or f"{name}.conv")
        if not adds:
            return convolved
        given = tensor if kernel == 1 else self._slice(tensor, f"{name}.given", 1, -1, 1)
        return self.node("Add", [convolved, given], output or f"{name}.sum")

    def _enlarge(self, tensor: str, name: str, scale: int) -> str:
        scales = self.constant(f"{name}.scales", np.array([1, 1, scale, scale, scale], dtype=np.float32))
        return self.node(
            "Resize",
            [tensor, "", scales],
            f"{name}.enlarged",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def _slice(self, tensor: str, name: str, start: int, end: int, step: int) -> str:
        bounds = {"start": [start] * 3, "end": [end] * 3, "axes": [2, 3, 4], "step": [step] * 3}
        constants = [self.constant(f"{name}.{each}", np.array(values, dtype=np.int64)) for each, values in bounds.items()]
        return self.node("Slice", [tensor, *constants], name)

    def _shape(self, key: str) -> tuple[int, int]:
        array = self.published(key)
        if array.ndim != 5:
            raise WrongWeights(f"{key} has {array.ndim} axes, not 5: it is another network's")
        return array.shape[0], array.shape[1]
