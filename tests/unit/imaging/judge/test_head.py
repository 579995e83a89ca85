"""Applications that look in a brain and mark none: what could be brain has a head's form, and is no T1 where headers say nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.imaging.judge.errors import OtherAnatomy, OtherContrast
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.judge.judging import Judge
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti
from tests.lab.planted import LESIONS, head
from tests.unit.imaging.judge.made import volume_of

FLAIR = Expects(part=BodyPart.HEAD, contrast=Contrast.FLAIR)


def test_a_belly_with_silent_headers_is_declined(real: Callable[[str], list[Path]]) -> None:
    """A real MR of an abdomen, of which bright spots were listed before; also where the headers call it FLAIR."""
    (path,) = (path for path in real("labelled/ct_totalseg") if path.name == "example_mr_sm.nii.gz")
    belly = _volume(path)
    for headers in ((), (_flair(),)):
        with pytest.raises(OtherAnatomy, match=r"no counterpart on the other side; it is \d+ % as high as long"):
            Judge(FLAIR, belly, headers).before()


def test_a_long_body_is_declined() -> None:
    """Five times as wide as deep, as the frames of a probe in air are when they are called slices."""
    voxels = _long_body()
    with pytest.raises(OtherAnatomy, match="% as wide as long"):
        Judge(FLAIR, volume_of(voxels, (2.5,) * 3), ()).before()


def test_real_t1_and_flair_of_one_head_with_silent_headers(real: Callable[[str], list[Path]]) -> None:
    """FLAIR goes on, with a word; T1 with and without contrast medium is declined, but not where a header says that it is FLAIR, nor of a
    child whose brain is not myelinated."""
    paths = {path.name.split(".")[0]: path for path in real("labelled/glioma_fg6692")}
    flair = Judge(FLAIR, _volume(paths["fla"]), (Dataset(),)).before()
    assert [caution.sentence[:35] for caution in flair] == ["The images do not say how they were"]
    for name in ("t1", "t1c"):
        t1 = _volume(paths[name])
        with pytest.raises(OtherContrast, match="as on T1, not as on FLAIR"):
            Judge(FLAIR, t1, (Dataset(),)).before()
        assert Judge(FLAIR, t1, (_flair(),)).before() == ()
        assert Judge(FLAIR, replace(t1, patient_years=1), (Dataset(),)).before() != ()


@pytest.mark.parametrize("lesions", [(), LESIONS, (((10, 25, 28), (28, 26, 24)),)], ids=["none", "three", "a tumour"])
def test_heads_with_lesions_are_taken(lesions: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]) -> None:
    """Also one of three centimetres of radius."""
    assert Judge(FLAIR, head(*lesions), (_flair(),)).before() == ()


def test_applications_that_mark_a_brain_or_want_no_contrast_are_not_asked() -> None:
    """Noise is measured in whatever a head's series shows: nothing is searched there."""
    voxels = _long_body()
    assert Judge(Expects(part=BodyPart.HEAD), volume_of(voxels, (2.5,) * 3), ()).before() == ()


def _long_body() -> NDArray[np.int16]:
    voxels = np.random.default_rng(1).normal(10, 3, (90, 40, 90))
    voxels[10:80, 12:26, 6:84] += 300
    return voxels.astype(np.int16)


def _flair() -> Dataset:
    said = Dataset()
    said.EchoTime, said.RepetitionTime, said.InversionTime = "120", "9000", "2500"
    return said


def _volume(path: Path) -> Volume:
    voxels, affine = from_nifti(path)
    return replace(volume_of(voxels.astype(np.float32), (1.0,) * 3), affine=affine)
