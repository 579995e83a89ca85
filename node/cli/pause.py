"""`hilum pause|resume`: hold back a route, a sink or an engine while intake goes on."""

from typing import TYPE_CHECKING, Literal, TypeAlias

from node.cli.ending import NothingFound
from node.cli.opened import ConfigOption, journal

if TYPE_CHECKING:
    from node.settings.config import Config

Kind: TypeAlias = Literal["route", "sink", "engine"]


def pause(kind: Kind, name: str, /, *, config: ConfigOption = None) -> None:
    """Hold back a route, a sink or an engine while intake goes on.

    What is at work is finished; nothing new is begun until `hilum resume`. The pause outlives a restart.

    Parameters
    ----------
    kind
        What is paused: jobs of a route, deliveries to a sink, or jobs on an engine.
    name
        Its name in the configuration.
    """
    from node.journal.port import Pausable

    with journal(config) as (loaded, opened):
        _named(loaded, kind, name)
        opened.pauses.add(Pausable(kind), name, opened.now())
    print(f'{kind} "{name}" is paused; `hilum resume {kind} {_quoted(name)}` lets it go on')


def resume(kind: Kind, name: str, /, *, config: ConfigOption = None) -> None:
    """Let a paused route, sink or engine go on.

    Parameters
    ----------
    kind
        What was paused.
    name
        Its name in the configuration.
    """
    from node.journal.port import Pausable

    with journal(config) as (_, opened):
        if not opened.pauses.remove(Pausable(kind), name):
            paused = [f'{was} "{called}"' for was, called, _ in opened.pauses.find()]
            raise NothingFound(f'{kind} "{name}" is not paused; paused: {", ".join(paused) or "nothing"}')
    print(f'{kind} "{name}" goes on')


def _named(config: "Config", kind: Kind, name: str) -> None:
    """Refuse a name that the configuration does not know: pausing it would hold back nothing."""
    from node.journal.claims import pausable
    from node.journal.port import Pausable
    from node.settings.source import suggestion

    known = pausable(config)[Pausable(kind)]
    if name not in known:
        raise NothingFound(f'unknown {kind} "{name}"{suggestion(name, known)}')


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
