"""NIfTI-1 beside nibabel and SimpleITK: what is written lies where they find it, what they write is read; other files are refused."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.imaging.errors import IrregularSpacing
from inference.imaging.nifti import read_labels, write_nifti
from inference.imaging.volume import SliceSource, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (3, 4, 5)


def turned(degrees: tuple[float, float, float], steps_mm: tuple[float, float, float], *, left_handed: bool = False) -> NDArray[np.float64]:
    """An affine of (z, y, x): rotations about three axes, steps, an origin; left-handed where slices run against the normal."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, other = [each for each in range(3) if each != axis]
        turn = np.eye(3)
        turn[[one, other], [one, other]] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation[:, ::-1] * steps_mm
    if left_handed:
        affine[:3, 0] *= -1
    affine[:3, 3] = (-120.5, 33.25, -900.125)
    return affine


def volume(affine: NDArray[np.float64], voxels: NDArray[np.generic] | None = None, steps: tuple[float, ...] | None = None) -> Volume:
    """A volume of voxels that all differ."""
    if voxels is None:
        voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) - 20
    sources = tuple(SliceSource(sop_instance_uid=f"1.{z}", sop_class_uid="1.2") for z in range(len(voxels)))
    return Volume(
        voxels=voxels,
        affine=affine,
        sources=sources,
        modality="CT",
        study_instance_uid="1",
        series_instance_uid="2",
        frame_of_reference_uid="3",
        steps=steps,
    )


OBLIQUE = turned((20, -35, 130), (2.5, 0.7, 0.9))


@settings(deadline=None, max_examples=60)
@given(
    degrees=st.tuples(*[st.floats(-180, 180)] * 3),
    steps=st.tuples(*[st.floats(0.3, 8)] * 3),
    left_handed=st.booleans(),
    kind=st.sampled_from(["i2", "f4", "u1", "u2", "i4", "f8", "?"]),
    packed=st.booleans(),
)
def test_what_is_written_lies_where_nibabel_finds_it(
    tmp_path_factory: pytest.TempPathFactory,
    degrees: tuple[float, float, float],
    steps: tuple[float, float, float],
    left_handed: bool,
    kind: str,
    packed: bool,
) -> None:
    """Voxel by voxel, by sform and by qform, however the slices lie."""
    path = tmp_path_factory.mktemp("nifti") / ("a.nii.gz" if packed else "a.nii")
    affine = turned(degrees, steps, left_handed=left_handed)
    voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(kind)
    write_nifti(path, volume(affine, voxels))
    read = nibabel.load(path)
    np.testing.assert_array_equal(np.asanyarray(read.dataobj), voxels.astype("f4").T)
    ijk = np.indices(read.shape).reshape(3, -1)
    places = LPS @ affine @ np.vstack([ijk[::-1], np.ones(ijk.shape[1])])
    # a quaternion of 32 bits without its a, which is the root of a difference: half a turn is known to 3e-4 alone
    for way, off_mm in ((read.get_sform(), 1e-3), (read.get_qform(), 0.05)):
        np.testing.assert_allclose(way @ np.vstack([ijk, np.ones(ijk.shape[1])]), places, atol=off_mm)
    assert read.header.get_xyzt_units()[0] == "mm"


def test_it_lies_where_simpleitk_finds_it(tmp_path: Path) -> None:
    """SimpleITK's world is LPS: the affine's own."""
    import SimpleITK

    write_nifti(tmp_path / "a.nii.gz", volume(OBLIQUE))
    read = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    for ijk in ((0, 0, 0), (4, 3, 2), (1, 0, 2)):
        np.testing.assert_allclose(read.TransformIndexToPhysicalPoint(ijk), (OBLIQUE @ [*ijk[::-1], 1])[:3], atol=1e-3)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(read), volume(OBLIQUE).voxels)


def test_the_same_volume_is_written_to_the_same_bytes(tmp_path: Path) -> None:
    """No clock and no name in the packed file."""
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, volume(OBLIQUE))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_slices_of_a_tilted_gantry_lie_where_sform_says(tmp_path: Path) -> None:
    """A quaternion cannot say a shear: qform says that it says nothing."""
    sheared = OBLIQUE.copy()
    sheared[:3, 0] += 0.5 * sheared[:3, 1]
    write_nifti(tmp_path / "a.nii", volume(sheared))
    read = nibabel.load(tmp_path / "a.nii")
    assert (int(read.header["qform_code"]), int(read.header["sform_code"])) == (0, 1)
    np.testing.assert_allclose(read.affine, LPS @ sheared[:, [2, 1, 0, 3]], atol=1e-3)


