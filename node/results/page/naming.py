"""Images, series, numbers and units as people read them, the same on pages, in narratives and in PDFs."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum, auto

from inference.codes import MILLIMETRE, Code, unit_sign
from inference.findings import Measurement
from inference.imaging.subject import Images
from node.results.normalise import text
from node.results.port import Encoding
from node.results.sources import Sources


class Numbering(Enum):
    """How an image is called: by its InstanceNumber, as a frame, or, where neither is known, by its place."""

    IMAGE = auto()
    FRAME = auto()
    PLACE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """What people call one image; `view` is what the header says of a projection, as it says it."""

    numbering: Numbering
    number: str
    view: str = ""


def names_of_images(encoding: Encoding, sources: Sources) -> list[ImageName]:
    """What every slice, image or frame is called, to be put into words."""
    subject = encoding.subject
    views = [image.view for image in subject.images] if isinstance(subject, Images) else [""] * len(sources.slices)
    names = []
    for place, (source, view) in enumerate(zip(sources.slices, views, strict=True), 1):
        number = text(sources.headers[source.sop_instance_uid], "InstanceNumber")
        if source.frame is not None:
            names.append(ImageName(numbering=Numbering.FRAME, number=str(source.frame), view=view))
        else:
            numbering = Numbering.IMAGE if number else Numbering.PLACE
            names.append(ImageName(numbering=numbering, number=number or str(place), view=view))
    return names


def series_date(sources: Sources) -> str:
    """The day of the series, as 2025-03-04; "" where the header says none."""
    date = text(sources.first, "SeriesDate") or text(sources.first, "StudyDate")
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def series_description(sources: Sources) -> str:
    """How the scanner calls the series; "" where it does not."""
    return text(sources.first, "SeriesDescription") or text(sources.first, "ProtocolName")


_WRITTEN_OUT = range(-3, 9)
"""Powers of ten between which numbers are written without one."""


def number(value: float, code: Code) -> str:
    """Three significant digits, which is more than the error of most measurements here allows; a whole number (a count) stays itself, and
    what is not 0 is never 0. Of a length in mm no hundredth: pixels are tenths wide at least.

    Parameters
    ----------
    code
        The unit.
    """
    if _whole(value):
        return str(int(value))
    if _is_short(value, code):
        return f"{value:.1f}"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(f'{digits}e{power}'):.{max(2 - int(power), 0)}f}" if int(power) in _WRITTEN_OUT else f"{value:.3g}"


def _is_short(value: float, code: Code) -> bool:
    """A length that is shown to a tenth of a millimetre."""
    return code.value == MILLIMETRE.value and 1 <= abs(value) < 10


def _whole(value: float) -> bool:
    return abs(value) < 1e9 and value == int(value)


def low(text: str) -> str:
    """Without the capitals of a meaning written in Title Case; abbreviations keep theirs."""
    words = text.split(" ")
    titled = all(word[:1].isupper() for word in words)
    return " ".join(
        word[:1].lower() + word[1:] if word[1:].islower() and (titled or place == 0) else word for place, word in enumerate(words)
    )


def derived_name(derivation: str, name: str) -> str:
    """ "mean attenuation coefficient", and "standard deviation of attenuation coefficient", which is two nouns."""
    return f"{derivation}{' of' if ' ' in derivation else ''} {name}"


def quantity(one: Measurement) -> str:
    """Number and unit: "12.3 cm³"."""
    return _with_unit(one.value, one.unit)


def interval_quantities(one: Measurement) -> tuple[str, str]:
    """Both ends of its interval, the unit behind the second; rounded outward: what is read holds what is meant."""
    low, high = _ends(one)
    return (
        number(float(_rounded(low, one.unit, ROUND_FLOOR)), one.unit),
        _with_unit(float(_rounded(high, one.unit, ROUND_CEILING)), one.unit),
    )


def interval_distances(one: Measurement) -> tuple[str, str]:
    """How far above and below the number that is shown its interval ends; rounded up: what a reader adds up holds what is meant.

    Three significant digits, and all decimals that the number shows, so that of an amount that cannot be negative nobody comes below 0. An
    end that the number was rounded beyond is 0 away.
    """
    shown = Decimal(number(one.value, one.unit))
    low, high = _ends(one)
    above, below = (_distance(far, shown, one.unit) for far in (high - shown, shown - low))
    return above, below


def _distance(far: Decimal, shown: Decimal, code: Code) -> str:
    far = max(far, Decimal(0))
    # numbers that are written out have nine digits at most, and a DS takes sixteen characters (PS3.5 6.2)
    last = max(int(shown.as_tuple().exponent), far.adjusted() - 8)
    rounded = _rounded(far, code, ROUND_CEILING, last)
    return f"{rounded:f}" if not rounded or rounded.adjusted() in _WRITTEN_OUT else f"{rounded:e}"


def _ends(one: Measurement) -> tuple[Decimal, Decimal]:
    """Both ends of its interval, without what binary arithmetic adds behind the twelfth digit of an end or of the number."""
    assert one.interval is not None, "asked of what has an interval"
    value = Decimal(one.value)
    low, high = (
        end.quantize(Decimal(1).scaleb(max(abs(end), abs(value)).adjusted() - 11))
        for end in (Decimal(one.interval.low), Decimal(one.interval.high))
    )
    return low, high


def _rounded(size: Decimal, code: Code, direction: str, last: int | None = None) -> Decimal:
    """With the digits that `number` shows, rounded up or down (decimal's ROUND_CEILING, ROUND_FLOOR).

    Parameters
    ----------
    last
        The power of ten of a digit that is shown whatever it needs; None: no such digit.
    """
    if _whole(float(size)):
        return size.to_integral_value()
    digits = -1 if _is_short(float(size), code) else size.adjusted() - 2
    return size.quantize(Decimal(1).scaleb(digits if last is None else min(digits, last)), direction)


def earlier_quantity(one: Measurement) -> str:
    """The earlier value beside it, in the same unit; "" where there is none."""
    return "" if one.earlier is None else _with_unit(one.earlier.value, one.unit)


def _with_unit(value: float, code: Code) -> str:
    sign = unit_sign(code.value)
    return f"{number(value, code)}{'' if sign in ('', '°') else ' '}{sign}"


def certainty(share: float) -> str:
    """Per cent, whole; never 0 or 100 for what the reports say is neither."""
    percent = round(share * 100, 6)
    if 0 < percent < 0.5:
        return "<1 %"
    return ">99 %" if 99.5 <= percent < 100 else f"{percent:.0f} %"
