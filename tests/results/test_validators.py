"""What independent programs hold against the results: dicom3tools, DCMTK, PixelMed; and the mask as dcmqi, Slicer's reader, gives it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import codes
from inference.codes import Code
from inference.findings import Evaluation, Findings, Measurement
from inference.imaging.assemble import assemble
from node.domain.profile import Kind, Language, Profile
from node.results.encode import encode
from node.results.port import Encoding
from tests.lab import validators
from tests.results import made

pytestmark = [pytest.mark.peers, pytest.mark.slow]

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")

Case = Callable[[Path], tuple[Sequence[Path], Encoding]]


def one_segment(folder: Path) -> tuple[Sequence[Path], Encoding]:
    files = made.series(folder)
    return files, made.encoding(files, made.one_segment(made.AXIAL))


def oblique(folder: Path) -> tuple[Sequence[Path], Encoding]:
    affine = made.ORIENTATIONS["oblique"]
    files = made.series(folder, affine)
    return files, made.encoding(files, made.one_segment(affine))


def multiframe(folder: Path) -> tuple[Sequence[Path], Encoding]:
    files = made.enhanced(folder)
    return files, made.encoding(files, made.one_segment(made.AXIAL))


def overlapping_with_sides(folder: Path) -> tuple[Sequence[Path], Encoding]:
    files = made.series(folder)
    mask = made.blob()
    left = made.segment("left lung", mask, type=codes.LUNG, laterality=codes.LEFT, finding_site=codes.CHEST)
    right = made.segment("right lung", np.roll(mask, 1, axis=2), type=codes.LUNG, laterality=codes.RIGHT, finding_site=codes.CHEST)
    findings = made.measured(left, right, affine=made.AXIAL)
    mean = Measurement(
        name=codes.ATTENUATION_COEFFICIENT, value=-781.123456789, unit=codes.HOUNSFIELD_UNIT, segment="left lung", derivation=codes.MEAN
    )
    return files, made.encoding(files, replace(findings, measurements=(*findings.measurements, mean)))


def nothing_found(folder: Path) -> tuple[Sequence[Path], Encoding]:
    files = made.series(folder)
    empty = made.segment("lesion", np.zeros(made.SHAPE, dtype=bool), type=made.LESION, finding_site=codes.CHEST)
    return files, made.encoding(files, Findings(segments=(empty,)))


def poor_header(folder: Path) -> tuple[Sequence[Path], Encoding]:
    files = made.series(folder)
    for path in files:
        dataset = pydicom.dcmread(path)
        for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyTime"):
            delattr(dataset, keyword)
        dataset.save_as(path)
        made.with_bytes(
            path,
            "PatientName",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            ["", "ISO 2022 IR 87"],
        )
    return files, made.encoding(files, made.one_segment(made.AXIAL), predecessors=(made.PREDECESSOR,))


def in_chinese(folder: Path) -> tuple[Sequence[Path], Encoding]:
    files = made.series(folder)
    profile = Profile(name="chinese", kinds=frozenset({Kind.SR, Kind.NARRATIVE}), languages=(Language.CHINESE,))
    return files, made.encoding(files, made.one_segment(made.AXIAL), profiles=(profile,))


CASES: Sequence[Case] = (one_segment, oblique, multiframe, overlapping_with_sides, nothing_found, poor_header, in_chinese)


@pytest.mark.parametrize("case", CASES)
def test_validators_find_nothing(case: Case, tmp_path: Path) -> None:
    """No error in any object, and no disagreement of patient, study or frame of reference with the source."""
    files, encoding = case(tmp_path / "source")
    paths = made.save(encode(encoding), tmp_path / "results")
    faults = [fault for path in paths for fault in validators.faults_of(path, report="-sr" in path.name)]
    assert faults == []
    if case is not poor_header:
        # there the results have the empty attributes that the source lacks
        assert validators.dcentvfy([files[0], *paths]) == []


def test_validators_find_nothing_in_an_evaluation(tmp_path: Path) -> None:
    """Absent, with its site; and PixelMed, that raises one false alarm over it, still sees what is no evaluation and in no template."""
    files = made.series(tmp_path / "source")
    absent = Evaluation(finding=PNEUMOTHORAX, value=codes.ABSENT, finding_site=codes.CHEST)
    path = made.save(encode(made.encoding(files, Findings(evaluations=(absent,)))), tmp_path / "results")[0]
    assert validators.faults_of(path, report=True) == []
    report = pydicom.dcmread(path)
    group = next(item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010").ContentSequence[0]
    stranger = next(item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "36118008")
    stranger.ConceptNameCodeSequence[0].CodeValue, stranger.ConceptNameCodeSequence[0].CodingSchemeDesignator = "121106", "DCM"
    report.save_as(path)
    assert any("(121106,DCM" in fault for fault in validators.pixelmed(path))


@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_slicer_sees_the_mask_where_it_was_found(name: str, tmp_path: Path) -> None:
    """dcmqi's image and affine: the same points in the patient, whatever the orientation of the slices."""
    affine = made.ORIENTATIONS[name]
    files = made.series(tmp_path / "source", affine)
    mask = made.oriented(assemble(files), made.blob(), affine)
    path = made.save(encode(made.encoding(files, made.measured(made.segment("brain", mask), affine=affine))), tmp_path / "out")[0]
    (segment,) = validators.segimage2itkimage(path)
    assert np.allclose(made.in_order(segment.points_mm()), made.points_mm(made.blob(), affine), atol=0.03)


def test_slicer_sees_enhanced_and_overlapping_ones_too(tmp_path: Path) -> None:
    """Frames of an enhanced source; two segments that share voxels."""
    files = made.enhanced(tmp_path / "enhanced")
    first = made.save(encode(made.encoding(files, made.one_segment(made.AXIAL))), tmp_path / "first")[0]
    (segment,) = validators.segimage2itkimage(first)
    assert np.allclose(made.in_order(segment.points_mm()), made.points_mm(made.blob(), made.AXIAL), atol=0.03)
    _, encoding = overlapping_with_sides(tmp_path / "classic")
    second = made.save(encode(encoding), tmp_path / "second")[0]
    both = sorted(validators.segimage2itkimage(second), key=lambda one: one.number)
    for found, meant in zip(both, encoding.findings.segments, strict=True):
        assert np.allclose(made.in_order(found.points_mm()), made.points_mm(meant.mask, made.AXIAL), atol=0.03)


def test_dcmtk_reads_the_numbers(tmp_path: Path) -> None:
    """dsrdump prints the volume with its unit, and the reference to the segment."""
    _, encoding = one_segment(tmp_path / "source")
    path = made.save(encode(encoding), tmp_path / "out")[1]
    faults, tree = validators.dsrdump(path)
    assert faults == []
    assert 'NUM:(118565006,SCT,"Volume")="0.938" (cm3,UCUM,"cubic centimeter")' in tree
    assert "(121191,DCM" in tree
