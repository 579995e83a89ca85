"""`python -m bench.federated DATA`: what several sites learn together by nvflare, beside all their data in one place and each site alone.

DATA is a folder of children's chest radiographs (train.zip and train.csv, of Kermany and others 2018), here at 64 × 64. Persons are parted
into two sites, or three, of unequal size, anew for each of three seeds; the same 400 films of other persons judge every network. The sites
are `hilum federate`'s: nvflare's simulator, a process for each site, FedAvg. Each training is kept in OUT and not run again; the table is
printed, and written to OUT/federated.json.
"""

import argparse
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.rows import say
from training import recipes
from training.checkpoint import save_json
from training.data.cases import Case
from training.evaluation.bootstrap import over_patients
from training.evaluation.classification import auc
from training.federated.asked import Federated, Privacy, Site
from training.federated.job import simulate
from training.fit import trained
from training.planning import GROUPS, Asked
from training.progress import Silent
from training.ranks import Ranks
from training.recipe import Schedule
from training.tasks.answers import Answerer

SEEDS = (0, 1, 2)
SHARES: Mapping[int, tuple[float, ...]] = {2: (0.6, 0.4), 3: (0.45, 0.3, 0.25)}
ROUNDS, LOCAL_EPOCHS, BATCH, RATE = 6, 2, 16, 1e-3
LEARNED, JUDGING = 300, 400
"""Films, about."""
SIDE = 64
EPSILON = 8.0
POOLED = "pooled"
BAR = 0.01


def _place(text: str) -> float:
    """A number from 0 to 1 that hangs on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


class Films:
    """Films of DATA, smaller, as folders with a table each."""

    def __init__(self, data: Path, out: Path) -> None:
        self._archive, self._out = zipfile.ZipFile(data / "train.zip"), out
        with (data / "train.csv").open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if not row["exact_duplicate_group"] and not row["patient_in_other_split"]]
        # by person, in an order that no seed moves
        rows.sort(key=lambda row: (_place(row["patient"]), row["file"]))
        self._judging = rows[:JUDGING]
        self._rest = [row for row in rows[JUDGING:] if row["patient"] != rows[JUDGING - 1]["patient"]]

    def judging(self) -> Path:
        """Of persons whom no site has."""
        return self._written("judging", self._judging)

    def sites(self, seed: int, count: int) -> list[Path]:
        """One folder a site; the persons of a seed are the same for two sites and for three."""
        own = self._of_seed(seed)[:LEARNED]
        ends = np.cumsum(SHARES[count])
        parts: list[list[dict[str, str]]] = [[] for _ in ends]
        for row in own:
            at = _place(f"{seed} site {row['patient']}")
            parts[min(int(np.searchsorted(ends, at)), count - 1)].append(row)
        return [self._written(f"seed-{seed}/{count}/site-{place + 1}", part) for place, part in enumerate(parts)]

    def pooled(self, seed: int) -> Path:
        """All of a seed's films in one place."""
        own = self._of_seed(seed)[:LEARNED]
        return self._written(f"seed-{seed}/{POOLED}", own)

    def further(self, seed: int, count: int) -> Path:
        """Of persons whom no site of a seed has, and who judge nothing; more of them hold the fewer."""
        own = self._of_seed(seed)
        return self._written(
            f"seed-{seed}/further-{count}", [row for row in own[LEARNED:] if row["patient"] != own[LEARNED - 1]["patient"]][:count]
        )

    def taken(self, film: Image.Image, name: str) -> Image.Image:
        """A film as it was taken."""
        return film

    def _of_seed(self, seed: int) -> list[dict[str, str]]:
        return sorted(self._rest, key=lambda row: (_place(f"{seed} {row['patient']}"), row["file"]))

    def _written(self, name: str, rows: Sequence[Mapping[str, str]]) -> Path:
        folder = self._out / "films" / name
        table = folder / "table.csv"
        if table.is_file():
            return folder
        for row in rows:
            path = folder / row["file"].replace(".jpeg", ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            film = Image.open(io.BytesIO(self._archive.read(self._inside(row["file"])))).convert("L")
            self.taken(film.resize((SIDE, SIDE), Image.Resampling.BOX), row["file"]).save(path)
        with table.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines)
            writer.writerow(["file", "patient", "pneumonia"])
            writer.writerows([row["file"].replace(".jpeg", ".png"), row["patient"], int(row["class"] != "normal")] for row in rows)
        return folder

    def _inside(self, file: str) -> str:
        return file if file in _names(self._archive) else next(name for name in _names(self._archive) if name.endswith(file))


@cache
def _names(archive: zipfile.ZipFile) -> frozenset[str]:
    return frozenset(archive.namelist())


def asked(folder: Path | None, norm: str | None = None) -> Asked:
    """What every training is asked for."""
    labels = ("table.csv",) if folder is None else (str(folder / "table.csv"),)
    return Asked(name="pneumonia", labels=labels, target=("pneumonia",), window=(1, SIDE, SIDE), modality="DX", norm=norm)


