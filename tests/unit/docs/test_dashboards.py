"""The dashboard and the alert rules speak of metrics and labels that there are, and say what to do."""

import re
from collections.abc import Iterator

import pytest
from ruamel.yaml import YAML

from node.observe import metrics
from node.observe.instruments import Histogram, Metric
from tests.lab.dashboards import ALERTS, dashboard, expressions

_DECLARED = {metric.name: metric for metric in vars(metrics).values() if isinstance(metric, Metric)}
_OF_PROMETHEUS = {"instance", "job", "le"}


def _rules() -> list[dict[str, object]]:
    (group,) = YAML(typ="safe").load(ALERTS)["groups"]
    rules: list[dict[str, object]] = group["rules"]
    return rules


_EXPRESSIONS = expressions() + [(str(rule["alert"]), str(rule["expr"])) for rule in _rules()]


def _selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Every metric of an expression with the labels that are asked of it."""
    for name, labels in re.findall(r"\b(hilum_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))


@pytest.mark.parametrize(("title", "expression"), _EXPRESSIONS)
def test_an_expression_asks_for_what_is_declared(title: str, expression: str) -> None:
    """Metrics by their names (a histogram's with its suffix), labels that the metric has, also in `by`."""
    known: set[str] = set(_OF_PROMETHEUS)
    for name, labels in _selectors(expression):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        metric = _DECLARED.get(name) or _DECLARED[base]
        assert isinstance(metric, Histogram) == (name != metric.name), f"{title}: {name}"
        assert labels <= {*metric.labels, *_OF_PROMETHEUS}, f"{title}: {name}"
        known |= set(metric.labels)
    for grouped in re.findall(r"\b(?:by|without|on)\s*\(([^)]*)\)", expression):
        assert {label.strip() for label in grouped.split(",")} <= known, title


def test_counters_are_read_as_rates_and_gauges_as_they_are() -> None:
    """A counter as it stands says only how long ago the node was started."""
    for title, expression in _EXPRESSIONS:
        for name, _ in _selectors(expression):
            metric = _DECLARED.get(name)
            counts = metric is None or metric.kind == "counter"
            rated = re.search(rf"(rate|increase)\(\s*{name}\b", expression) is not None
            assert counts == rated, f"{title}: {name}"


def test_every_panel_says_what_it_shows_and_none_lies_over_another() -> None:
    """A description for people; identifiers and places of their own; within the 24 columns."""
    taken: set[tuple[int, int]] = set()
    identifiers = []
    for panel in dashboard()["panels"]:
        identifiers.append(panel["id"])
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len(set(identifiers)) == len(identifiers)


def test_every_alert_says_what_is_wrong_how_bad_and_what_to_do() -> None:
    """Whoever is woken by it has not read the source."""
    for rule in _rules():
        assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"}), rule["alert"]
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        assert set(annotations) == {"summary", "action"}
