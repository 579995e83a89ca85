"""What the node depends on and can be asked how it is: peers, sinks and engines."""

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
    """Something that may be away. `where` is its address, `words` say what it is for; `ask` may take seconds, and raises nothing; None:
    there is nothing to ask, it only calls."""

    kind: DependencyKind
    name: str
    where: str
    words: str
    ask: Callable[[], Answer] | None
