"""W-Net as ONNX: two small U-Nets in a row, whose layers are named in the published state dict, as a graph (Galdran and others 2020)."""

from inference.engines.errors import WrongWeights
from inference.engines.onnx_graph import PublishedGraph

INPUT, OUTPUT = "IMAGE", "LOGITS"

_COLOURS = 3
_MOST_DEEP = 5
"""Poolings that a U-Net of this kind may have; the published ones have two and three."""


def to_onnx(published: bytes) -> bytes:
    """An ONNX model of the published state dict: (N, 3, Y, X) RGB from 0 to 1 to (N, classes, Y, X) logits of the second U-Net.

    Y and X are multiples of 4 (two poolings) or 8 (three): the weights say how many there are, and how many classes.

    Raises
    ------
    WrongWeights
        The file does not hold such a network's weights.
    """
    graph = _WNetGraph(published)
    classes = graph.network()
    return graph.content("wnet", (INPUT, ["batch", _COLOURS, "rows", "columns"]), (OUTPUT, ["batch", classes, "rows", "columns"]))


class _WNetGraph(PublishedGraph):
    """Layer by layer; every method takes the name of a tensor and gives the name of the next."""

    def network(self) -> int:
        """The second U-Net sees the image and what the first gives, before any sigmoid; how many classes it tells apart."""
        last = self.published("unet2.final.weight")
        if last.ndim != 4:
            raise WrongWeights(f"unet2.final.weight has {last.ndim} axes, not 4: it is another network's")
        first = self._unet("unet1", INPUT, None)
        joined = self.node("Concat", [INPUT, first], "joined", axis=1)
        self._unet("unet2", joined, OUTPUT)
        return int(last.shape[0])

    def _unet(self, name: str, tensor: str, output: str | None) -> str:
        """Down with what each level found kept, and up again beside it."""
        deep = next((level for level in range(_MOST_DEEP) if not self.has(f"{name}.down_path.{level}.block.0.weight")), _MOST_DEEP)
        found = [self._block(f"{name}.first", tensor)]
        for level in range(deep):
            place = f"{name}.down_path.{level}"
            halved = self.node("MaxPool", [found[-1]], f"{place}.halved", kernel_shape=[2, 2], strides=[2, 2])
            found.append(self._block(place, halved))
        tensor = found.pop()
        for level in range(deep):
            place = f"{name}.up_path.{level}"
            weights = [self.weight(f"{place}.up_layer.block.0.{each}") for each in ("weight", "bias")]
            doubled = self.node("ConvTranspose", [tensor, *weights], f"{place}.doubled", kernel_shape=[2, 2], strides=[2, 2])
            bridge = self._layer(f"{place}.conv_bridge_layer.block", 0, found.pop())
            joined = self.node("Concat", [doubled, bridge], f"{place}.joined", axis=1)
            tensor = self._block(f"{place}.conv_layer", joined)
        weights = [self.weight(f"{name}.final.{each}") for each in ("weight", "bias")]
        return self.node("Conv", [tensor, *weights], output or f"{name}.final")

    def _block(self, name: str, tensor: str) -> str:
        """Two layers, and beside them the block's input by a convolution of single pixels, added."""
        found = self._layer(f"{name}.block", 3, self._layer(f"{name}.block", 0, tensor))
        shortcut = self.node("Conv", [tensor, self.weight(f"{name}.shortcut.0.weight")], f"{name}.shortcut.0")
        return self.node("Add", [found, self.normalised(shortcut, f"{name}.shortcut.1")], f"{name}.sum")

    def _layer(self, name: str, place: int, tensor: str) -> str:
        """Convolve 3 × 3 with padding and bias, ReLU, and normalise after it, which is where these networks do."""
        weights = [self.weight(f"{name}.{place}.{each}") for each in ("weight", "bias")]
        convolved = self.node("Conv", [tensor, *weights], f"{name}.{place}", pads=[1, 1, 1, 1])
        return self.normalised(self.node("Relu", [convolved], f"{name}.{place + 1}"), f"{name}.{place + 2}")
