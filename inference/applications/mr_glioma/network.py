"""The nine networks of brats17 as ONNX: layers that are named in TensorFlow checkpoints, as graphs (Wang and others, arXiv 1709.00382).

Every normalisation uses mean and variance of what it is fed (over batch, slices, rows and columns), as the authors run them: the averages
that the checkpoints hold were never updated. So an answer depends on the size of a tile, and on the tiles that share its batch.

Inside the graph the slices of all tiles lie one behind the other, (1, channels, tiles × slices, rows, columns): what is convolved in the
plane does not mind, and a channel's statistics are those of an instance. Where slices are joined, those of parts of two tiles are cut.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import UnreadableModel, WrongWeights
from inference.engines.onnx_graph import EPSILON, NamedGraph
from inference.engines.tensor_bundle import read_tensor_bundle

INPUT, OUTPUT = "CONTRASTS", "LOGITS"
CONTRASTS = ("FLAIR", "T1", "T1c", "T2")
"""The channels of the input, in their order."""
SLICES_IN, SLICES_OUT = 19, 11
"""Of a tile: four convolutions over three slices each take one from both ends."""
CLASSES = 2

_CHANNELS = 32
_CONTRASTS_IN = "slices"
_IGNORED = ("/Adam", "/Adam_1", "/moving_mean", "/moving_variance", "/biased", "/local_step")
"""What training kept beside the weights."""
_POWERS = frozenset({"beta1_power", "beta2_power"})


def to_onnx(data: bytes, index: bytes) -> bytes:
    """An ONNX model of a published checkpoint: (N, 4, 19, Y, X) contrasts to (N, 2, 11, Y, X) logits.

    Y and X are multiples of 4, of the networks for enhancing tumour of 2. Which of the two a network is, its layers say.

    Parameters
    ----------
    data, index
        The files msnet_….ckpt.data-00000-of-00001 and msnet_….ckpt.index.

    Raises
    ------
    WrongWeights
        They do not hold such a network's weights.
    """
    try:
        published = read_tensor_bundle(index, data, "the checkpoint")
    except UnreadableModel as broken:
        raise WrongWeights(str(broken)) from broken
    layers = {}
    for name, array in published.items():
        if name in _POWERS or name.endswith(_IGNORED):
            continue
        _, _, layer = name.partition("/")
        if layer in layers:
            raise WrongWeights(f"the checkpoint has {layer} twice: it holds two networks")
        layers[layer] = array
    graph = _MSNetGraph(layers, "the checkpoint")
    graph.network()
    axes = ("batch", len(CONTRASTS), SLICES_IN, "rows", "columns")
    return graph.content("msnet", (INPUT, axes), (OUTPUT, ("batch", CLASSES, SLICES_OUT, "rows", "columns")))


class _MSNetGraph(NamedGraph):
    """Layer by layer; every method takes the name of a tensor and gives the name of the next."""

    def network(self) -> None:
        """Two levels of the plane, in the networks for whole tumour and core three, and an answer from each of three depths, joined."""
        halved = self.has("downsample1_bn_prelu/conv_/w")
        tensor = self._fused("fuse1", self._blocks({"block1_1": 1, "block1_2": 1}, self._behind_each_other(INPUT)), SLICES_IN)
        if halved:
            tensor = self._down("downsample1", tensor)
        near = self._fused("fuse2", self._blocks({"block2_1": 1, "block2_2": 1}, tensor), SLICES_IN - 2)
        middle = self._fused(
            "fuse3", self._blocks({"block3_1": 1, "block3_2": 2, "block3_3": 3}, self._down("downsample2", near)), SLICES_IN - 4
        )
        far = self._fused("fuse4", self._blocks({"block4_1": 3, "block4_2": 2, "block4_3": 1}, middle), SLICES_IN - 6)
        near, middle = self._middle("near", near, SLICES_OUT + 4, 2), self._middle("middle", middle, SLICES_OUT + 2, 1)
        answers = [
            self._up("pred_up1", near) if halved else self._convolved("pred1/w", near),
            self._up("pred_up2_2", self._up("pred_up2_1", middle)) if halved else self._up("pred_up2_1", middle),
            self._up("pred_up3_2", self._up("pred_up3_1", far)) if halved else self._up("pred_up3_1", far),
        ]
        joined = self.node("Concat", answers, "joined", axis=1)
        self._beside_each_other(self._convolved("final_pred/w", joined))

    def _blocks(self, dilations: dict[str, int], tensor: str) -> str:
        for name, dilation in dilations.items():
            found = tensor
            for place in (0, 1):
                active = self._active(f"{name}/bn_{place}", f"{name}/prelu_acti_{place}", found)
                found = self._convolved(f"{name}/conv_{place}/w", active, dilation)
            tensor = self.node("Add", [found, self._widened(tensor) if tensor == _CONTRASTS_IN else tensor], f"{name}/sum")
        return tensor

    def _widened(self, tensor: str) -> str:
        """The contrasts among as many channels as a block gives, with zeros before and behind."""
        before = (_CHANNELS - len(CONTRASTS)) // 2
        pads = self.constant("widened/pads", np.array([0, before, 0, 0, 0, 0, before, 0, 0, 0], dtype=np.int64))
        return self.node("Pad", [tensor, pads], "widened")

    def _active(self, normal: str, active: str, tensor: str) -> str:
        """Normalised by the statistics of what there is, and PReLU with a slope a channel."""
        weights = [self.weight(f"{normal}/gamma"), self.weight(f"{normal}/beta")]
        normalised = self.node("InstanceNormalization", [tensor, *weights], normal, epsilon=EPSILON)
        slopes = self._turned(f"{active}/alpha", self.taken(f"{active}/alpha").reshape(-1, 1, 1, 1))
        return self.node("PRelu", [normalised, slopes], active)

    def _layer(self, name: str, convolved: str) -> str:
        return self._active(f"{name}_bn_prelu/bn_", f"{name}_bn_prelu/prelu_acti_", convolved)

    def _convolved(self, key: str, tensor: str, dilation: int = 1) -> str:
        """1 × 3 × 3, as large as before."""
        pads = [0, dilation, dilation] * 2
        return self.node("Conv", [tensor, self._kernel(key)], key.removesuffix("/w"), pads=pads, dilations=[1, dilation, dilation])

    def _fused(self, name: str, tensor: str, slices: int) -> str:
        """3 × 1 × 1: of each tile's slices two fewer. Behind the last tile come two slices of zeros, which are cut with the others."""
        convolved = self.node("Conv", [tensor, self._kernel(f"{name}_bn_prelu/conv_/w")], f"{name}/conv", pads=[0, 0, 0, 2, 0, 0])
        return self._layer(name, self._of_each_tile(name, convolved, slices, 0, slices - 2))

    def _down(self, name: str, tensor: str) -> str:
        """1 × 3 × 3 of every other row and column; TensorFlow pads even sides at their end alone."""
        kernel = self._kernel(f"{name}_bn_prelu/conv_/w")
        return self._layer(name, self.node("Conv", [tensor, kernel], f"{name}/conv", strides=[1, 2, 2], pads=[0, 0, 0, 0, 1, 1]))

    def _up(self, name: str, tensor: str) -> str:
        """Transposed 1 × 3 × 3, twice as many rows and columns: of one more the last is cut."""
        kernel = self._kernel(f"{name}_bn_prelu/deconv_/w")
        return self._layer(name, self.node("ConvTranspose", [tensor, kernel], f"{name}/conv", strides=[1, 2, 2], pads=[0, 0, 0, 0, 1, 1]))

    def _middle(self, name: str, tensor: str, slices: int, ends: int) -> str:
        return self._of_each_tile(name, tensor, slices, ends, slices - ends)

    def _kernel(self, key: str) -> str:
        """TensorFlow's (slices, rows, columns, in, out), of a transposed one (…, out, in), as ONNX has them: the last two first."""
        axes = self.published(key).ndim
        if axes != 5:
            raise WrongWeights(f"{key} has {axes} axes, not 5: it is another network's")
        return self._turned(key, self.taken(key).transpose(4, 3, 0, 1, 2))

    def _turned(self, key: str, array: NDArray[Any]) -> str:
        return self.constant(key, np.ascontiguousarray(array, dtype=np.float32))

    def _behind_each_other(self, tensor: str) -> str:
        """(N, 4, 19, Y, X) as (1, 4, N × 19, Y, X)."""
        turned = self.node("Transpose", [tensor], "turned", perm=[1, 0, 2, 3, 4])
        return self._shaped(_CONTRASTS_IN, turned, [1, len(CONTRASTS), -1])

    def _beside_each_other(self, tensor: str) -> str:
        """(1, 2, N × 11, Y, X) as (N, 2, 11, Y, X)."""
        tiles = self._shaped("tiles", tensor, [CLASSES, -1, SLICES_OUT])
        return self.node("Transpose", [tiles], OUTPUT, perm=[1, 0, 2, 3, 4])

    def _of_each_tile(self, name: str, tensor: str, slices: int, first: int, last: int) -> str:
        """Slices `first` to before `last` of each tile's `slices`."""
        apart = self._shaped(f"{name}/apart", tensor, [_CHANNELS, -1, slices])
        bounds = {"start": first, "end": last, "axis": 2}
        constants = [self.constant(f"{name}/{at}", np.array([value], dtype=np.int64)) for at, value in bounds.items()]
        kept = self.node("Slice", [apart, *constants], f"{name}/kept")
        return self._shaped(f"{name}/joined", kept, [1, _CHANNELS, -1])

    def _shaped(self, name: str, tensor: str, leading: list[int]) -> str:
        """With other leading axes before the rows and columns that it has."""
        sides = [self.constant(f"{name}/{at}", np.array([place], dtype=np.int64)) for at, place in (("from", 3), ("to", 5), ("along", 0))]
        plane = self.node("Slice", [self.node("Shape", [tensor], f"{name}/shape"), *sides], f"{name}/plane")
        wanted = self.constant(f"{name}/leading", np.array(leading, dtype=np.int64))
        return self.node("Reshape", [tensor, self.node("Concat", [wanted, plane], f"{name}/sides", axis=0)], name)
