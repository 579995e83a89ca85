"""The declarations, and how the source uses them."""

import ast
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.observe import exposition, instruments, metrics
from node.observe.instruments import Counter, Fact, Gauge, Histogram, count_in, declared, end_of_process
from node.observe.shared_memory import SharedCells

NODE = Path(__file__).parents[3] / "node"
_METHODS = {"add": (Counter, Gauge), "observe": (Histogram,), "set": (Gauge,), "drop": (Gauge,), "of": (Fact,)}


@pytest.fixture
def cells() -> Iterator[SharedCells]:
    """Memory that the test's own process counts in."""
    made = SharedCells.make()
    count_in(made)
    yield made
    count_in(SharedCells.alone())


def _said(regions: list[SharedCells], *facts: instruments.Sample) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The exposition as Prometheus' own Python parser reads it: sample name → labels → value."""
    read: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(exposition.text(regions, facts).decode()):
        for sample in family.samples:
            read.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return read


def _calls() -> Iterator[tuple[str, str, str, list[str]]]:
    """Every use of a metric in the source: place, metric, method, labels."""
    for path in sorted(NODE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for call in ast.walk(ast.parse(source)) if "metrics." in source else ():
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            what = call.func.value
            if isinstance(what, ast.Attribute) and isinstance(what.value, ast.Name) and what.value.id == "metrics" and what.attr.isupper():
                yield f"{path.name}:{call.lineno}", what.attr, call.func.attr, [str(word.arg) for word in call.keywords]


def test_every_use_gives_the_declared_labels_in_the_declared_order() -> None:
    """Values are kept by position: a label that is missing, or stands elsewhere, would be counted as another."""
    calls = list(_calls())
    assert len(calls) > 40
    for place, name, method, labels in calls:
        metric = getattr(metrics, name)
        assert isinstance(metric, _METHODS[method]), place
        assert tuple(labels) == metric.labels, place


def test_every_declared_metric_is_used() -> None:
    """A metric that nothing counts is a promise that nobody keeps."""
    names = {name for name, value in vars(metrics).items() if isinstance(value, instruments.Metric)}
    assert {name for _, name, _, _ in _calls()} == names
    assert len(names) == len(declared())


def test_names_follow_the_conventions() -> None:
    """Prometheus' own: a prefix, base units, `_total` where it counts and only there; help is a sentence; buckets rise."""
    for metric in declared():
        assert re.fullmatch(r"hilum_[a-z][a-z_]*[a-z]", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith("."), metric.name
        assert metric.help[0].isupper() or metric.help[0].isdigit(), metric.name
        if isinstance(metric, Histogram):
            assert metric.name.endswith("_seconds")
            assert list(metric.buckets) == sorted(set(metric.buckets))
    assert len({metric.name for metric in declared()}) == len(declared())


def test_no_label_may_hold_a_patients_data_or_grow_without_bound() -> None:
    """The labels that there are, each with few values; another one needs a thought and this list."""
    used = {label for metric in declared() for label in metric.labels}
    assert used == {
        *(
            "peer",
            "status",
            "outcome",
            "standing",
            "by",
            "priority",
            "application",
            "state",
            "code",
            "counted",
            "lack",
            "engine",
            "model",
            "digest",
            "reason",
        ),
        *("sink", "stage", "bell", "process", "version", "python", "config", "subject", "kind", "name", "folder", "form", "file", "use"),
    }


def test_buckets_are_inclusive_and_cumulated(cells: SharedCells) -> None:
    """By hand: 1 ms is in the bucket up to 1 ms, 1.1 ms is not; 11 s is above every bound."""
    for seconds in (0.001, 0.0011, 0.05, 11.0, -3.0):
        metrics.RECEIVE.observe(seconds, peer="ct1")
    said = _said([cells])
    of = {dict(labels)["le"]: value for labels, value in said["hilum_receive_seconds_bucket"].items()}
    assert (of["0.001"], of["0.002"], of["0.02"], of["0.05"], of["10"], of["+Inf"]) == (2, 3, 3, 4, 4, 5)
    assert said["hilum_receive_seconds_count"] == {(("peer", "ct1"),): 5}
    assert said["hilum_receive_seconds_sum"][(("peer", "ct1"),)] == pytest.approx(0.001 + 0.0011 + 0.05 + 11.0)


def test_processes_are_added_up_and_the_dead_keep_their_counts() -> None:
    """Counters and histograms add; of gauges the worst counts, or the sum; a gauge dies with its process."""
    regions = [SharedCells.make(), SharedCells.make()]
    for number, region in enumerate(regions):
        count_in(region)
        metrics.INSTANCES.add(3 + number, peer="ct1", status="0000")
        metrics.RECEIVE.observe(0.01, peer="ct1")
        metrics.ENGINE_UP.set(number, engine="gpu")
        metrics.ASSOCIATIONS_OPEN.add(2 + number, peer="ct1")
    count_in(SharedCells.alone())
    kept = (("peer", "ct1"), ("status", "0000"))
    said = _said(regions)
    assert said["hilum_instances_total"] == {kept: 7}
    assert said["hilum_receive_seconds_count"][(("peer", "ct1"),)] == 2
    assert said["hilum_engine_up"] == {(("engine", "gpu"),): 0}
    assert said["hilum_associations_open"] == {(("peer", "ct1"),): 5}
    end_of_process(regions[0])
    said = _said(regions)
    assert said["hilum_instances_total"] == {kept: 7}
    assert said["hilum_engine_up"] == {(("engine", "gpu"),): 1}
    assert said["hilum_associations_open"] == {(("peer", "ct1"),): 3}


def test_any_name_survives_the_exposition(cells: SharedCells) -> None:
    """Names of applications and sinks are the operator's: quotes, backslashes and line ends are escaped, the separator is replaced."""
    for name in ('quo"te', "back\\slash", "new\nline", "Ünïcode 肝", "", "a\x1fb", "x" * 500):
        metrics.DELIVERED_OBJECTS.add(sink=name)
    sinks = {dict(labels)["sink"] for labels in _said([cells])["hilum_delivered_objects_total"]}
    assert sinks == {'quo"te', "back\\slash", "new\nline", "Ünïcode 肝", "", "a b", "x" * 100}


def test_a_label_with_ever_new_values_takes_neither_memory_nor_the_room_of_others(cells: SharedCells) -> None:
    """50,000 values of one label: 500 are kept, the rest is counted as refused nowhere else, and other metrics go on."""
    for number in range(600):
        metrics.DELIVERED_OBJECTS.add(sink=f"sink {number}")
    tracemalloc.start()
    for number in range(600, 50_000):
        metrics.DELIVERED_OBJECTS.add(sink=f"sink {number}")
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000
    assert len(_said([cells])["hilum_delivered_objects_total"]) == 500
    metrics.INSTANCES.add(peer="ct1", status="0000")
    assert (("peer", "ct1"), ("status", "0000")) in _said([cells])["hilum_instances_total"]


def test_facts_are_said_as_they_are_now(cells: SharedCells) -> None:
    """A fact is no count of this process: what is not said now is not there."""
    said = _said([cells], metrics.JOBS.of(4, state="queued", priority="urgent", application="ct-lung"), metrics.JOURNAL_UP.of(True))
    assert said["hilum_jobs"] == {(("application", "ct-lung"), ("priority", "urgent"), ("state", "queued")): 4}
    assert said["hilum_journal_up"] == {(): 1}
    assert "hilum_jobs" not in _said([cells])
