"""The moving average of weights: by hand, and that it is what is validated, kept and gone on with."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from training.averaging import Average
from training.checkpoint import load
from training.data.cases import Split
from training.data.radiographs import sides as sides_of
from training.errors import OtherRun
from training.fit import BEST, LAST, fit, trained
from training.progress import Silent
from training.ranks import Ranks

from .made_radiographs import chests, tiny

RECIPE = replace(tiny(), averaged=0.9)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return sides_of(chests(tmp_path_factory.mktemp("made")))


def moved(network: nn.BatchNorm1d, to: float) -> nn.BatchNorm1d:
    with torch.no_grad():
        network.weight.fill_(to)
        network.running_mean.fill_(10 * to)  # type: ignore[union-attr]
        network.num_batches_tracked.fill_(int(to))  # type: ignore[union-attr]
    return network


def test_it_follows_fast_at_first_and_by_its_decay_later() -> None:
    """From 1 to 12, then to 0: the first step keeps 2/11 (less than the decay of 1/4), the second 1/4 (less than 3/12 is not): 1 becomes
    1 × 2/11 + 12 × 9/11 = 10, then 10 × 1/4 = 2.5. Statistics move with the weights, a counter is a copy, and the network is left alone."""
    network = moved(nn.BatchNorm1d(1), 1)
    average = Average(network, 0.25)
    average.follow(moved(network, 12))
    assert average.network.weight.item() == pytest.approx(10)
    assert average.network.running_mean.item() == pytest.approx(100)
    assert average.network.num_batches_tracked.item() == 12
    average.follow(moved(network, 0))
    assert average.network.weight.item() == pytest.approx(2.5)
    assert network.weight.item() == 0


@pytest.mark.slow
def test_the_average_is_validated_kept_and_gone_on_with(sides: Split, tmp_path: Path) -> None:
    """best.pt has the average, whose validation is the outcome's, last.pt the weights that go on; ended after two epochs of four and
    called again, both are bit for bit those of a run that was not; with another decay it is another run."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    schedule = replace(RECIPE.schedule, epochs=4)
    outcome = fit(RECIPE, sides, whole, schedule, Ranks(), Silent())
    network, state = trained(RECIPE, whole)
    assert RECIPE.validation(network, sides.validation) == outcome.best
    assert all(torch.equal(state["average"]["network"][name], kept) for name, kept in network.state_dict().items())

    class Ended(Silent):
        def begun(self, epoch: int, epochs: int, batches: int) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(RECIPE, sides, cut, schedule, Ranks(), Ended())
    fit(RECIPE, sides, cut, schedule, Ranks(), Silent())
    for file in (BEST, LAST):
        one, other = load(whole / file), load(cut / file)
        assert one is not None
        assert other is not None
        for told, again in ((one["network"], other["network"]), (one["average"]["network"], other["average"]["network"])):
            assert all(torch.equal(told[name], again[name]) for name in told)
    one = load(whole / LAST)
    assert one is not None
    assert any(not torch.equal(one["network"][name], one["average"]["network"][name]) for name in one["network"])
    with pytest.raises(OtherRun, match=r"averaged 0\.9;"):
        fit(replace(RECIPE, averaged=0.0), sides, cut, schedule, Ranks(), Silent())
