"""What moved an answer of an application without code: on networks of one layer, where it is known by arithmetic."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.answering import AnswerChannel
from inference.applications.bundle.errors import BrokenManifest
from inference.applications.bundle.explaining import log_odds
from inference.applications.bundle.finish import Activation
from inference.applications.bundle.manifest import BundleManifest, application_of, from_text, to_text
from inference.applications.bundle.steps import Resize
from inference.applications.declared import check_outputs
from inference.applications.manifest import check_manifest
from inference.applications.occluding import OCCLUSION
from inference.applications.port import ModelRef
from inference.imaging.subject import Images

from .test_single_images import MANIFEST, image

ROWS, COLUMNS = 21, 14
EXPLAINED = replace(
    MANIFEST,
    prepare=(Resize(size=(1, ROWS, COLUMNS), mode="area"),),
    channels=2,
    answers=(AnswerChannel(channel=0, finding=codes.PNEUMONIA), AnswerChannel(channel=1, finding=codes.NODULE)),
    explained=(OCCLUSION,),
)


class Weighed:
    """An `Infer` whose logits are weighed sums of what it sees, the second beside a constant."""

    def __init__(self, second: float = -3.0) -> None:
        self.calls: list[int] = []
        self.weights = np.random.default_rng(0).normal(0, 0.1, (2, ROWS, COLUMNS)).astype(np.float32)
        self._second = second

    def __call__(self, model: ModelRef, tensors: Any, /) -> dict[str, NDArray[Any]]:
        self.calls.append(len(tensors["INPUT__0"]))
        sums = (tensors["INPUT__0"] * self.weights).sum(axis=(2, 3))
        return {"OUTPUT__0": (sums + np.array([[0, self._second]], dtype=np.float32)).astype(np.float32)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> None:
        return None


def series(*pixels: NDArray[Any]) -> Images:
    return Images(images=tuple(map(image, pixels)), modality="DX", study_instance_uid="1", series_instance_uid="1.2")


def test_each_pixel_has_what_the_answer_would_lose_with_its_squares() -> None:
    """Squares of 3 × 2 pixels, moved by 1: where log odds are a weighed sum, the loss of each is the sum of its pixels' parts."""
    network, seen = Weighed(), np.random.default_rng(1).random((ROWS, COLUMNS), dtype=np.float32)
    application = check_manifest(application_of(EXPLAINED), "own", "here")
    subject = series(seen)
    assert application.explain is not None
    (found,) = application.explain(subject, network)
    check_outputs(application, replace(application.analyse(subject, network), explanations=(found,)), subject)
    lost = network.weights[0] * (seen - seen.mean())
    for row, column in ((0, 0), (5, 7), (20, 13), (10, 13)):
        squares = [
            lost[top : top + 3, left : left + 2].sum()
            for top in range(ROWS - 2)
            for left in range(COLUMNS - 1)
            if top <= row < top + 3 and left <= column < left + 2
        ]
        assert found.values[row, column] == pytest.approx(np.mean(squares), abs=1e-4)


def test_many_changed_images_go_in_one_call_where_the_network_takes_them() -> None:
    """13 × 13 squares hidden, 64 images a call: three calls for them, and the map is the same."""
    seen = np.random.default_rng(1).random((ROWS, COLUMNS), dtype=np.float32)
    alone, together = Weighed(), Weighed()
    one, many = application_of(EXPLAINED), application_of(replace(EXPLAINED, batch=64))
    assert one.explain is not None
    assert many.explain is not None
    (each,), (found,) = one.explain(series(seen), alone), many.explain(series(seen), together)
    assert max(alone.calls) == 1
    assert together.calls[2:] == [64] * (len(alone.calls) // 64) + [(len(alone.calls) - 2) % 64]
    assert found.values == pytest.approx(each.values, abs=1e-5)


@pytest.mark.parametrize("second", [-9.0, 9.0])
def test_of_several_findings_the_likeliest_is_explained_on_the_pixels_of_each_image(second: float) -> None:
    """One map an image, of its own size: twice as many pixels across and down, each of four like the one that the network saw."""
    network, seen = Weighed(second), np.random.default_rng(1).random((ROWS, COLUMNS), dtype=np.float32)
    application = application_of(EXPLAINED)
    assert application.explain is not None
    small, large = application.explain(series(seen, seen.repeat(2, axis=0).repeat(2, axis=1)), network)
    assert (small.image, large.image) == (0, 1)
    assert {small.finding, large.finding} == {codes.PNEUMONIA if second < 0 else codes.NODULE}
    assert large.values.shape == (2 * ROWS, 2 * COLUMNS)
    blocks = large.values.reshape(ROWS, 2, COLUMNS, 2).mean(axis=(1, 3))
    assert np.corrcoef(blocks.ravel(), small.values.ravel())[0, 1] > 0.95


def test_log_odds_are_of_a_class_among_others_or_of_a_finding() -> None:
    """By hand from the probabilities; also where a probability is 1 to the last bit of its single precision."""
    logits = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    powers = np.exp(logits.astype(np.float64))
    assert log_odds(logits, Activation(softmax=True), 2) == pytest.approx(np.log(powers[2] / (powers[0] + powers[1])))
    assert log_odds(logits, Activation(sigmoid=True), 1) == -1.0
    assert log_odds(np.array([40.0, 0.0], dtype=np.float32), Activation(softmax=True), 0) == pytest.approx(40.0)


def test_methods_stand_in_application_json_where_there_are_any() -> None:
    """Read back as written; without them there is no word, no explanation is declared, and nobody can ask for one."""
    assert from_text(to_text(EXPLAINED), "here") == EXPLAINED
    assert b"explained" not in to_text(MANIFEST)
    assert application_of(MANIFEST).explain is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (replace(EXPLAINED, explained=("Tea leaves",)), 'no node computes "Tea leaves"'),
        (replace(EXPLAINED, finish=()), "whose network ends in one activation"),
        (replace(EXPLAINED, batch=0), "batch is 0"),
    ],
)
def test_methods_that_a_node_cannot_compute_are_refused(changed: BundleManifest, said: str) -> None:
    """A file that somebody wrote by hand."""
    with pytest.raises(BrokenManifest, match=said):
        from_text(to_text(changed), "here")
