"""The steps before and behind the lung network as ONNX, so that slices travel as they are stored: int16 HU there, a mask of bytes back.

Before: bring HU to the network's pixels, add 1024, cut at 0, repeat the edge around. Behind: back to the slice's own pixels, more than one
half. Both do what `segmentation` does by itself where the model repository does not name the ensemble.
"""

from typing import Any

import numpy as np

from inference.applications.ct_lung.network import INPUT, OUTPUT
from inference.engines.onnx_graph import content_of

PIXELS, SIDES, MASK = "PIXELS", "SIDES", "MASK"
MARGIN = 16
"""Pixels around the body's box, beyond the image by repeating its edge: at a bare border the network misses lung."""

NO_NUMBER = 255
"""In the mask of bytes: where the network gave no finite number, which without it would read as no lung."""

MULTIPLE = 8
"""The network halves its image three times."""

_LARGEST = 3e38
_AXES = ["batch", 1, "rows", "columns"]


def preparing() -> bytes:
    """STORED (N, 1, Y, X) int16 HU and PIXELS (N, 2), the rows and columns that the network is to see, to IMAGE (N, 1, …) and SIDES (N, 2).

    SIDES are Y and X. One call's slices are of one size: the first row of PIXELS counts.
    """
    from onnx import TensorProto

    graph = _OnnxGraph()
    stored, pixels = graph.input("STORED", TensorProto.INT16, _AXES), graph.input(PIXELS, TensorProto.INT64, ["batch", 2])
    shape = graph.node("Shape", [stored])
    wanted = graph.node("Gather", [pixels, graph.constant("first", np.array(0))], axis=0)
    image = graph.resized(graph.node("Cast", [stored], to=TensorProto.FLOAT), wanted)
    image = graph.node("Add", [image, graph.constant("water", np.array(1024, dtype=np.float32))])
    # scanners fill what they did not see with values below air
    image = graph.node("Max", [image, graph.constant("air", np.array(0, dtype=np.float32))])
    margin = graph.constant("margin", np.array([MARGIN, MARGIN]))
    whole = graph.node("Add", [wanted, graph.constant("margins", np.array([2 * MARGIN] * 2))])
    lack = graph.node("Mod", [graph.node("Neg", [whole]), graph.constant("multiple", np.array(MULTIPLE))])
    none = graph.constant("none", np.array([0, 0]))
    around = graph.node("Concat", [none, margin, none, graph.node("Add", [lack, margin])], axis=0)
    graph.output(graph.node("Pad", [image, around], mode="edge"), INPUT, TensorProto.FLOAT, _AXES)
    sides = graph.node("Slice", [shape, graph.constant("two", np.array([2])), graph.constant("four", np.array([4]))])
    graph.output(graph.node("Expand", [sides, graph.node("Shape", [pixels])]), SIDES, TensorProto.INT64, ["batch", 2])
    return graph.content("unet_small_lung_ct_before")


def finishing() -> bytes:
    """LUNG (N, 1, …) with PIXELS and SIDES of `preparing`: MASK (N, 1, Y, X) uint8, 1 where the probability is more than one half, and
    `NO_NUMBER` where it is none."""
    from onnx import TensorProto

    graph = _OnnxGraph()
    lung = graph.input(OUTPUT, TensorProto.FLOAT, _AXES)
    pixels, sides = (graph.input(name, TensorProto.INT64, ["batch", 2]) for name in (PIXELS, SIDES))
    first = graph.constant("first", np.array(0))
    seen, wanted = (graph.node("Gather", [each, first], axis=0) for each in (pixels, sides))
    margin = graph.constant("margin", np.array([MARGIN, MARGIN]))
    inner = graph.node("Slice", [lung, margin, graph.node("Add", [seen, margin]), graph.constant("in_plane", np.array([2, 3]))])
    resized = graph.resized(inner, wanted)
    marked = graph.node("Greater", [resized, graph.constant("half", np.array(0.5, dtype=np.float32))])
    # NaN compares as false with everything, and infinity is beyond all that a float32 can be
    finite = graph.node("LessOrEqual", [graph.node("Abs", [resized]), graph.constant("largest", np.array(_LARGEST, dtype=np.float32))])
    none = graph.constant("no_number", np.array(NO_NUMBER, dtype=np.uint8))
    mask = graph.node("Where", [finite, graph.node("Cast", [marked], to=TensorProto.UINT8), none])
    graph.output(mask, MASK, TensorProto.UINT8, _AXES)
    return graph.content("unet_small_lung_ct_behind")


class _OnnxGraph:
    """An ONNX graph in the making: every method takes names of tensors and gives the name of the next."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[str, Any] = {}

    def input(self, name: str, dtype: int, axes: list[Any]) -> str:
        from onnx import helper

        self._inputs.append(helper.make_tensor_value_info(name, dtype, axes))
        return name

    def output(self, tensor: str, name: str, dtype: int, axes: list[Any]) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, dtype, axes))

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self._constants[name] = numpy_helper.from_array(value, name)
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        output = f"{kind.lower()}.{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def resized(self, tensor: str, sides: str) -> str:
        """The last two axes brought to `sides` over the same field of view, by linear interpolation between pixel centres."""
        shape = self.node("Shape", [tensor])
        lead = self.node("Slice", [shape, self.constant("zero", np.array([0])), self.constant("second", np.array([2]))])
        sizes = self.node("Concat", [lead, sides], axis=0)
        return self.node("Resize", [tensor, "", "", sizes], mode="linear", coordinate_transformation_mode="half_pixel")

    def content(self, name: str) -> bytes:
        return content_of(name, self._nodes, self._inputs, self._outputs, list(self._constants.values()))
