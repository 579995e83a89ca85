"""The regions of a node and the facts of the moment as the text that Prometheus reads (exposition format 0.0.4)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family

from node.observe.instruments import Gauge, Histogram, Merge, Metric, Sample, declared, samples
from node.observe.shared_memory import SharedCells

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_MERGED: Mapping[Merge, Callable[[Sequence[float]], float]] = {Merge.SUM: math.fsum, Merge.MIN: min, Merge.MAX: max}


def text(regions: Iterable[SharedCells], facts: Sequence[Sample]) -> bytes:
    """One exposition: what the processes counted, added up, and `facts`."""
    gathered: dict[str, dict[tuple[str, ...], list[tuple[float, ...]]]] = {}
    for sample in (sample for region in regions for sample in samples(region)):
        gathered.setdefault(sample.name, {}).setdefault(sample.labels, []).append(sample.values)
    for fact in facts:
        gathered.setdefault(fact.name, {})[fact.labels] = [fact.values]
    return generate_latest(_Collected([_family(metric, gathered.get(metric.name, {})) for metric in declared()]))


class _Collected:
    """What prometheus_client asks of a registry."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        """The families, in the order of declaration."""
        return iter(self._families)


def _family(metric: Metric, series: dict[tuple[str, ...], list[tuple[float, ...]]]) -> Family:
    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, values in sorted(series.items()):
            *counts, total = (math.fsum(cell) for cell in zip(*values, strict=True))
            histogram.add_metric(labels, _cumulated(metric.buckets, counts), total)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    merge = _MERGED[metric.merge] if isinstance(metric, Gauge) else math.fsum
    for labels, values in sorted(series.items()):
        said = [value for (value,) in values if not math.isnan(value)]  # NaN: of a process that has ended
        if said:
            family.add_metric(labels, merge(said))
    return family


def _cumulated(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    reached, buckets = 0.0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        reached += count
        buckets.append((bound, reached))
    return buckets
