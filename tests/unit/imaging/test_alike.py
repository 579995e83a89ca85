"""Stacks that geometry takes for one, and that hold images of several kinds: refused, by what headers say; real blocks stay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from inference.imaging.assemble import assemble
from inference.imaging.decode import decode
from inference.imaging.errors import MissingAttribute, MixedKinds

from .conftest import enhanced, one_instance, save

_ORIGINAL, _AVERAGE = ["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL", "AVERAGE"]
_LOSSY = ["DERIVED", "PRIMARY", "AXIAL"]
_RESCALE: dict[str, Any] = {"RescaleSlope": 1, "RescaleIntercept": -1024}
_CT: dict[str, Any] = {"Modality": "CT", **_RESCALE}


def stack(folder: Path, *kinds: dict[str, Any], **common: Any) -> list[Path]:
    """A slice of each of `kinds`, a millimetre apart."""
    slices = [one_instance(np.full((3, 4), n, "u2"), n, **{**common, **kind}) for n, kind in enumerate(kinds)]
    return [save(each, folder / f"{number}.dcm") for number, each in enumerate(slices)]


@pytest.mark.parametrize("odd_first", [False, True])
@pytest.mark.parametrize(
    ("one", "other", "attribute"),
    [
        ({"ImageType": _ORIGINAL}, {"ImageType": _AVERAGE}, "ImageType"),
        ({"ConvolutionKernel": "B30f", **_CT}, {"ConvolutionKernel": "B70f", **_CT}, "ConvolutionKernel"),
        ({"SliceThickness": 1}, {"SliceThickness": 5}, "SliceThickness"),
        ({"KVP": 80, **_CT}, {"KVP": 140, **_CT}, "KVP"),
        ({"EchoTime": 5}, {"EchoTime": 50}, "EchoTime"),
        ({"InversionTime": 800}, {"InversionTime": 2500}, "InversionTime"),
        ({"InversionTime": 0}, {"InversionTime": 2500}, "InversionTime"),
        ({"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}, "DiffusionBValue"),
        ({"Modality": "PT", "Units": "BQML"}, {"Modality": "PT", "Units": "CNTS"}, "Units"),
        ({}, {"Modality": "CT"}, "Modality"),
        ({}, {"PhotometricInterpretation": "MONOCHROME1"}, "PhotometricInterpretation"),
        (_CT, {"Modality": "CT"}, "RescaleSlope"),
        ({"RescaleType": "HU", **_CT}, {"RescaleType": "MGML", **_CT}, "RescaleType"),
        (_CT, {"RescaleType": "US", **_CT}, "RescaleType"),
        ({"ImageType": _ORIGINAL, "EchoTime": 5}, {"ImageType": _LOSSY, "EchoTime": 50}, "EchoTime"),
    ],
)
def test_two_kinds_between_each_other_are_no_volume(
    one: dict[str, Any], other: dict[str, Any], attribute: str, odd_first: bool, tmp_path: Path
) -> None:
    """Evenly spaced, of one matrix, in one frame of reference: a volume by every measure, and its neighbours have nothing in common."""
    kinds = [other, one] if odd_first else [one, other]
    with pytest.raises(MixedKinds, match=f"2 kinds .* differ in {attribute}"):
        assemble(stack(tmp_path, *kinds * 3))


def test_a_single_slice_of_another_kind_is_found(tmp_path: Path) -> None:
    """And named."""
    kinds = [{"ImageType": _ORIGINAL}] * 9
    kinds[4] = {"ImageType": _AVERAGE}
    with pytest.raises(MixedKinds, match=r"apart: 1\.2\.3\.4\.4$"):
        assemble(stack(tmp_path, *kinds))


def test_frames_are_compared_by_their_functional_groups(tmp_path: Path) -> None:
    """Two echoes whose frames lie between each other in one enhanced instance."""
    image = enhanced(np.zeros((6, 3, 4), "u2"), np.array([[0, 0, z] for z in range(6)], dtype=np.float64))
    for number, group in enumerate(image.PerFrameFunctionalGroupsSequence):
        echo = Dataset()
        echo.EffectiveEchoTime = 5.0 if number % 2 else 50.0
        group.MREchoSequence = [echo]
    with pytest.raises(MixedKinds, match="EchoTime"):
        assemble([save(image, tmp_path / "image.dcm")])


@pytest.mark.parametrize(
    "kinds",
    [
        [{"SliceThickness": mm} for mm in (1, 1, 1, 1.02, 1, 1)],  # as a writer rounds
        [{"EchoTime": ms} for ms in (4.92, 4.9, 4.92, 4.92, 4.9, 4.92)],
        [{"ConvolutionKernel": kernel, **_CT} for kernel in ("B30f", "B30f", "B30f", "B60f", "B60f", "B60f")],
        [{"KVP": kv, **_CT} for kv in (*[120] * 3, *[140] * 3, *[120] * 3)],
        [{**_CT, "ConvolutionKernel": "B30f", "EchoTime": 5, "ImageType": _ORIGINAL}, _CT, {"Modality": "", **_RESCALE}] * 2,
        [{"ImageType": [*_ORIGINAL, *[""] * (n % 2)]} for n in range(6)],
        [{"ImageType": [_ORIGINAL, _LOSSY][n % 2]} for n in range(6)],
        *[[{keyword: [0, known][n % 2], **_CT} for n in range(6)] for keyword, known in (("SliceThickness", 1), ("KVP", 120))],
        [{"EchoTime": [0, 5][n % 2]} for n in range(6)],
        [{"InversionTime": ms} for ms in (2500, 2500, 2480, 2500, 2480, 2500)],
        [{**_CT, **({"RescaleType": "HU"} if n % 2 else {})} for n in range(6)],
        [{"RescaleSlope": 0.5 + n, "RescaleIntercept": 0, "Modality": "PT", "Units": "BQML"} for n in range(6)],
        [{**_CT, "RescaleSlope": 0.5 + n, "RescaleIntercept": -1024 + n} for n in range(6)],
        [{**_CT, "RescaleSlope": 0.5 + n % 5, "RescaleIntercept": -1024 + n} for n in range(6)],
    ],
    ids=[
        "rounding of thickness",
        "rounding of echo times",
        "blocks",
        "a block between two",
        "some do not say",
        "an empty word",
        "copies with losses",
        "no thickness",
        "no tube voltage",
        "no echo time",
        "rounding of inversion times",
        "Hounsfield units, said or not",
        "slopes of their own",
        "slopes and intercepts of their own",
        "of which two slopes are one",
    ],
)
def test_what_belongs_together_stays(kinds: list[dict[str, Any]], tmp_path: Path) -> None:
    """Rounding is no other kind, and what is not said is none; blocks may lie above each other."""
    assert len(assemble(stack(tmp_path, *kinds)).voxels) == len(kinds)


def test_the_blocks_of_a_real_head_stay(real: Callable[[str], list[Path]]) -> None:
    """14 slices of 4 mm below 14 of 7 mm."""
    assert len(assemble(real("dicom/ct_head_GE_gantrytilt.zip")).voxels) == 28


@pytest.mark.parametrize("modality", ["PT", "MR", "US"])
@pytest.mark.parametrize("intercept", [{}, {"RescaleIntercept": ""}], ids=["absent", "empty"])
def test_a_slope_alone_is_the_rescale_of_what_is_no_ct(modality: str, intercept: dict[str, Any], tmp_path: Path) -> None:
    """PET's intercept is always 0 (PS3.3 C.8.9.4), and that of others is where they do not say."""
    kinds = [{"Modality": modality, "RescaleSlope": 0.5, **intercept}] * 3
    assert [float(plane.max()) for plane in assemble(stack(tmp_path, *kinds)).voxels] == [0, 0.5, 1]


