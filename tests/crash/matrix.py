"""Plays the rows of the matrix, some houses at once, and keeps what came out."""

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.crash import faults, kills, losing
from tests.crash.house import House
from tests.crash.rows import Outcome, Row, total
from tests.lab.loopback import loopback_only
from tests.lab.postgres import Postgres

SIMULATED = "simulated schedules"
_LEAST = 2
_LOSS_WEIGHT = 2.0
_KEPT = 3000  # of what a broken round said


def _selected(name: str) -> list[tuple[str, str, float]]:
    """(house, row, weight): everything with durability `each` on SQLite, the kills also with the other level and on PostgreSQL."""
    everything = [("", row) for row in [*kills.rows(), *faults.rows()]]
    everything += [("durability association", row) for row in kills.rows() if row.name.startswith(("receive", "index", "any"))]
    everything += [("PostgreSQL", row) for row in kills.rows()]
    share = {"": 1.0, "durability association": 0.7, "PostgreSQL": 0.5}
    found = [(house, row.name, row.weight * share[house]) for house, row in everything]
    return [one for one in found if name in _title(one[0], one[1])]


def _title(house: str, row: str) -> str:
    return f"{row} ({house})" if house else row


def _row(name: str) -> Row:
    return next(row for row in [*kills.rows(), *faults.rows()] if row.name == name)


def play(house_kind: str, row: Row, rounds: int, seed: int, folder: Path) -> Outcome:
    """Rounds of one row in a house of their own; one that does not end is noted, and a new house is built."""
    outcome = Outcome(name=_title(house_kind, row.name))
    began = time.monotonic()
    number = 0
    with loopback_only():
        while number < rounds:
            place = folder / f"house-{number}"
            try:
                number = _in_one_house(house_kind, row, number, rounds, seed, place, outcome)
                shutil.rmtree(place, ignore_errors=True)
            except Exception:  # noqa: BLE001  (whatever went wrong is the outcome of the round)
                outcome.broken.append(f"round {number}, --seed {seed}: {traceback.format_exc()[-_KEPT:]}")
                outcome.rounds = number = outcome.rounds + 1
    outcome.seconds = time.monotonic() - began
    return outcome


def _in_one_house(kind: str, row: Row, number: int, rounds: int, seed: int, place: Path, outcome: Outcome) -> int:
    if kind == "PostgreSQL":
        with Postgres(place) as server:
            return _rounds(House(place, journal=server.url), row, number, rounds, seed, outcome)
    return _rounds(House(place, durability="association" if kind else "each"), row, number, rounds, seed, outcome)


def _rounds(house: House, row: Row, number: int, rounds: int, seed: int, outcome: Outcome) -> int:
    with house:
        while number < rounds:
            draw = random.Random(f"{seed}/{row.name}/{number}")
            outcome.hit += row.ways[(number + seed) % len(row.ways)](house, draw)
            number += 1
            outcome.rounds = number
        outcome.add(house.audit())
    return number


def _task(house: str, name: str, rounds: int, seed: int, folder: str) -> Outcome:
    return play(house, _row(name), rounds, seed, Path(folder))


def _lose(seed: int, folder: str, rounds: int, failing: bool) -> tuple[Outcome, Outcome]:
    began = time.monotonic()
    with loopback_only():
        looked, started = losing.play(Path(folder), rounds, seed, failing=failing)
    started.seconds = time.monotonic() - began
    shutil.rmtree(folder, ignore_errors=True)
    return looked, started


def _simulate(seed: int, schedules: int) -> Outcome:
    """Play schedules in an interpreter whose sets have an order that a seed can rely on."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.crash.simulation", "--seed", str(seed), "--schedules", str(schedules)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False)
    broken = [] if done.returncode == 0 else [done.stdout[-_KEPT:] + done.stderr[-_KEPT:]]
    return Outcome(name=SIMULATED, rounds=schedules, hit=schedules, broken=broken, seconds=time.monotonic() - began)


def matrix(name: str, rounds: int, schedules: int, seed: int, at_once: int, folder: Path) -> tuple[list[Outcome], list[Outcome]]:
    """Play what has `name` in its name, some houses at once: (rounds with a real node, what was looked at or simulated without one)."""
    chosen = _selected(name)
    losses = [failing for failing in (False, True) if name in losing.name_of(failing)]
    whole = sum(weight for _, _, weight in chosen) + _LOSS_WEIGHT * len(losses)
    # fresh interpreters: a house moves into a network of its own
    with ProcessPoolExecutor(at_once, mp_context=multiprocessing.get_context("spawn")) as pool:
        real: list[Future[Any]] = []
        for place, (house, row, weight) in enumerate(chosen):
            count = max(_LEAST, round(rounds * weight / whole))
            real.append(pool.submit(_task, house, row, count, seed, str(folder / f"{place:02d}")))
        for failing in losses:
            count = max(_LEAST, round(rounds * _LOSS_WEIGHT / whole))
            real.append(pool.submit(_lose, seed, str(folder / f"loss-{failing}"), count, failing))
        simulated: list[Future[Any]] = []
        if name in SIMULATED and schedules:
            share = -(-schedules // at_once)
            simulated = [pool.submit(_simulate, seed + share * place, share) for place in range(at_once)]
        for task in as_completed([*real, *simulated]):
            for outcome in task.result() if isinstance(task.result(), tuple) else [task.result()]:
                _say(outcome)
    played = [each for task in real for each in (task.result()[1:] if isinstance(task.result(), tuple) else [task.result()])]
    looked = [task.result()[0] for task in real if isinstance(task.result(), tuple)]
    return played, [*looked, *_joined([task.result() for task in simulated])]


def _joined(parts: list[Outcome]) -> list[Outcome]:
    if not parts:
        return []
    whole = total(parts)
    whole.name = SIMULATED
    return [whole]


def _say(outcome: Outcome) -> None:
    said = "" if outcome.good else f"  WRONG: {outcome.lost} {outcome.doubled} {outcome.orphaned} " + "\n".join(outcome.broken)
    print(f"   … {outcome.name}: {outcome.rounds} rounds, {outcome.hit} hit, {outcome.seconds:.0f} s{said}", flush=True)
