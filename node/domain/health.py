"""Peers, sinks and engines as somebody who asks how they are sees them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class SubjectKind(StrEnum):
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
class Subject:
    """Something that may be away. `where` is its address, `words` say what it is for; `ask` may take seconds, and raises nothing; None:
    there is nothing to ask, it only calls."""

    kind: SubjectKind
    name: str
    where: str
    words: str
    ask: Callable[[], Answer] | None
