"""hilum.yaml as this hilum reads it: the kinds of sinks and of results that there are, handed to the settings, which stand below them."""

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from node.domain.errors import ConfigError
from node.results import kinds as results
from node.settings import load as reading
from node.settings.config import Config
from node.settings.rewriting import block_alone
from node.settings.source import read
from node.sinks import kinds as sinks

_FILE = "sqlite:"
HILUM = reading.hilum(sinks.KINDS, results.KINDS)
"""All that may stand in the file."""


def load(path: Path, *, applications: Collection[str] | None = None, coming: Sequence[Path] = (), text: bytes | None = None) -> Config:
    """Decode a configuration file; see `node.settings.load.load`."""
    return reading.load(path, HILUM, applications=applications, coming=coming, text=text)


def waiting_keys(one: Config, other: Config) -> list[str]:
    """The keys that wait for a restart and differ in two configurations."""
    return reading.waiting_keys(HILUM, one, other)


def changed_blocks(one: Config, other: Config) -> tuple[str, ...]:
    """The blocks that a reload takes up in which two configurations differ."""
    return reading.changed_blocks(HILUM, one, other)


def load_store(path: Path) -> Config:
    """The configuration; of a file that is broken elsewhere, what its block `store:` says, which is enough to find the journal.

    Raises
    ------
    ConfigError
        The file is broken, and that block too, or there is no journal where it says.
    """
    text = read(path)
    try:
        return load(path, text=text)
    except ConfigError as broken:
        with contextlib.suppress(ConfigError):
            store = load(path, text=block_alone(text, "store") or b"store: {}\n")
            journal = store.store.journal
            if not journal.startswith(_FILE) or Path(journal.removeprefix(_FILE)).exists():  # a command would make a new one
                return store
        raise broken


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, for editors."""
    return reading.schema(HILUM)
