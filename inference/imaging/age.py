"""Patient age at the time of the images, as far as a header tells."""

import re
from datetime import date

from pydicom.dataset import Dataset

from inference.imaging import tags

_AGE = re.compile(r"([0-9]{1,3})([DWMY])", re.IGNORECASE)
"""AS has three digits and a capital; some write 4Y, which says no less (`node.domain.patient.age_of` reads it alike)."""
_IN_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_OLDEST = 120
"""Nobody reaches it who is examined: 999Y and 19000101 stand for patients who are not to be known."""


def years_of(header: Dataset) -> int | None:
    """Completed years: by PatientAge (AS, PS3.5 6.2), else from PatientBirthDate to StudyDate; None where neither can be made out.

    An age of 0 in any unit says nothing: it stands for what was taken out, and of who was born today the dates say so.
    """
    stated = _AGE.fullmatch(tags.text(header, tags.PATIENT_AGE))
    if stated and int(stated[1]) and (years := int(int(stated[1]) / _IN_A_YEAR[stated[2].upper()])) <= _OLDEST:
        return years
    born, then = (as_day(tags.text(header, tag)) for tag in (tags.PATIENT_BIRTH_DATE, tags.STUDY_DATE))
    if born is None or then is None:
        return None
    years = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    return years if 0 <= years <= _OLDEST else None


def as_day(text: str) -> date | None:
    """A date as DA has it, with the points of old files too (PS3.5 6.2); None of what is none."""
    found = _DATE.fullmatch(text)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None
