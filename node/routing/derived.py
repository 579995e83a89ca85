"""Words of routes that no keyword says: the patient's age, the plane of the images, and whether contrast was given. Each is told with the
elements that it was taken from.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from inference.applications.accept import nearest_plane
from node.domain.age import Age, age_of, age_on
from node.domain.instance import Header, Value
from node.domain.route import DERIVED, Derived

_BETWEEN_TWO = "oblique"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a header says to a word. `ages` are the values of `age`; `found` is for people."""

    values: tuple[Value, ...]
    found: str
    ages: tuple[Age, ...] = ()


def told(word: Derived, header: Header) -> Told:
    """What the header says; no value where nothing in it does, or two things contradict each other."""
    return _told(word, tuple(header.get(keyword) for keyword in DERIVED[word]))


@lru_cache(maxsize=4096)
def _told(word: Derived, said: tuple[tuple[Value, ...] | None, ...]) -> Told:
    """Remembered: the series of many studies say the same."""
    return _BY_WORD[word](dict(zip(DERIVED[word], (values or () for values in said), strict=True)))


# ---- age


def _age(said: Mapping[str, tuple[Value, ...]]) -> Told:
    """PatientAge, or where that says none PatientBirthDate and StudyDate."""
    if written := tuple(age for value in said["PatientAge"] if (age := age_of(str(value)))):
        return _of_ages(written, f"PatientAge {_listed(said['PatientAge'])}")
    born, then = ([day for value in said[key] if (day := _day(value))] for key in ("PatientBirthDate", "StudyDate"))
    spans = [age_on(one, other) for one in born for other in then]
    ages = tuple(age for age in spans if age is not None)
    if not spans or len(ages) < len(spans):
        return Told(values=(), found="unknown (no PatientAge of a patient, nor PatientBirthDate with a later StudyDate)")
    return _of_ages(ages, f"PatientBirthDate {_listed(said['PatientBirthDate'])}, StudyDate {_listed(said['StudyDate'])}")


def _of_ages(ages: tuple[Age, ...], source: str) -> Told:
    words = ", ".join(age.words for age in ages)
    return Told(values=tuple(f"{age.number}{age.unit}" for age in ages), found=f"{words} ({source})", ages=ages)


def _day(value: Value) -> date | None:
    text = str(value).strip()
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])) if re.fullmatch("[0-9]{8}", text) else None
    except ValueError:
        return None


# ---- plane


def _plane(said: Mapping[str, tuple[Value, ...]]) -> Told:
    """By every orientation of the images (`node.dicom.header.merge` has one behind the other)."""
    numbers = said["ImageOrientationPatient"]
    cosines = [float(value) for value in numbers if not isinstance(value, str)]
    if not cosines or len(cosines) != len(numbers) or len(cosines) % 6:
        return Told(values=(), found="unknown (no ImageOrientationPatient)")
    planes = tuple(dict.fromkeys(nearest_plane(cosines[at : at + 6]) or _BETWEEN_TWO for at in range(0, len(cosines), 6)))
    return Told(values=planes, found=", ".join(planes))


# ---- contrast

