"""`hilum train … --search`: which settings are tried, how trials end, what is chosen, and that a search goes on where it was ended."""

import errno
import json
import math
import os
import shlex
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.storages.journal import JournalFileBackend

from inference.engines.errors import NotFinite
from training import cli, recipes
from training.checkpoint import save
from training.data.cases import Case, Split
from training.errors import BrokenRun, FullDisk, LossNotFinite, OtherRun, OutOfMemory, UnfitSetting
from training.fit import LAST
from training.planning import Asked
from training.progress import Progress, Silent
from training.recipe import Outcome, Recipe
from training.search import FOUND, JOURNAL, Choices, folder_of, record, said, search, settings_of
from training.search import choices as choices_of
from training.space import SearchTrial, Settings, Space, command, trial_of

from .made import as_recipe, crops, smallest

OWN = Settings(learning_rate=1e-2, batch=2, window=(1, 64, 64), augmentation=1.0)
CHOICES = Choices(learning_rate=(1e-3, 1e-1), batch=(1, 2, 4), window=((1, 32, 32), (1, 64, 64)), augmented=True, own=OWN)
SHARES = (0.9, 0.4, 0.4, 0.4, 1.0)
"""Of the best figure, in each epoch: one that goes on is behind others only for whoever forgets its first."""
EPOCHS = len(SHARES)


def figure(learning_rate: float) -> float:
    """The best validation of a training."""
    return 1 - abs(math.log10(learning_rate / 0.05))


class Trainings:
    """Stands where networks are trained: validation is best at a learning rate of 0.05; batches of 4 need too much memory."""

    def __init__(self, ends: Callable[[int, int], None] = lambda trial, epoch: None, saved: dict[str, int] | None = None) -> None:
        self.seen: list[tuple[str, Settings]] = []
        self.saved = {} if saved is None else saved
        self._ends = ends

    def __call__(self, run: Path, settings: Settings, watched: Callable[[Progress], Progress]) -> Outcome:
        self.seen.append((run.name, settings))
        assert settings.learning_rate is not None
        if settings.batch == 4:
            raise OutOfMemory("memory does not suffice for one image of 64 × 64")
        best, progress = figure(settings.learning_rate), watched(Silent())
        for epoch in range(self.saved.get(run.name, 0), EPOCHS):
            progress.begun(epoch, EPOCHS, 1)
            self._ends(len(self.seen), epoch)
            self.saved[run.name] = epoch + 1
            progress.epoch(epoch, {"loss": 1.0, "validation skill": best * SHARES[epoch]}, True)
        return Outcome(epochs=EPOCHS, best_epoch=EPOCHS - 1, best=best)


def tried(run: Path, count: int, train: Trainings, what: str = "this", choices: Choices = CHOICES) -> dict[str, Any]:
    best = search(count, run, what, 0, EPOCHS, choices, train)
    return record(run, "made", "skill", best, "hilum train made")


def test_the_first_trial_has_the_recipes_own_settings_and_the_best_is_named(tmp_path: Path) -> None:
    """Every setting is one of the space's, with three digits; what was worse than the median was ended early, what needed too much memory
    is a trial that failed, and says why; the best figure of those that ended is the one that is chosen."""
    train = Trainings()
    found = tried(tmp_path, 14, train)
    assert train.seen[0] == ("trial-1", OWN)
    assert [name for name, _ in train.seen] == [f"trial-{number}" for number in range(1, 15)] == [one["run"] for one in found["trials"]]
    for _, one in train.seen:
        assert one.learning_rate is not None
        assert 1e-3 <= one.learning_rate <= 1e-1
        assert float(f"{one.learning_rate:.3g}") == one.learning_rate
        assert one.batch in CHOICES.batch
        assert one.window in CHOICES.window
    states = {state: [one for one in found["trials"] if one["state"] == state] for state in ("complete", "pruned", "failed")}
    assert all(states.values()), "each way to end is there"
    assert {one["why"] for one in states["failed"]} == {"memory does not suffice for one image of 64 × 64 [HLM-8006]"}
    assert {one["settings"]["batch"] for one in states["failed"]} == {4}
    assert all(one["epochs"] < EPOCHS for one in states["pruned"])
    best = max(states["complete"], key=lambda one: one["validation"])
    assert found["chosen"] == best["run"] != "trial-1"
    assert best["validation"] == max(figure(one["settings"]["learning_rate"]) for one in states["complete"])
    assert json.loads((tmp_path / FOUND).read_text()) == found
    told = said(found, tmp_path, "hilum evaluate made")
    assert f"* {best['run']}: learning rate {best['settings']['learning_rate']:g}, batch" in told
    assert "[HLM-8006]" in told
    assert "ended early, behind the others" in told