def test_slices_in_unequal_steps_are_refused(tmp_path: Path) -> None:
    """There is one step in a NIfTI file: the last slice would lie somewhere else."""
    with pytest.raises(IrregularSpacing, match=r"the slices lie 1\.25 to 3\.75 mm apart, and a NIfTI file has one step"):
        write_nifti(tmp_path / "a.nii", volume(OBLIQUE, steps=(0.0, 0.5, 2.0)))
    assert not list(tmp_path.iterdir())


# ---- label maps

MARKED = np.zeros(SHAPE, np.uint8)
MARKED[0, 1, 2], MARKED[2, 3, 4], MARKED[1, 0, :2] = 1, 2, 7


def saved(path: Path, labels: NDArray[np.generic] = MARKED, affine: NDArray[np.float64] = OBLIQUE) -> nibabel.Nifti1Image:
    """A label map as a program with nibabel leaves it."""
    image = nibabel.Nifti1Image(labels.T, LPS @ affine[:, [2, 1, 0, 3]])
    nibabel.save(image, path)
    return image


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "i8", "u8", ">i2", ">f4"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_label_map_of_nibabel_is_read(tmp_path: Path, kind: str, name: str) -> None:
    """Of every type that whole numbers have, and of both orders of bytes."""
    image = nibabel.Nifti1Image(MARKED.T.astype(kind), LPS @ OBLIQUE[:, [2, 1, 0, 3]], dtype=kind.lstrip(">"))
    nibabel.save(image.__class__(image.dataobj, image.affine, image.header.as_byteswapped()) if kind[0] == ">" else image, tmp_path / name)
    np.testing.assert_array_equal(read_labels(tmp_path / name, volume(OBLIQUE)), MARKED)


def test_a_label_map_of_simpleitk_is_read(tmp_path: Path) -> None:
    """Written after its own grid; what a name ends in does not say whether it is packed."""
    import SimpleITK

    write_nifti(tmp_path / "in.nii", volume(OBLIQUE))
    labels = SimpleITK.GetImageFromArray(MARKED)
    labels.CopyInformation(SimpleITK.ReadImage(str(tmp_path / "in.nii")))
    SimpleITK.WriteImage(labels, str(tmp_path / "out.nii.gz"))
    (tmp_path / "out.nii.gz").rename(tmp_path / "out.nii")
    np.testing.assert_array_equal(read_labels(tmp_path / "out.nii", volume(OBLIQUE)), MARKED)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SPL", "PIR"])
