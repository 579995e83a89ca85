"""Made radiographs with a table of numbers: how wide the spots over a ground are that differs from patient to patient."""

from pathlib import Path

import numpy as np

from .labelled_radiographs import COLUMNS, ROWS, ground, radiograph, write_table

COLUMN = "Spot width (mm)"


def width_of(number: int) -> float:
    """1 to 6 mm, none twice."""
    return round(1 + 5 * ((number * 0.6180339887) % 1), 3)


def write_numbered(folder: Path, count: int) -> Path:
    """`count` patients of one radiograph each, and numbers.csv beside them, the table."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    lines = []
    for number in range(count):
        rng, picture, width = np.random.default_rng(1000 + number), ground(number), width_of(number)
        for _ in range(8):
            down, across = rng.uniform(6, ROWS - 6), rng.uniform(6, COLUMNS - 6)
            picture += 900 * np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * (width / 1.5) ** 2))
        study = radiograph(folder / f"{number}.dcm", np.clip(picture, 0, 4095).astype(np.uint16), number)
        lines.append({"StudyInstanceUID": study, COLUMN: f"{width:g}"})
    return write_table(folder / "numbers.csv", lines)
