"""Made radiographs with a table of boxes: bright discs and rings over a ground that differs from patient to patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from .labelled_radiographs import ground, radiograph, write_table

CLASSES = ("disc", "ring")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A disc or a ring: its middle and its radius, in pixels from the outer edge of the first."""

    kind: str
    down: float
    across: float
    radius: float

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax."""
        return self.across - self.radius, self.down - self.radius, self.across + self.radius, self.down + self.radius


def drawn_on(seed: int, size: int) -> list[Drawn]:
    """Up to four things that do not touch; every eighth image has none."""
    rng = np.random.default_rng(5000 + seed)
    made: list[Drawn] = []
    for at in range(0 if seed % 8 == 7 else int(rng.integers(2, 5))):
        for _ in range(50):
            radius = float(rng.uniform(0.05, 0.1) * size)
            down, across = rng.uniform(radius + 2, size - radius - 2, 2)
            one = Drawn(kind=CLASSES[at % 2], down=float(down), across=float(across), radius=radius)
            if all(np.hypot(one.down - other.down, one.across - other.across) > 1.2 * (radius + other.radius) for other in made):
                made.append(one)
                break
    return made


def picture(seed: int, size: int) -> NDArray[np.uint16]:
    """The ground with what is drawn on it."""
    soft = ground(seed)
    pixels = zoom(soft, (size / soft.shape[0], size / soft.shape[1]), order=1)
    y, x = np.mgrid[:size, :size] + 0.5
    for one in drawn_on(seed, size):
        away = np.hypot(y - one.down, x - one.across)
        inside = away <= one.radius if one.kind == "disc" else (away <= one.radius) & (away >= 0.6 * one.radius)
        pixels[inside] += 500
    made: NDArray[np.uint16] = np.clip(pixels, 0, 4095).astype(np.uint16)
    return made


def write_boxed(folder: Path, count: int, size: int = 128) -> Path:
    """`count` patients of one radiograph each, and boxes.csv beside them, the table; images without anything stand in no line."""
    lines = []
    for number in range(count):
        study = radiograph(folder / f"{number}.dcm", picture(number, size), number)
        lines += [line(f"{study}.1.1", one) for one in drawn_on(number, size)]
    return write_table(folder / "boxes.csv", lines)


def line(name: str, one: Drawn, columns: Sequence[str] = ("xmin", "ymin", "xmax", "ymax")) -> dict[str, str]:
    """One line of the table."""
    return {"SOPInstanceUID": name, **dict(zip(columns, (f"{side:g}" for side in one.sides), strict=True)), "label": one.kind}
