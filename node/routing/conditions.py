"""Conditions of routes are tried on a merged header: whether one holds, and in which words to tell it.

Beside DICOM keywords they ask for what no keyword says: the patient's age, the plane of the images, whether contrast was given. Hours ask
for the moment at which the last image of a study came, which the journal keeps: a replay answers as the node did.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Final

from inference.applications.accept import nearest_plane
from inference.imaging.age import as_day
from inference.imaging.judge.agent import agent_given
from node.domain.instance import Header, Value
from node.domain.patient import Age, age_in, age_of, age_on
from node.domain.private_name import is_private
from node.domain.route import (
    DERIVED,
    WEEKDAYS,
    Asked,
    Condition,
    ConditionBlock,
    ConditionOperator,
    Derived,
    Hours,
    Junction,
    Tried,
    Window,
    conditions_in,
)
from node.settings.questions import SEARCHED, compiled

_BETWEEN_TWO = "oblique"
_DAY_MIN: Final = 24 * 60


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
    born, then = ([day for value in said[key] if (day := as_day(str(value).strip()))] for key in ("PatientBirthDate", "StudyDate"))
    spans = [age_on(one, other) for one in born for other in then]
    ages = tuple(age for age in spans if age is not None)
    if not spans or len(ages) < len(spans):
        return Told(values=(), found="unknown (no PatientAge of a patient, nor PatientBirthDate with a later StudyDate)")
    return _of_ages(ages, f"PatientBirthDate {_listed(said['PatientBirthDate'])}, StudyDate {_listed(said['StudyDate'])}")


def _of_ages(ages: tuple[Age, ...], source: str) -> Told:
    words = ", ".join(age.words for age in ages)
    return Told(values=tuple(f"{age.number}{age.unit}" for age in ages), found=f"{words} ({source})", ages=ages)


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
_AGENT = r"(?:i\.?v\.?[ _-]*)?(?:con(?:trast)?\w*|cm|km|gd|gad\w*|dye|injec\w*|kontrast\w*|mdc)"
_NATIVE_CHARACTERS = (
    "平扫|[未非无無](?:增强|造影)|造影(?:剤)?(?:なし|無し)|単純(?:CT|MR|撮影|$)|비조영|"
    # before it was given; 前列腺 is the prostate, 前額断 coronal
    "(?:造影|增强)前(?![列額额])|조영 ?전"
)
"""Chinese, Japanese and Korean, which put no space between words."""
_NATIVE_WORDS = re.compile(
    r"(?<![^\W_])(?:nativ(?:e[rsmn]?|o|a)?|"
    rf"un-?enhanced|ncct|non?[ _-]?(?:contrast\w*|con|enhanced|iv)|pre[ _-]?(?:contrast|con|gd|gad\w*|km|inj\w*)|"
    rf"(?:vor|avant)[ _-]+{_AGENT}|"
    rf"(?:without|w/?o)(?:[ _-]*$|[ _-]+{_AGENT})|ohne[ _-]+{_AGENT}|o\.?[ _-]?km|sans[ _-]+{_AGENT}|sin[ _-]+{_AGENT}|senza[ _-]+{_AGENT})"
    rf"(?![^\W_])|{_NATIVE_CHARACTERS}",
    re.IGNORECASE,
)
_BOTH_WORDS = re.compile(
    r"(?<![^\W_])(?:w(?:ith)?[ _/&+-]+(?:and[ _-]+)?w(?:ithout|/?o)|mit[ _/&+-]+(?:und[ _-]+)?ohne|avec[ _/&+-]+(?:et[ _-]+)?sans|"
    r"con[ _/&+-]+[ye]?[ _-]*(?:sin|senza))(?![^\W_])|平扫\W*[及和与]?\W*增强|単純\W*[とおよび]*\W*造影|"
    r"(?:造影|增强)前\W*[及和与]?\W*[后後]|조영 ?전\W*후",
    re.IGNORECASE,
)
_GIVEN_WORDS = re.compile(
    r"(?<![^\W_])(?:contrast(?:ed)?|kontrast\w*|enhanced|ce|cect|post[ _-]?(?:contrast|con|gd|gad\w*|km|inj\w*)|gd|gad[oa]\w*|km|mdc|"
    r"inject\w*|portal\w*|(?:arterial|venous|nephrographic|excretory)[ _-]phase|arteriell\w*|ven(?:ö|oe)s\w*)(?![^\W_])|"
    r"(?<!\w)\+[ _-]?(?:c|gd|km|cm)(?![^\W_])|(?<![^\W_])c\+|"
    r"增强|(?<![管道節节路髓髄])造影|조영|(?:动脉|静脉|门脉|延迟|排泄|実質|動脈|静脈|門脈|平衡)[期相]",
    re.IGNORECASE,
)


def _contrast(said: Mapping[str, tuple[Value, ...]]) -> Told:
    """The agent says it, and what the series is called may contradict; where neither says it, what the study is called does."""
    agents = [(one, agent_given(one)) for one in _texts(said["ContrastBolusAgent"])]
    answers = [(f"ContrastBolusAgent {one}", given) for one, given in agents if given is not None]
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


_HOUR, _INSTANT = timedelta(hours=1), timedelta(microseconds=1)
_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(hours=14)  # a DA value has no zone: the sender's day may have begun 14 h before the UTC one
_BOUNDS = frozenset({ConditionOperator.MIN, ConditionOperator.MAX})
_TIME = re.compile(r"([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?")
_SHOWN = 5  # values of one keyword, or entries of one block, in an explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedTogether:
    """Conditions that must all hold, as each was tried on one series: whether they do, and which do not, for people."""

    tried: tuple[Tried, ...]
    held: bool
    against: str


def try_together(asked: tuple[Asked, ...], header: Header, now: datetime | None) -> TriedTogether:
    """All of the conditions, each as `try_on` tries it."""
    answers = _answers(asked)
    return answers.of(tuple([header.get(keyword) for keyword in answers.reads]), _counted_from(now, answers.step))


class _Answers:
    """What came of some conditions, by what a header says of the keywords that they read: the series of many studies say the same."""

    def __init__(self, asked: tuple[Asked, ...]) -> None:
        self.reads, self.step = _reads(asked)
        self.of = lru_cache(maxsize=4096)(partial(self._try, asked))

    def _try(self, asked: tuple[Asked, ...], values: tuple[tuple[Value, ...] | None, ...], now: datetime | None) -> TriedTogether:
        header = {keyword: said for keyword, said in zip(self.reads, values, strict=True) if said is not None}
        tried = tuple(try_on(one, header, now) for one in asked)
        return TriedTogether(tried=tried, held=all(one.held for one in tried), against=against_text(tried))


_answers = lru_cache(maxsize=256)(_Answers)


def against_text(tried: Iterable[Tried]) -> str:
    """Which of the conditions do not hold, for people; "" where all do."""
    return "; ".join(f"{one.key} is {one.found}, expected {one.expected}" for one in tried if not one.held)


def try_on(asked: Asked, header: Header, now: datetime | None) -> Tried:
    """The condition, or the block of them, as it was tried on one series; `now` is what WITHIN counts from."""
    if isinstance(asked, Condition):
        return _try_one(asked, header, now)
    reads, step = _reads((asked,))
    return _tried_block(asked, tuple([header.get(keyword) for keyword in reads]), _counted_from(now, step))


@lru_cache(maxsize=1024)
def _reads(asked: tuple[Asked, ...]) -> tuple[tuple[str, ...], timedelta | None]:
    """The keywords of a header that they look at, and from steps of which length they count; None: from no moment."""
    within = list(conditions_in(asked))
    reads = tuple(dict.fromkeys(keyword for one in within for keyword in one.reads))
    return reads, min((_step(one) for one in within if one.operator is ConditionOperator.WITHIN), default=None)


def _step(condition: Condition) -> timedelta:
    """How far apart the moments are between which a condition on a day may hold or not: whole hours from midnight, for hours and days."""
    return _HOUR if _bound(condition.expected) % _HOUR.total_seconds() == 0 else _INSTANT


def _counted_from(now: datetime | None, step: timedelta | None) -> datetime | None:
    """The last moment at which an answer may have changed: what is remembered of it is of the whole step."""
    if now is None or step is None:
        return None
    return now if step is _INSTANT else now - (now - _FROM) % step


@lru_cache(maxsize=8192)
def _tried_block(block: ConditionBlock, values: tuple[tuple[Value, ...] | None, ...], now: datetime | None) -> Tried:
    """Every condition in it is tried; what is told of each entry is what decided it. Remembered, as that of one condition is."""
    reads, _ = _reads((block,))
    header = {keyword: said for keyword, said in zip(reads, values, strict=True) if said is not None}
    entries = [[try_on(one, header, now) for one in entry] for entry in block.entries]
    held = [all(one.held for one in entry) for entry in entries]
    match block.junction:
        case Junction.ANY:
            whole, telling = any(held), any(held)
        case Junction.ALL:
            whole, telling = all(held), all(held)
        case Junction.NONE:
            whole, telling = not any(held), any(held)
    told = [_entry_found(entry) for entry, holds in zip(entries, held, strict=True) if holds is telling]
    found = "; ".join(told[:_SHOWN]) + (f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else "")
    return Tried(
        key=block.definition or block.junction.value,
        expected=expected_text(block),
        found=found,
        held=whole,
        junction=block.junction,
        entries=tuple(map(tuple, entries)),
    )


def _entry_found(entry: Sequence[Tried]) -> str:
    """What was found of an entry: of one that does not hold, what is against it."""
    against = [one for one in entry if not one.held]
    return " and ".join(f"{one.key} {one.found}" if one.junction is None else one.found for one in against or entry)


def _try_one(condition: Condition, header: Header, now: datetime | None) -> Tried:
    if condition.keyword in DERIVED:
        return _try_derived(condition, told(Derived(condition.keyword), header))
    values = header.get(condition.keyword)
    return _tried(condition, values, _counted_from(now, _step(condition)) if condition.operator is ConditionOperator.WITHIN else None)


def _try_derived(condition: Condition, said: Told) -> Tried:
    """A bound of an age is one of completed years, months, weeks or days."""
    if condition.operator in _BOUNDS:
        number, unit = age_in(str(condition.expected[-1]))
        completed = [age.completed(unit) for age in said.ages]
        least = condition.operator is ConditionOperator.MIN
        held = bool(completed) and all(one >= number if least else one <= number for one in completed)
    else:
        held = _holds(condition, said.values, None)
    return Tried(key=condition.keyword, expected=expected_text(condition), found=said.found, held=held != condition.negated)


@lru_cache(maxsize=8192)
def _tried(condition: Condition, values: tuple[Value, ...] | None, now: datetime | None) -> Tried:
    """Remembered: routes ask the same of many series, and series say the same."""
    held = _holds(condition, values or (), now) != condition.negated
    found = _private_text(values) if is_private(condition.keyword) else _found_text(values)
    longest = max((len(value) for value in values or () if isinstance(value, str)), default=0)
    if condition.operator is ConditionOperator.MATCHES and longest > SEARCHED:
        found += f" ({longest:,} characters, of which the first {SEARCHED:,} were searched)"
    return Tried(key=condition.keyword, expected=expected_text(condition), found=found, held=held)


def _holds(condition: Condition, values: tuple[Value, ...], now: datetime | None) -> bool:
    expected = condition.expected
    match condition.operator:
        case ConditionOperator.EXISTS:
            return bool(values) == bool(expected[0])
        case ConditionOperator.EQUALS:
            return any(value in expected for value in values)  # text exactly, numbers as numbers
        case ConditionOperator.MATCHES:
            patterns = [compiled(str(one)) for one in expected]
            return any(pattern.found_in(_text(value)) for value in values for pattern in patterns)
        case ConditionOperator.MIN:
            # a bound holds for all values: a series with one slice too thick is too thick
            return bool(values) and all(not isinstance(value, str) and value >= _bound(expected) for value in values)
        case ConditionOperator.MAX:
            return bool(values) and all(not isinstance(value, str) and value <= _bound(expected) for value in values)
        case ConditionOperator.WITHIN:
            assert now is not None, "it counts from a moment"
            return any(_within(value, timedelta(seconds=_bound(expected)), now) for value in values)
        case ConditionOperator.BETWEEN:
            return any(_between(value, str(expected[0]), str(expected[1])) for value in values)
        case ConditionOperator.WEEKDAY:
            return any((day := _day(str(value).strip())) is not None and WEEKDAYS[day.weekday()] in expected for value in values)


def _bound(expected: tuple[Value, ...]) -> float:
    return float(expected[0])


def _within(value: Value, duration: timedelta, now: datetime) -> bool:
    """Whether some moment of the day `value` (DA: YYYYMMDD) lies between `duration` ago and now."""
    day = _day(str(value).strip())
    if day is None:
        return False
    # a difference, not a point in time: now - duration may lie before year 1
    return day - now <= _AHEAD and now - day < duration + timedelta(days=1)


def _between(value: Value, begin: str, end: str) -> bool:
    """Whether a time of the day (TM) is not before `begin` and before `end`; one that begins behind its end goes over midnight."""
    seconds = seconds_of(str(value).strip())
    first, last = seconds_of(begin), seconds_of(end)
    if seconds is None or first is None or last is None:
        return False
    return first <= seconds < last if first < last else seconds >= first or seconds < last


@lru_cache(maxsize=4096)
def seconds_of(text: str) -> float | None:
    """Since midnight, of a time as DICOM (HHMMSS.FFFFFF or a part of it; of old, HH:MM:SS) and people write it; None for what is none."""
    found = _TIME.fullmatch(text)
    if not found:
        return None
    return 3600 * int(found[1]) + 60 * int(found[2] or 0) + int(found[3] or 0) + float(found[4] or 0)


@lru_cache(maxsize=512)
def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


# ---- texts


@lru_cache(maxsize=8192)
def expected_text(asked: Asked) -> str:
    """What a condition asks for, in a person's words ("one of ABDOMEN, LIVER", "not CT", "at most 5"); a block, with its keywords."""
    return _block_text(asked) if isinstance(asked, ConditionBlock) else _condition_text(asked)