@pytest.mark.parametrize(("given", "absent"), [("RescaleSlope", "RescaleIntercept"), ("RescaleIntercept", "RescaleSlope")])
def test_half_a_rescale_is_refused(given: str, absent: str, tmp_path: Path) -> None:
    """Both are of type 1 where one is (PS3.3 C.11.1, C.8.2.1): a CT whose intercept is lost would be 1024 HU too bright."""
    kinds = [{"Modality": "CT", given: _CT[given]}] * 3
    with pytest.raises(MissingAttribute, match=f"has {given} and no {absent}"):
        assemble(stack(tmp_path, *kinds))


_ONE_AIR = np.random.default_rng(3).normal(-1000, 12, (24, 20)).round()
_ONE_BODY = np.where(np.hypot(*np.mgrid[-12:12, -10:10]) < 8, 1040, 0) + _ONE_AIR


def _hu(folder: Path, stored_at: list[int], said: list[int]) -> list[Path]:
    """A body in air of which each slice is stored in an intercept of its own; `said` is what its header says."""
    slices = []
    for number, (stored, intercept) in enumerate(zip(stored_at, said, strict=True)):
        pixels = np.maximum(np.roll(_ONE_BODY, number % 3, axis=0) - stored, 0).astype("u2")
        slices.append(one_instance(pixels, number, Modality="CT", RescaleSlope=1, RescaleIntercept=intercept))
    return [save(each, folder / f"{number}.dcm") for number, each in enumerate(slices)]


