"""Grad-CAM against what it is by definition: the parts of the cells and the head's bias are the logit."""

import numpy as np
import pytest
import torch
from torch import nn

from training.networks.grad_cam import grad_cam


def test_parts_of_the_cells_and_the_bias_are_the_logit() -> None:
    """Cells as many as pixels: their parts sum up to each logit less its bias. What speaks against an answer is negative, a map of fewer
    cells is as large as the image, and nothing of the network is left changed."""
    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(0, 1, (1, 12, 12)).astype(np.float32)
    for stride in (1, 2):
        network = nn.Sequential(nn.Conv2d(1, 5, 3, stride, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)).eval()
        with torch.inference_mode():
            logits = network(torch.from_numpy(image[None]))[0].numpy()
        for channel in (0, 1):
            bias = float(network.state_dict()["3.bias"][channel])
            found = grad_cam(network, "1", image, channel)
            assert found.shape == (12, 12)
            if stride == 1:
                assert float(found.sum()) == pytest.approx(float(logits[channel]) - bias, abs=1e-4)
            assert found.min() < 0 < found.max()
        assert all(parameter.grad is None for parameter in network.parameters())
