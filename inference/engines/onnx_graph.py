"""ONNX graphs that are written node by node, not traced: the same weights give the same bytes everywhere, and so the same digest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import UnreadableModel, WrongWeights
from inference.engines.safetensors import read_safetensors
from inference.engines.statedict import read_state_dict

OPSET, IR = 17, 8
EPSILON = 1e-5
"""Of batch normalisation, where published code left torch's default."""

Axes = Sequence[int | str]


class NamedGraph:
    """The graph of a network whose published layers have names; the network itself is written by a class of its own.

    Parameters
    ----------
    layers
        The published arrays by name; each has to be made a weight.
    called
        What holds them, for sentences.

    Raises
    ------
    WrongWeights
        They are not those of this network: by whichever method finds it out.
    """

    def __init__(self, layers: Mapping[str, NDArray[Any]], called: str) -> None:
        self._layers: dict[str, NDArray[Any]] = dict(layers)
        self._called = called
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """One operator."""
        from onnx import helper

        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def published(self, key: str) -> NDArray[Any]:
        """What was published under a name, and has not been made a weight yet."""
        if key not in self._layers:
            raise WrongWeights(f"{self._called} has no {key}: it is another network's")
        return self._layers[key]

    def has(self, key: str) -> bool:
        """Whether there is such a layer, which has not been made a weight yet."""
        return key in self._layers

    def taken(self, key: str) -> NDArray[Any]:
        """That, of which constants are made by the one who asks."""
        array = self.published(key)
        del self._layers[key]
        return array

    def weight(self, key: str) -> str:
        """That as a constant of single precision."""
        return self.constant(key, np.ascontiguousarray(self.taken(key), dtype=np.float32))

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Any other one."""
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def content(self, name: str, given: tuple[str, Axes], answered: tuple[str, Axes]) -> bytes:
        """The model of one input and one output of single precision: their names and axes."""
        from onnx import TensorProto, helper

        if self._layers:
            raise WrongWeights(f"{self._called} holds layers that the network does not have: {', '.join(sorted(self._layers)[:5])}")
        inputs, outputs = ([helper.make_tensor_value_info(at, TensorProto.FLOAT, axes)] for at, axes in (given, answered))
        return content_of(name, self._nodes, inputs, outputs, self._constants)


class PublishedGraph(NamedGraph):
    """One of a PyTorch state dict, with batch normalisation as it is once training is over.

    Raises
    ------
    WrongWeights
        The file is no state dict, or not that of this network.
    """

    def __init__(self, published: bytes) -> None:
        try:
            # some publishers call safetensors, which begin with the length of a header in JSON, .pth
            read = read_safetensors if published[8:9] == b"{" else read_state_dict
            state = {name: tensor.numpy() for name, tensor in read(published, "the file").items()}
        except (UnreadableModel, TypeError) as broken:
            raise WrongWeights(f"not a PyTorch state dict: {broken}") from broken
        super().__init__({name: array for name, array in state.items() if not name.endswith("num_batches_tracked")}, "the state dict")

    def normalised(self, tensor: str, layer: str) -> str:
        """Batch normalisation, as it is once training is over."""
        weights = [self.weight(f"{layer}.{each}") for each in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", [tensor, *weights], layer, epsilon=EPSILON)


def content_of(name: str, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: Sequence[Any]) -> bytes:
    """A model of these parts, which are onnx's messages, once onnx has checked it."""
    import onnx
    from onnx import helper

    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="hilum")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
