"""What an evaluation of a detector says beside its figures, as Markdown: FROC, classes of nodules, sizes, densities."""

from collections.abc import Iterator, Mapping
from typing import Any


def detected_table(evaluation: dict[str, Any]) -> str:
    """Sensitivity at each rate of false positives beside the classical detector's; classes of nodules; how well measured and told apart."""
    told = evaluation["detection"]
    tables = (_froc(evaluation["baseline"], told), _classes(told), _differences(told), _densities(told), [_said(told)])
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n"


def _froc(baseline: str, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"| false positives a CT | sensitivity | 95 % interval | {baseline} |"
    yield "|---|---|---|---|"
    for own, other in zip(told["froc"]["all"]["points"], told["classical"]["points"], strict=True):
        low, high = own["interval"]
        yield f"| {own['rate']:g} | {own['sensitivity']:.3f} | {low:.3f} to {high:.3f} | {other['sensitivity']:.3f} |"


def _classes(told: Mapping[str, Any]) -> Iterator[str]:
    yield "| nodules | number | FROC mean | 95 % interval |"
    yield "|---|---|---|---|"
    for name, each in told["froc"].items():
        if each["things"]:
            low, high = each["interval"]
            yield f"| {name} | {each['things']} | {each['mean']:.3f} | {low:.3f} to {high:.3f} |"


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