def test_a_search_that_was_ended_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Between two epochs of one of its later trials: called again, that trial goes on in its own folder with its settings, and the others
    are those of a search that nobody ended. More trials may be asked for later."""

    def killed(trial: int, epoch: int) -> None:
        if (trial, epoch) == (last, 2):
            raise KeyboardInterrupt

    whole, ended = Trainings(), Trainings(killed)
    found = tried(tmp_path / "whole", 9, whole)
    _, last = min((one["validation"], number) for number, one in enumerate(found["trials"][3:], start=4) if one["state"] == "complete")
    with pytest.raises(KeyboardInterrupt):
        tried(tmp_path / "ended", 9, ended)
    assert len(ended.seen) == last
    further = Trainings(saved=ended.saved)
    again = tried(tmp_path / "ended", 9, further)
    assert further.seen[0] == ended.seen[-1]
    assert ended.seen[:-1] + further.seen == whole.seen
    assert again["trials"] == found["trials"]
    assert again["chosen"] == found["chosen"]
    assert len(tried(tmp_path / "ended", 10, Trainings())["trials"]) == 10


@pytest.mark.parametrize("torn", [1, 20])
def test_a_line_that_was_not_written_to_its_end_costs_no_search(tmp_path: Path, torn: int) -> None:
    """The power failed: what it said is done again, and nothing else."""
    choices = replace(CHOICES, batch=(2,))
    found = tried(tmp_path, 4, Trainings(), choices=choices)
    os.truncate(tmp_path / JOURNAL, (tmp_path / JOURNAL).stat().st_size - torn)
    further = Trainings()
    assert tried(tmp_path, 4, further, choices=choices)["trials"] == found["trials"]
    assert {name for name, _ in further.seen} <= {"trial-4"}
    assert tried(tmp_path, 5, Trainings(), choices=choices)["trials"][:4] == found["trials"]


def test_a_kill_while_the_journal_was_written_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What locked it (optuna's) is still there. Behind a path that begins in the working directory it would be waited for without end."""
    monkeypatch.chdir(tmp_path)
    run = Path("var/training/made")
    tried(run, 2, Trainings())
    (run / f"{JOURNAL}.lock").symlink_to(run / JOURNAL)
    assert len(tried(run, 3, Trainings())["trials"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("trial", [1, 2])
def test_a_kill_before_any_line_of_the_journal_loses_no_trial_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: int
) -> None:
    """In a trial, and once more before each line that going on with it writes: every trial has the folder and the settings that it would
    have had."""
    choices = replace(CHOICES, batch=(2,))
    append = JournalFileBackend.append_logs

    def killed(number: int, epoch: int) -> None:
        if (number, epoch) == (trial, 2):
            raise KeyboardInterrupt

    def of_each(run: Path, train: Trainings) -> list[tuple[str, Any]]:
        return [(one["run"], one["settings"]) for one in tried(run, 3, train, choices=choices)["trials"]]

    whole = of_each(tmp_path / "whole", Trainings())
    for lines in range(14):
        left = iter(range(lines))

        def until(self: JournalFileBackend, logs: list[dict[str, Any]], left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            append(self, logs)

        run, ended = tmp_path / str(lines), Trainings(killed)
        with pytest.raises(KeyboardInterrupt):
            of_each(run, ended)
        with monkeypatch.context() as dying:
            dying.setattr(JournalFileBackend, "append_logs", until)
            with pytest.raises(KeyboardInterrupt):
                of_each(run, Trainings(saved=ended.saved))
        assert of_each(run, Trainings(saved=ended.saved)) == whole


@pytest.mark.parametrize("lines", [1, 3, 12, 16, 17])
def test_a_full_disk_is_told_as_such_wherever_the_journal_meets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    """Where the search begins, where a trial is drawn, an epoch is told, or a trial ends; with room again it goes on."""
    choices, left, append = replace(CHOICES, batch=(2,)), iter(range(lines)), JournalFileBackend.append_logs

    def until(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, logs)

    train = Trainings()
    with monkeypatch.context() as full:
        full.setattr(JournalFileBackend, "append_logs", until)
        with pytest.raises(FullDisk, match=f"{JOURNAL} could not be written: No space left on device"):
            tried(tmp_path, 2, train, choices=choices)
    assert len(tried(tmp_path, 2, Trainings(saved=train.saved), choices=choices)["trials"]) == 2


def test_what_is_no_search_is_refused(tmp_path: Path) -> None:
    """Another search's folder, a journal of something else, trials none of which ended with a figure."""
    tried(tmp_path / "one", 2, Trainings())
    with pytest.raises(OtherRun, match="one holds another search: this; asked for is that"):
        tried(tmp_path / "one", 2, Trainings(), what="that")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / JOURNAL).write_text("{}\n{}\n")
    with pytest.raises(BrokenRun, match=f"{JOURNAL} is no journal of a search"):
        tried(tmp_path / "two", 2, Trainings())

    def nothing(trial: int, epoch: int) -> None:
        raise LossNotFinite("epoch 1: the loss is no finite number")

    with pytest.raises(UnfitSetting, match=r"none of 2 trials ended with a figure: epoch 1: the loss is no finite number \[HLM-8007\]"):
        tried(tmp_path / "three", 2, Trainings(nothing), choices=replace(CHOICES, batch=(2,)))


def test_a_trial_whose_network_gives_no_numbers_of_a_case_fails_and_no_search(tmp_path: Path) -> None:
    """Settings at which it diverges, seen in validation and not by the loss: the same comes of them again, and the others go on."""

    def diverges(trial: int, epoch: int) -> None:
        if (trial, epoch) == (2, 1):
            raise NotFinite("case made_000: model gives values that are no numbers")

    found = tried(tmp_path, 3, Trainings(diverges), choices=replace(CHOICES, batch=(2,)))
    assert [one["state"] for one in found["trials"]] == ["complete", "failed", "complete"]
    assert found["trials"][1]["why"] == "case made_000: model gives values that are no numbers [HLM-4112]"


def test_a_folder_is_searched_once_at_a_time(tmp_path: Path) -> None:
    """A second one would take the first one's trial for one that was killed."""

    def second(trial: int, epoch: int) -> None:
        with pytest.raises(OtherRun, match="another search is under way"):
            tried(tmp_path, 2, Trainings())

    tried(tmp_path, 2, Trainings(second))


def test_a_space_lies_around_the_recipes_own() -> None:
    """Batches no larger than an epoch, windows in steps of eight within their bounds, a single image's first side is 1."""
    space = Space(window=(0.5, 1.0, 1.5), sides=(32, 96))
    assert space.batches(16, 20) == (8, 16)
    assert space.batches(1, 20) == (1, 2)
    assert space.windows((64, 48)) == ((1, 32, 32), (1, 64, 48), (1, 96, 72))
    assert space.windows((40, 64, 80)) == ((32, 32, 40), (40, 64, 80), (64, 96, 96))


def test_the_command_has_every_setting() -> None:
    """As a shell reads it; what is nobody's is not there."""
    asked = Asked(labels=("a table.csv",), target=("Bone age (mo)",), spacing_mm=(1.5, 0.9765625, 0.9765625))
    given = {"epochs": 3, "batch": None, "learning_rate": None, "seed": None}
    words = shlex.split(command("regression", Path("my data"), *OWN.over(asked, given), "bf16", 4))
    assert words[:7] == ["hilum", "train", "regression", "--data", "my data", "--labels", "a table.csv"]
    assert words[7:] == shlex.split(
        "--target 'Bone age (mo)' --spacing-mm 1.5 0.9765625 0.9765625 --window 1 64 64 --augmentation 1 --epochs 3 --batch 2 "
        "--learning-rate 0.01 --precision bf16 --accumulate 4"
    )


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six crops for a recipe of one convolution; a held-out case that is read fails the test."""
    recipe = replace(smallest(), schedule=replace(smallest().schedule, epochs=2))

    def hidden(case: Case) -> Case:
        return replace(case, load=lambda: pytest.fail("a held-out case was read"))

    def sides(folder: Path | None, seed: int) -> Split:
        found = smallest().sides(folder, seed)
        return replace(found, test=tuple(map(hidden, found.test)))

    as_recipe(monkeypatch, "made", replace(recipe, sides=sides))
    return crops(tmp_path / "data", count=6)


@pytest.mark.slow
def test_the_printed_command_trains_the_same_network(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three trials of a real recipe, without a look at who is held out; typed elsewhere, the command gives the weights of the best."""
    assert cli.train("made", data=made, out=tmp_path / "run", search=3) == 0
    found = json.loads((tmp_path / "run" / FOUND).read_text())
    told = capsys.readouterr().out
    assert told.rstrip().endswith(found["command"])
    assert f"hilum evaluate made --data {made} --out {tmp_path / 'run' / found['chosen']}" in told
    assert [one["run"] for one in found["trials"]] == ["trial-1", "trial-2", "trial-3"]
    assert found["trials"][0]["settings"] == {"learning_rate": 1e-2, "batch": 2, "window": None, "augmentation": None}
    kept = {one["run"]: trial_of(tmp_path / "run" / one["run"]) for one in found["trials"]}
    assert kept == {name: SearchTrial(trials=3, patients=1, chosen=name == found["chosen"]) for name in kept}
    words = shlex.split(found["command"])
    said = dict(zip(words[3::2], words[4::2], strict=True))
    assert words[:3] == ["hilum", "train", "made"]
    assert said.keys() == {"--data", "--learning-rate", "--batch"}
    cli.train("made", data=made, out=tmp_path / "same", learning_rate=float(said["--learning-rate"]), batch=int(said["--batch"]))
    one, other = (torch.load(tmp_path / folder / "best.pt", weights_only=True) for folder in (f"run/{found['chosen']}", "same"))
    assert all(torch.equal(one["network"][name], other["network"][name]) for name in other["network"])


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
def test_a_kill_beside_a_checkpoint_loses_no_epochs_figure(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Of the first trial's last epoch: whether or not that epoch is run again, the journal has both epochs of both trials, once."""

    def killed(path: Path, state: dict[str, Any]) -> None:
        last = path.name == LAST and state["epoch"] == 2
        if last and before:
            raise KeyboardInterrupt
        save(path, state)
        if last:
            raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("training.fit.save", killed)
        with pytest.raises(KeyboardInterrupt):
            cli.train("made", data=made, out=tmp_path, search=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cli.train("made", data=made, out=tmp_path, search=2)
    assert [one["epochs"] for one in json.loads((tmp_path / FOUND).read_text())["trials"]] == [2, 2]


@pytest.mark.slow
def test_figures_of_other_patients_are_not_compared(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study goes while trials are under way, and so between two calls: somebody else trains, validates or is held out from there on."""
    begun, runs = recipes.begun, list[str]()

    def goes(name: str, data: Path | None, run: Path, *said: Any) -> Recipe:
        runs.append(run.name)
        if run.name == "trial-2":
            for folder in ("images", "labels"):
                min((made / folder).iterdir()).unlink()
        return begun(name, data, run, *said)

    with monkeypatch.context() as going:
        going.setattr(recipes, "begun", goes)
        with pytest.raises(OtherRun, match="trial-2 would have other cases than the first trial"):
            cli.train("made", data=made, out=tmp_path / "run", search=2)
    assert runs == ["trial-1", "trial-1", "trial-2"]
    assert not (tmp_path / "run" / "trial-2").exists(), "with the data as they were before, it can be gone on with"
    with pytest.raises(OtherRun, match="run holds another search"):
        cli.train("made", data=made, out=tmp_path / "run", search=2)


def test_what_does_not_go_with_a_search(made: Path, tmp_path: Path) -> None:
    """One trial, folds, and settings that are all named; a strength that there is none of, and one for a recipe that has its own. Nothing
    is planned for what is refused."""
    with pytest.raises(UnfitSetting, match="--search 1: there are two trials at least"):
        cli.train("made", data=made, out=tmp_path / "one", search=1)
    assert not (tmp_path / "one").exists()
    with pytest.raises(UnfitSetting, match="--search and --folds do not go together"):
        cli.train("made", data=made, out=tmp_path, search=2, folds=2)
    with pytest.raises(UnfitSetting, match="--search varies the settings that are not named, and all are"):
        cli.train("made", data=made, out=tmp_path, search=2, learning_rate=1e-3, batch=2)
    with pytest.raises(UnfitSetting, match="--augmentation 3: from 0 to 2"):
        cli.train("made", data=made, out=tmp_path, augmentation=3)
    with pytest.raises(UnfitSetting, match="is for one kind of data, and takes no augmentation"):
        cli.train("made", data=made, out=tmp_path, augmentation=0)


@pytest.mark.parametrize("name", ["chest-xray", "restore"])
def test_of_several_networks_nothing_is_searched(name: str) -> None:
    """Their epochs would be told as those of one, and chest-xray takes no learning rate: said before the first is trained for hours."""
    with pytest.raises(UnfitSetting, match=f'recipe "{name}" trains several networks in a run'):
        choices_of(recipes.load(name), Asked(), {"learning_rate": None, "batch": None}, 100)


def test_any_seed_may_be_named(tmp_path: Path) -> None:
    """A day, as people write it, is more than the generator of optuna takes."""
    train = Trainings()
    search(2, tmp_path, "this", 20261126, EPOCHS, replace(CHOICES, batch=(2,)), train)
    assert [name for name, _ in train.seen] == ["trial-1", "trial-2"]


def test_a_trial_says_its_own_settings(tmp_path: Path) -> None:
    """As they were drawn, from the journal."""
    train = Trainings()
    best = search(3, tmp_path, "this", 0, EPOCHS, replace(CHOICES, batch=(2,)), train)
    assert (folder_of(best), settings_of(best)) in train.seen
