"""What of a run's plan a site tells, and how it takes over what was agreed."""

import json
from collections.abc import Mapping
from pathlib import Path

from training.checkpoint import save_json
from training.federated.agreement import Told
from training.planning import PLAN

_SHARED = ("names", "exclusive", "weights", "scales", "application")
"""Of a plan.json, what is told and agreed; the rest names cases, or is of one folder."""


def shared(run: Path) -> dict[str, Told]:
    """What of a run's plan is told; {} of a recipe for one kind of data, which has none."""
    path = run / PLAN
    if not path.is_file():
        return {}
    said: dict[str, Told] = json.loads(path.read_text(encoding="utf-8"))
    return {name: said[name] for name in _SHARED if name in said}


def take(run: Path, plan: Mapping[str, Told]) -> None:
    """Put what was agreed into a run's plan."""
    if plan:
        save_json(run / PLAN, {**json.loads((run / PLAN).read_text(encoding="utf-8")), **plan})
