"""Header check: recognises images that were computed from others, projections and differences, whose values measure no place."""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging import tags

SERIES_DESCRIPTION = 0x0008103E
_COMPUTED = frozenset(
    {"MIP", "MAX_IP", "MAXIP", "MNIP", "MIN_IP", "MINIP", "PROJECTION IMAGE", "SUB", "SUBTRACTION", "SUBTRACT", "VRT", "VOLREN"}
)
"""Values of ImageType (PS3.3 C.8.16.1.3, C.8.16.1.4, and vendors') of projections, subtractions and renderings. Slices that were
reformatted (MPR) have the values of what they show, and are none of these."""
_DERIVED = frozenset({"DERIVED", "SECONDARY"})
_WORDS = re.compile(r"(?<![A-Z0-9])(?:MIPS?|MAXIP|MINIPS?|MNIP|VRT|SUBTRACT(?:ED|ION))(?![A-Z0-9])")
_READ = 256
"""Characters of a description that are looked at."""


def computed(headers: Sequence[Dataset]) -> str:
    """What one of the headers says against images as they were measured, for people; "" where none does."""
    found = (computed_by(tags.text(header, tags.IMAGE_TYPE).split("\\"), tags.text(header, SERIES_DESCRIPTION)) for header in headers)
    return next(filter(None, found), "")


def computed_by(image_type: Sequence[str], description: str) -> str:
    """The same of values; a description counts where ImageType says that the image was derived, for slices may be named after what is made
    of them."""
    if values := [value for value in image_type[2:] if value in _COMPUTED]:
        return f"ImageType has {values[0]}: the images were computed from others"
    word = _WORDS.search(description[:_READ].upper().replace("_", " "))
    if word and not _DERIVED.isdisjoint(image_type[:2]):
        return f"SeriesDescription is {quoted(description[:_READ])}, and ImageType {image_type[0]}: the images were computed from others"
    return ""
