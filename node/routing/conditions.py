"""Conditions on DICOM keywords are tried on a merged header: whether one holds, and in which words to tell it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from node.domain.instance import Header, Value
from node.domain.route import Condition, ConditionOperator, Tried
from node.settings.patterns import SEARCHED, compiled

_AHEAD = timedelta(hours=14)  # a DA value has no zone: the sender's day may have begun 14 h before the UTC one
_SHOWN = 5  # values of one keyword in an explanation


def try_on(condition: Condition, header: Header, now: datetime) -> Tried:
    """The condition as it was tried on one series; `now` is what WITHIN counts from."""
    values = header.get(condition.keyword)
    return _tried(condition, values, now if condition.operator is ConditionOperator.WITHIN else None)


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


def _bound(expected: tuple[Value, ...]) -> float:
    return float(expected[0])


def _within(value: Value, duration: timedelta, now: datetime) -> bool:
    """Whether some moment of the day `value` (DA: YYYYMMDD) lies between `duration` ago and now."""
    day = _day(str(value).strip())
    if day is None:
        return False
    # a difference, not a point in time: now - duration may lie before year 1
    return day - now <= _AHEAD and now - day < duration + timedelta(days=1)


@lru_cache(maxsize=512)
def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


# ---- texts


def expected_text(condition: Condition) -> str:
    """What a condition asks for, in a person's words ("one of ABDOMEN, LIVER", "not CT", "at most 5")."""
    first = condition.expected[0] if condition.expected else ""
    match condition.operator:
        case ConditionOperator.EQUALS:
            text = one_of([_text(one) for one in condition.expected])
        case ConditionOperator.MATCHES:
            text = "a match of " + " or ".join(_text(one) for one in condition.expected)
        case ConditionOperator.MIN:
            text = f"at least {_text(first)}"
        case ConditionOperator.MAX:
            text = f"at most {_text(first)}"
        case ConditionOperator.EXISTS:
            text = "present" if first else "absent"
        case ConditionOperator.WITHIN:
            text = f"within {duration_text(float(first))}"
    return f"not {text}" if condition.negated else text


def together_text(conditions: Sequence[Condition]) -> str:
    """What several conditions ask of one series ("Modality MR and ContrastBolusAgent present")."""
    return " and ".join(f"{condition.keyword} {expected_text(condition)}" for condition in conditions)


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
