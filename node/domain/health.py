"""How the node is: what is found when it is looked at, and what it depends on and can be asked: peers, sinks, engines, and who knows the
hospital's people.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FRESH_S: Final = 30.0
"""For how long what was said of something is good."""


class DependencyKind(StrEnum):
    """What is asked."""

    PEER = "peer"
    SINK = "sink"
    ENGINE = "engine"
    LOGIN = "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How it is, and in words why. `fix` says what to do, where it is another thing than for whatever is away of its kind; `lasts_s` is for
    how long it is not asked again, unless a person wants it."""

    ready: bool
    detail: str
    fix: str = ""
    lasts_s: float = FRESH_S


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
