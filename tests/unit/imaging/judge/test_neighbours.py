"""Slices that are missing between two neighbours are seen in them; a spoilt slice, thick ones and repeated ones are no gap."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference.imaging.judge.neighbours import widest_step
from tests.unit.imaging.judge.made import brain, volume_of

Voxels = NDArray[np.int16]


@pytest.fixture(scope="module")
def textured() -> Voxels:
    """A brain whose values change by as much over 10 mm as gyri do, with noise."""
    rng = np.random.default_rng(4)
    mask = brain()
    gyri = ndimage.gaussian_filter(rng.normal(0, 1, mask.shape), 4 / 2.5)
    noise = rng.normal(0, 20, mask.shape)
    return np.clip(np.where(mask, 800 + 250 * gyri / gyri.std(), 30) + noise, 0, None).astype(np.int16)


def step(voxels: Voxels, mask: NDArray[np.bool_]) -> float:
    return widest_step(volume_of(voxels, (2.5,) * 3), mask)


@pytest.mark.parametrize("missing", [5, 13])
def test_missing_slices_are_a_step(textured: Voxels, missing: int) -> None:
    """12 and 32 mm that are left out of the middle; the slices that are left say that they are neighbours."""
    kept = np.r_[:36, 36 + missing : 76]
    assert step(textured, brain()) < 1.2
    assert step(textured[kept], brain()[kept]) > 1.4


@pytest.mark.parametrize("gain", [1.1, 1.2, 1.5])
@pytest.mark.parametrize("noisy", [True, False])
def test_a_brighter_slab_is_no_step(textured: Voxels, gain: float, noisy: bool) -> None:
    """Slabs of a 3-D acquisition, and packages of 2-D slices, meet at a step of brightness; nothing is missing between them."""
    slabs = (textured if noisy else ndimage.gaussian_filter(textured, 1)).astype(np.float32)
    slabs[38:] *= gain
    assert step(slabs.astype(np.int16), brain()) < 1.2


def test_missing_slices_between_slabs_are_a_step(textured: Voxels) -> None:
    """A step of brightness hides nothing that is missing."""
    slabs = textured.astype(np.float32)
    slabs[38:] *= 1.2
    kept = np.r_[:32, 45:76]
    assert step(slabs.astype(np.int16)[kept], brain()[kept]) > 1.4


def test_a_spoilt_slice_is_no_step(textured: Voxels) -> None:
    """A slice in which a spin echo was lost is a third as bright, and differs from both neighbours alike."""
    spoilt = textured.copy()
    spoilt[40] //= 3
    assert step(spoilt, brain()) < 1.2


@pytest.mark.parametrize("times", [2, 3])
def test_repeated_slices_are_no_step(textured: Voxels, times: int) -> None:
    """Thick slices that a sender made thin by repeating them differ in every second or third pair."""
    thick = textured[::times]
    repeated = np.repeat(thick, times, axis=0)[: len(textured)]
    assert step(repeated, brain()) < 1.4


def test_a_few_slices_have_no_others_around_them(textured: Voxels) -> None:
    """Of four slices nothing can be said."""
    assert step(textured[38:42], brain()[38:42]) == 0
