"""Standardized uptake by body weight (SUVbw): what the headers of a PET say of dose, decay and weight, and the factor that follows.

As the Quantitative Imaging Biomarkers Alliance has it for activity concentrations: concentration times weight over the dose that is left at
the time that concentrations are corrected to.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging import tags
from inference.translatable import Translatable, say

T = TypeVar("T")
_UNITS, _SUV_TYPE, _CORRECTED, _DECAY_CORRECTION = 0x00541001, 0x00541006, 0x00280051, 0x00541102
_WEIGHT, _RADIOPHARMACEUTICAL = 0x00101030, 0x00540016
_DOSE, _HALF_LIFE, _START, _START_DATE = 0x00181074, 0x00181075, 0x00181072, 0x00181078
_SERIES_DATE, _SERIES_TIME, _ACQUISITION_DATE, _ACQUISITION_TIME = 0x00080021, 0x00080031, 0x00080022, 0x00080032
_TIMEZONE, _DECAY_FACTOR, _DURATION = 0x00080201, 0x00541321, 0x00181242
_KILOGRAMS, _BECQUERELS, _SECONDS = (0.2, 500.0), (1e5, 2e10), (30.0, 1e6)
"""What weighs, is given to, and is labelled with a patient or a test object; a dose in MBq lies far below."""
_LONGEST = timedelta(hours=24)
_LONGEST_MS = _LONGEST.total_seconds() * 1000
_LAG = timedelta(minutes=1)
"""Between two statements of one time, of which one may be rounded."""
_TIME = re.compile(r"(\d{2})(\d{2})(\d{2})?(?:\.(\d{1,6}))?")
_OFFSET = re.compile(r"[+-]\d{4}")
_DATE_TIME = re.compile(rf"(\d{{8}})(\d{{4}}[\d.]*)({_OFFSET.pattern})?")


class _Lacking(Exception):
    """A factor cannot be had."""

    def __init__(self, reason: Translatable) -> None:
        super().__init__(reason)
        self.reason = reason


def suv_factor(headers: Sequence[Dataset]) -> float | Translatable:
    """What the values of a PET are multiplied by to be SUVbw in g/ml; or why nobody can say."""
    try:
        return _factor(headers)
    except _Lacking as lacking:
        return lacking.reason


def suv_stated(headers: Sequence[Dataset]) -> float | Translatable | None:
    """As `suv_factor`, by what stands in no sequence alone; None where dose and injection decide."""
    try:
        return 1.0 if _stated(headers) is None else None
    except _Lacking as lacking:
        return lacking.reason


def _stated(headers: Sequence[Dataset]) -> tuple[float, str] | None:
    """Weight in kg, and what decay is corrected to; None where values are SUVbw already."""
    units = _word(headers, "Units", _UNITS)
    if units == "GML":
        kind = _one(headers, "SUVType", lambda header: tags.text(header, _SUV_TYPE) or "BW")
        if kind != "BW":
            raise _Lacking(say("SUVType is {word}, not body weight", word=quoted(kind)))
        return None
    if units == "CNTS":
        raise _Lacking(say("the values of this PET are counts (CNTS), and the vendor's own factor for them is not read here"))
    if units != "BQML":
        raise _Lacking(say("the values of this PET are in {units}, which no SUV can be made of", units=quoted(units)))
    missing = [word for word in ("ATTN", "DECY") if any(word not in tags.text(one, _CORRECTED).split("\\") for one in headers)]
    if missing:
        raise _Lacking(say("CorrectedImage lacks {words}", words=" and ".join(missing)))
    weight_kg = _number(headers, "PatientWeight", _KILOGRAMS, lambda header: header, _WEIGHT)
    correction = _word(headers, "DecayCorrection", _DECAY_CORRECTION)
    if correction not in ("START", "ADMIN"):
        raise _Lacking(say("DecayCorrection is {word}, neither START nor ADMIN", word=quoted(correction)))
    return weight_kg, correction


def _factor(headers: Sequence[Dataset]) -> float:
    stated = _stated(headers)
    if stated is None:
        return 1.0
    weight_kg, correction = stated
    dose_bq = _number(headers, "RadionuclideTotalDose", _BECQUERELS, _given, _DOSE)
    half_life_s = _number(headers, "RadionuclideHalfLife", _SECONDS, _given, _HALF_LIFE)
    decayed_s = _decayed_s(headers, half_life_s) if correction == "START" else 0.0
    left_bq = dose_bq * math.exp2(-decayed_s / half_life_s)
    return weight_kg * 1000 / left_bq


def _decayed_s(headers: Sequence[Dataset], half_life_s: float) -> float:
    """From the injection to the start of the series, which concentrations are corrected to."""
    begun = _one(headers, "SeriesTime", lambda header: _moment(tags.text(header, _SERIES_DATE), tags.text(header, _SERIES_TIME)))
    acquired = [_moment(tags.text(one, _ACQUISITION_DATE), tags.text(one, _ACQUISITION_TIME)) for one in headers]
    if begun is None or None in acquired:
        raise _Lacking(say("{keyword} is absent", keyword="SeriesTime" if begun is None else "AcquisitionTime"))
    if begun > min(each for each in acquired if each is not None):
        # a series that was made later says nothing of when the scan began
        raise _Lacking(say("SeriesTime is later than AcquisitionTime: when the scan began is not known"))
    if not any(_corrected_to(header, begun, half_life_s) for header in headers):
        raise _Lacking(say("by DecayFactor, the values are corrected to another time than SeriesTime"))
    injected = _one(headers, "RadiopharmaceuticalStartTime", _injected)
    if injected is None:
        raise _Lacking(say("{keyword} is absent", keyword="RadiopharmaceuticalStartTime"))
    if not timedelta(0) <= begun - injected <= _LONGEST:
        raise _Lacking(say("the injection was not within 24 hours before the scan"))
    return (begun - injected).total_seconds()


def _corrected_to(header: Dataset, begun: datetime, half_life_s: float) -> bool:
    """Whether an image may be corrected to this time: DecayFactor is what has decayed from it to the frame (PS3.3 C.8.9.1.1.5). A scanner's
    SeriesTime may be that at which the series was planned."""
    factor, duration_ms = (tags.stated(header, tag, 1) for tag in (_DECAY_FACTOR, _DURATION))
    acquired = _moment(tags.text(header, _ACQUISITION_DATE), tags.text(header, _ACQUISITION_TIME))
    if factor is None or duration_ms is None or acquired is None or not (factor[0] > 0 and 0 <= duration_ms[0] <= _LONGEST_MS):
        return True
    half = timedelta(milliseconds=duration_ms[0] / 2)
    # of some vendors the beginning of the frame counts, of most its middle
    return abs((acquired - begun) + half - timedelta(seconds=math.log2(factor[0]) * half_life_s)) <= half + _LAG


def _given(header: Dataset) -> Dataset:
    """The one radiopharmaceutical."""
    items = tags.items(header, _RADIOPHARMACEUTICAL, tags.text(header, tags.SOP_INSTANCE_UID))
    if len(items) != 1:
        raise _Lacking(say("{number} radiopharmaceuticals are named", number=str(len(items))))
    return items[0]


def _injected(header: Dataset) -> datetime | None:
    """By the clock that the series goes by; of a time with an offset from UTC, only the series's own offset tells which that is."""
    given = _given(header)
    clock = _moment(tags.text(header, _SERIES_DATE), tags.text(given, _START))
    text = tags.text(given, _START_DATE)
    if len(text) < len("YYYYMMDDHHMM"):
        return clock
    stated = _DATE_TIME.fullmatch(text)
    found = None if stated is None else _moment(stated[1], stated[2])
    if stated is None or found is None:
        return None
    zone = _OFFSET.fullmatch(tags.text(header, _TIMEZONE))
    if stated[3] and zone is not None:
        try:
            found += _from_utc(zone[0]) - _from_utc(stated[3])
        except OverflowError:
            return None
    if clock is not None and _LAG < (found - clock) % timedelta(days=1) < timedelta(days=1) - _LAG:
        raise _Lacking(say("RadiopharmaceuticalStartTime and RadiopharmaceuticalStartDateTime do not agree"))
    return found