def test_axes_that_a_program_turned_are_turned_back(tmp_path: Path, axes: str) -> None:
    """Towards RAS, as most do before they compute: the voxels are the same, their order is not."""
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    image = saved(tmp_path / "a.nii")
    turned_image = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(axes)))
    nibabel.save(turned_image, tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(read_labels(tmp_path / "b.nii.gz", volume(OBLIQUE)), MARKED)


def test_a_place_by_quaternion_alone_is_read(tmp_path: Path) -> None:
    """sform_code 0: where it lies stands in qform."""
    image = saved(tmp_path / "a.nii")
    image.set_qform(image.affine, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "b.nii")
    np.testing.assert_array_equal(read_labels(tmp_path / "b.nii", volume(OBLIQUE)), MARKED)


def moved(by: float) -> NDArray[np.float64]:
    """Some voxels along the rows."""
    affine = OBLIQUE.copy()
    affine[:3, 3] += by * affine[:3, 2]
    return affine


def rewritten(at: int, *values: object, how: str) -> Callable[[bytes], bytes]:
    """Bytes of a header that say something else."""

    def of(content: bytes) -> bytes:
        changed = bytearray(content)
        struct.pack_into(how, changed, at, *values)
        return bytes(changed)

    return of


BAD: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("empty", lambda content: b"", "it has 0 bytes, fewer than a NIfTI header"),
    ("no nifti", lambda content: b"P5 " + content, "it is no NIfTI file"),
    ("second form", rewritten(0, 540, how="<i"), "it is NIfTI-2; NIfTI-1 is read"),
    ("two files", rewritten(344, b"ni1\0", how="<4s"), "it is no NIfTI-1 in one file"),
    ("over time", rewritten(40, 4, 5, 4, 3, 2, how="<5h"), "it has 5 × 4 × 3 × 2 voxels, and is no volume"),
    ("no sides", rewritten(40, -3, how="<h"), "is no volume"),
    ("other sides", rewritten(42, 4, how="<h"), r"it has 4 × 4 × 3 voxels, the images 5 × 4 × 3 \(columns, rows, slices\)"),
    ("colours", rewritten(70, 128, how="<h"), r"its voxels are of a type \(128\) that no label has"),
    ("no beginning", rewritten(108, float("nan"), how="<f"), "it does not say where its voxels begin"),
    ("far beginning", rewritten(108, 1e9, how="<f"), "it does not say where its voxels begin"),
    ("no place", rewritten(252, 0, 0, how="<2h"), "it does not say where in the patient it lies"),
    ("no number", rewritten(280, float("nan"), how="<f"), "it lies on no grid that the images have"),
    ("cut off", lambda content: content[:-1], "it ends after 2 of 3 slices"),
    ("cut off early", lambda content: rewritten(108, 1000.0, how="<f")(content)[:900], "it ends before its voxels begin"),
    ("halves", rewritten(112, 0.5, 0.0, how="<2f"), r"it has 0\.5 where a label belongs"),
    ("below 0", rewritten(112, -1.0, 0.0, how="<2f"), "it has -1 where a label belongs"),
    ("packed garbage", lambda content: b"\x1f\x8b" + content, "it is packed, and damaged"),
    ("packed and cut off", lambda content: gzip.compress(content)[:-20], "it is packed, and damaged"),
]


@pytest.mark.parametrize(("how", "spoil", "sentence"), BAD, ids=[how for how, _, _ in BAD])
def test_what_is_no_label_map_of_these_images_is_refused_by_a_sentence(
    tmp_path: Path, how: str, spoil: Callable[[bytes], bytes], sentence: str
) -> None:
    """And nothing else: no other error, and no mask."""
    saved(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(spoil((tmp_path / "a.nii").read_bytes()))
    with pytest.raises(ValueError, match=sentence):
        read_labels(tmp_path / "b.nii", volume(OBLIQUE))


def test_another_grid_is_refused(tmp_path: Path) -> None:
    """A twentieth of a voxel is rounding; a tenth is another place, and so are other steps, and a whole voxel."""
    saved(tmp_path / "near.nii", affine=moved(0.04))
    np.testing.assert_array_equal(read_labels(tmp_path / "near.nii", volume(OBLIQUE)), MARKED)
    wider = OBLIQUE.copy()
    wider[:3, 1] *= 1.03
    for affine, off in ((moved(0.1), r"0\.10"), (moved(-1), r"1\.00"), (wider, r"0\.09")):
        saved(tmp_path / "a.nii", affine=affine)
        with pytest.raises(ValueError, match=f"it lies on another grid than the images: a corner lies {off} voxels off"):
            read_labels(tmp_path / "a.nii", volume(OBLIQUE))


def test_a_gigabyte_that_a_small_file_becomes_is_not_unpacked(tmp_path: Path) -> None:
    """Behind its voxels nothing is read; a grid of other sides is refused by its header."""
    image = saved(tmp_path / "a.nii")
    with gzip.open(tmp_path / "b.nii.gz", "wb", compresslevel=1) as file:
        file.write((tmp_path / "a.nii").read_bytes())
        for _ in range(64):
            file.write(bytes(1 << 20))
    np.testing.assert_array_equal(read_labels(tmp_path / "b.nii.gz", volume(OBLIQUE)), MARKED)
    assert image.shape == SHAPE[::-1]


def test_numbers_that_are_none_are_no_labels(tmp_path: Path) -> None:
    """A network that failed writes NaN; 70,000 is beyond what a segmentation numbers."""
    for odd, said in ((np.nan, "nan"), (np.inf, "inf"), (70000, "70000")):
        labels = MARKED.astype(np.float32)
        labels[1, 2, 3] = odd
        saved(tmp_path / "a.nii", labels)
        with pytest.raises(ValueError, match=f"it has {said} where a label belongs: a whole number from 0 to 65535"):
            read_labels(tmp_path / "a.nii", volume(OBLIQUE))
