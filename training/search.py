"""Search: several trainings of one recipe with other settings; the best on the validation patients is the one that is named.

Each trial is a run of its own in the search's folder, as `hilum train` makes one. Held-out cases are of no trial: nothing is evaluated
here. Trials are kept in a journal (optuna's), so that a search goes on where it was ended, in the middle of a trial as well.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from inference.engines.errors import NotFinite
from training.checkpoint import save_json, writing
from training.compute import Compute
from training.errors import BrokenRun, LossNotFinite, OtherRun, OutOfMemory, UnfitSetting
from training.planning import Asked
from training.progress import Progress
from training.recipe import Outcome, Recipe
from training.space import STRENGTHS, Settings, command

JOURNAL, FOUND, _LOCK = "search.journal", "search.json", "search.lock"
"""Of a search, in its folder: every trial as it goes; and what was chosen."""
_BY_CHANCE = 5
"""Trials that are drawn evenly before those that ended say where to look (TPE, Bergstra and others 2011)."""
_ASKED, _FOLDER, _WHY, _SAID, _REPORTED, _NAMED = "asked", "folder", "why", "settings", "reported", "named"


class Train(Protocol):
    """Trains, or goes on with, the run of a folder."""

    def __call__(self, run: Path, settings: Settings, watched: Callable[[Progress], Progress], /) -> Outcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What is varied in a search, and between which values; empty where a setting is fixed. `own` are the recipe's own settings."""

    learning_rate: tuple[float, float] | None
    batch: Sequence[int]
    window: Sequence[tuple[int, int, int]]
    augmented: bool
    own: Settings

    def params(self) -> dict[str, Any]:
        """The recipe's own settings, as optuna calls them."""
        said = {name: value for name, value in asdict(self.own).items() if value is not None}
        return said | ({"window": _by(said["window"])} if "window" in said else {})

    def drawn(self, trial: optuna.Trial) -> Settings:
        """The settings of a trial; three digits of a number are enough, and can be typed."""
        window = trial.suggest_categorical("window", [_by(each) for each in self.window]) if self.window else None
        return Settings(
            learning_rate=_short(trial.suggest_float("learning_rate", *self.learning_rate, log=True)) if self.learning_rate else None,
            batch=trial.suggest_categorical("batch", list(self.batch)) if self.batch else None,
            window=next((each for each in self.window if _by(each) == window), None),
            augmentation=_short(trial.suggest_float("augmentation", *STRENGTHS)) if self.augmented else None,
        )


def choices(recipe: Recipe, asked: Asked, given: Mapping[str, Any], shown: int) -> Choices:
    """What may be varied of a recipe that was begun with its own settings; `shown` are the examples of an epoch.

    Raises
    ------
    UnfitSetting
        Of this recipe nothing may be, or the user names all of it.
    """
    space, own = recipe.space, recipe.schedule
    if space is None:
        raise UnfitSetting(f'recipe "{recipe.name}" trains several networks in a run, with settings of their own, and takes no --search')
    free = {name: given[name] is None for name in ("learning_rate", "batch")}
    windows = space.windows(recipe.window) if space.window and asked.window is None else ()
    augmented = space.augmented and asked.augmentation is None
    if not (any(free.values()) or windows or augmented):
        raise UnfitSetting("--search varies the settings that are not named, and all are: leave one out, or train once")
    low, high = (own.learning_rate * factor for factor in space.learning_rate)
    return Choices(
        learning_rate=(low, high) if free["learning_rate"] else None,
        batch=space.batches(own.batch, shown) if free["batch"] else (),
        window=windows,
        augmented=augmented,
        own=Settings(
            learning_rate=own.learning_rate if free["learning_rate"] else None,
            batch=own.batch if free["batch"] else None,
            window=((1,) * (3 - len(recipe.window)) + recipe.window) if windows else None,  # type: ignore[arg-type]
            augmentation=1.0 if augmented else None,
        ),
    )


