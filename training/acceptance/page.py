"""card.html of an acceptance test: one page that holds all it shows; with pictures beside the evaluation, without any in the repository."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.checkpoint import replace
from training.evaluation.figures import KINDS
from training.evaluation.gallery import Picture
from training.evaluation.page import fragment, ranged, value_of
from training.evaluation.record import PAGE


def write_page(out: Path, evaluation: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    """Put the page beside an evaluation; its SHA-256."""
    content = page(evaluation, pictures=pictures).encode()
    replace(out / PAGE, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def page(evaluation: Mapping[str, Any], *, pictures: Sequence[Picture] = (), accepted: Mapping[str, str] | None = None) -> str:
    """The page of an evaluation; `accepted` says by whom, when and why, where somebody did."""
    figures, watched = evaluation["figures"], evaluation["watched"]

    def value(name: str, number: float | None) -> str:
        return value_of(figures[name], number)

    cells = evaluation["cells"]
    return fragment(
        "acceptance.html",
        told=evaluation,
        figures=[
            {"name": name, **each, "range": ranged(each, each["interval"]), "limits": ranged(each, each.get("limits"))}
            for name, each in figures.items()
        ],
        kinds={kind: said for kind, said in KINDS.items() if any(name.startswith(f"{kind} ") for name in figures)},
        directions=[
            (attribute, [{**one, "shown": one["figures"] and one["figures"][watched]} for one in cells if one["attribute"] == attribute])
            for attribute in dict.fromkeys(one["attribute"] for one in cells)
        ],
        ranged=ranged,
        value=value,
        pictures=pictures,
        accepted=accepted,
        counted=[(each["reason"], each.get("count", 1), each.get("what", "")) for each in evaluation["refused"]],
        unusable=[(each["reason"], each.get("count", 1), each.get("what", "")) for each in evaluation["unusable"]],
    )
