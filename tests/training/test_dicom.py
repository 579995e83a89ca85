"""A folder of DICOM studies with segmentations: what is joined to what, and where each segment's voxels come to lie."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import DataElement, Dataset, dcmread
from pydicom.config import IGNORE

from inference.imaging.write_series import write_series
from tests.lab.tilted import ball as scanned
from training.data.dicom import LabelledSeries, studies
from training.data.segments import labelled
from training.data.structures import having, wanted
from training.data.volumes import read
from training.errors import MisplacedLabels, UnclearLabels, UnfitData

from .studies import AFFINE, SHAPE, Mask, thorax, write_seg


@pytest.fixture(scope="module")
def ball() -> Mask:
    return thorax(1)[1]


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A patient's series."""
    return write_series(thorax(1)[0], AFFINE, tmp_path_factory.mktemp("ct"), modality="CT", patient_id="P001")


def laid(folder: Path, files: list[Path], *parts: str) -> Path:
    """A folder with copies of the images, somewhere below."""
    there = folder.joinpath(*parts)
    there.mkdir(parents=True)
    for file in files:
        shutil.copy(file, there)
    return folder


def only(folder: Path) -> LabelledSeries:
    (series,) = studies(folder).series
    return series


def labels(folder: Path, *names: str) -> np.ndarray:
    series = only(folder)
    return labelled(series, wanted([series], names), over=bool(names)).labels


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_each_kind_of_segmentation_gives_its_voxels(tmp_path: Path, ct: list[Path], ball: Mask, kind: str) -> None:
    """However deep it lies and whatever lies beside it: the labels are exactly the voxels that were drawn (FRACTIONAL: from 0.5)."""
    folder = laid(tmp_path / "archive", ct, "a", "b", "images")
    drawn = np.where(ball, 0.6, 0.4) if kind == "FRACTIONAL" else ball
    write_seg(folder / "labels" / "x.dcm", ct, {"Lesion": drawn}, kind=kind)
    (folder / "notes.txt").write_text("read me")
    assert np.array_equal(labels(folder), ball)
    assert only(folder).patient == "P001\\"
    assert len(only(folder).files) == SHAPE[0]


