"""The journal's earlier value beside today's, with the real encoder: studies of one patient and of another, one after the other."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from inference import codes, findings_file
from inference.findings import Deformation, Earlier, Findings, Measurement, Segment
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.errors import JournalError
from node.domain.job import EarlierResult
from node.domain.state import JobState
from node.flow.encode import measured_in, with_earlier
from node.results.encode import encode
from node.results.port import Encoded, Encoding
from tests.unit.flow.mini import APPLICATION, MiniNode
from tests.unit.flow.mini import encode as write
from tests.unit.flow.test_runner import Work, settle_and_route

AFFINE = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


@pytest.fixture
def work(node: MiniNode) -> Work:
    return Work(node)


def came(work: Work, folder: Path, day: str, side: int, patient: str = "P-1") -> None:
    """A study of that day comes with a bright block of side x side x 2 voxels of 2 mm³, far from every border, and waits."""
    voxels = np.zeros((14, 60, 60), dtype=np.int16)
    voxels[6:8, 15 : 15 + side, 15 : 15 + side] = 1000
    study, series = derive_uid(day, patient), derive_uid(day, patient, "t1")
    given: dict[str, Any] = {"StudyDate": day, "StudyTime": "101500"}
    names: dict[str, Any] = {"patient_id": patient, "study_uid": study, "series_uid": series, "extra": given}
    files = write_series(voxels, AFFINE, folder / day / (patient or "nobody"), modality="MR", **names)
    work.node.receive_files(study, series, files)
    settle_and_route(work.node)


def analysed(work: Work, folder: Path, day: str, side: int, patient: str = "P-1") -> tuple[float, Earlier | None]:
    """The same, analysed: today's value and what stands beside it, as they are kept between the stages."""
    came(work, folder, day, side, patient)
    assert work.step() == 1
    assert work.job.state is JobState.ENCODED, work.job.reason
    return kept(work)


def kept(work: Work) -> tuple[float, Earlier | None]:
    assert work.job.findings_blob is not None
    (one,) = findings_file.loads(work.node.blobs.path(work.job.findings_blob).read_bytes()).measurements
    assert not one.at_least
    return round(one.value, 9), one.earlier


@pytest.mark.slow
def test_the_nearest_earlier_value_of_the_patient_stands_beside_todays_with_its_day(work: Work, tmp_path: Path) -> None:
    """30 x 30 x 2 voxels are 3.6 cm³, 20 x 20 x 2 are 1.6, 25 x 25 x 2 are 2.5: counted by hand. What came of another patient in between,
    or of the same one for a later day, is beside nothing. The report's first sentence says it."""
    assert analysed(work, tmp_path, "20240101", 20) == (1.6, None)
    assert analysed(work, tmp_path, "20250304", 25) == (2.5, Earlier(value=1.6, date="2024-01-01"))
    assert analysed(work, tmp_path, "20250601", 10, "P-2") == (0.4, None)
    assert analysed(work, tmp_path, "20230101", 15) == (0.9, None)
    work.encode = encode
    assert analysed(work, tmp_path, "20260310", 30) == (3.6, Earlier(value=2.5, date="2025-03-04"))
    report = dcmread(BytesIO(work.objects()["sr"]))
    assert report.ContentSequence[0].ContentSequence[0].TextValue.startswith("Brain: volume 3.60 cm³ (2.50 cm³ on 2025-03-04). By ")


def test_two_studies_without_a_patient_id_are_not_one_patients(work: Work, tmp_path: Path) -> None:
    """Nobody can say that they are."""
    assert analysed(work, tmp_path, "20240101", 20, "") == (1.6, None)
    assert analysed(work, tmp_path, "20250304", 25, "") == (2.5, None)


def test_another_version_is_named_and_another_major_version_is_not_compared(work: Work, tmp_path: Path) -> None:
    """1.0.0 stands beside 1.1.0 with its name; beside 2.0.0 nothing."""
    analysed(work, tmp_path, "20240101", 20)
    work.application = replace(APPLICATION, version="1.1.0")
    assert analysed(work, tmp_path, "20250304", 25) == (2.5, Earlier(value=1.6, date="2024-01-01", version="1.0.0"))
    work.application = replace(APPLICATION, version="2.0.0")
    assert analysed(work, tmp_path, "20260310", 30) == (3.6, None)


def test_a_retry_says_what_the_first_attempt_found(work: Work, tmp_path: Path) -> None:
    """What was compared is durable with the findings: a nearer study that is analysed between two attempts of the encoder changes not a
    byte."""
    analysed(work, tmp_path, "20240101", 20)
    made: list[Sequence[Encoded]] = []

    def breaks(encoding: Encoding) -> list[Encoded]:
        made.append(write(encoding))
        raise JournalError("away")

    came(work, tmp_path, "20260310", 30)
    late = work.job.id
    work.encode = breaks
    work.step()
    assert work.node.journal.jobs.get(late).state is JobState.INFERRED
    work.encode = write
    came(work, tmp_path, "20250304", 25)
    while work.step():
        pass
    assert work.node.journal.results.earlier(late)[0].studied_at == "20250304101500"
    assert [one.state for one in work.node.jobs()] == [JobState.ENCODED] * 3
    objects = {one.kind: work.node.blobs.path(one.blob).read_bytes() for one in work.node.journal.results.of_job(late)}
    assert {one.kind: one.data for one in made[0]} == objects


