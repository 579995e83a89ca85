"""A map drawn over the images, for viewers that show no Parametric Map: an RGB Secondary Capture with the bare slices beside it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from inference.findings import Saliency
from node.domain.profile import Kind
from node.results.identity import encoded, identify
from node.results.kind import Making
from node.results.page.capture import captured, page_of
from node.results.page.figures import Pictures
from node.results.page.lettering import fitted, write
from node.results.page.panels import heated
from node.results.page.picture import Drawn, sheet
from node.results.page.tiles import FRAME, LETTERS, SOFT, lay
from node.results.page.words import PAGE_WORDS, PageWords
from node.results.port import Encoded, Encoding
from node.results.sources import Sources

SLICES = 4
"""Pairs of pictures: the bare slice above, the same with the map below."""

_BAR_ROOM, _BAR_WIDTH, _GREY = 190, 46, (110, 110, 110)
_TICKS = 5


def make(making: Making) -> list[Encoded]:
    """One page in a series of its own for each map, where a profile wants them."""
    encoding, sources = making.encoding, making.sources
    if not any(Kind.OVERLAY in profile.kinds for profile in encoding.profiles):
        return []
    made = []
    for saliency in encoding.findings.saliencies:
        identity = identify(encoding, sources, Kind.OVERLAY, f"map {saliency.label} drawn")
        words = PAGE_WORDS[encoding.language].map_drawn(saliency.label, saliency.quantity)
        made.append(encoded(Kind.OVERLAY, captured(encoding, sources, drawn(encoding, sources, saliency), identity, words), identity))
    return made


def drawn(encoding: Encoding, sources: Sources, saliency: Saliency) -> Drawn:
    """The page: key slices in pairs, and a bar that says which colour is which value."""
    page, volume = page_of(encoding, sources), encoding.volume
    image, draw, (left, top, right, bottom) = sheet(page)
    chosen = strongest(saliency.values)
    pictures = Pictures(volume=volume, findings=encoding.findings)
    crop = pictures.crop(chosen, [saliency])
    names = page.image_names
    bare = [pictures.bare(z, crop, names[z]) for z in chosen]
    over = [pictures.heat(saliency, z, crop, names[z]) for z in chosen]
    tiles = [replace(tile, name=page.words.sentence(tile.name)) for tile in (*bare, *over)]
    lay(image, tiles, (left, top, right - _BAR_ROOM, bottom), columns=len(chosen))
    _bar(image, draw, saliency, page.words, (right - _BAR_ROOM + 30, top, right, bottom))
    return Drawn(image=image, images=chosen)


def strongest(values: NDArray[np.float32], most: int = SLICES) -> list[int]:
    """Up to `most` slices: the one with the largest value, and those where equal shares of the map lie; in the order of the volume."""
    depth = values.shape[0]
    # squared: a faint haze over everything says nothing
    weights = (np.clip(values, 0, None) ** 2).sum(axis=(1, 2), dtype=np.float64)
    if not weights.any():
        weights = np.ones(depth)
    shares = np.cumsum(weights) / weights.sum()
    peak = int(values.max(axis=(1, 2)).argmax())
    chosen = {peak}
    wanted = [int(place) for place in np.searchsorted(shares, (np.arange(most) + 0.5) / most)]
    # from where most of the map lies, and then by how near they are to the largest value
    for z in (*wanted, *sorted(range(depth), key=lambda z: abs(z - peak))):
        if len(chosen) < min(most, depth):
            chosen.add(min(z, depth - 1))
    return sorted(chosen)


def _bar(image: Image.Image, draw: ImageDraw.ImageDraw, saliency: Saliency, words: PageWords, area: tuple[int, int, int, int]) -> None:
    """From nothing to the largest value, as it looks over grey of medium brightness; quantity and unit stand above."""
    left, top, right, bottom = area
    largest = float(saliency.values.max())
    room = right - left
    y: float = top
    for line, size in ((words.label(saliency.label), 20), (words.term(saliency.quantity), 18), (words.unit(saliency.unit), 18)):
        write(draw, (left, y), fitted(line, size, room), size, LETTERS if size == 20 else SOFT)
        y += 28
    start, length = round(y) + 24, bottom - round(y) - 60
    shares = np.repeat(np.linspace(1, 0, length, dtype=np.float32)[:, None], _BAR_WIDTH, axis=1)
    image.paste(heated(Image.new("RGB", (_BAR_WIDTH, length), _GREY), shares), (left, start))
    draw.rectangle((left, start, left + _BAR_WIDTH, start + length), outline=FRAME)
    for tick in range(_TICKS):
        share = tick / (_TICKS - 1)
        at = start + (1 - share) * length
        draw.line((left + _BAR_WIDTH, at, left + _BAR_WIDTH + 8, at), fill=SOFT, width=2)
        write(draw, (left + _BAR_WIDTH + 14, at - 11), _number(share * largest), 18, LETTERS)
    if float(saliency.values.min()) < 0:
        write(draw, (left, bottom - 20), fitted(words.below_zero, 16, room), 16, SOFT)


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.3g}"