def test_a_result_of_hilum_is_no_truth(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """What an application said, sent back by an archive, would call every application right: it is told and not used."""
    folder = laid(tmp_path / "archive", ct)
    write_seg(folder / "drawn.dcm", ct, {"Lesion": ball})
    said = dcmread(write_seg(folder / "said.dcm", ct, {"Lesion": ~ball}))
    purpose, equipment = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "109102", "DCM", "Processing Equipment"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "hilum", [purpose]
    said.ContributingEquipmentSequence = [equipment]
    said.save_as(folder / "said.dcm")
    assert np.array_equal(labels(folder), ball)
    (why,) = studies(folder).left_out
    assert "said.dcm: a result of hilum" in why


def test_slices_without_a_frame_stay_empty(tmp_path: Path, ct: list[Path]) -> None:
    """A segmentation of two slices far apart, as an incomplete drawing leaves it, marks those two alone."""
    drawn = np.zeros(SHAPE, dtype=np.bool_)
    drawn[[4, 9], 10:20, 5:9] = True
    write_seg(laid(tmp_path / "x", ct) / "seg.dcm", ct, {"Lesion": drawn})
    assert np.array_equal(labels(tmp_path / "x"), drawn)


def test_a_coarser_grid_is_resampled(tmp_path: Path, ct: list[Path]) -> None:
    """Drawn on voxels twice as wide in the same space: each of them becomes the four that it covers."""
    coarse_affine = AFFINE.copy()
    coarse_affine[:3, 1:3] *= 2
    coarse_affine[:3, 3] += (AFFINE[:3, 1] + AFFINE[:3, 2]) / 2
    coarse = np.zeros((SHAPE[0], SHAPE[1] // 2, SHAPE[2] // 2), dtype=np.int16)
    frame = {"FrameOfReferenceUID": dcmread(ct[0]).FrameOfReferenceUID}
    other = write_series(coarse, coarse_affine, tmp_path / "coarse", modality="CT", patient_id="P001", extra=frame)
    drawn = np.zeros(coarse.shape, dtype=np.bool_)
    drawn[6:12, 5:9, 10:15] = True
    folder = laid(tmp_path / "x", ct)
    seg = dcmread(write_seg(folder / "seg.dcm", other, {"Lesion": drawn}))
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = dcmread(ct[0]).SeriesInstanceUID
    seg.save_as(folder / "seg.dcm")
    assert np.array_equal(labels(folder), drawn.repeat(2, axis=1).repeat(2, axis=2))


def test_labels_beside_their_images_are_refused(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """In another frame of reference, or outside of what was imaged: an error that names the file, never shifted labels."""
    folder = laid(tmp_path / "x", ct)
    path = write_seg(folder / "seg.dcm", ct, {"Lesion": ball})
    seg = dcmread(path)
    for groups in seg.PerFrameFunctionalGroupsSequence:
        x, y, z = groups.PlanePositionSequence[0].ImagePositionPatient
        groups.PlanePositionSequence[0].ImagePositionPatient = [x + 300, y, z]
    seg.save_as(path)
    with pytest.raises(MisplacedLabels, match=r"seg\.dcm: most of segment 1 lies outside"):
        labels(folder)
    seg = dcmread(write_seg(path, ct, {"Lesion": ball}))
    seg.FrameOfReferenceUID = "2.25.77"
    seg.save_as(path)
    with pytest.raises(MisplacedLabels, match=r"seg\.dcm: it lies in another frame of reference"):
        labels(folder)


def moved(path: Path, ct: list[Path], voxels: np.ndarray, affine: np.ndarray, drawn: Mask) -> Path:
    """A SEG on a grid of its own, in the images' space, that says it is of `ct`."""
    frame = {"FrameOfReferenceUID": dcmread(ct[0]).FrameOfReferenceUID}
    other = write_series(voxels, affine, path.parent.with_name(f"{path.stem} grid"), modality="CT", patient_id="P001", extra=frame)
    seg = dcmread(write_seg(path, other, {"Lesion": drawn}))
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = dcmread(ct[0]).SeriesInstanceUID
    seg.save_as(path)
    return path


def test_what_is_thinner_than_the_images_grid_is_called_so(tmp_path: Path, ct: list[Path]) -> None:
    """A sheet of 0.5 mm that falls between slices of 2 mm lies within the images: the error speaks of the grid, not of the place."""
    fine = AFFINE.copy()
    fine[:3, 0] /= 4
    drawn = np.zeros((SHAPE[0] * 4 - 3, *SHAPE[1:]), dtype=np.bool_)
    drawn[42, 5:30, 5:30] = True
    folder = laid(tmp_path / "x", ct)
    moved(folder / "thin.dcm", ct, np.zeros(drawn.shape, dtype=np.int16), fine, drawn)
    with pytest.raises(MisplacedLabels, match=r"thin\.dcm: segment 1 is too thin for the grid of its images \(2 × 1\.5 × 1\.5 mm\)"):
        labels(folder)


def test_a_file_of_which_nothing_is_wanted_may_lie_anywhere(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """Another structure's file in another frame of reference does not refuse a training that asks for none of it."""
    folder = laid(tmp_path / "x", ct)
    write_seg(folder / "lesion.dcm", ct, {"Lesion": ball})
    seg = dcmread(write_seg(folder / "core.dcm", ct, {"Core": ball}))
    seg.FrameOfReferenceUID = "2.25.77"
    seg.save_as(folder / "core.dcm")
    assert np.array_equal(labels(folder, "Lesion"), ball)
    with pytest.raises(MisplacedLabels, match=r"core\.dcm: it lies in another frame of reference"):
        labels(folder)


@pytest.mark.parametrize(
    ("age", "years"), [("045Y", "45"), ("45", "45"), ("45Y", "45"), ("024M", "2"), ("060W", "1"), ("010D", "0"), ("old", None), ("", None)]
)
def test_ages_in_years(tmp_path: Path, ct: list[Path], ball: Mask, age: str, years: str | None) -> None:
    """By their unit; without one, years; what is no age is not known."""
    folder = laid(tmp_path / "x", ct)
    first = min(folder.iterdir())
    header = dcmread(first)
    header[0x00101010] = DataElement(0x00101010, "AS", age, validation_mode=IGNORE)
    header.save_as(first)
    write_seg(folder / "seg.dcm", ct, {"Lesion": ball})
    series = only(folder)
    assert series.files[0] == first
    assert labelled(series, wanted([series], ()), over=False).attributes.get("age") == years


def test_joined_by_frames_where_no_series_is_named(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """ReferencedSeriesSequence is looked at first, then the instances that the frames were drawn on; without either it is left out."""
    folder = laid(tmp_path / "x", ct)
    path = write_seg(folder / "seg.dcm", ct, {"Lesion": ball})
    seg = dcmread(path)
    del seg.ReferencedSeriesSequence
    seg.save_as(path)
    assert np.array_equal(labels(folder), ball)
    for groups in seg.PerFrameFunctionalGroupsSequence:
        del groups.DerivationImageSequence
    seg.save_as(path)
    with pytest.raises(UnfitData, match=r"1 series of images and 1 segmentations .* its images are not here"):
        studies(folder)


def test_a_folder_without_labels(tmp_path: Path, ct: list[Path]) -> None:
    """Images alone, or no folder at all."""
    with pytest.raises(UnfitData, match="1 series of images and 0 segmentations"):
        studies(laid(tmp_path / "x", ct))
    with pytest.raises(UnfitData, match="is no folder"):
        studies(tmp_path / "absent")


def test_one_id_of_two_issuers_is_two_patients(tmp_path: Path) -> None:
    """PatientID alone would put two people on one side. Where the ID also stands without an issuer, as another device of the hospital
    writes it, all of them count as one: nobody may stand on two sides."""
    for number, issuer in enumerate(("A", "B", "")):
        if not issuer:
            assert sorted(series.patient for series in studies(tmp_path).series) == ["7\\A", "7\\B"]
        said = {"IssuerOfPatientID": issuer} if issuer else {}
        voxels, drawn = thorax(number)
        files = write_series(voxels, AFFINE, tmp_path / f"of {issuer}", modality="CT", patient_id="7", extra=said)
        write_seg(tmp_path / f"{issuer}.dcm", files, {"Lesion": drawn})
    assert [series.patient for series in studies(tmp_path).series] == ["7\\"] * 3


def test_structures_of_one_code_are_told_apart_by_label(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """As anterior and posterior hippocampus: both segments are kept, each with its own label."""
    drawn = {"Lesion A": ball, "Lesion B": np.roll(ball, 1, axis=0) & ~ball}
    write_seg(laid(tmp_path / "x", ct) / "seg.dcm", ct, drawn)
    series = only(tmp_path / "x")
    found = wanted([series], ())
    assert [(one.segment.label, one.segment.type.value) for one in found] == [("Lesion A", "52988006"), ("Lesion B", "52988006")]
    read = labelled(series, found, over=False).labels
    assert all(np.array_equal(read == value, mask) for value, mask in enumerate(drawn.values(), start=1))


def test_labels_that_no_map_can_hold(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """Two structures over each other, or one twice: refused with both names; with an order given, the later lies over the earlier."""
    folder = laid(tmp_path / "x", ct)
    inner = ball & np.roll(ball, 3, axis=2)
    write_seg(folder / "seg.dcm", ct, {"Lesion": ball, "Core": inner})
    with pytest.raises(UnclearLabels, match=f'"Lesion" and "Core" share {inner.sum()} voxels'):
        labels(folder)
    assert np.array_equal(labels(folder, "lesion", "core"), ball.astype(np.uint8) + inner)
    assert np.array_equal(labels(folder, "Core"), inner)
    with pytest.raises(UnclearLabels, match="no segmentation has Liver; there are: Core, Lesion"):
        labels(folder, "Liver")
    write_seg(folder / "again.dcm", ct, {"Lesion": ball})
    with pytest.raises(UnclearLabels, match=r'"Lesion" of one series is in .*again\.dcm and in .*seg\.dcm'):
        labels(folder)


def test_labels_that_differ_in_case_alone(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """Two structures of two codes: each is had as it is written, and what may be either is refused."""
    core = ball & np.roll(ball, 3, axis=2)
    seg = dcmread(write_seg(laid(tmp_path / "x", ct) / "seg.dcm", ct, {"Lesion": ball & ~core, "Core": core}))
    seg.SegmentSequence[1].SegmentLabel = "lesion"
    seg.save_as(tmp_path / "x" / "seg.dcm")
    assert np.array_equal(labels(tmp_path / "x", "Lesion"), ball & ~core)
    assert np.array_equal(labels(tmp_path / "x", "lesion"), core)
    with pytest.raises(UnclearLabels, match='"LESION" may be any of Lesion, lesion'):
        labels(tmp_path / "x", "LESION")


def test_a_structure_that_not_every_series_has(tmp_path: Path, ct: list[Path], ball: Mask) -> None:
    """Nobody knows whether it was looked for: refused, until the labels are named; then series without one are left out."""
    write_seg(laid(tmp_path / "x", ct) / "seg.dcm", ct, {"Lesion": ball, "Core": np.zeros_like(ball)}, keep_empty=True)
    voxels, drawn = thorax(2)
    write_seg(tmp_path / "x" / "seg2.dcm", write_series(voxels, AFFINE, tmp_path / "x" / "2", modality="CT"), {"Lesion": drawn})
    found = studies(tmp_path / "x").series
    with pytest.raises(UnclearLabels, match=r'"Core" is marked in 1 of 2 series; it is not in .*seg2\.dcm; there are: Core, Lesion'):
        wanted(found, ())
    assert len(having(found, wanted(found, ("Lesion",)))) == 2
    (whole,) = having(found, wanted(found, ("Lesion", "Core")))
    assert whole.patient == "P001\\"


def test_a_tilted_series_is_left_to_be_reformatted(tmp_path: Path) -> None:
    """Serving straightens it for its model; labels on the acquired slices would teach another grid than the one that is served."""
    scanned(tmp_path / "tilted", 15)
    with pytest.raises(UnfitData, match=r"15\.0 degrees"):
        read(tmp_path / "tilted", "CT")
    scanned(tmp_path / "straight", 0)
    assert read(tmp_path / "straight", "CT").voxels.shape[0] == 40
