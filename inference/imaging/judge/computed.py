"""Header check: recognises images that were computed from others, whose values measure no place (projections, differences), or no
attenuation (maps of a material, of the electron density, of the atomic number, which spectral CT makes)."""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.axes import image_types
from inference.imaging.groups import macro
from inference.imaging.judge.words import codes_of
from inference.imaging.slices import FrameData, frames_in

_COMPUTED = frozenset(
    {
        *("MIP", "MAX_IP", "MAXIP", "MNIP", "MIN_IP", "MINIP", "PROJECTION IMAGE", "VRT", "VOLREN"),
        *("SUB", "SUBTRACTION", "SUBTRACT", "SUBTRACTED"),
        *("MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE_BASED", "MAT_MODIFIED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY"),
    }
)
"""Values of ImageType (PS3.3 C.8.16.1.3, C.8.16.1.4, of multi-energy CT, and vendors') of projections, subtractions and renderings, and of
maps that are in no HU, or whose HU were made larger or smaller. Slices that were reformatted (MPR), of one energy (VMI) or with a material
taken out (MAT_REMOVED) have the values of what they show, and are none of these (`spectral`)."""
_UNITS = frozenset({"MGML", "MG/ML", "MG/CC", "PCT", "Z_EFF", "ED", "EDW", "%EDW"})
"""Values of RescaleType (PS3.3 C.11.1.1.2, and as vendors write them) that such maps are in: mg/ml, per cent, atomic number, densities of
electrons."""
_DERIVED = frozenset({"DERIVED", "SECONDARY"})
_BELOW = r"[ -]?(?:ACUTE|MM|MILLI|[0-9.,]+ ?MM|DURAL|ARACHN|CLAVI|CORTIC|XIPHO|PLEUR|PHREN|SEGMENT|MENT|MANDIB|GLOTT)|-0[0-9]"
"""What stands behind a "sub" that means below, less than, or a subject of BIDS, and no subtraction."""
_WORDS = re.compile(
    rf"(?<![A-Z0-9])(?:MIPS?|MAXIP|MINIPS?|MNIP|VRT|DSA|SUB(?!{_BELOW})"
    r"|(?:KNOCHEN)?(?:SUBTRA[CKHÇ]|SUBSTRA[CK]|SOUSTRA[CI]|SUSTRA[CI]|SOTTRA[ZT])\w*"
    rf"|BONE[ -]?(?:SUB(?!{_BELOW})|REMOV)\w*|KNOCHENENTFERN\w*"
    r"|(?:IODINE|JOD|IODE)[ -]?(?:MAPS?|KARTEN?|OVERLAY|DENSITY|CONCENTRATION|NO WATER)"
    r"|(?:MD|DECT|GSI|SPECTRAL) (?:IODINE|JOD|IODE|WATER|CALCIUM)|DE (?:IODINE|JOD|WATER)"
    r"|IODINE ?\(WATER\)|WATER ?\(IODINE\)|Z[ -]?EFF(?:ECTIVE)?|EFFECTIVE Z|RHO ?/? ?Z|ELECTRON DENSITY)(?![A-Z0-9])"
)
_ALONE = re.compile(
    r"\W*(?:(?:DE|DECT|CT|AX(?:IAL)?|COR|SAG|TRA|SPECTRAL|SBI)\W+)*(?:IODINE|IODO|IOD|JOD|IODE|YODO|JODIUM)"
    r"(?:\W+(?:[0-9]*MM|[0-9]+|MG|ML|MGML|[A-Z]{1,2}[0-9]{2}[A-Z]?|AX(?:IAL)?|COR|SAG|TRA))*\W*"
)
"""Iodine, and nothing else but what says how its slices lie: a map of it. Beside other words it is the contrast medium. The point of a
number parts words as a space does: what could be read in two ways would be tried in all of them, for years."""
DERIVATION_CODES = 0x00089215
_DERIVATIONS = frozenset(
    {
        *("113046", "113048", "113050", "113051", "113053", "113062"),  # pixel by pixel, metabolites
        *("113073", "113074", "113075", "113078", "113079", "129104", "129106"),
    }
)
"""Of DCM in CID 7203, image derivation: quotients, maxima, minima, products and differences of images, maps of metabolites; curved
reformatting, renderings, projections; perfusion and tracts."""
_READ = 256
"""Characters of a description that are looked at."""


def computed(headers: Sequence[Dataset]) -> str:
    """What one of the headers says against images as they were measured, for people; "" where none does."""
    found = (
        computed_by(kinds, tags.words(header, tags.SERIES_DESCRIPTION), unit, codes_of(header, DERIVATION_CODES))
        for header in headers
        for frames in (frames_in(header),)
        for kinds, unit in dict.fromkeys(zip(image_types(frames), map(_unit, frames), strict=True))
    )
    return next(filter(None, found), "")


def rescaled(header: Dataset) -> bool:
    """Whether anything says what the stored values of one of its frames stand for."""
    holders = (macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid) for frame in frames_in(header))
    return tags.MODALITY_LUT in header or any(tags.stated(holder, tags.RESCALE_SLOPE, 1) is not None for holder in holders)


def _unit(frame: FrameData) -> str:
    holder = macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid)
    return tags.text(holder, tags.RESCALE_TYPE)


def computed_by(image_type: Sequence[str], description: str, rescale_type: str = "", derivations: Sequence[str] = ()) -> str:
    """The same of values, the last the codes of what was done (DerivationCodeSequence); a description counts where ImageType says that the
    image was derived, for slices may be named after what is made of them."""
    if (unit := rescale_type.strip().upper()) in _UNITS:
        return f"RescaleType is {unit}: the images were computed from others"
    if values := [value for value in image_type[2:] if value in _COMPUTED]:
        return f"ImageType has {values[0]}: the images were computed from others"
    if codes := [code for code in derivations if code in _DERIVATIONS]:
        return f"DerivationCodeSequence has {codes[0]}: the images were computed from others"
    words = description[:_READ].upper().replace("_", " ")
    if (_WORDS.search(words) or _ALONE.fullmatch(words)) and not _DERIVED.isdisjoint(image_type[:2]):
        return f"SeriesDescription is {quoted(description[:_READ])}, and ImageType {image_type[0]}: the images were computed from others"
    return ""
