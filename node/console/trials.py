"""Processes that try edited routes out: a few are started at a time, and what they say is kept until somebody looks."""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from node.console.editing import Progress
from node.domain.errors import ConfigError
from node.observe.events import alarm

_EXPLAIN_S = 60
_REPLAY_S = 600
_AT_ONCE = 2
_KEPT = 16
_WAIT_S = 5.0


class TrialEnded(ConfigError):
    """Explaining or replaying edited routes did not come to its end."""

    code = "HLM-2102"
    remedy = "Choose a later beginning, or a cheaper regular expression; `hilum routes replay` on the node has no limit of time."


class TooManyTrials(ConfigError):
    """Others try routes at the same time."""

    code = "HLM-2103"
    remedy = "Wait until theirs are done, and try again."


@dataclass(slots=True)
class _Trial:
    """A replay: its process, and what that said so far."""

    number: int
    by: str
    since: datetime
    revision: str
    process: subprocess.Popen[str]
    began: float = field(default_factory=time.monotonic)
    took_s: float | None = None
    state: str = "going"
    reason: str = ""
    remarks: tuple[str, ...] = ()
    counted: dict[str, Any] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)


class Trials:
    """Explains and replays by processes of their own. Safe in many threads.

    Parameters
    ----------
    program
        The module that is run for the file at `path`, with that and its seconds: it is told the routes and what to try on stdin, and
        answers with a JSON object a line.
    """

    def __init__(self, path: Path, program: str, *, explain_s: int = _EXPLAIN_S, replay_s: int = _REPLAY_S) -> None:
        self._path = path
        self._program = program
        self._explain_s = explain_s
        self._replay_s = replay_s
        self._guard = threading.Lock()
        self._explaining = threading.Semaphore(_AT_ONCE)
        self._numbers = itertools.count(1)
        self._replays: OrderedDict[int, _Trial] = OrderedDict()

    def explained(self, text: bytes, study: str) -> dict[str, Any]:
        """What routes would decide about a study.

        Raises
        ------
        TrialEnded, TooManyTrials
            It is not known.
        """
        if not self._explaining.acquire(timeout=_WAIT_S):
            raise TooManyTrials(f"{_AT_ONCE} explanations are under way")
        try:
            with self._started(self._explain_s) as process:
                _ask(process, text, study=study)
                told = next(_said(process), None)
        finally:
            self._explaining.release()
        if told is None:
            raise self._failed("explaining", self._explain_s)
        if "refused" in told:
            raise TrialEnded(f"{told['refused']} [{told['code']}]")
        return told

    def replay(self, text: bytes, revision: str, since: datetime, by: str) -> Progress:
        """Begin a replay.

        Raises
        ------
        TooManyTrials
            Two of others are under way.
        """
        with self._guard:
            going = [one for one in self._replays.values() if one.state == "going"]
            for one in going:
                if one.by == by:
                    self._end(one, "stopped", "")
            if sum(one.state == "going" for one in going) >= _AT_ONCE:
                raise TooManyTrials(f"{' and '.join(sorted(one.by for one in going))} replay routes now")
            process = self._start(self._replay_s)
            trial = _Trial(number=next(self._numbers), by=by, since=since, revision=revision, process=process)
            self._replays[trial.number] = trial
            while len(self._replays) > _KEPT:
                self._end(self._replays.popitem(last=False)[1], "stopped", "")
        threading.Thread(target=self._listen, args=(trial, text), name=f"replay {trial.number}", daemon=True).start()
        return _progress(trial)

    def progress(self, number: int) -> Progress | None:
        """How far a replay is."""
        with self._guard:
            trial = self._replays.get(number)
            return None if trial is None else _progress(trial)

    def stop(self, number: int) -> None:
        """End a replay."""
        with self._guard:
            if (trial := self._replays.get(number)) is not None:
                self._end(trial, "stopped", "")

    def close(self) -> None:
        """End all of them."""
        with self._guard:
            for trial in self._replays.values():
                self._end(trial, "stopped", "")

    def _start(self, limit_s: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-P", "-m", self._program, str(self._path), str(limit_s)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @contextlib.contextmanager
    def _started(self, limit_s: int) -> Iterator["subprocess.Popen[str]"]:
        process = self._start(limit_s)
        try:
            yield process
        finally:
            _reap(process)

    def _listen(self, trial: _Trial, text: bytes) -> None:
        try:
            _ask(trial.process, text, since=trial.since.isoformat())
            for told in _said(trial.process):
                with self._guard:
                    if "difference" in told:
                        trial.differences.append(told["difference"])
                    elif "remarks" in told:
                        trial.remarks = tuple(told["remarks"])
                    elif "refused" in told:
                        self._end(trial, "failed", f"{told['refused']} [{told['code']}]")
                    elif "done" in told:
                        self._end(trial, "done", "")
                    else:
                        trial.counted = told
        finally:
            _reap(trial.process)
            with self._guard:
                if trial.state == "going":
                    self._end(trial, "failed", str(self._failed("replaying", self._replay_s)))

    @staticmethod
    def _end(trial: _Trial, state: str, reason: str) -> None:
        if trial.state == "going":
            trial.state, trial.reason, trial.took_s = state, reason, time.monotonic() - trial.began
            trial.process.kill()

    @staticmethod
    def _failed(what: str, limit_s: int) -> TrialEnded:
        failed = TrialEnded(f"{what} ended by itself, or took longer than {limit_s} s")
        alarm("routes.trial_failed", code=failed.code, reason=str(failed))
        return failed


def _ask(process: "subprocess.Popen[str]", text: bytes, **asked: str) -> None:
    """Say what to try. It waits while the process begins: more than a pipe holds may be said."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it is dead: nothing comes of it, which is told
        process.stdin.write(json.dumps({"text": text.decode("utf-8", "surrogateescape"), **asked}) + "\n")
        process.stdin.flush()


def _said(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """Its lines, up to its end; a line that it died in is none."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            return
        yield told


def _reap(process: "subprocess.Popen[str]") -> None:
    """End it, whatever it is at, and leave nothing of it."""
    process.kill()
    with contextlib.suppress(OSError):  # what was still to be said to it
        process.communicate()


def _progress(trial: _Trial) -> Progress:
    counted = trial.counted
    return Progress(
        number=trial.number,
        by=trial.by,
        since=trial.since.isoformat(),
        revision=trial.revision,
        state=trial.state,
        reason=trial.reason,
        took_s=time.monotonic() - trial.began if trial.took_s is None else trial.took_s,
        arrivals=counted.get("arrivals", 0),
        decided=counted.get("decided", 0),
        forgotten=counted.get("forgotten", 0),
        priors=counted.get("priors", 0),
        urgencies=counted.get("urgencies", 0),
        found=counted.get("found", 0),
        studies=counted.get("studies", 0),
        routes=dict(counted.get("routes", {})),
        differences=tuple(trial.differences),
        remarks=trial.remarks,
    )
