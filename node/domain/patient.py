"""Patients, who they are by their headers, how old (as DICOM writes ages, AS in PS3.5 6.2, as the calendar has them, as people write them),
and the marks of what was erased of them: digests by which a study is known again unnamed.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from node.domain.instance import Header

_DAYS: Final = {"y": 365.2425, "m": 365.2425 / 12, "w": 7.0, "d": 1.0}
_NOUNS: Final = {"y": "years", "m": "months", "w": "weeks", "d": "days"}
_AGE = re.compile(r"([0-9]{1,3})([DWMY])", re.IGNORECASE)
_OLDEST_YEARS: Final = 120
"""Nobody reaches it who is examined (as inference.imaging.age has it): 999Y and 19000101 stand for who is not to be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """Completed units of time, as AS has them (PS3.5 6.2), or as the calendar between two days does."""

    number: int
    unit: str
    born: date | None = None
    then: date | None = None

    def completed(self, unit: str) -> int:
        """How many of these are over."""
        if self.born is None or self.then is None:
            return self.number if unit == self.unit else int(self.number * _DAYS[self.unit] / _DAYS[unit] + 1e-9)
        if unit in "yw":
            years = self.then.year - self.born.year - ((self.then.month, self.then.day) < (self.born.month, self.born.day))
            return years if unit == "y" else (self.then - self.born).days // 7
        if unit == "d":
            return (self.then - self.born).days
        return 12 * (self.then.year - self.born.year) + self.then.month - self.born.month - (self.then.day < self.born.day)

    @property
    def words(self) -> str:
        """For people."""
        noun = _NOUNS[self.unit]
        return f"{self.number} {noun if self.number != 1 else noun.removesuffix('s')}"


def age_of(text: str) -> Age | None:
    """The age that an AS value says; None where it says none, or one of nobody: 0 in any unit stands for what was taken out."""
    found = _AGE.fullmatch(text.strip())
    age = Age(number=int(found[1]), unit=found[2].lower()) if found else None
    return age if age is not None and age.number and age.completed("y") <= _OLDEST_YEARS else None


def age_on(born: date, then: date) -> Age | None:
    """In the largest unit of which one is over; None where nobody can be so old, or is not born."""
    whole = Age(number=0, unit="d", born=born, then=then)
    if born > then or whole.completed("y") > _OLDEST_YEARS:
        return None
    unit = next(one for one in ("y", "m", "d") if whole.completed(one) or one == "d")
    return Age(number=whole.completed(unit), unit=unit, born=born, then=then)


def age_in(text: str) -> tuple[int, str]:
    """Number and unit of an age as routes write it (`18y`)."""
    return int(text[:-1]), text[-1]


def days_of(number: int, unit: str) -> float:
    """About how many days that is, to tell which of two ages is more."""
    return number * _DAYS[unit]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Patient:
    """PatientID (0010,0020) with IssuerOfPatientID (0010,0021). Equal IDs of different issuers are different patients, and so are those
    of which one has no issuer: nobody can say."""

    patient_id: str
    issuer: str

    def contradicts(self, other: "Patient") -> bool:
        """Whether they cannot be one: another ID, or another issuer. Where one issuer is not said nothing speaks against it."""
        return self.patient_id != other.patient_id or bool(self.issuer and other.issuer and self.issuer != other.issuer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """A series of another study that some header calls the same patient's. Headers decide whether it still is; this is where to look."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    studied_at: str


def patient_of(header: Header) -> Patient | None:
    """The patient of an instance or a series; None without an ID, or where a series' instances name several."""
    ids, issuers = named_by(header)
    if len(ids) != 1 or len(issuers) > 1:
        return None
    return Patient(patient_id=ids[0], issuer=issuers[0] if issuers else "")


def named_by(header: Header) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values of PatientID and of IssuerOfPatientID that are not blank: instances with equal ones are of one patient, or of nobody."""
    ids, issuers = (tuple(_texts(header, keyword)) for keyword in ("PatientID", "IssuerOfPatientID"))
    return ids, issuers


def studied_at(header: Header) -> str:
    """When the study began, as text that sorts (YYYYMMDDHHMMSS.FFFFFF, or a part of it); "" where no date says it.

    StudyDate with StudyTime; the dates of series and acquisition are asked where the study has none.
    """
    for day_word, time_word in (("StudyDate", "StudyTime"), ("SeriesDate", "SeriesTime"), ("AcquisitionDate", "AcquisitionTime")):
        days = [day for day in _texts(header, day_word) if len(day) == 8 and day.isdigit()]
        if days:
            times = [moment for moment in _texts(header, time_word) if moment.replace(".", "").isdigit()]
            return min(days) + (min(times) if times else "")
    return ""


def is_earlier(one: str, other: str) -> bool:
    """Whether moments of `studied_at` say so: on one day only where both have a time."""
    if not one or (one[:8] == other[:8] and min(len(one), len(other)) <= 8):
        return False
    return one < other


def _texts(header: Header, keyword: str) -> list[str]:
    """The distinct values that are not blank."""
    return list(dict.fromkeys(text for value in header.get(keyword, ()) if (text := str(value).strip())))


STILL_KNOWN = timedelta(days=3)
"""How long a mark outlives its time: senders may send the study again, and what the node itself had left somewhere is still dropped."""


def mark_of(study_instance_uid: str, patient: Patient | None) -> str:
    """The mark of a study as far as its headers name this patient; None: as far as they name nobody."""
    return _digest(study_instance_uid, "nobody" if patient is None else f"of\n{patient.patient_id}\n{patient.issuer}")


def mark_of_all(study_instance_uid: str) -> str:
    """The mark of a study whoever it is of."""
    return _digest(study_instance_uid, "whosever")


def marks(study_instance_uid: str, header: Header) -> set[str]:
    """The marks under which an instance may have been erased."""
    return {mark_of(study_instance_uid, patient_of(header)), mark_of_all(study_instance_uid)}


def _digest(study_instance_uid: str, whose: str) -> str:
    return hashlib.sha256(f"{study_instance_uid}\n{whose}".encode("utf-8", "surrogatepass")).hexdigest()
