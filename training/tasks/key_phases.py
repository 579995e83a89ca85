"""Phases of a beat: recipes whose application says which frame of a cine is end-diastole, and which end-systole.

They are judged on cines that are made of held-out patients' drawn phases, by how far off they are in twentieths of the beat, beside whoever
takes the frames with the largest and the smallest area: of what a classical method marks, and of the true outlines.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from inference import codes
from inference.applications.port import Application, Infer
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.repository import Repository
from inference.errors import InputError
from inference.findings import Findings
from inference.imaging.subject import Phases
from training.checkpoint import save_json
from training.data.cases import Case, Split
from training.data.made_cines import MadeCine, around
from training.evaluation import gallery
from training.evaluation.figures import Kind
from training.evaluation.page import Gallery, Parts, write_page
from training.evaluation.record import EVALUATION, Scored, record
from training.export import packed, packed_ref
from training.fit import fit, refuse_other_sides, seed_of, trained
from training.infer import EngineInfer, NetworkInfer, naming
from training.progress import Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule

DIASTOLE, SYSTOLE = "end-diastole", "end-systole"
NEARNESS, WITHIN, NEAR = "nearness", "both phases within 1 of 20", 1.0
BY_OUTLINES = f"{WITHIN}, by the true outlines' areas"
TWENTY = 20

Areas = Callable[[Phases], NDArray[np.float64]]
"""How large the cavity is in each phase, (T,), by a method that has learned nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPhases(Recipe):
    """A recipe whose cases are `DrawnBeat`s: it learns from what cines are made of, and is judged on a made one.

    Attributes
    ----------
    areas
        What the network has to beat: the largest is said to be end-diastole, the smallest end-systole.
    area_rule
        Its name, for people.
    at_once
        How many slices the application brings in one call.
    """

    task = "phases of a beat"

    areas: Areas
    area_rule: str
    at_once: int

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        """The mean nearness: a share of few cases that are within one would choose between epochs by chance."""
        network.eval()
        rows = []
        for case in cases:
            with naming(case):
                cine = case.load().cine()
                rows.append(_row(cine, _found(self.application, cine, NetworkInfer(network))))
        return float(np.mean([row[NEARNESS] for row in rows]))

    def seed_of(self, run: Path) -> int | None:
        return seed_of(run)

    def kinds(self) -> Mapping[str, Kind]:
        share = "whether both phases that are told lie within a twentieth of the beat of the true ones"
        return {
            NEARNESS: Kind(
                unit="",
                better="more",
                digits=3,
                says="1 where both phases are the true ones, 0 where both are half a beat off or none is told",
            ),
            WITHIN: Kind(unit="", better="more", digits=3, says=share, share=True),
            BY_OUTLINES: Kind(
                unit="",
                better="more",
                digits=3,
                says=f"{share}: the largest and the smallest area of the true outlines, by whomever",
                share=True,
            ),
            **{
                f"{which} off": Kind(
                    unit="1/20",
                    better="less",
                    digits=2,
                    says="how far the phase that is told is from the true one, in twentieths of the beat",
                )
                for which in (DIASTOLE, SYSTOLE)
            },
            "declined": Kind(unit="", better="less", digits=2, says="whether the application says nothing of the case", share=True),
        }

    def evaluate(self, sides: Split, run: Path, options: EvaluationOptions = AS_IT_IS, *, step: Step = silent) -> dict[str, Any]:
        """Pack, and ask of the held-out cases as it is served.

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
        repository = packed(self, network, run, (self.channels, -1), batch=self.at_once, open_frames=True)
        application = as_served(self.application, repository)
        scored, told = [], []
        with closing(EmbeddedEngine(repository)) as engine:
            infer = EngineInfer(engine)
            for case in sides.test:
                with naming(case):
                    cine = case.load().cine()
                    found = _found(application, cine, infer)
                outlined = _row(cine, _extremes(cine.areas))[WITHIN]
                by_areas = _extremes(self.areas(cine.phases))
                rows = [{**_row(cine, one), BY_OUTLINES: outlined} for one in (found, by_areas)]
                scored.append(Scored(case=case, attributes=cine.attributes, row=rows[0], without=rows[1]))
                told.append((cine, found))
                step(case.name, len(sides.test))
        identity = {"sha256": Repository(repository).digest(packed_ref(self)), "run": state["identity"]}
        evaluation = record(self, sides, identity, self.area_rule, scored, {})
        evaluation["card_sha256"] = write_page(run, evaluation, _parts(told, [one.row for one in scored]))
        save_json(run / EVALUATION, evaluation)
        return evaluation


def told_phases(findings: Findings, slices: int) -> tuple[int, int]:
    """End-diastole and end-systole, from 0, by the images that the findings refer to."""
    images = {one.finding: one.images for one in findings.evaluations}
    return images[codes.END_DIASTOLE][0] // slices, images[codes.END_SYSTOLE][0] // slices


def _found(application: Application, cine: MadeCine, infer: Infer) -> tuple[int, int] | None:
    """What the application tells; None where it declines."""
    try:
        findings = application.analyse(cine.phases, infer)
    except InputError:
        return None
    return told_phases(findings, len(cine.phases.reference.voxels))


def _extremes(areas: NDArray[np.float64]) -> tuple[int, int]:
    return int(np.argmax(areas)), int(np.argmin(areas))


def _off(cine: MadeCine, found: tuple[int, int]) -> tuple[float, float]:
    frames = len(cine.phases)
    off = around(np.array(found, dtype=np.float64) - (cine.diastole, cine.systole), frames) * TWENTY / frames
    return float(off[0]), float(off[1])


def _row(cine: MadeCine, found: tuple[int, int] | None) -> dict[str, float]:
    if found is None:
        off = float("nan")
        return {NEARNESS: 0.0, WITHIN: 0.0, f"{DIASTOLE} off": off, f"{SYSTOLE} off": off, "declined": 1.0}
    diastole, systole = _off(cine, found)
    return {
        NEARNESS: 1 - (diastole + systole) / TWENTY,
        WITHIN: float(max(diastole, systole) <= NEAR),
        f"{DIASTOLE} off": diastole,
        f"{SYSTOLE} off": systole,
        "declined": 0.0,
    }


_Told = tuple[MadeCine, tuple[int, int] | None]
_NOTE = Markup(
    "The middle slice of made cines: the true end-diastole and the one that was told, then the true end-systole and the one that was told. "
    "Where nothing was told, there are the two true ones."
)


def _parts(told: Sequence[_Told], rows: Sequence[Mapping[str, float]]) -> Parts:
    return Parts(
        kinds_note="Twentieths are of the beat, whatever number of frames a cine has.",
        gallery=Gallery(
            title="Best, middle and worst cases",
            note=_NOTE,
            pictures=gallery.stills([(row[NEARNESS], _stills(*each)) for each, row in zip(told, rows, strict=True)]),
        ),
    )


def _stills(cine: MadeCine, found: tuple[int, int] | None) -> list[tuple[str, NDArray[np.int16]]]:
    middle = len(cine.phases.reference.voxels) // 2
    frames = [(f"true {which}", frame) for which, frame in ((DIASTOLE, cine.diastole), (SYSTOLE, cine.systole))]
    if found is not None:
        told = [(f"{which} as told", frame) for which, frame in zip((DIASTOLE, SYSTOLE), found, strict=True)]
        frames = [frames[0], told[0], frames[1], told[1]]
    return [(f"{which}, frame {frame + 1}", cine.phases.volumes[frame].voxels[middle]) for which, frame in frames]
