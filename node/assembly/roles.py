"""The roles that `hilum serve --stages` chooses from, which processes they need, and who may have them beside whom."""

import fcntl
from enum import StrEnum
from typing import IO

from node.blobs.port import BlobsFailed
from node.domain.errors import ConfigError
from node.settings.config import Config
from node.settings.source import suggestion
from node.store.hosts import make_run_folder, run_folder


class NodeRole(StrEnum):
    """What the processes of a supervisor may do."""

    RECEIVE = "receive"  # listen, keep instances in this host's spool, bring them from there to the blobs and into the journal
    FLOW = "flow"  # settle, route, deliver, and the sweeps
    WORK = "work"  # analyse and encode
    CONSOLE = "console"  # answer operators' browsers, where the configuration has a `console:`


ALL = frozenset(NodeRole)


class UnknownStage(ConfigError):
    """`--stages` names something that is no stage."""

    code = "HLM-2092"
    remedy = f"Choose from {', '.join(NodeRole)}, with commas between them and no spaces: `hilum serve --stages receive,flow`."


class AlreadyRunning(ConfigError):
    """Another node serves the same store."""

    code = "HLM-2090"
    remedy = "Stop the other `hilum serve`, or give this one a store of its own."


def roles_of(text: str) -> frozenset[NodeRole]:
    """The roles of `receive,flow`.

    Raises
    ------
    UnknownStage
        One is none.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in ALL:
            raise UnknownStage(f'unknown stage "{name}"{suggestion(name, sorted(ALL))}')
    return frozenset(NodeRole(name) for name in names)


def shares_journal(config: Config) -> bool:
    """Whether supervisors on other hosts may serve the same journal: one on a PostgreSQL server."""
    return not config.store.journal.startswith("sqlite:")


def lock(config: Config, roles: frozenset[NodeRole]) -> list[IO[str]]:
    """Hold the locks of a supervisor until the files are closed.

    A journal in a file is one supervisor's, whatever its roles. Supervisors that share a journal on a server may run beside each other on
    one host; but a spool has one listener, and one process that empties it.

    Raises
    ------
    AlreadyRunning
        Another supervisor of this host holds one of them.
    BlobsFailed
        Their folder cannot be written: the disk is mounted read-only, or is somebody else's.
    """
    held: list[IO[str]] = []
    for name in _names(config, roles):
        try:
            file = (make_run_folder(config) / name).open("w", encoding="ascii")
        except OSError as failed:
            raise BlobsFailed(f"{run_folder(config)} cannot be written: {failed.strerror}") from failed
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            whose = config.store.spooled
            raise AlreadyRunning(f"another node serves {whose}" + (f" ({name.removeprefix('lock.')})" if "." in name else "")) from taken
        held.append(file)
    return held


def node_runs(config: Config) -> bool:
    """Whether a supervisor of this host serves the store now."""
    for path in run_folder(config).glob("lock*"):
        with path.open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


def _names(config: Config, roles: frozenset[NodeRole]) -> list[str]:
    if not shares_journal(config):
        return ["lock"]
    return [f"lock.{role}" for role in (NodeRole.RECEIVE, NodeRole.FLOW) if role in roles]
