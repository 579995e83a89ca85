"""Which process goes by which revision of the configuration, and whether hosts that share one journal go by different ones.

Each host has a file of its own, and takes it up when it is told to there. One process of all settles and routes, whichever leads: where
hosts decide by different routes, the same study is decided otherwise when another one leads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from node.domain.config_revision import ConfigRevision
from node.settings.kept_text import said

if TYPE_CHECKING:
    from node.journal.journal import Journal

SILENT = timedelta(seconds=60)
"""A process that gave no sign of life for so long goes by nothing."""
_OF_ONE_HOST = frozenset({"node", "store", "models", "audit", "console", "observe"})
"""Blocks in which hosts may differ: addresses, folders, who is told."""
_OF_ENGINES = frozenset({"kind", "allow_code"})
"""What has to be alike of an engine, beside its name: whether a model is computed at all. Its threads, memory and address are a host's."""
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


def running(journal: "Journal", beats: Mapping[str, tuple[datetime, str]], now: datetime) -> list[RunningProcess]:
    """The processes that give signs of life and say by what they go, by name; `beats` are those of the journal, `now` is its time."""
    # a spool's sign of life says up to when it is empty, and goes by nothing
    alive = {name: state for name, (at, state) in beats.items() if now - at <= SILENT and not name.startswith("spool ")}
    newest = journal.config_revisions.newest_of(set(alive.values()))
    return [RunningProcess(name=name, revision=newest.get(state)) for name, state in sorted(alive.items())]


def revisions_apart(processes: Sequence[RunningProcess], now: datetime) -> str:
    """What is to be said of processes that go by revisions with different meanings; "" where none do, or one has just come into force."""
    known = {one.revision.number: one.revision for one in processes if one.revision is not None}
    if len(known) < 2:
        return ""
    first, *others = (dict(_of_all_hosts(one)) for one in known.values())
    differ = sorted({where[0] for other in others for where in {*first, *other} if first.get(where) != other.get(where)})
    if not differ or any(now - one.at < _ADOPTED_WITHIN for one in known.values()):
        return ""
    by = {number: sorted({one.host for one in processes if one.revision and one.revision.number == number}) for number in sorted(known)}
    told = ", ".join(f"{' and '.join(hosts)} by revision {number}" for number, hosts in by.items())
    blocks = " and ".join(f"`{name}:`" for name in differ)
    return f"hosts go by configurations that differ in {blocks}: {told}. Studies are decided by whichever of them leads"


def _of_all_hosts(one: ConfigRevision) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a configuration says that has to be the same on all hosts, with the keys that lead to it."""
    for where, value in said(one.text, Path(one.path)).items():
        match where:
            case ("engines", name, *option):
                yield ("engines", name), ""
                if value is not None and _OF_ENGINES.issuperset(option) and option:
                    yield where, value
            case (block, *_) if value is not None and block not in _OF_ONE_HOST:
                yield where, value
