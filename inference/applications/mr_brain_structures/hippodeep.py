"""hippodeep's three networks as ONNX: a head's tissues, what turns and stretches it to the MNI space, and the hippocampus in a crop there.

Layers are named in the published state dicts; how they follow one another is the authors' program's (bthyreau/hippodeep_pytorch).
"""

import numpy as np

from inference.engines.onnx_graph import PublishedGraph

INPUT, TISSUES, AFFINE, HIPPOCAMPUS = "IMAGE", "TISSUES", "AFFINE", "HIPPOCAMPUS"
SIDE = 64
"""Voxels along each axis of the head, as the first two networks see it."""
HALF = (48, 72, 64)
"""Voxels of the crop of one side, as the last one sees it; it answers for those that lie `LOST` and more within."""
LOST = 2


def tissues_onnx(published: bytes) -> bytes:
    """(N, 1, 64, 64, 64) values of a head to (N, 4, 64, 64, 64) probabilities, of which the first is the inside of the skull.

    Raises
    ------
    WrongWeights
        The file does not hold this network's weights.
    """
    graph = _HippodeepGraph(published)
    graph.tissues()
    sides = [SIDE] * 3
    return graph.content("hippodeep_tissues", (INPUT, ["batch", 1, *sides]), (TISSUES, ["batch", 4, *sides]))


def affine_onnx(published: bytes) -> bytes:
    """(N, 2, 64, 64, 64) two of those probabilities to (N, 12, 1, 1, 1): by how much three rows of four differ from the identity.

    Raises
    ------
    WrongWeights
    """
    graph = _HippodeepGraph(published)
    graph.affine()
    return graph.content("hippodeep_affine", (INPUT, ["batch", 2, *[SIDE] * 3]), (AFFINE, ["batch", 12, 1, 1, 1]))


def hippocampus_onnx(published: bytes) -> bytes:
    """(N, 1, 48, 72, 64) values of a crop to (N, 1, 44, 68, 60) probabilities of the hippocampus.

    Raises
    ------
    WrongWeights
    """
    graph = _HippodeepGraph(published)
    graph.hippocampus()
    answered = [side - 2 * LOST for side in HALF]
    return graph.content("hippodeep_hippocampus", (INPUT, ["batch", 1, *HALF]), (HIPPOCAMPUS, ["batch", 1, *answered]))


class _HippodeepGraph(PublishedGraph):
    """Layer by layer; every method takes the name of a tensor and gives the name of the next."""

    def tissues(self) -> None:
        """A U-Net of three halvings, whose skips stay for the way back."""
        tensor, skips = INPUT, []
        for level in range(4):
            tensor = self._convolved(tensor, f"conv{level}a", "Elu")
            tensor = self._normalised(tensor, f"conv{level}b", f"bn{level}a", "Elu")
            skips.append(tensor)
            if level < 3:
                tensor = self._halved(tensor, f"half{level}")
        for level in (2, 1, 0):
            tensor = self._convolved(self._doubled(tensor, f"double{level}"), f"conv{level}u", "Elu")
            joined = self.node("Concat", [tensor, skips[level]], f"joined{level}", axis=1)
            tensor = self._normalised(joined, f"conv{level}v", f"bn{level}u", "Elu")
        self.node("Sigmoid", [self._convolved(tensor, "conv1x", None, pad=0)], TISSUES)

    def affine(self) -> None:
        """Six convolutions, down to one voxel; of three the values are normalised by channel, and weighed voxel by voxel."""
        tensor = self._halved(self._convolved(INPUT, "convaff1", "Relu"), "half1")
        for place in (2, 3, 4):
            channels = len(self.published(f"convaff{place}.weight"))
            tensor = self._levelled(self._convolved(tensor, f"convaff{place}", None), f"bnaff{place}", channels)
            tensor = self._halved(self.node("Relu", [tensor], f"active{place}"), f"half{place}")
        tensor = self._convolved(tensor, "convaff5", "Relu", pad=0)
        self._convolved(tensor, "convaff6", None, pad=0, output=AFFINE)

    def hippocampus(self) -> None:
        """A coarse answer, blurred, weighs the fine channels out of which the last one is made."""
        tensor = INPUT
        for name in ("conv0a_0", "conv0a_1", "conv0a", "convf1"):
            tensor = self._convolved(tensor, name, "Relu", pad=0)
        fine = tensor
        tensor = self._residual(self._halved(fine, "half1"), "bn1", "convout0", "convout1")
        tensor = self._residual(self._halved(tensor, "half2"), "bn2", "convout2p", "convout2")
        tensor = self._doubled(self._convolved(tensor, "convlx3", "Relu"), "double1")
        tensor = self._doubled(self._convolved(tensor, "convlx5", "Relu"), "double2")
        tensor = self._convolved(self._convolved(tensor, "convlx7", "Relu"), "convlx8", None, pad=0)
        coarse = self.node("Sigmoid", [tensor], "coarse")
        weighed = self.node("Mul", [fine, self.node("Sigmoid", [self._convolved(coarse, "blur", None, pad=3)], "blurred")], "weighed")
        extracted = self.node("LeakyRelu", [self._convolved(weighed, "conv_extract", None)], "extracted", alpha=0.01)
        mixed = self._convolved(self.node("Concat", [coarse, extracted], "joined", axis=1), "convmix", "Relu")
        self.node("Sigmoid", [self._convolved(mixed, "convout1x", None, pad=0)], HIPPOCAMPUS)

    def _convolved(self, tensor: str, name: str, active: str | None, *, pad: int = 1, output: str | None = None) -> str:
        weights = [self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        convolved = self.node("Conv", [tensor, *weights], output or name, pads=[pad] * 6)
        return self.node(active, [convolved], f"{name}.active") if active else convolved

    def _normalised(self, tensor: str, name: str, normal: str, active: str) -> str:
        return self.node(active, [self.normalised(self._convolved(tensor, name, None), normal)], f"{normal}.active")

    def _residual(self, tensor: str, normal: str, first: str, second: str) -> str:
        found = self._convolved(self._convolved(self.normalised(tensor, normal), first, "Relu"), second, None)
        return self.node("Relu", [self.node("Add", [found, tensor], f"{second}.sum")], f"{second}.active")

    def _levelled(self, tensor: str, name: str, channels: int) -> str:
        """Each channel by its own mean and deviation, then by a weight and a bias of each voxel."""
        ones, zeros = (self.constant(f"{name}.{each}", np.full(channels, each, dtype=np.float32)) for each in (1, 0))
        levelled = self.node("InstanceNormalization", [tensor, ones, zeros], f"{name}.levelled", epsilon=1e-5)
        weighed = self.node("Mul", [levelled, self.weight(f"{name}.weight")], f"{name}.weighed")
        return self.node("Add", [weighed, self.weight(f"{name}.bias")], name)

    def _halved(self, tensor: str, output: str) -> str:
        return self.node("MaxPool", [tensor], output, kernel_shape=[2, 2, 2], strides=[2, 2, 2])

    def _doubled(self, tensor: str, output: str) -> str:
        """Each voxel eight times."""
        scales = self.constant(f"{output}.scales", np.array([1, 1, 2, 2, 2], dtype=np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", [tensor, "", scales], output, **how)
