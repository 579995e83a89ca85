"""A reload of the routes: what differs in a file that was edited, and what a supervisor answers to whoever asks it for one."""

import json
import time
from dataclasses import dataclass, fields
from typing import Any

from node.domain.errors import ConfigError
from node.settings.config import Config
from node.store.in_force import Serving

_BLOCKS = {"application_folders": "models"}
"""Fields of a configuration that stand in a block of another name."""
_APART = frozenset({"definitions", "digest", "routes", "text"})
"""What definitions say stands in the routes that ask by them."""


class NeedsRestart(ConfigError):
    """The file differs from what the node was started with in more than its routes."""

    code = "HLM-2100"
    remedy = "Restart `hilum serve` to put all of it in force, or take back what is not about routes and reload again."


class NoAnswer(ConfigError):
    """A running node was asked something, and did not answer in time."""

    code = "HLM-2067"
    remedy = "Look at its events, and ask again; `hilum health` says whether it still turns."


_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What came of a reload. `digest` names the routes in force now, `before` those until then; `code` and `reason` say why it was
    refused, and are empty otherwise."""

    path: str
    digest: str
    before: str
    routes: int
    code: str = ""
    reason: str = ""

    def text(self) -> str:
        """For whoever asked, in another process."""
        return json.dumps({field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def of(cls, text: str) -> "Reloaded":
        """What `text` said."""
        said: dict[str, Any] = json.loads(text)
        return cls(**said)


def answer_of(supervisor: Serving, token: str, patience_s: float) -> Reloaded:
    """What a supervisor says to a reload that it was asked for; it looks a few times a second.

    Raises
    ------
    NoAnswer
        It ended before, or takes too long.
    """
    until = time.monotonic() + patience_s
    while (said := supervisor.answered(token)) is None:
        if not supervisor.serves:
            raise NoAnswer(f"the node (process {supervisor.pid}) ended before it answered")
        if time.monotonic() > until:
            raise NoAnswer(f"the node (process {supervisor.pid}) did not answer within {patience_s:.0f} s")
        time.sleep(_LOOK_EVERY_S)
    return Reloaded.of(said)


def other_blocks(one: Config, other: Config) -> list[str]:
    """The top-level blocks, without `define:` and `routes:`, in which two configurations differ."""
    names = [field.name for field in fields(Config) if field.name not in _APART]
    return sorted({_BLOCKS.get(name, name) for name in names if getattr(one, name) != getattr(other, name)})