_GIVEN, _NATIVE = "given", "native"
_SAYS_NOTHING = re.compile(r"n/?a|n\.a\.|unknown|unbekannt|unspecified|other|[-?./\s]*", re.IGNORECASE)
_SAYS_NONE = re.compile(
    r"none|no|n|nil|0|nihil|without|w/?o|nativ(?:e[rsmn]?|o|a)?|plain|unenhanced|no[nt]?[ _-]?contrast|no[ _-]cm|"
    r"(?:ohne|kein\w*|sans|sin|senza|aucun\w*)(?: .*)?",
    re.IGNORECASE,
)
_AGENT = r"(?:i\.?v\.?[ _-]*)?(?:con(?:trast)?\w*|cm|km|gd|gad\w*|dye|injec\w*|kontrast\w*|mdc)"
_NATIVE_WORDS = re.compile(
    r"(?<![^\W_])(?:nativ(?:e[rsmn]?|o|a)?|"
    rf"un-?enhanced|ncct|non?[ _-]?(?:contrast\w*|con|enhanced|iv)|pre[ _-]?(?:contrast|con|gd|gad\w*|km|inj\w*)|"
    rf"(?:without|w/?o)(?:[ _-]*$|[ _-]+{_AGENT})|ohne[ _-]+{_AGENT}|o\.?[ _-]?km|sans[ _-]+{_AGENT}|sin[ _-]+{_AGENT}|senza[ _-]+{_AGENT})"
    r"(?![^\W_])",
    re.IGNORECASE,
)
_BOTH_WORDS = re.compile(
    r"(?<![^\W_])(?:w(?:ith)?[ _/&+-]+(?:and[ _-]+)?w(?:ithout|/?o)|mit[ _/&+-]+(?:und[ _-]+)?ohne|avec[ _/&+-]+(?:et[ _-]+)?sans|"
    r"con[ _/&+-]+[ye]?[ _-]*(?:sin|senza))(?![^\W_])",
    re.IGNORECASE,
)
_GIVEN_WORDS = re.compile(
    r"(?<![^\W_])(?:contrast(?:ed)?|kontrast\w*|enhanced|ce|cect|post[ _-]?(?:contrast|con|gd|gad\w*|km|inj\w*)|gd|gad[oa]\w*|km|mdc|"
    r"inject\w*|portal\w*|(?:arterial|venous|nephrographic|excretory)[ _-]phase|arteriell\w*|ven(?:ö|oe)s\w*)(?![^\W_])|"
    r"(?<!\w)\+[ _-]?(?:c|gd|km|cm)(?![^\W_])|(?<![^\W_])c\+",
    re.IGNORECASE,
)


def _contrast(said: Mapping[str, tuple[Value, ...]]) -> Told:
    """The agent says it, and what the series is called may contradict; where neither says it, what the study is called does."""
    agents = [one for one in _texts(said["ContrastBolusAgent"]) if not _SAYS_NOTHING.fullmatch(one)]
    answers = [(f"ContrastBolusAgent {one}", _SAYS_NONE.fullmatch(one) is None) for one in agents]
    answers += [(f"ContrastBolusAgentSequence {code}", True) for code in _texts(said["ContrastBolusAgentSequence"])]
    answers += [answer for key in ("SeriesDescription", "ProtocolName") if (answer := _described(key, said[key]))]
    if not answers and (study := _described("StudyDescription", said["StudyDescription"])):
        answers = [study]
    if not answers:
        return Told(values=("unknown",), found="unknown (no ContrastBolusAgent, and no description says)")
    sources = ", ".join(source for source, _ in answers)
    if len({given for _, given in answers}) > 1:
        return Told(values=("unknown",), found=f"unknown ({sources} contradict each other)")
    word = _GIVEN if answers[0][1] else _NATIVE
    return Told(values=(word,), found=f"{word} ({sources})")


def _described(keyword: str, values: Sequence[Value]) -> tuple[str, bool] | None:
    """Whether a description says that contrast was given; None where it does not say, or says both."""
    for text in _texts(values):
        if _BOTH_WORDS.search(text):
            continue
        native = _NATIVE_WORDS.search(text) is not None
        given = _GIVEN_WORDS.search(_NATIVE_WORDS.sub(" ", text)) is not None
        if native is not given:
            return f"{keyword} {text}", given
    return None


def _texts(values: Sequence[Value]) -> list[str]:
    return [text for value in values if (text := str(value).strip())]


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(map(str, values))


_BY_WORD: Final[Mapping[Derived, Callable[[Mapping[str, tuple[Value, ...]]], Told]]] = {
    Derived.AGE: _age,
    Derived.PLANE: _plane,
    Derived.CONTRAST: _contrast,
}
