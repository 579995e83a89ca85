"""What an evaluation of a detector says beside its figures, as Markdown: FROC, classes of nodules, sizes, densities."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def detected_table(evaluation: dict[str, Any]) -> str:
    """Network beside the classical detector at each rate of false positives, by kind of CT; classes of nodules; sizes, densities."""
    told = evaluation["detection"]
    tables = (_froc(evaluation["baseline"], told), _classes(told), _differences(told), _densities(told), [_said(told)])
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n"


def _froc(baseline: str, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"| CTs | false positives a CT | network | 95 % interval | {baseline} | 95 % interval | network ahead by | 95 % interval |"
    yield "|---" * 8 + "|"
    for kind, both in told["compared"].items():
        own, other, apart = (both[name] for name in ("network", "classical", "difference"))
        # resamples of one patient are all alike
        several = own["patients"] > 1
        for one, two, three in zip(own["points"], other["points"], apart["points"], strict=True):
            values = (one["sensitivity"], two["sensitivity"], three["difference"])
            yield _row(kind, f"{one['rate']:g}", values, [each["interval"] if several else None for each in (one, two, three)])
        three_in_all = (own, other, apart)
        yield _row(kind, "mean", [each["mean"] for each in three_in_all], [each["interval"] if several else None for each in three_in_all])


def _row(kind: str, rate: str, values: Sequence[float], intervals: Sequence[Sequence[float] | None]) -> str:
    own, other, apart = values
    said = (f"{own:.3f}", f"{other:.3f}", f"{apart:+.3f}")
    ranges = [
        "–" if each is None else f"{each[0]:{sign}.3f} to {each[1]:{sign}.3f}" for each, sign in zip(intervals, ("", "", "+"), strict=True)
    ]
    return f"| {kind} | {rate} | " + " | ".join(f"{value} | {around}" for value, around in zip(said, ranges, strict=True)) + " |"


def _classes(told: Mapping[str, Any]) -> Iterator[str]:
    yield "| nodules | number | FROC mean | 95 % interval |"
    yield "|---|---|---|---|"
    for name, each in told["froc"].items():
        if each["things"]:
            low, high = each["interval"]
            around = f"{low:.3f} to {high:.3f}" if each["patients"] > 1 else "–"
            yield f"| {name} | {each['things']} | {each['mean']:.3f} | {around} |"


def _differences(told: Mapping[str, Any]) -> Iterator[str]:
    yield "| found less true | mean | 95 % limits of agreement | nodules |"
    yield "|---|---|---|---|"
    for name, each in told["differences"].items():
        if each["mean"] is None:
            yield f"| {name} | – | – | {each['count']} |"
            continue
        low, high = each["limits"]
        yield f"| {name}, {each['unit']} | {each['mean']:+.2f} | {low:+.2f} to {high:+.2f} | {each['count']} |"


def _densities(told: Mapping[str, Any]) -> Iterator[str]:
    columns = list(next(iter(told["densities"].values())))
    yield f"| planted | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, counts in told["densities"].items():
        yield f"| {name} | {' | '.join(str(counts[column]) for column in columns)} |"


def _said(told: Mapping[str, Any]) -> str:
    said = told["told"]
    return (
        f"Told from certainty {told['reported from']:g} on: {100 * said['sensitivity']:.0f} % of {said['nodules']} nodules with "
        f"{said['false positives a scan']:.2f} false positives a CT; diameters, volumes and densities are of these. "
        f"All nodules are planted: no real one was seen. The baseline: {told['setting']}."
    )
