"""Methods of explanation against arithmetic on networks of one layer, and the gate on a network made to pass it and on one made to fail."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from inference.applications.bundle.explaining import WINDOWS
from inference.applications.occluding import OCCLUSION, occlusion
from training.evaluation.explained import explained_lines, explained_part
from training.explaining.gate import LEAST, RANDOMISED, Explained, Verdict, gate, likeness, spread, told
from training.explaining.methods import INTEGRATED, LIME, METHODS, SHAP, LogOdds, Method, SeenImage, cells, of_pooling
from training.explaining.randomised import randomised

SIDE = 28
BY_LABEL = {method.label: method for method in METHODS}


class Weighed(nn.Module):
    """One weight a pixel: what each pixel adds to the answer is known."""

    def __init__(self, axes: tuple[int, ...] = (SIDE, SIDE)) -> None:
        super().__init__()
        self.last = nn.Linear(int(np.prod(axes)), 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(images.flatten(1))[:, 0]
        return logits


class Edges(nn.Module):
    """How much edge an image has, times one weight: whatever is learned, its map is the image's edges."""

    def __init__(self) -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        edges = (images[:, :, 1:, 1:] - images[:, :, :-1, :-1]) ** 2
        return self.amount * edges.sum(dim=(1, 2, 3))


def pictures(count: int) -> NDArray[np.float32]:
    """Images (N, 1, 28, 28) of -1 and 1 by chance: no pixel is larger than another."""
    rng = np.random.default_rng(1)
    return (2 * rng.integers(0, 2, (count, 1, SIDE, SIDE)) - 1).astype(np.float32)


def tried(methods: Sequence[Method], network: Any, **asked: Any) -> tuple[Verdict, ...]:
    found = pictures(LEAST + 2)
    given = {"exclusive": False, "seconds": 1e6, **asked}
    return gate(methods, network, [Explained(image=each, channel=0) for each in found], found, **given)


def shown(image: NDArray[np.float32], seed: int = 0) -> SeenImage:
    return SeenImage(image=image, usual=torch.from_numpy(pictures(4)), seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(SIDE, SIDE), (8, 12, 12)])
def test_maps_of_a_linear_network_are_what_its_pixels_add(axes: tuple[int, ...]) -> None:
    """Each pixel's weight times how far it is from the grey: integrated gradients to the digit; LIME of each cell the sum; occlusion has
    the sign of a large cell, and all its pixels' parts; both of one image and of a volume, and nothing is left drawn from."""
    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(0, 1, (1, *axes)).astype(np.float32)
    network = Weighed(axes).eval()
    # one cell speaks for the answer, by far
    loud = cells(axes) == 9
    with torch.no_grad():
        network.last.weight[0, torch.from_numpy(loud.ravel())] = torch.from_numpy(np.sign(image[0] - image.mean())[loud])
    parts = network.last.weight.detach().numpy()[0].reshape(axes) * (image[0] - image.mean())
    odds = LogOdds(network, 0, False).eval()
    drawn = np.random.get_state()[1].copy()  # type: ignore[index]
    asked = shown(image)
    assert BY_LABEL[INTEGRATED].explain(odds, asked) == pytest.approx(parts, abs=1e-4)
    found = BY_LABEL[LIME].explain(odds, asked)
    assert found.shape == axes
    sums = {cell: float(parts[cells(axes) == cell].sum()) for cell in range(int(cells(axes).max()) + 1)}
    of_cell = {cell: float(found[cells(axes) == cell].mean()) for cell in sums}
    assert max(of_cell, key=lambda cell: of_cell[cell]) == 9 == max(sums, key=lambda cell: sums[cell])
    assert np.corrcoef(list(sums.values()), list(of_cell.values()))[0, 1] > 0.9
    covered = BY_LABEL[OCCLUSION].explain(odds, asked)
    assert covered.shape == axes
    assert loud.ravel()[covered.argmax()]
    assert (np.random.get_state()[1] == drawn).all()  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(SIDE, SIDE), (31, 45)])
