"""Plan of a network for a table's own classes, findings or numbers: the size of its image, its grey values, found in training cases.

As a plan of structures (`training.planning`) it is an application.json, and what was found besides; both lie in the run's plan.json.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications.bundle.answering import AnswerChannel, NumberChannel
from inference.applications.bundle.centres import EDGES, ImageDetector
from inference.applications.bundle.detecting import DetectedClass
from inference.applications.bundle.finish import Activation
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.manifest import FILE, MIN_SLICES, BundleManifest, checked_text, from_text, to_text
from inference.applications.bundle.steps import Orientation, Resize, ScaleIntensityRange, ScaleIntensityRangePercentiles, Transform
from inference.applications.port import Accepts, ModelRef
from inference.codes import Code
from inference.engines.port import SERVING
from inference.imaging.subject import Takes
from training.checkpoint import save_json
from training.errors import BrokenRun, UnfitData, UnfitSetting
from training.planning import AGAIN, AXES, EARLY, PLAN, STRIDE, Asked, roles_told
from training.tabled.hygiene import Clean, Seen
from training.tabled.labels import LabelTable
from training.tabled.studies import SINGLE, TabledStudies
from training.tabled.units import begins_at_zero

_MOST_SIDE, _MOST_SIDE_3D, _LEAST_SIDE = 128, 64, 32
_MOST_SIDE_BOXED = 192
"""Of an image on which boxes are looked for: a network that sees where each lies has to see more."""
_CELL = 4
"""Pixels from one place at which a detector looks to the next."""
_OVERLAP = 0.5
_TOLD = 0.3
"""Until an evaluation finds another probability."""
_GREATEST_SIDE = 512
_PERCENTILES = (0.5, 99.5)
_BOUNDS = (1.0, 99.0)
_MOST_WEIGHT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TabledPlan:
    """How a network is trained and served, and on what it was planned.

    Attributes
    ----------
    manifest
        Its answers have no limits yet: the evaluation finds them.
    names, exclusive, weights
        Of the channels; whether a case is of exactly one; and how much each counts in the loss, () of numbers.
    scales
        Of numbers, median and mean distance from it among the training cases; () of classes and findings.
    groups
        Of every case that may be learned from, by name, who stands on one side with it.
    by_patient
        Whether all cases name a patient.
    own_sides
        Whether the data bring their split along.
    seed, training
        Of the split that it was planned on, and the digest of its training cases.
    table
        SHA-256 of the table.
    most_boxes
        On one image; 0 where no boxes are learned.
    """

    manifest: BundleManifest
    asked: Asked
    names: tuple[str, ...]
    exclusive: bool
    weights: tuple[float, ...]
    scales: tuple[tuple[float, float], ...]
    groups: dict[str, str]
    by_patient: bool
    own_sides: bool
    seed: int
    training: str
    table: str
    most_boxes: int = 0

    @property
    def window(self) -> tuple[int, ...]:
        """Sides of the network's image: two of a single one."""
        assert isinstance(self.manifest.inferer, SlidingWindow)
        sides = self.manifest.inferer.roi_size
        return sides[1:] if self.manifest.accepts.takes is Takes.IMAGES else sides


