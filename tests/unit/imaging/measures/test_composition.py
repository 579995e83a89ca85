"""Muscle and fat at a vertebra: areas counted by hand, SimpleITK's of a real CT, and every reason for which there is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as published

from inference.codes import Code
from inference.imaging.measures.composition import FATS, LEVELS, MUSCLES, FatArea, MuscleArea
from inference.imaging.volume import Volume
from tests.unit.applications.bundle.images import volume
from tests.unit.imaging.measures.segments import refusal, results, segment

SHAPE, SPACING = (20, 30, 40), (5.0, 0.5, 2.0)
HU = [Dataset()]
HU[0].RescaleType = "HU"
L3 = Code("36470004", "SCT", "L3 vertebra")
MUSCLE = MuscleArea(segments=("muscle",), vertebra="bone", level="L3")
FAT = FatArea(segments=("fat",), vertebra="bone", level="L3")


def image(modality: str = "CT") -> Volume:
    """Muscle of 50 HU in front, fat of -100 behind; one pixel each at both ends of the windows and beyond them."""
    voxels = np.full(SHAPE, 50, np.int16)
    voxels[:, 15:] = -100
    voxels[:, 5, 5:9] = (-29, 150, -30, 151)
    voxels[:, 20, 5:9] = (-190, -30, -191, -29)
    return volume(voxels, SPACING, tilt=0.2, modality=modality)


def marked(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    """A mask of boxes."""
    mask = np.zeros(SHAPE, np.bool_)
    for box in boxes:
        mask[box] = True
    return mask


BONE = segment("bone", marked((slice(6, 13), slice(10, 14), slice(18, 22))), type=L3)
"""Its middle lies on slice 9."""
TISSUES = (
    segment("muscle", marked((slice(2, 18), slice(4, 8), slice(4, 14)))),
    segment("fat", marked((slice(2, 18), slice(19, 23), slice(4, 14)))),
)


@pytest.mark.parametrize(("measure", "tissue", "method"), [(MUSCLE, TISSUES[0], "MUSCLE-HU"), (FAT, TISSUES[1], "FAT-HU")])
def test_the_voxels_of_the_tissue_count_on_the_slice_of_the_vertebra(measure: MuscleArea | FatArea, tissue: object, method: str) -> None:
    """40 pixels of 0.5 × 2 mm less the two beyond the window: 0.38 cm²; the ends of the window belong to it."""
    (found,) = results(measure, image(), BONE, tissue, headers=HU)  # type: ignore[arg-type]
    assert found.value == pytest.approx(0.38)
    assert (found.unit.value, found.at_least) == ("cm2", False)
    assert (found.name.scheme, found.name.value) == ("99HILUM", f"{measure.tissue.upper()}-AREA-L3")
    assert found.method is not None
    assert found.method.value == method


def test_it_is_the_slice_of_the_vertebra_and_no_other() -> None:
    """The muscle is one pixel wider on each slice; a vertebra that lies lower makes a smaller area."""
    growing = np.zeros(SHAPE, np.bool_)
    for z in range(SHAPE[0]):
        growing[z, 10, 5 : 6 + z] = True
    low = replace(BONE, mask=np.roll(BONE.mask, -4, axis=0))
    areas = [results(MUSCLE, image(), bone, segment("muscle", growing), headers=HU)[0].value for bone in (BONE, low)]
    assert areas == pytest.approx([0.10, 0.06])


def test_tissue_that_the_field_of_view_cuts_is_at_least_that() -> None:
    """Its mask touches the last column on the slice."""
    (found,) = results(MUSCLE, image(), BONE, segment("muscle", marked((slice(2, 18), slice(8, 9), slice(30, 40)))), headers=HU)
    assert found.value == pytest.approx(0.10)
    assert found.at_least


def test_padding_is_no_tissue() -> None:
    """PixelPaddingValue 50: what would be muscle is none, but for the two pixels at the ends of the window."""
    padded = Dataset()
    padded.RescaleType, padded.PixelPaddingValue, padded.RescaleSlope, padded.RescaleIntercept = "HU", 50, "1", "0"
    padded.PixelRepresentation = 1
    (found,) = results(MUSCLE, image(), BONE, TISSUES[0], headers=[_as(padded, f"1.2.{z}") for z in range(SHAPE[0])])
    assert found.value == pytest.approx(0.02)


def _as(dataset: Dataset, uid: str) -> Dataset:
    other = Dataset()
    other.update(dataset)
    other.SOPInstanceUID = uid
    return other


def test_why_there_is_no_area() -> None:
    """No vertebra, one that is cut, tissue elsewhere, coronal slices, no HU: each in the report."""
    told = "Not measured: the area of muscle at L3, because "
    cut = replace(BONE, mask=marked((slice(14, 20), slice(10, 14), slice(18, 22))))
    elsewhere = segment("muscle", marked((slice(2, 5), slice(4, 8), slice(4, 14))))
    coronal = replace(image(), affine=image().affine[[0, 2, 1, 3]])
    other = [Dataset()]
    other[0].RescaleType = "US"
    assert refusal(MUSCLE, image(), TISSUES[0], headers=HU) == told + "the vertebra L3 was not found."
    assert refusal(MUSCLE, image(), cut, TISSUES[0], headers=HU) == told + "the vertebra L3 reaches the first or the last image."
    assert refusal(MUSCLE, image(), BONE, elsewhere, headers=HU) == told + "none of it lies on the slice of the vertebra L3."
    assert refusal(MUSCLE, coronal, BONE, TISSUES[0], headers=HU) == told + "the slices are not axial."
    assert refusal(MUSCLE, image(), BONE, TISSUES[0], headers=other).startswith(told)
    assert refusal(MUSCLE, image("MR"), BONE, TISSUES[0]) == told + "these images are no CT."


def test_the_codes_are_those_of_the_standard() -> None:
    """As pydicom has them of PS3.16: each level's vertebra, and what it has of muscle and fat."""
    assert {level: getattr(published.SCT, f"{level}Vertebra").value for level in LEVELS} == LEVELS
    assert {published.SCT.SkeletalMuscle.value} <= MUSCLES
    assert {published.SCT.Fat.value} <= FATS


