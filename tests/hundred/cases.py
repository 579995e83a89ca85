"""The kinds of studies, each with the end that is right for it, written by hand before the node was asked.

Half of them a radiologist would read; the others are short, wrong, mixed, or nothing that any route is for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID, generate_uid

from inference.imaging.write_series import from_nifti, write_series
from tests.hundred.ends import End
from tests.lab import planted, tilted
from tests.lab.needs import data
from tests.lab.series import unpacked

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_FLAIR = {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500"}
RAW_DATA = UID("1.2.840.10008.5.1.4.1.1.66")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A study's files in the archive, and those that it forwards: all, but for what gets lost on the way."""

    files: Sequence[Path]
    forwarded: Sequence[Path]
    volumes_cm3: tuple[float, ...] | None = None
    """Of each thing that a report has to find, where arithmetic says it; of other CT the pixels themselves say it (`truth`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of study; `make(folder, number)` varies with the number."""

    name: str
    ends: frozenset[End]
    make: Callable[[Path, int], Made]


def _whole(files: Sequence[Path], *volumes_cm3: float) -> Made:
    return Made(files=files, forwarded=files, volumes_cm3=volumes_cm3 or None)


def _planted(number: int) -> tuple[tuple[Sequence[float], Sequence[float]], ...]:
    """One to three lesions."""
    return planted.LESIONS[: 1 + number % 3]


def _cm3(*lesions: tuple[Sequence[float], Sequence[float]]) -> list[float]:
    """The voxels of each that were made bright."""
    return [float(planted.ellipsoid(*one).sum() * np.prod(planted.SPACING)) / 1000 for one in lesions]


def _own(files: Sequence[Path], number: int, change: Callable[[pydicom.Dataset, int], None] | None = None) -> Sequence[Path]:
    """The same images as another patient's, under UIDs of their own."""
    for index, path in enumerate(files):
        one = pydicom.dcmread(path)
        for keyword in _UIDS:
            if one.get(keyword):
                setattr(one, keyword, generate_uid(entropy_srcs=[str(number), keyword, str(one[keyword].value)]))
        one.PatientID, one.PatientName = patient_of(number), f"Trial^{number:03}"
        if change is not None:
            change(one, index)
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
        one.save_as(path)
    return files


def patient_of(number: int) -> str:
    """The PatientID of a study."""
    return f"TRIAL-{number:03}"


def _flair(
    folder: Path, number: int, *, voxels: NDArray[np.int16] | None = None, part: str = "HEAD", description: str = "FLAIR"
) -> Sequence[Path]:
    made = planted.head(*_planted(number), seed=number)
    image = made.voxels if voxels is None else voxels
    files = write_series(
        image, made.affine, folder, modality="MR", series_description=description, extra={**_FLAIR, "BodyPartExamined": part}
    )
    return _own(files, number)


def _lesions(folder: Path, number: int) -> Made:
    return _whole(_flair(folder, number), *_cm3(*_planted(number)))


_TUMOUR = ((10, 25, 28), (28, 26, 24))


def _tumour(folder: Path, number: int) -> Made:
    """One lesion of 3 cm of radius, as large as what is operated on."""
    return _whole(_flair(folder, number, voxels=planted.head(_TUMOUR, seed=number).voxels), *_cm3(_TUMOUR))


def _real(*parts: str) -> Callable[[Path, int], Made]:
    return lambda folder, number: _whole(_own(unpacked(data("dicom", *parts), folder), number))


def _ball(folder: Path, number: int, degrees: float = 0) -> Sequence[Path]:
    return _own(tilted.ball(folder, degrees), number)


def _tilted_ball(folder: Path, number: int) -> Made:
    return _whole(_ball(folder, number, 4 + (number * 7) % 27), tilted.BALL_CM3)


def _blocks(folder: Path, number: int) -> Made:
    along = np.concatenate([-52 + 4.0 * np.arange(13), 1.5 + 7.0 * np.arange(8)])
    lean = 12.0 if number % 2 else 0.0
    thick = np.array([4.0] * 13 + [7.0] * 8) * np.cos(np.radians(lean))
    return _whole(_own(tilted.ball(folder, lean, along_mm=list(along), thickness_mm=list(thick)), number), tilted.BALL_CM3)


def _with_raw_data(folder: Path, number: int) -> Made:
    files = list(_flair(folder, number))
    raw = pydicom.dcmread(files[0])
    raw.SOPClassUID = raw.file_meta.MediaStorageSOPClassUID = RAW_DATA
    raw.SOPInstanceUID = raw.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number), "raw"])
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"):
        delattr(raw, keyword)
    files.append(folder / "raw.dcm")
    raw.save_as(files[-1])
    return _whole(files, *_cm3(*_planted(number)))


def _gap(folder: Path, number: int) -> Made:
    """A slice in the middle never came, neither to the archive."""
    files = list(_flair(folder, number))
    del files[15 + number % 10]
    return _whole(files)


def _gap_of_tilted(folder: Path, number: int) -> Made:
    files = list(_ball(folder, number, 15))
    del files[18]
    return _whole(files)


def _cut(folder: Path, number: int) -> Made:
    """The archive lists 44 and forwards 30, from the feet: no gap between them."""
    files = _flair(folder, number)
    return Made(files=files, forwarded=files[:30])


