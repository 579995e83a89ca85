"""How pages about training from a table are typed as they stand, and what a node then says of the studies that were held out."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from tests.lab.here import hilum_here
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until

EPOCHS = "2"
_PATIENCE_S = 240


def typed(command: str, folder: Path) -> str:
    """Run a command of the page where its paths are relative to; a training is short."""
    words = shlex.split(command)
    assert words[0] == "hilum", command
    if "--epochs" in words:
        words[words.index("--epochs") + 1] = EPOCHS
    said = hilum_here(*words[1:], folder=folder)
    assert said.code == 0, said.out + said.err
    return said.out + said.err


def numbers(item: Dataset) -> list[float]:
    """Every number in a content tree."""
    own = [float(item.MeasuredValueSequence[0].NumericValue)] if item.get("MeasuredValueSequence") else []
    return own + [each for child in item.get("ContentSequence", ()) for each in numbers(child)]


def texts(item: Dataset) -> Iterator[str]:
    """Every text in a content tree."""
    if item.get("TextValue"):
        yield str(item.TextValue)
    for child in item.get("ContentSequence", ()):
        yield from texts(child)


def reports(folder: Path) -> dict[str, Dataset]:
    """The reports with coded findings that lie in a folder, by study."""
    read = (dcmread(path) for path in folder.rglob("*.dcm"))
    return {str(each.StudyInstanceUID): each for each in read if each.Modality == "SR"}


def serve(folder: Path, routes: Sequence[Any], studies: Collection[str]) -> None:
    """Send the studies, each a file of `folder`/studies, to a node with these routes; until each has its report in `folder`/results."""
    settings = configuration(
        folder / "node",
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"archive": {"kind": "folder", "path": str(folder / "results")}},
        routes=routes,
    )
    with Node(settings, folder / "node") as node:
        files = [folder / "studies" / f"{study.rpartition('.')[2]}.dcm" for study in studies]
        sent = hilum("send", *files, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
        assert sent.code == 0, sent.out + sent.err
        wait_until(lambda: reports(folder / "results").keys() == {*studies}, _PATIENCE_S, "every study has its report")
