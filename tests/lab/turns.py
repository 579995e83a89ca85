"""Turns: which file of tests runs when, and which never beside another, where several processes run them.

Whole files go to the processes, for their tests share what modules set up. The longest come first (tests/longest.txt, which
`make longest` writes), or all but one would be through and wait for it. Files that look at pages with a browser are one turn: its
drawing takes several processors, and of two side by side on two of them one is late.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

LONGEST = Path(__file__).parents[1] / "longest.txt"
LONG_S = 25.0
"""By the clock, all tests of a file together."""
_ROOT = Path(__file__).parents[2]
_BROWSES = ("playwright", "tests.lab.browser", "tests.lab.ohif")
_BROWSERS = "files with a browser"


def longest(files: Mapping[str, float]) -> list[str]:
    """Choose the long ones among files of known seconds by the clock, the longest first."""
    return sorted((file for file, seconds in files.items() if seconds >= LONG_S), key=lambda file: (-files[file], file))


@cache
def turn(file: str) -> str:
    """Tell whose turn a file is: its own, or that of all files with a browser."""
    text = (_ROOT / file).read_text(encoding="utf-8")
    return _BROWSERS if any(word in text for word in _BROWSES) else file


class InTurns:
    """Pytest plug-in: puts the longest files first, and measures how long each is."""

    def __init__(self, *, writes: bool) -> None:
        self._writes = writes
        self._files = defaultdict[str, float](float)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The longest first."""
        places = {file: place for place, file in enumerate(LONGEST.read_text(encoding="utf-8").split())}
        items.sort(key=lambda item: places.get(item.nodeid.split("::", 1)[0], len(places)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test is over, in whichever process."""
        self._files[report.nodeid.split("::", 1)[0]] += report.duration

    def pytest_terminal_summary(self) -> None:
        """Write the list."""
        if self._writes:
            LONGEST.write_text("".join(f"{file}\n" for file in longest(self._files)), encoding="utf-8")
