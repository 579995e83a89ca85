"""Pixels as a browser shows them: the header's window, grey or colour, turned as people look at it, with square pixels, as PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.header import Instance
from inference.imaging.stored import Values
from node.results.page.lettering import wrapped, write
from node.results.page.panels import View

MOST_PIXELS = 1536
"""Pictures are made smaller than this on each side; a monitor shows no more."""
_PER_FRAME, _SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayWindow:
    """Centre and width in modality values, and by which function they become grey (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    centre: float
    width: float
    function: str = "LINEAR"

    def grey(self, values: Values) -> NDArray[np.uint8]:
        """Modality values as 0 (black) to 255 (white)."""
        x = values.astype(np.float32)
        if self.function == "SIGMOID":
            share = 1 / (1 + np.exp(np.clip(-4 * (x - self.centre) / self.width, -60, 60)))
        elif self.function == "LINEAR_EXACT":
            share = (x - self.centre) / self.width + 0.5
        else:
            # C.11.2.1.2.1; of width 1 it is a step
            share = (x - (self.centre - 0.5)) / max(self.width - 1, 1e-6) + 0.5
        if values.dtype.kind == "f":
            share = np.nan_to_num(share, posinf=1, neginf=0)  # maps have NaN where they say nothing: black
        return np.asarray(np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


def window_in(header: Dataset, frame: int) -> DisplayWindow | None:
    """The first window that an instance gives for a frame (0-based); None where it gives none that makes sense."""
    holders = [header]
    for sequence, index in ((_SHARED, 0), (_PER_FRAME, frame)):
        groups = header.get(sequence) or ()
        if index < len(groups):
            holders += list(groups[index].get("FrameVOILUTSequence") or ())[:1]
    for holder in reversed(holders):
        centre, width = (_first(holder, tag) for tag in (0x00281050, 0x00281051))
        if centre is not None and width is not None and width > 0:
            return DisplayWindow(centre=centre, width=width, function=tags.text(holder, 0x00281056).upper() or "LINEAR")
    return None


def _first(holder: Dataset, tag: int) -> float | None:
    """The first of the windows that may stand there."""
    for count in range(1, 9):
        if (found := tags.stated(holder, tag, count)) is not None:
            return float(found[0])
    return None


def window_by(values: Values) -> DisplayWindow:
    """A window for images whose header gives none: nearly all of their values."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(edge) for edge in np.percentile(known, (0.5, 99.5))) if known.size else (0.0, 0.0)
    return DisplayWindow(centre=(low + high) / 2, width=max(high - low, 1e-6), function="LINEAR_EXACT")


def as_decoded(window: DisplayWindow, instance: Instance, frame: int) -> DisplayWindow:
    """The window for values as they are decoded, which turns MONOCHROME1 over where values have no unit of their own."""
    pixels = instance.pixels
    if pixels.photometric != "MONOCHROME1" or instance.physical or instance.lookup_table:
        return window
    rescale = instance.rescale[frame]
    ends = -1 if pixels.signed else (1 << pixels.bits_stored) - 1
    return DisplayWindow(centre=rescale.slope * ends + 2 * rescale.intercept - window.centre, width=window.width, function=window.function)


def picture(pixels: NDArray[np.uint8], view: View | None, *, most: int = MOST_PIXELS, smooth: bool = True) -> Image.Image:
    """Grey (Y, X), RGB (Y, X, 3) or RGBA (Y, X, 4) as it is looked at; equal shapes and views give equal sizes, whatever is in them.

    Parameters
    ----------
    smooth
        False keeps every value what it is: of masks.
    """
    down, right = (1.0, 1.0) if view is None else view.spacing_mm
    image = Image.fromarray(np.ascontiguousarray(pixels if view is None else _turned(pixels, view)))
    height, width = image.height * down / min(down, right), image.width * right / min(down, right)
    scale = min(1.0, most / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST)
    return image


def png(image: Image.Image) -> bytes:
    """A file of it; quickly rather than small."""
    made = io.BytesIO()
    image.save(made, "PNG", compress_level=1)
    return made.getvalue()


def words(text: str, size: tuple[int, int]) -> bytes:
    """A sentence in the place of a picture that cannot be made."""
    image = Image.new("RGB", size, (24, 28, 33))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(wrapped(text, 17, size[0] - 28, 6)):
        write(draw, (14, 14 + 24 * number), line, 17, (190, 200, 208))
    return png(image)


def place_in(shape: Sequence[int], view: View | None, right: float, down: float) -> tuple[int, int]:
    """Row and column of pixels (Y, X) of this shape, at shares of the width and height of them as they are looked at."""
    rows, columns = (shape[1], shape[0]) if view is not None and view.transpose else (shape[0], shape[1])
    y, x = (min(int(share * count), count - 1) for share, count in ((down, rows), (right, columns)))
    if view is None:
        return y, x
    y, x = rows - 1 - y if view.flip_down else y, columns - 1 - x if view.flip_right else x
    return (x, y) if view.transpose else (y, x)


def _turned(pixels: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    moved = pixels.swapaxes(0, 1) if view.transpose else pixels
    return moved[:: -1 if view.flip_down else 1, :: -1 if view.flip_right else 1]
