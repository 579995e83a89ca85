"""A broad `except` stands only where a process, a job or a peer must survive a defect, or where something is closed and raised again;
each names why."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("inference", "node", "training")
BROAD = frozenset({"Exception", "BaseException"})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_broad_except_names_its_reason(package: str) -> None:
    """Beside it or on the line above: what may come there, and why nothing narrower will do."""
    silent = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for line in without_reason(file.read_text(encoding="utf-8"))
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("handler", "silent"),
    [
        ("except Exception:", True),
        ("except:", True),
        ("except (OSError, BaseException) as broken:", True),
        ("except Exception:  # noqa: BLE001", True),
        ("except Exception:  # noqa: BLE001  (whatever an application does, the node goes on)", False),
        ("except BaseException:  # raised again: no socket stays open", False),
        ("except ValueError:", False),
    ],
)
def test_what_counts_as_a_reason(handler: str, silent: bool) -> None:
    """Words: a mark for the linter gives none."""
    assert list(without_reason(f"try:\n    pass\n{handler}\n    pass\n")) == ([3] if silent else [])


def test_the_line_above_may_say_it() -> None:
    """Where the reason is long."""
    assert list(without_reason("try:\n    pass\n# a codec that panics\nexcept BaseException:\n    pass\n")) == []


def without_reason(source: str) -> Iterator[int]:
    """The lines of broad handlers without a reason."""
    lines = source.splitlines()
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.ExceptHandler) and _is_broad(each.type):
            above = lines[each.lineno - 2].strip()
            if not _reason(lines[each.lineno - 1]) and not (above.startswith("#") and _reason(above)):
                yield each.lineno


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    named = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(one, ast.Name) and one.id in BROAD for one in named)


def _reason(line: str) -> str:
    """The words of a line's comment, without marks for tools."""
    return re.sub(r"noqa(: *[A-Z0-9, ]+)?|type: ignore(\[[^\]]*\])?|pragma: no cover", "", line.partition("#")[2]).strip(" #()")
