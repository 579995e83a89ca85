"""Values beyond sense: a header or a pixel that no image of a patient has is refused before it is analysed, with what is wrong."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, keyword_for_tag

from inference.errors import InputError
from inference.imaging import tags
from inference.imaging.bounds import LEAST_SPACING_MM, MOST_COORDINATE_MM, MOST_EXTENT_MM, MOST_VALUE
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume
from tests.lab.elements import put, values_of
from tests.unit.imaging.conftest import as_a, one_instance, save

_NOT_PUT = {tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA, tags.MEDIA_STORAGE_SOP_CLASS_UID}
_NOT_PUT |= {tags.MEDIA_STORAGE_SOP_INSTANCE_UID}
_READ = sorted(
    {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)} - _NOT_PUT,
)
"""Every element that assembling reads."""


def _series(folder: Path, slices: int = 4, **attributes: Any) -> list[Path]:
    """A stack of noise, 1 mm apart, 0.5 mm pixels."""
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 4000, (slices, 8, 10)).astype("i2")
    given_: dict[str, Any] = {"PixelSpacing": [0.5, 0.5], "SliceThickness": 1, **attributes}
    return [save(one_instance(noise[z], z + 1, **given_), folder / f"{z}.dcm") for z in range(slices)]


def _volume(files: list[Path]) -> Volume:
    return as_a(Volume, subjects(Takes.VOLUME, "refuse", files)[0].subject)


@pytest.mark.parametrize(
    ("attributes", "code", "words"),
    [
        ({"RescaleSlope": 1e300, "RescaleIntercept": 0}, "HLM-3031", "RescaleSlope of 1.2.3.4.1 is 1e\\+300"),
        ({"RescaleSlope": 1e-300, "RescaleIntercept": 0}, "HLM-3031", "RescaleSlope"),
        ({"RescaleSlope": 1, "RescaleIntercept": 1e14}, "HLM-3031", "neighbouring values become one"),
        ({"RescaleSlope": 1e12, "RescaleIntercept": 0}, "HLM-3031", "more than 1e\\+15"),
        ({"Modality": "CT", "RescaleSlope": 1e5, "RescaleIntercept": -1024}, "HLM-3031", "RescaleSlope"),
        ({"PixelSpacing": ["1e-300", "1e-300"]}, "HLM-3031", "PixelSpacing holds 1e-300 mm, less than 0.0001"),
        ({"PixelSpacing": ["0.5", "1e9"]}, "HLM-3031", "PixelSpacing holds 1e\\+09 mm, more than 1000"),
        ({"ImageOrientationPatient": ["1e300", "0", "0", "0", "1e300", "0"]}, "HLM-3006", "perpendicular"),
        ({"PixelSpacing": ["1_0", "1_0"]}, "HLM-3006", "not 2 numbers"),
        ({"FrameOfReferenceUID": "1." * 32 + "1"}, "HLM-3032", "FrameOfReferenceUID .* \\(65 characters\\) is no UID"),
        ({"SeriesInstanceUID": "1.2.03"}, "HLM-3032", "SeriesInstanceUID"),
        ({"PatientID": "x" * 10_000}, "HLM-3032", "more than 256 characters"),
        ({"PixelRepresentation": 7}, "HLM-3006", "PixelRepresentation 7"),
        ({"BitsStored": 17, "HighBit": 16}, "HLM-3006", "no such pixel exists"),
        ({"HighBit": 3}, "HLM-3006", "no such pixel exists"),
    ],
)
@pytest.mark.filterwarnings("ignore:The value length", "ignore:Invalid value for VR", "ignore:A value")
def test_a_value_beyond_sense_is_refused_with_its_name(attributes: dict[str, Any], code: str, words: str, tmp_path: Path) -> None:
    """Of every slice of the series: the sentence names the attribute, the number and the instance."""
    with pytest.raises(InputError, match=words) as refused:
        _volume(_series(tmp_path, **attributes))
    assert refused.value.code == code


@pytest.mark.parametrize(("mm", "words"), [(1e15, "ImagePositionPatient"), (5000.0, "5000 mm apart"), (0.00005, "images at each|apart")])
def test_slices_too_far_apart_are_no_patient(mm: float, words: str, tmp_path: Path) -> None:
    """One beyond what coordinates can tell, one beyond any table."""
    files = _series(tmp_path)
    for number, path in enumerate(files):
        put(path, "ImagePositionPatient", f"0\\0\\{number * mm:.12g}".encode())
    with pytest.raises(InputError, match=words):
        _volume(files)


def test_a_stack_larger_than_any_patient_is_refused(tmp_path: Path) -> None:
    """Each distance may be one; eleven metres of them are not."""
    files = _series(tmp_path, slices=12)
    for number, path in enumerate(files):
        put(path, "ImagePositionPatient", f"0\\0\\{number * 999}".encode())
    with pytest.raises(InputError, match="4 x 11988 mm, more than 10000 mm") as refused:
        _volume(files)
    assert refused.value.code == "HLM-3031"


def test_a_thickness_that_no_slice_has_says_nothing(tmp_path: Path) -> None:
    """The positions make the volume; and it is not handed on as the thickness of anything."""
    assert _volume(_series(tmp_path / "right", SliceThickness="3")).thickness_mm == 3
    assert _volume(_series(tmp_path / "wrong", SliceThickness="1e300")).thickness_mm is None
    assert _volume(_series(tmp_path / "below", SliceThickness="-2")).thickness_mm is None


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, np.float32(3e38)])
def test_pixels_that_are_no_numbers_are_refused(wrong: float, tmp_path: Path) -> None:
    """Float Pixel Data can hold what no model was made for; one voxel is enough."""
    files = []
    for z in range(3):
        values = np.zeros((8, 10), np.float32)
        values[4, 4] = wrong if z == 1 else 1
        image = one_instance(np.zeros((8, 10), "i2"), z + 1, PixelData=None, BitsAllocated=32, BitsStored=32, HighBit=31)
        image.add_new(tags.FLOAT_PIXEL_DATA, "OF", values.tobytes())
        files.append(save(image, tmp_path / f"{z}.dcm"))
    with pytest.raises(InputError, match="infinite, no numbers, or larger") as refused:
        _volume(files)
    assert refused.value.code == "HLM-3031"


def test_a_compressed_file_that_claims_more_than_memory_is_refused_before_it_is_asked_for(tmp_path: Path) -> None:
    """Four slices of 65,535 x 65,535 pixels in a few bytes each: 32 GiB, of which none is taken."""
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless

    files = []
    for z in range(4):
        image = one_instance(np.zeros((8, 10), "i2"), z + 1, syntax=JPEG2000Lossless, Rows=65535, Columns=65535)
        image.PixelSpacing = [0.01, 0.01]
        image.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
        files.append(save(image, tmp_path / f"{z}.dcm"))
    with pytest.raises(InputError, match="4 slices of 65535 x 65535") as refused:
        _volume(files)
    assert refused.value.code == "HLM-3022"


_CASES = [(keyword_for_tag(tag), vr, raw) for tag in _READ for vr, raw in values_of(dictionary_VR(tag))]


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cases=st.lists(st.sampled_from(_CASES), min_size=1, max_size=3), one=st.booleans(), takes=st.sampled_from(list(Takes)[:3]))
def test_whatever_an_element_holds_it_is_refused_or_makes_an_image_of_a_patient(
    cases: list[tuple[str, str, bytes]], one: bool, takes: Takes, tmp_path: Path
) -> None:
    """Every element that assembling reads, with values beyond its VR, in one slice or in all: an InputError with a code, or a subject whose
    numbers can be those of a patient; never anything else."""
    files = _series(tmp_path)
    refused: InputError | None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, vr, raw in cases:
            for path in files[1:2] if one else files:
                put(path, keyword, raw, vr)
        try:
            made = subjects(takes, "refuse", files, "1.2.3.4")
        except InputError as error:
            refused, made = error, []
        else:
            refused = None
    assert refused is None or (refused.code.startswith("HLM-30") and str(refused) and refused.remedy)
    for subject in (each.subject for each in made):
        if isinstance(subject, Volume):
            assert np.abs(subject.voxels.astype(np.float64)).max() <= MOST_VALUE
            assert np.abs(subject.affine).max() <= 2 * MOST_COORDINATE_MM
            steps = np.linalg.norm(subject.affine[:3, :3], axis=0)
            assert steps.min() >= LEAST_SPACING_MM * 0.99
            assert (steps * subject.voxels.shape).max() <= MOST_EXTENT_MM
