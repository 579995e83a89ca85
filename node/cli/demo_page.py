"""The end of the demo for people: what stands in the archive, and what to do next."""

import shutil
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def tell(console: "Console", summary: dict[str, object], out: Path) -> None:
    """Objects, measurements, seconds and the picture, and what to do next."""
    from rich.table import Table

    objects = summary["objects"]
    measurements = summary["measurements"]
    assert isinstance(objects, list)
    assert isinstance(measurements, list)
    table = Table(title="What stands in the archive now", title_justify="left", box=None)
    for column in ("object", "series", "file"):
        table.add_column(column)
    for (kind, series), several in groupby(objects, lambda item: (str(item["kind"]).upper(), item["series_description"])):
        files = [Path(item["path"]).name for item in several]
        table.add_row(kind, series, files[0] if len(files) == 1 else f"{files[0]} … {files[-1]} ({len(files)} files)")
    console.print("[bold]4[/] Results came back by C-STORE\n")
    console.print(table)
    for measurement in measurements:
        of = measurement["segment"] or measurement["location"]
        about = f" of {of}" if of else ""
        value = measurement["value"]
        # a part of the hippocampus has a few cm3, a head two thousand
        said = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
        bound = "at least " if measurement["at_least"] else ""
        console.print(f"\n   {measurement['name']}{about}: [bold]{bound}{said} {measurement['unit']}[/]")
    for sentence in (*summary["cautions"], *summary["remarks"]):  # type: ignore[misc]
        console.print(f"\n   {sentence}")
    triton = summary.get("triton")
    if isinstance(triton, dict) and triton["computed"]:
        console.print("\n   Triton computed: " + ", ".join(f"{name} {count}×" for name, count in triton["computed"].items() if count))
    took = "  ".join(f"{stage} {value:.1f} s" for stage, value in summary["seconds"].items())  # type: ignore[attr-defined]
    console.print(f"\n   [dim]{took}[/]")
    console.print(f"\n   Picture: {summary['overlay']}")
    console.print("   Research, preliminary, unverified: not for diagnosis.\n")
    console.print("[bold]Next[/]")
    command = _command()
    console.print(f"   your own series     {command} demo --input PATH --out {out.name}")
    console.print("   a node of your own  copy config/hilum.yaml and name your PACS, then")
    console.print(f"                       {command} config check && {command} serve")
    console.print(f"   is all well?        {command} doctor")


def _command() -> str:
    """How this very command is called from here: by its name when the environment is active, else by its path."""
    own = Path(sys.executable).with_name("hilum")
    if shutil.which("hilum") == str(own):
        return "hilum"
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else str(own)
