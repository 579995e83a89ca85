"""Routes edited at the console: written whole or not at all, the file before kept, the node told; trials that end, however they end."""

import hashlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.assembly.compose import demand_takable
from node.assembly.configuration import load, waiting_keys
from node.assembly.console import edited_routes, trials_of
from node.assembly.reload import KeptRevisions, Reloading
from node.console.edited_block import MayNotLast
from node.console.edited_routes import EditedRoutes
from node.console.editing import EditRefused, Progress
from node.console.trials import TooManyTrials, TrialEnded, Trials
from node.settings.config import Config
from node.settings.rewriting import CannotWrite, ChangedMeanwhile
from node.store.in_force import InForce, NeedsRestart, serving
from tests.lab.program import wait_until
from tests.unit.cli.conftest import CONFIG, HEAD, Hospital, empty, hospital, place

__all__ = ["empty", "hospital", "place"]
ROUTES = CONFIG[CONFIG.index("routes:") :]
THINNER = ROUTES.replace("SliceThickness: {max: 5}", "SliceThickness: {max: 1}")
SINCE = datetime(2025, 3, 4, tzinfo=UTC)
TRIAL = "node.assembly.trial_process"
_PATIENCE_S = 120


@pytest.fixture
def config(place: Path) -> Config:
    return load(place / "hilum.yaml")


@pytest.fixture
def trials(config: Config) -> Iterator[Trials]:
    made = trials_of(config)
    yield made
    made.close()


@pytest.fixture
def edited(config: Config, trials: Trials) -> EditedRoutes:
    return edited_routes(config, None, trials)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def turned(reloading: Reloading, saver: threading.Thread) -> bool:
    """One turn of the supervisor; whether the saver is done."""
    reloading.turn()
    return not saver.is_alive()


def test_the_file_is_replaced_and_the_one_before_kept(edited: EditedRoutes, config: Config) -> None:
    """With its rights, through a link that stays one; all around the routes as it was, and nothing else left in the folder."""
    real = config.path.rename(config.path.with_name("real.yaml"))
    config.path.symlink_to(real)
    real.chmod(0o640)
    with capture_logs() as events:
        saved = edited.saved(THINNER, digest(config.path), "ada")
    assert config.path.is_symlink()
    assert real.read_text() == CONFIG.replace(ROUTES, THINNER)
    assert Path(saved.kept).read_text() == CONFIG
    assert [stat.S_IMODE(one.stat().st_mode) for one in (real, Path(saved.kept))] == [0o640, 0o640]
    assert sorted(one.name for one in real.parent.iterdir()) == ["hilum.yaml", "real.yaml", "real.yaml.before"]
    assert saved.revision == load(config.path).digest != config.digest
    assert saved.file_digest == digest(real)
    (told,) = [one for one in events if one["event"].startswith("config.saved")]
    assert (told["event"], told["by"], told["before"], told["config_digest"]) == ("config.saved", "ada", config.digest, saved.revision)
    with pytest.raises(ChangedMeanwhile):
        edited.saved(ROUTES, hashlib.sha256(CONFIG.encode()).hexdigest(), "otto")
    again = edited.saved(THINNER, saved.file_digest, "ada")
    assert (again.kept, again.revision) == ("", saved.revision)


def test_the_node_takes_up_what_was_saved_or_says_why_not(config: Config, trials: Trials) -> None:
    """The supervisor answers with both revisions, and tells who asked; the page knows by which routes it goes."""
    in_force = InForce(config)
    edited = edited_routes(config, in_force.path, trials)
    reloading = Reloading(config, in_force, demand_takable, [], KeptRevisions(config))
    assert len(serving(config)) == 1
    answers: list[object] = []
    with capture_logs() as events:
        saver = threading.Thread(target=lambda: answers.append(edited.saved(THINNER, digest(config.path), "ada")))
        saver.start()
        wait_until(lambda: turned(reloading, saver), _PATIENCE_S, "the routes are saved")
    (saved,) = answers
    (one,) = saved.reloads  # type: ignore[attr-defined]
    assert (one.before, one.digest, one.code) == (config.digest, load(config.path).digest, "")
    assert {said["event"]: said["by"] for said in events if "by" in said and not said["event"].startswith("config.kept")} == {
        "config.saved": "ada",
        "config.reloaded": "ada",
    }
    assert edited.shown().in_force == one.digest == edited.shown().revision
    in_force.close()


