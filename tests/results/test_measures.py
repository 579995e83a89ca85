"""Result case: what is declared to be measured, of real images, in reports that the validators take, on the page and in sentences."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from inference import codes
from inference.applications.analysing import analyse
from inference.applications.measured import measured_outputs
from inference.applications.port import Accepts, Application, MeasurementOutput, SegmentOutput
from inference.codes import Code
from inference.findings import Findings, Segment
from inference.imaging.assemble import assemble
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.measuring import KINDS
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from node.domain.profile import Kind, Language, Profile
from node.results.encode import encode
from tests.lab import validators
from tests.results import made

METHOD = "370129005"
ORGAN = "organ"
LIVER = 5
"""Of the labels of `example_seg_dicom`."""


def measuring(mask: NDArray[np.bool_], measures: Sequence[Measure], modality: str) -> Application:
    """An application that marks the mask, and declares measures."""
    concepts = dict.fromkeys(one for measure in measures for one in measure.concepts((modality,)))
    return Application(
        name="organ",
        version="1.0.0",
        title="Organ",
        accepts=Accepts(modality=(modality,)),
        models=(),
        outputs=(
            SegmentOutput(label=ORGAN, type=codes.LUNG),
            *(MeasurementOutput(name=one.name, unit=one.unit, derivation=one.derivation) for one in concepts),
        ),
        analyse=lambda subject, infer: Findings(
            segments=(Segment(label=ORGAN, mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=codes.LUNG, rgb=(9, 90, 200)),)
        ),
        measures=tuple(measures),
    )


def reported(paths: list[Path], volume: Volume, mask: NDArray[np.bool_], measures: Sequence[Measure], folder: Path) -> list[Path]:
    """The objects that the findings became, in English and Chinese, to which no validator objects."""
    application = measuring(mask, measures, volume.modality)
    headers: list[Dataset] = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    findings = analyse(application, volume, NotAsked(), headers)
    kinds = frozenset({Kind.SEG, Kind.SR, Kind.NARRATIVE, Kind.SC})
    profile = Profile(name="all", kinds=kinds, languages=(Language.ENGLISH, Language.CHINESE))
    objects = made.save(encode(made.encoding(paths, findings, volume=volume, application=application, profiles=(profile,))), folder)
    faults = [fault for path in objects for fault in validators.faults_of(path, report=modality_of(path) == "SR")]
    assert faults == []
    return objects


def with_uids(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The images with the UIDs that their publisher took out."""
    folder.mkdir()
    for path in paths:
        one = pydicom.dcmread(path)
        one.StudyInstanceUID, one.SeriesInstanceUID = derive_uid("study"), derive_uid("series")
        one.save_as(folder / path.name)
    return sorted(folder.iterdir())


def modality_of(path: Path) -> str:
    """Modality (0008,0060)."""
    return str(pydicom.dcmread(path, stop_before_pixels=True).Modality)


class NotAsked:
    """No model is."""

    def __call__(self, *_: Any) -> Any:
        raise AssertionError("a model was called")

    at_once = call_of = __call__


def numbers(paths: Sequence[Path]) -> dict[tuple[str, str], tuple[Any, str, str]]:
    """Of each number of the reports, by its concept and derivation: value, unit, and the meaning of its method."""
    found = {}
    for path in paths:
        for item in _items(pydicom.dcmread(path)):
            if item.get("ValueType") == "NUM":
                beside = {one.ConceptNameCodeSequence[0].CodeValue: one.ConceptCodeSequence[0] for one in item.get("ContentSequence", [])}
                (measured,) = item.MeasuredValueSequence
                name = str(item.ConceptNameCodeSequence[0].CodeValue), str(beside["121401"].CodeValue) if "121401" in beside else ""
                value = float(measured.get("FloatingPointValue", measured.NumericValue))
                unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
                found[name] = (value, unit, str(beside[METHOD].CodeMeaning) if METHOD in beside else "")
    return found


def sentences(paths: Sequence[Path]) -> str:
    """All texts of reports."""
    return "\n".join(str(item.TextValue) for path in paths for item in _items(pydicom.dcmread(path)) if item.get("ValueType") == "TEXT")


def _items(dataset: Dataset) -> list[Dataset]:
    return [each for one in dataset.get("ContentSequence", []) for each in (one, *_items(one))]


