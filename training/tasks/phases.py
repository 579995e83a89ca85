"""Segmentation over time: recipes whose application marks a structure in each phase; judged by overlap and by what phases tell together.

Each held-out case is asked twice: as it was drawn, and with more slices at its ends. What the application declines counts as nothing found.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from inference.applications.port import Application, Infer
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.repository import Repository
from inference.errors import InputError
from inference.findings import Findings
from inference.imaging.subject import Phases
from training.baselines import Baseline
from training.checkpoint import save_json
from training.data.cases import Case, Split
from training.evaluation import gallery
from training.evaluation.figures import Kind
from training.evaluation.page import Gallery, Parts, write_page
from training.evaluation.record import EVALUATION, Scored, record
from training.evaluation.segmentation import Masks, dice
from training.export import packed, packed_ref
from training.fit import fit, refuse_other_sides, seed_of, trained
from training.infer import EngineInfer, NetworkInfer, naming
from training.progress import Progress, Step, silent
from training.ranks import Ranks
from training.recipe import AS_IT_IS, EvaluationOptions, Outcome, Recipe, Schedule

_OUTLINES = Markup(
    '<span class="key true"></span>true outline <span class="key found"></span>found outline at end-diastole; where they agree, both are '
    "drawn over each other. Across the slices the picture is as coarse as they are apart; what is black was not drawn."
)


class Beat(Protocol):
    """A case as it is read: phases, the truth (T, Z, Y, X) about each, and what share is ejected between them, in percent."""

    @property
    def phases(self) -> Phases: ...

    @property
    def labels(self) -> NDArray[np.uint8]: ...

    @property
    def attributes(self) -> Mapping[str, str]: ...

    @property
    def ejected(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSegmenter(Recipe):
    """A recipe whose cases are `Beat`s.

    Attributes
    ----------
    structure
        What is marked, for people: its figures bear the name.
    ejected
        What share of it the findings say is ejected, in percent.
    padded
        A case with more slices at its ends.
    baseline
        What the network has to beat.
    at_once
        How many images the application brings in one call.
    """

    task = "segmentation over time"

    structure: str
    ejected: Callable[[Findings], float]
    padded: Callable[[Any, str], Any]
    baseline: Baseline
    at_once: int

    def fit(self, sides: Split, run: Path, schedule: Schedule, ranks: Ranks, progress: Progress) -> Outcome:
        return fit(self, sides, run, schedule, ranks, progress)

    def validation(self, network: Any, cases: Sequence[Case]) -> float:
        network.eval()
        rows = []
        for case in cases:
            with naming(case):
                rows.append(self._row(self.application, case.load(), NetworkInfer(network))[f"Dice {self.structure}"])
        return float(np.mean(rows))

    def seed_of(self, run: Path) -> int | None:
        return seed_of(run)

    def kinds(self) -> Mapping[str, Kind]:
        made = {}
        for words, of in (("", "as drawn"), (", padded", "with made slices beyond base and apex")):
            off = "how far the ejection fraction is from the drawn one, in points"
            made[f"ejection fraction error{words}"] = Kind(unit="%", better="less", digits=1, says=f"{off}, {of}")
            made[f"declined{words}"] = Kind(
                unit="", better="less", digits=2, says=f"whether the application says nothing of the case, {of}", share=True
            )
        constant = "how far the median of the training patients, said of everybody, is from the drawn fraction, in points"
        return {**made, "ejection fraction error of the median": Kind(unit="%", better="less", digits=1, says=constant)}

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
        repository = packed(self, network, run, (self.channels, *self.window), batch=self.at_once)
        application = as_served(self.application, repository)
        guessed = self.baseline.make(self, sides.train)
        constant = float(np.median([case.load().ejected for case in sides.train]))
        scored = []
        with closing(EmbeddedEngine(repository)) as engine:
            infer = EngineInfer(engine)
            for case in sides.test:
                with naming(case):
                    row, without = (
                        self._both(by, case, asked, constant) for by, asked in ((application, infer), (self.application, guessed))
                    )
                scored.append(Scored(case=case, attributes=case.load().attributes, row=row, without=without))
                step(case.name, len(sides.test))
            identity = {"sha256": Repository(repository).digest(packed_ref(self)), "run": state["identity"]}
            evaluation = record(self, sides, identity, self.baseline.name, scored, {})
            evaluation["card_sha256"] = write_page(run, evaluation, self._parts(application, infer, sides.test, evaluation))
            save_json(run / EVALUATION, evaluation)
        return evaluation

    def _both(self, application: Application, case: Case, infer: Infer, constant: float) -> dict[str, float]:
        labelled = case.load()
        plain, padded = (self._row(application, each, infer) for each in (labelled, self.padded(labelled, case.name)))
        return {
            **plain,
            **{f"{name}, padded": value for name, value in padded.items()},
            "ejection fraction error of the median": abs(constant - labelled.ejected),
        }

    def _row(self, application: Application, labelled: Beat, infer: Infer) -> dict[str, float]:
        """The figures of one case; what is declined has no fraction, and no voxel in common with the truth."""
        try:
            findings = application.analyse(labelled.phases, infer)
        except InputError:
            return {f"Dice {self.structure}": 0.0, "ejection fraction error": float("nan"), "declined": 1.0}
        found = _masks(findings, labelled)
        return {
            f"Dice {self.structure}": dice(found, labelled.labels > 0),
            "ejection fraction error": abs(self.ejected(findings) - labelled.ejected),
            "declined": 0.0,
        }

    def _parts(self, application: Application, infer: Infer, cases: Sequence[Case], evaluation: Mapping[str, Any]) -> Parts:
        def seen(index: int) -> tuple[Any, Sequence[Masks], None]:
            labelled = cases[index].load()
            try:
                found = _masks(application.analyse(labelled.phases, infer), labelled)
            except InputError:
                found = np.zeros(labelled.labels.shape, dtype=np.bool_)
            return labelled.phases.reference, [Masks(found=found[0], true=labelled.labels[0] > 0)], None

        return Parts(
            kinds_note="A case of which the application says nothing has a Dice of 0 and no ejection fraction; it is counted as declined.",
            gallery=Gallery(
                title="Best, middle and worst cases",
                note=_OUTLINES,
                pictures=gallery.chosen([each["figures"][self.watched] for each in evaluation["each"]], seen),
            ),
        )


def _masks(findings: Findings, labelled: Beat) -> NDArray[np.bool_]:
    """(T, Z, Y, X), by the phases that segments name."""
    found = np.zeros(labelled.labels.shape, dtype=np.bool_)
    for segment in findings.segments:
        assert segment.phase is not None, "masks over time name their phase"
        found[segment.phase] |= segment.mask
    return found