def search(count: int, run: Path, what: str, seed: int, epochs: int, chosen_from: Choices, train: Train) -> FrozenTrial:
    """Run trials until `count` have ended; the best of them. The first has the recipe's own settings.

    Parameters
    ----------
    what
        What has to be the same for a search to go on.
    epochs
        Of a training that nothing ends; a trial that is behind the median of those before it after a fifth of them is ended.

    Raises
    ------
    OtherRun, BrokenRun, FullDisk
    UnfitSetting
        No trial ended with a figure.
    """
    with _alone(run):
        # optuna's, left by a kill while the journal was written: it waits for it without end where the folder's path is a relative one
        (run / f"{JOURNAL}.lock").unlink(missing_ok=True)
        _cut_torn(run / JOURNAL)
        study = _study(run, what, epochs, chosen_from.params())
        while len(_ended(study)) < count:
            # by what was tried, and by nothing that a kill could lose
            drawn_by = (seed * 10_007 + len(_ended(study))) % 2**32
            study.sampler = optuna.samplers.TPESampler(seed=drawn_by, n_startup_trials=_BY_CHANCE)
            with writing(run / JOURNAL):
                trial = study.ask()
                settings = chosen_from.drawn(trial)
                folder = trial.user_attrs.get(_FOLDER) or f"trial-{len(_ended(study)) + 1}"
                trial.set_user_attr(_FOLDER, folder)
                trial.set_user_attr(_SAID, asdict(settings))
                for epoch, figure in trial.user_attrs.get(_REPORTED, {}).items():
                    # its run goes on behind these epochs, and tells them no more
                    trial.report(figure, int(epoch))
            _tried(study, trial, run / folder, settings, train)
    done = [one for one in study.get_trials(deepcopy=False) if one.state is TrialState.COMPLETE]
    if not done:
        why = next((one.user_attrs[_WHY] for one in _ended(study) if _WHY in one.user_attrs), "")
        raise UnfitSetting(f"none of {count} trials ended with a figure: {why}")
    return max(done, key=lambda one: one.value or 0.0)


def _tried(study: optuna.Study, trial: optuna.Trial, folder: Path, settings: Settings, train: Train) -> None:
    """Train one trial, and put its end on record; what ends the search ends no trial, which then goes on."""
    journal = folder.parent / JOURNAL
    try:
        outcome = train(folder, settings, lambda progress: Watched(trial, progress, journal))
    except optuna.TrialPruned:
        with writing(journal):
            study.tell(trial, state=TrialState.PRUNED)
    except (OutOfMemory, LossNotFinite, NotFinite) as failed:  # the same settings would end so again
        with writing(journal):
            trial.set_user_attr(_WHY, f"{failed} [{failed.code}]")
            study.tell(trial, state=TrialState.FAIL)
    else:
        with writing(journal):
            study.tell(trial, outcome.best)


class Watched:
    """Progress that tells a trial each epoch's validation, and ends it where it is behind others."""

    def __init__(self, trial: optuna.Trial, progress: Progress, journal: Path) -> None:
        self._trial, self._progress, self._journal, self._epochs = trial, progress, journal, 0
        # one whose checkpoint was not written yet is run, and told, once more
        self._told = frozenset(map(int, trial.user_attrs.get(_REPORTED, {})))

    def begun(self, epoch: int, epochs: int, batches: int) -> None:
        self._epochs = epochs
        self._progress.begun(epoch, epochs, batches)

    def batch(self) -> None:
        self._progress.batch()

    def epoch(self, epoch: int, figures: Mapping[str, float], best: bool) -> None:
        """The last of the figures is the validation's.

        Raises
        ------
        optuna.TrialPruned
        FullDisk
        """
        self._progress.epoch(epoch, figures, best)
        if epoch not in self._told:
            with writing(self._journal):
                self._trial.report(list(figures.values())[-1], epoch)
        if epoch + 1 < self._epochs and self._trial.should_prune():
            raise optuna.TrialPruned

    def said(self, line: str) -> None:
        self._progress.said(line)


def record(run: Path, recipe: str, watched: str, best: FrozenTrial, again: str) -> dict[str, Any]:
    """What is kept of a search in search.json: every trial, which was chosen, and the command that trains it again."""
    study = _opened(run)
    trials = [
        {
            "run": one.user_attrs[_FOLDER],
            "settings": one.user_attrs[_SAID],
            "state": "failed" if one.state is TrialState.FAIL else one.state.name.lower(),
            "validation": one.value if one.state is TrialState.COMPLETE else None,
            "epochs": len(one.intermediate_values),
            "why": one.user_attrs.get(_WHY, ""),
        }
        for one in _ended(study)
    ]
    found = {"recipe": recipe, "watched": watched, "chosen": best.user_attrs[_FOLDER], "command": again, "trials": trials}
    save_json(run / FOUND, found)
    return found


