"""The frame that recipes share: splits, runs that are killed and go on, several processes, what refuses."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.engines.repository import CARD, Repository
from training import cli, recipes
from training.checkpoint import load
from training.checkpoint import replace as replace_file
from training.data.cases import Case, Split, split
from training.data.nifti import pairs
from training.errors import BrokenRun, OtherRun, UnfitData, UnknownRecipe
from training.evaluation.bootstrap import interval
from training.evaluation.record import EVALUATION
from training.export import export, packed, packed_ref
from training.fit import BEST, LAST, fit
from training.progress import Silent
from training.ranks import Ranks
from training.recipes import load as recipe_called
from training.space import TRIAL, SearchTrial
from training.tasks.segmentation import Segmenter

from .made import crops, smallest
from .torchrun import two_processes

pytestmark = pytest.mark.timeout(1500)
"""Trainings on a loaded machine."""


class Killed(Exception):
    """Stands for the kill."""


class KilledIn(Silent):
    """Ends the training in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self._epoch, self._now = epoch, -1

    def begun(self, epoch: int, epochs: int, batches: int) -> None:
        self._now = epoch

    def batch(self) -> None:
        if self._now == self._epoch:
            raise Killed


class Heard(Silent):
    """Keeps the figures of every epoch."""

    def __init__(self) -> None:
        self.figures: list[Mapping[str, float]] = []

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None:
        self.figures.append(figures)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("made"), count=8)


@pytest.fixture(scope="module")
def recipe() -> Segmenter:
    return smallest()


@pytest.fixture(scope="module")
def sides(recipe: Segmenter, data: Path) -> Split:
    return recipe.sides(data, 0)


def weights(run: Path, name: str = LAST) -> dict[str, torch.Tensor]:
    state = load(run / name)
    assert state is not None
    network: dict[str, torch.Tensor] = state["network"]
    return network


