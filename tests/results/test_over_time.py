"""Results over time: one segment a phase, each frame on the image of its own phase, the same in every form that a cine is sent in."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference.applications.admitting import admitted
from inference.applications.analysing import analyse
from inference.applications.catalog import load
from inference.applications.port import Application
from inference.imaging.header import read_instance
from inference.imaging.subject import Phases
from inference.imaging.subjects import subjects
from node.console.images.masks import overlay, read_masks
from node.domain.profile import VIEWER
from node.results.encode import encode
from node.results.port import Encoding
from tests.lab import breathing, cine, validators
from tests.results.made import save
from tests.unit.applications.test_mr_register import INFER

_APPLICATIONS = (Path(__file__).parents[1] / "node" / "applications",)
APPLICATION = load("short-axis", _APPLICATIONS)
BREATHING = load("breathing", _APPLICATIONS)
FORMS = {"one series": cine.one_series, "a series a slice": cine.series_a_slice, "enhanced": cine.enhanced}


def results(made: cine.Cine | breathing.Breath, folder: Path, application: Application = APPLICATION) -> tuple[list[Path], Phases]:
    """The objects of a test application about images over time, as files."""
    first = str(pydicom.dcmread(made.files[0], stop_before_pixels=True).SeriesInstanceUID)
    (assembled,) = subjects(application.accepts.takes, "refuse", made.files, first)
    given = admitted(application, assembled)
    subject = given.assembled.subject
    assert isinstance(subject, Phases)
    found = given.judge.after(analyse(application, subject, INFER))
    encoding = Encoding(
        application=application,
        findings=found,
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
    return save(encode(encoding), folder), subject


def of_modality(objects: list[Path], modality: str) -> list[Dataset]:
    return [one for path in objects if (one := pydicom.dcmread(path)).Modality == modality]


def read_back(seg: Dataset, phases: Phases) -> np.ndarray:
    """Masks (phase, Z, Y, X) as somebody reads them who goes by nothing but each frame's reference to its source."""
    places = {(one.sop_instance_uid, one.frame): divmod(at, cine.SLICES) for at, one in enumerate(phases.sources)}
    found = np.zeros((cine.PHASES, cine.SLICES, cine.ROWS, cine.COLUMNS), dtype=np.bool_)
    pixels = seg.pixel_array
    for frame, drawn in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        number = source.get("ReferencedFrameNumber")
        phase, z = places[source.ReferencedSOPInstanceUID, None if number is None else int(number)]
        segment = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        content = frame.FrameContentSequence[0]
        assert content.TemporalPositionIndex == phase + 1
        assert list(content.DimensionIndexValues)[:2] == [segment, phase + 1]
        assert seg.SegmentSequence[segment - 1].SegmentLabel == f"cavity, phase {phase + 1}"
        found[phase, z] |= drawn.astype(np.bool_)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_phase_comes_out_on_its_own_images(form: str, tmp_path: Path) -> None:
    """The masks, read by their references, are the blood that was drawn; the report has each phase's volume, the largest, the smallest."""
    made = FORMS[form](tmp_path / "in")
    objects, phases = results(made, tmp_path / "out")
    (seg,) = of_modality(objects, "SEG")
    np.testing.assert_array_equal(read_back(seg, phases), made.blood)
    pointers = [one.DimensionIndexPointer for one in seg.DimensionIndexSequence]
    assert pointers == [0x0062000B, 0x00209128, 0x00200032]  # segment, TemporalPositionIndex, position
    assert seg.SegmentsOverlap == "YES"
    listed = {one.SeriesInstanceUID: len(one.ReferencedInstanceSequence) for one in seg.ReferencedSeriesSequence}
    assert sum(listed.values()) == len(made.files)
    assert len(listed) == (cine.SLICES if form == "a series a slice" else 1)
    by_segment, whole = of_modality(objects, "SR")
    assert numbers(by_segment) == pytest.approx(made.volumes_cm3, rel=5e-3)
    assert numbers(whole) == pytest.approx([max(made.volumes_cm3), min(made.volumes_cm3)], rel=5e-3)


def test_the_conclusion_begins_with_what_is_said_of_all_phases(tmp_path: Path) -> None:
    """It names four findings at most: the largest and the smallest volume stand before those of single phases."""
    made = cine.one_series(tmp_path / "in")
    whole = of_modality(results(made, tmp_path / "out")[0], "SR")[1]
    said = str(whole.ContentSequence[0].ContentSequence[0].TextValue)
    assert 0 <= said.index("26.8 cm³") < said.index("11.3 cm³") < said.index("phase 1")


def numbers(report: Dataset) -> list[float]:
    """Every volume of a report, in its order."""
    found: list[float] = []
    for one in report.get("ContentSequence", ()):
        if one.ValueType == "NUM" and one.ConceptNameCodeSequence[0].CodeValue == "118565006":
            found.append(float(one.MeasuredValueSequence[0].NumericValue))
        found += numbers(one)
    return found


