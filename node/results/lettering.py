"""Text on pictures, in the one font that comes with Pillow; what that font has no sign for is written otherwise."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from PIL import ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]

GLYPHS = frozenset(map(chr, range(0x20, 0x7F))) | frozenset("«°±´·»‘’“”…‹›⁄™")
"""All that the font (Aileron, in a subset) can draw."""

_INSTEAD = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "×": "x", "µ": "u", "μ": "u", "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "≤": "<=", "≥": ">=", "\t": " ", "\n": " ", "\r": " ", " ": " "}
)
_RAISED = {"³": "3", "²": "2"}
_RAISED_SIZE, _RAISED_BY = 0.62, 0.34


def plain(text: str) -> str:
    """The text in signs that the font has: accents dropped, dashes simple; "?" for another script, raised digits kept."""
    written = []
    for sign in text.translate(_INSTEAD):
        if sign in GLYPHS or sign in _RAISED:
            written.append(sign)
            continue
        base = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part))
        written.append(base if base and set(base) <= GLYPHS else "?")
    return "".join(written)


def width(text: str, size: int) -> float:
    """Width in pixels of a line of text."""
    return sum(_font(_size(run, size)).getlength(_shown(run)) for run in _runs(plain(text)))


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour, *, align: float = 0.0, seam: int = 0
) -> float:
    """Write one line; returns its width.

    Parameters
    ----------
    at
        x where the line begins (`align` 0), is centred (0.5) or ends (1); y of its ascender.
    seam
        Width of a black seam around the signs, for text that lies on an image.
    """
    line = plain(text)
    total = width(line, size)
    x = at[0] - align * total
    baseline = at[1] + _font(size).getmetrics()[0]
    for run in _runs(line):
        raised = run in _RAISED
        font = _font(_size(run, size))
        draw.text(
            (x, baseline - (_RAISED_BY * size if raised else 0)),
            _shown(run),
            font=font,
            fill=colour,
            anchor="ls",
            stroke_width=seam,
            stroke_fill=(0, 0, 0),
        )
        x += font.getlength(_shown(run))
    return total


def fitted(text: str, size: int, most: float) -> str:
    """The text, its end replaced by … where it is wider than `most` pixels."""
    line = plain(text)
    if width(line, size) <= most:
        return line
    while line and width(line + "…", size) > most:
        line = line[:-1]
    return line.rstrip() + "…"


def wrapped(text: str, size: int, most: float, lines: int) -> Sequence[str]:
    """The text in at most `lines` lines of at most `most` pixels."""
    done: list[str] = []
    line = ""
    words = plain(text).split()
    for index, word in enumerate(words):
        longer = f"{line} {word}".strip()
        if not line or width(longer, size) <= most:
            line = longer
            continue
        done.append(line)
        line = word
        if len(done) == lines - 1:
            line = " ".join(words[index:])
            break
    return [fitted(each, size, most) for each in (*done, line) if each]


def height(size: int) -> int:
    """Distance from one line to the next in pixels."""
    return round(size * 1.35)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType: summary pages cannot be lettered")
    # the other layout engine depends on a library of the system, and with it the pixels would
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _runs(line: str) -> list[str]:
    """The line in pieces: raised signs apart from all others."""
    runs: list[str] = []
    for sign in line:
        if runs and sign not in _RAISED and runs[-1] not in _RAISED:
            runs[-1] += sign
        else:
            runs.append(sign)
    return runs


def _size(run: str, size: int) -> int:
    return round(size * _RAISED_SIZE) if run in _RAISED else size


def _shown(run: str) -> str:
    return _RAISED.get(run, run)
