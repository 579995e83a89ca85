"""What the values of images are: attenuation, a diffusion coefficient, standardized uptake, or the signal of MR, which has no unit; and
which of them are padding and no values at all.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference import codes
from inference.codes import Code
from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.alike import rescale_type
from inference.imaging.groups import functional_groups, rescale_of
from inference.imaging.judge.spectral import spectral
from inference.imaging.measures.body_weight import suv_factor, suv_stated
from inference.imaging.volume import SliceSource, Volume, Voxels
from inference.translatable import Translatable, say

ADC = Code("113041", "DCM", "Apparent Diffusion Coefficient")
MR_SIGNAL = Code("110852", "DCM", "MR signal intensity")
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")
SQUARE_MICROMETRES_A_SECOND = Code("um2/s", "UCUM", "square micrometer per second")

_FACTORS = (1.0, 1e3, 1e6)
"""ADCs without a unit are stored in 10⁻⁶, 10⁻³ or 1 mm²/s; 1 µm²/s is 10⁻⁶ mm²/s."""
_USUAL_ADC = (300.0, 2900.0)
"""Of the median of an image in µm²/s: free water at 37 °C has some 3,000, grey and white matter 700 to 900, glands and muscle 1,000 to
2,000. It spans less than a power of ten, so that a map in 10⁻⁵ mm²/s lies beside it and not in it."""
_POSSIBLE_ADC = (50.0, 5000.0)
"""Of the median where the header states the unit."""
_UNIT = re.compile(r"(?:(?:1(?:[.]0*)?)?[x*]?(?:10[*^]?|1?e)(?P<power>[+-]?\d{1,2})[.* ]?)?(?P<length>[uµμmc]?m)[\^*]?[2²]/s(?:ec)?")
"""A diffusion coefficient's: "um2/s", "10*-6.mm2/s", "1E-3 mm^2/s". "10E-6", which is 10⁻⁵ and often written for 10⁻⁶, is none."""
_METRES = {"um": 1e-6, "µm": 1e-6, "μm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
_SAYS_NOTHING = frozenset({"", "US", "UNSPECIFIED", "NORMALIZED"})
"""Words of RescaleType; "US" is "unspecified" (PS3.3 C.11.1.1.2)."""
_UNITS_CODE, _CODE_VALUE = 0x004008EA, 0x00080100
_RWV_SLOPE, _RWV_INTERCEPT = 0x00409225, 0x00409224
_FEWEST = 100
"""Voxels above 0, of which a median says something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What values are, in which unit; they are those of the voxels times `factor`.

    Attributes
    ----------
    sign
        The unit as part of a code's value ("HU"); "" where a threshold would mean nothing.
    """

    name: Code
    unit: Code
    sign: str
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Why nobody can say what the values are."""

    reason: Translatable


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """What the values are is not told by what is kept of headers: `by` tells it when the images are read."""

    by: str


HOUNSFIELD = Quantity(name=codes.ATTENUATION_COEFFICIENT, unit=codes.HOUNSFIELD_UNIT, sign="HU")
DIFFUSION = Quantity(name=ADC, unit=SQUARE_MICROMETRES_A_SECOND, sign="UM2/S")
SIGNAL = Quantity(name=MR_SIGNAL, unit=ARBITRARY, sign="")
UPTAKE = Quantity(
    name=Code("126401", "DCM", "SUVbw"), unit=Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"), sign="SUVBW"
)
OF_MODALITY = {"CT": (HOUNSFIELD,), "MR": (DIFFUSION, SIGNAL), "PT": (UPTAKE,)}
"""What the values of a modality's images may be."""


def quantity_stated(modality: str, headers: Sequence[Dataset]) -> Quantity | Unknown | Undecided:
    """What the values of images are, by the elements of their headers that stand in no sequence."""
    if modality == "CT":
        others = sorted({kind for header in headers if (kind := str(rescale_type(_rescaled_to(header), "CT"))) != "HU"})
        if others:
            return Unknown(reason=say("the values of these images are {kind}, not HU", kind=", ".join(others)))
        against = next(filter(None, (one.against_measuring() for one in spectral(headers))), None)
        return HOUNSFIELD if against is None else Unknown(reason=against)
    if modality == "MR":
        adc = headers and all("ADC" in tags.text(header, tags.IMAGE_TYPE).split("\\") for header in headers)
        return Undecided(by="the unit of an ADC map, by its values or its mapping to them,") if adc else SIGNAL
    if modality == "PT":
        factor = suv_stated(headers)
        return Undecided(by="the dose, and when it was given,") if factor is None else _uptake(factor)
    return Unknown(reason=say("it is not known here what the values of {modality} images are", modality=modality))


def quantity_of(volume: Volume, headers: Sequence[Dataset]) -> Quantity | Unknown:
    """What the values of a volume are, by the headers of its images; of an ADC the power of ten by its values."""
    stated = quantity_stated(volume.modality, headers)
    if not isinstance(stated, Undecided):
        return stated
    if volume.modality == "MR":
        return _diffusion(volume, headers)
    return _uptake(suv_factor(headers))


def _uptake(factor: float | Translatable) -> Quantity | Unknown:
    return replace(UPTAKE, factor=factor) if isinstance(factor, float) else Unknown(reason=factor)


def _diffusion(volume: Volume, headers: Sequence[Dataset]) -> Quantity | Unknown:
    """By the unit that the headers state; where they state none, as is usual, by the values, in which powers of a thousand show."""
    unit, *others = (_stated_unit(header) for header in headers)
    if not all(_alike(unit, other) for other in others):
        return Unknown(reason=say("the images do not agree on the unit of their ADCs"))
    factors: tuple[float, ...]
    sampled = volume.voxels[:, ::2, ::2]
    padding = Padding(headers).among(volume, slice(None), sampled)
    above = sampled[sampled > 0] if padding is None else sampled[(sampled > 0) & ~padding]
    median = float(np.median(above)) if above.size >= _FEWEST else 0.0
    if unit is None:
        factors, usual = _FACTORS, _USUAL_ADC
        why = say("the unit of this ADC map is not stated and cannot be told from its values")
    elif unit.factor is None:
        return Unknown(
            reason=say(
                "the values of this ADC map cannot be brought from {unit}, as its header states them, to µm²/s", unit=quoted(unit.text)
            )
        )
    else:
        factors, usual = (unit.factor,), _POSSIBLE_ADC
        why = say("the values of this ADC map are none in {unit}, as its header says", unit=quoted(unit.text))
    factor = next((one for one in factors if usual[0] <= median * one <= usual[1]), None)
    return Unknown(reason=why) if factor is None else replace(DIFFUSION, factor=factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """What a header says of the unit, and what the modality values are multiplied by to be in µm²/s; None: nobody can say."""

    text: str
    factor: float | None


def _alike(one: _Unit | None, other: _Unit | None) -> bool:
    """Whether both are one unit; where each image has a slope of its own, its quotient is that of the others but for its last digits."""
    if one is None or other is None or one.factor is None or other.factor is None:
        return one == other
    return one.text == other.text and math.isclose(one.factor, other.factor, rel_tol=1e-4)


def _stated_unit(header: Dataset) -> _Unit | None:
    """By RealWorldValueMappingSequence (PS3.3 C.7.6.16.2.11), which is made for it, else by RescaleType; None where neither says it."""
    uid = tags.text(header, tags.SOP_INSTANCE_UID)
    for item in _in_first_frame(header, tags.REAL_WORLD_VALUE_MAPPING):
        text = next((tags.text(code, _CODE_VALUE) for code in tags.items(item, _UNITS_CODE, uid)), "")
        if text in ("1", "[arb'U]", ""):
            continue
        scale, factor = _scale(header, item), _micrometres(text)
        return _Unit(text=text, factor=None if factor is None or scale is None else factor * scale)
    text = _rescaled_to(header)
    return None if text.upper() in _SAYS_NOTHING else _Unit(text=text, factor=_micrometres(text))


def _scale(header: Dataset, item: Dataset) -> float | None:
    """Real world value over modality value; None where the one is not the other times a number."""
    mapping = [tags.stated(item, tag, 1) for tag in (_RWV_SLOPE, _RWV_INTERCEPT)]
    holder = next(_in_first_frame(header, tags.PIXEL_VALUE_TRANSFORMATION), header)
    slope, intercept = (tags.stated(holder, tag, 1) for tag in (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT))
    if mapping[0] is None or mapping[1] is None or slope == (0.0,):
        return None
    scale = mapping[0][0] / (slope or (1.0,))[0]
    apart = mapping[1][0] - scale * (intercept or (0.0,))[0]
    # headers round: a hundredth of a stored step is no other zero
    return scale if abs(apart) <= 0.01 * abs(mapping[0][0]) else None


def _micrometres(text: str) -> float | None:
    """A unit in µm²/s; None of what is none of a diffusion coefficient."""
    found = _UNIT.fullmatch(text.strip().lower())
    if found is None:
        return None
    return (_METRES[found["length"]] / 1e-6) ** 2 * 10.0 ** int(found["power"] or 0)


def _rescaled_to(header: Dataset) -> str:
    """RescaleType (0028,1054), of enhanced images that of the first frame."""
    holders = [header, *_in_first_frame(header, tags.PIXEL_VALUE_TRANSFORMATION)]
    return next((said for holder in holders if (said := tags.text(holder, tags.RESCALE_TYPE))), "")


def _in_first_frame(header: Dataset, sequence: int) -> Iterator[Dataset]:
    """The items of a sequence, of enhanced images those of the first frame."""
    uid = tags.text(header, tags.SOP_INSTANCE_UID)
    shared, per_frame = _groups(header, uid)
    for group in (header, shared, *per_frame[:1]):
        yield from tags.items(group, sequence, uid)


def _groups(header: Dataset, uid: str) -> tuple[Dataset, Sequence[Dataset]]:
    return functional_groups(header, int((tags.stated(header, tags.NUMBER_OF_FRAMES, 1) or (1.0,))[0]), uid)


class Padding:
    """Which voxels are padding, as PixelPaddingValue and PixelPaddingRangeLimit say (PS3.3 C.7.5.1.1.2): they are no values of anything."""

    def __init__(self, headers: Sequence[Dataset]) -> None:
        self._headers = {tags.text(header, tags.SOP_INSTANCE_UID): header for header in headers}
        self._ranges: dict[tuple[str, int | None], tuple[float, float] | None] = {}

    def among(self, volume: Volume, slices: slice, values: Voxels) -> NDArray[np.bool_] | None:
        """Where the values (z, y, x) of some slices of a volume are padding; None where no header of theirs says anything of it."""
        found = [self._range(source, volume.modality) for source in volume.sources[slices]]
        if not any(found):
            return None
        marked = np.zeros(values.shape, np.bool_)
        for plane, one, out in zip(values, found, marked, strict=True):
            if one is not None:
                out[...] = (plane > one[0]) & (plane < one[1])
        return marked

    def _range(self, source: SliceSource, modality: str) -> tuple[float, float] | None:
        key = (source.sop_instance_uid, source.frame)
        if key not in self._ranges:
            header = self._headers.get(source.sop_instance_uid)
            self._ranges[key] = None if header is None else _padding_of(header, source.frame, ct=modality == "CT")
        return self._ranges[key]


def _padding_of(header: Dataset, frame: int | None, *, ct: bool) -> tuple[float, float] | None:
    """Between which modality values of a frame (1-based) all are padding, half a stored step beyond either end."""
    uid = tags.text(header, tags.SOP_INSTANCE_UID)
    value = tags.stated(header, tags.PIXEL_PADDING_VALUE, 1)
    if value is None:
        return None
    limit = tags.stated(header, tags.PIXEL_PADDING_RANGE_LIMIT, 1) or value
    signed = tags.stated(header, tags.PIXEL_REPRESENTATION, 1) == (1.0,)
    # read without a VR of its own it is unsigned, whatever the pixels are
    stored = [one[0] - 65536 if signed and one[0] > 32767 else one[0] for one in (value, limit)]
    shared, per_frame = _groups(header, uid)
    own, common = (per_frame[(frame or 1) - 1], shared) if per_frame else (header, header)
    rescale, _ = rescale_of(own, common, uid, ct=ct)
    ends = sorted(one * rescale.slope + rescale.intercept for one in stored)
    half = abs(rescale.slope) / 2
    return ends[0] - half, ends[1] + half