def _block_text(block: ConditionBlock) -> str:
    several = len(block.entries) > 1
    entries = [f"({together_text(entry)})" if several and _wide(entry) else together_text(entry) for entry in block.entries]
    match block.junction:
        case Junction.ANY:
            return " or ".join(entries)
        case Junction.ALL:
            return " and ".join(entries)
        case Junction.NONE:
            return f"neither {' nor '.join(entries)}" if several else f"not ({entries[0]})"


def _wide(entry: Sequence[Asked]) -> bool:
    return len(entry) > 1 or (isinstance(entry[0], ConditionBlock) and not entry[0].definition)


def _condition_text(condition: Condition) -> str:
    first = condition.expected[0] if condition.expected else ""
    match condition.operator:
        case ConditionOperator.EQUALS:
            text = one_of([_text(one) for one in condition.expected])
        case ConditionOperator.MATCHES:
            text = "a match of " + " or ".join(_text(one) for one in condition.expected)
        case ConditionOperator.MIN:
            text = f"at least {_text(condition.expected[-1])}"
        case ConditionOperator.MAX:
            text = f"at most {_text(condition.expected[-1])}"
        case ConditionOperator.EXISTS:
            text = "present" if first else "absent"
        case ConditionOperator.WITHIN:
            text = f"within {duration_text(float(first))}"
        case ConditionOperator.BETWEEN:
            text = f"from {first} until {condition.expected[1]}"
        case ConditionOperator.WEEKDAY:
            text = one_of([_text(one) for one in condition.expected])
    return f"not {text}" if condition.negated else text


