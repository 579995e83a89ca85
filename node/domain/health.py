"""How the node is: what is found when it is looked at, and what it depends on and can be asked: peers, sinks and engines."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class DependencyKind(StrEnum):
    """What is asked."""

    PEER = "peer"
    SINK = "sink"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How it is, and in words why."""

    ready: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Something that may be away. `where` is its address, `words` say what it is for, `fix` what to do where it is away; `ask` may take
    seconds, and raises nothing; None: there is nothing to ask, it only calls."""

    kind: DependencyKind
    name: str
    where: str
    words: str
    fix: str
    ask: Callable[[], Answer] | None


class Area(StrEnum):
    """What a finding is of, so that pages know which way leads on from it."""

    CONFIGURATION = "configuration"
    SENDERS = "senders"
    PEERS = "peers"
    SINKS = "sinks"
    ENGINES = "engines"
    MODELS = "models"
    DISK = "disk"
    JOURNAL = "journal"
    CLOCK = "clock"
    CERTIFICATES = "certificates"
    LOGINS = "logins"
    PROCESSES = "processes"
    PAUSED = "paused"
    PARKED = "parked"
    HELD = "held"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorFinding:
    """One thing looked at. `level` is "good", "warning" or "bad"; `fix` says what to do unless it is good; `name` is its own in the
    configuration, where it is one of several."""

    area: Area
    subject: str
    level: str
    detail: str
    fix: str = ""
    name: str = ""
