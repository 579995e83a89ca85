"""Files of a series become a volume: compared with highdicom, with published NIfTI grids, and with phantoms of known place."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage, RLELossless

from inference.errors import InputError
from inference.imaging.assemble import assemble
from inference.imaging.errors import (
    FourDimensional,
    Gap,
    MissingAttribute,
    MixedFrameOfReference,
    MixedOrientation,
    MixedSeries,
    Mosaic,
    NoPixelData,
    NotAVolume,
    Truncated,
    naming,
)
from inference.imaging.volume import Volume

from .conftest import enhanced, one_instance, save


def stack(tmp_path: Path, count: int = 5, **attributes: Any) -> list[Path]:
    """A series whose slice n holds the value n everywhere, in files whose names say nothing of the order."""
    paths = []
    for number in range(count):
        values = np.full((3, 4), number, dtype="u2")
        dataset = one_instance(values, number, InstanceNumber=(number * 7) % count, **attributes)
        paths.append(save(dataset, tmp_path / f"{(number * 3) % count}-{number}.dcm"))
    return paths


def test_slices_are_sorted_by_place(tmp_path: Path) -> None:
    """Neither the order of the files nor InstanceNumber decides; each slice knows its instance."""
    paths = stack(tmp_path)
    random.Random(3).shuffle(paths)
    volume = assemble(paths)
    assert volume.voxels[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert [source.sop_instance_uid for source in volume.sources] == [f"1.2.3.4.{n}" for n in range(5)]
    assert {source.frame for source in volume.sources} == {None}
    assert {source.sop_class_uid for source in volume.sources} == {MRImageStorage}
    assert (volume.study_instance_uid, volume.series_instance_uid, volume.frame_of_reference_uid) == ("1.2.3", "1.2.3.4", "1.2.3.5")


def test_an_enhanced_instance_keeps_its_frame_numbers(tmp_path: Path) -> None:
    """Frames stored from head to foot come out sorted, each with the 1-based frame that it was."""
    frames = np.stack([np.full((3, 4), n, dtype="u2") for n in range(4)])
    positions = np.array([[0, 0, 30 - 10 * n] for n in range(4)])
    volume = assemble([save(enhanced(frames, positions), tmp_path / "e.dcm")])
    assert volume.voxels[:, 0, 0].tolist() == [3, 2, 1, 0]
    assert [source.frame for source in volume.sources] == [4, 3, 2, 1]
    assert volume.sources[0].sop_class_uid == EnhancedMRImageStorage
    assert volume.spacing_mm == (10, 1, 1)


def test_a_compressed_enhanced_instance(tmp_path: Path) -> None:
    """Fragments are told apart per frame; every frame's own values come out."""
    frames = np.random.default_rng(1).integers(0, 4000, (6, 16, 16)).astype("u2")
    dataset = enhanced(frames, np.arange(6)[:, None] * np.array([0, 0, 2.0]))
    dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(assemble([save(dataset, tmp_path / "e.dcm")]).voxels, frames)


