"""What keeps the source searchable: no module imports itself by way of others, a class name stands for one class in a package, and
no module is longer than its subject."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("inference", "training", "node")

KNOWN_CIRCLES = frozenset[tuple[str, ...]]()
"""Circles that are still to be cut; none is added."""

SHARED_NAMES = {
    # Triton's Python backend looks for a class of this name in every model.py
    "inference": frozenset({"TritonPythonModel"}),
    "training": frozenset[str](),
    "node": frozenset[str](),
}


MOST_LINES = 500
LONG_MODULES = frozenset({"node/journal/schema.py", "node/journal/migrations/versions/0035_create_the_journal.py"})
"""The tables of the journal, which are read as one, and the revision that makes them."""


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    """Imports inside functions and for types count: a reader has to follow them as well."""
    assert circles(package) <= KNOWN_CIRCLES


@pytest.mark.parametrize("package", PACKAGES)
def test_a_class_name_stands_once_in_a_package(package: str) -> None:
    """Whoever searches for a name that a message or a test mentions finds one class."""
    found = {name: files for name, files in classes(package).items() if len(files) > 1 and name not in SHARED_NAMES[package]}
    assert found == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_longer_than_its_subject(package: str) -> None:
    """A module of more than 500 lines holds two subjects, and is parted between them."""
    lengths = {file.relative_to(ROOT).as_posix(): len(file.read_text().splitlines()) for file in (ROOT / package).rglob("*.py")}
    assert {file for file, lines in lengths.items() if lines > MOST_LINES} == {file for file in LONG_MODULES if file in lengths}


def test_a_circle_and_a_doubled_name_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three modules in a circle, one of them for types alone; two classes of one name in one file, one of them inside the other."""
    package = tmp_path / "rounded"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("import rounded.b\nclass Same:\n    class Same: ...\n")
    (package / "b.py").write_text("def late():\n    import rounded.c\n")
    (package / "c.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rounded import a\n")
    (package / "d.py").write_text("import rounded.a\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert circles("rounded") == {("rounded.a", "rounded.b", "rounded.c")}
    assert classes("rounded", tmp_path) == {"Same": ["rounded/a.py", "rounded/a.py"]}


@cache
def circles(package: str) -> frozenset[tuple[str, ...]]:
    """The largest sets of modules in which each imports each by way of others."""
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    reached = {module: _reached(module, imports) for module in imports}
    return frozenset(
        tuple(sorted(other for other in reached[module] if module in reached[other])) for module in imports if module in reached[module]
    )


def _reached(module: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(imports[module])
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += imports[one]
    return found


def classes(package: str, root: Path = ROOT) -> dict[str, list[str]]:
    """The files in which classes are defined, by the name of the class."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted((root / package).rglob("*.py")):
        for each in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(each, ast.ClassDef):
                found[each.name].append(file.relative_to(root).as_posix())
    return dict(found)
