"""evaluation.json of an acceptance test: figures with intervals, cells, and every series that gave none, with its reason.

It has the form of a training's evaluation, so that `hilum models compare` compares two models on the studies of one hospital.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.stats import binomtest

from training.acceptance.cells import LEAST, cells
from training.acceptance.port import UnderTest
from training.errors import TrainingError
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.figures import Kind, kind_of, summary
from training.evaluation.kept import Row, plain
from training.evaluation.record import FORMAT
from training.evaluation.segmentation import TOLERANCE_MM

AGREEMENT = 1.96
"""Limits of agreement: mean difference ± 1.96 standard deviations (Bland and Altman, Lancet 1986)."""
_UID = re.compile(r"\b[0-2](?:\.\d+){2,}\b")
_OTHER = (
    "A file cannot be read, or is a result of hilum; its images, or those of a line, are not there, or are not one series of one patient; "
    "or it marks nothing that the application marks."
)
_QUOTED = re.compile(r"«[^»]*»")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One series that was analysed and compared with its reference."""

    series: str
    patient: str
    attributes: Mapping[str, str]
    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCompared:
    """One series, or one file, that gave no figure, and why."""

    what: str
    reason: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What became of each series of the folder.

    Attributes
    ----------
    refused
        The application does not take it: gate or judge said so, or its model gave no numbers, as with a job.
    unusable
        Its reference cannot be compared with it, or cannot be read.
    unlabelled
        Images without a reference.
    notes
        Sentences about the references as a whole.
    """

    compared: Sequence[Compared]
    refused: Sequence[NotCompared]
    unusable: Sequence[NotCompared]
    unlabelled: Sequence[NotCompared]
    notes: Sequence[str] = ()


def record(
    tested: UnderTest, outcome: Comparison, own: Mapping[str, Kind], watched: str, ranked: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """What evaluation.json holds, but for the page's digest."""
    compared = outcome.compared
    patients = [each.patient for each in compared]
    kinds = {name: kind_of(name, own) for name in compared[0].row}
    application = tested.application
    return {
        "format": FORMAT,
        "recipe": application.name,
        "title": application.title,
        "application": application.name,
        "version": application.version,
        "model": f"{application.name} {application.version}",
        "sha256": tested.sha256,
        "run": f"hilum evaluate {application.name}, engine {tested.engine}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {"tolerance_mm": TOLERANCE_MM, "resamples": RESAMPLES, "seed": SEED, "interval": list(INTERVAL), "least": LEAST},
        "counts": {
            "compared": len(compared),
            "patients": len(set(patients)),
            "refused": len(outcome.refused),
            "unusable": len(outcome.unusable),
            "unlabelled": len(outcome.unlabelled),
        },
        "watched": watched,
        "figures": {
            **ranked,
            **{name: figure(kind, [each.row[name] for each in compared], patients) for name, kind in kinds.items()},
        },
        "cells": [_cell(*one, compared, kinds) for one in cells([each.attributes for each in compared])],
        "notes": list(outcome.notes),
        "refused": [_not_compared(each) for each in outcome.refused],
        "unusable": [_not_compared(each) for each in outcome.unusable],
        "unlabelled": [_not_compared(each) for each in outcome.unlabelled],
        "each": [
            {"case": one.series, "patient": one.patient, "attributes": dict(one.attributes), "figures": plain(one.row)} for one in compared
        ],
    }


def figure(kind: Kind, values: Sequence[float], patients: Sequence[str]) -> dict[str, Any]:
    """As `summary`; of a difference also its limits of agreement, None where fewer than two cases have one. The interval of a share is
    Wilson's, where each case that has one is a patient of its own."""
    told = summary(kind, values, patients)
    having = [patient for patient, value in zip(patients, values, strict=True) if math.isfinite(value)]
    if kind.share and having and len(set(having)) == len(having):
        found = round(told["mean"] * told["count"])
        low, high = binomtest(found, told["count"]).proportion_ci(method="wilson")
        told["interval"] = [float(low), float(high)]
    if kind.better != "near 0":
        return told
    known = np.array([value for value in values if math.isfinite(value)])
    if len(known) < 2:
        return {**told, "limits": None}
    spread = AGREEMENT * float(known.std(ddof=1))
    return {**told, "limits": [told["mean"] - spread, told["mean"] + spread]}


def without_identity(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation as it may lie in the model repository, which everybody may read: no case; of refusals and notes neither UID nor what
    a data set says; of references that are of no use what their codes mean, since sentences name files. What is then alike is counted."""
    kept = {name: value for name, value in evaluation.items() if name not in ("each", "unlabelled")}
    meant = {each.code: str(each.__doc__).strip() for each in TrainingError.__subclasses__()}
    said = {
        "refused": [(_unsaid(each["reason"]), each["code"]) for each in evaluation["refused"]],
        "unusable": [(meant.get(each["code"], _OTHER), each["code"]) for each in evaluation["unusable"]],
    }
    kept["notes"] = [_unsaid(note) for note in evaluation["notes"]]
    for name, reasons in said.items():
        counted = Counter(reasons).most_common()
        kept[name] = [{"reason": reason, "code": code, "count": count} for (reason, code), count in counted]
    return kept


def _unsaid(sentence: str) -> str:
    return _QUOTED.sub("«…»", _UID.sub("…", sentence))


def _cell(attribute: str, cell: str, inside: Sequence[int], compared: Sequence[Compared], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    patients = [compared[index].patient for index in inside]
    figures = {name: _of_enough(kind, [compared[index].row[name] for index in inside], patients) for name, kind in kinds.items()}
    shown = figures if any(figures.values()) else None
    return {"attribute": attribute, "cell": cell, "cases": len(inside), "patients": len(set(patients)), "figures": shown}


def _of_enough(kind: Kind, values: Sequence[float], patients: Sequence[str]) -> dict[str, Any] | None:
    """As `figure`; None where too few patients have a value."""
    having = {patient for patient, value in zip(patients, values, strict=True) if math.isfinite(value)}
    return figure(kind, values, patients) if len(having) >= LEAST else None


def _not_compared(one: NotCompared) -> dict[str, str]:
    return {"what": one.what, "reason": one.reason, "code": one.code}
