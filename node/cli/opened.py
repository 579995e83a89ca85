"""The configuration, the journal, and a moment (`--since`) as a verb needs them."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
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


def configuration_beside(repository: Path | None, given: Path | None) -> "Config | None":
    """The same for a verb that takes `--repository`: None where that is given and there is no configuration."""
    from node.settings.source import ConfigMissing

    try:
        return configuration(given)
    except ConfigMissing:
        if repository is None or given is not None:
            raise
        return None


def configured_store(given: Path | None) -> "Config":
    """The same; of a file that is broken elsewhere, its block `store:` alone."""
    from node.assembly.configuration import load_store
    from node.settings.load import find_config

    return load_store(find_config(given))


@contextlib.contextmanager
def journal(given: Path | None, *, read: "Callable[[Path | None], Config]" = configuration) -> Iterator["tuple[Config, Journal]"]:
    """The configuration and its journal, closed afterwards."""
    import logging

    from node.assembly.compose import open_journal
    from node.observe.events import start_events

    start_events("command", logging.WARNING)  # the node's own events are not what an operator asked for
    config = read(given)
    opened = open_journal(config)
    try:
        yield config, opened
    finally:
        opened.close()


def moment(text: str, now: datetime) -> datetime:
    """When `text` says: so long ago, or a date with or without a time, in UTC.

    Raises
    ------
    WrongWords
        It says no such thing.
    """
    from node.cli.ending import WrongWords
    from node.records.words import since

    try:
        return since(text, now)
    except ValueError as neither:
        raise WrongWords(f"--since {neither}") from neither
