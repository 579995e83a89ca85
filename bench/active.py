"""`python -m bench.active hippocampus|chest DATA`: which patients to label next: by chance, by entropy, or spread over what a network sees.

Sets, held-out patients and steps are those of `bench.label_sets`, choices those of `training.choosing`. The first labels are the same
for every choice of a seed; then each choice names the patients of the next round, and a network is trained from scratch of all that are
labelled by then. Each training is kept in OUT and not run again; the table is of whole seeds, and written to OUT/active.json.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.label_sets import Place, asked_of, ended, few, held_out, learned, side_by_side, together
from bench.rows import say
from training.checkpoint import save_json
from training.choosing.choices import Choice, core_set, most_unsure, of_patients
from training.choosing.seen import NetworkView
from training.data.cases import Case
from training.evaluation.bootstrap import over_patients

SHARES = (0.01, 0.03, 0.06, 0.12, 0.2)
"""Of the training patients, labelled after each round."""
RANDOM = "random"
CHOICES = (RANDOM, *Choice)
WANTED = 0.6
"""Of the labels of random's last round: its figure is to be reached with so many."""


def kept_of(out: Path, choice: str, number: int, seed: int) -> Path:
    """What is kept of a round: whom it was learned from, the figure or score of each held-out case, and whom the choices name next. The
    first is that of chance, whatever chooses then."""
    return out / f"{choice if number else RANDOM} {number} {seed}" / "round.json"


def run(place: Place, choice: str, seed: int, last: int = len(SHARES) - 1) -> None:
    """All rounds up to `last`."""
    bench, compute = place.bench(), place.compute()
    cases = bench.sides.train
    count = len({case.patient for case in cases})
    chosen = {case.patient for case in few(cases, SHARES[0], seed)}
    for number in range(last + 1):
        kept = kept_of(place.out, choice, number, seed)
        if not kept.is_file():
            labelled = [case for case in cases if case.patient in chosen]
            recipe, network, took_s = learned(bench, bench.recipe, labelled, seed, kept.parent, compute)
            scores = bench.of_cases(recipe, network, bench.sides.test)
            ended_here = number + 1 == len(SHARES)
            wanted = 0 if ended_here else round(SHARES[number + 1] * count) - len(chosen)
            pool = [case for case in cases if case.patient not in chosen]
            of = [] if ended_here else CHOICES if number == 0 else [choice]
            # the map of features is looked for on the processor
            view = NetworkView(recipe, network.cpu(), compute) if of else None
            following = {one: _next(view, one, labelled, pool, max(0, wanted), seed) for one in of if view is not None}
            told = {"patients": len(chosen), "cases": len(labelled), "took_s": took_s, "scores": scores.tolist(), "next": following}
            save_json(kept, told)
            say(f"{place.set}, {choice}, {SHARES[number]:g}, seed {seed}: {len(labelled)} cases, {took_s:.0f} s")
        if number < last:
            chosen |= set(json.loads(kept.read_text(encoding="utf-8"))["next"][choice])


def _next(view: NetworkView, choice: str, labelled: Sequence[Case], pool: Sequence[Case], count: int, seed: int) -> list[str]:
    """The patients of the next round."""
    patients = [case.patient for case in pool]
    if choice == RANDOM:
        return sorted(set(patients), key=lambda one: hashlib.sha256(f"{seed} next {one}".encode()).digest())[:count]
    unsure, features = view.of(pool)
    if choice == Choice.ENTROPY:
        named = most_unsure({one: float(value) for one, value in of_patients(patients, unsure).items()}, count)
    else:
        known = of_patients([case.patient for case in labelled], view.of(labelled)[1])
        named = core_set(np.stack(list(known.values())), of_patients(patients, features), count)
    return [one.patient for one in named]


def whole(out: Path) -> list[int]:
    """The seeds of which all was trained."""
    begun = sorted({int(each.parent.name.rpartition(" ")[2]) for each in out.glob(f"{RANDOM} 0 */round.json")})
    rounds = range(len(SHARES))
    return [seed for seed in begun if all(kept_of(out, choice, at, seed).is_file() for choice in CHOICES for at in rounds)]


