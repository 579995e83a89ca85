"""Plays the rows of the matrix, some nodes at once, and keeps what came out in a folder, from which a run that was cut off goes on."""

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.crash import commitment, faults, kills, power_loss, transitions
from tests.crash.node_kinds import (
    ASSOCIATION,
    COMMITMENT,
    COMMITMENT_ASSOCIATION,
    ENCRYPTED,
    ENCRYPTED_ASSOCIATION,
    POSTGRES,
    RETENTION,
    SECURED,
    SEVERAL,
    node_of_kind,
)
from tests.crash.node_under_test import NodeUnderTest
from tests.crash.rows import Outcome, Row, total
from tests.crash.stalls import Stalls
from tests.lab.loopback import loopback_only

SIMULATED = "simulated schedules"
_LEAST = 2
_LOSS_WEIGHT = 1.5
_KEPT = 3000  # of what a broken round said
_ON_ONE_NODE = 18
"""Rounds: the more, the fewer nodes are started for nothing but a beginning; the fewer, the better the rounds share out."""
_AGAIN = 3
"""So often a round is played again that broke while the machine stood still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """So many rounds of one row on one kind of node; `place` is where its outcome is kept."""

    place: int
    kind: str
    row: str
    rounds: int

    @property
    def title(self) -> str:
        return title(self.kind, self.row)


def title(kind: str, row: str) -> str:
    """What the table calls a row on a kind of node."""
    return f"{row} ({kind})" if kind else row


def rows() -> list[Row]:
    """Every row that is played on an ordinary node."""
    return [*kills.rows(), *transitions.rows(), *faults.rows()]


def _everything() -> list[tuple[str, Row, float]]:
    """(kind of node, row, weight)."""

    def those(*beginnings: str) -> list[Row]:
        return [row for row in rows() if row.name.startswith(beginnings)]

    coming = ("receive", "ENOSPC for what comes in", "EIO or ENOSPC", "read-only disk for")
    shares: list[tuple[str, Sequence[Row], float]] = [
        ("", rows(), 1.0),
        (ASSOCIATION, [*those(*coming, "index", "any moment"), *faults.promised_rows()], 0.7),
        (SEVERAL, those("receive", "any moment"), 0.4),
        (SECURED, those("receive: an instance", "any moment"), 0.3),
        (ENCRYPTED, those(*coming, "index", "work", "any moment"), 0.5),
        (COMMITMENT, commitment.rows(), 1.0),
        (RETENTION, commitment.retention_rows(), 1.0),
        (COMMITMENT_ASSOCIATION, commitment.asked_rows(), 0.5),
        (POSTGRES, kills.rows(), 0.25),
    ]
    return [(kind, row, row.weight * share) for kind, some, share in shares for row in some]


def _losses() -> list[tuple[str, bool]]:
    return [
        (kind, failing) for kind in ("", ASSOCIATION, COMMITMENT_ASSOCIATION, ENCRYPTED, ENCRYPTED_ASSOCIATION) for failing in (False, True)
    ]


def tasks(name: str, rounds: int) -> tuple[list[Task], list[tuple[Task, bool]]]:
    """Rounds shared out among the rows with `name` in their names: those of ordinary nodes, and those that lose power, with a flag."""
    chosen = [(kind, row.name, weight) for kind, row, weight in _everything() if name in title(kind, row.name)]
    losses = [(kind, failing) for kind, failing in _losses() if name in title(kind, power_loss.name_of(failing=failing))]
    whole = sum(weight for _, _, weight in chosen) + _LOSS_WEIGHT * len(losses)
    shared = [
        Task(place=place, kind=kind, row=row, rounds=max(_LEAST, round(rounds * weight / whole)))
        for place, (kind, row, weight) in enumerate(chosen)
    ]
    count = max(_LEAST, round(rounds * _LOSS_WEIGHT / whole)) if losses else 0
    return shared, [
        (Task(place=len(shared) + place, kind=kind, row=power_loss.name_of(failing=failing), rounds=count), failing)
        for place, (kind, failing) in enumerate(losses)
    ]


def _blocks(some: Sequence[Task]) -> list[list[Task]]:
    """Tasks that share a node under test."""
    blocks: list[list[Task]] = []
    for task in some:
        last = blocks[-1] if blocks else []
        if not last or last[0].kind != task.kind or sum(one.rounds for one in last) + task.rounds > _ON_ONE_NODE:
            blocks.append([])
        blocks[-1].append(task)
    return blocks


# ---- in a process of its own


def play(kind: str, row: Row, rounds: int, seed: int, folder: Path) -> Outcome:
    """Rounds of one row on a node of their own."""
    (outcome,) = _played([(Task(place=0, kind=kind, row=row.name, rounds=rounds), row)], seed, folder)
    return outcome


def _played(some: Sequence[tuple[Task, Row]], seed: int, folder: Path) -> list[Outcome]:
    """Rows one after another on one node, counted at its end; where a round does not end, that is noted, and a new node is started."""
    stalls = Stalls()
    left = [(task, row, Outcome(name=task.title)) for task, row in some]
    outcomes = [outcome for _, _, outcome in left]
    number = 0
    with loopback_only():
        while left:
            place = folder / f"node-{number}"
            number += 1
            # what a run that was cut off here left is of no round that is played now
            shutil.rmtree(place, ignore_errors=True)
            stood = stalls.count
            whose: dict[str, Outcome] = {}
            try:
                with node_of_kind(left[0][0].kind, place) as under_test:
                    while left:
                        task, row, outcome = left[0]
                        while outcome.rounds < task.rounds:
                            stood, began = stalls.count, time.monotonic()
                            draw = random.Random(f"{seed}/{row.name}/{outcome.rounds}")
                            hit = row.ways[(outcome.rounds + seed) % len(row.ways)](under_test, draw)
                            whose |= {uid: outcome for uid in under_test.studies if uid not in whose}
                            outcome.seconds += time.monotonic() - began
                            outcome.rounds, outcome.hit = outcome.rounds + 1, outcome.hit + hit
                        print(f"   … {outcome.name}: {outcome.rounds} played in {outcome.seconds:.0f} s, to be counted", flush=True)
                        left.pop(0)
                    good = _count(under_test, whose, outcomes)
                if good:
                    shutil.rmtree(place, ignore_errors=True)
            except Exception:  # noqa: BLE001  (whatever went wrong is the outcome of the round)
                if not left:  # over the count
                    outcomes[-1].broken.append(traceback.format_exc()[-_KEPT:])
                    outcomes[-1].kept.append(str(place))
                    continue
                task, _, outcome = left[0]
                if stalls.count > stood and outcome.again < _AGAIN:
                    outcome.again += 1
                    continue
                outcome.broken.append(f"round {outcome.rounds}, --seed {seed}: {traceback.format_exc()[-_KEPT:]}")
                outcome.kept.append(str(place))
                outcome.rounds += 1
                if outcome.rounds >= task.rounds:
                    left.pop(0)
    return outcomes


def _count(under_test: NodeUnderTest, whose: Mapping[str, Outcome], outcomes: Sequence[Outcome]) -> bool:
    """What is wrong with a study is the outcome of the row that it was of; an orphan has no study, and is told at the last row. Whether
    nothing is wrong."""
    count = under_test.audit()
    of_instance = {uid: study for study in under_test.studies.values() for uid in study.files}
    before = [outcome.wrong for outcome in outcomes]
    for uid in count.lost:
        whose[of_instance[uid].uid].lost.append(uid)
    for uid in count.doubled:
        whose[uid].doubled.append(uid)
    outcomes[-1].orphaned += count.orphaned
    for outcome, wrong in zip(outcomes, before, strict=True):
        if outcome.wrong > wrong:
            outcome.kept.append(str(under_test.folder))
    for study in under_test.studies.values():
        whose[study.uid].acknowledged += len(study.acknowledged)
    return count.good


def _block(some: Sequence[Task], seed: int, folder: Path, whole: int) -> list[Outcome]:
    named = {row.name: row for row in [*rows(), *commitment.rows(), *commitment.retention_rows(), *faults.promised_rows()]}
    outcomes = _played([(task, named[task.row]) for task in some], seed, folder / f"{some[0].place:03d}")
    for task, outcome in zip(some, outcomes, strict=True):
        keep(folder, task, seed, [outcome], whole)
    return outcomes


def _lose(task: Task, failing: bool, seed: int, folder: Path, whole: int) -> list[Outcome]:
    began, stalls, again = time.monotonic(), Stalls(), 0
    place = folder / f"{task.place:03d}"
    with loopback_only():
        while True:
            shutil.rmtree(place, ignore_errors=True)  # of a run that was cut off here, or of what is played again
            looked, started = power_loss.play(place, task.kind, task.rounds, seed, failing=failing)
            excused = started.broken and not (started.lost or started.doubled or started.orphaned) and looked.good
            if not (excused and stalls.count and again < _AGAIN):
                break
            stalls.count, again = 0, again + 1
    started.seconds, started.again = time.monotonic() - began, again
    if started.good and looked.good:
        shutil.rmtree(place, ignore_errors=True)
    keep(folder, task, seed, [started, looked], whole)
    return [started, looked]


def _simulate(seed: int, schedules: int) -> Outcome:
    """Play schedules in an interpreter whose sets have an order that a seed can rely on."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.crash.simulation", "--seed", str(seed), "--schedules", str(schedules)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False)
    broken = [] if done.returncode == 0 else [done.stdout[-_KEPT:] + done.stderr[-_KEPT:]]
    return Outcome(name=SIMULATED, rounds=schedules, hit=schedules, broken=broken, seconds=time.monotonic() - began)


