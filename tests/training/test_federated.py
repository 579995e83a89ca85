"""Training over several sites: one plan out of several, nvflare's average, what a site refuses, private steps, and what the run says."""

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvflare.app_common.abstract.fl_model import FLModel

from tests.lab.howto import HowTo
from tests.unit.cli.conftest import Run
from tests.unit.cli.conftest import run as run
from training.checkpoint import load
from training.errors import OtherPlan, UnfitSetting
from training.federated.agreement import SitePlan, agreed
from training.federated.asked import REFUSED, SITES, Federated, Privacy, Site, of_text, site
from training.federated.job import CLASSES, write_job
from training.federated.private import private_training, refuse_layers
from training.federated.server import HISTORY, weighed, wrong_with
from training.federated.site import LocalTraining, answer
from training.federated.words import HELD, SAID, Step
from training.fit import BEST, LAST, fit
from training.planning import GROUPS, Asked
from training.progress import Silent
from training.ranks import Ranks, Turn
from training.recipes.classification import network

from .labelled_radiographs import radiograph, spotted, write_table
from .made import crops, smallest

pytestmark = pytest.mark.slow

FEDERATED = Federated(recipe="classification", run="run", rounds=1, local_epochs=1, asked=Asked(target=("Spots",), window=(1, 32, 32)))


def _hospital(folder: Path, first: int, count: int, classes: tuple[str, ...] = ("fine", "broad")) -> Site:
    numbers = range(first, first + count)
    studies = [radiograph(folder / f"{number}.dcm", spotted(number, not number % 2), number) for number in numbers]
    lines = [{"StudyInstanceUID": study, "Spots": classes[number % len(classes)]} for number, study in zip(numbers, studies, strict=True)]
    table = write_table(folder / "table.csv", lines)
    return Site(data=folder, runs=folder.with_name(f"{folder.name} runs"), labels=str(table), device="cpu")


def _checkpoint(path: Path) -> dict[str, Any]:
    state = load(path)
    assert state is not None
    return state


def _plan(site: str, cases: int, **plan: Any) -> SitePlan:
    return SitePlan(site=site, cases=cases, plan=plan)


def test_numbers_of_plans_are_brought_together_and_words_have_to_be_the_same() -> None:
    """By hand: of 10, 20 and 40 cases the 35th is the third site's, whose spacing is taken; weights of 1 and 4 over 30 and 10 are 1.75."""

    def spaced(site: str, cases: int, step: float) -> SitePlan:
        return _plan(site, cases, application={"channels": 2, "prepare": [{"name": "Spacing", "pixdim": [step, 1.0, 1.0]}]})

    told = [spaced("a", 10, 3.0), spaced("b", 20, 1.0), spaced("c", 40, 2.0)]
    assert agreed(told)["application"] == {"channels": 2, "prepare": [{"name": "Spacing", "pixdim": [2.0, 1.0, 1.0]}]}
    assert agreed([_plan("a", 30, weights=[1.0, 2.0]), _plan("b", 10, weights=[4.0, 2.0])]) == {"weights": [1.75, 2.0]}
    with pytest.raises(OtherPlan, match=r'in names: a has \["liver"\]; b has \["liver", "spleen"\]'):
        agreed([_plan("a", 30, names=["liver"]), _plan("b", 10, names=["liver", "spleen"])])
    with pytest.raises(OtherPlan, match="application channels: a has 2; b has 3"):
        agreed([_plan("a", 3, application={"channels": 2}), _plan("b", 3, application={"channels": 3})])


def test_a_round_begins_with_what_all_have_learned_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    """At a rate of almost 0 the weights after a round are those that it was begun with, wherever an ended round had come to."""
    recipe, data = smallest(), crops(tmp_path / "data", count=8)
    sides = recipe.sides(data, 0)
    given = {name: torch.full_like(values, 0.25) for name, values in recipe.network().state_dict().items()}
    schedule = replace(recipe.schedule, epochs=6, patience=6, learning_rate=1e-9)
    for begins in (2, 2, 4):
        turn = Turn(begins=begins, ends=begins + 2, weights=given)
        outcome = fit(recipe, sides, tmp_path / "run", schedule, Ranks(turn=turn), Silent())
        assert outcome.epochs == begins + 2
        state = _checkpoint(tmp_path / "run" / LAST)
        assert all(torch.allclose(values, given[name], atol=1e-6) for name, values in state["network"].items())