def test_what_a_node_computes_is_what_passed_the_gate(axes: tuple[int, ...]) -> None:
    """Occlusion by captum and occlusion as it is served, of a network that multiplies pixels: the same map, whatever the sides."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 5), nn.Tanh(), nn.Flatten(), nn.LazyLinear(1)).eval()
    image = np.random.default_rng(0).normal(0, 1, (1, *axes)).astype(np.float32)
    with torch.inference_mode():
        network(torch.from_numpy(image[None]))
        side = [length // WINDOWS for length in axes]
        served = occlusion(
            image,
            side,
            [length // 2 for length in side],
            lambda each: network(torch.from_numpy(np.stack(list(each)))).double().numpy()[:, 0],
        )
    assert BY_LABEL[OCCLUSION].explain(LogOdds(network, 0, False).eval(), shown(image)) == pytest.approx(served, abs=1e-5)


@pytest.mark.slow
def test_shap_of_a_linear_network_is_its_distance_from_usual_images() -> None:
    """The values sum up to how far the answer lies from those to images that are usual; the same seed draws the same."""
    torch.manual_seed(0)
    network, image = Weighed().eval(), pictures(5)[4]
    odds, usual = LogOdds(network, 0, False).eval(), pictures(1)
    asked = SeenImage(image=image, usual=torch.from_numpy(usual), seed=3)
    found = BY_LABEL[SHAP].explain(odds, asked)
    with torch.inference_mode():
        apart = float(network(torch.from_numpy(image[None]))[0] - network(torch.from_numpy(usual))[0])
    assert float(found.sum()) == pytest.approx(apart, abs=1e-3)
    assert (BY_LABEL[SHAP].explain(odds, asked) == found).all()


def test_log_odds_are_of_one_class_among_others_or_of_a_finding() -> None:
    """By hand: the logarithm of p / (1 - p), p of the softmax or of the sigmoid."""
    logits = torch.tensor([[0.3, -1.0, 2.0]])
    network = nn.Identity()
    for exclusive, p in ((True, logits.softmax(dim=1)[0, 2]), (False, logits.sigmoid()[0, 2])):
        assert float(LogOdds(network, 2, exclusive)(logits)[0, 0]) == pytest.approx(float(torch.log(p / (1 - p))), abs=1e-5)
    assert LogOdds(network, 0, False)(torch.tensor([0.7])).tolist() == [[pytest.approx(0.7)]]


@pytest.mark.slow
def test_networks_of_random_weights_compute_and_leave_the_first_as_it_is() -> None:
    """Drawn anew by the seed, batch normalisation by what is usual: answers differ from image to image."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)).eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    usual = torch.from_numpy(pictures(6)) * 50 + 300
    made, again, other = (randomised(network, usual, seed) for seed in (0, 0, 1))
    assert all((each == before[name]).all() for name, each in network.state_dict().items())
    assert all((each == again.state_dict()[name]).all() for name, each in made.state_dict().items())
    # neither those that it has, which the same seed drew, nor one another's
    for name in ("0.weight", "5.weight"):
        assert (made.state_dict()[name] != before[name]).all()
    assert (made.state_dict()["0.weight"] != other.state_dict()["0.weight"]).all()
    normalised = made[1](made[0](usual))
    assert normalised.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * 4, abs=1e-3)
    assert not made.training
    edges = Edges()
    assert float(randomised(edges, usual, 0).amount.detach()) != 2.0