def table(out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Of each choice and round the figure, by how much it is ahead of chance with as many patients, and of chance's last round; intervals
    are over held-out patients and seeds, the same ones drawn of both. Then with how many labels each choice was first as good as that."""
    figure, patients, positive = held_out(out)
    rounds = range(len(SHARES))
    kept = {
        (choice, at, seed): json.loads(kept_of(out, choice, at, seed).read_text(encoding="utf-8"))
        for choice in CHOICES
        for at in rounds
        for seed in seeds
    }
    scores = {key: np.array(found["scores"], dtype=np.float64) for key, found in kept.items()}
    every = np.arange(len(patients))

    def of(choice: str, at: int, seed: int, drawn: NDArray[np.intp]) -> float:
        return together(scores[choice, at, seed][drawn], None if positive is None else positive[drawn])

    def ahead(one: tuple[str, int], other: tuple[str, int]) -> list[float]:
        turns = np.random.default_rng(0)

        def mean(drawn: NDArray[np.intp], those: Sequence[int]) -> float:
            return float(np.mean([of(*one, seed, drawn) - of(*other, seed, drawn) for seed in those]))

        return [mean(every, list(seeds)), *over_patients(lambda drawn: mean(drawn, turns.choice(seeds, len(seeds)).tolist()), patients)]

    rows = []
    for choice in CHOICES:
        for at in rounds:
            by_seed = [of(choice, at, seed, every) for seed in seeds]
            rows.append(
                {
                    "choice": choice,
                    "share": SHARES[at],
                    "patients": float(np.mean([kept[choice, at, seed]["patients"] for seed in seeds])),
                    "cases": float(np.mean([kept[choice, at, seed]["cases"] for seed in seeds])),
                    "figure": float(np.mean(by_seed)),
                    "seeds": by_seed,
                    "ahead of random": None if choice == RANDOM or at == 0 else ahead((choice, at), (RANDOM, at)),
                    "ahead of random's last": ahead((choice, at), (RANDOM, rounds[-1])),
                }
            )
    return {"figure": figure, "test": len(patients), "patients": len(set(patients)), "seeds": list(seeds), "rows": rows}


def reached(found: Mapping[str, Any], choice: str, of: str) -> float | None:
    """With which share of the patients, or cases, of chance's last round the mean figure was first as good as there; None: never."""
    last = next(row for row in reversed(found["rows"]) if row["choice"] == RANDOM)
    own = [row for row in found["rows"] if row["choice"] == choice]
    return next((float(row[of] / last[of]) for row in own if row["figure"] >= last["figure"]), None)


def lines(found: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    columns = (
        "choice",
        "patients",
        "images",
        f"{found['figure']}, mean",
        "by seed",
        "ahead of random, as many patients (95 %)",
        "ahead of random's last (95 %)",
    )
    told = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in found["rows"]:
        aheads = [
            "–" if one is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*one)
            for one in (row["ahead of random"], row["ahead of random's last"])
        ]
        by_seed = ", ".join(f"{one:.3f}" for one in row["seeds"])
        told.append(
            f"| {row['choice']} | {row['patients']:.0f} | {row['cases']:.0f} | {row['figure']:.3f} | {by_seed} | {' | '.join(aheads)} |"
        )
    told += ["", f"{found['test']} held-out cases of {found['patients']} patients. Random's last figure was first reached:"]
    for choice in CHOICES:
        shares = {of: reached(found, choice, of) for of in ("patients", "cases")}
        said = ", ".join(f"never by {of}" if share is None else f"with {share:.0%} of its {of}" for of, share in shares.items())
        good = all(share is not None and share <= WANTED for share in shares.values())
        told.append(f"- {choice}: {said}" + ("" if choice == RANDOM else f" (wanted: {WANTED:.0%}; {'met' if good else 'not met'})"))
    return "\n".join(told) + "\n"


def main() -> int:
    """Run what was not run yet, and print the tables."""
    asked = asked_of("active")
    place, good = asked.place, True
    if not asked.table:
        asked.begin()
        with side_by_side(asked.jobs) as pool:
            firsts = [pool.submit(run, place, RANDOM, seed, 0) for seed in range(asked.seeds)]
            those = []
            for seed, first in enumerate(firsts):
                # all choices of a seed go on from it
                if first.exception() is None:
                    those += [pool.submit(run, place, choice, seed) for choice in CHOICES]
            good = ended([*firsts, *those])
    if seeds := whole(place.out):
        found = table(place.out, seeds)
        save_json(place.out / "active.json", found)
        print(lines(found))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