def _noise(folder: Path, number: int) -> Made:
    values = np.random.default_rng(number).normal(200, 60, planted.SHAPE)
    return _whole(_flair(folder, number, voxels=np.clip(values, 0, None).astype(np.int16)))


def _abdomen(folder: Path, number: int) -> Made:
    """A real MR of the abdomen, sent as a head's FLAIR."""
    voxels, affine = from_nifti(data("labelled", "ct_totalseg", "example_mr_sm.nii.gz"))
    extra = {**_FLAIR, "BodyPartExamined": "HEAD"}
    return _whole(_own(write_series(voxels, affine, folder, modality="MR", series_description="FLAIR", extra=extra), number))


def _inverted(folder: Path, number: int) -> Made:
    image = planted.head(seed=number).voxels
    return _whole(_flair(folder, number, voxels=(600 - np.clip(image, 0, 600)).astype(np.int16)))


def _two_patients(folder: Path, number: int) -> Made:
    """One series, of which the upper half names another patient."""
    files = _flair(folder, number)
    for path in files[22:]:
        one = pydicom.dcmread(path)
        one.PatientID, one.PatientName = f"OTHER-{number:03}", "Other^Patient"
        one.save_as(path)
    return _whole(files)


def _irregular(folder: Path, number: int) -> Made:
    """Slices of one thickness, farther and farther apart."""

    def drift(one: pydicom.Dataset, index: int) -> None:
        one.ImagePositionPatient[2] += 0.02 * index * index

    return _whole(_own(_ball(folder, number), number, drift))


def _scout(folder: Path, number: int) -> Made:
    """One image lies across the others, and does not call itself a localizer."""

    def turn(one: pydicom.Dataset, index: int) -> None:
        if index == 7:
            one.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    return _whole(_own(_ball(folder, number), number, turn))


def _raw_alone(folder: Path, number: int) -> Made:
    """Raw Data, and nothing that could be looked at."""
    files = _with_raw_data(folder, number).files
    return _whole(files[-1:])


RESULT, DECLINED, HELD, NOT_APPLICABLE = (frozenset({end}) for end in (End.RESULT, End.DECLINED, End.HELD, End.NOT_APPLICABLE))

CASES = (
    Case(name="FLAIR with lesions", ends=RESULT, make=_lesions),
    Case(name="a slice is missing in the middle", ends=HELD, make=_gap),
    Case(name="CT, tilted gantry", ends=RESULT, make=_tilted_ball),
    Case(name="two patients in one series", ends=DECLINED | HELD, make=_two_patients),
    Case(name="real head CT, 18.5 degrees, 4 and 7 mm", ends=RESULT, make=_real("ct_head_GE_gantrytilt.zip")),
    Case(name="gel sphere that calls itself a brain", ends=DECLINED | NOT_APPLICABLE, make=_real("hard", "phantom_gel_epi.zip")),
    Case(name="FLAIR with Raw Data beside it", ends=RESULT, make=_with_raw_data),
    Case(name="30 of 44 were forwarded", ends=HELD, make=_cut),
    Case(name="CT, straight", ends=RESULT, make=lambda folder, number: _whole(_ball(folder, number), tilted.BALL_CM3)),
    Case(name="series without an image", ends=NOT_APPLICABLE, make=_raw_alone),
    Case(name="CT, blocks of 4 and 7 mm", ends=RESULT, make=_blocks),
    Case(name="noise that calls itself a head", ends=DECLINED, make=_noise),
    Case(name="slices farther and farther apart", ends=DECLINED, make=_irregular),
    Case(name="FLAIR, tumour of 6 cm", ends=RESULT, make=_tumour),
    Case(name="test object that calls itself a brain", ends=DECLINED | NOT_APPLICABLE, make=_real("hard", "phantom_ge_mprage.zip")),
    Case(name="CT, tilted, a slice is missing", ends=HELD, make=_gap_of_tilted),
    Case(name="CT, tilted the other way", ends=RESULT, make=lambda folder, number: _whole(_ball(folder, number, -21), tilted.BALL_CM3)),
    Case(name="QA phantom of 11 slices", ends=NOT_APPLICABLE, make=_real("mr_acr_phantom", "Siemens_Aera_1.5T_T1.zip")),
    Case(name="real CT, 14 degrees", ends=RESULT, make=_real("bad_geometry", "gantrytilting_001.zip")),
    Case(name="real CT, a slice is missing", ends=HELD, make=_real("bad_geometry", "sliceincrement_001.zip")),
    Case(name="inverted head", ends=DECLINED, make=_inverted),
    Case(name="an abdomen that calls itself a head", ends=DECLINED | NOT_APPLICABLE, make=_abdomen),
    Case(name="CT, a scout among the slices", ends=DECLINED, make=_scout),
    Case(name="real MR of four slices", ends=NOT_APPLICABLE, make=_real("bad_geometry", "sliceorientation_001.zip")),
    Case(name="20 time points", ends=DECLINED | NOT_APPLICABLE, make=_real("mr_enhanced_xa30_BOLD4D.zip")),
    Case(name="crop of a hippocampus", ends=DECLINED | NOT_APPLICABLE, make=_real("mr_hippocrop_Study1.zip")),
)
