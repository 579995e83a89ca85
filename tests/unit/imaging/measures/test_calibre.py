"""Calibre: tubes whose diameters are known, on isotropic and oblique anisotropic grids; scikit-image's skeleton with SciPy's distances."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from inference.findings import Findings
from inference.imaging.measures.calibre import Calibre
from inference.imaging.measures.measuring import measured as measured_all
from inference.imaging.volume import Volume
from tests.unit.applications.bundle.images import volume
from tests.unit.imaging.measures.segments import refusal, results, segment

MEASURE = Calibre(segments=("vessel",))
ALONG = np.linspace(0, 1, 150)
LEANING_MM = np.stack([8 + 46 * ALONG, 14 + 12 * ALONG, 16 + 8 * ALONG], axis=1)
"""The middle line of a straight vessel of 48 mm, oblique to all axes."""


def tube(spacing: tuple[float, float, float], middle_mm: NDArray[np.float64], radii_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """All voxels of a grid of 62 × 40 × 40 mm (z, y, x) that lie in a ball around a place of the middle line."""
    shape = tuple(int(size / step) for size, step in zip((62, 40, 40), spacing, strict=True))
    places = np.stack(np.meshgrid(*(step * np.arange(size) for step, size in zip(spacing, shape, strict=True)), indexing="ij"), axis=-1)
    mask = np.zeros(shape, np.bool_)
    for middle, radius in zip(middle_mm, radii_mm, strict=True):
        mask |= ((places - middle) ** 2).sum(axis=-1) <= radius**2
    return mask


def measured(mask: NDArray[np.bool_], image: Volume) -> list[float]:
    """Least, mean and largest diameter."""
    found = results(MEASURE, image, segment("vessel", mask))
    assert [(one.name.value, one.derivation and one.derivation.value) for one in found] == [
        ("81827009", "255605001"),
        ("81827009", "373098007"),
        ("81827009", "56851009"),
    ]
    assert {(one.unit.value, one.method and one.method.value) for one in found} == {("mm", "CENTRELINE")}
    return [one.value for one in found]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.7, 0.9), (1.25, 0.8, 0.8)])
@pytest.mark.parametrize("narrowest_mm", [12.0, 8.0])
def test_a_vessel_has_the_diameters_that_it_was_made_with(spacing: tuple[float, float, float], narrowest_mm: float) -> None:
    """12 mm wide, and narrowed to 8 in its middle: the mean within 2 %, the least and the largest within a voxel."""
    radii = 6 - (6 - narrowest_mm / 2) * np.exp(-(((ALONG - 0.5) / 0.1) ** 2))
    mask = tube(spacing, LEANING_MM, radii)
    least, mean, largest = measured(mask, volume(np.zeros(mask.shape, np.int16), spacing, tilt=0.3))
    # of what is left without its ends, as long as the vessel is wide
    middle = (np.linspace(0, 48, 150) > 6) & (np.linspace(0, 48, 150) < 42)
    assert mean == pytest.approx(2 * radii[middle].mean(), rel=0.02)
    assert least == pytest.approx(narrowest_mm, abs=0.9)
    assert largest == pytest.approx(12, abs=0.9)


def test_a_bent_vessel_is_as_wide_as_a_straight_one() -> None:
    """Three quarters of a ring of 11 mm, 6 mm wide; scikit-image's skeleton and SciPy's distances, which lie half a voxel inside, agree."""
    turns = 1.5 * np.pi * ALONG
    ring = np.stack([np.full(150, 30.0), 20 + 11 * np.sin(turns), 20 + 11 * np.cos(turns)], axis=1)
    mask = tube((0.8, 0.8, 0.8), ring, np.full(150, 3.0))
    least, mean, largest = measured(mask, volume(np.zeros(mask.shape, np.int16), (0.8, 0.8, 0.8)))
    assert [least, mean, largest] == pytest.approx([6, 6, 6], abs=0.4)
    inside = distance_transform_edt(mask)[skeletonize(mask)] * 0.8
    assert mean == pytest.approx(2 * np.median(inside), abs=0.8)


def test_a_tilted_gantry_and_unequal_steps_change_nothing() -> None:
    """The same vessel on sheared slices, and on slices of which some lack: the mask lies otherwise, the calibre does not."""
    straight = volume(np.zeros((62, 40, 40), np.int16), (1.0, 1.0, 1.0))
    sheared = replace(straight, affine=straight.affine @ np.array([[1, 0, 0, 0], [0.25, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    kept = [*range(20), *range(20, 40, 2), *range(40, 62)]
    steps = np.array(kept) * (len(kept) - 1) / 61
    uneven = replace(
        straight, voxels=np.zeros((len(kept), 40, 40), np.int16), affine=straight.affine @ np.diag([61 / (len(kept) - 1), 1, 1, 1])
    )
    uneven = replace(uneven, steps=tuple(float(one) for one in steps))
    for image in (sheared, uneven):
        indices = np.moveaxis(np.indices(image.voxels.shape), 0, -1).astype(np.float64)
        places = straight.to_indices(image.to_patient(indices))
        mask = np.zeros(image.voxels.shape, np.bool_)
        for middle in LEANING_MM:
            mask |= ((places - middle) ** 2).sum(axis=-1) <= 5**2
        assert measured(mask, image) == pytest.approx([10, 10, 10], abs=0.5)


def test_what_is_no_tube_or_too_thin_has_no_calibre() -> None:
    """A ball, two vessels in one segment, one that leaves the images sideways, and one of two voxels: each is told with its reason."""
    image = volume(np.zeros((62, 40, 40), np.int16), (1.0, 1.0, 1.0))
    ball = tube((1.0, 1.0, 1.0), np.array([[30.0, 20, 20]]), np.array([9.0]))
    two = tube((1.0, 1.0, 1.0), np.stack([LEANING_MM[0], LEANING_MM[-1]]), np.array([3.0, 3.0]))
    sideways = tube((1.0, 1.0, 1.0), np.stack([np.full(150, 30.0), np.full(150, 20.0), 40 * ALONG], axis=1), np.full(150, 4.0))
    thin = np.zeros(image.voxels.shape, np.bool_)
    thin[5:55, 20:22, 20:22] = True
    told = "Not measured: the calibre, because "
    assert refusal(MEASURE, image, segment("vessel", ball)).startswith(told + "it is no tube")
    assert refusal(MEASURE, image, segment("vessel", two)) == told + "it lies in 2 parts."
    assert refusal(MEASURE, image, segment("vessel", sideways)) == told + "it reaches the border of the images."
    assert "mm across, less than three voxels, 3.0 mm." in refusal(MEASURE, image, segment("vessel", thin))


def test_a_lone_voxel_has_no_calibre() -> None:
    """What a network leaves of a vessel that is not there is told, and does not end the job."""
    image = volume(np.zeros((20, 20, 20), np.int16), (1.0, 1.0, 1.0))
    mask = np.zeros(image.voxels.shape, np.bool_)
    mask[5, 5, 5] = True
    assert refusal(MEASURE, image, segment("vessel", mask)).startswith("Not measured: the calibre, because it is no tube")


def test_of_a_vessel_whose_halves_meet_at_corners_of_voxels_nothing_is_told() -> None:
    """All but closed in its middle: the wide half alone would have no narrow place."""
    image = volume(np.zeros((60, 40, 40), np.int16), (2.0, 0.8, 0.8))
    y, x = np.mgrid[:40, :40]
    mask = np.zeros(image.voxels.shape, np.bool_)
    mask[5:28] = np.hypot(y - 15, x - 15) < 6
    for step in range(6):
        mask[28 + step, 15 + step, 15 + step] = True
    mask[34:55] = np.hypot(y - 21, x - 21) < 6
    assert refusal(MEASURE, image, segment("vessel", mask)).startswith("Not measured: the calibre, because it lies in ")


def test_of_a_narrow_place_in_a_wide_vessel_the_least_diameter_alone_is_left_out() -> None:
    """12 mm wide, 2 mm in its middle, voxels of 1 mm: mean and largest are told, and why the least is not."""
    radii = 6 - 5 * np.exp(-(((ALONG - 0.5) / 0.1) ** 2))
    mask = tube((1.0, 1.0, 1.0), LEANING_MM, radii)
    image = volume(np.zeros(mask.shape, np.int16), (1.0, 1.0, 1.0))
    found = measured_all((MEASURE,), image, (), Findings(segments=(segment("vessel", mask),)))
    assert [one.derivation and one.derivation.meaning for one in found.measurements] == ["Mean", "Maximum"]
    (remark,) = found.remarks
    assert str(remark).startswith("Not measured: the calibre, because its narrowest place is ")


def test_a_vessel_may_go_on_beyond_the_first_and_the_last_slice() -> None:
    """An aorta that the images cut across at both ends is as wide as it is."""
    along = np.stack([-20 + 110 * ALONG, np.full(150, 20.0), np.full(150, 20.0)], axis=1)
    mask = tube((1.0, 1.0, 1.0), along, np.full(150, 8.0))
    assert mask[0].any()
    assert mask[-1].any()
    assert measured(mask, volume(np.zeros(mask.shape, np.int16), (1.0, 1.0, 1.0))) == pytest.approx([16, 16, 16], abs=0.4)
