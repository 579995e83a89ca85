"""The kinds of metrics, and where a process keeps what it counts; which metrics there are stands in node.observe.metrics.

Labels are keywords in the declared order (a test reads every call), with few values each: names of the configuration, states and codes.
Never a UID, never a patient's data, never what a stranger calls itself.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from node.observe.shared_memory import SharedCells

_SEPARATOR = "\x1f"
_LONGEST_LABEL = 100
_MOST_SERIES = 500
"""Of one metric in one process: a label that takes ever new values takes the room of no other metric, nor the memory."""


class Merge(StrEnum):
    """What one gauge that several processes report is for the node."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a metric, by its labels in the declared order. A histogram has its buckets' counts (not cumulated), then the sum."""

    name: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


class Metric:
    """A declared metric. `kind` is Prometheus' type; the name has its unit, and `_total` if it counts."""

    kind = "untyped"
    _cells = 1

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self.name = name
        self.help = help_text
        self.labels = labels
        self._places: dict[tuple[str, ...], int] = {}
        _DECLARED[name] = self

    def forget(self) -> None:
        """Look every series up anew: the process counts elsewhere now."""
        self._places.clear()

    def _place(self, labels: tuple[str, ...]) -> int | None:
        place = self._places.get(labels)
        if place is None and len(self._places) < _MOST_SERIES:
            place = _home.cells.place(_key(self.name, labels), self._cells)
            if place is not None:
                self._places[labels] = place
        return place


class Counter(Metric):
    """What only ever grows, as long as the supervisor lives."""

    kind = "counter"

    def add(self, by: float = 1.0, /, **labels: str) -> None:
        """Count `by` more."""
        place = self._place(tuple(labels.values()))
        if place is not None:
            _home.cells.add(place, by)


class Histogram(Metric):
    """How many observations fell under each bound, and their sum. `buckets` are upper bounds, inclusive."""

    kind = "histogram"

    def __init__(self, name: str, help_text: str, *labels: str, buckets: Sequence[float]) -> None:
        super().__init__(name, help_text, *labels)
        self.buckets = tuple(buckets)
        self._cells = len(self.buckets) + 2

    def observe(self, value: float, /, **labels: str) -> None:
        """Note one observation; a clock that was set back makes it 0."""
        place = self._place(tuple(labels.values()))
        if place is not None:
            value = max(0.0, value)
            bucket = bisect_left(self.buckets, value)
            _home.cells.add_two(place + bucket, 1.0, place + self._cells - 1, value)


class Gauge(Metric):
    """What goes up and down. It is gone with the process that reported it."""

    kind = "gauge"

    def __init__(self, name: str, help_text: str, *labels: str, merge: Merge) -> None:
        super().__init__(name, help_text, *labels)
        self.merge = merge

    def add(self, by: float, /, **labels: str) -> None:
        """It is `by` more now."""
        place = self._place(tuple(labels.values()))
        if place is not None:
            _home.cells.add(place, by)

    def set(self, value: float, /, **labels: str) -> None:
        """It is `value` now."""
        place = self._place(tuple(labels.values()))
        if place is not None:
            _home.cells.put(place, value)

    def drop(self, **labels: str) -> None:
        """There is no such thing any more."""
        key = _key(self.name, tuple(labels.values()))
        _home.cells.blank(lambda one: one == key)


class Fact(Metric):
    """What the supervisor looks up when it is asked: states of the journal, of the disk, of the processes."""

    def __init__(self, name: str, help_text: str, *labels: str, kind: str = "gauge") -> None:
        super().__init__(name, help_text, *labels)
        self.kind = kind

    def of(self, value: float, /, **labels: str) -> Sample:
        """It is `value` now."""
        return Sample(name=self.name, labels=tuple(_clean(label) for label in labels.values()), values=(value,))


@dataclass(slots=True)
class _Home:
    """Where this process counts: memory of its own, until its parent gives it a shared region."""

    cells: SharedCells


_DECLARED: dict[str, Metric] = {}
_home = _Home(SharedCells.alone())


def declared() -> tuple[Metric, ...]:
    """Every metric, in the order of declaration."""
    return tuple(_DECLARED.values())


def count_in(cells: SharedCells) -> None:
    """From now on this process counts in `cells`; call before anything is counted."""
    _home.cells = cells
    for metric in _DECLARED.values():
        metric.forget()


def process_memory() -> SharedCells:
    """The region that this process counts in."""
    return _home.cells


def counted() -> list[Sample]:
    """What this process has counted itself."""
    return list(samples(_home.cells))


def samples(cells: SharedCells) -> Iterator[Sample]:
    """What a region holds."""
    for key, values in cells.read():
        name, *labels = key.decode("utf-8", "replace").split(_SEPARATOR)
        yield Sample(name=name, labels=tuple(labels), values=values)


def end_of_process(cells: SharedCells) -> None:
    """Forget what a process that has ended said of itself; what it counted stays."""
    gauges = {name.encode() for name, metric in _DECLARED.items() if isinstance(metric, Gauge)}
    cells.blank(lambda key: key.partition(_SEPARATOR.encode())[0] in gauges)


def _key(name: str, labels: tuple[str, ...]) -> bytes:
    return _SEPARATOR.join((name, *(_clean(label) for label in labels))).encode("utf-8", "replace")


def _clean(label: str) -> str:
    return label.replace(_SEPARATOR, " ")[:_LONGEST_LABEL]
