"""The verb `hilum federate`; the command names it by string, nothing heavy comes with it."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from inference.engines.extras import demand
from training.errors import UnfitSetting


def federate(
    recipe: str,
    *,
    sites: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    job: Path | None = None,
    count: int | None = None,
    out: Path | None = None,
    rounds: int = 10,
    local_epochs: int = 2,
    batch: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["float32", "bf16"] = "float32",
    labels: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    target: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    spacing_mm: Annotated[tuple[float, float, float] | None, Parameter(negative="")] = None,
    window: Annotated[tuple[int, int, int] | None, Parameter(negative="")] = None,
    modality: str | None = None,
    name: str | None = None,
    epsilon: float | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train a recipe's network over several sites, whose images stay where they are: each learns, and the weights are averaged.

    Simulated on this machine with --sites, or written as a job for a server of nvflare with --job; docs/howto/several-hospitals.md says
    what every hospital does. Every site then has a run's folder as any other, which `hilum evaluate` and `hilum export` take. Called again,
    a simulation goes on after its last whole round.

    Parameters
    ----------
    recipe
        segmentation, classification, regression, or another with one network of structures.
    sites
        The folders of the sites, each with data as `hilum train --data` takes them; the site is called as its folder is.
    job
        Run nothing: write the job that is given to nvflare's server into this folder. It holds settings and no code.
    count
        With --job: how many sites there are.
    out
        Of a simulation: the folder with the sites' runs, OUT/SITE (default var/federated/RECIPE).
    rounds
        How often weights are averaged.
    local_epochs
        Of every site between two averages.
    batch
        Cases in one step of a site.
    learning_rate
        Of the first epoch; it falls to 0 along a cosine over all rounds.
    seed
        Of the split at every site, the first weights, the order and the augmentation.
    device
        What computes; with --job each site says its own.
    precision
        As of `hilum train`.
    labels
        As of `hilum train`; of a table that lies in each site's folder its name there.
    target
        As of `hilum train`.
    spacing_mm
        As of `hilum train`; where nothing is said the sites' plans are brought together.
    window
        As of `hilum train`; where nothing is said the sites' plans are brought together.
    modality
        As of `hilum train`.
    name
        Of the application that the model becomes.
    epsilon
        Recipe classification: differentially private steps (Opacus) at every site, with this ε for the whole training, and δ of 1e-5.
        What a site tells of counts and figures, and which round is taken by them, it does not cover.
    as_json
        Print what was agreed and found as JSON.
    """
    demand("hilum federate", "nvflare", *([] if epsilon is None else ["opacus"]))
    from training.federated.asked import Federated, Privacy, Site, site_name
    from training.federated.job import simulate, write_job
    from training.planning import GROUPS, Asked

    norm = None if epsilon is None else GROUPS
    asked = Asked(name=name, labels=labels, target=target, spacing_mm=spacing_mm, window=window, modality=modality, norm=norm)
    federated = Federated(
        recipe=recipe,
        run=recipe,
        rounds=rounds,
        local_epochs=local_epochs,
        seed=seed,
        batch=batch,
        learning_rate=learning_rate,
        precision=precision,
        asked=asked,
        privacy=None if epsilon is None else Privacy(epsilon=epsilon).checked(),
    ).checked()
    if job is not None:
        if sites or count is None or count < 2:
            raise UnfitSetting("--job goes with --count, two sites at the least, and without --sites: each site names its own folder")
        print(write_job(job, federated, count))
        return 0
    folders = {site_name(Path(one).resolve().name): Path(one).resolve() for one in sites}
    if len(sites) < 2 or len(folders) < len(sites):
        raise UnfitSetting(f"--sites {' '.join(sites)}: two folders at the least, no two of one name")
    if "server" in folders:
        raise UnfitSetting('--sites: a site called "server" is nvflare\'s own: name the folder otherwise')
    run = (out or Path("var/federated") / recipe).resolve()

    def labelled(folder: Path) -> str | None:
        return str(folder / labels[0]) if len(labels) == 1 and (folder / labels[0]).is_file() else None

    here = {name: Site(data=folder, runs=run / name, labels=labelled(folder), device=device) for name, folder in folders.items()}
    found = simulate(run, federated, here)
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    best = found["best"]
    Console().print(
        f"{run}: {len(here)} sites, {rounds} rounds, the best after round {best['after_rounds']}: {best['figure']:.4f}, weighed by cases; "
        + ", ".join(str(one.runs / federated.run) for one in here.values()),
        highlight=False,
        soft_wrap=True,
    )
    return 0
