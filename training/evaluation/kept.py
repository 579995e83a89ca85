"""Rows of an evaluation under way, one line a case: called again after a kill, it goes on with the cases that are not there yet."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = Mapping[str, float]


class Kept:
    """The rows that are known, each under a name; new ones are written at once."""

    def __init__(self, path: Path, rows: dict[str, Row]) -> None:
        self._path, self._rows = path, rows

    def row(self, name: str, compute: Callable[[], Row]) -> Row:
        """The row of this name, computed where it is not known."""
        if name not in self._rows:
            self._rows[name] = made = compute()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": name, "row": plain(made)}) + "\n")
        return self._rows[name]


@contextmanager
def kept(path: Path, identity: Mapping[str, Any]) -> Iterator[Kept]:
    """What was begun for the same `identity` (model, cases, settings), or nothing; the file goes when the evaluation is through."""
    rows = _read(path, identity)
    if not rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(identity, sort_keys=True) + "\n", encoding="utf-8")
    yield Kept(path, rows)
    path.unlink()


def plain(row: Row) -> dict[str, float | None]:
    """For JSON, which knows neither NaN nor infinity."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _read(path: Path, identity: Mapping[str, Any]) -> dict[str, Row]:
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if json.loads(first) != json.loads(json.dumps(identity)):
            return {}
        # a kill may cut the last line: what follows on it would be lost, so all is computed anew from there
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        found: dict[str, Row] = {each["name"]: _row(each["row"]) for each in whole}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    if len(whole) < len(lines):
        path.write_text(first + "".join(lines[:-1]), encoding="utf-8")
    return found


def _row(told: Mapping[str, float | None]) -> Row:
    return {name: math.nan if value is None else value for name, value in told.items()}