@pytest.mark.parametrize("text", [ROUTES.replace("ct-lung", "ct-lungs"), "routes: []\nsinks: {}", ""])
def test_what_is_no_good_is_not_written(edited: EditedRoutes, config: Config, text: str) -> None:
    with pytest.raises(EditRefused):
        edited.saved(text, digest(config.path), "ada")
    assert config.path.read_text() == CONFIG


def test_a_file_that_needs_a_restart_is_not_written_to(edited: EditedRoutes, config: Config) -> None:
    """The reload behind it would be refused: better nothing is half done."""
    differs = f"{CONFIG}store: {{keep: 1d}}\n"
    config.path.write_text(differs)
    with pytest.raises(NeedsRestart, match=r"`store\.keep` changed"):
        edited.saved(THINNER, digest(config.path), "ada")
    assert config.path.read_text() == differs


def test_a_folder_that_takes_nothing_leaves_the_file_as_it_was(
    edited: EditedRoutes, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only configuration (refused by the system; root is refused nothing here, so its answer is played)."""

    def refused(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    before = sorted(config.path.parent.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refused)
        with pytest.raises(CannotWrite, match="Read-only file system; the file is as it was"):
            edited.saved(THINNER, digest(config.path), "ada")
    assert (config.path.read_text(), sorted(config.path.parent.iterdir())) == (CONFIG, before)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert str(config.path.parent) in edited.shown().obstacle


def test_what_an_editor_writes_while_the_routes_are_loaded_stays(config: Config, trials: Trials) -> None:
    """Loading takes seconds; nothing of the attempt lies beside the file."""

    def slow(path: Path, **given: Any) -> Config:
        loaded = load(path, **given)
        config.path.write_text("# mine\n" + CONFIG)
        return loaded

    before = sorted(config.path.parent.iterdir())
    edited = EditedRoutes(config, None, trials, load=slow, demand=demand_takable, waiting=waiting_keys)
    with pytest.raises(ChangedMeanwhile):
        edited.saved(THINNER, digest(config.path), "ada")
    assert config.path.read_text() == "# mine\n" + CONFIG
    assert sorted(config.path.parent.iterdir()) == before


def test_a_folder_that_cannot_be_flushed_is_told_in_its_own_words(
    edited: EditedRoutes, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is the new one by then, which the answer and the events say; the disk's answer is played."""
    flushing = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")
        flushing(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with capture_logs() as events, pytest.raises(MayNotLast, match="stands in it"):
        edited.saved(THINNER, digest(config.path), "ada")
    assert config.path.read_text() == CONFIG.replace(ROUTES, THINNER)
    assert "config.saved" in [one["event"] for one in events]


def test_the_group_stays_where_the_owner_cannot(edited: EditedRoutes, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root gives files away, while anybody may give one to a group of his; the system's refusal is played."""
    asked = []

    def fchown(_: int, uid: int, gid: int) -> None:
        asked.append((uid != -1, gid != -1))
        if uid != -1:
            raise PermissionError

    monkeypatch.setattr(os, "fchown", fchown)
    edited.saved(THINNER, digest(config.path), "ada")
    assert (False, True) in asked


def _hanging(python: str, folder: Path) -> str:
    """A line of the shell that stands in for a process which is busy for ever: arithmetic does not let go of the interpreter."""
    busy = folder / "busy.py"
    busy.write_text(
        "import sys\nfrom node.assembly import trial_process\ntrial_process.load = lambda *_, **__: sum(range(10**15))\n"
        "sys.argv[1:] = sys.argv[1 + sys.argv.index('node.assembly.trial_process') :]\nsys.exit(trial_process.main())\n"
    )
    return f'exec {python} {busy} "$@"'


@pytest.mark.slow
def test_a_trial_that_takes_for_ever_ends_with_its_time(hospital: Hospital, child: Callable[[str], None], tmp_path: Path) -> None:
    """Years of studies, a disk that hangs: the console goes on, and is told; a second account may try too, a third waits."""
    tries = sys.executable
    child(_hanging(tries, tmp_path))
    trials = Trials(hospital.config.path, TRIAL, explain_s=1, replay_s=600)
    edited = edited_routes(hospital.config, None, trials)
    with pytest.raises(TrialEnded, match="longer than 1 s"):
        edited.explained(THINNER, HEAD)
    first = edited.replay(THINNER, SINCE, "ada")
    second = edited.replay(THINNER, SINCE, "otto")
    with pytest.raises(TooManyTrials):
        edited.replay(ROUTES, SINCE, "vera")
    child(f'exec {tries} "$@"')
    third = edited.replay(ROUTES, SINCE, "ada")
    states = {one.number: edited.progress(one.number) for one in (first, second)}
    assert [one.state for one in states.values() if one is not None] == ["stopped", "going"]
    wait_until(lambda: (one := edited.progress(third.number)) is not None and one.state == "done", _PATIENCE_S, "the third is done")
    edited.stop(second.number)
    stopped = edited.progress(second.number)
    assert stopped is not None
    assert stopped.state == "stopped"
    trials.close()


@pytest.mark.slow
def test_a_replay_whose_time_is_over_says_so(hospital: Hospital, child: Callable[[str], None], tmp_path: Path) -> None:
    child(_hanging(sys.executable, tmp_path))
    trials = Trials(hospital.config.path, TRIAL, replay_s=1)
    begun = edited_routes(hospital.config, None, trials).replay(THINNER, SINCE, "ada")
    wait_until(lambda: (one := trials.progress(begun.number)) is not None and one.state == "failed", _PATIENCE_S, "it has ended")
    ended = trials.progress(begun.number)
    assert ended is not None
    assert "longer than 1 s" in ended.reason
    assert replace(ended, reason="").found == 0
    trials.close()


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a script of the shell stand in for the process that tries routes."""
    numbers = count()

    def stands_in(words: str) -> None:
        # each a file of its own: the shell that was begun before may not have read its own yet
        script = tmp_path / f"child-{next(numbers)}"
        script.write_text(f"#!/bin/sh\n{words}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return stands_in


def ended(trials: Trials, number: int) -> Progress:
    """A replay that is over."""
    wait_until(lambda: (one := trials.progress(number)) is not None and one.state != "going", _PATIENCE_S, "it has ended")
    one = trials.progress(number)
    assert one is not None
    return one


def test_a_process_that_dies_in_the_middle_of_a_line_gives_its_place_back(
    trials: Trials, child: Callable[[str], None], tmp_path: Path
) -> None:
    """As one that the kernel killed for its memory: the replay has failed, others may begin, nothing of the process is left."""
    pids = tmp_path / "pids"
    child(f"echo $$ >> {pids}; printf '{{\"arrivals\": 1'")
    for who in ("ada", "otto", "vera"):
        assert ended(trials, trials.replay(CONFIG.encode(), "", SINCE, who).number).state == "failed"
    for _ in range(3):
        with pytest.raises(TrialEnded):
            trials.explained(CONFIG.encode(), HEAD)
    assert not [pid for pid in pids.read_text().split() if Path("/proc", pid).exists()]


def test_a_process_that_does_not_listen_holds_nobody_up(trials: Trials, child: Callable[[str], None]) -> None:
    """More than a pipe holds is to be said to it: the console answers all the same, and can end it."""
    child("exec sleep 600")
    begun = trials.replay(b"#" * 300_000, "", SINCE, "ada")
    assert begun.state == "going"
    trials.stop(begun.number)
    assert ended(trials, begun.number).state == "stopped"


@pytest.mark.slow
def test_a_journal_that_is_away_is_told_in_its_own_words(hospital: Hospital, trials: Trials) -> None:
    """And so is a text that the loader of the other process refuses."""
    away = CONFIG + 'store: {journal: "sqlite:."}\n'
    with pytest.raises(TrialEnded, match="HLM-7"):
        trials.explained(away.encode(), HEAD)
    with pytest.raises(TrialEnded, match="HLM-2"):
        trials.explained(b"routes: [", HEAD)
