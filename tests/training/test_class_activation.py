"""Class activation maps as the served model gives them, beside those of the gradients of torch."""

import hashlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.applications.chest_xray.preparing import SIDE
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.execution import Execution, Runtime
from inference.engines.repository import Repository
from inference.engines.runtimes import computation
from tests.training.made_radiographs import Pixels, Spots, tiny
from training.evaluation.classification import Band, Calibration
from training.export import packed, packed_ref
from training.networks.answering import Answering, Attending, attended, cells_of
from training.recipes.chest_xray import RECIPE as FULL
from training.tasks.classification import ANSWERS, AT_ONCE

CALIBRATION = Calibration(slope=1.7, offset=-0.3)
BAND = Band(low=0.2, high=0.8)


def images(count: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((count, 1, SIDE, SIDE), dtype=np.float32))


def gradient_weighted(network: Attending, seen: torch.Tensor, slope: float) -> NDArray[np.float32]:
    """Grad-CAM's sum as its paper has it (Selvaraju 2017, equations 1 and 2, before the ReLU): by gradients, not by weights."""
    features = network.features(seen).detach().requires_grad_()
    logits = slope * network.head()(features.mean(dim=(2, 3)))[:, 0]
    (gradients,) = torch.autograd.grad(logits.sum(), features)
    weighed: NDArray[np.float32] = (gradients.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).detach().numpy()
    return weighed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EfficientNet-Lite0", "ResNet-18"])
def test_the_recipes_networks_give_grad_cam_itself(name: str) -> None:
    """Both end in pooling and one layer, so that each cell's part is Grad-CAM's, cell by cell, and the answer is the trained network's."""
    torch.manual_seed(0)
    network = FULL.arms[name].network().eval()
    assert cells_of(network, FULL.window) == (7, 7)
    with torch.inference_mode():
        logits, parts = attended(network, images())
        np.testing.assert_allclose(logits, network(images()), atol=1e-6)
        np.testing.assert_allclose(parts.sum(dim=(1, 2)) + network.head().bias, logits, atol=1e-5)
    expected = gradient_weighted(network, images(), 1.0)
    np.testing.assert_allclose(parts, expected, atol=1e-6 + 1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.OPENVINO])
def test_the_exported_model_gives_them_on_every_runtime(tmp_path: Path, runtime: Runtime) -> None:
    """The packed file, by torch and by OpenVINO: cells as the gradients say, whose sum is the log odds of the probability beside them; for
    one image and for as many as a call may bring."""
    torch.manual_seed(0)
    network = Spots().eval()
    cells = cells_of(network, tiny().window)
    assert cells == (20, 20)
    repository = Repository(packed(tiny(), Answering(network, CALIBRATION, BAND).eval(), tmp_path, (ANSWERS,), cells, batch=AT_ONCE))
    file, content, digest = repository.read(packed_ref(tiny()))
    assert hashlib.sha256(content).hexdigest() == digest
    compute = computation(Execution(runtime=runtime), repository.config(packed_ref(tiny())), file, content, 1)
    for count in (1, AT_ONCE):
        given = compute({"INPUT__0": images(count).numpy()})
        expected = gradient_weighted(network, images(count), CALIBRATION.slope)
        np.testing.assert_allclose(given["OUTPUT__1"], expected, atol=1e-5)
        probability = given["OUTPUT__0"][:, 2].astype(np.float64)
        constant = CALIBRATION.slope * network.head().bias.item() + CALIBRATION.offset
        np.testing.assert_allclose(given["OUTPUT__1"].sum(axis=(1, 2)) + constant, np.log(probability / (1 - probability)), atol=1e-4)


def test_a_network_without_features_answers_as_before(tmp_path: Path) -> None:
    """One output, which the engine serves; nobody is told of cells that are not there."""
    network = Answering(Pixels(), CALIBRATION, BAND).eval()
    assert cells_of(Pixels(), tiny().window) is None
    repository = packed(tiny(), network, tmp_path, (ANSWERS,), batch=AT_ONCE)
    with closing(EmbeddedEngine(repository)) as engine:
        answer = engine.infer(packed_ref(tiny()), {"INPUT__0": images().numpy()})
    assert list(answer) == ["OUTPUT__0"]
    with torch.inference_mode():
        np.testing.assert_allclose(answer["OUTPUT__0"], network(images()), atol=1e-6)