def planned(
    found: TabledStudies, table: LabelTable, kept: Clean, training: Sequence[Seen], asked: Asked, *, name: str, seed: int, digest: str
) -> TabledPlan:
    """The plan for these training cases; `name` is that of the application.

    Raises
    ------
    UnfitSetting, UnfitData
    """
    if asked.fusion is not None and not found.roles.names:
        raise UnfitSetting(f"--fusion {asked.fusion}: the network sees one image of each case: leave it out, or name several --roles")
    single = found.modalities[0] in SINGLE
    if table.boxed and not single:
        raise UnfitData(
            f"boxes are learned on single images, and the labels name volumes ({' and '.join(found.modalities)}): draw segments, and train "
            "recipe segmentation"
        )
    most = _MOST_SIDE_BOXED if table.boxed else _MOST_SIDE if single else _MOST_SIDE_3D
    window = _checked(asked.window, single) if asked.window else _window(training, single, most)
    modality = tuple(found.modalities)
    grey: Transform = ScaleIntensityRangePercentiles(lower=_BOUNDS[0], upper=_BOUNDS[1], b_min=0.0, b_max=1.0, clip=True)
    if modality == ("CT",) and found.hounsfield:
        low, high = (float(round(each)) for each in np.percentile(np.concatenate([one.grey for one in training]), _PERCENTILES))
        grey = ScaleIntensityRange(a_min=low, a_max=max(high, low + 1), b_min=0.0, b_max=1.0, clip=True)
    sized = Resize(size=window, mode="area")
    answered = () if table.units or table.boxed else table.answered
    said = [table.channels[at] for at in answered] or table.channels
    labels = np.array([one.case.labels for one in training], dtype=np.float64)
    manifest = BundleManifest(
        name=name,
        version="1.0.0",
        title=(", ".join(code.meaning for code in said) + f" on {' and '.join(modality)}")[:64].strip(),
        accepts=Accepts(modality=modality, takes=Takes.IMAGES, whole_study=bool(found.roles.names))
        if single
        else Accepts(modality=modality, min_slices=MIN_SLICES, takes=Takes.VOLUMES if found.roles.names else Takes.VOLUME),
        roles=found.roles.names,
        optional=found.roles.optional,
        model=ModelRef(name=name.replace("-", "_"), version=SERVING),
        input="INPUT__0",
        output="OUTPUT__0",
        channels=len(table.channels) + (EDGES if table.boxed else 0),
        prepare=(sized, grey) if single else (Orientation(axcodes=AXES), sized, grey),
        inferer=SlidingWindow(roi_size=window, overlap=0.0, mode="constant"),
        finish=() if table.units or table.boxed else (Activation(softmax=table.exclusive, sigmoid=not table.exclusive),),
        structures=(),
        answers=tuple(AnswerChannel(channel=at, finding=table.channels[at], present=0.5, absent=0.5) for at in answered),
        numbers=tuple(
            NumberChannel(channel=at, name=code, unit=unit, least=_least(table, at))
            for at, (code, unit) in enumerate(zip(table.channels, table.units, strict=False))
        ),
        image_detector=_detector(table.channels) if table.boxed else None,
    )
    if found.roles.names:
        # what a role may be called, before the first step
        checked_text(manifest)
    return TabledPlan(
        manifest=manifest,
        asked=asked,
        names=tuple(code.meaning for code in table.channels),
        exclusive=table.exclusive,
        weights=() if table.units or table.boxed else _weights(labels.astype(np.bool_), table.exclusive),
        scales=_scales(labels) if table.units else (),
        groups={one.case.name: group for one, group in zip(kept.seen, kept.groups, strict=True)},
        by_patient=kept.by_patient,
        own_sides=any(one.case.side for one in kept.seen),
        seed=seed,
        training=digest,
        table=table.sha256,
        most_boxes=max(len(one.boxes) for one in table.lines),
    )


def counted(plan: TabledPlan) -> str:
    """Cases, and their patients where each names one."""
    cases = f"{len(plan.groups)} cases"
    return f"{cases} of {len(set(plan.groups.values()))} patients" if plan.by_patient else cases


def _detector(classes: Sequence[Code]) -> ImageDetector:
    found = tuple(DetectedClass(channel=at, label=code.meaning, finding=code) for at, code in enumerate(classes))
    return ImageDetector(stride=_CELL, channels=len(classes), classes=found, overlap=_OVERLAP, told=_TOLD)


def told(plan: TabledPlan) -> str:
    """The plan in one line, for people."""
    grey = plan.manifest.prepare[-1]
    values = f"{grey.a_min:g} to {grey.a_max:g} HU" if isinstance(grey, ScaleIntensityRange) else "values by percentiles of each image"
    kinds = "numbers" if plan.scales else f"one of {len(plan.names)} classes" if plan.exclusive else "findings, each yes or no"
    weights = ", ".join(f"{name} × {weight:.2g}" for name, weight in zip(plan.names, plan.weights, strict=False))
    if plan.most_boxes:
        kinds, weights = f"boxes of {len(plan.names)} classes, at most {plan.most_boxes} on an image", ", ".join(plan.names)
    if plan.scales:
        each = zip(plan.manifest.numbers, plan.scales, strict=True)
        weights = ", ".join(f"{one.name.meaning} {middle:.4g} ± {spread:.3g} {one.unit.value}" for one, (middle, spread) in each)
    sides = " × ".join(map(str, plan.window))
    split = "by patient" if plan.by_patient else "BY CASE, AS NOT ALL CASES NAME A PATIENT"
    if plan.own_sides:
        split = "AS THE FILE HAS IT; WHETHER TWO CASES ARE OF ONE PERSON, IT DOES NOT TELL"
    return (
        f"{counted(plan)}, {' and '.join(plan.manifest.accepts.modality)}: {kinds}, {weights}; {_together(plan)}"
        f"images of {sides}, {values}; split {split}"
    )