def together_text(asked: Sequence[Asked]) -> str:
    """What several conditions ask of one series ("Modality MR and ContrastBolusAgent present")."""
    return " and ".join(_named_text(one, alone=len(asked) == 1) for one in asked)


def _named_text(one: Asked, *, alone: bool) -> str:
    text = expected_text(one)
    if isinstance(one, Condition):
        return f"{one.keyword} {text}"
    return f"{one.definition} ({text})" if one.definition else text if alone else f"({text})"


def one_of(values: Sequence[str]) -> str:
    """A list in a person's words."""
    return values[0] if len(values) == 1 else "one of " + ", ".join(values)


def _found_text(values: tuple[Value, ...] | None) -> str:
    if values is None:
        return "absent"
    if not values:
        return "empty"
    shown = ", ".join(_short(_text(value)) for value in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown} and {len(values) - _SHOWN} more"


def _private_text(values: tuple[Value, ...] | None) -> str:
    """Of headers that were read before a route asked for it nobody knows whether they had it."""
    return "not kept (the images came before a route asked for it)" if values is None else _found_text(values or None)


def _short(text: str) -> str:
    return text if len(text) <= SEARCHED else f"{text[:SEARCHED]}…"


def _text(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def duration_text(seconds: float) -> str:
    """In the largest unit that needs no fraction: "7 d", "90 s"."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def try_hours(hours: Hours, came: datetime) -> Tried:
    """Whether a moment (aware) lies in one of the windows."""
    local = came.astimezone(hours.zone)
    found = f"{WEEKDAYS[local.weekday()]} {local.replace(tzinfo=None).isoformat(' ', 'minutes')}"
    return Tried(key="hours", expected=hours_text(hours), found=found, held=any(_in_window(one, local) for one in hours.windows))


@lru_cache(maxsize=256)
def hours_text(hours: Hours) -> str:
    """Its windows, for people ("from 22:00 until 06:00 or sat or sun")."""
    return " or ".join(_window_text(one) for one in hours.windows)


def _in_window(window: Window, local: datetime) -> bool:
    began = local
    if window.between is not None:
        begin, end = map(_minute, window.between)
        now = local.hour * 60 + local.minute
        if not (now - begin) % _DAY_MIN < (end - begin) % _DAY_MIN:
            return False
        if now < begin:  # past midnight, in a window of the day before
            began = local - timedelta(days=1)
    return not window.weekdays or WEEKDAYS[began.weekday()] in window.weekdays


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def _window_text(window: Window) -> str:
    between = "" if window.between is None else f"from {window.between[0]} until {window.between[1]}"
    return " on ".join(filter(None, (between, one_of(window.weekdays) if window.weekdays else "")))