@pytest.mark.slow
def test_muscle_of_a_real_ct_is_what_simpleitk_counts(real: Callable[[str], list[Path]]) -> None:
    """The deep muscles of the back at L3 of a real CT: SimpleITK finds the vertebra's centroid, thresholds the slice there, and counts."""
    files = {path.name: sitk.ReadImage(str(path)) for path in real("labelled/ct_totalseg")}
    picture, label = files["example_ct.nii.gz"], files["example_seg_fast_force_split.nii.gz"]
    drawn = sitk.GetArrayFromImage(label)
    bone, muscle = drawn == 29, (drawn == 86) | (drawn == 87)
    affine = np.eye(4)
    affine[:3, :3] = (np.array(picture.GetDirection()).reshape(3, 3) * picture.GetSpacing())[:, ::-1]
    affine[:3, 3] = picture.GetOrigin()
    of_it = replace(volume(sitk.GetArrayFromImage(picture).astype(np.int16), (3.0, 3.0, 3.0)), affine=affine)
    (found,) = results(MUSCLE, of_it, segment("bone", bone, type=L3), segment("muscle", muscle), headers=HU)
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(label)
    z = label.TransformPhysicalPointToIndex(shapes.GetCentroid(29))[2]
    back = sitk.Or(sitk.Equal(label, 86), sitk.Equal(label, 87))[:, :, z]
    counted = sitk.And(sitk.BinaryThreshold(picture[:, :, z], -29, 150, 1, 0), sitk.Cast(back, sitk.sitkUInt8))
    assert found.value == pytest.approx(int(sitk.GetArrayFromImage(counted).sum()) * 9 / 100)
    # of grown people some 30 to 60 cm2 on both sides
    assert 20 < found.value < 80