def on_its_grid(volume: Volume, labels: Path) -> tuple[sitk.Image, sitk.Image]:
    """The volume as SimpleITK has it, and the labels of a NIfTI file on its grid, by place in the patient."""
    image = sitk.GetImageFromArray(volume.voxels.astype(np.float64))
    steps = volume.affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(steps, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((steps / spacing).ravel().tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    label = sitk.Resample(sitk.ReadImage(str(labels)), image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return image, label


@pytest.mark.slow
@pytest.mark.peers
def test_values_of_a_liver_on_ct(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Mean, deviation and shares of a real liver in HU are SimpleITK's; each names its method; both languages say them."""
    paths = with_uids(real("dicom/ct_abdomen_TotalSeg"), tmp_path / "named")
    (labels,) = real("labelled/ct_totalseg/example_seg_dicom.nii.gz")
    volume = assemble(paths)
    image, label = on_its_grid(volume, labels)
    liver = sitk.GetArrayFromImage(label) == LIVER
    measures = [
        *(KINDS[word].make(segments=(ORGAN,)) for word in ("mean", "deviation")),
        *(KINDS[word].make(segments=(ORGAN,), limit=120.0) for word in ("share_below", "share_above")),
    ]
    objects = reported(paths, volume, liver, measures, tmp_path)
    statistics = sitk.LabelStatisticsImageFilter()
    statistics.Execute(image, sitk.Equal(label, LIVER))
    count = statistics.GetCount(1)
    assert count > 10_000
    told = numbers([path for path in objects if modality_of(path) == "SR"])
    every, fixed = "Every voxel of the segment, by the volume it stands for", "Fixed threshold on the values of the segment's voxels"
    sigma = statistics.GetSigma(1) * np.sqrt((count - 1) / count)
    assert told["112031", "373098007"] == (pytest.approx(statistics.GetMean(1)), "[hnsf'U]", every)
    assert told["112031", "386136009"] == (pytest.approx(sigma), "[hnsf'U]", every)
    below, above = (100 * np.mean(sign(volume.voxels[liver], 120)) for sign in (np.less, np.greater))
    assert told["LT120-HU", ""] == (pytest.approx(below), "%", fixed)
    assert told["GT120-HU", ""] == (pytest.approx(above), "%", fixed)
    text = sentences(objects)
    assert re.search(r"mean attenuation coefficient [\d.]+ HU; standard deviation of attenuation coefficient [\d.]+ HU", text)
    assert re.search(r"share of volume below 120 HU [\d.]+ %", text)
    assert re.search(r"平均衰减系数 [\d.]+ HU；衰减系数标准差 [\d.]+ HU；低于 120 HU的体积占比 [\d.]+ %", text)


@pytest.mark.slow
@pytest.mark.peers
def test_an_adc_map_by_rule(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """A real enhanced ADC map, whose header says no unit: its values are taken as 10⁻⁶ mm²/s; no word of disease."""
    paths = real("dicom/mr_enhanced_xa30_ADC.zip")
    volume = assemble(paths)
    mask = (volume.voxels > 300) & (volume.voxels < 1500)
    measures = (KINDS["mean"].make(segments=(ORGAN,)), KINDS["share_below"].make(segments=(ORGAN,), limit=620.0))
    objects = reported(paths, volume, mask, measures, tmp_path)
    told = numbers([path for path in objects if modality_of(path) == "SR"])
    inside = volume.voxels[mask].astype(np.float64)
    assert told["113041", "373098007"][:2] == (pytest.approx(inside.sum() / inside.size), "um2/s")
    assert told["LT620-UM2/S", ""][:2] == (pytest.approx(100 * np.count_nonzero(inside < 620) / inside.size), "%")
    text = sentences(objects)
    assert "share of volume below 620 µm²/s, by rule" in text
    assert "低于 620 µm²/s的体积占比（按阈值规则）" in text
    assert "infarct" not in text.lower()


@pytest.mark.slow
@pytest.mark.peers
def test_what_cannot_be_measured_is_said(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """A threshold on the signal of a real MR: no number, and the reason in both languages."""
    paths = real("dicom/mr_enhanced_xa30_T1.zip")
    volume = assemble(paths)
    objects = reported(paths, volume, volume.voxels > 100, (KINDS["share_above"].make(segments=(ORGAN,), limit=130.0),), tmp_path)
    assert not [name for name in numbers([path for path in objects if modality_of(path) == "SR"]) if name[0].startswith("GT")]
    text = sentences(objects)
    assert "Not measured: the share of the volume above 130, because the values of these images have no unit that a threshold" in text
    assert "未测量：高于130的体积占比。原因：图像的像素值没有单位，阈值无意义。" in text


KIDNEY = Code("64033007", "SCT", "Kidney")
STEPS_MM = (2.5, 1.0, 1.0)


@pytest.mark.slow
@pytest.mark.peers
def test_every_measure_becomes_an_object(tmp_path: Path) -> None:
    """What is declared of two kidneys on CT and on PET is in reports with its method, and validators take them: no code is too long."""
    for modality, words in (
        ("CT", ("mean", "deviation", "share_below", "share_above", "axial_diameter", "diameter", "agatston", "asymmetry", *POINTS)),
        ("PT", ("mean", "suv_max", "suv_peak", "share_above")),
    ):
        paths = kidneys(modality, tmp_path / modality)
        volume = assemble(paths)
        measures = [KINDS[word].make(segments=SIDES, **({"limit": 2.5} if KINDS[word].limit else {})) for word in words]
        findings, objects = of_kidneys(paths, volume, measures, tmp_path / f"{modality}, results")
        assert findings.remarks == ()
        assert [fault for path in objects for fault in validators.faults_of(path, report=modality_of(path) == "SR")] == []
        told = numbers([path for path in objects if modality_of(path) == "SR"])
        meant = {(one.name.value, one.derivation.value if one.derivation else ""): one for one in findings.measurements}
        assert told.keys() >= meant.keys()
        assert len(meant) == len({concept for measure in measures for concept in measure.concepts((modality,))}) - (modality == "CT")
        for name, one in meant.items():
            assert told[name][2] == (one.method.meaning if one.method else "")


SIDES = ("left", "right")
POINTS = ("centroid", "axial_diameter_ends", "diameter_ends")


def kidneys(modality: str, folder: Path) -> list[Path]:
    """A series with all that measures ask for: two ellipsoids, each with a stone of 450."""
    given = Dataset()
    given.RadionuclideTotalDose, given.RadionuclideHalfLife, given.RadiopharmaceuticalStartTime = "370000000", "6588", "093000"
    of_pet = {
        "Modality": "PT",
        "SOPClassUID": PositronEmissionTomographyImageStorage,
        "Units": "BQML",
        "CorrectedImage": ["DECY", "ATTN"],
        "DecayCorrection": "START",
        "PatientWeight": "70",
        "SeriesDate": "20250304",
        "SeriesTime": "103000",
        "AcquisitionDate": "20250304",
        "AcquisitionTime": "103012",
        "RadiopharmaceuticalInformationSequence": [given],
    }
    left, right = bodies()
    voxels = np.where(left | right, 40, -50).astype(np.int16)
    voxels[8, 18:22, 27:31] = voxels[7, 18:22, 8:10] = 450
    affine = made.axes((STEPS_MM[2], 0, 0), (0, STEPS_MM[1], 0), (0, 0, STEPS_MM[0]))
    extra = {"KVP": "120", "SliceThickness": "2.5"} if modality == "CT" else of_pet
    return write_series(voxels, affine, folder, modality="CT", extra=extra)


def bodies() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The left and the right kidney, which meet no border."""
    z, y, x = np.ogrid[:16, :40, :40]
    left, right = (((z - 8) / 5) ** 2 + ((y - 20) / 9) ** 2 + ((x - at) / wide) ** 2 <= 1 for at, wide in ((29, 6), (10, 5)))
    return left, right


def of_kidneys(paths: list[Path], volume: Volume, measures: Sequence[Measure], folder: Path) -> tuple[Findings, list[Path]]:
    """What is measured of both, and the objects that it became."""
    segments = tuple(
        Segment(label=label, mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=KIDNEY, laterality=side, rgb=(9, 90, 200))
        for label, mask, side in zip(SIDES, bodies(), (codes.LEFT, codes.RIGHT), strict=True)
    )
    application = Application(
        name="kidneys",
        version="1.0.0",
        title="Kidneys",
        accepts=Accepts(modality=(volume.modality,)),
        models=(),
        outputs=(
            *(SegmentOutput(label=label, type=KIDNEY) for label in SIDES),
            *measured_outputs(measures, dict.fromkeys(SIDES, KIDNEY), (volume.modality,)),
        ),
        analyse=lambda subject, infer: Findings(segments=segments),
        measures=tuple(measures),
    )
    findings = analyse(application, volume, NotAsked(), [pydicom.dcmread(path, stop_before_pixels=True) for path in paths])
    profile = Profile(
        name="all", kinds=frozenset({Kind.SEG, Kind.SR, Kind.DETECTIONS, Kind.NARRATIVE, Kind.SC}), languages=(Language.CHINESE,)
    )
    return findings, made.save(encode(made.encoding(paths, findings, volume=volume, application=application, profiles=(profile,))), folder)


TORSO = {
    "aorta": Code("15825003", "SCT", "Aorta"),
    "bone": Code("36470004", "SCT", "L3 vertebra"),
    "muscle": Code("68455001", "SCT", "Iliopsoas muscle"),
}


@pytest.mark.slow
@pytest.mark.peers
def test_a_vessel_and_the_muscle_at_a_vertebra_become_objects(tmp_path: Path) -> None:
    """An aorta of 16 mm and a muscle of 2.16 cm² on CT: calibre, area and centroids in reports that validators take, in both languages."""
    z, y, x = np.ogrid[:30, :60, :60]
    everywhere = np.zeros((30, 60, 60), np.bool_)
    masks = {
        "aorta": everywhere | ((y - 20) ** 2 + (x - 20) ** 2 <= 8**2),
        "bone": everywhere | ((abs(z - 14) < 5) & (abs(y - 40) < 5) & (abs(x - 30) < 5)),
        "muscle": everywhere | ((y >= 35) & (y < 47) & (x >= 40) & (x < 58) & (z > 3)),
    }
    affine = made.axes((1, 0, 0), (0, 1, 0), (0, 0, 2.0))
    paths = write_series(np.full((30, 60, 60), 50, np.int16), affine, tmp_path / "ct", modality="CT", extra={"SliceThickness": "2"})
    volume = assemble(paths)
    measures = (
        KINDS["calibre"].make(segments=("aorta",)),
        KINDS["muscle_area"].make(segments=("muscle",), vertebra="bone", level="L3"),
        KINDS["centroid"].make(segments=tuple(TORSO)),
    )
    segments = tuple(
        Segment(label=label, mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=TORSO[label], rgb=(9, 90, 200))
        for label, mask in masks.items()
    )
    outputs = (*(SegmentOutput(label=label, type=code) for label, code in TORSO.items()), *measured_outputs(measures, TORSO, ("CT",)))
    application = Application(
        name="torso",
        version="1.0.0",
        title="Torso",
        accepts=Accepts(modality=("CT",)),
        models=(),
        outputs=outputs,
        analyse=lambda subject, infer: Findings(segments=segments),
        measures=measures,
    )
    findings = analyse(application, volume, NotAsked(), [pydicom.dcmread(path, stop_before_pixels=True) for path in paths])
    assert findings.remarks == ()
    kinds = frozenset({Kind.SEG, Kind.SR, Kind.DETECTIONS, Kind.NARRATIVE})
    profile = Profile(name="all", kinds=kinds, languages=(Language.ENGLISH, Language.CHINESE))
    encoding = made.encoding(paths, findings, volume=volume, application=application, profiles=(profile,))
    objects = made.save(encode(encoding), tmp_path / "results")
    assert [fault for path in objects for fault in validators.faults_of(path, report=modality_of(path) == "SR")] == []
    reports = [path for path in objects if modality_of(path) == "SR"]
    told = numbers(reports)
    method = "Circle of the area of cross-sections along the centreline"
    for derivation in ("255605001", "373098007", "56851009"):
        assert told["81827009", derivation] == (pytest.approx(16, abs=0.4), "mm", method)
    # 12 rows of 18 mm
    assert told["MUSCLE-AREA-L3", ""][:2] == (pytest.approx(2.16), "cm2")
    text = sentences(reports)
    assert re.search(r"minimum diameter 1[56][.\d]* mm; mean diameter 1[56][.\d]* mm; maximum diameter 1[56][.\d]* mm", text)
    assert "area of muscle at L3 2.16 cm²" in text
    assert "centroid: mean place of the voxels, by the volume they stand for" in text
    assert "L3水平肌肉面积 2.16 cm²" in text
