"""b-values and directions in private elements alone: real images, vendors' blocks made by hand, and numbers of other creators."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.imaging.errors import FourDimensional, NotOneUnweighted
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume

from .conftest import as_a, one_instance, save

GE = "dicom/hard/ge_dwi_private_b_values.zip"
Mark = Callable[[Dataset, float], object]


def ge(dataset: Dataset, b: float) -> None:
    dataset.private_block(0x43, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [int(b) + (1_000_000_000 if b else 0), 8, 0, 0])


def siemens(dataset: Dataset, b: float) -> None:
    dataset.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b))


def philips(dataset: Dataset, b: float) -> None:
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", b)


def behind_another_block(dataset: Dataset, b: float) -> None:
    """The vendor's block is the second of its group: its elements have other numbers (PS3.5 7.8.1)."""
    dataset.private_block(0x43, "SOMEBODY ELSE", create=True).add_new(0x39, "IS", 7)
    ge(dataset, b)


def of_somebody_else(dataset: Dataset, b: float) -> None:
    dataset.private_block(0x43, "SOMEBODY ELSE", create=True).add_new(0x39, "IS", int(b))


def no_number(dataset: Dataset, b: float) -> None:
    dataset.private_block(0x43, "GEMS_PARM_01", create=True).add_new(0x39, "LO", f"b{b}")


def series(folder: Path, mark: Mark, *b_values: float) -> list[Path]:
    """Three places, an image of each b-value at each: image n at place p holds 100 n + p everywhere."""
    files = []
    for n, b in enumerate(b_values):
        for place in range(3):
            dataset = one_instance(np.full((3, 4), 100 * n + place, "u2"), place, SOPInstanceUID=f"1.2.3.4.{n}.{place}")
            mark(dataset, b)
            files.append(save(dataset, folder / f"{n}-{place}.dcm"))
    return files


def test_a_real_series_is_split_by_what_its_vendor_says(real: Callable[[str], list[Path]]) -> None:
    """Seven volumes of two slices: one at b 0, six directions at b 1000. Which images are at b 0 is told here by the element itself."""
    files = real(GE)
    unweighted = {
        str(one.SOPInstanceUID) for path in files if (one := dcmread(path, stop_before_pixels=True))[0x0043, 0x1039].value[0] == 0
    }
    assert len(unweighted) == 2
    made = subjects(Takes.VOLUME, "each", files)
    assert [one.part for one in made] == ["b 0 s/mm2", *(f"b 1000 s/mm2, direction {n} of 6" for n in range(1, 7))]
    assert {str(header.SOPInstanceUID) for header in made[0].headers} == unweighted
    (chosen,) = subjects(Takes.VOLUME, "b0", files)
    assert np.array_equal(as_a(Volume, chosen.subject).voxels, as_a(Volume, made[0].subject).voxels)
    assert (chosen.part, chosen.remarks) == (
        "b 0 s/mm2",
        ("Of 7 volumes the one without diffusion weighting (b 0) alone was looked at.",),
    )


def test_a_refusal_names_the_b_values_of_a_vendor(real: Callable[[str], list[Path]]) -> None:
    """b 0 is said to be among them, where its element is the vendor's own, and is not counted as a direction."""
    with pytest.raises(FourDimensional) as refused:
        subjects(Takes.VOLUME, "refuse", real(GE))
    assert str(refused.value).endswith(
        ": 2 b-values (b 0 s/mm2, b 1000 s/mm2; (0043,1039) of GEMS_PARM_01 and DiffusionBValue) "
        "and 6 gradient directions and images without one (DiffusionGradientOrientation)"
    )
    assert "at b 0" in refused.value.remedy


@pytest.mark.parametrize("mark", [ge, siemens, philips, behind_another_block])
def test_vendors_blocks(mark: Mark, tmp_path: Path) -> None:
    """By creator, wherever its block lies; GE's mark of computed images (1,000,000,000) is no part of the value."""
    made = subjects(Takes.VOLUME, "each", series(tmp_path, mark, 50, 0, 800))
    assert [one.part for one in made] == ["b 0 s/mm2", "b 50 s/mm2", "b 800 s/mm2"]
    assert [int(as_a(Volume, one.subject).voxels[0, 0, 0]) for one in made] == [100, 0, 200]


@pytest.mark.parametrize("mark", [of_somebody_else, no_number])
def test_what_another_creator_or_no_number_says_tells_nothing(mark: Mark, tmp_path: Path) -> None:
    """The number of a private element means nothing without its creator: the series stays unreadable, and nothing is guessed."""
    with pytest.raises(FourDimensional, match="no attribute tells them apart"):
        subjects(Takes.VOLUME, "each", series(tmp_path, mark, 0, 800))


@pytest.mark.parametrize(
    ("b_values", "said"), [((50, 800), "0 volumes at b 0, one is needed, among 2 b-values"), ((800,), "the series is one volume at b 800")]
)
def test_a_series_without_b_0_is_refused_where_that_is_needed(b_values: tuple[float, ...], said: str, tmp_path: Path) -> None:
    """Never the weakest of several in its place."""
    with pytest.raises(NotOneUnweighted, match=said):
        subjects(Takes.VOLUME, "b0", series(tmp_path, siemens, *b_values))


def test_b_0_is_found_beside_a_map_that_has_no_b_value(tmp_path: Path) -> None:
    """Images at b 0, weighted ones and the ADC map in one series, as scanners send them: what the map is lacks a b-value, and tells nothing
    of the others. The series is split by what the images are, and each volume says its b-value."""
    kinds = (("ORIGINAL", "NONE", 0), ("DERIVED", "TRACEW", 1000), ("DERIVED", "ADC", None))
    files = []
    for n, (origin, kind, b) in enumerate(kinds):
        for place in range(3):
            image = one_instance(np.full((3, 4), 100 * n + place, "u2"), place, SOPInstanceUID=f"1.2.3.4.{n}.{place}")
            image.ImageType = [origin, "PRIMARY", "DIFFUSION", kind]
            if b is not None:
                image.DiffusionBValue = b
            files.append(save(image, tmp_path / f"{n}-{place}.dcm"))
    made = subjects(Takes.VOLUME, "each", files)
    assert [one.part for one in made] == ["derived adc", "b 1000 s/mm2, derived tracew", "b 0 s/mm2, original none"]
    (chosen,) = subjects(Takes.VOLUME, "b0", files)
    assert as_a(Volume, chosen.subject).voxels[:, 0, 0].tolist() == [0, 1, 2]
    said = r"2 b-values and images without one \(b 0 s/mm2, b 1000 s/mm2; DiffusionBValue\) and 3 components"
    with pytest.raises(FourDimensional, match=said):
        subjects(Takes.VOLUME, "refuse", files)
    with pytest.raises(NotOneUnweighted, match="0 volumes at b 0"):
        subjects(Takes.VOLUME, "b0", files[3:])


@pytest.mark.parametrize("b_values", [(0,), ()])
def test_a_single_volume_that_is_not_weighted_is_taken(b_values: tuple[float, ...], tmp_path: Path) -> None:
    """One that says b 0, and one that says nothing: no diffusion series at all."""
    mark: Any = siemens if b_values else (lambda dataset, b: None)
    (made,) = subjects(Takes.VOLUME, "b0", series(tmp_path, mark, 0))
    assert (made.part, made.remarks) == ("", ())
