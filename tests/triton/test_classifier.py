"""A classifier with cells on a real Triton server: its second output, and many images a call, as the embedded engine gives them."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.applications.chest_xray.application import explain
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import ModelRef
from inference.engines.triton.engine import TritonEngine
from tests.lab.triton import servers
from tests.training.made_radiographs import Spots, tiny
from training.data.pictures import images_of
from training.evaluation.classification import Band, Calibration
from training.export import packed, packed_ref
from training.infer import EngineInfer
from training.networks.answering import Answering, cells_of
from training.tasks.classification import ANSWERS, AT_ONCE

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(900)]


def test_what_moved_an_answer_is_the_same_on_triton(tmp_path: Path) -> None:
    """Both maps, pixel by pixel, over gRPC, with and without shared memory."""
    torch.manual_seed(0)
    network = Spots().eval()
    cells = cells_of(network, tiny().window)
    assert cells is not None
    answering = Answering(network, Calibration(slope=8.0, offset=-0.2), Band(low=0.2, high=0.8)).eval()
    repository = packed(tiny(), answering, tmp_path, (ANSWERS,), cells, batch=AT_ONCE)
    picture = np.full((224, 224), 40, np.uint8)
    picture[60:90, 100:140], picture[150:160, 30:44] = 230, 200

    def maps(engine: EmbeddedEngine | TritonEngine) -> list[np.ndarray]:
        asked = EngineInfer(engine)

        def infer(model: ModelRef, tensors: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
            assert model.name == packed_ref(tiny()).name
            return asked(packed_ref(tiny()), tensors)

        return [one.values for one in explain(images_of(picture, "picture"), infer)]  # type: ignore[arg-type]

    with closing(EmbeddedEngine(repository)) as embedded:
        expected = maps(embedded)
    assert len(expected) == 2
    assert all(np.ptp(each) > 1e-3 for each in expected)
    with servers() as start:
        server = start(repository)
        for shared in ("off", "auto"):
            with closing(TritonEngine(server.url, repository, shared_memory=shared)) as engine:
                for found, meant in zip(maps(engine), expected, strict=True):
                    np.testing.assert_allclose(found, meant, atol=1e-3 * np.abs(meant).max() + 1e-5)