def alone(folder: Path, run: Path, seed: int, norm: str | None = None) -> Path:
    """Train on one folder, as many epochs as sites do together; the run."""
    recipe = recipes.begun("classification", folder, run, seed, asked(folder, norm), say)
    epochs = ROUNDS * LOCAL_EPOCHS
    schedule = Schedule(epochs=epochs, batch=BATCH, learning_rate=RATE, patience=epochs, seed=seed)
    recipe.fit(recipe.sides(folder, seed), run, schedule, Ranks(), Silent())
    return run


def together(folders: Sequence[Path], run: Path, seed: int, epsilon: float | None = None) -> Path:
    """Train over sites by nvflare; the first site's run, whose network is everybody's."""
    federated = Federated(
        recipe="classification",
        run="run",
        rounds=ROUNDS,
        local_epochs=LOCAL_EPOCHS,
        seed=seed,
        batch=BATCH,
        learning_rate=RATE,
        asked=asked(None, None if epsilon is None else GROUPS),
        privacy=None if epsilon is None else Privacy(epsilon=epsilon),
    )
    sites = {one.name: Site(data=one, runs=run / one.name, labels=str(one / "table.csv"), device="cpu") for one in folders}
    simulate(run, federated, sites)
    return run / folders[0].name / "run"


def judged(run: Path, cases: Sequence[Case]) -> NDArray[np.float64]:
    """What a run's best network says of every film that judges."""
    kept = run / "judged.json"
    if not kept.is_file():
        recipe = recipes.load("classification", run)
        assert isinstance(recipe, Answerer)
        network, _ = trained(recipe, run)
        save_json(kept, recipe.logits(network, cases)[:, -1].tolist())
    return np.array(json.loads(kept.read_text(encoding="utf-8")))


def table(data: Path, out: Path, private: bool) -> dict[str, Any]:
    """Every training of every seed, judged; of each arm the mean over seeds, and by how much the federated one is ahead of it."""
    films = Films(data, out)
    judging = films.judging()
    whole = recipes.begun("classification", judging, out / "judging", 0, asked(judging), say).sides(judging, 0)
    cases = sorted((*whole.train, *whole.validation, *whole.test), key=lambda case: case.name)
    truth, patients = np.array([case.labels[-1] > 0 for case in cases]), [case.patient for case in cases]
    said: dict[str, list[NDArray[np.float64]]] = {}

    def arm(name: str, run: Path) -> None:
        said.setdefault(name, []).append(judged(run, cases))
        say(f"{name}: AUC {auc(said[name][-1], truth):.4f}")

    for seed in SEEDS:
        there = out / f"seed-{seed}"
        arm(POOLED, alone(films.pooled(seed), there / POOLED, seed))
        for count in SHARES:
            sites = films.sites(seed, count)
            arm(f"{count} sites", together(sites, there / f"{count}-sites", seed))
            for one in sites:
                arm(f"{one.name} of {count} alone", alone(one, there / f"{count}-alone" / one.name, seed))
        if private:
            arm(f"2 sites, ε {EPSILON:g}", together(films.sites(seed, 2), there / "2-sites-private", seed, EPSILON))

    def mean(name: str, drawn: NDArray[np.intp]) -> float:
        return float(np.mean([auc(one[drawn], truth[drawn]) for one in said[name]]))

    everybody = np.arange(len(cases))
    rows = []
    for name, each in said.items():
        row: dict[str, Any] = {"arm": name, "seeds": [auc(one, truth) for one in each], "auc": mean(name, everybody)}
        row["interval"] = over_patients(partial(mean, name), patients)
        if name != POOLED:

            def ahead(drawn: NDArray[np.intp], name: str = name) -> float:
                return mean(name, drawn) - mean(POOLED, drawn)

            row["ahead of pooled"] = [ahead(everybody), *over_patients(ahead, patients)]
        if name.endswith("alone"):
            federated = f"{name.split()[2]} sites"

            def behind(drawn: NDArray[np.intp], name: str = name, federated: str = federated) -> float:
                return mean(federated, drawn) - mean(name, drawn)

            row["federated is ahead by"] = [behind(everybody), *over_patients(behind, patients)]
        rows.append(row)
    return {"films": len(cases), "persons": len(set(patients)), "rows": rows}


def lines(found: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    head = ("trained on", "AUC, mean", "95 %", "by seed", "ahead of pooled (95 %)", "federated is ahead by (95 %)")
    told = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in found["rows"]:
        seeds = ", ".join(f"{one:.3f}" for one in row["seeds"])
        differences = [_signed(row.get(name)) for name in ("ahead of pooled", "federated is ahead by")]
        low, high = row["interval"]
        told.append(f"| {row['arm']} | {row['auc']:.4f} | {low:.4f} to {high:.4f} | {seeds} | {' | '.join(differences)} |")
    return "\n".join(told) + "\n"


def _signed(values: Sequence[float] | None) -> str:
    return "–" if values is None else "{:+.4f} ({:+.4f} to {:+.4f})".format(*values)


def main() -> None:
    """Run what was not run yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.federated")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("var/federated-bench"))
    parser.add_argument("--private", action="store_true", help="two sites with differentially private steps besides")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = table(given.data, given.out.resolve(), given.private)
    save_json(given.out / "federated.json", found)
    print(lines(found))


if __name__ == "__main__":
    main()