# ---- what is kept


def _path(folder: Path, task: Task) -> Path:
    return folder / f"{task.place:03d}.json"


def keep(folder: Path, task: Task, seed: int, outcomes: Sequence[Outcome], whole: int) -> None:
    """Durable enough for a run that goes on, and told."""
    path = _path(folder, task)
    path.with_suffix(".fresh").write_text(json.dumps({"task": asdict(task), "seed": seed, "outcomes": [asdict(one) for one in outcomes]}))
    path.with_suffix(".fresh").rename(path)
    played = sum(json.loads(each.read_text())["outcomes"][0]["rounds"] for each in folder.glob("*.json"))
    for outcome in outcomes:
        _say(outcome, f"[{played}/{whole}] ")


def kept(folder: Path, task: Task, seed: int) -> list[Outcome] | None:
    """What came of it before; None: it is still to be played."""
    path = _path(folder, task)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    assert (found["task"], found["seed"]) == (asdict(task), seed), f"{folder} is of another run: {found['task']}, seed {found['seed']}"
    return [Outcome(**outcome) for outcome in found["outcomes"]]


def matrix(name: str, rounds: int, schedules: int, seed: int, at_once: int, folder: Path) -> tuple[list[Outcome], list[Outcome]]:
    """Play what has `name` in its name, some nodes at once: (rounds with a real node, what was looked at or simulated without one)."""
    folder.mkdir(parents=True, exist_ok=True)
    shared, losses = tasks(name, rounds)
    whole = sum(task.rounds for task in [*shared, *(task for task, _ in losses)])
    outcomes: dict[int, list[Outcome]] = {}
    for task in [*shared, *(task for task, _ in losses)]:
        if (before := kept(folder, task, seed)) is not None:
            outcomes[task.place] = before
    # fresh interpreters: a node under test moves into a network of its own
    with ProcessPoolExecutor(at_once, mp_context=multiprocessing.get_context("spawn")) as pool:
        played: dict[Future[Any], list[Task]] = {}
        lost = {pool.submit(_lose, task, failing, seed, folder, whole): task for task, failing in losses if task.place not in outcomes}
        blocks = _blocks([task for task in shared if task.place not in outcomes])
        # of each kind of node one before the second of any: what is wrong with a kind shows early
        for some in sorted(blocks, key=lambda some: [one[0].kind for one in blocks].index(some[0].kind) < blocks.index(some)):
            played[pool.submit(_block, some, seed, folder, whole)] = some
        simulated: list[Future[Outcome]] = []
        if name in SIMULATED and schedules:
            share = -(-schedules // at_once)
            simulated = [pool.submit(_simulate, seed + share * place, share) for place in range(at_once)]
        for one in as_completed([*played, *lost, *simulated]):
            if one in played:
                outcomes |= {task.place: [outcome] for task, outcome in zip(played[one], one.result(), strict=True)}
            elif one in lost:
                outcomes[lost[one].place] = one.result()
            else:
                _say(one.result(), "")
    in_order = [outcomes[place] for place in sorted(outcomes)]
    return [each[0] for each in in_order], [*(each[1] for each in in_order if each[1:]), *_joined([one.result() for one in simulated])]


def _joined(parts: list[Outcome]) -> list[Outcome]:
    if not parts:
        return []
    whole = total(parts)
    whole.name = SIMULATED
    return [whole]


def _say(outcome: Outcome, before: str) -> None:
    said = ""
    if not outcome.good:
        said = f"  WRONG: {outcome.lost} {outcome.doubled} {outcome.orphaned} kept in {outcome.kept} " + "\n".join(outcome.broken)
    print(f"   … {before}{outcome.name}: {outcome.rounds} rounds, {outcome.hit} hit, {outcome.seconds:.0f} s{said}", flush=True)
