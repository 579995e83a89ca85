"""Recipe super-resolution: thick slices are what they are said to be, the classical method is a rival, and what is exported is offered for
the levels at which it was ahead."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from inference.applications.mr_super_resolution.preparing import profile
from inference.engines.port import Tiles
from inference.engines.repository import Repository
from tests.training.made_lumps import lumps, tiny
from training import back_projection
from training.data.thick_slices import sides, thickened
from training.errors import UnfitData
from training.evaluation.restoration import psnr
from training.export import export
from training.progress import Silent
from training.ranks import Ranks
from training.recipes.super_resolution import LEVELS, PATCH, RECIPE, thick
from training.tasks.restoration import offered


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lumps of tissue."""
    return lumps(tmp_path_factory.mktemp("lumps"))


def test_the_profile_is_as_thick_as_it_is_said_to_be() -> None:
    """A Gaussian: half as much half a thickness away, a sixteenth a thickness away; evenness stays."""
    weights = profile(41, np.array([20.0]), 6.0)[0]
    assert weights[[17, 23, 14, 26]] / weights[20] == pytest.approx([1 / 2, 1 / 2, 1 / 16, 1 / 16])
    assert weights.sum() == pytest.approx(1)


def test_thick_slices_lie_in_the_middle_of_what_they_are_of(data: Path) -> None:
    """Of 32 slices, 7 of 5 mm, the clean 31 around them; the same noise for the same image; each is nearest to its own place."""
    one, two = (thickened(data / "test" / "four.nii.gz", 5) for _ in range(2))
    assert np.array_equal(one.volume.voxels, two.volume.voxels)
    assert one.volume.voxels.shape == (7, *one.clean.shape[1:])
    assert (len(one.clean), one.volume.thickness_mm, one.volume.spacing_mm[0]) == (31, 5.0, 5.0)
    for z, acquired in enumerate(one.volume.voxels[1:-1], 1):
        apart = [float(np.abs(acquired - other).mean()) for other in one.clean]
        assert abs(int(np.argmin(apart)) - 5 * z) <= 1


@pytest.mark.parametrize("voxel_mm", [0.92, 1.08])
@pytest.mark.parametrize("level", LEVELS)
def test_voxels_that_are_taken_fit_what_is_served(level: int, voxel_mm: float, tmp_path: Path) -> None:
    """Slices of 6 such voxels are no thicker than the application takes, and it makes as many of them as they were made of."""
    voxels = np.random.default_rng(0).integers(500, 900, (8, 8, 40)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([voxel_mm, voxel_mm, voxel_mm, 1])), tmp_path / "head.nii.gz")
    degraded = thickened(tmp_path / "head.nii.gz", level)
    assert back_projection.interpolated(degraded.volume).shape == degraded.clean.shape


@pytest.mark.parametrize("voxel_mm", [0.91, 1.09, 2.0])
def test_other_voxels_are_refused(data: Path, voxel_mm: float, tmp_path: Path) -> None:
    """Of 2 mm there is nothing to make thick slices of 3 mm from; of 0.91 mm, slices of six are none of 6 mm."""
    for side in ("train", "validation", "test"):
        (tmp_path / side).mkdir()
        image = nibabel.load(data / "test" / "four.nii.gz")
        nibabel.save(
            nibabel.Nifti1Image(np.asanyarray(image.dataobj), np.diag([voxel_mm, voxel_mm, voxel_mm, 1])),
            tmp_path / side / f"{side}.nii.gz",
        )
    with pytest.raises(UnfitData, match=rf"voxels of {voxel_mm:.2f} × {voxel_mm:.2f} × {voxel_mm:.2f} mm"):
        sides(tmp_path, (3,))


def test_the_rival_is_ahead_of_what_a_viewer_shows(data: Path) -> None:
    """Tuned back-projection beats linear interpolation on the case that it was not tuned on, and says how it was set for each level."""
    split = sides(data, (3, 5))
    tuned = back_projection.tuned(split.validation)
    assert str(tuned).startswith("3 mm: ")
    assert list(tuned.settings) == [3, 5]
    for case in split.test:
        degraded: Any = case.load()
        assert psnr(tuned.restore(degraded.volume), degraded).mean() > psnr(back_projection.interpolated(degraded.volume), degraded).mean()


def test_what_is_learned_from_lies_where_its_truth_lies(data: Path) -> None:
    """Where a slice was acquired, what the network sees is nearer to the truth there than to the truth of its neighbours."""
    split = sides(data, (3,))
    made = thick()(RECIPE.example(split.train[0].load()), 4)
    seen, place, true = made.image[0], made.image[-2, :, 0, 0], made.target[0]
    assert seen.shape == true.shape == PATCH
    acquired = [z for z in np.flatnonzero(place == 0) if 0 < z < PATCH[0] - 1]
    assert acquired
    for z in acquired:
        apart = [float(np.abs(seen[z] - true[z + beside]).mean()) for beside in (-1, 0, 1)]
        assert np.argmin(apart) == 1


def test_a_level_is_offered_where_both_leads_are_beyond_chance() -> None:
    """Not where one interval holds 0, not of another method, and not of all levels together."""

    def row(level: str, method: str, psnr_least: float, ssim_least: float) -> dict[str, Any]:
        return {"level": level, "method": method, "PSNR": {"ahead": [psnr_least, 9.0]}, "SSIM": {"ahead": [ssim_least, 1.0]}}

    rows = [row("3 mm", "CNN", 0.1, 0.001), row("4 mm", "CNN", 0.1, -0.001), row("5 mm", "CNN", -0.1, 0.1), row("6 mm", "other", 1, 1)]
    assert offered([*rows, row("all", "CNN", 1, 1)], "CNN") == ["3 mm"]


def test_the_models_entry_says_what_it_is_offered_for(data: Path, tmp_path: Path) -> None:
    """A small network, trained, evaluated and exported: hilum.json has the ranges of the offered levels, and the card tells them."""
    recipe = tiny()
    split, run = recipe.sides(data, 0), tmp_path / "run"
    recipe.fit(split, run, recipe.schedule, Ranks(), Silent())
    found = recipe.evaluate(split, run)
    # an hour's training would be needed to be ahead: that it is, is said in its place
    found["restoration"]["offered"] = ["5 mm"]
    (run / "evaluation.json").write_text(json.dumps(found))
    model = export(recipe, run, tmp_path / "models")
    assert Repository(tmp_path / "models").call_of(model) == Tiles(window=recipe.window, overlap=0.25, within=((4.5, 5.5),))
    assert "offered at 5 mm" in (tmp_path / "models" / model.name / "README.md").read_text()
    assert [row["method"] for row in found["restoration"]["levels"][:3]] == ["linear interpolation", "back-projection", "CNN"]