def test_two_maps_are_alike_by_their_ranks_with_signs_or_without() -> None:
    """A map is itself, its negative and whatever grows with it; the same edges with signs by chance are alike; one value alone shows
    nothing; two by chance are not alike."""
    rng = np.random.default_rng(0)
    map_ = rng.normal(0, 1, (20, 20)).astype(np.float32)
    for other in (map_, -map_, map_**3, map_ * rng.choice([-1, 1], map_.shape)):
        assert likeness(map_, [other.astype(np.float32)]) == pytest.approx(1, abs=1e-6)
    assert likeness(map_, [np.zeros_like(map_)]) == 1
    assert likeness(map_, [rng.normal(0, 1, (20, 20)).astype(np.float32)]) < 0.2
    # by hand: ranks 1 2 3 4 and 2 1 3 4, 1 - 6 * 2 / (4 * 15)
    assert likeness(np.array([1, 2, 3, 4], np.float32), [np.array([2, 1, 3, 4], np.float32)]) == pytest.approx(0.8)


@pytest.mark.slow
def test_the_gate_lets_through_what_was_learned_and_holds_back_edges() -> None:
    """A network with a weight a pixel is told of by integrated gradients and occlusion; of one that sees edges alone the maps are edges
    when it has learned nothing, too: no method is offered, and after the second case none is tried."""
    torch.manual_seed(0)
    methods = [BY_LABEL[INTEGRATED], BY_LABEL[OCCLUSION]]
    good = tried(methods, Weighed())
    assert [one.offered for one in good] == [True, True], good
    assert all(len(one.likeness) == LEAST + 2 for one in good)
    bad = tried(methods, Edges())
    assert [one.offered for one in bad] == [False, False]
    assert all(len(one.likeness) == 2 and min(one.likeness) > 0.9 for one in bad)
    assert all("learned nothing" in one.why for one in bad)


@pytest.mark.slow
def test_the_gate_ends_when_its_time_is_over() -> None:
    """A clock that goes on by a minute a look: what was seen until then is told, and is not enough."""
    torch.manual_seed(0)
    ticks = itertools.count(0, 60)
    (found,) = tried([BY_LABEL[INTEGRATED]], Weighed(), seconds=200, clock=lambda: float(next(ticks)))
    assert not found.offered
    assert found.why == f"3 cases were looked at in 200 s, and fewer than {LEAST} tell nothing"


def test_too_few_cases_are_not_looked_at() -> None:
    """Of fewer than ten no method could be offered: none is tried, and why is said."""
    few = [Explained(image=each, channel=0) for each in pictures(LEAST - 1)]
    (found,) = gate([BY_LABEL[INTEGRATED]], Weighed(), few, pictures(4), exclusive=False, seconds=1e6)
    assert found.likeness == ()
    assert found.why == f"not tried: {LEAST - 1} held-out cases, and fewer than {LEAST} tell nothing"


def test_cases_are_of_every_class_in_turn() -> None:
    assert spread(4, [0, 0, 0, 0, 1, 1]) == [0, 4, 1, 5]
    assert spread(9, [0, 0, 1]) == [0, 2, 1]


def test_what_was_tried_stands_in_a_table() -> None:
    """Method, cases, median, share, and whether it is offered, or why not; on the page escaped; nothing where nothing was tried."""
    verdicts = [
        Verdict(label="One", likeness=(0.1, 0.2, 0.4, 0.1), why=""),
        Verdict(label="Two <b>", likeness=(), why="0 cases were looked at"),
    ]
    found = told(verdicts, 30)
    said = explained_lines({"explained": found})
    assert "| One | 4 | 0.15 | 75 % | yes |" in said
    assert "| Two <b> | 0 | – | – | no: 0 cases were looked at |" in said
    assert f"{RANDOMISED} of the same layers with random weights" in said
    assert "not where disease is" in said
    assert "Two &lt;b&gt;" in explained_part(found)
    assert explained_lines({}) == str(explained_part(None)) == ""


def test_a_method_that_cannot_be_computed_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without captum only Grad-CAM is left."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [each.absent for each in (of_pooling("x"), *METHODS)] == [False, True, True, True, True]
    (found,) = tried([BY_LABEL[LIME]], Weighed())
    assert "captum is not installed" in found.why
