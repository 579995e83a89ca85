"""Boxes on single images: recipes whose network finds where things of the user's own classes are; judged beside tuned blobs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.centres import ImageDetector
from inference.applications.bundle.manifest import BundleManifest, application_of, boxes_of_image
from inference.applications.port import Infer
from inference.applications.serving import as_served
from inference.codes import Code
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.repository import Repository
from inference.findings import Box, Findings
from inference.imaging.subject import Image, Images
from training.checkpoint import save_json
from training.data.boxed import MarkedBox
from training.data.cases import Case, LabelledSubject, Split
from training.evaluation.boxes import (
    LEAST,
    OVERLAP,
    JudgedImage,
    SureBox,
    chosen_from,
    mean_precision,
    pooled_precision,
    precisions,
    ranked,
    reliability,
    scan,
)
from training.evaluation.boxes_page import boxes_parts, boxes_table
from training.evaluation.detection import compared
from training.evaluation.figures import Kind
from training.evaluation.gallery import BoxedImage
from training.evaluation.page import write_page
from training.evaluation.record import EVALUATION, Scored, record
from training.export import packed, packed_ref
from training.fit import fit, refuse_other_sides, seed_of, trained
from training.infer import EngineInfer, NetworkInfer, naming
from training.progress import Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule
from training.tabled.blobs import BlobClass, tuned
from training.tabled.plan import beside

TOLD = "told.json"
"""Of an evaluated run: from which probability on a box is told."""
PRECISION = "mAP@0.5"
_SENSITIVITY, _ALARMS = "sensitivity as told", "false positives as told"
_BASELINE = "blobs (Laplacian of Gaussian), tuned on the training cases"
KINDS = {
    PRECISION: Kind(unit="", better="more", digits=4, says=f"mean average precision; a hit shares {OVERLAP:g} of what both boxes cover"),
    _SENSITIVITY: Kind(unit="", better="more", digits=3, says="share of the boxes of an image that are hit by what is told of it"),
    _ALARMS: Kind(unit="", better="less", digits=2, says="boxes that are told of an image and hit nothing"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxDetector(Recipe):
    """A recipe whose cases are `LabelledSubject` of one image with boxes, and whose network gives maps of middles.

    Attributes
    ----------
    manifest
        Its boxes are told from a probability on that the run finds when it is evaluated.
    """

    task = "detection on single images"

    manifest: BundleManifest

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        """Mean average precision over all validation cases; 0 where nothing is drawn on them."""
        network.eval()
        found = mean_precision([ranked(one, self.classes) for one in self._judged(cases, NetworkInfer(network))])
        return 0.0 if np.isnan(found) else found

    def seed_of(self, run: Path) -> int | None:
        return seed_of(run)

    @property
    def detector(self) -> ImageDetector:
        """Of the manifest, which has one."""
        assert self.manifest.image_detector is not None, "a plan of boxes has one"
        return self.manifest.image_detector

    @property
    def classes(self) -> int:
        """How many there are."""
        return self.detector.channels

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return tuple(one.label for one in self.detector.classes)

    def telling(self, least: float) -> "BoxDetector":
        """The recipe whose application tells boxes from this probability on."""
        manifest = replace(self.manifest, image_detector=replace(self.detector, told=least))
        return replace(self, manifest=manifest, application=application_of(manifest), beside=lambda model: beside(manifest, model))

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Find on the validation cases from which probability on boxes are told, pack, ask of the held-out cases as it is served.

        Raises
        ------
        BrokenRun
        OtherRun
            The run held out other cases.
        UnfitSetting
        """
        options.refuse_other_models(self)
        network, state = trained(self, run)
        refuse_other_sides(state, sides, run)
        least = chosen_from(list(self._judged(sides.validation, NetworkInfer(network))), self.classes)
        served = self.telling(least)
        save_json(run / TOLD, {"told": least})
        repository = packed(served, network, run, (self.channels, *(side // self.detector.stride for side in self.window)))
        blobs = tuned([self._seen(case) for case in sides.train], self.classes)
        application = as_served(served.application, repository)
        judged, classical, scored, shown, told = [], [], [], [], []
        with closing(EmbeddedEngine(repository)) as engine:
            infer = EngineInfer(engine)
            as_packed = replace(self.manifest, model=packed_ref(self))
            for case in sides.test:
                labelled = loaded(case)
                with naming(case):
                    findings = application.analyse(labelled.subject, infer)
                    judged.append(self._of(case, labelled, as_packed, infer))
                classical.append(self._blobs(case, labelled, blobs))
                told.append(JudgedImage(patient=case.patient, found=self._told(findings), true=labelled.boxes))
                scored.append(Scored(case=case, attributes=labelled.attributes, row=self._row(told[-1], judged[-1]), without={}))
                shown.append(self._shown(labelled, told[-1]))
                step(case.name, len(sides.test))
        scored = [replace(one, without=self._row(other, other)) for one, other in zip(scored, classical, strict=True)]
        identity = {"sha256": Repository(repository).digest(packed_ref(self)), "run": state["identity"]}
        evaluation = record(self, sides, identity, _BASELINE, scored, {})
        for row, mine, saying in zip(evaluation["each"], judged, told, strict=True):
            row["ranked"] = ranked(mine, self.classes)
            row["told"] = [self._as_json(one) for one in saying.found]
        others = [ranked(one, self.classes) for one in classical]
        evaluation["figures"][PRECISION] |= {**self.pooled(evaluation["each"])[PRECISION], "baseline": _known(mean_precision(others))}
        # a blob is told by no probability: what of it would be told is not known
        for name in (_SENSITIVITY, _ALARMS):
            evaluation["figures"][name]["baseline"] = None
        evaluation["boxes"] = self._record(least, judged, told, classical, blobs)
        evaluation["card_sha256"] = write_page(run, evaluation, boxes_parts(evaluation["boxes"], _ranks(evaluation, shown)))
        save_json(run / EVALUATION, evaluation)
        return evaluation

    def pooled(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        return {PRECISION: pooled_precision([row["ranked"] for row in rows], [row["patient"] for row in rows])}

    def kinds(self) -> Mapping[str, Kind]:
        return KINDS

    def table(self, evaluation: Mapping[str, Any]) -> str:
        return boxes_table(evaluation["boxes"])

    def _judged(self, cases: Sequence[Case], infer: Infer) -> Iterator[JudgedImage]:
        for case in cases:
            with naming(case):
                yield self._of(case, loaded(case), self.manifest, infer)

    def _of(self, case: Case, labelled: LabelledSubject, manifest: BundleManifest, infer: Infer) -> JudgedImage:
        """All that is found from `LEAST` on."""
        every = replace(self.detector, told=LEAST)
        found = boxes_of_image(manifest, every, image_with_boxes(labelled), 0, infer)
        boxes = tuple(self._sure(one.shape, one.finding, one.certainty) for one in found)
        return JudgedImage(patient=case.patient, found=boxes, true=labelled.boxes)

    def _told(self, findings: Findings) -> tuple[SureBox, ...]:
        return tuple(self._sure(one.shape, one.finding, one.certainty) for one in findings.locations)

    def _sure(self, shape: object, finding: Code, certainty: float | None) -> SureBox:
        assert isinstance(shape, Box), "it marks boxes"
        assert certainty is not None, "with a probability"
        (channel,) = (one.channel for one in self.detector.classes if one.finding == finding)
        return SureBox(box=shape, channel=channel, certainty=certainty)

    def _row(self, told: JudgedImage, every: JudgedImage) -> dict[str, float]:
        hits = [hit for channel in range(self.classes) for _, hit in told.hits(channel)]
        return {
            PRECISION: mean_precision([ranked(every, self.classes)]),
            _SENSITIVITY: sum(hits) / len(told.true) if told.true else float("nan"),
            _ALARMS: float(len(hits) - sum(hits)),
        }

    def _seen(self, case: Case) -> tuple[str, NDArray[np.float32], Sequence[MarkedBox]]:
        """What the network sees of a case (Y, X), and its boxes there."""
        labelled = loaded(case)
        down, across = self._scale(labelled)
        scaled = [replace(one, box=_scaled(one.box, down, across)) for one in labelled.boxes]
        return case.patient, self._image(labelled), scaled

    def _blobs(self, case: Case, labelled: LabelledSubject, blobs: Sequence[BlobClass]) -> JudgedImage:
        down, across = self._scale(labelled)
        image = self._image(labelled)
        found = [box for channel, one in enumerate(blobs) for box in one.boxes(image, channel)]
        boxes = tuple(replace(one, box=_scaled(one.box, 1 / down, 1 / across)) for one in found)
        return JudgedImage(patient=case.patient, found=boxes, true=labelled.boxes)

    def _image(self, labelled: Any) -> NDArray[np.float32]:
        """What the network sees (Y, X)."""
        image: NDArray[np.float32] = self.example(labelled).image[0]
        return image

    def _scale(self, labelled: LabelledSubject) -> tuple[float, float]:
        """Rows and columns of what the network sees for one of the image."""
        rows, columns = image_with_boxes(labelled).pixels.shape[:2]
        return self.window[0] / rows, self.window[1] / columns

    def _shown(self, labelled: LabelledSubject, told: JudgedImage) -> BoxedImage:
        down, across = self._scale(labelled)
        true, found = ([_scaled(one.box, down, across) for one in boxes] for boxes in (told.true, told.found))
        return BoxedImage(image=self._image(labelled), true=true, found=found)

    def _as_json(self, one: SureBox) -> dict[str, Any]:
        sides = {"top": one.box.top, "left": one.box.left, "bottom": one.box.bottom, "right": one.box.right}
        return {"class": self.names[one.channel], "certainty": one.certainty, **sides}

    def _record(
        self,
        least: float,
        judged: Sequence[JudgedImage],
        told: Sequence[JudgedImage],
        classical: Sequence[JudgedImage],
        blobs: Sequence[BlobClass],
    ) -> dict[str, Any]:
        mine, others = (precisions([ranked(one, self.classes) for one in every]) for every in (judged, classical))
        hits = [[hit for one in told for _, hit in one.hits(channel)] for channel in range(self.classes)]
        there = [sum(box.channel == channel for one in told for box in one.true) for channel in range(self.classes)]
        return {
            "told from": least,
            "images": len(told),
            "empty": sum(not one.true for one in told),
            "classes": [
                {
                    "name": name,
                    "boxes": there[at],
                    "average precision": _known(mine[at]),
                    "baseline": _known(others[at]),
                    "told": len(hits[at]),
                    "hits": sum(hits[at]),
                    "blobs": str(blobs[at]),
                }
                for at, name in enumerate(self.names)
            ],
            "froc": compared([scan(one) for one in judged], [scan(one) for one in classical]),
            "reliability": reliability(judged, self.classes),
        }


def loaded(case: Case) -> LabelledSubject:
    """The case, read."""
    made = case.load()
    assert isinstance(made, LabelledSubject), "a detector's cases are"
    return made


def image_with_boxes(labelled: LabelledSubject) -> Image:
    """The one image on which boxes are."""
    assert isinstance(labelled.subject, Images), "a plan of boxes takes no volumes"
    (image,) = labelled.subject.images
    return image


def _scaled(box: Box, down: float, across: float) -> Box:
    return Box(top=box.top * down, left=box.left * across, bottom=box.bottom * down, right=box.right * across)


def _known(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _ranks(evaluation: Mapping[str, Any], shown: Sequence[BoxedImage]) -> list[tuple[float | None, BoxedImage]]:
    return [(row["figures"][PRECISION], one) for row, one in zip(evaluation["each"], shown, strict=True)]
