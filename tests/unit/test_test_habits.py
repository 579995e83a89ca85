"""Habits that tests are to lose: a sleep, which is too short on a busy machine and too long on an idle one, and a private name of hilum's;
and a name in tests/costly.txt that its test has no more, for then the test runs among the quick ones.

The first two are counted; the counts may become smaller and never larger. Wait with `wait_until`, for an event or with a clock of the
test's own; look at what the module promises to its callers.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.lab.costly import listed

_TESTS: Final = Path(__file__).parents[1]
_OURS: Final = ("node", "inference", "training", "docs", "bench")
_DOCUMENTED: Final = frozenset({"_asdict", "_current_frames", "_exit", "_fields", "_mapping", "_replace"})
_MOST_SLEEPS: Final = 36
_MOST_PRIVATE: Final = 27
_MAY_MATTER: Final = re.compile(r"\bsleep\b|(?<!\bself)(?<!\bcls)\._[A-Za-z]|\bimport\b.*\b_[A-Za-z]|[\"'.]_[A-Za-z]")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.strip("_") != ""


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def _made(nodes: list[ast.AST]) -> set[str]:
    """The private names that a file itself makes."""
    made: set[str] = set()
    for one in nodes:
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            made.add(one.name)
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            made.add(one.id)
        elif isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and _is_self(one.value):
            made.add(one.attr)
    return made


def sleeps(nodes: list[ast.AST]) -> Iterator[int]:
    """The lines in which a test sleeps."""
    for one in nodes:
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "sleep":
            yield one.lineno


def private(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """The lines in which a private name of another file is read, imported or replaced, and the name."""
    made = _made(nodes) | _DOCUMENTED
    for one in nodes:
        if isinstance(one, ast.Attribute):
            if _is_private(one.attr) and one.attr not in made and not _is_self(one.value):
                yield one.lineno, one.attr
        elif isinstance(one, ast.ImportFrom):
            if one.module is not None and one.module.split(".")[0] in _OURS:
                yield from ((one.lineno, alias.name) for alias in one.names if _is_private(alias.name))
        elif isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in {"setattr", "delattr", "object"}:
            texts = (given.value for given in one.args[:2] if isinstance(given, ast.Constant) and isinstance(given.value, str))
            yield from ((one.lineno, text) for text in texts if _is_private(text.rpartition(".")[2]))


def _nodes(source: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(source))) if _MAY_MATTER.search(source) else []


def test_tests_sleep_and_reach_into_private_names_no_more_often_than_they_did() -> None:
    """Whoever takes one away lowers the number here."""
    read = {path.relative_to(_TESTS).as_posix(): _nodes(path.read_text(encoding="utf-8")) for path in sorted(_TESTS.rglob("*.py"))}
    slept = [f"{file}:{line}" for file, nodes in read.items() for line in sleeps(nodes)]
    reached = [f"{file}:{line} {name}" for file, nodes in read.items() for line, name in private(nodes)]
    assert len(slept) <= _MOST_SLEEPS, slept
    assert len(reached) <= _MOST_PRIVATE, reached


@pytest.mark.parametrize(
    ("source", "slept", "reached"),
    [
        ("import time\ntime.sleep(1)", 1, []),
        ("from node.flow.infer import _analysed", 0, ["_analysed"]),
        ("running.listener._server.stop()", 0, ["_server"]),
        ("monkeypatch.setattr(index, '_BATCH_BYTES', 100)", 0, ["_BATCH_BYTES"]),
        ("monkeypatch.setattr('node.flow.index._BATCH_BYTES', 100)", 0, ["node.flow.index._BATCH_BYTES"]),
        ("class A:\n    def f(self):\n        self._mine = 1\n        return other._mine, row._mapping", 0, []),
        ("class A(B):\n    def f(self): return self._of_its_base", 0, []),
    ],
)
def test_habits_are_found(source: str, slept: int, reached: list[str]) -> None:
    """However they are written; what a test's own objects keep to themselves is the test's."""
    nodes = _nodes(source)
    assert len(list(sleeps(nodes))) == slept
    assert [name for _, name in private(nodes)] == reached


def test_what_is_listed_as_costly_is_there() -> None:
    """Whoever renames or moves a test does so in the list, or runs `make costly`."""
    named = [(_TESTS.parent / one.split("::", 1)[0], one.rsplit("::", 1)[1]) for one in sorted(listed())]
    defined = {
        (file, name)
        for file in {file for file, _ in named if file.is_file()}
        for name in re.findall(r"^ *def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert [f"{file.name}::{name}" for file, name in named if (file, name) not in defined] == []
