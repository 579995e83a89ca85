"""Explanation of a classifier's answer beside the bare image: an RGB Secondary Capture that says on its face that it shows no place."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from inference.findings import Evaluation, Explanation
from inference.imaging.subject import Images
from node.domain.profile import Kind
from node.results.identity import encoded, identify
from node.results.kind import Making
from node.results.page.capture import captured, page_of
from node.results.page.figures import bare, explained
from node.results.page.lettering import fitted, height, wrapped, write
from node.results.page.panels import heated
from node.results.page.picture import Drawn, sheet
from node.results.page.table import AMBER
from node.results.page.tiles import FRAME, LETTERS, SOFT, lay
from node.results.page.words import PAGE_WORDS, PageWords
from node.results.port import Encoded, Encoding
from node.results.sources import Sources

LEAST = 0.1
"""Log odds up to which the colours reach at least: a map of next to nothing looks like nothing."""

_BAND, _BELOW, _GAP = 44, 150, 12
_BAR, _GREY = 26, (110, 110, 110)
_TICKS = 3


def make(making: Making) -> list[Encoded]:
    """One page in a series of its own for each image that has explanations, where a profile wants them."""
    encoding, sources = making.encoding, making.sources
    if not any(Kind.EXPLANATION in profile.kinds for profile in encoding.profiles):
        return []
    made = []
    for image in dict.fromkeys(one.image for one in encoding.findings.explanations):
        those = [one for one in encoding.findings.explanations if one.image == image]
        identity = identify(encoding, sources, Kind.EXPLANATION, "explanation, no location")
        words = PAGE_WORDS[encoding.language].moved([one.label for one in those])
        made.append(encoded(Kind.EXPLANATION, captured(encoding, sources, drawn(encoding, sources, those), identity, words), identity))
    return made


def drawn(encoding: Encoding, sources: Sources, those: Sequence[Explanation]) -> Drawn:
    """The page of one image: it alone, then under each explanation, with a bar that says which colour is how much."""
    assert isinstance(encoding.subject, Images), "the gate lets explanations of single images pass alone"
    page, index = page_of(encoding, sources), those[0].image
    words, pixels, name = page.words, encoding.subject.images[index], page.image_names[index]
    image, draw, (left, top, right, bottom) = sheet(page)
    write(draw, ((left + right) / 2, top + 6), words.explains, 26, AMBER, align=0.5, bold=True)
    tiles = [
        bare(pixels, name),
        *(explained(pixels, one.values / scale_of(one), words.list([words.label(one.label), name])) for one in those),
    ]
    lay(image, tiles, (left, top + _BAND, right, bottom - _BELOW), columns=len(tiles), gap=_GAP)
    wide = (right - left - (len(tiles) - 1) * _GAP) / len(tiles)
    _answer(draw, encoding.findings.evaluations, those[0], words, (left, bottom - _BELOW + 10, wide))
    for column, one in enumerate(those, 1):
        _legend(image, draw, one, words, (round(left + column * (wide + _GAP)), bottom - _BELOW + 10, round(wide)))
    return Drawn(image=image, images=(index,))


def scale_of(one: Explanation) -> float:
    """What the brightest colour stands for."""
    return max(float(one.values.max()), LEAST)


def _answer(
    draw: ImageDraw.ImageDraw,
    evaluations: Sequence[Evaluation],
    about: Explanation,
    words: PageWords,
    area: tuple[float, float, float],
) -> None:
    """The answer that is explained, and what the colours are."""
    left, y, wide = area
    for one in evaluations:
        if one.finding == about.finding and about.image in one.images:
            for line in wrapped(words.answer(one), 20, wide, 2):
                write(draw, (left, y), line, 20, LETTERS)
                y += height(20)
    for line in wrapped(words.colours(about.finding), 17, wide, 4):
        write(draw, (left, y), line, 17, SOFT)
        y += height(17)


def _legend(image: Image.Image, draw: ImageDraw.ImageDraw, one: Explanation, words: PageWords, area: tuple[int, int, int]) -> None:
    """From nothing to the largest value, as it looks over grey of medium brightness."""
    left, top, wide = area
    write(draw, (left, top), fitted(words.log_odds(one.label), 20, wide), 20, LETTERS)
    bar, length = top + 36, wide - 60
    shares = np.repeat(np.linspace(0, 1, length, dtype=np.float32)[None], _BAR, axis=0)
    image.paste(heated(Image.new("RGB", (length, _BAR), _GREY), shares), (left, bar))
    draw.rectangle((left, bar, left + length, bar + _BAR), outline=FRAME)
    for tick in range(_TICKS):
        share = tick / (_TICKS - 1)
        draw.line((left + share * length, bar + _BAR, left + share * length, bar + _BAR + 7), fill=SOFT, width=2)
        value = share * scale_of(one)
        write(draw, (left + share * length, bar + _BAR + 9), "0" if not tick else f"{value:.2g}", 17, LETTERS, align=share)
    if float(one.values.min()) < 0:
        write(draw, (left, bar + _BAR + 34), fitted(words.against, 16, wide), 16, SOFT)
