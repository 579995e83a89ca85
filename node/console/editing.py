"""What the pages of routes, peers and sinks ask of the file that they edit, and of those who try routes out: ports that the console's
process fills."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from node.console.file_differences import DiffLine
from node.domain.config_revision import ConfigRevision
from node.domain.errors import ConfigError

MOST_TEXT = 32_768
"""Characters of a block that are taken from a browser or a program."""


class LiveBlock(StrEnum):
    """A block of the configuration file that the console edits."""

    ROUTES = "routes"
    PEERS = "peers"
    SINKS = "sinks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A mistake, at a line of the file; `outside` of the block its words are left out, as they may quote what no page shows."""

    line: int
    column: int
    code: str
    words: str
    remedy: str
    outside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockInFile:
    """A block as the file has it, without values that may be secret.

    Attributes
    ----------
    line
        Its first line in the file.
    file_digest
        SHA-256 of the whole file: whoever saves names what was edited.
    revision, in_force
        What names the file's block (empty where the file is no good), and the one that the node goes by: of routes the digest of what they
        mean, of peers and sinks that of their text.
    obstacle
        Why saving will not succeed, as far as can be seen; empty: nothing is known against it.
    example
        An entry to begin with, of this file's own names.
    """

    block: LiveBlock
    path: str
    text: str
    line: int
    file_digest: str
    revision: str
    in_force: str
    obstacle: str
    problems: tuple[Problem, ...]
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What there is to say of an edited block; without problems `revision` is what it would be called, `entries` counts its routes, peers
    or sinks, and `differences` are the places in which the file of this digest would change, each with lines around it."""

    file_digest: str
    line: int
    revision: str
    entries: int
    problems: tuple[Problem, ...]
    differences: tuple[tuple[DiffLine, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """What a supervisor of this host said when it was asked to take the file up; `code` and `reason` where it refused."""

    pid: int
    digest: str
    before: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A block that stands in the file now. `kept` is where the file before lies, empty where nothing changed."""

    path: str
    line: int
    file_digest: str
    revision: str
    kept: str
    reloads: tuple[Reload, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a replay is. `differences` are the first of `found`; `studies` counts those that they are about, `routes` them by route. What
    is not compared is counted in `priors` and `urgencies` (node.routing.replay); `remarks` say what no study shows: versions and roles that
    no application here has, applications that are not accepted where a route asks for that, and routes of which nothing can run."""

    number: int
    by: str
    since: str
    revision: str
    state: str
    reason: str
    took_s: float
    arrivals: int
    decided: int
    forgotten: int
    priors: int
    urgencies: int
    found: int
    studies: int
    routes: dict[str, int]
    differences: Sequence[dict[str, Any]]
    remarks: Sequence[str] = ()


class EditRefused(ConfigError):
    """What was edited is no good; `problems` says why, as far as it may be shown."""

    code = "HLM-2106"
    remedy = "Correct the lines that are named, then try again."

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"line {one.line}: {one.code}" for one in problems))
        self.problems = tuple(problems)


class BlockEditing(Protocol):
    """A block of the file: shown, checked, saved.

    Every method may raise ConfigError, with what is wrong: EditRefused where that is what was edited.
    """

    def shown(self) -> BlockInFile:
        """The block as it stands in the file now."""
        ...

    def checked(self, text: str) -> Checked:
        """What is wrong with `text` in its place."""
        ...

    def saved(self, text: str, file_digest: str, by: str, address: str = "", reason: str = "") -> Saved:
        """Write it into the file that has this digest, and have the node take it up; an account asks for it, from an address."""
        ...


class Editing(BlockEditing, Protocol):
    """The file's routes, which are tried out too; its other blocks; and all of it where a revision comes back."""

    def of(self, block: LiveBlock) -> BlockEditing:
        """A block of the same file."""
        ...

    def asks_of(self, text: str) -> frozenset[str]:
        """The DICOM keywords that these routes ask for."""
        ...

    def explained(self, text: str, study: str) -> dict[str, Any]:
        """What they would decide about a study that was received, condition by condition. It may take seconds."""
        ...

    def replay(self, text: str, since: datetime, by: str) -> Progress:
        """Begin to replay them against what was received; what this account began before ends."""
        ...

    def progress(self, number: int) -> Progress | None:
        """How far it is; None: no such replay is known any more."""
        ...

    def stop(self, number: int) -> None:
        """End a replay."""
        ...

    def file_and(self, one: ConfigRevision) -> tuple[str, str]:
        """The text of a revision and that of the file now, both without what may be secret."""
        ...

    def replay_back(self, one: ConfigRevision, since: datetime, by: str) -> Progress:
        """Begin to replay the routes of a revision, as the file would hold it."""
        ...

    def rolled_back(self, one: ConfigRevision, by: str, address: str, reason: str) -> Saved:
        """Write a revision into the file, which may be broken, and have the node take it up."""
        ...
