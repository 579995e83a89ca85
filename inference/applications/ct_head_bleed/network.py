"""BLAST-CT's networks as ONNX: DeepMedic in its pre-activation form, whose layers are named in the published state dict, as a graph.

The graph is built rather than traced, so that the same weights give the same bytes everywhere, and so the same digest.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import UnreadableModel, WrongWeights
from inference.engines.statedict import read_state_dict

OPSET, IR = 17, 8
INPUT, OUTPUT = "IMAGE", "LOGITS"
EPSILON = 1e-5  # of batch normalisation, where the published code left the default

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

Weights = dict[str, NDArray[Any]]


def to_onnx(published: bytes) -> bytes:
    """An ONNX model of the published state dict: (N, 1, Z + 80, Y + 80, X + 80) of scaled HU to (N, 5, Z, Y, X) logits.

    Z, Y and X are multiples of `MULTIPLE`. Dropout, which training used, is left out: it does nothing when a trained network is served.

    Raises
    ------
    WrongWeights
        The file does not hold this network's weights.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = _DeepMedicGraph(_state(published))
    graph.network()
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "blast_ct",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 1, "planes", "rows", "columns"])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", CLASSES, "z", "y", "x"])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="hilum",
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _state(published: bytes) -> Weights:
    try:
        return {name: tensor.numpy() for name, tensor in read_state_dict(published, "the file").items()}
    except (UnreadableModel, TypeError) as broken:
        raise WrongWeights(f"not a PyTorch state dict: {broken}") from broken


class _DeepMedicGraph:
    """Nodes and weights, layer by layer; every method takes the name of a tensor and gives the name of the next."""

    def __init__(self, state: Weights) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._state = {name: array for name, array in state.items() if not name.endswith("num_batches_tracked")}

    def network(self) -> None:
        """Three paths at three scales see the same centre; what they found is joined and looked at voxel by voxel."""
        joined = self._node("Concat", [self._path(name, scale) for name, scale in _PATHS.items()], "joined", axis=1)
        for place in range(3):
            joined = self._block(joined, f"fully_connected.{place}", kernel=1, output=OUTPUT if place == 2 else None)
        if self._state:
            raise WrongWeights(f"the state dict holds layers that the network does not have: {', '.join(sorted(self._state)[:5])}")

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
        normal = self._normalise(tensor, f"{name}.bn")
        active = self._node("PRelu", [normal, self._weight(f"{name}.prelu.weight")], f"{name}.prelu")
        weight = f"{name}.conv.weight"
        sides, channels = self._shape(weight)
        adds = sides == channels
        convolved = self._node("Conv", [active, self._weight(weight)], (None if adds else output) or f"{name}.conv")
        if not adds:
            return convolved
        given = tensor if kernel == 1 else self._slice(tensor, f"{name}.given", 1, -1, 1)
        return self._node("Add", [convolved, given], output or f"{name}.sum")

    def _normalise(self, tensor: str, name: str) -> str:
        weights = [self._weight(f"{name}.{each}") for each in ("weight", "bias", "running_mean", "running_var")]
        return self._node("BatchNormalization", [tensor, *weights], name, epsilon=EPSILON)

    def _enlarge(self, tensor: str, name: str, scale: int) -> str:
        scales = self._constant(f"{name}.scales", np.array([1, 1, scale, scale, scale], dtype=np.float32))
        return self._node(
            "Resize",
            [tensor, "", scales],
            f"{name}.enlarged",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def _slice(self, tensor: str, name: str, start: int, end: int, step: int) -> str:
        bounds = {"start": [start] * 3, "end": [end] * 3, "axes": [2, 3, 4], "step": [step] * 3}
        constants = [self._constant(f"{name}.{each}", np.array(values, dtype=np.int64)) for each, values in bounds.items()]
        return self._node("Slice", [tensor, *constants], name)

    def _shape(self, key: str) -> tuple[int, int]:
        array = self._found(key)
        if array.ndim != 5:
            raise WrongWeights(f"{key} has {array.ndim} axes, not 5: it is another network's")
        return array.shape[0], array.shape[1]

    def _weight(self, key: str) -> str:
        return self._constant(key, np.ascontiguousarray(self._found(key, taken=True), dtype=np.float32))

    def _found(self, key: str, *, taken: bool = False) -> NDArray[Any]:
        if key not in self._state:
            raise WrongWeights(f"the state dict has no {key}: it is another network's")
        return self._state.pop(key) if taken else self._state[key]

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output
