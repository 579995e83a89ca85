"""Where two texts of a block, or of a file, differ: line by line, each place with the lines around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

_AROUND = 3
_MOST = 4_000
"""Lines on one side of which a difference is looked for: of more, which no route has, all are taken out and put in."""


class Sign(StrEnum):
    """What becomes of a line of the file."""

    KEPT = " "
    ADDED = "+"
    TAKEN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """A line of a difference; `line` is where it stands in the file: as it would be, and of one that is taken out, as it is."""

    sign: Sign
    line: int
    text: str


def differences(before: str, after: str, first: int) -> tuple[tuple[DiffLine, ...], ...]:
    """The places in which `after` differs from `before`, a block whose first line is number `first` of its file."""
    old, new = _lines(before), _lines(after)
    if old == new:
        return ()
    if max(len(old), len(new)) > _MOST:
        return ((*_taken(old, first), *_added(new, first)),)
    groups = SequenceMatcher(None, old, new).get_grouped_opcodes(_AROUND)
    return tuple(tuple(line for step in group for line in _of(step, old, new, first)) for group in groups)


def _of(step: tuple[str, int, int, int, int], old: list[str], new: list[str], first: int) -> Iterator[DiffLine]:
    kind, i, i_end, j, j_end = step
    if kind == "equal":
        yield from (DiffLine(sign=Sign.KEPT, line=first + at, text=new[at]) for at in range(j, j_end))
    else:
        yield from _taken(old[i:i_end], first + i)
        yield from _added(new[j:j_end], first + j)


def _taken(lines: list[str], first: int) -> Iterator[DiffLine]:
    return (DiffLine(sign=Sign.TAKEN, line=at, text=text) for at, text in enumerate(lines, first))


def _added(lines: list[str], first: int) -> Iterator[DiffLine]:
    return (DiffLine(sign=Sign.ADDED, line=at, text=text) for at, text in enumerate(lines, first))


def _lines(text: str) -> list[str]:
    """Without regard to how lines end, and to blank ones at the end: browsers and files have their own ways."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    return plain.split("\n") if plain else []
