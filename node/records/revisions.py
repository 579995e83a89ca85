"""Which process goes by which revision of the configuration, and whether hosts that share one journal go by different ones.

Each host has a file of its own, and takes it up when it is told to there. One process of all settles and routes, whichever leads: where
hosts decide by different routes, the same study is decided otherwise when another one leads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from node.domain.config_revision import ConfigRevision
from node.settings.kept_text import differing_blocks

if TYPE_CHECKING:
    from node.journal.journal import Journal

SILENT = timedelta(seconds=60)
"""A process that gave no sign of life for so long goes by nothing."""
_OF_ONE_HOST = frozenset({"node", "store", "models", "audit", "console", "observe"})
"""Blocks in which hosts may differ: addresses, folders, who is told."""
_ADOPTED_WITHIN = timedelta(seconds=60)
"""A reload reaches every process of a host, and its next sign of life, within less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """A process that lives ("flow host-1a2b3c:71") and the newest revision that reads as what it goes by; None: that is not kept yet."""

    name: str
    revision: ConfigRevision | None

    @property
    def host(self) -> str:
        """Where it runs."""
        return self.name.partition(" ")[2].rpartition(":")[0]


def running(journal: "Journal") -> list[RunningProcess]:
    """The processes that give signs of life and say by what they go, by name."""
    return _running(journal.processes.beats(), journal.config_revisions.find(), journal.now())


def _running(beats: Mapping[str, tuple[datetime, str]], revisions: Sequence[ConfigRevision], now: datetime) -> list[RunningProcess]:
    newest: dict[str, ConfigRevision] = {}
    for one in revisions:
        newest.setdefault(one.text_digest, one)
    # a spool's sign of life says up to when it is empty, and goes by nothing
    alive = {name: said for name, (at, said) in beats.items() if now - at <= SILENT and not name.startswith("spool ")}
    return [RunningProcess(name=name, revision=newest.get(said)) for name, said in sorted(alive.items())]


def revisions_apart(processes: Sequence[RunningProcess], now: datetime) -> str:
    """What is to be said of processes that go by revisions with different meanings; "" where none do, or one has just come into force."""
    known = {one.revision.number: one.revision for one in processes if one.revision is not None}
    if len(known) < 2:
        return ""
    first, *others = known.values()
    differ = sorted({name for one in others for name in differing_blocks(first.text, one.text, Path(one.path))} - _OF_ONE_HOST)
    if not differ or any(now - one.at < _ADOPTED_WITHIN for one in known.values()):
        return ""
    by = {number: sorted({one.host for one in processes if one.revision and one.revision.number == number}) for number in sorted(known)}
    told = ", ".join(f"{' and '.join(hosts)} by revision {number}" for number, hosts in by.items())
    blocks = " and ".join(f"`{name}:`" for name in differ)
    return f"hosts go by configurations that differ in {blocks}: {told}. Studies are decided by whichever of them leads"
