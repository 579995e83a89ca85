"""A reload of the routes: what differs in a file that was edited, and what a supervisor answers to whoever asks it for one."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from node.domain.config_revision import ConfigRevision
from node.domain.errors import ConfigError
from node.settings.config import Config
from node.settings.kept_text import filled
from node.settings.rewriting import Written, replaced
from node.settings.source import read
from node.store.in_force import Loads, Serving

_BLOCKS = {"application_folders": "models"}
"""Fields of a configuration that stand in a block of another name."""
_APART = frozenset({"definitions", "digest", "routes", "text"})
"""What definitions say stands in the routes that ask by them."""


class NeedsRestart(ConfigError):
    """The file differs from what the node was started with in more than its routes."""

    code = "HLM-2100"
    remedy = "Restart `hilum serve` to put all of it in force, or take back what is not about routes and reload again."


class RevisionUnusable(ConfigError):
    """A configuration that was in force once would be refused now: an application, a file or a key of it is gone."""

    code = "HLM-2109"
    remedy = "Put back what the sentence names, or take over by hand what you want of it (`hilum config diff`). Nothing was changed."


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ComingBack:
    """A revision that may come back: what the file holds now, and what it would hold and say."""

    before: bytes
    whole: bytes
    config: Config

    def write(self) -> Written | None:
        """Put it into the file, if that is still what it was; None where it holds that already."""
        return None if self.whole == self.before else replaced(self.config.path, self.before, self.whole)


def coming_back(path: Path, revision: ConfigRevision, load: Loads, demand: Callable[[Config], None]) -> ComingBack:
    """What the file at `path` would hold with a revision in it, checked as a start checks it.

    Raises
    ------
    RevisionUnusable, ValueNotKept
        It cannot come back.
    """
    before = read(path)
    whole = filled(revision.text, before, path)
    try:
        config = load(path, text=whole)
        demand(config)
    except ConfigError as refused:
        raise RevisionUnusable(f"revision {revision.number} cannot come back: {refused} [{refused.code}]") from refused
    return ComingBack(before=before, whole=whole, config=config)


def other_blocks(one: Config, other: Config) -> list[str]:
    """The top-level blocks, without `define:` and `routes:`, in which two configurations differ."""
    names = [field.name for field in fields(Config) if field.name not in _APART]
    return sorted({_BLOCKS.get(name, name) for name in names if getattr(one, name) != getattr(other, name)})