def test_a_federation_that_begins_anew_begins_with_the_weights_that_the_seed_draws(tmp_path: Path) -> None:
    """As a job that is submitted again does, or one that was killed in its first round: what one site has learned of it others have not."""
    recipe, data = smallest(), crops(tmp_path / "data", count=8)
    schedule = replace(recipe.schedule, epochs=2, patience=2)
    ended = []
    for _ in range(2):
        turn = Turn(begins=0, ends=1, weights=None)
        fit(recipe, recipe.sides(data, 0), tmp_path / "run", schedule, Ranks(turn=turn), Silent())
        ended.append(_checkpoint(tmp_path / "run" / LAST)["network"])
    assert all(torch.equal(values, ended[1][name]) for name, values in ended[0].items())


def test_two_sites_learn_what_nvflare_averages_by_their_cases(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real simulator, as the page has it: server and sites are processes. What both keep is the mean of what each had learned in the
    last round, by its training cases, or one of before; the server knows no case."""
    monkeypatch.chdir(tmp_path)
    _hospital(tmp_path / "north", 0, 30)
    _hospital(tmp_path / "south", 100, 40)
    page = HowTo("several-hospitals.md")
    (federate,) = page.commands()
    short = ["--rounds", "1", "--local-epochs", "1", "--window", "1", "32", "32", "--device", "cpu"]
    words = shlex.split(page.typed(federate))[1:-4]
    said = run(*words, *short)
    assert said.code == 0, said.err
    runs = [tmp_path / "var" / "federated" / "classification" / name / "classification" for name in ("north", "south")]
    found = json.loads((runs[0].parents[1] / HISTORY).read_text(encoding="utf-8"))
    north, south = (found["sites"][name]["cases"] for name in ("north", "south"))
    assert north < south
    local, both = [_checkpoint(one / "rounds" / LAST) for one in runs], [_checkpoint(one / BEST) for one in runs]
    for name, values in both[0]["network"].items():
        assert torch.equal(values, both[1]["network"][name])
        if values.is_floating_point():
            mean = (north * local[0]["network"][name].double() + south * local[1]["network"][name].double()) / (north + south)
            assert torch.allclose(values.double(), mean, atol=1e-6), name
    told = f"federated over 2 sites (north {north}, south {south} training cases), 1 rounds of 1 epochs, taken after round 1"
    assert told in both[0]["identity"]
    assert "2.25.4711" not in json.dumps(found)
    other = run(*words, *short, "--seed", "3")
    assert "HLM-8003" in other.err
    page.followed()


def test_a_site_says_why_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One class only, too few cases for private steps, no such folder: the sentence stays at the site, which tells the number of the error
    and what it means; a folder may be called as a patient is, and a class is a label."""

    def refused(here: Site, federated: Federated, code: str) -> str:
        message = FLModel(params={}, meta={SAID: Step.PLAN.value, HELD: json.dumps({"asked": federated.text()})})
        _, told = answer("north", here, None, message)
        assert f"[{code}]" in json.loads(told.meta[SAID])["refused"]
        kept = (here.runs / REFUSED).read_text(encoding="utf-8")
        assert not {word for word in ("fine", "DOE", str(tmp_path)) if word in json.dumps(told.meta)}
        assert code in kept
        return kept

    one = _hospital(tmp_path / "one", 0, 12, ("fine",))
    assert "nothing could be told apart" in refused(one, FEDERATED, "HLM-8002")
    both = _hospital(tmp_path / "both", 0, 24)
    private = replace(FEDERATED, privacy=Privacy(epsilon=8.0), asked=replace(FEDERATED.asked, norm=GROUPS))
    assert "--epsilon: batches of 16 out of" in refused(both, private, "HLM-8022")
    assert "DOE^JANE" in refused(replace(both, data=tmp_path / "DOE^JANE", runs=tmp_path / "other runs"), FEDERATED, "HLM-8002")
    unsaid, elsewhere = replace(both, labels=None, runs=tmp_path / "unsaid"), str(tmp_path / "one" / "table.csv")
    named = replace(FEDERATED, asked=replace(FEDERATED.asked, labels=(elsewhere,)))
    assert "names a table that lies in the site's folder" in refused(unsaid, named, "HLM-8022")
    inside = replace(FEDERATED, asked=replace(FEDERATED.asked, labels=("table.csv",)))
    assert sorted(LocalTraining("north", unsaid, inside).planned()["plan"]["names"]) == ["broad", "fine"]
    monkeypatch.setenv(SITES, str(tmp_path))
    with pytest.raises(UnfitSetting, match="is not a site's file"):
        site("north")
    both.write(tmp_path, "north")
    assert site("north") == both


def test_weights_that_are_no_numbers_and_other_first_weights_end_all() -> None:
    good = {"a": np.ones(3, dtype=np.float32)}
    assert wrong_with({"first": "00"}, good, {"00"}) is None
    assert wrong_with({}, {**good, "b": np.array([1.0, np.nan])}, ()) == "sent weights that are no finite numbers (b)"
    assert "another version" in str(wrong_with({"first": "01"}, good, {"00"}))
    assert wrong_with({"refused": "no data"}, {}, ()) == "no data"


def test_a_site_whose_validation_cases_do_not_tell_chooses_nothing() -> None:
    """By hand: 3 and 1 cases of figures 0.5 and 0.9 are 0.6; a structure that no validation patient of a site has gives no figure there."""
    cases = {"a": 3, "b": 1, "c": 100}
    assert weighed({"a": 0.5, "b": 0.9, "c": math.nan}, cases) == pytest.approx(0.6)
    assert math.isnan(weighed({"c": math.nan}, cases))


def test_private_steps_bound_each_case_and_spend_what_was_asked() -> None:
    """Without noise a step is the mean of gradients no longer than the bound; the accountant is asked again from the noise that was chosen.

    ε of one full-batch step with noise σ: the Gaussian mechanism's by Rényi orders, min over α of α / (2 σ²) + what δ costs, by hand below.
    """
    torch.manual_seed(0)
    with pytest.raises(UnfitSetting, match="BatchNorm"):
        refuse_layers(network(2, 2))
    made = network(2, 2, norm=GROUPS)
    refuse_layers(made)
    private = private_training(Privacy(epsilon=4.0), 200, 1, 20, 10)
    assert 3.9 < private.spent() <= 4.0
    whole = replace(private, batch=200, steps=1, noise=2.0)
    orders = [1 + place / 10 for place in range(1, 100)] + list(range(12, 64))
    by_hand = min(a / 8 + math.log((a - 1) / a) - (math.log(1e-5) + math.log(a)) / (a - 1) for a in orders)
    assert whole.spent() == pytest.approx(by_hand, rel=1e-6)
    bound = 1e-3
    quiet = replace(private, noise=0.0, privacy=Privacy(epsilon=4.0, norm=bound))
    optimizer = quiet.optimizer(made.train(), torch.optim.SGD(made.parameters(), lr=1.0), 4)
    before = [each.detach().clone() for each in made.parameters()]
    loss: Any = torch.nn.functional.cross_entropy(made(torch.randn(4, 1, 32, 32)), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    optimizer.step()
    moved = math.sqrt(sum(float(((each.detach() - old) ** 2).sum()) for each, old in zip(made.parameters(), before, strict=True)))
    # four gradients of length 1e-3 each, in whatever directions, over four
    assert 0 < moved <= bound * 1.001
    drawn = private.batches(200, 1, 20)
    assert len(drawn) == 10
    assert len({len(batch) for batch in drawn}) > 1


def test_a_job_for_a_server_holds_settings_and_no_code(tmp_path: Path) -> None:
    """nvflare's own reader of jobs takes it, and every word of it comes back. The page has a site allow what the job names, and forbid by
    nvflare's own word that its log is sent."""
    from nvflare.app_common.logging.constants import ALLOW_LOG_STREAMING_VAR
    from nvflare.fuel.utils.zip_utils import zip_directory_to_bytes
    from nvflare.private.fed.server.job_meta_validator import JobMetaValidator

    job = write_job(tmp_path, FEDERATED, 3)
    valid, error, meta = JobMetaValidator().validate(job.name, zip_directory_to_bytes(str(tmp_path), job.name))
    assert valid, error
    assert meta["min_clients"] == 3
    server = json.loads((job / "app" / "config" / "config_fed_server.json").read_text(encoding="utf-8"))
    (workflow,) = server["workflows"]
    assert workflow["path"] == CLASSES["server"]
    assert of_text(workflow["args"]["asked"]) == FEDERATED
    assert {path.suffix for path in job.rglob("*") if path.is_file()} == {".json"}
    page = HowTo("several-hospitals.md").text
    assert f'"class_allow_list": ["{CLASSES["site"]}"],\n"{ALLOW_LOG_STREAMING_VAR}": false' in page