def _from_utc(offset: str) -> timedelta:
    """Of "+0530"."""
    ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
    return -ahead if offset[0] == "-" else ahead


def _moment(date: str, time: str) -> datetime | None:
    found = _TIME.fullmatch(time)
    if found is None or not re.fullmatch(r"\d{8}", date):
        return None
    hour, minute, second, fraction = found.groups()
    try:
        return datetime(
            int(date[:4]), int(date[4:6]), int(date[6:]), int(hour), int(minute), int(second or 0), int((fraction or "").ljust(6, "0"))
        )
    except ValueError:
        return None


def _word(headers: Sequence[Dataset], keyword: str, tag: int) -> str:
    stated = _one(headers, keyword, lambda header: tags.text(header, tag))
    if not stated:
        raise _Lacking(say("{keyword} is absent", keyword=keyword))
    return stated


def _number(headers: Sequence[Dataset], keyword: str, bounds: tuple[float, float], of: Callable[[Dataset], Dataset], tag: int) -> float:
    stated = _one(headers, keyword, lambda header: tags.stated(of(header), tag, 1))
    if stated is None:
        raise _Lacking(say("{keyword} is absent", keyword=keyword))
    if not bounds[0] <= stated[0] <= bounds[1]:
        raise _Lacking(say("{keyword} is {value}, which it cannot be", keyword=keyword, value=f"{stated[0]:g}"))
    return stated[0]


def _one(headers: Sequence[Dataset], keyword: str, of: Callable[[Dataset], T]) -> T:
    """What all images say alike."""
    said = list(dict.fromkeys(of(header) for header in headers))
    if len(said) != 1:
        raise _Lacking(say("the images do not agree on {keyword}", keyword=keyword))
    return said[0]
