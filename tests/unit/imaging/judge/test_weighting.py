"""T1 is told from other weightings by how water, grey and white matter lie: in a made brain, and in a real one without headers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference.imaging.judge.coarse import coarse_of
from inference.imaging.judge.errors import OtherContrast
from inference.imaging.judge.expects import BodyPart, Contrast, Expects, Form, Marked
from inference.imaging.judge.judging import Judge
from inference.imaging.judge.weighting import FILE, learned, signs_of, weighting_doubts
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti
from tests.unit.imaging.judge.made import LABEL, brain, found, volume_of

HEAD = Expects(part=BodyPart.HEAD, contrast=Contrast.T1, marked=(Marked(segments=(LABEL,), form=Form.BRAIN),))
NOT_T1 = "water, grey and white matter in it are not dark and bright as on T1"
# white matter, grey matter, water
NOISE = 400
T1, T2, FLAIR, NEGATIVE = (900, 640, 180), (350, 500, 1000), (480, 640, 100), (150, 410, 870)


@pytest.fixture(scope="module")
def tissue() -> NDArray[np.intp]:
    """0 to 2 for white matter, cortex of 3 mm and water in sulci of 4 mm, down to 22 mm deep; -1 outside."""
    mask = brain()
    depth_mm = 2.5 * ndimage.distance_transform_edt(mask)
    field = ndimage.gaussian_filter(np.random.default_rng(8).normal(0, 1, mask.shape), 2.6)
    steep = np.sqrt(sum(np.square(np.asarray(slope)) for slope in np.gradient(field, 2.5)))
    off_water_mm = np.minimum(depth_mm, np.where(depth_mm < 22, np.abs(field) / steep, 99))
    return np.where(mask, (off_water_mm < 5).astype(np.intp) + (off_water_mm < 2), -1)


def painted(tissue: NDArray[np.intp], values: tuple[int, int, int]) -> NDArray[np.int16]:
    noise = np.random.default_rng(6).normal(0, 25, tissue.shape)
    return np.clip(np.where(tissue < 0, 30, np.array(values)[tissue]) + noise, 0, None).astype(np.int16)


def said(voxels: NDArray[np.int16], years: int | None = None) -> str:
    mask = brain()
    volume = volume_of(voxels, (2.5,) * 3, years=years)
    return " ".join(each.sentence for each in Judge(HEAD, volume, ()).after(found(volume, mask)).cautions)


def test_t1_is_taken_without_a_word(tissue: NDArray[np.intp]) -> None:
    """Also beside a coil that makes the back of the head five times as bright as its front, and in units of another scanner."""
    voxels = painted(tissue, T1)
    uneven = voxels * np.exp(1.6 * np.linspace(-0.5, 0.5, voxels.shape[1]))[None, :, None]
    assert said(voxels) == said(uneven.astype(np.int16)) == said(voxels // 4 + 7) == ""


@pytest.mark.parametrize("values", [T2, FLAIR, NEGATIVE], ids=["T2", "FLAIR", "negative"])
def test_other_weightings_are_declined(tissue: NDArray[np.intp], values: tuple[int, int, int]) -> None:
    """Where nothing but another weighting explains how water, grey and white matter lie."""
    with pytest.raises(OtherContrast, match=NOT_T1):
        said(painted(tissue, values))


def test_what_noise_may_have_made_is_told_and_not_declined(tissue: NDArray[np.intp]) -> None:
    """T1 in so much noise that it looks like another weighting: behind a median it is T1 again."""
    noise = np.random.default_rng(4).normal(0, NOISE, tissue.shape)
    noisy = np.abs(painted(tissue, T1) + noise * (tissue >= 0)).astype(np.int16)
    assert NOT_T1 in said(noisy)


def test_of_small_children_nothing_is_said(tissue: NDArray[np.intp]) -> None:
    """Before myelin has come, white matter is darker than grey matter on T1."""
    assert said(painted(tissue, FLAIR), years=1) == ""
    with pytest.raises(OtherContrast):
        said(painted(tissue, FLAIR), years=2)


def test_an_even_body_has_no_weighting() -> None:
    """Nothing is said of one value, nor of next to nothing."""
    mask = brain()
    assert signs_of(mask.astype(np.float32), mask, (2.5,) * 3) is None
    assert signs_of(mask.astype(np.float32), mask & (np.arange(76) < 10), (2.5,) * 3) is None


def test_a_real_head_with_a_tumour_whose_headers_say_nothing(real: Callable[[str], list[Path]]) -> None:
    """T1 is taken; T2 and FLAIR of the same head and grid are declined. What is marked is what is left of it without its skull."""
    paths = {path.name.split(".")[0]: path for path in real("labelled/glioma_fg6692")}
    volumes = {name: _volume(paths[name]) for name in ("t1", "t2", "fla")}
    mask = ndimage.binary_closing(volumes["t1"].voxels > 0, iterations=3)
    doubts = {name: weighting_doubts(coarse := coarse_of(volume), coarse.mask(mask), None) for name, volume in volumes.items()}
    assert {name: len(each) for name, each in doubts.items()} == {"t1": 0, "t2": 1, "fla": 1}
    assert all(doubt.impossible for each in doubts.values() for doubt in each)


def _volume(path: Path) -> Volume:
    voxels, affine = from_nifti(path)
    return replace(volume_of(voxels.astype(np.float32), (1.0,) * 3), affine=affine)


def test_the_model_is_a_few_kilobytes_of_text() -> None:
    """Every sign by its name, with what it is measured by and weighed with; read and written again it is the same."""
    assert FILE.stat().st_size < 8000
    model = learned()
    assert model.held() == type(model).of(model.held()).held()
    assert set(model.names) == set(signs_of(*_noise(), (3.0,) * 3) or ())


def _noise() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    mask = brain()
    return np.random.default_rng(2).normal(100, 20, mask.shape).astype(np.float32), mask
