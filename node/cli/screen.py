"""What verbs print: JSON for scripts, tables for people. Colours appear on a terminal only."""

import io
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from node.records.words import plural as plural
from node.records.words import stamp as stamp
from node.records.words import when as when

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_UNWRAPPED = 10_000
_PADDING = re.compile(r"[ \t]+$", re.MULTILINE)
_FULL_UID_WIDTH = 140
_FOLDED = 16
_SHORT_UID = 16
_UID = re.compile(r"[0-9]+(\.[0-9]+){5,}")
_COLOURS = {
    "done": "green",
    "committed": "green",
    "delivered": "green",
    "parked": "bold red",
    "failed": "bold red",
    "set-aside": "bold red",
    "not_applicable": "dim",
    "cancelled": "dim",
    "superseded": "dim",
    "replaced": "dim",
    "purged": "dim",
    "conflict": "bold red",
}


def out(*, on_stderr: bool = False, markup: bool = False) -> "Console":
    """Stdout (or stderr) for people: as wide as the terminal, or as COLUMNS says; into a pipe nothing is wrapped."""
    from rich.console import Console

    class Screen(Console):
        """Stdout, of which whoever reads it may have had enough."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            raise BrokenPipeError

    stream = sys.stderr if on_stderr else sys.stdout
    if stream.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return Screen(highlight=False, markup=markup, stderr=on_stderr)
    return Screen(highlight=False, markup=markup, width=_UNWRAPPED, file=cast("TextIO", _WithoutPadding(stream)))


class _WithoutPadding(io.TextIOBase):
    """A stream without the blanks by which a table fills its last column."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        return self._stream.write(_PADDING.sub("", text))

    def flush(self) -> None:
        self._stream.flush()


def say(sentence: str) -> None:
    """One sentence, not wrapped."""
    print(sentence)


def visible(text: str) -> str:
    """What peers and strangers say of themselves, without characters that a terminal obeys."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def json_line(content: Any) -> None:
    """One JSON object a line, for what is told as it comes."""
    sys.stdout.write(json.dumps(content, ensure_ascii=_is_plain()) + "\n")


def _is_plain() -> bool:
    """Whether stdout has another encoding than UTF-8: JSON's own escapes are written then, for those of Python are none of JSON's."""
    return (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"


def as_json(content: Any) -> None:
    """JSON on stdout; a list has one object a line, so that line tools can read it too."""
    plain = _is_plain()
    if isinstance(content, list):
        lines = ",\n".join(json.dumps(item, ensure_ascii=plain) for item in content)
        sys.stdout.write(f"[{lines}]\n")
    else:
        sys.stdout.write(json.dumps(content, ensure_ascii=plain, indent=1) + "\n")


def table(*columns: str, last_folds: bool = True) -> "Table":
    """A table without lines: a header, then rows; the last column folds, the others stay whole."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for number, name in enumerate(columns, start=1):
        last = last_folds and number == len(columns)
        made.add_column(name, no_wrap=not last, overflow="fold" if last else "ellipsis")
    return made


def listing(rows: Sequence[Mapping[str, "str | Text"]], spare: Sequence[str] = ()) -> "Table":
    """A table of the columns that `rows` name; where the screen is narrow those of `spare` are left out, the first one first, until the
    rest stay whole. The last column folds, so that it needs little."""
    names, room = list(rows[0]), out().width
    widths = {name: 2 + max(len(name), *(len(row[name]) for row in rows)) for name in names}
    widths[names[-1]] = min(widths[names[-1]], _FOLDED)
    for name in spare:
        if sum(widths[one] for one in names) > room:
            names.remove(name)
    made = table(*names)
    for row in rows:
        made.add_row(*(row[name] for name in names))
    return made


def state(word: str) -> Any:
    """A state in its colour."""
    from rich.text import Text

    return Text(str(word), style=_COLOURS.get(str(word), ""))


def mark(held: bool | None) -> Any:
    """✓ or ✗; ? where it is not known."""
    from rich.text import Text

    if held is None:
        return Text("?", style="yellow")
    return Text("✓", style="green") if held else Text("✗", style="red")


def uid(value: str, width: int) -> str:
    """A UID: whole on a wide screen, else its end, which every verb that takes a UID accepts."""
    return value if width >= _FULL_UID_WIDTH or len(value) <= _SHORT_UID else f"…{value[-_SHORT_UID + 1 :]}"


def brief(sentence: str, width: int) -> str:
    """A sentence for a list: the UIDs in it are shortened; the page about the thing itself has them whole."""
    return _UID.sub(lambda found: uid(found[0], width), sentence)


def hanging(content: Any, indent: int = 2, head: Any = "") -> "Table":
    """Text that stays indented where it wraps; `head` (a mark) stands before its first line."""
    from rich.table import Table

    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_column(width=max(0, indent - 1))
    if head:
        made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    made.add_row("", *([head] if head else []), content)
    return made


def size(count: int) -> str:
    """Bytes in a unit that fits."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the loop ends with GB")


def joined(words: Sequence[str]) -> str:
    """Words with commas; a dash for none."""
    return ", ".join(words) if words else "–"
