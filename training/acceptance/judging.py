"""The acceptance test: every labelled series of a folder analysed as a job would be, compared with its reference, and put on record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.errors import InputError
from inference.findings import Findings
from inference.imaging.header import read_instance
from inference.imaging.volume import Volume
from training.acceptance import segmentation
from training.acceptance.cells import attributes
from training.acceptance.page import write_page
from training.acceptance.port import Analyse, UnderTest
from training.acceptance.record import Compared, Comparison, NotCompared, record
from training.acceptance.structures import References, references
from training.checkpoint import save_json
from training.data.dicom import LabelledSeries, Studies, studies
from training.errors import TrainingError, UnfitData
from training.evaluation import gallery
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.kept import Kept, Row, kept
from training.evaluation.record import EVALUATION, FORMAT
from training.evaluation.segmentation import TOLERANCE_MM, Masks
from training.progress import Step, silent

BEGUN = "evaluating.jsonl"
"""What is computed already, in the folder of the test, while it is under way."""


def evaluate(
    under_test: UnderTest, analyse: Analyse, folder: Path, out: Path, same: Mapping[str, str], *, step: Step = silent
) -> dict[str, Any]:
    """Put an application to the test on the studies of a folder and their DICOM SEG. Called again after a kill, it goes on.

    `out` then holds evaluation.json and card.html, which has pictures of patients.

    Returns
    -------
    dict
        What evaluation.json holds (`record`).

    Raises
    ------
    UnfitData
        The folder holds no labelled series, or none of them could be compared.
    UnclearLabels, UnfitSetting
        As `references`.
    EngineError, ModelError
    """
    found = studies(folder)
    meant = references(under_test.application, found.series, same)
    identity = {
        "format": FORMAT,
        "application": f"{under_test.application.name} {under_test.application.version}",
        "sha256": under_test.sha256,
        "series": [one.uid for one in found.series],
        "structures": {label: sorted((str(path), *numbers) for path, numbers in files.items()) for label, files in meant.numbers.items()},
        "settings": [TOLERANCE_MM, RESAMPLES, SEED, *INTERVAL],
    }
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with kept(out / BEGUN, identity) as known:
        outcome = _outcome(analyse, found, meant, known, step)
        told = record(under_test, outcome, segmentation.kinds(meant), segmentation.watched(meant))
        by_uid = {one.uid: one for one in found.series}

        def seen(index: int) -> tuple[Volume, Sequence[Masks]]:
            series = by_uid[outcome.compared[index].series]
            volume, said = _analysed(series, analyse)
            return volume, list(segmentation.structures(series, volume, said, meant).values())

        pictures = gallery.chosen([each["figures"][told["watched"]] for each in told["each"]], seen)
        # the page first: a record that is there has its page
        told["card_sha256"] = write_page(out, told, pictures)
        save_json(out / EVALUATION, told)
    return told


def _outcome(analyse: Analyse, found: Studies, meant: References, known: Kept, step: Step) -> Comparison:
    compared, refused = list[Compared](), list[NotCompared]()
    unusable = [NotCompared(what=what, reason=why) for what, _, why in (line.partition(": ") for line in found.left_out)]
    for series in found.series:
        try:
            header = read_instance(series.files[0]).header

            def row(series: LabelledSeries = series) -> Row:
                volume, said = _analysed(series, analyse)
                figures = segmentation.row(segmentation.structures(series, volume, said, meant), volume, meant)
                return {**figures, _THICKNESS: -1.0 if volume.thickness_mm is None else volume.thickness_mm}

            if any(file.path in of_files for of_files in meant.numbers.values() for file in series.segmentations):
                figures = dict(known.row(series.uid, row))
                thickness_mm = figures.pop(_THICKNESS)
                said = attributes(header, None if thickness_mm < 0 else thickness_mm)
                compared.append(Compared(series=series.uid, patient=series.patient, attributes=said, row=figures))
            else:
                unusable.append(NotCompared(what=series.uid, reason="its segmentations mark nothing that the application marks"))
        except InputError as declined:
            refused.append(NotCompared(what=series.uid, reason=str(declined), code=declined.code))
        except TrainingError as unclear:
            unusable.append(NotCompared(what=series.uid, reason=str(unclear), code=unclear.code))
        step(series.uid, len(found.series))
    if not compared:
        reasons = [f"{one.what}: {one.reason}" for one in (*refused, *unusable)]
        raise UnfitData(f"none of {len(found.series)} labelled series could be compared: {'; '.join(reasons[:3])}")
    return Comparison(
        compared=compared,
        refused=refused,
        unusable=unusable,
        unlabelled=[NotCompared(what=one.uid, reason=f"{one.modality}: no segmentation refers to it") for one in found.unlabelled],
        notes=_notes(meant, compared),
    )


_THICKNESS = "thickness_mm"
"""Beside the figures of a row that is kept: found in reading the images, which a test that goes on does not read again."""


def _analysed(series: LabelledSeries, analyse: Analyse) -> tuple[Volume, Findings]:
    subject, found = analyse(series.files, series.uid)
    if not isinstance(subject, Volume):
        raise UnfitData(f"a segmentation is compared over one volume, and the application was given {type(subject).__name__.lower()}")
    return subject, found


def _notes(meant: References, compared: Sequence[Compared]) -> list[str]:
    notes = []
    if meant.unmarked:
        notes.append(f"No reference marks {', '.join(meant.unmarked)}: nothing is known of how well the application does.")
    if meant.unknown:
        said = ", ".join(f"{label} ({count})" for label, count in sorted(meant.unknown.items()))
        notes.append(f"Segments of the references that the application has no structure for: {said}.")
    if nameless := sum(not each.patient.strip("\\") for each in compared):
        notes.append(f"{nameless} series have no PatientID: they count as one patient, and intervals are wider than they might be.")
    return notes