def _together(plan: TabledPlan) -> str:
    """What is seen together, and where it comes together; "" where one image is seen."""
    roles = roles_told(plan.manifest)
    return f"{roles.removesuffix('; ')}, {plan.asked.fusion or EARLY} fusion; " if roles else ""


def write(plan: TabledPlan, run: Path) -> None:
    """Keep the plan in the run's folder."""
    names = ("names", "exclusive", "weights", "scales", "groups", "by_patient", "own_sides", "seed", "training", "table", "most_boxes")
    said = {"asked": asdict(plan.asked), **{name: getattr(plan, name) for name in names}}
    save_json(run / PLAN, {**said, "application": json.loads(to_text(plan.manifest))})


def read(run: Path) -> TabledPlan | None:
    """The plan of a run; None where nothing was planned yet.

    Raises
    ------
    BrokenRun
    """
    path = run / PLAN
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        manifest = from_text(json.dumps(said.pop("application")).encode(), str(path))
        scales = tuple((middle, spread) for middle, spread in said.pop("scales"))
        return TabledPlan(manifest=manifest, asked=Asked(**_tupled(said.pop("asked"))), scales=scales, **_tupled(said))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise BrokenRun(f"{path} is no plan of a table that this version of hilum reads ({broken!r}): {AGAIN}") from broken


def beside(manifest: BundleManifest, model: Any) -> Mapping[str, bytes]:
    """The application.json of a version."""
    return {FILE: to_text(replace(manifest, model=model, version=f"{manifest.version}+model.{model.version}"))}


def _tupled(said: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}


def _window(training: Sequence[Seen], single: bool, most: int) -> tuple[int, int, int]:
    """The median image's sides, the longest within what a processor can train, in multiples of `STRIDE`."""
    sides = np.median([one.shape for one in training], axis=0)
    if not single:
        # as the axes come, whatever their order: each is brought to its own bound
        planes, rows, columns = (int(min(max(round(side / STRIDE) * STRIDE, 2 * STRIDE), most)) for side in sides)
        return planes, rows, columns
    scale = min(1.0, most / float(sides[1:].max()))
    rows, columns = (max(round(float(side) * scale / STRIDE) * STRIDE, _LEAST_SIDE) for side in sides[1:])
    return 1, rows, columns


def _checked(window: tuple[int, int, int], single: bool) -> tuple[int, int, int]:
    least = (1, _LEAST_SIDE, _LEAST_SIDE) if single else (STRIDE, STRIDE, STRIDE)
    if (single and window[0] != 1) or not all(low <= side <= _GREATEST_SIDE for low, side in zip(least, window, strict=True)):
        said = f"1 {_LEAST_SIDE} {_LEAST_SIDE}" if single else f"{STRIDE} {STRIDE} {STRIDE}"
        raise UnfitSetting(f"--window {' '.join(map(str, window))}: {said} at least, {_GREATEST_SIDE} at most along a side")
    return window


def _least(table: LabelTable, at: int) -> float | None:
    """0 of a quantity that is an amount by its unit, and below 0 in no line; it says what the quantity is, and is learned from no image."""
    return 0.0 if begins_at_zero(table.units[at]) and min(line.labels[at] for line in table.lines) >= 0 else None


def _scales(numbers: "np.ndarray[Any, np.dtype[np.float64]]") -> tuple[tuple[float, float], ...]:
    """Of each column the median, and the mean distance from it: that is what saying the median everywhere errs by."""
    middle = np.median(numbers, axis=0)
    away = np.abs(numbers - middle).mean(axis=0)
    if not (away > 0).all():
        raise UnfitData("a number is the same in all training cases: nothing could be learned")
    return tuple((float(one), float(other)) for one, other in zip(middle, away, strict=True))


def _weights(labels: "np.ndarray[Any, np.dtype[np.bool_]]", exclusive: bool) -> tuple[float, ...]:
    """Of classes, so that all count alike together; of findings, so that those with it count as much as those without."""
    count = labels.sum(axis=0)
    alike = len(labels) / (len(count) * np.maximum(count, 1))
    each = alike if exclusive else (len(labels) - count) / np.maximum(count, 1)
    return tuple(float(min(max(one, 1 / _MOST_WEIGHT), _MOST_WEIGHT)) for one in each)
