"""The published lung network as ONNX: a 2-D U-Net whose layers are named in the published state dict, written as a graph.

The graph is built rather than traced, so that the same weights give the same bytes everywhere, and so the same digest.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import UnreadableModel, WrongWeights
from inference.engines.statedict import read_state_dict

OPSET, IR = 17, 8
INPUT, OUTPUT = "IMAGE", "LUNG"
EPSILON = 1e-5  # of batch normalisation, where the published code left the default

Weights = dict[str, NDArray[Any]]


def to_onnx(published: bytes) -> bytes:
    """An ONNX model of the published state dict: (N, 1, Y, X) of HU + 1024 to the probability of lung, sides multiples of 8.

    Dropout between the levels, which training used, is left out: it does nothing when a trained network is served.

    Raises
    ------
    WrongWeights
        The file does not hold this network's weights.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = _UnetGraph(_state(published))
    graph.network()
    axes = ["batch", 1, "rows", "columns"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "unet_small_lung_ct",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, axes)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, axes)],
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


class _UnetGraph:
    """Nodes and weights, layer by layer; every method takes the name of a tensor and gives the name of the next."""

    def __init__(self, state: Weights) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._state = {name: array for name, array in state.items() if not name.endswith("num_batches_tracked")}

    def network(self) -> None:
        """Down three levels, up again with what each level saw on the way down."""
        first = self._block(INPUT, "conv1")
        second = self._block(self._halve(first), "conv2")
        third = self._block(self._halve(second), "conv3")
        up = self._block(self._halve(third), "middle")
        for level, seen in (("3", third), ("2", second), ("1", first)):
            up = self._node("Concat", [self._double(up, f"upsample{level}"), seen], f"join{level}", axis=1)
            up = self._block(up, f"upconv{level}")
        self._node("Sigmoid", [self._convolve(up, "final", 0)], OUTPUT)
        if self._state:
            raise WrongWeights(f"the state dict holds layers that the network does not have: {', '.join(sorted(self._state)[:5])}")

    def _block(self, tensor: str, name: str) -> str:
        """Twice: convolve 3 × 3, normalise, cut at zero. 0, 1, 3 and 4 are the places of the layers that have weights."""
        for place in (0, 3):
            tensor = self._convolve(tensor, f"{name}.{place}", 1)
            tensor = self._normalise(tensor, f"{name}.{place + 1}")
            tensor = self._node("Relu", [tensor], f"{name}.{place + 2}")
        return tensor

    def _convolve(self, tensor: str, name: str, padding: int) -> str:
        return self._node("Conv", [tensor, *self._weights(name, "weight", "bias")], name, pads=[padding] * 4)

    def _normalise(self, tensor: str, name: str) -> str:
        weights = self._weights(name, "weight", "bias", "running_mean", "running_var")
        return self._node("BatchNormalization", [tensor, *weights], name, epsilon=EPSILON)

    def _halve(self, tensor: str) -> str:
        return self._node("MaxPool", [tensor], f"{tensor}.halved", kernel_shape=[2, 2], strides=[2, 2])

    def _double(self, tensor: str, name: str) -> str:
        weights = self._weights(name, "weight", "bias")
        return self._node("ConvTranspose", [tensor, *weights], name, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])

    def _weights(self, layer: str, *names: str) -> list[str]:
        from onnx import numpy_helper

        for name in names:
            key = f"{layer}.{name}"
            if key not in self._state:
                raise WrongWeights(f"the state dict has no {key}: it is another network's")
            array = np.ascontiguousarray(self._state.pop(key), dtype=np.float32)
            self.initializers.append(numpy_helper.from_array(array, key))
        return [f"{layer}.{name}" for name in names]

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output
