"""Nodules of LUNA16's annotations.csv: seriesuid, coordX, coordY, coordZ (mm, LPS), diameter_mm."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from training.errors import UnfitData

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A nodule's middle (x, y, z), LPS, and its diameter, in mm."""

    centre_mm: tuple[float, float, float]
    diameter_mm: float


def annotations(file: Path) -> dict[str, tuple[Mark, ...]]:
    """The nodules of each series by its UID, in the order of the file; a series without a line has none.

    Raises
    ------
    UnfitData
        It is no such table; the message names the line.
    """
    found: dict[str, list[Mark]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, strict=True)
            lacking = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if lacking:
                raise UnfitData(f"{file} is no annotations.csv of LUNA16: no column {', '.join(lacking)}")
            for row in table:
                found.setdefault(row["seriesuid"], []).append(_mark(row, f"{file}, line {table.line_num}"))
    except (OSError, ValueError, csv.Error) as broken:
        raise UnfitData(f"{file} cannot be read: {broken}") from broken
    return {uid: tuple(marks) for uid, marks in found.items()}


def _mark(row: dict[str, str | None], where: str) -> Mark:
    try:
        x, y, z, diameter = (float(row[name] or "") for name in COLUMNS[1:])
    except ValueError as wrong:
        raise UnfitData(f"{where}: {wrong}") from wrong
    if not row["seriesuid"] or not all(math.isfinite(each) for each in (x, y, z, diameter)) or diameter <= 0:
        raise UnfitData(f"{where}: not a place in a series with a diameter above 0")
    return Mark(centre_mm=(x, y, z), diameter_mm=diameter)