def test_no_patient_stands_on_two_sides() -> None:
    """Two scans of one patient go together; every case is somewhere; the same seed gives the same sides, another one others."""
    cases = tuple(Case(patient=f"p{number // 2}", name=f"c{number}", load=lambda: pytest.fail("nothing is read")) for number in range(60))
    made = split(cases, 0)
    sides = (made.train, made.validation, made.test)
    patients = [{case.patient for case in side} for side in sides]
    assert sum(len(side) for side in sides) == 60
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    assert [len(each) for each in patients] == [21, 3, 6]
    assert split(cases[::-1], 0).test == made.test[::-1]
    assert split(cases, 1).test != made.test


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """Killed in the middle of the second epoch, then called again: bit for bit what a run that nobody disturbed ends with."""
    fit(recipe, sides, tmp_path / "whole", recipe.schedule, Ranks(), Silent())
    with pytest.raises(Killed):
        fit(recipe, sides, tmp_path / "cut", recipe.schedule, Ranks(), KilledIn(1))
    outcome = fit(recipe, sides, tmp_path / "cut", recipe.schedule, Ranks(), Silent())
    assert outcome.epochs == 3
    for name in (LAST, BEST):
        one, other = weights(tmp_path / "whole", name), weights(tmp_path / "cut", name)
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_another_seed_gives_other_weights(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """The seed is really used: the test above would pass for a network that learns nothing."""
    short = replace(recipe.schedule, epochs=1)
    fit(recipe, sides, tmp_path / "a", short, Ranks(), Silent())
    fit(recipe, sides, tmp_path / "b", replace(short, seed=1), Ranks(), Silent())
    assert not torch.equal(weights(tmp_path / "a")["weight"], weights(tmp_path / "b")["weight"])


@pytest.mark.slow
def test_training_ends_when_validation_gets_no_better(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """With a figure that never changes, the first epoch stays the best, and two more are waited for."""
    flat = replace(recipe, score=lambda findings, labelled: {"volume": 1.0})
    heard = Heard()
    outcome = fit(flat, sides, tmp_path, replace(recipe.schedule, epochs=50, patience=2), Ranks(), heard)
    assert (outcome.epochs, outcome.best_epoch, outcome.best) == (3, 0, 1.0)
    assert len(heard.figures) == 3
    assert all(np.isfinite(figures["loss"]) for figures in heard.figures)


@pytest.mark.slow
def test_a_run_of_something_else_is_not_gone_on_with(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """Other settings or other cases would end in a model that its own card describes wrongly."""
    short = replace(recipe.schedule, epochs=1)
    fit(recipe, sides, tmp_path, short, Ranks(), Silent())
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(OtherRun, match=r"learning_rate 0\.01"):
        fit(recipe, sides, tmp_path, replace(short, learning_rate=0.5), Ranks(), Silent())
    with pytest.raises(OtherRun):
        fit(recipe, replace(sides, train=sides.train[1:]), tmp_path, short, Ranks(), Silent())
    assert (tmp_path / LAST).read_bytes() == before


def test_a_kill_while_writing_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """What is half written lies aside, and goes."""
    path = tmp_path / "last.pt"
    replace_file(path, lambda file: file.write(b"whole"))

    def half(file: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        replace_file(path, half)
    assert path.read_bytes() == b"whole"
    assert [each.name for each in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_that_runs_code_is_not_read(tmp_path: Path) -> None:
    """Checkpoints are data: a pickle that would call something is refused before it does."""
    import pickle

    class Calls:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "called"),)

    (tmp_path / LAST).write_bytes(pickle.dumps(Calls(), protocol=2))
    with pytest.raises(BrokenRun, match="not a checkpoint"):
        load(tmp_path / LAST)
    assert not (tmp_path / "called").exists()


def test_nothing_is_exported_unevaluated(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """Neither an empty run nor one without figures is exported."""
    with pytest.raises(BrokenRun, match="was not evaluated"):
        export(recipe, tmp_path / "run", tmp_path / "models")
    assert not (tmp_path / "models").exists()


OLDER: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("hippocampus", {"figures": {"Dice hippocampus": {"mean": 0.8, "worst": 0.5, "baseline": 0.4}}}),
    ("hippocampus", {"cases": None}),
    ("lung-nodule", {"baseline": "blobs", "detection": {"froc": {}, "classical": {}}}),
    ("restore", {"restoration": {"levels": [{"noise": "0.05", "method": "CNN", "PSNR": {"mean": 30.0}}]}}),
    ("chest-xray", {"arms": [{"arm": "ResNet-18", "test AUC": 0.9}]}),
)
"""Of each task's table, what an older evaluation held in its place."""


def test_an_evaluation_from_before_its_table_changed_is_refused(recipe: Segmenter, tmp_path: Path) -> None:
    """For every task's table: HLM-8004 names the file and what it lacks, and says to evaluate again; nothing is entered."""
    run, models = tmp_path / "run", tmp_path / "models"
    repository = packed(recipe, recipe.network(), run, (recipe.channels, *recipe.window))
    counts = {"train": 6, "validation": 1, "test": 1}
    today: dict[str, Any] = {"sha256": Repository(repository).digest(packed_ref(recipe)), "run": "a run", "cases": counts, "figures": {}}
    for name, older in OLDER:
        (run / EVALUATION).write_text(json.dumps({**today, **older}))
        of_task = replace(recipe_called(name), model=recipe.model, window=recipe.window)
        with pytest.raises(BrokenRun, match=r"evaluation\.json lacks what the card tells today .*: evaluate it again") as refused:
            export(of_task, run, models)
        assert refused.value.code == "HLM-8004"
    (run / EVALUATION).write_text("[]")
    with pytest.raises(BrokenRun, match=r"is no evaluation: evaluate it again"):
        export(recipe, run, models)
    assert not models.exists()
    (run / EVALUATION).write_text(json.dumps(today))
    assert export(recipe, run, models).version == 1


SEARCHED: tuple[tuple[bool | None, str], ...] = (
    (True, "settings chosen among 12 trials of a search, by 5 validation patients"),
    (False, "settings of one of 12 trials of a search, by 5 validation patients, who chose another"),
    (None, "settings of one of 12 trials of a search, by 5 validation patients; the search had not ended"),
)
"""Whether a trial was chosen, and what is said of it."""


@pytest.mark.slow
def test_what_a_search_chose_is_exported_as_that(recipe: Segmenter, tmp_path: Path) -> None:
    """On its card and in its entry stand how many trials there were, and how many patients chose; a file that cannot be read is named."""
    run, models = tmp_path / "run", tmp_path / "models"
    repository = packed(recipe, recipe.network(), run, (recipe.channels, *recipe.window))
    counts = {"train": 6, "validation": 5, "test": 1}
    digest = Repository(repository).digest(packed_ref(recipe))
    (run / EVALUATION).write_text(json.dumps({"sha256": digest, "run": "a run", "cases": counts, "figures": {}}))
    (run / TRIAL).write_text('{"trials": 12}')
    with pytest.raises(BrokenRun, match=r"trial\.json does not say which trial of a search it is of"):
        export(recipe, run, models)
    for chosen, said in SEARCHED:
        SearchTrial(trials=12, patients=5, chosen=chosen).write(run)
        model = export(recipe, run, models)
        entry = Repository(models).entry(model)
        assert entry is not None
        assert entry.source == f"hilum train {recipe.name}; {said}"
        assert f"- made by: {entry.source} (a run)\n" in (models / model.name / CARD).read_text()


def test_what_is_wrong_with_names_and_data_is_said(tmp_path: Path) -> None:
    """A near name is suggested; an empty folder says what was looked for; two patients cannot be split."""
    with pytest.raises(UnknownRecipe, match='did you mean "hippocampus"'):
        recipe_called("hipocampus")
    with pytest.raises(UnfitData, match="images/NAME"):
        pairs(tmp_path, modality="MR")
    with pytest.raises(UnfitData, match="2 patients"):
        split(pairs(crops(tmp_path / "two", count=2), modality="MR"), 0)


def test_the_interval_is_over_patients() -> None:
    """Ten copies of each case are no evidence: the interval is as wide as without them."""
    values, patients = np.array([0.1, 0.4, 0.6, 0.9, 0.5, 0.8]), [f"p{number}" for number in range(6)]
    low, high = interval(values, patients)
    assert 0.1 < low < values.mean() < high < 0.9
    assert interval(np.repeat(values, 10), [name for name in patients for _ in range(10)]) == pytest.approx((low, high))


SCRIPT = """
import os, sys
from dataclasses import replace
from pathlib import Path
from tests.training.made import smallest
from training.fit import fit
from training.progress import Silent
from training.ranks import ranks
recipe = smallest()
with ranks() as here:
    fit(recipe, recipe.sides(Path(sys.argv[1]), 0), Path(sys.argv[2]), replace(recipe.schedule, epochs=2), here, Silent())
    os.write(1, f"rank {here.rank} of {here.size}\\n".encode())
"""


@pytest.mark.slow
def test_two_processes_train_one_network(data: Path, recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """torchrun with two CPU processes: one set of checkpoints, and, gradients being averaged, nearly the weights of one process."""
    done = two_processes(tmp_path / "two.py", SCRIPT, data, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("rank")) == ["rank 0 of 2", "rank 1 of 2"]
    fit(recipe, sides, tmp_path / "one", replace(recipe.schedule, epochs=2), Ranks(), Silent())
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[key], two[key], atol=0.02) for key in one)


@pytest.mark.slow
def test_an_evaluation_takes_the_split_of_its_run(
    recipe: Segmenter, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained with another seed, evaluated without one: on the cases that the run held out. On others, by a seed or as the folder grew, it
    refuses, and leaves no figures."""
    monkeypatch.setattr(recipes, "load", lambda name, run: recipe)
    folder, run, schedule = tmp_path / "data", tmp_path / "run", replace(recipe.schedule, epochs=1, seed=7)
    shutil.copytree(data, folder)
    held_out = recipe.sides(folder, 7)
    assert held_out.test != recipe.sides(folder, 0).test
    fit(recipe, held_out, run, schedule, Ranks(), Silent())
    for seed in (0, None):
        with pytest.raises(OtherRun, match="could be called held out"):
            cli.evaluate("made", data=folder, out=run, seed=seed)
        assert not (run / "evaluation.json").exists()
        # the second time: with the run's seed, after the folder has grown
        for name in ("images", "labels"):
            shutil.copy(folder / name / "made_000.nii.gz", folder / name / "more.nii.gz")
    for name in ("images", "labels"):
        (folder / name / "more.nii.gz").unlink()
    assert cli.evaluate("made", data=folder, out=run, as_json=True) == 0
    assert [each["case"] for each in json.loads(capsys.readouterr().out)["each"]] == [case.name for case in held_out.test]


def test_validation_cases_without_the_structure_choose_nothing(recipe: Segmenter, sides: Split, tmp_path: Path) -> None:
    """Every epoch's figure would be unknown, and no checkpoint the best: refused before the first."""

    def empty(case: Case) -> Case:
        whole = case.load()
        return replace(case, load=lambda: replace(whole, labels=np.zeros_like(whole.labels)))

    with pytest.raises(UnfitData, match="none of the 1 validation cases has a labelled voxel"):
        recipe.fit(replace(sides, validation=tuple(map(empty, sides.validation))), tmp_path, recipe.schedule, Ranks(), Silent())
    assert not list(tmp_path.iterdir())


PLANNING = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
from torch import distributed
from training.ranks import ranks
plan = Path(sys.argv[1])
def begun():
    if not plan.exists():
        if here.first:
            time.sleep(1)
        plan.write_text(f"rank {here.rank}")
    return plan.read_text()
with ranks() as here:
    group = distributed.distributed_c10d._get_default_group()
    waits = group._get_backend(__import__("torch").device("cpu")).options._timeout >= timedelta(days=1)
    os.write(1, f"{here.in_turn(begun)} {waits}\\n".encode())
"""


@pytest.mark.slow
def test_the_first_process_plans_for_all(tmp_path: Path) -> None:
    """The second waits for what the first leaves, however long that takes; and longer than the half hour that gloo would give it."""
    done = two_processes(tmp_path / "plan.py", PLANNING, tmp_path / "plan")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["rank 0 True"] * 2


ENDING = """
import os
from pathlib import Path
from training.ranks import ranks
def threads():
    return [each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm")]
with ranks() as here:
    import torch._dynamo, torch.distributed.fsdp
    from training.tasks import segmentation
    here.told(here.mean(1.0))
    during = threads()
os.write(1, f"{'pt_gloo_runloop' in during} {'pt_gloo_runloop' in threads()}\\n".encode())
"""


@pytest.mark.slow
def test_no_thread_of_a_group_outlives_it(tmp_path: Path) -> None:
    """One that still holds a tensor while Python ends aborts the process after all that it was to do: torchrun then calls the training
    failed (https://github.com/pytorch/pytorch/pull/179291). What is imported while the group stands must not keep it."""
    done = two_processes(tmp_path / "ending.py", ENDING)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True False"] * 2
