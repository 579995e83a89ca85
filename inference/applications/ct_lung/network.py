"""The published lung network as ONNX: a 2-D U-Net whose layers are named in the published state dict, written as a graph."""

from inference.engines.onnx_graph import Axes, PublishedGraph

INPUT, OUTPUT = "IMAGE", "LUNG"


def to_onnx(published: bytes) -> bytes:
    """An ONNX model of the published state dict: (N, 1, Y, X) of HU + 1024 to the probability of lung, sides multiples of 8.

    Dropout between the levels, which training used, is left out: it does nothing when a trained network is served.

    Raises
    ------
    WrongWeights
        The file does not hold this network's weights.
    """
    graph = _UnetGraph(published)
    graph.network()
    axes: Axes = ["batch", 1, "rows", "columns"]
    return graph.content("unet_small_lung_ct", (INPUT, axes), (OUTPUT, axes))


class _UnetGraph(PublishedGraph):
    """Layer by layer; every method takes the name of a tensor and gives the name of the next."""

    def network(self) -> None:
        """Down three levels, up again with what each level saw on the way down."""
        first = self._block(INPUT, "conv1")
        second = self._block(self._halve(first), "conv2")
        third = self._block(self._halve(second), "conv3")
        up = self._block(self._halve(third), "middle")
        for level, seen in (("3", third), ("2", second), ("1", first)):
            up = self.node("Concat", [self._double(up, f"upsample{level}"), seen], f"join{level}", axis=1)
            up = self._block(up, f"upconv{level}")
        self.node("Sigmoid", [self._convolve(up, "final", 0)], OUTPUT)

    def _block(self, tensor: str, name: str) -> str:
        """Twice: convolve 3 × 3, normalise, cut at zero. 0, 1, 3 and 4 are the places of the layers that have weights."""
        for place in (0, 3):
            tensor = self._convolve(tensor, f"{name}.{place}", 1)
            tensor = self.normalised(tensor, f"{name}.{place + 1}")
            tensor = self.node("Relu", [tensor], f"{name}.{place + 2}")
        return tensor

    def _convolve(self, tensor: str, name: str, padding: int) -> str:
        return self.node("Conv", [tensor, *self._weights(name)], name, pads=[padding] * 4)

    def _halve(self, tensor: str) -> str:
        return self.node("MaxPool", [tensor], f"{tensor}.halved", kernel_shape=[2, 2], strides=[2, 2])

    def _double(self, tensor: str, name: str) -> str:
        return self.node("ConvTranspose", [tensor, *self._weights(name)], name, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])

    def _weights(self, layer: str) -> list[str]:
        return [self.weight(f"{layer}.{name}") for name in ("weight", "bias")]