@pytest.mark.parametrize("intercepts", [[-1024, -1060, -1031, -1049, -1090, -1024], [-1024, -8192, -1024, -1024, -1024, -1024]])
def test_slices_of_intercepts_of_their_own_are_each_in_hu(intercepts: list[int], tmp_path: Path) -> None:
    """Scanners that rescale each slice by its own least value, with one slope: legal, and HU in each."""
    voxels = assemble(_hu(tmp_path, intercepts, intercepts)).voxels
    assert all(abs(float(np.median(plane[:3])) + 1000) < 15 for plane in voxels)
    assert all(abs(float(plane[12, 10]) - 40) < 60 for plane in voxels)


def test_tissue_that_changes_as_intercepts_do_is_none_that_lost_its_own(tmp_path: Path) -> None:
    """The last slice lies in a denser organ, by as many HU as its intercept is larger."""
    slices = [np.maximum(_ONE_BODY + 1024, 0), np.maximum(_ONE_BODY + 1024, 0), np.maximum(_ONE_BODY + 40 + 984, 0)]
    files = [
        save(one_instance(pixels.astype("u2"), number, Modality="CT", RescaleSlope=1, RescaleIntercept=said), tmp_path / f"{number}.dcm")
        for number, (pixels, said) in enumerate(zip(slices, (-1024, -1024, -984), strict=True))
    ]
    assert assemble(files).voxels.shape == (3, 24, 20)


@pytest.mark.parametrize("lost", [[0], [3], [5], [1, 2], [3, 4, 5]])
@pytest.mark.parametrize("intercepts", [[-1024] * 6, [-1024, -1060, -1031, -1049, -1090, -1024]])
def test_a_slice_whose_intercept_was_lost_is_named_by_its_values(lost: list[int], intercepts: list[int], tmp_path: Path) -> None:
    """Written anew with 0: what is stored is what it was."""
    said = [0 if number in lost else intercept for number, intercept in enumerate(intercepts)]
    with pytest.raises(MixedKinds, match=r"differ in RescaleIntercept .* values step as it does; apart: 1\.2\.3\.4\.\d"):
        assemble(_hu(tmp_path, intercepts, said))


@pytest.mark.parametrize("said", [{"RescaleSlope": 1}, {"RescaleIntercept": -1024}, {"RescaleSlope": 0, "RescaleIntercept": 0}])
def test_what_a_scout_says_of_its_values_is_nothing_to_the_slices(said: dict[str, Any], tmp_path: Path) -> None:
    """It is left out before anybody looks at it; whoever does look at it is told."""
    scout = one_instance(np.ones((9, 5), "u2"), 9, Modality="CT", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **said)
    beside = save(scout, tmp_path / "scout.dcm")
    assert assemble([*stack(tmp_path, _CT, _CT, _CT), beside]).voxels.shape == (3, 3, 4)
    with pytest.raises(MissingAttribute, match="Rescale"):
        decode(beside)
