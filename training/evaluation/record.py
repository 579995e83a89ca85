"""evaluation.json: what an evaluation found, in a form with a number; docs/howto/train-a-model.md says what stands in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import UnreadableEvaluation
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.figures import Kind, kind_of, summary
from training.evaluation.kept import Row, plain
from training.evaluation.perturb import Perturbation
from training.evaluation.segmentation import TOLERANCE_MM
from training.evaluation.subgroups import groups

if TYPE_CHECKING:
    from training.data.cases import Case, Split
    from training.recipe import Recipe

FORMAT = 2
"""Evaluations of the first form had neither subgroups nor surfaces, and no number."""
EVALUATION = "evaluation.json"
PAGE = "card.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One held-out case: what is known of it, its figures, and those of the baseline."""

    case: "Case"
    attributes: Mapping[str, str]
    row: Row
    without: Row


def record(
    recipe: "Recipe",
    sides: "Split",
    identity: Mapping[str, Any],
    baseline: str,
    scored: Sequence[Scored],
    disturbed: Mapping[Perturbation, Sequence[Row]],
) -> dict[str, Any]:
    """What evaluation.json holds, but for the page's digest."""
    patients = [each.case.patient for each in scored]
    own = recipe.kinds()
    kinds = {name: kind_of(name, own) for name in scored[0].row}
    figures = {}
    for name, kind in kinds.items():
        figures[name] = summary(kind, [each.row[name] for each in scored], patients)
        figures[name]["baseline"] = summary(kind, [each.without[name] for each in scored], patients)["mean"]
    return {
        "format": FORMAT,
        "recipe": recipe.name,
        "title": recipe.title,
        "application": recipe.application.name,
        "model": recipe.model.name,
        "sha256": identity["sha256"],
        "run": identity["run"],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": asdict(recipe.data),
        "accepts": {"modality": list(recipe.application.accepts.modality), "max_spacing_mm": recipe.application.accepts.max_spacing_mm},
        "cases": {"train": len(sides.train), "validation": len(sides.validation), "test": len(sides.test)},
        "settings": {"tolerance_mm": TOLERANCE_MM, "resamples": RESAMPLES, "seed": SEED, "interval": list(INTERVAL)},
        "watched": recipe.watched,
        "baseline": baseline,
        "figures": figures,
        "subgroups": _subgroups(scored, patients, kinds),
        "disturbed": [_disturbed(each, rows, patients, kinds) for each, rows in disturbed.items()],
        "each": [
            {"case": one.case.name, "patient": one.case.patient, "attributes": dict(one.attributes), "figures": plain(one.row)}
            for one in scored
        ],
    }


def read(path: Path) -> dict[str, Any]:
    """An evaluation from its file, or from the folder that holds it; where it names no patient, a case is one.

    Raises
    ------
    UnreadableEvaluation
    """
    file = path / EVALUATION if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise UnreadableEvaluation(f"{file} is no evaluation of form {FORMAT}: evaluate the model again")
        # a classifier's cases have one row, that of its answers
        found["each"] = found.get("each") or [{"case": one["case"], "figures": {}} for one in found["classification"]["cases"]]
        for each in [*found["each"], *found.get("classification", {"cases": ()})["cases"]]:
            each["patient"] = each.get("patient", each["case"])
        for each in found["each"]:
            each["figures"].items()
        for figure in found["figures"].values():
            figure["unit"], figure["better"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise UnreadableEvaluation(f"{file} is not an evaluation: {broken!r}") from broken
    return found


def resampled(evaluation: Mapping[str, Any]) -> str:
    """What intervals are over: patients where the data name them, else cases."""
    return "patients" if any(each["patient"] != each["case"] for each in evaluation.get("each", ())) else "cases"


def _subgroups(scored: Sequence[Scored], patients: Sequence[str], kinds: Mapping[str, Kind]) -> list[dict[str, Any]]:
    return [
        {
            "attribute": attribute,
            "group": group,
            "cases": len(inside),
            "figures": {
                name: summary(kind, [scored[case].row[name] for case in inside], [patients[case] for case in inside])
                for name, kind in kinds.items()
            },
        }
        for attribute, found in groups([each.attributes for each in scored]).items()
        for group, inside in found.items()
    ]


def _disturbed(by: Perturbation, rows: Sequence[Row], patients: Sequence[str], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    analysed = [index for index, row in enumerate(rows) if row]
    mine = [patients[index] for index in analysed]
    figures = {figure: summary(kind, [rows[index][figure] for index in analysed], mine) for figure, kind in kinds.items()}
    return {"kind": by.kind.name.lower(), "level": by.level, "refused": len(rows) - len(analysed), "figures": figures}
