"""cardiac-phase as it is delivered: a report that names the images of end-diastole and of end-systole, by coded findings."""

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
from tests.results.test_left_ventricle import of_phases
from tests.results.test_over_time import of_modality
from tests.unit.applications.test_cardiac_phase import APPLICATION, Brightness


def results(made: cine.Cine, folder: Path) -> list[Path]:
    """The objects about a cine, as files."""
    (assembled,) = subjects(APPLICATION.accepts.takes, "refuse", made.files, "")
    given = admitted(APPLICATION, assembled)
    subject = given.assembled.subject
    assert isinstance(subject, Phases)
    encoding = Encoding(
        application=APPLICATION,
        findings=given.judge.after(analyse(APPLICATION, subject, Brightness())),
        sources=assembled.headers,
        subject=subject,
        at=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        input_digest="a" * 64,
        model_digest="b" * 64,
        findings_digest="c" * 64,
        parameters="",
        device_uid="1.2.3",
        profiles=(VIEWER,),
    )
    return save(encode(encoding), folder)


def images_of_findings(item: Dataset) -> dict[str, set[str]]:
    """By the code of a group's finding, the images that it names as its sources."""
    found: dict[str, set[str]] = {}
    for one in item.get("ContentSequence", ()):
        inner = one.get("ContentSequence", ())
        images = {each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in inner if each.ValueType == "IMAGE"}
        for each in inner:
            if each.ValueType == "CODE" and str(each.ConceptNameCodeSequence[0].CodeMeaning) == "Finding":
                found[str(each.ConceptCodeSequence[0].CodeValue)] = images
        found |= images_of_findings(one)
    return found


def texts_of(item: Dataset) -> list[str]:
    """All texts, in their order."""
    found = [str(item.TextValue)] if item.get("ValueType") == "TEXT" else []
    return [*found, *(text for one in item.get("ContentSequence", ()) for text in texts_of(one))]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> tuple[cine.Cine, list[Path]]:
    folder = tmp_path_factory.mktemp("phases")
    made = cine.with_grain(cine.one_series(folder / "in"))
    return made, results(made, folder / "out")


def test_each_phase_is_a_finding_that_names_its_images(objects: tuple[cine.Cine, list[Path]]) -> None:
    """End diastole and end systole (PS3.16 CID 12233), each present on the images of one phase, all of its slices and no other."""
    made, files = objects
    found: dict[str, set[str]] = {}
    for report in of_modality(files, "SR"):
        found |= images_of_findings(report)
    assert found == {
        codes.END_DIASTOLE.value: of_phases(made, cine.LARGEST),
        codes.END_SYSTOLE.value: of_phases(made, cine.SMALLEST),
    }
    assert not of_modality(files, "SEG")


def test_the_report_says_which_phases_they_are_and_when(objects: tuple[cine.Cine, list[Path]]) -> None:
    """Numbers as people count, times as headers have them."""
    _, files = objects
    (report,) = of_modality(files, "SR")
    conclusion, *comments = texts_of(report)
    assert conclusion.startswith("End diastole: present (phase 1). End systole: present (phase 5). ")
    assert {"End-diastole is phase 1 of 8, at 0 ms.", "End-systole is phase 5 of 8, at 400 ms."} <= set(comments)


@pytest.mark.slow
@pytest.mark.peers
def test_no_validator_objects(objects: tuple[cine.Cine, list[Path]]) -> None:
    _, files = objects
    assert [fault for one in files for fault in validators.faults_of(one, report=pydicom.dcmread(one).Modality == "SR")] == []
