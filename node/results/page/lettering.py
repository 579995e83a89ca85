"""Text on pictures and in PDFs: the fonts, which signs each has, how a line of mixed scripts is parted among them, and how it is drawn."""

import re
import struct
import unicodedata
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from PIL import ImageDraw, ImageFont

_FOLDER = Path(__file__).parent / "fonts"


class Face(StrEnum):
    """The font files, by name; `fonts/README.md` says where they come from."""

    REGULAR = "NotoSans-Regular"
    BOLD = "NotoSans-Bold"
    HAN = "DroidSansFallback"

    @property
    def path(self) -> Path:
        """The file."""
        return _FOLDER / f"{self.value}.ttf"


_INSTEAD = str.maketrans({"−": "–", "≤": "<=", "≥": ">=", "\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u2009": " ", "\u00ad": ""})
"""Signs that no font here has, and white space."""
_WIDE = r"\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_ATOMS = re.compile(rf"\s+|[{_WIDE}][、。，．：；！？）」』】〉》”’%]*|[^\s{_WIDE}]+")
"""Between which a line may be broken: words, and single Han or kana signs, which closing punctuation sticks to (GB/T 15834)."""


_BOUND = re.compile(r"(?<=\d) (?=(?:mm|cm|mL|HU|s)(?:[²³]|\b)|%)")
_JOINT = "\ue000"
"""Stands for a space at which no line is broken: between a number and its unit."""


@lru_cache(maxsize=len(Face))
def signs(face: Face) -> frozenset[int]:
    """The code points that a font has a glyph for: its character map of format 4 (OpenType `cmap`)."""
    data = face.path.read_bytes()
    (tables,) = struct.unpack_from(">H", data, 4)
    records = [struct.unpack_from(">4sIII", data, 12 + 16 * number) for number in range(tables)]
    start = next(offset for tag, _, offset, _ in records if tag == b"cmap")
    (maps,) = struct.unpack_from(">H", data, start + 2)
    offsets = [struct.unpack_from(">HHI", data, start + 4 + 8 * number)[2] for number in range(maps)]
    at = next(start + offset for offset in offsets if struct.unpack_from(">H", data, start + offset)[0] == 4)
    (twice,) = struct.unpack_from(">H", data, at + 6)
    ends = struct.unpack_from(f">{twice // 2}H", data, at + 14)
    starts = struct.unpack_from(f">{twice // 2}H", data, at + 16 + twice)
    return frozenset(code for first, last in zip(starts, ends, strict=True) for code in range(first, last + 1) if code != 0xFFFF)


def settable(text: str) -> bool:
    """Whether every sign of the text has a glyph: no accent is dropped, no sign replaced."""
    return all(_has(sign) for sign in text)


def shown(text: str) -> str:
    """The text in signs that the fonts have; where they lack one, its base letter without accents, or "?" for another script."""
    written = []
    for sign in unicodedata.normalize("NFC", text.translate(_INSTEAD)):
        if _has(sign):
            written.append(sign)
        elif unicodedata.category(sign)[0] != "C":
            base = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part))
            written.append(base if base and all(map(_has, base)) else "?")
    return "".join(written)


def runs(line: str, *, bold: bool = False) -> list[tuple[str, Face]]:
    """A line that `shown` gave in pieces of one font each."""
    latin = Face.BOLD if bold else Face.REGULAR
    parts: list[tuple[str, Face]] = []
    for sign in line:
        face = latin if ord(sign) in signs(latin) else Face.HAN
        if parts and parts[-1][1] is face:
            parts[-1] = (parts[-1][0] + sign, face)
        else:
            parts.append((sign, face))
    return parts


def folded(text: str, measure: Callable[[str], float], most: float) -> Sequence[str]:
    """The text in lines of at most `most`; a word that is longer is broken where it must be."""

    def length(part: str) -> float:
        return measure(part.replace(_JOINT, " "))

    lines: list[str] = []
    line = ""
    for atom in _ATOMS.findall(_BOUND.sub(_JOINT, shown(text))):
        if length((line + atom).strip()) <= most:
            line += atom
            continue
        if line.strip():
            lines.append(line.strip())
        line = atom.lstrip()
        while length(line) > most and len(line) > 1:
            cut = next(signs for signs in range(len(line) - 1, 0, -1) if signs == 1 or length(line[:signs]) <= most)
            lines.append(line[:cut])
            line = line[cut:]
    return [each.replace(_JOINT, " ") for each in (*lines, line.strip()) if each]


def _has(sign: str) -> bool:
    code = ord(sign)
    return code in signs(Face.REGULAR) or (code > 0x2000 and code in signs(Face.HAN))


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
