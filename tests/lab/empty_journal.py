"""A journal at the present schema without a row, made once a process and copied: making one has tests of its own."""

import tempfile
from functools import cache
from pathlib import Path

from node.journal.journal import Journal


def make(url: str) -> str:
    """Put one at `url` unless it names no file, or one that is there; the URL."""
    kind, _, path = url.partition(":")
    if kind == "sqlite" and not Path(path).exists():
        copy = Path(f"{path}.copy")
        copy.parent.mkdir(parents=True, exist_ok=True)  # as opening one does
        copy.write_bytes(_made())
        copy.rename(path)
    return url


@cache
def _made() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        Journal.open(f"sqlite:{path}").close()
        return path.read_bytes()
