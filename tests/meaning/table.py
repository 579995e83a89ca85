"""Reads the hand's tables (additions.txt, rewrites.txt), and lists the cells that they speak of. Nothing here says what is right."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product
from pathlib import Path

_FOLDER = Path(__file__).parent
THINGS = ("peer", "patient", "study", "series", "accession", "frame")


class How(StrEnum):
    """What a thing of the added slices is beside the first ones'; see additions.txt."""

    SAME = "same"
    OTHER = "other"
    ABSENT = "absent"
    HALFWAY = "halfway"
    LATE = "late"


class End(StrEnum):
    """What is right; see both tables."""

    JOINS = "joins"
    REMARK = "remark"
    OWN = "own"
    HELD = "held"
    APART = "apart"
    NONE = "none"
    DUPLICATE = "duplicate"
    CORRECTION = "correction"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Group:
    """Slices that have each thing in one way: same, other or absent, in the order of `THINGS`."""

    ways: tuple[How, ...]

    def __getitem__(self, thing: str) -> How:
        return self.ways[THINGS.index(thing)]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix of additions: each thing in one of five ways, in the order of `THINGS`."""

    ways: tuple[How, ...]

    @property
    def groups(self) -> tuple[Group, Group]:
        """The first and the second half of what is added; equal unless something changes half-way."""
        first = {How.HALFWAY: How.SAME, How.LATE: How.OTHER}
        second = {How.HALFWAY: How.OTHER, How.LATE: How.OTHER}
        return Group(tuple(first.get(way, way) for way in self.ways)), Group(tuple(second.get(way, way) for way in self.ways))

    @property
    def halves_share_a_series(self) -> bool:
        """Whether both halves name one series that is not the first slices'."""
        return self.ways[THINGS.index("series")] in (How.OTHER, How.LATE)

    @property
    def second_beside_first(self) -> Group:
        """The second half beside the first half."""
        return Group(tuple(How.OTHER if way is How.HALFWAY else How.SAME for way in self.ways))

    @property
    def late(self) -> bool:
        """Whether it comes after the result of the first slices."""
        return How.LATE in self.ways

    def __str__(self) -> str:
        return " ".join(f"{thing}={way}" for thing, way in zip(THINGS, self.ways, strict=True) if way is not How.SAME) or "all the same"


def every_cell() -> Iterator[Cell]:
    """All 5^6 of them."""
    return (Cell(ways) for ways in product(How, repeat=len(THINGS)))


def every_pair() -> list[Cell]:
    """25 cells in which any two things have any two ways together once: the values, at five places and at infinity, of the linear
    polynomials over the field of five elements (an orthogonal array OA(25, 6, 5, 2))."""
    hows = list(How)
    return [Cell((*(hows[(a + b * x) % 5] for x in range(5)), hows[b])) for a, b in product(range(5), repeat=2)]


def every_row_and_pair() -> list[Cell]:
    """Those cells; for each row that none of them meets one in which a single thing is otherwise, and the same cell late."""
    cells = every_pair()
    met = {row_of(half) for cell in cells for half in cell.groups}
    for thing, how in product(range(len(THINGS)), (How.OTHER, How.ABSENT)):
        alone = Cell((*((how if place == thing else How.SAME) for place in range(len(THINGS))),))
        if (row := row_of(alone.groups[0])) not in met:
            met.add(row)
            cells += [alone, Cell(tuple(How.LATE if way is How.OTHER else way for way in alone.ways))]
    return cells


@dataclass(frozen=True, slots=True)
class Row:
    """A row of additions.txt: for each thing the ways that fit it."""

    fits: tuple[frozenset[How], ...]
    end: End

    def takes(self, group: Group) -> bool:
        return all(way in fits for way, fits in zip(group.ways, self.fits, strict=True))


def _lines(name: str) -> Iterator[list[str]]:
    for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.split()


@cache
def rows() -> tuple[Row, ...]:
    """additions.txt."""
    ways = {"*": frozenset({How.SAME, How.OTHER, How.ABSENT})}
    return tuple(
        Row(tuple(ways.get(word) or frozenset(map(How, word.split("|"))) for word in words[: len(THINGS)]), End(words[len(THINGS)]))
        for words in _lines("additions.txt")
    )


def row_of(group: Group) -> Row:
    """The first row that takes it."""
    return next(row for row in rows() if row.takes(group))


@cache
def rewrites() -> tuple[tuple[str, str, End], ...]:
    """rewrites.txt: who, what, and the right end."""
    return tuple((words[0], words[1], End(words[2])) for words in _lines("rewrites.txt"))
