"""Ages in completed years, months, weeks or days: as DICOM writes them (AS, PS3.5 6.2), as the calendar has them, as people write them."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

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
