"""When a series was acquired and with which kernel it was reconstructed, as far as its headers tell: what two visits are compared by."""

from collections.abc import Sequence
from datetime import date

from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.age import as_day
from inference.imaging.groups import macro
from inference.imaging.slices import Slice, frame_data

_DAYS = (0x0008002A, 0x00080022, 0x00080021, tags.STUDY_DATE)
"""AcquisitionDateTime, AcquisitionDate, SeriesDate, StudyDate: the day on which the patient was imaged, before those of reconstructions."""
_CT_RECONSTRUCTION, _KERNEL = 0x00189314, 0x00181210
_DATE = 8
"""Characters of a DT that are its date (PS3.5 6.2)."""


def acquired_on(headers: Sequence[Dataset]) -> date | None:
    """By the first attribute of `_DAYS` that all headers have; None where none has one.

    None, too, where StudyDate is later than that day, or more than one day earlier (midnight may lie between): one of both was changed, and
    nobody can say which.
    """
    stated = [_stated(headers, tag) for tag in _DAYS]
    day = next((one for one in stated if one is not None), None)
    study = stated[-1]
    if day is not None and study is not None and not 0 <= (day - study).days <= 1:
        return None
    return day


def _stated(headers: Sequence[Dataset], tag: int) -> date | None:
    """Of an acquisition over midnight the first day."""
    texts = [tags.text(header, tag) for header in headers]
    days = [as_day(text) or as_day(text[:_DATE]) for text in texts]
    known = [day for day in days if day is not None]
    return min(known) if known and len(known) == len(days) and (max(known) - min(known)).days <= 1 else None


def kernel_of(slices: Sequence[Slice]) -> str:
    """ConvolutionKernel, its values joined by a backslash (PS3.3 C.8.2.1, of an enhanced instance C.8.15.3.6); "" where slices differ."""
    stated = {tags.text(macro(frame.own, frame.common, _CT_RECONSTRUCTION, frame.uid), _KERNEL) for frame in frame_data(slices)}
    return stated.pop() if len(stated) == 1 else ""
