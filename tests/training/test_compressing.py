"""Thinner networks: nothing but what was dead is lost, and the rule by which they are offered. test_hippocampus.py compresses one whole."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from training.compressing.cli import compress
from training.compressing.offered import judged, losses, offered, told
from training.compressing.pace import CallTimes
from training.compressing.taught import taught, taught_loss
from training.compressing.thinned import thinned
from training.compressing.widths import Widths, narrower
from training.errors import NotOffered, UnfitSetting
from training.networks.residual import ResidualNetwork
from training.recipes.classification import network as classifier
from training.recipes.hippocampus import network as hippocampus

SHAPE_2D, SHAPE_3D = (2, 1, 16, 16), (2, 1, 16, 16, 16)


class Separable(nn.Module):
    """A filter a channel, a sum around it, a concatenation, and a linear layer: what EfficientNet and DenseNet are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.wide, self.each, self.narrow = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 8, 1)
        self.beside, self.last = nn.Conv2d(8, 4, 1), nn.Linear(12, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = torch.relu(self.norm(self.first(images)))
        found = found + self.narrow(nn.functional.relu6(self.each(torch.relu(self.wide(found)))))
        both = torch.cat([found, self.beside(found)], dim=1)
        answer: torch.Tensor = self.last(both.mean(dim=(2, 3)))
        return answer


def residual() -> Any:
    return ResidualNetwork(
        block="basic", layers=[1, 1, 1, 1], block_inplanes=[8, 8, 16, 16], spatial_dims=2, n_input_channels=1, num_classes=2
    )


def half_dead(network: Any, answers: int) -> Any:
    """Every second filter, and what is added to it, is nothing; those of the answer all live."""
    with torch.no_grad():
        for name, values in network.named_parameters():
            module = network.get_submodule(name.rpartition(".")[0])
            axis = 1 if isinstance(module, nn.ConvTranspose3d) and values.ndim > 1 else 0
            if isinstance(module, nn.Linear | nn.PReLU) or values.shape[axis] == answers:
                continue
            values.movedim(axis, 0)[1::2] = 0
    return network.eval()


@pytest.mark.parametrize(
    ("make", "shape", "answers"),
    [
        (partial(hippocampus, (8, 16, 32), (1, 2)), SHAPE_3D, 3),
        (residual, SHAPE_2D, 2),
        (Separable, SHAPE_2D, 2),
    ],
)
def test_where_every_second_channel_is_dead_the_other_half_answers_the_same(
    make: Callable[[], Any], shape: tuple[int, ...], answers: int
) -> None:
    """Skip connections, sums, concatenations, transposed convolutions, a filter a channel: what is taken out is what did nothing, in every
    layer alike, or the answer would be another."""
    torch.manual_seed(0)
    network, images = half_dead(make(), answers), torch.randn(shape)
    state, widths = thinned(network, shape, 0.5)
    small = narrower(make, widths)
    small.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(small.eval()(images), network(images), atol=1e-5, rtol=1e-4)
    assert sum(values.numel() for values in state.values()) < 0.45 * sum(values.numel() for values in network.state_dict().values())


def test_groups_that_are_normalised_together_keep_as_many_channels_each() -> None:
    """The classifier's first layer has 8 groups of 2; half of each stay, and the network computes and learns."""
    torch.manual_seed(0)
    make = partial(classifier, 2, 2)
    state, widths = thinned(make(), SHAPE_2D, 0.5)
    small = narrower(make, widths)
    small.load_state_dict(state)
    assert state["conv1.weight"].shape[0] == 8
    small.train()(torch.randn(SHAPE_2D)).sum().backward()
    assert all(each.grad is not None for each in small.parameters())


def test_deep_layers_stay_where_only_costly_ones_get_thinner() -> None:
    """Behind a step of 2 an image has an eighth of the places, behind another a 64th, which is less than a tenth."""
    make = partial(hippocampus, (8, 16, 32), (2, 2))
    state, _ = thinned(make(), SHAPE_3D, 0.5, 0.1)
    assert state["model.0.conv.unit0.conv.weight"].shape[0] == 4
    assert state["model.1.submodule.0.conv.unit0.conv.weight"].shape[:2] == (16, 4)


def test_a_layer_that_computes_twice_is_refused() -> None:
    """Its channels would have to be those of two places in the network."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layer(torch.relu(self.layer(images)))
            return found

    with pytest.raises(UnfitSetting, match=r"layer\.weight serves several layers"):
        thinned(Twice(), SHAPE_2D, 0.5)


def test_what_is_no_share_is_refused(tmp_path: Path) -> None:
    """All channels, or none."""
    for keep in (0.0, 1.0):
        with pytest.raises(UnfitSetting, match=f"--keep {keep:g}: more than 0 and less than 1"):
            compress("hippocampus", data=tmp_path, out=tmp_path, keep=keep)


def test_a_taught_network_is_kept_alone_and_learns_from_both() -> None:
    """Its state is the smaller network's; where it says what the teacher says, the recipe's own loss is left."""
    teacher, student = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
    both = taught(student, teacher)
    assert both.state_dict().keys() == nn.Conv2d(1, 2, 1).state_dict().keys()
    assert not any(each.requires_grad for each in teacher.parameters())
    own: Callable[[], Callable[[Any, Any], Any]] = lambda: nn.functional.l1_loss  # noqa: E731
    said, targets = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    for exclusive in (True, False):
        loss = taught_loss(own, 2, exclusive=exclusive)
        alike, apart = loss(torch.cat([said, said], 1), targets), loss(torch.cat([said, -said], 1), targets)
        assert float(alike) == pytest.approx(float((said - targets).abs().mean()), abs=1e-5)
        assert apart > alike
    images = torch.randn(1, 1, 4, 4)
    torch.testing.assert_close(both.train()(images)[:, 2:], teacher(images))
    assert both.eval()(images).shape[1] == 2


def evaluation(values: list[float]) -> dict[str, Any]:
    return {
        "watched": "Dice",
        "sha256": "1",
        "figures": {"Dice": {"unit": "", "better": "more"}},
        "each": [{"case": f"c{at}", "patient": f"p{at}", "figures": {"Dice": value}} for at, value in enumerate(values)],
    }


@pytest.mark.parametrize(
    ("lost", "times", "why"),
    [
        (0.004, 1.6, ""),
        (0.006, 1.6, "it loses too much"),
        (0.004, 1.4, "too little time is gained"),
        (0.006, 1.4, "it loses too much and too little time is gained"),
    ],
)
def test_the_rule_is_half_a_hundredth_and_half_as_fast_again(lost: float, times: float, why: str) -> None:
    """A loss that is the same of every patient has that loss for its bound."""
    before = [0.8, 0.85, 0.9, 0.7, 0.95, 0.6]
    speed = CallTimes(first_s=times, second_s=1.0, times=times, at_least=times, runtime="x")
    found = judged(evaluation(before), evaluation([value - lost for value in before]), speed, "Thinner")
    assert found["figures"][0]["bound"] == pytest.approx(lost)
    assert (found["offered"], found["why"]) == (not why, why)
    assert ("Not offered" in told(found)) == bool(why)


def test_a_thinner_network_that_was_not_judged_yet_is_not_offered(tmp_path: Path) -> None:
    """Ended between the evaluation and the verdict, a run has widths and no table: nobody knows what it loses."""
    assert offered(tmp_path, "1") is None
    assert Widths(tensors={"a": (4,)}, features={}).begin(tmp_path)
    with pytest.raises(NotOffered, match="was not judged yet"):
        offered(tmp_path, "1")


def test_of_findings_the_areas_under_the_roc_curves_decide() -> None:
    """One of four pairs is the wrong way round in the second: 1 and 3/4; patients are drawn together."""
    rows = [(True, 0.9, 0.9), (True, 0.8, 0.3), (False, 0.2, 0.4), (False, 0.1, 0.1)]
    made = [
        {
            "findings": [{"finding": "f"}],
            "figures": {"log score": {"unit": "", "better": "more"}},
            "watched": "log score",
            "each": [
                {
                    "case": str(at),
                    "patient": str(at),
                    "figures": {"log score": 0.0},
                    "labels": {"f": row[0]},
                    "probabilities": {"f": row[side]},
                }
                for at, row in enumerate(rows)
            ],
        }
        for side in (1, 2)
    ]
    (row,) = losses(*made)
    assert (row["figure"], row["first"], row["second"], row["lost"]) == ("AUC f", 1.0, 0.75, 0.25)
    assert row["bound"] >= 0.25
