"""Conditions on DICOM keywords are tried on a merged header: whether one holds, and in which words to tell it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from node.domain.age import age_in
from node.domain.instance import Header, Value
from node.domain.route import DERIVED, WEEKDAYS, Asked, Condition, ConditionBlock, ConditionOperator, Derived, Junction, Tried
from node.routing.derived import Told, told
from node.settings.patterns import SEARCHED, compiled

_AHEAD = timedelta(hours=14)  # a DA value has no zone: the sender's day may have begun 14 h before the UTC one
_BOUNDS = frozenset({ConditionOperator.MIN, ConditionOperator.MAX})
_TIME = re.compile(r"([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?")
_SHOWN = 5  # values of one keyword, or entries of one block, in an explanation


def try_on(asked: Asked, header: Header, now: datetime) -> Tried:
    """The condition, or the block of them, as it was tried on one series; `now` is what WITHIN counts from."""
    return _try_block(asked, header, now) if isinstance(asked, ConditionBlock) else _try_one(asked, header, now)


def _try_block(block: ConditionBlock, header: Header, now: datetime) -> Tried:
    """Every condition in it is tried; what is told of each entry is what decided it."""
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


def _try_one(condition: Condition, header: Header, now: datetime) -> Tried:
    if condition.keyword in DERIVED:
        return _try_derived(condition, told(Derived(condition.keyword), header))
    values = header.get(condition.keyword)
    return _tried(condition, values, now if condition.operator is ConditionOperator.WITHIN else None)


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
    found = _found_text(values)
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
