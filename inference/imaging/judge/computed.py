"""Header check: recognises images that were computed from others, whose values measure no place (projections, differences), or no
attenuation (maps of a material, of the electron density, of the atomic number, which spectral CT makes)."""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging import tags

SERIES_DESCRIPTION = 0x0008103E
_COMPUTED = frozenset(
    {
        *("MIP", "MAX_IP", "MAXIP", "MNIP", "MIN_IP", "MINIP", "PROJECTION IMAGE", "SUB", "SUBTRACTION", "SUBTRACT", "VRT", "VOLREN"),
        *("MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE_BASED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY"),
    }
)
"""Values of ImageType (PS3.3 C.8.16.1.3, C.8.16.1.4, of multi-energy CT, and vendors') of projections, subtractions and renderings, and of
maps that are in no HU. Slices that were reformatted (MPR), of one energy (VMI) or with a material taken out (MAT_REMOVED) have the values
of what they show, and are none of these."""
_UNITS = frozenset({"MGML", "PCT", "Z_EFF", "ED", "EDW"})
"""Values of RescaleType (PS3.3 C.11.1.1.2) that such maps are in: mg/ml, per cent, atomic number, densities of electrons."""
_DERIVED = frozenset({"DERIVED", "SECONDARY"})
_WORDS = re.compile(
    r"(?<![A-Z0-9])(?:MIPS?|MAXIP|MINIPS?|MNIP|VRT|SUBTRACT(?:ED|ION)|IODINE (?:MAPS?|OVERLAY|DENSITY|CONCENTRATION)|Z[ -]?EFF(?:ECTIVE)?"
    r"|EFFECTIVE Z|ELECTRON DENSITY)(?![A-Z0-9])"
)
_READ = 256
"""Characters of a description that are looked at."""


def computed(headers: Sequence[Dataset]) -> str:
    """What one of the headers says against images as they were measured, for people; "" where none does."""
    found = (
        computed_by(
            tags.text(header, tags.IMAGE_TYPE).split("\\"), tags.text(header, SERIES_DESCRIPTION), tags.text(header, tags.RESCALE_TYPE)
        )
        for header in headers
    )
    return next(filter(None, found), "")


def computed_by(image_type: Sequence[str], description: str, rescale_type: str = "") -> str:
    """The same of values; a description counts where ImageType says that the image was derived, for slices may be named after what is made
    of them."""
    if (unit := rescale_type.strip().upper()) in _UNITS:
        return f"RescaleType is {unit}: the images were computed from others"
    if values := [value for value in image_type[2:] if value in _COMPUTED]:
        return f"ImageType has {values[0]}: the images were computed from others"
    word = _WORDS.search(description[:_READ].upper().replace("_", " "))
    if word and not _DERIVED.isdisjoint(image_type[:2]):
        return f"SeriesDescription is {quoted(description[:_READ])}, and ImageType {image_type[0]}: the images were computed from others"
    return ""
