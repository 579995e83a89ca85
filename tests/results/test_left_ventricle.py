"""left-ventricle as it is delivered: masks of all phases, and a report whose numbers refer to the images of their phase."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.admitting import admitted
from inference.applications.analysing import analyse
from inference.imaging.subject import Phases
from inference.imaging.subjects import subjects
from node.domain.profile import VIEWER
from node.results.encode import encode
from node.results.port import Encoding
from tests.lab import cine, validators
from tests.results.made import save
from tests.results.test_over_time import of_modality
from tests.results.test_totals import MOST
from tests.unit.applications.test_left_ventricle import APPLICATION, Blood


def results(made: cine.Cine, folder: Path) -> list[Path]:
    """The objects about a cine that a viewer gets with its masks, as files."""
    (assembled,) = subjects(APPLICATION.accepts.takes, "refuse", made.files, "")
    given = admitted(APPLICATION, assembled)
    subject = given.assembled.subject
    assert isinstance(subject, Phases)
    encoding = Encoding(
        application=APPLICATION,
        findings=given.judge.after(analyse(APPLICATION, subject, Blood())),
        sources=assembled.headers,
        subject=subject,
        at=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        input_digest="a" * 64,
        model_digest="b" * 64,
        findings_digest="c" * 64,
        parameters="",
        device_uid="1.2.3",
        profiles=(replace(VIEWER, cine_masks=True),),
    )
    return save(encode(encoding), folder)


def groups(report: Dataset) -> dict[str, tuple[float, str, set[str]]]:
    """By the code of a number: its value, its unit, and the images that its group names as its sources."""
    found: dict[str, tuple[float, str, set[str]]] = {}
    for one in report.get("ContentSequence", ()):
        numbers = [each for each in one.get("ContentSequence", ()) if each.ValueType == "NUM"]
        images = {
            each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in one.get("ContentSequence", ()) if each.ValueType == "IMAGE"
        }
        for each in numbers:
            measured = each.MeasuredValueSequence[0]
            unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
            found[str(each.ConceptNameCodeSequence[0].CodeValue)] = float(measured.NumericValue), unit, images
        found |= groups(one)
    return found


def of_phases(made: cine.Cine, *phases: int) -> set[str]:
    return {
        str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        for path in made.files
        if any(path.parent.name == f"phase{phase}" for phase in phases)
    }


def test_numbers_of_the_beat_refer_to_the_images_of_their_phase(tmp_path: Path) -> None:
    """End-diastolic and end-systolic volume (PS3.16 CID 3468, 3469), stroke volume and ejection fraction (CID 3835, 12304) in a TID 1501
    report, each with the images that it rests on; one mask a phase."""
    made = cine.with_grain(cine.one_series(tmp_path / "in"))
    objects = results(made, tmp_path / "out")
    (seg,) = of_modality(objects, "SEG")
    assert len({str(pydicom.dcmread(one).SeriesInstanceUID) for one in objects}) <= MOST
    assert [one.SegmentLabel for one in seg.SegmentSequence] == [f"left ventricle cavity, phase {n + 1}" for n in range(cine.PHASES)]
    found: dict[str, tuple[float, str, set[str]]] = {}
    for report in of_modality(objects, "SR"):
        found |= groups(report)
    largest, smallest = max(made.volumes_cm3), min(made.volumes_cm3)
    of_diastole, of_systole = of_phases(made, cine.LARGEST), of_phases(made, cine.SMALLEST)
    for code, value, unit, images in (
        (codes.END_DIASTOLIC_VOLUME, largest, "cm3", of_diastole),
        (codes.END_SYSTOLIC_VOLUME, smallest, "cm3", of_systole),
        (codes.STROKE_VOLUME, largest - smallest, "cm3", of_diastole | of_systole),
        (codes.EJECTION_FRACTION, 100 * (1 - smallest / largest), "%", of_diastole | of_systole),
    ):
        said, in_unit, of = found[code.value]
        assert said == pytest.approx(value, rel=0.03)
        assert (in_unit, of) == (unit, images)


def test_the_conclusion_says_the_numbers_of_the_beat_by_their_phases(tmp_path: Path) -> None:
    """Not by the number of each image; what is marked in single phases stands behind them."""
    objects = results(cine.with_grain(cine.one_series(tmp_path / "in")), tmp_path / "out")
    for report in of_modality(objects, "SR"):
        said = str(report.ContentSequence[0].ContentSequence[0].TextValue)
        places = [
            said.index(words) for words in ("Phase 1: left ventricular ED volume", "Phase 5: left ventricular ES volume", "Phases 1 and 5:")
        ]
        assert places == sorted(places)
        assert "image" not in said.partition("Phases 1 and 5:")[0].casefold()


@pytest.mark.slow
@pytest.mark.peers
def test_no_validator_objects(tmp_path: Path) -> None:
    objects = results(cine.with_grain(cine.one_series(tmp_path / "in")), tmp_path / "out")
    assert [fault for one in objects for fault in validators.faults_of(one, report=pydicom.dcmread(one).Modality == "SR")] == []
