"""Conditions that cannot hold together: what is called so is held by no header, and what some header holds is not called so."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.instance import Value
from node.domain.route import Condition, ConditionOperator
from node.routing.conditions import try_on
from node.settings.conditions import contradiction

_NOW = datetime(2025, 1, 1, tzinfo=UTC)
_TEXTS, _NUMBERS = ("CHEST", "LUNG", "HEAD"), (0, 1, 1.5, 2, 3)
_EVERY_TEXT: list[tuple[Value, ...]] = [each for size in range(3) for each in itertools.product(_TEXTS, repeat=size)]
_EVERY_NUMBER: list[tuple[Value, ...]] = [each for size in range(3) for each in itertools.product((*_NUMBERS, 0.5, 2.5, 9), repeat=size)]


def _asked(operator: ConditionOperator, expected: st.SearchStrategy[tuple[Value, ...]]) -> st.SearchStrategy[Condition]:
    return st.builds(Condition, keyword=st.just("BodyPartExamined"), operator=st.just(operator), expected=expected, negated=st.booleans())


def _some(values: Sequence[Value]) -> st.SearchStrategy[tuple[Value, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)


_EXISTS = _asked(ConditionOperator.EXISTS, st.sampled_from([(0,), (1,)]))
_OF_TEXT = st.one_of(
    _EXISTS,
    _asked(ConditionOperator.EQUALS, _some(_TEXTS)),
    _asked(ConditionOperator.MATCHES, st.sampled_from(["CHEST", "^L", "E"]).map(lambda pattern: (pattern,))),
)
_OF_NUMBERS = st.one_of(
    _EXISTS,
    _asked(ConditionOperator.EQUALS, _some(_NUMBERS)),
    *(_asked(bound, st.sampled_from(_NUMBERS).map(lambda value: (value,))) for bound in (ConditionOperator.MIN, ConditionOperator.MAX)),
)


def _held_by(conditions: Sequence[Condition], values: Sequence[tuple[Value, ...]]) -> bool:
    headers = [{}, *({"BodyPartExamined": each} for each in values)]
    return any(all(try_on(one, header, _NOW).held for one in conditions) for header in headers)


@given(st.lists(_OF_TEXT, min_size=2, max_size=4))
def test_no_text_holds_what_is_called_a_contradiction(conditions: list[Condition]) -> None:
    """Every text of up to two values is tried, by the function that the node decides by."""
    assert not (contradiction(conditions) and _held_by(conditions, _EVERY_TEXT))


@given(st.lists(_OF_NUMBERS, min_size=2, max_size=4))
def test_no_number_holds_what_is_called_a_contradiction(conditions: list[Condition]) -> None:
    """As of text, with the bounds."""
    assert not (contradiction(conditions) and _held_by(conditions, _EVERY_NUMBER))


@pytest.mark.parametrize(
    "two",
    list(itertools.permutations([(ConditionOperator.EQUALS, ("CHEST",)), (ConditionOperator.EXISTS, (0,))])),
    ids=["in first", "exists first"],
)
def test_the_order_in_which_they_are_written_changes_nothing(two: Sequence[tuple[ConditionOperator, tuple[Value, ...]]]) -> None:
    """`{exists: false, in: […]}` is refused from either end."""
    conditions = [Condition(keyword="BodyPartExamined", operator=operator, expected=expected) for operator, expected in two]
    assert "exists: false" in contradiction(conditions)