def _findings(value: float, label: str = "brain", **more: Any) -> Findings:
    mask = np.ones((1, 1, 1), dtype=np.bool_)
    segment = Segment(label=label, mask=mask, rgb=(1, 2, 3), category=codes.ANATOMICAL_STRUCTURE, type=codes.BRAIN)
    return Findings(
        segments=(segment,),
        measurements=(Measurement(**{"name": codes.VOLUME, "value": value, "unit": codes.CUBIC_CENTIMETRE, "segment": label, **more}),),
    )


def _of(findings: Findings, **changes: Any) -> Findings:
    """The same of another segment."""
    return replace(findings, segments=tuple(replace(one, **changes) for one in findings.segments))


def _result(findings: Findings, study: str = "1.1", *, model: str = "m", images: str = "images") -> EarlierResult:
    said = tuple(measured_in(findings, "", "1.0.0"))
    facts = {"study_instance_uid": study, "studied_at": "20250304101500", "model_digest": model, "input_digest": images}
    return EarlierResult(job=1, measured=said, **facts)


def _earlier(today: Findings, *results: EarlierResult, model: str = "m", part: str = "") -> Earlier | None:
    return with_earlier(today, part, "1.0.0", model, results).measurements[0].earlier


def test_only_the_same_concept_is_compared() -> None:
    """Name, unit, structure, side, label and part are the same, or there is nothing beside it; other models are named."""
    before = _result(_findings(1450.0))
    assert _earlier(_findings(1470.0), before) == Earlier(value=1450.0, date="2025-03-04")
    assert _earlier(_findings(1470.0), before, model="n") == Earlier(value=1450.0, date="2025-03-04", another_model=True)
    others = [
        _findings(1.0, unit=codes.MILLIMETRE),
        _findings(1.0, name=codes.ATTENUATION_COEFFICIENT),
        _findings(1.0, derivation=codes.MEAN),
        _findings(1.0, label="head"),
        _of(_findings(1.0), type=codes.HIPPOCAMPUS),
        _of(_findings(1.0), laterality=codes.LEFT),
        _of(_findings(1.0), finding_site=codes.HEAD),
        _findings(1.0, at_least=True),
    ]
    assert [_earlier(one, before) for one in others] == [None] * len(others)
    assert _earlier(_findings(1470.0), before, part="echo 1") is None


def test_a_bound_a_lesion_and_what_nobody_can_tell_apart_are_compared_with_nothing() -> None:
    """An earlier bound is not kept; lesion 1 of one study is not that of the next; two results of one earlier study are ambiguous."""
    today = _findings(1470.0)
    assert _result(_findings(1450.0, at_least=True)).measured == ()
    assert _result(_of(today, category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE)).measured == ()
    assert _result(_of(today, mask=np.zeros((1, 1, 1), dtype=np.bool_))).measured == ()
    assert _earlier(today, _result(_findings(1450.0)), _result(_findings(1460.0))) is None
    assert _earlier(today, _result(_findings(1450.0)), _result(_findings(1460.0), study="1.0")) is not None


def test_how_far_a_prior_was_bent_is_compared_with_no_other_bending() -> None:
    """It is a number of two visits: that of the last two is no earlier value of it, and is not kept for the next."""
    still = Deformation(matrix=np.eye(4), offsets=np.zeros((2, 2, 2, 3), np.float32), affine=np.eye(4))
    today = replace(_findings(1.5, name=codes.DIAMETER, unit=codes.MILLIMETRE), deformation=still)
    assert _result(today).measured == ()
    assert _earlier(today, _result(replace(today, deformation=None))) is None


def test_of_two_models_results_on_the_same_images_todays_model_is_compared() -> None:
    """Two routes asked for two models: each finds its own value. Where the images are others, or neither model is today's, nothing tells
    which is meant, and a remark says so."""
    today, left_out = (
        _findings(1470.0),
        "Values of 2025-03-04 are left out: that study has several results, and nothing tells which is meant.",
    )
    two = [_result(_findings(1450.0), model="n"), _result(_findings(1460.0))]
    assert [_earlier(today, *two), _earlier(today, *two, model="n")] == [
        Earlier(value=1460.0, date="2025-03-04"),
        Earlier(value=1450.0, date="2025-03-04"),
    ]
    others = [replace(two[0], input_digest="thick slices"), two[1]]
    for model, results in [("m", others), ("another", two)]:
        found = with_earlier(today, "", "1.0.0", model, results)
        assert (found.measurements[0].earlier, [str(said) for said in found.remarks]) == (None, [left_out])
    assert with_earlier(today, "", "1.0.0", "m", two).remarks == ()