def test_several_enhanced_instances_make_one_volume(tmp_path: Path) -> None:
    """Two stacks of frames that interleave: one instance holds the even slices, the other the odd ones."""
    paths = []
    for part in range(2):
        frames = np.stack([np.full((2, 2), 2 * n + part, dtype="u2") for n in range(3)])
        dataset = enhanced(frames, np.array([[0, 0, 2 * n + part] for n in range(3)], dtype=float))
        dataset.SOPInstanceUID = f"1.9.{part}"
        paths.append(save(dataset, tmp_path / f"{part}.dcm"))
    volume = assemble(paths)
    assert volume.voxels[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert [(s.sop_instance_uid, s.frame) for s in volume.sources][:3] == [("1.9.0", 1), ("1.9.1", 1), ("1.9.0", 2)]


def test_one_slice_that_does_not_fit_makes_the_whole_volume_float(tmp_path: Path) -> None:
    """PET-like: the last slice alone needs more than 16 bits; no slice before it is left wrapped."""
    paths = stack(tmp_path, RescaleIntercept=0, RescaleSlope=1)
    paths.append(save(one_instance(np.full((3, 4), 60000, dtype="u2"), 5), tmp_path / "last.dcm"))
    volume = assemble(paths)
    assert volume.voxels.dtype == np.float32
    assert volume.voxels[:, 1, 1].tolist() == [0, 1, 2, 3, 4, 60000]


def test_localizers_are_left_out_only_when_they_say_so(tmp_path: Path) -> None:
    """An image that calls itself a localizer is skipped; one that does not is a mixed orientation, not a guess."""
    paths = stack(tmp_path)
    scout = one_instance(
        np.zeros((9, 9), "u2"), 77, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    assert assemble([*paths, save(scout, tmp_path / "scout.dcm")]).voxels.shape == (5, 3, 4)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    with pytest.raises(MixedOrientation, match=r"1\.2\.3\.4\.77"):
        assemble([*paths, save(scout, tmp_path / "scout.dcm")])
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    with pytest.raises(NotAVolume, match="localizers only"):
        assemble([save(scout, tmp_path / "scout.dcm")])


def test_two_frames_of_reference_are_refused(tmp_path: Path) -> None:
    """The one image that lies elsewhere is named."""
    paths = stack(tmp_path)
    stray = save(one_instance(np.zeros((3, 4), "u2"), 5, FrameOfReferenceUID="1.2.9"), tmp_path / "s.dcm")
    with pytest.raises(MixedFrameOfReference, match=r"2 frames of reference in one series; apart from the others: 1\.2\.3\.4\.5"):
        assemble([*paths, stray])


def test_a_series_without_a_frame_of_reference_is_a_space_of_its_own(tmp_path: Path) -> None:
    """De-identified in haste: the derived UID is the same every time, and another for another series."""
    first = assemble(stack(tmp_path, FrameOfReferenceUID=None)).frame_of_reference_uid
    assert first == assemble(stack(tmp_path, FrameOfReferenceUID=None)).frame_of_reference_uid
    assert first.startswith("2.25.")
    assert len(first) <= 64
    assert first != assemble(stack(tmp_path, FrameOfReferenceUID=None, SeriesInstanceUID="1.7")).frame_of_reference_uid


def test_a_data_set_without_uids_goes_by_those_it_was_sent_under(tmp_path: Path) -> None:
    """The published abdominal CT has empty SOP UIDs; its file meta information has them."""
    dataset = one_instance(np.zeros((3, 4), "u2"), 1, SliceThickness=1)
    path = save(dataset, tmp_path / "x.dcm")
    whole = path.read_bytes()
    at = whole.rindex(b"1.2.3.4.1\0")
    path.write_bytes(whole[:at] + b"\0" * 10 + whole[at + 10 :])
    assert assemble([path]).sources[0].sop_instance_uid == "1.2.3.4.1"


@pytest.mark.parametrize(
    ("attributes", "error", "said"),
    [
        ({"ImagePositionPatient": None, "ImageOrientationPatient": None, "Modality": "DX"}, NotAVolume, "DX images without position"),
        ({"PhotometricInterpretation": "PALETTE COLOR", "Modality": "US"}, NotAVolume, "5 of 5 US instances are in colour"),
        ({"ImageOrientationPatient": None}, MissingAttribute, "ImageOrientationPatient is absent"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, Mosaic, "5 of 5 MR instances are mosaics of slices"),
    ],
)
def test_what_is_no_volume(attributes: dict[str, Any], error: type[InputError], said: str, tmp_path: Path) -> None:
    """Projection images, colour, and images that lost half of their place."""
    with pytest.raises(error, match=said):
        assemble(stack(tmp_path, **attributes))


def test_no_files_and_two_series(tmp_path: Path) -> None:
    """The edges of what a job may hand over."""
    with pytest.raises(NotAVolume, match="no instances"):
        assemble([])
    paths = stack(tmp_path)
    with pytest.raises(MixedSeries, match=r"1\.2\.3\.4, 1\.2\.8"):
        assemble([*paths, save(one_instance(np.zeros((3, 4), "u2"), 5, SeriesInstanceUID="1.2.8"), tmp_path / "o.dcm")])


def test_one_truncated_slice_of_many_is_named(tmp_path: Path) -> None:
    """The other slices do not hide it."""
    paths = stack(tmp_path)
    whole = paths[3].read_bytes()
    paths[3].write_bytes(whole[:-3])
    with pytest.raises(Truncated, match=r"1\.2\.3\.4\.3 holds 21 of the 24 bytes"):
        assemble(paths)


def test_messages_name_three_instances_and_count_the_rest() -> None:
    """Enough to find them, short enough to read."""
    assert naming(["a", "b", "c"]) == "a, b, c"
    assert naming(str(n) for n in range(9)) == "0, 1, 2 and 6 more"


class TestRealSeries:
    """Published series; the expected grid comes from highdicom, from a NIfTI that another program wrote, or from the data's description."""

    @pytest.mark.parametrize(
        ("name", "shape", "modality"),
        [
            pytest.param("dicom/mr_t1_3d_brain_datalad.zip", (384, 384, 274), "MR", marks=pytest.mark.slow),
            ("dicom/mr_t1_sag_HFS_decubitus.zip", (35, 256, 256), "MR"),
            ("dicom/mr_hippocrop_Study1.zip", (32, 51, 35), "MR"),
            ("dicom/mr_acr_phantom/GE_MR450W_1.5T_T1.zip", (11, 256, 256), "MR"),
            ("dicom/ct_liver3_SEG/ct-3slice", (3, 512, 512), "CT"),
        ],
    )
    def test_classic_series_agree_with_highdicom(
        self, real: Callable[[str], list[Path]], name: str, shape: tuple[int, int, int], modality: str
    ) -> None:
        """Voxel for voxel and millimetre for millimetre, whichever end highdicom starts from."""
        import highdicom
        import pydicom

        files = real(name)
        volume = assemble(random.Random(1).sample(files, len(files)))
        theirs = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in files])
        assert volume.voxels.shape == shape
        assert volume.modality == modality
        self.agree(volume, theirs)

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("dicom/mr_enhanced_xa30_T1.zip", (96, 128, 128)),
            ("dicom/mr_enhanced_xa30_ADC.zip", (39, 72, 72)),
            # one b-value only: the trace-weighted image is a volume, not a fourth dimension
            ("dicom/mr_enhanced_xa30_TRACEW.zip", (39, 72, 72)),
        ],
    )
    def test_enhanced_instances_agree_with_highdicom(
        self, real: Callable[[str], list[Path]], name: str, shape: tuple[int, int, int]
    ) -> None:
        """Frame positions from the per-frame functional groups."""
        import highdicom

        files = real(name)
        volume = assemble(files)
        assert volume.voxels.shape == shape
        assert sorted(source.frame or 0 for source in volume.sources) == list(range(1, shape[0] + 1))
        self.agree(volume, highdicom.imread(files[0]).get_volume())

    def agree(self, volume: Volume, theirs: Any) -> None:
        """highdicom may sort the other way round: then its first slice is our last."""
        there, affine = np.asarray(theirs.array), theirs.affine
        if affine[:3, 0] @ volume.affine[:3, 0] < 0:
            affine = affine @ np.array([[-1, 0, 0, len(there) - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
            there = there[::-1]
        np.testing.assert_allclose(volume.affine, affine, atol=1e-3)
        np.testing.assert_allclose(volume.voxels, there)

    def test_the_abdominal_ct_lies_where_its_published_nifti_lies(self, real: Callable[[str], list[Path]]) -> None:
        """TotalSegmentator's label map of the very series, written by another program: one grid, up to the order of the axes."""
        import nibabel

        volume = assemble(real("dicom/ct_abdomen_TotalSeg"))
        label = nibabel.load(real("labelled/ct_totalseg/example_seg_dicom.nii.gz")[0])
        assert volume.voxels.shape == (20, 512, 512)
        assert volume.voxels.dtype == np.int16
        assert volume.voxels.min() == -1024

        def corners(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
            """The eight corner centres, sorted."""
            found = [(affine @ (*(i * (n - 1) for i, n in zip(at, shape, strict=True)), 1))[:3] for at in np.ndindex(2, 2, 2)]
            return np.array(sorted(tuple(np.round(corner, 2)) for corner in found))

        in_lps = np.diag([-1, -1, 1, 1]) @ label.affine
        np.testing.assert_allclose(corners(volume.affine, volume.voxels.shape), corners(in_lps, label.shape), atol=0.02)

    def test_the_sagittal_series_has_its_slices_from_left_to_right(self, real: Callable[[str], list[Path]]) -> None:
        """Rows point to the back, columns to the feet: the normal of a sagittal series written so points to the right."""
        volume = assemble(real("dicom/mr_t1_sag_HFS_decubitus.zip"))
        directions = volume.affine[:3, :3] / np.array(volume.spacing_mm)
        np.testing.assert_allclose(directions, np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]]), atol=1e-4)

    @pytest.mark.parametrize(
        ("name", "error", "said"),
        [
            ("dicom/mr_enhanced_xa30_BOLD4D.zip", FourDimensional, "20 images at each of 33 positions"),
            ("dicom/bad_geometry/sliceincrement_001.zip", Gap, r"1 slice is missing at a spacing of 5\.00 mm"),
            ("dicom/bad_geometry/sliceorientation_001.zip", MixedOrientation, r"2 of 4 images"),
            ("dicom/us_cine/US-PAL-8-10x-echo", NotAVolume, "US instances are in colour"),
            ("dicom/us_cine/examples_ybr_color.dcm", NotAVolume, "US instances are in colour"),
            ("dicom/xr/gdcm-CR-MONO1-10-chest.dcm", NotAVolume, "CR images without position and orientation"),
            ("dicom/mg/GH133.dcm", NotAVolume, "MG images without position and orientation"),
            ("dicom/xa_nm_pt_mr_misc/NM-MONO2-16-13x-heart", NotAVolume, "NM images without position and orientation"),
            ("dicom/xa_nm_pt_mr_misc/MR-MONO2-8-16x-heart.dcm", NotAVolume, r"MR images without .*\(16 frames\)"),
            ("dicom/xa_nm_pt_mr_misc/MOVEKNEE.dcm", FourDimensional, "19 images at each of 1 position"),
            ("dicom/hard/mr_uih_mosaic.zip", Mosaic, "2 of 2 MR instances are mosaics of slices"),
            ("dicom/ct_liver3_SEG/liver.dcm", NoPixelData, r"no image among them \(Segmentation Storage\)"),
        ],
    )
    def test_what_is_no_volume_is_refused_with_its_reason(
        self, real: Callable[[str], list[Path]], name: str, error: type[InputError], said: str
    ) -> None:
        """One real series of each kind that is none."""
        with pytest.raises(error, match=said) as caught:
            assemble(real(name))
        assert isinstance(caught.value, InputError)
        assert caught.value.code.startswith("HLM-30")