def said(found: Mapping[str, Any], run: Path, evaluate: str) -> str:
    """A search for people: every trial, the one that is chosen, and how it is trained again and judged."""
    lines = []
    for one in found["trials"]:
        settings = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in one["settings"].items() if value is not None)
        ended = (
            f"{found['watched']} {one['validation']:.4f}"
            if one["validation"] is not None
            else one["why"] or "ended early, behind the others"
        )
        lines.append(f"{'*' if one['run'] == found['chosen'] else ' '} {one['run']}: {settings}: {ended}")
    return (
        "\n".join(lines)
        + f"\n\n{run / found['chosen']} is the best of {len(lines)} on the validation patients, who chose it: expect less on others. "
        + f"Nobody who is held out was looked at. How it does on those:\n  {evaluate}\nThe same again, anywhere:\n  {found['command']}\n"
    )


def settings_of(trial: FrozenTrial) -> Settings:
    """The settings of a trial that was run."""
    kept = dict(trial.user_attrs[_SAID])
    return Settings(**kept | ({"window": tuple(kept["window"])} if kept["window"] else {}))


def folder_of(trial: FrozenTrial) -> str:
    """The name of its run in the search's folder."""
    return str(trial.user_attrs[_FOLDER])


def _study(run: Path, what: str, epochs: int, own: Mapping[str, Any]) -> optuna.Study:
    """The search that lies in a folder, or a new one; a trial that was under way when it was ended is the next, in its own folder."""
    study = _opened(run)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=max(1, epochs // 5))
    there = study.user_attrs.get(_ASKED)
    if there is None:
        with writing(run / JOURNAL):
            study.set_user_attr(_ASKED, what)
    elif there != what:
        raise OtherRun(f"{run} holds another search: {there}; asked for is {what}")
    known = study.get_trials(deepcopy=False)
    with writing(run / JOURNAL):
        _put_in(study, known, own)
    return study


def _put_in(study: optuna.Study, known: Sequence[FrozenTrial], own: Mapping[str, Any]) -> None:
    """Have the recipe's own settings, or the trial that was under way, be the next."""
    if not known:
        study.enqueue_trial(dict(own), {_NAMED: dict(own)})
    waits = any(one.state is TrialState.WAITING for one in known)
    for one in known:
        if one.state is TrialState.RUNNING:
            attrs = one.user_attrs
            if not waits and (_FOLDER in attrs or _NAMED in attrs):
                params = {**attrs.get(_NAMED, {}), **one.params}
                reported = attrs.get(_REPORTED, {}) | {str(epoch): figure for epoch, figure in one.intermediate_values.items()}
                of_run = {_FOLDER: attrs[_FOLDER], _REPORTED: reported} if _FOLDER in attrs else {}
                study.enqueue_trial(params, {_NAMED: params, **of_run})
            # of one without either a part of the settings was drawn: they are drawn again, by the same seed
            study.tell(one.number, state=TrialState.FAIL)


def _opened(run: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with writing(run / JOURNAL):
            storage = JournalStorage(JournalFileBackend(str(run / JOURNAL)))
            return optuna.create_study(study_name="search", storage=storage, direction="maximize", load_if_exists=True)
    except (ValueError, KeyError) as broken:
        raise BrokenRun(f"{run / JOURNAL} is no journal of a search: {broken!r}") from broken


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that came to an end of their own, in their order; one that failed says why."""
    ends = (TrialState.COMPLETE, TrialState.PRUNED)
    return [
        one for one in study.get_trials(deepcopy=False) if one.state in ends or (one.state is TrialState.FAIL and _WHY in one.user_attrs)
    ]


def _cut_torn(journal: Path) -> None:
    """Take out a last line that was not written to its end (the power failed): optuna would write on behind it, and read neither."""
    if not journal.is_file():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with writing(journal):
            os.truncate(journal, whole)


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """One search in a folder at a time (flock; released by the kernel at exit).

    Raises
    ------
    OtherRun
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise OtherRun(f"another search is under way in {run}: wait for it, or give another --out") from held
        yield


def again(recipe: str, data: Path | None, asked: Asked, given: Mapping[str, Any], compute: Compute, best: FrozenTrial) -> str:
    """The command that trains the best trial once more."""
    return command(recipe, data, *settings_of(best).over(asked, given), compute.precision.value, compute.parts)


def _by(sides: Sequence[int]) -> str:
    return " ".join(map(str, sides))


def _value(value: Any) -> str:
    return _by(value) if isinstance(value, list) else f"{value:g}"


def _short(value: float) -> float:
    return float(f"{value:.3g}")
