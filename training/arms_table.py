"""What an evaluation of several arms says beside its figures, as Markdown: the arms, the operating point, and how many got which answer."""

from typing import Any


def arms_table(evaluation: dict[str, Any]) -> str:
    """The arms with the mean AUC over their seeds; then what was chosen on the validation cases, and the answers on the test cases."""
    first = evaluation["arms"][0]["arm"]
    compared = f"{first} is ahead by | p (DeLong)"
    lines = [
        f"| network | weights | validation AUC, by seed | test AUC, by seed | mean test AUC | 95 % interval | {compared} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in evaluation["arms"]:
        ahead = arm["difference to the first"]
        lines.append(
            f"| {arm['arm']} | {arm['weights'] / 1e6:.1f} million | {_listed(arm['validation AUC'])} | {_listed(arm['test AUC'])} "
            f"| {arm['mean']:.4f} | {arm['interval'][0]:.4f} to {arm['interval'][1]:.4f} "
            f"| {'–' if ahead is None else f'{ahead[0]:+.4f} to {ahead[1]:+.4f}'} | {_p(arm['p'])} |"
        )
    chosen = evaluation["chosen"]
    served = (
        f"Served: {chosen['trial']}, the best by validation ({chosen['validation AUC']:.4f}). Chosen on the validation cases as well: "
        f"absent below {chosen['absent below']:.3f} (at most {chosen['missed at most']:.0%} of the positives lie there), present from "
        f"{chosen['present from']:.3f} (at most {chosen['alarmed at most']:.0%} of the negatives), undetermined between; one threshold, "
        f"for the figures, {chosen['threshold']:.3f}; probability = sigmoid({chosen['slope']:.3f} × logit {chosen['offset']:+.3f})."
    )
    lines += ["", served, "", "| test cases | present | undetermined | absent |", "|---|---|---|---|"]
    finding = evaluation["classification"]["finding"].lower()
    for told, answers in evaluation["answers"].items():
        lines.append(f"| {told} {finding} | {answers['Present']} | {answers['Undetermined']} | {answers['Absent']} |")
    return "\n".join(lines) + "\n"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
