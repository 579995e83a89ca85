"""The configuration and the journal as a verb needs them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

if TYPE_CHECKING:
    from node.journal.journal import Journal
    from node.settings.config import Config

ConfigOption: TypeAlias = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="The configuration (default: HILUM_CONFIG, ./hilum.yaml, /etc/hilum/hilum.yaml)."),
]
JsonOption: TypeAlias = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="JSON on stdout, for scripts.")]


def configuration(given: Path | None) -> "Config":
    """The configuration that `--config` names, or the one that is here."""
    from node.assembly.configuration import load
    from node.settings.load import find_config

    return load(find_config(given))


@contextlib.contextmanager
def journal(given: Path | None) -> Iterator["tuple[Config, Journal]"]:
    """The configuration and its journal, closed afterwards."""
    import logging

    from node.assembly.compose import open_journal
    from node.observe.events import start_events

    start_events("command", logging.WARNING)  # the node's own events are not what an operator asked for
    config = configuration(given)
    opened = open_journal(config)
    try:
        yield config, opened
    finally:
        opened.close()
