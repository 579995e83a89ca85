"""The turns of test files: the longest first, and those that look at pages with a browser one after another."""

from pathlib import Path

from tests.lab.turns import LONGEST, longest, turn

_ROOT = Path(__file__).parents[2]


def test_the_longest_come_first() -> None:
    """Of those as long as another the order is always the same; a short one is not listed."""
    assert longest({"b.py": 30, "short.py": 24.9, "a.py": 30, "c.py": 200}) == ["c.py", "a.py", "b.py"]


def test_what_is_listed_as_long_is_there() -> None:
    """Whoever renames or moves a file does so in the list, or runs `make longest`."""
    assert [file for file in LONGEST.read_text(encoding="utf-8").split() if not (_ROOT / file).is_file()] == []


def test_files_with_a_browser_are_one_turn(tmp_path: Path) -> None:
    """The viewer and the console's pages are, and whatever else opens one; what asks a console without a browser is not."""
    another = tmp_path / "test_another.py"
    another.write_text("from tests.lab.browser import chromium\n", encoding="utf-8")
    browsers = {
        turn(f"tests/peers/test_{name}.py") for name in ("viewer", "viewer_results", "accessibility", "operators_day", "oidc_login")
    }
    assert browsers == {turn(str(another))}
    assert turn("tests/node/test_console.py") == "tests/node/test_console.py"
