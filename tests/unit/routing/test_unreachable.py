"""Routes of which nothing can run: told where a condition and every manifest exclude each other, and not where one series might pass."""

import pytest

from inference.applications import catalog
from node.domain.instance import Value
from node.domain.route import Condition, ConditionOperator, Route
from node.routing.untaken import never_runs

EQUALS, MIN, MAX = ConditionOperator.EQUALS, ConditionOperator.MIN, ConditionOperator.MAX


def _never(run: tuple[str, ...], *when: tuple[str, ConditionOperator, tuple[Value, ...], bool]) -> str:
    conditions = tuple(
        Condition(keyword=keyword, operator=operator, expected=expected, negated=negated) for keyword, operator, expected, negated in when
    )
    return never_runs(Route(name="route", run=run, when=conditions), {name: catalog.load(name) for name in run})


@pytest.mark.parametrize(
    ("run", "when", "words"),
    [
        (("mr-brain",), ("Modality", EQUALS, ("CT",), False), "mr-brain: modality is CT, not MR"),
        (("mr-brain",), ("Modality", EQUALS, ("MR",), True), "modality is another one, not MR"),
        (("mr-brain", "ct-lung"), ("Modality", EQUALS, ("US",), False), "ct-lung: modality is US, not CT"),
        (("mr-brain", "ct-lung"), ("Modality", EQUALS, ("CT",), False), ""),
        (("mr-brain",), ("Modality", EQUALS, ("CT", "MR"), False), ""),
        (("lung-nodule",), ("SliceThickness", MIN, (3.0,), False), "slices are 3 mm thick"),
        (("lung-nodule",), ("SliceThickness", MIN, (2.0,), False), ""),
        (("lung-nodule",), ("SliceThickness", MAX, (9.0,), False), ""),
        (("mr-brain",), ("EchoTime", MIN, (80.0,), False), "the echo time is 80 ms"),
        (("mr-brain",), ("EchoTime", MAX, (80.0,), False), ""),
        (("bright-lesion",), ("EchoTime", MAX, (20.0,), False), "the echo time is 20 ms"),
        (("bright-lesion",), ("EchoTime", MIN, (20.0,), False), ""),
        # another image of the series may name the chest
        (("chest-xray",), ("BodyPartExamined", EQUALS, ("HIP", "KNEE"), False), ""),
    ],
)
def test_a_route_of_which_nothing_can_run_is_told(
    run: tuple[str, ...], when: tuple[str, ConditionOperator, tuple[Value, ...], bool], words: str
) -> None:
    """By the manifests that come with hilum."""
    said = _never(run, when)
    assert (words in said, bool(said)) == (True, bool(words))
