"""mr-super-resolution without a model: where its slices lie, that nothing moves on the way to the network and back, what it refuses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.uid import MRImageStorage

from inference.applications.mr_super_resolution.application import APPLICATION, analyse
from inference.applications.mr_super_resolution.preparing import CHANNELS, WINDOW, OtherSlices, along, prepare, profile, shown
from inference.applications.offered import LevelNotOffered
from inference.engines.port import Ranges, Tiles
from inference.imaging.volume import SliceSource, Volume


def stack(apart_mm: float = 5.0, pixel_mm: float = 1.0, shape: tuple[int, int, int] = (9, 70, 66)) -> Volume:
    """Smooth lumps, in slices as thick as they lie apart."""
    axes = np.meshgrid(*(np.linspace(0, side, count) for side, count in zip((3.0, 5.0, 4.0), shape, strict=True)), indexing="ij")
    voxels = 500 + 200 * np.sin(axes[0]) * np.cos(axes[1]) + 150 * np.sin(axes[2])
    affine = np.diag([apart_mm, pixel_mm, pixel_mm, 1.0])[[2, 1, 0, 3]]
    affine[:3, 3] = (-30, -40, 12)
    return Volume(
        voxels=np.rint(voxels).astype(np.int16),
        affine=affine,
        sources=tuple(SliceSource(sop_instance_uid=f"1.{z + 1}", sop_class_uid=str(MRImageStorage)) for z in range(shape[0])),
        modality="MR",
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        frame_of_reference_uid="1.4",
        thickness_mm=apart_mm,
    )


class Network:
    """One that says a multiple of the image that it sees, in windows of the model's size."""

    def __init__(self, factor: float = 1.0, within: Ranges | None = None) -> None:
        self.factor, self.within = factor, within

    def __call__(self, model: Any, tensors: Any) -> Any:
        seen = tensors["INPUT__0"]
        assert seen.shape[1:] == (CHANNELS, *WINDOW)
        return {"OUTPUT__0": (self.factor * seen[:, :1]).astype(np.float32)}

    def at_once(self, model: Any) -> int:
        return 1

    def call_of(self, model: Any) -> Tiles:
        return Tiles(window=WINDOW, overlap=0.25, within=self.within)


@pytest.mark.parametrize(("apart_mm", "steps"), [(2.5, 3), (3.0, 3), (4.8, 5), (6.5, 7)])
def test_every_acquired_slice_keeps_its_place(apart_mm: float, steps: int) -> None:
    """With a network that changes nothing, thick slices of the result, in their places, are those that came; between them new ones lie."""
    volume = stack(apart_mm)
    (image,) = analyse(volume, Network()).derived
    assert image.affine is not None
    assert image.voxels.shape == ((len(volume.voxels) - 1) * steps + 1, *volume.voxels.shape[1:])
    again = along(profile(len(image.voxels), steps * np.arange(len(volume.voxels), dtype=np.float64), steps), image.voxels)
    np.testing.assert_allclose(again, volume.voxels, rtol=1e-6, atol=4)
    for z in range(len(volume.voxels)):
        assert image.affine @ (steps * z, 3, 4, 1) == pytest.approx(volume.affine @ (z, 3, 4, 1))


@pytest.mark.parametrize("pixel_mm", [0.5, 1.0, 1.25])
def test_what_the_network_changes_lies_where_it_saw_it(pixel_mm: float) -> None:
    """Twice what it sees is twice the image, on the pixels that came, whatever their size."""
    volume = stack(pixel_mm=pixel_mm)
    (plain,), (double,) = (analyse(volume, Network(factor)).derived for factor in (1.0, 2.0))
    assert plain.voxels.shape == double.voxels.shape == (41, *volume.voxels.shape[1:])
    inside = (slice(None), slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(double.voxels[inside], 2 * plain.voxels[inside], rtol=0.01, atol=2)


def test_it_sees_the_acquired_slices_around_each_made_one() -> None:
    """Three on either side, the last one again beyond the ends; where between the middle two it lies; the thickness in steps of a sixth."""
    acquired = np.arange(5, dtype=np.float32)[:, None, None]
    made = (np.arange(21)[:, None, None] / 5).astype(np.float32)
    seen = shown(made, acquired, 5, 4.5)[:, :, 0, 0]
    assert seen[:, 0] == pytest.approx([0, 0, 0, 0, 1, 2, 3, 0, 0.75])
    assert seen[:, 12] == pytest.approx([2.4, 0, 1, 2, 3, 4, 4, 0.4, 0.75])
    assert seen[:, 20] == pytest.approx([4, 2, 3, 4, 4, 4, 4, 0, 0.75])


def test_other_slices_are_refused() -> None:
    """Thin and thick ones, those with gaps, those that overlap and those that do not say it, small and large pixels."""
    gaps, overlapping = replace(stack(), thickness_mm=3.0), replace(stack(), thickness_mm=8.0)
    for unfit, why in (
        (stack(1.0), "1.00 mm apart; 2.5 to 6.5 mm are taken"),
        (stack(8.0), "8.00 mm apart"),
        (gaps, "3.00 mm thick and lie 5.00 mm apart"),
        (overlapping, "8.00 mm thick"),
        (replace(stack(), thickness_mm=None), "do not say how thick they are"),
        (stack(pixel_mm=0.3), "measure 0.30 × 0.30 mm; 0.4 to 1.3 mm"),
        (stack(pixel_mm=2.0), "measure 2.00"),
    ):
        with pytest.raises(OtherSlices, match=why):
            prepare(unfit)


@pytest.mark.parametrize(("apart_mm", "thickness_mm"), [(2.5, 2.5), (3.5, 3.5), (4.0, 3.0), (6.5, 6.5)])
@pytest.mark.parametrize("off", [-1e-6, 1e-6])
def test_a_bound_is_not_missed_by_what_decimals_are_rounded_by(apart_mm: float, thickness_mm: float, off: float) -> None:
    """Oblique slices come out as 2.4999996 mm apart: they are taken, made into as many, and offered, as those of 2.5 mm."""
    volume = replace(stack(apart_mm, shape=(6, 66, 64)), thickness_mm=thickness_mm)
    moved = replace(volume, affine=volume.affine * [1 + off, 1, 1, 1])
    assert prepare(moved).steps == prepare(volume).steps
    assert analyse(moved, Network(within=((2.5, 2.7), (3.5, 4.0), (6.3, 6.5)))).derived


def test_a_level_that_the_model_is_not_offered_for_is_declined() -> None:
    """By what its entry in the repository says, not by code: between two ranges, and with none at all."""
    offered = Network(within=((2.5, 3.5), (5.5, 6.5)))
    assert analyse(stack(3.0), offered).derived
    for within in (((2.5, 3.5), (5.5, 6.5)), ()):
        with pytest.raises(LevelNotOffered, match=r"slices of 5\.0 mm: at this level .* was not ahead of a tuned classical method"):
            analyse(stack(5.0), Network(within=within))


def test_what_is_said_of_it() -> None:
    """That the slices were not acquired, in the label, which every series description has, and in both remarks."""
    findings = analyse(stack(), Network())
    assert "not acquired" in findings.derived[0].label
    assert [output.label for output in APPLICATION.outputs if hasattr(output, "label")] == [findings.derived[0].label]
    assert findings.remarks == (
        "Slices of 5.0 mm were made into slices 1.00 mm apart by a neural network: they were not acquired.",
        "Small things may be invented or lost between the acquired slices: read the original images, never these alone.",
    )
