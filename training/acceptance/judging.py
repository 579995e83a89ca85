"""The acceptance test: every series of a folder that has a reference, analysed as a job would be, compared and put on record."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.engines.errors import NotFinite
from inference.errors import InputError
from inference.imaging.header import read_instance
from inference.imaging.subject import volume_of
from inference.imaging.volume import Volume
from training.acceptance.cells import attributes
from training.acceptance.page import write_page
from training.acceptance.port import Analyse, UnderTest
from training.acceptance.record import Compared, Comparison, NotCompared, record
from training.acceptance.reference import Drawn, Reference, Tabled
from training.acceptance.structures import references
from training.acceptance.table import named, read_table, single_images
from training.checkpoint import save_json
from training.data.dicom import LabelledSeries, Studies, read_studies, studies
from training.data.lines import INSTANCE
from training.errors import TrainingError, UnfitData
from training.evaluation import gallery
from training.evaluation.bootstrap import INTERVAL, RESAMPLES, SEED
from training.evaluation.kept import Kept, Row, kept
from training.evaluation.record import EVALUATION, FORMAT
from training.evaluation.segmentation import TOLERANCE_MM, Masks
from training.progress import Step, silent

BEGUN = "evaluating.jsonl"
"""What is computed already, in the folder of the test, while it is under way."""
_THICKNESS = ".thickness_mm"
"""Beside the figures of a row that is kept: found in reading the images, which a test that goes on does not read again."""


def evaluate(
    under_test: UnderTest,
    analyse: Analyse,
    folder: Path,
    out: Path,
    same: Mapping[str, str],
    table: Path | None = None,
    *,
    step: Step = silent,
) -> dict[str, Any]:
    """Put an application to the test on the studies of a folder: on their DICOM segmentations, or on a table. Called again after a kill,
    it goes on.

    `out` then holds evaluation.json and card.html, which has pictures of patients.

    Returns
    -------
    dict
        What evaluation.json holds (`record`).

    Raises
    ------
    UnfitData
        The folder holds no series with a reference, the table cannot be read, or none of the series could be compared.
    UnclearLabels, UnfitSetting
        As `references`.
    EngineError, ModelError
    """
    found, reference, lost = _reference(under_test, folder, same, table)
    identity = {
        "format": FORMAT,
        "application": f"{under_test.application.name} {under_test.application.version}",
        "sha256": under_test.sha256,
        "series": [one.uid for one in found.series],
        "reference": reference.identity,
        "settings": [TOLERANCE_MM, RESAMPLES, SEED, *INTERVAL],
    }
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with kept(out / BEGUN, identity) as known:
        outcome, ranked = _outcome(analyse, found, reference, lost, known, step)
        told = record(under_test, outcome, reference.kinds, reference.watched, ranked)
        by_uid = {one.uid: one for one in found.series}

        def seen(index: int) -> tuple[Volume, Sequence[Masks], None]:
            series = by_uid[outcome.compared[index].series]
            subject, said = analyse(series.files, series.uid)
            assert isinstance(subject, Volume), "masks lie on one"
            return subject, reference.masks(series, subject, said), None

        drawn = isinstance(reference, Drawn)
        pictures = gallery.chosen([each["figures"][told["watched"]] for each in told["each"]], seen) if drawn else []
        # the page first: a record that is there has its page
        told["card_sha256"] = write_page(out, told, pictures)
        save_json(out / EVALUATION, told)
    return told


def _reference(
    under_test: UnderTest, folder: Path, same: Mapping[str, str], table: Path | None
) -> tuple[Studies, Reference, list[NotCompared]]:
    """The series that have a reference and those that have none, that reference, and what of it names nothing that is there."""
    if table is None:
        found = studies(folder)
        return found, Drawn(meant=references(under_test.application, found.series, same)), []
    content = read_table(table, under_test.application)
    there, _ = read_studies(folder)
    series = (*there.series, *there.unlabelled)
    every = sorted(single_images(series) if content.identifier == INSTANCE else series, key=lambda one: one.uid)
    meant = named(content, every)
    found = Studies(
        series=tuple(one for one in every if one.uid in meant.series),
        unlabelled=tuple(one for one in every if one.uid not in meant.series),
        left_out=there.left_out,
    )
    lost = [NotCompared(what=where, reason=why) for where, why in meant.lost]
    return found, Tabled(table=content, named=meant), lost


def _outcome(
    analyse: Analyse, found: Studies, reference: Reference, lost: Sequence[NotCompared], known: Kept, step: Step
) -> tuple[Comparison, Mapping[str, Any]]:
    compared, refused, rows = list[Compared](), list[NotCompared](), list[tuple[str, str, Row]]()
    unusable = [*lost, *(NotCompared(what=what, reason=why) for what, _, why in (line.partition(": ") for line in found.left_out))]
    for series in found.series:
        try:
            first = read_instance(series.files[0])
            header = first.header

            def row(series: LabelledSeries = series, series_uid: str = first.series_instance_uid) -> Row:
                # not its own uid: a single image has its SOPInstanceUID there
                subject, said = analyse(series.files, series_uid)
                volume = volume_of(subject)
                thickness_mm = None if volume is None else volume.thickness_mm
                return {**reference.row(series, subject, said), _THICKNESS: -1.0 if thickness_mm is None else thickness_mm}

            if reference.has(series):
                whole = known.row(series.uid, row)
                said = attributes(header, None if whole[_THICKNESS] < 0 else whole[_THICKNESS])
                figures = {name: value for name, value in whole.items() if not name.startswith(".")}
                compared.append(Compared(series=series.uid, patient=series.patient, attributes=said, row=figures))
                rows.append((series.uid, series.patient, whole))
            else:
                unusable.append(NotCompared(what=series.uid, reason="its segmentations mark nothing that the application marks"))
        except (InputError, NotFinite) as declined:
            refused.append(NotCompared(what=series.uid, reason=str(declined), code=declined.code))
        except TrainingError as unclear:
            unusable.append(NotCompared(what=series.uid, reason=str(unclear), code=unclear.code))
        step(series.uid, len(found.series))
    if not compared:
        reasons = [f"{one.what}: {one.reason}" for one in (*refused, *unusable)]
        raise UnfitData(f"none of {len(found.series)} series with a reference could be compared: {'; '.join(reasons[:3])}")
    notes = list(reference.notes)
    if nameless := sum(not each.patient.strip("\\") for each in compared):
        notes.append(f"{nameless} series have no PatientID: they count as one patient, and intervals are wider than they might be.")
    if empty := [name for name in compared[0].row if not any(math.isfinite(each.row[name]) for each in compared)]:
        notes.append(f"No case has a value of {', '.join(empty)}: nothing is known of it.")
    outcome = Comparison(
        compared=compared,
        refused=refused,
        unusable=unusable,
        unlabelled=[NotCompared(what=one.uid, reason=f"{one.modality}: no reference names it") for one in found.unlabelled],
        notes=notes,
    )
    return outcome, reference.ranked(rows)
