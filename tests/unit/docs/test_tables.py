"""Tables of the pages that people read: a row that stands alone is shown as text with bars."""

import re
from collections.abc import Iterator

from tests.unit.docs.test_links import ROOT, pages

_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_DELIMITERS = re.compile(r"\|([ :]*-+[ :]*\|)+")


def stray_rows(text: str) -> Iterator[str]:
    """The first row of each block of rows whose second line does not part a head from the rest."""
    lines = ["", *_FENCED.sub("", text).splitlines(), ""]
    for before, row, after in zip(lines, lines[1:], lines[2:], strict=False):
        if row.startswith("|") and not before.startswith("|") and not _DELIMITERS.fullmatch(after):
            yield row


def test_every_row_belongs_to_a_table() -> None:
    """A blank line ends a table."""
    strays = {str(page.relative_to(ROOT)): list(stray_rows(page.read_text("utf-8"))) for page in pages()}
    assert {name: rows for name, rows in strays.items() if rows} == {}


def test_rows_without_a_head_are_found() -> None:
    """The test above would pass over pages in which it saw none."""
    table = "| a | b |\n|---|:-:|\n| 1 | 2 |\n"
    assert list(stray_rows(f"{table}\n{table}")) == []
    assert list(stray_rows(f"{table}\n| 3 | 4 |\n| 5 | 6 |\n")) == ["| 3 | 4 |"]
