"""Conditions on one keyword that cannot hold together, whatever a header says: told when the file is read, not by a route that never runs.

What could hold of an element with several values is no contradiction: one value may match a pattern, and another equal what is asked for.
"""

from collections.abc import Sequence

from node.domain.instance import Value
from node.domain.route import Condition, ConditionOperator


def contradiction(conditions: Sequence[Condition]) -> str:
    """Which of these conditions on one keyword contradict each other, for people; "" where none do."""
    wanted = [one for one in conditions if one.operator is not ConditionOperator.EXISTS and not one.negated]
    if wanted and any(_says_absent(one) for one in conditions):
        return f"`{_word(wanted[0])}` asks for a value, and `exists: false` for none"
    if any(_says_absent(one) for one in conditions) and any(_says_present(one) for one in conditions):
        return "it would have to be present and absent"
    return _bounds_crossed(wanted) or _listed_beyond(wanted) or _both_ways(conditions)


def _says_absent(one: Condition) -> bool:
    return one.operator is ConditionOperator.EXISTS and bool(one.expected[0]) == one.negated


def _says_present(one: Condition) -> bool:
    return one.operator is ConditionOperator.EXISTS and bool(one.expected[0]) != one.negated


def _bounds_crossed(wanted: Sequence[Condition]) -> str:
    low, high = (_number(wanted, operator) for operator in (ConditionOperator.MIN, ConditionOperator.MAX))
    return f"min {low:g} is above max {high:g}: no value can be both" if low is not None and high is not None and low > high else ""


def _listed_beyond(wanted: Sequence[Condition]) -> str:
    """A bound holds for every value, and some value has to be one of those that are listed."""
    low, high = (_number(wanted, operator) for operator in (ConditionOperator.MIN, ConditionOperator.MAX))
    for one in wanted:
        if one.operator is not ConditionOperator.EQUALS:
            continue
        numbers = [value for value in one.expected if not isinstance(value, str)]
        if numbers and low is not None and all(value < low for value in numbers):
            return f"{_listed(one.expected)} is below min {low:g}"
        if numbers and high is not None and all(value > high for value in numbers):
            return f"{_listed(one.expected)} is above max {high:g}"
    return ""


def _both_ways(conditions: Sequence[Condition]) -> str:
    """What is asked for and, by `not`, ruled out."""
    for out in (one for one in conditions if one.negated):
        for one in conditions:
            if not one.negated and one.operator is out.operator and _implies(one, out):
                return f"`{_word(one)}` asks for what `not` rules out: {_listed(one.expected)}"
    return ""


def _implies(one: Condition, other: Condition) -> bool:
    """Whether what holds the one, which asks alike, always holds the other."""
    match one.operator:
        case ConditionOperator.EQUALS | ConditionOperator.MATCHES:
            return set(one.expected) <= set(other.expected)
        case ConditionOperator.MIN:
            return float(one.expected[0]) >= float(other.expected[0])
        case ConditionOperator.MAX | ConditionOperator.WITHIN:
            return float(one.expected[0]) <= float(other.expected[0])
        case ConditionOperator.EXISTS:
            return one.expected == other.expected


def _number(wanted: Sequence[Condition], operator: ConditionOperator) -> float | None:
    return next((float(one.expected[0]) for one in wanted if one.operator is operator), None)


def _word(one: Condition) -> str:
    return "in" if one.operator is ConditionOperator.EQUALS else one.operator.value


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(value if isinstance(value, str) else f"{value:g}" for value in values)
