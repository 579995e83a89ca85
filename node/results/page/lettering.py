"""Text on pictures, in the fonts of `faces`; a sign that they do not have is written otherwise, never as a box."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from PIL import ImageDraw, ImageFont

from node.results.page.faces import Face, folded, runs, shown

Colour: TypeAlias = tuple[int, int, int]

_LEADING = 1.35


def width(text: str, size: int, *, bold: bool = False) -> float:
    """Width in pixels of a line of text."""
    return sum(_font(face, size).getlength(run) for run, face in runs(shown(text), bold=bold))


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    *,
    align: float = 0.0,
    seam: int = 0,
    bold: bool = False,
) -> float:
    """Write one line; returns its width.

    Parameters
    ----------
    at
        x where the line begins (`align` 0), is centred (0.5) or ends (1); y of its ascender.
    seam
        Width of a black seam around the signs, for text that lies on an image.
    """
    line = shown(text)
    total = width(line, size, bold=bold)
    x, baseline = at[0] - align * total, at[1] + round(size * 1.02)
    for run, face in runs(line, bold=bold):
        font = _font(face, size)
        draw.text((x, baseline), run, font=font, fill=colour, anchor="ls", stroke_width=seam, stroke_fill=(0, 0, 0))
        x += font.getlength(run)
    return total


def fitted(text: str, size: int, most: float, *, bold: bool = False) -> str:
    """The text, its end replaced by … where it is wider than `most` pixels."""
    line = shown(text)
    if width(line, size, bold=bold) <= most:
        return line
    # where to cut, by halves
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        if width(line[:middle].rstrip() + "…", size, bold=bold) <= most:
            low = middle
        else:
            high = middle - 1
    return line[:low].rstrip() + "…"


def wrapped(text: str, size: int, most: float, lines: int) -> Sequence[str]:
    """The text in at most `lines` lines of at most `most` pixels."""
    done = list(folded(text, lambda line: width(line, size), most))
    if len(done) > lines:
        rest = " ".join(done[lines - 1 :])
        done[lines - 1 :] = [fitted(rest + "…", size, most)]
    return done


def height(size: int) -> int:
    """Distance from one line to the next in pixels."""
    return round(size * _LEADING)


@lru_cache(maxsize=64)
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    # the other layout engine depends on a library of the system, and with it the pixels would
    return ImageFont.truetype(face.path, size, layout_engine=ImageFont.Layout.BASIC)
