"""How radiographs are changed before a network learns from them, against MONAI, which moves an image by the same numbers."""

import numpy as np
import pytest
from monai.transforms.spatial.array import Affine

from training.augment import radiograph
from training.recipe import Example

SIDES = (24, 28)


def made(*shape: int) -> Example:
    return Example(image=np.random.default_rng(9).random(shape).astype(np.float32), target=np.ones(1, dtype=np.uint8))


@pytest.mark.parametrize("seed", [0, 1, 6])
def test_an_image_is_moved_as_monai_moves_it(seed: int) -> None:
    """Turned, scaled and shifted by what the seed draws; without contrast, which this seed leaves alone."""
    example, rng = made(1, *SIDES), np.random.default_rng(seed)
    assert rng.random() < 0.7
    turn, scale, shift = rng.uniform(-1, 1), rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 2)
    assert rng.random() >= 0.5
    monai = Affine(
        rotate_params=0.1 * turn,
        scale_params=(1 + 0.08 * scale).tolist(),
        translate_params=(1.5 * shift).tolist(),
        mode="bilinear",
        padding_mode="border",
        dtype=np.float64,
        image_only=True,
    )
    found = radiograph()(example, seed)
    np.testing.assert_allclose(found.image, np.asarray(monai(example.image.astype(np.float64))), atol=1e-6)
    assert np.abs(found.image - example.image).max() > 0.1
    assert found.target is example.target


def test_contrast_changes_between_the_darkest_and_the_brightest() -> None:
    """Of a strength that moves nothing the image stays; a gamma keeps its limits and the order of its values."""
    example, changed = made(1, *SIDES), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = radiograph()(example, seed).image
        still = radiograph(strength=0.0)(example, seed).image
        np.testing.assert_allclose(still, example.image, atol=1e-6)
        if rng.random() >= 0.7 and rng.random() < 0.5:
            changed += 1
            assert np.abs(found - example.image).max() > 0.005
            assert (found.min(), found.max()) == pytest.approx((example.image.min(), example.image.max()), abs=1e-6)
            assert np.array_equal(np.argsort(found.ravel()), np.argsort(example.image.ravel()))
    assert changed > 0


def test_slices_of_a_volume_move_alike() -> None:
    """Every channel and slice by the same numbers, each for itself."""
    flat = made(1, *SIDES)
    stacked = Example(image=np.broadcast_to(flat.image[:, None], (2, 3, *SIDES)).copy(), target=flat.target)
    for seed in range(6):
        found = radiograph()(stacked, seed).image
        assert found.shape == (2, 3, *SIDES)
        np.testing.assert_allclose(found, np.broadcast_to(radiograph()(flat, seed).image[:, None], found.shape), atol=1e-6)
