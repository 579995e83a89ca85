"""The glossary says of each word where it lives: a module that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
GLOSSARY = ROOT / "docs" / "glossary.md"
_ROW = re.compile(r"^\| (?!word \||---)(.+?) \| (.+?) \| (.+?) \| `([^`]+)` \|$", re.MULTILINE)


def test_every_word_lives_in_a_module_that_is_there() -> None:
    """Every row of every table has a module, and each module is a file."""
    page = GLOSSARY.read_text(encoding="utf-8")
    rows = _ROW.findall(page)
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| word |")]
    assert len(rows) == len(lines) > 50
    assert [module for *_, module in rows if not (ROOT / module).is_file()] == []


def test_a_word_stands_once() -> None:
    """One word, one thing."""
    words = [word for word, *_ in _ROW.findall(GLOSSARY.read_text(encoding="utf-8"))]
    assert sorted(set(words)) == sorted(words)