@pytest.mark.parametrize("form", ["one series", "enhanced"])
def test_the_console_draws_each_phase_on_its_own_images(form: str, tmp_path: Path) -> None:
    """Frames of all phases lie at one place: over an image stands the one that is of it, and over no image those of two."""
    made = FORMS[form](tmp_path / "in")
    objects, phases = results(made, tmp_path / "out")
    path = next(one for one in objects if pydicom.dcmread(one).Modality == "SEG")
    masks = read_masks(path)
    planes = {plane.name: plane for file in made.files for plane in read_instance(file).planes if plane is not None}
    seen = 0
    for at, source in enumerate(phases.sources):
        phase, z = divmod(at, cine.SLICES)
        plane = planes[source.sop_instance_uid if source.frame is None else f"{source.sop_instance_uid} frame {source.frame}"]
        frames = masks.frames_at(plane, cine.STEP_MM / 2)
        drawn = overlay(masks, path, frames, plane)[..., 3] > 0
        np.testing.assert_array_equal(drawn, made.blood[phase, z])
        seen += bool(frames)
    assert seen >= cine.PHASES * 3


def test_one_phase_of_many_is_read_as_a_volume_by_another_program(tmp_path: Path) -> None:
    """highdicom gives each segment as a volume of its own where it lies in the patient: that of the smallest phase is its blood."""
    made = cine.one_series(tmp_path / "in")
    objects, _ = results(made, tmp_path / "out")
    seg = hd.seg.segread(next(path for path in objects if pydicom.dcmread(path).Modality == "SEG"))
    smallest = seg.get_volume(segment_numbers=[cine.SMALLEST + 1], combine_segments=False)
    cm3 = float(smallest.array.sum()) * smallest.voxel_volume / 1000
    assert cm3 == pytest.approx(made.volumes_cm3[cine.SMALLEST])


def own_images(made: breathing.Breath) -> dict[tuple[str, int | None], tuple[int, int]]:
    """The phase and the slice of each image, as the files were written."""
    found: dict[tuple[str, int | None], tuple[int, int]] = {}
    for phase, paths in enumerate(made.phases):
        for z, path in enumerate(paths):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            frames = [*range(1, header.NumberOfFrames + 1)] if "NumberOfFrames" in header else [None]
            found |= {(str(header.SOPInstanceUID), frame): (phase, z if frame is None else frame - 1) for frame in frames}
    return found


@pytest.mark.parametrize("form", breathing.FORMS)
def test_every_phase_of_a_breath_comes_out_on_the_images_of_its_own_series(form: str, tmp_path: Path) -> None:
    """The masks, read by their references to the files that were written, are the ball that was drawn in each phase."""
    made = breathing.FORMS[form](tmp_path / "in")
    objects, _ = results(made, tmp_path / "out", BREATHING)
    (seg,) = of_modality(objects, "SEG")
    places = own_images(made)
    found = np.zeros(made.ball.shape, dtype=np.bool_)
    for frame, drawn in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        number = source.get("ReferencedFrameNumber")
        phase, z = places[source.ReferencedSOPInstanceUID, None if number is None else int(number)]
        assert (
            seg.SegmentSequence[frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1].SegmentLabel
            == f"ball, phase {phase + 1}"
        )
        assert frame.FrameContentSequence[0].TemporalPositionIndex == phase + 1
        found[phase, z] |= drawn.astype(np.bool_)
    np.testing.assert_array_equal(found, made.ball)
    listed = {one.SeriesInstanceUID: len(one.ReferencedInstanceSequence) for one in seg.ReferencedSeriesSequence}
    assert len(listed) == (1 if form == "one series" else len(breathing.SHARES))
    assert sum(listed.values()) == len(made.files)
    by_segment, whole = of_modality(objects, "SR")
    assert numbers(by_segment) == pytest.approx(made.volumes_cm3, rel=5e-3)
    assert numbers(whole) == pytest.approx([max(made.volumes_cm3), min(made.volumes_cm3)], rel=5e-3)


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize("form", breathing.FORMS)
def test_no_validator_objects_to_a_breath(form: str, tmp_path: Path) -> None:
    objects, _ = results(breathing.FORMS[form](tmp_path / "in"), tmp_path / "out", BREATHING)
    assert [fault for one in objects for fault in validators.faults_of(one, report=pydicom.dcmread(one).Modality == "SR")] == []


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize("form", FORMS)
def test_no_validator_objects(form: str, tmp_path: Path) -> None:
    objects, _ = results(FORMS[form](tmp_path / "in"), tmp_path / "out")
    assert [fault for one in objects for fault in validators.faults_of(one, report=pydicom.dcmread(one).Modality == "SR")] == []
