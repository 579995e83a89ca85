"""What other packages keep to themselves is not touched: no import of an underscore, no attribute with one, no class of pynetdicom's bent.

Names with an underscore that a package documents for its users are no private ones. The others that stand below are counted: the list may
become shorter and never longer, and a line of it that nothing needs any more is a failure too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parents[2]
_OURS: Final = ("node", "inference", "training")
_DOCUMENTED: Final = frozenset(
    {
        "_asdict",  # collections.namedtuple
        "_current_frames",  # sys
        "_exit",  # os
        "_fields",  # collections.namedtuple
        "_mapping",  # SQLAlchemy, Row
        "_replace",  # collections.namedtuple
    }
)
_LEFT: Final[dict[str, frozenset[str]]] = {
    "inference/applications/bundle/network.py": frozenset({"_dynamo"}),
    "inference/engines/exporting.py": frozenset({"torch._export.converter"}),
    "inference/engines/sieve/walking.py": frozenset({"_get_method", "_method_names"}),
    "training/averaging.py": frozenset({"_foreach_lerp_"}),
    "training/networks/efficientnet_lite.py": frozenset({"_fc"}),
}
"""By file: what it touches."""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__")) and name.strip("_") != ""


def _nodes(source: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(source)))


def _sources() -> dict[str, list[ast.AST]]:
    files = sorted(path for package in _OURS for path in (_ROOT / package).rglob("*.py"))
    assert len(files) > 400, "the sources are where they are looked for"
    return {str(path.relative_to(_ROOT)): _nodes(path.read_text(encoding="utf-8")) for path in files}


def _own(nodes: list[ast.AST]) -> set[str]:
    """The private names that a file itself makes: functions, classes, variables, attributes of its own objects, slots."""
    made: set[str] = set()
    for one in nodes:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(one.name)
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            made.add(one.id)
        elif isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and _is_self(one.value):
            made.add(one.attr)
        elif isinstance(one, ast.Constant) and isinstance(one.value, str):
            made.add(one.value)  # __slots__
    return made


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def _touched(nodes: list[ast.AST], own: set[str], everywhere: set[str]) -> Iterator[str]:
    """The private names of others that a file imports or reads. What `self` has may be made by a base class of ours in another file."""
    for one in nodes:
        if isinstance(one, ast.Import):
            names = [alias.name for alias in one.names]
        elif isinstance(one, ast.ImportFrom) and not one.level and one.module is not None:
            names = [f"{one.module}.{alias.name}" if _is_private(alias.name) else one.module for alias in one.names]
        elif isinstance(one, ast.Attribute) and _is_private(one.attr):
            known = everywhere if _is_self(one.value) else own
            if one.attr not in known and one.attr not in _DOCUMENTED:
                yield one.attr
            continue
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package not in _OURS and any(map(_is_private, rest)):
                yield name


def _bent(nodes: list[ast.AST]) -> Iterator[str]:
    """Classes whose base was imported from pynetdicom."""
    imported = {
        alias.asname or alias.name
        for one in nodes
        if isinstance(one, ast.ImportFrom) and (one.module or "").split(".")[0] == "pynetdicom"
        for alias in one.names
    }
    for one in nodes:
        if isinstance(one, ast.ClassDef) and imported & {base.id for base in one.bases if isinstance(base, ast.Name)}:
            yield one.name


def _by_file(sources: dict[str, list[ast.AST]]) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    own = {file: _own(nodes) for file, nodes in sources.items()}
    everywhere = set().union(*own.values())
    touched = {file: frozenset(_touched(nodes, own[file], everywhere)) for file, nodes in sources.items()}
    bent = {file: frozenset(_bent(nodes)) for file, nodes in sources.items()}
    return {file: names for file, names in touched.items() if names}, {file: names for file, names in bent.items() if names}


def test_no_private_name_of_another_package_is_touched_but_those_that_are_counted() -> None:
    """Each file with exactly the names that stand above: one more is a new hook, one less shortens the list."""
    touched, bent = _by_file(_sources())
    assert touched == _LEFT
    assert bent == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from pynetdicom import _config", {"pynetdicom._config"}),
        ("from pydicom._uid_dict import UID_dictionary", {"pydicom._uid_dict"}),
        ("import torch._dynamo", {"torch._dynamo"}),
        ("def f(assoc): return assoc._accepted_cx", {"_accepted_cx"}),
        ("def f(assoc): assoc._accepted_cx = {}", {"_accepted_cx"}),
        ("class A(B):\n    def f(self): return self._idle_timer", {"_idle_timer"}),
        ("class A:\n    def __init__(self): self._mine = 1\ndef f(a): return a._mine, a.__class__", set()),
        ("from node.domain import _words", set()),
        ("row._mapping; os._exit(0)", set()),
    ],
)
def test_it_is_found_however_it_is_written(source: str, found: set[str]) -> None:
    """Imports, attributes of others read and written, and what a class takes from a base that is not ours."""
    nodes = _nodes(source)
    assert set(_touched(nodes, own := _own(nodes), own)) == found
