"""`python -m bench.few_labels hippocampus|chest DATA`: what pre-training without labels is worth at 1, 5 and 20 % of the labels.

Sets, held-out patients and steps are those of `bench.label_sets`; the labelled patients of a seed are the same for every arm. Each is kept
in OUT and not run again, a seed after the other, so that a run that was ended has whole seeds; the table is of those, and written to
OUT/few-labels.json. `--seeds 0` prepares the set alone, `--table` makes the table of what is kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.label_sets import Place, asked_of, ended, few, held_out, learned, side_by_side, together
from bench.rows import say
from training.checkpoint import save_json
from training.evaluation.bootstrap import over_patients
from training.pretraining.beginning import PRETRAINED, Beginning, begun, begun_with
from training.pretraining.pretexts import By
from training.progress import Silent
from training.ranks import Ranks

SHARES = (0.01, 0.05, 0.2)
SCRATCH = "from scratch"
ARMS = (SCRATCH, *By)


def cell(out: Path, arm: str, share: float, seed: int) -> Path:
    """What is kept of a training: how many cases, seconds, and the figure or score of each held-out case."""
    return out / f"{arm} {share:g} {seed}" / "scores.json"


def run(place: Place, arm: str, seed: int) -> None:
    """All shares of the labels of an arm, behind its pre-training where it has one."""
    bench, compute = place.bench(), place.compute()
    recipe = bench.recipe
    if arm != SCRATCH and not all(cell(place.out, arm, share, seed).is_file() for share in SHARES):
        before = place.out / f"{arm} {seed}"
        if not (before / PRETRAINED).is_file():
            asked = Beginning(by=By(arm), epochs=bench.pretrain_epochs)
            begun(recipe, bench.sides, before, asked, replace(recipe.schedule, seed=seed), Ranks(compute=compute), Silent(), say)
        recipe = begun_with(recipe, before / PRETRAINED, bench.sides, say)
    for share in SHARES:
        kept = cell(place.out, arm, share, seed)
        if kept.is_file():
            continue
        labelled = few(bench.sides.train, share, seed)
        own, network, took_s = learned(bench, recipe, labelled, seed, kept.parent, compute)
        found = bench.of_cases(own, network, bench.sides.test)
        save_json(
            kept,
            {"cases": len(labelled), "patients": len({case.patient for case in labelled}), "took_s": took_s, "scores": found.tolist()},
        )
        say(f"{place.set}, {arm}, {share:g}, seed {seed}: {len(labelled)} cases, {took_s:.0f} s")


def whole(out: Path) -> list[int]:
    """The seeds of which all was trained."""
    begun = sorted({int(each.parent.name.rpartition(" ")[2]) for each in out.glob(f"{SCRATCH} */scores.json")})
    return [seed for seed in begun if all(cell(out, arm, share, seed).is_file() for arm in ARMS for share in SHARES)]


def table(out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Of each share and arm the figure by seed and its mean, and by how much it is ahead of training from scratch: the interval is over
    held-out patients and seeds, the same ones drawn of both."""
    figure, patients, positive = held_out(out)
    named = {(arm, share) for arm in ARMS for share in SHARES}
    cells = {(*each, seed): json.loads(cell(out, *each, seed).read_text(encoding="utf-8")) for each in named for seed in seeds}
    scores = {key: np.array(found["scores"], dtype=np.float64) for key, found in cells.items()}

    def of(arm: str, share: float, seed: int, drawn: NDArray[np.intp]) -> float:
        return together(scores[arm, share, seed][drawn], None if positive is None else positive[drawn])

    every = np.arange(len(patients))
    rows = []
    for share in SHARES:
        for arm in ARMS:
            turns = np.random.default_rng(0)

            def ahead(drawn: NDArray[np.intp], arm: str = arm, share: float = share, turns: np.random.Generator = turns) -> float:
                those = turns.choice(seeds, len(seeds))
                return float(np.mean([of(arm, share, seed, drawn) - of(SCRATCH, share, seed, drawn) for seed in those]))

            by_seed = [of(arm, share, seed, every) for seed in seeds]
            scratch = [of(SCRATCH, share, seed, every) for seed in seeds]
            rows.append(
                {
                    "share": share,
                    "arm": arm,
                    "cases": [cells[arm, share, seed]["cases"] for seed in seeds],
                    "longest_s": max(cells[arm, share, seed]["took_s"] for seed in seeds),
                    "figure": float(np.mean(by_seed)),
                    "seeds": by_seed,
                    "ahead": None if arm == SCRATCH else [float(np.mean(by_seed) - np.mean(scratch)), *over_patients(ahead, patients)],
                }
            )
    return {"figure": figure, "test": len(patients), "patients": len(set(patients)), "seeds": list(seeds), "rows": rows}


def lines(found: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    columns = ("labels", "training cases", "first weights", f"{found['figure']}, mean", "by seed", "ahead of scratch (95 %)")
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    told = []
    for row in found["rows"]:
        by_seed = ", ".join(f"{one:.3f}" for one in row["seeds"])
        ahead = "–" if row["ahead"] is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row["ahead"])
        cases = "–".join(dict.fromkeys(str(one) for one in (min(row["cases"]), max(row["cases"]))))
        told.append(f"| {row['share']:.0%} | {cases} | {row['arm']} | {row['figure']:.3f} | {by_seed} | {ahead} |")
    return head + "\n".join(told) + f"\n\n{found['test']} held-out cases of {found['patients']} patients\n"


def main() -> int:
    """Run what was not run yet, and print the table."""
    asked = asked_of("few-labels")
    place, good = asked.place, True
    if not asked.table:
        asked.begin()
        with side_by_side(asked.jobs) as pool:
            good = ended([pool.submit(run, place, arm, seed) for seed in range(asked.seeds) for arm in ARMS])
    if seeds := whole(place.out):
        found = table(place.out, seeds)
        save_json(place.out / "few-labels.json", found)
        print(lines(found))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
