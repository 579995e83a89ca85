"""Plays the rows of the matrix, some houses at once, and keeps what came out."""

import multiprocessing
import random
import shutil
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.crash import faults, kills
from tests.crash.house import House
from tests.crash.rows import Outcome, Row
from tests.lab.loopback import loopback_only
from tests.lab.postgres import Postgres

_LEAST = 2
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


def matrix(name: str, rounds: int, seed: int, at_once: int, folder: Path) -> list[Outcome]:
    """Play the rows whose names contain `name`; some houses at once."""
    chosen = _selected(name)
    whole = sum(weight for _, _, weight in chosen)
    outcomes: dict[tuple[str, str], Outcome] = {}
    # fresh interpreters: a house moves into a network of its own
    with ProcessPoolExecutor(at_once, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = {
            pool.submit(_task, house, row, max(_LEAST, round(rounds * weight / whole)), seed, str(folder / f"{place:02d}")): (house, row)
            for place, (house, row, weight) in enumerate(chosen)
        }
        for task in as_completed(tasks):
            outcome = outcomes[tasks[task]] = task.result()
            said = "" if outcome.good else f"  WRONG: {outcome.lost} {outcome.doubled} {outcome.orphaned} " + "\n".join(outcome.broken)
            print(f"   … {outcome.name}: {outcome.rounds} rounds, {outcome.hit} hit, {outcome.seconds:.0f} s{said}", flush=True)
    return [outcomes[house, row] for house, row, _ in chosen]
