"""How a network for a user's own structures is planned, by arithmetic done by hand; its parts, and the baseline it has to beat."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.applications.bundle.errors import BrokenManifest
from inference.applications.bundle.steps import NormalizeIntensity, ScaleIntensityRange, Spacing
from inference.applications.port import ModelRef
from inference.codes import LESION, MORPHOLOGICALLY_ABNORMAL_STRUCTURE
from training import recipes
from training.augment import ABSENT_SHARE, cut, lacking
from training.baselines import Bands
from training.data.dicom import Segment
from training.data.outlined import Roles
from training.errors import BrokenRun, OtherRun, UnfitData, UnfitSetting
from training.planning import Asked, Facts, Plan, planned, read, told, write
from training.recipe import Example

from .studies import write_studies, write_study

SEGMENT = Segment(number=1, label="Lesion", type=LESION, category=MORPHOLOGICALLY_ABNORMAL_STRUCTURE)


def plan(*seen: Facts, modality: str = "CT", **asked: Any) -> Plan:
    return planned(seen, [SEGMENT], modality, Asked(**asked), series=len(seen), patients=len(seen), seed=0, training="")


def facts(spacing: tuple[float, float, float], shape: tuple[int, int, int], grey: tuple[float, ...] = (0.0, 100.0)) -> Facts:
    return Facts(spacing_mm=spacing, shape=shape, grey=np.array(grey, dtype=np.float32))


def spacing_of(made: Plan) -> tuple[float, float, float]:
    step = made.manifest.prepare[1]
    assert isinstance(step, Spacing)
    return step.pixdim


def test_spacing_and_window_are_those_of_the_median_series() -> None:
    """Axis by axis; the window is a multiple of eight, at least 16 and at most 64."""
    made = plan(facts((5, 1, 1), (10, 60, 200)), facts((4, 0.8, 1), (10, 60, 200)), facts((2, 0.7, 1.2), (20, 60, 200)))
    assert spacing_of(made) == (4, 0.8, 1)
    assert made.window == (16, 64, 64)


def test_a_large_series_is_seen_coarser() -> None:
    """1024 × 512 × 512 voxels are sixteen times what is computed: each axis is coarser by the cube root of 16."""
    assert spacing_of(plan(facts((1, 1, 1), (1024, 512, 512)))) == (2.52, 2.52, 2.52)


def test_grey_values_by_modality() -> None:
    """CT: around what is labelled, at least 400 HU wide; MR has no unit, and is taken by mean and deviation. No labels at all: refused."""
    step = plan(facts((1, 1, 1), (20, 20, 20), (0.0, 100.0))).manifest.prepare[2]
    assert isinstance(step, ScaleIntensityRange)
    # the percentiles 0.5 and 99.5 of 0 and 100 are 0.5 and 99.5
    assert (step.a_min, step.a_max, step.clip) == (-150, 250, True)
    assert plan(facts((1, 1, 1), (20, 20, 20)), modality="MR").manifest.prepare[2] == NormalizeIntensity()
    with pytest.raises(UnfitData, match="no voxel of the training patients is labelled"):
        plan(facts((1, 1, 1), (20, 20, 20), ()))


def test_what_is_asked_for_decides(tmp_path: Path) -> None:
    """And is kept with the plan: read back, it is the same."""
    made = plan(facts((1, 1, 1), (99, 99, 99)), name="my-model", spacing_mm=(3.0, 2.0, 2.0), window=(24, 96, 96), labels=("Lesion",))
    assert (spacing_of(made), made.window) == ((3, 2, 2), (24, 96, 96))
    assert made.manifest.model.name == "my_model"
    write(made, tmp_path)
    assert read(tmp_path) == made
    with pytest.raises(OtherRun, match="was planned with"):
        recipes.begun("segmentation", tmp_path, tmp_path, 0, replace(made.asked, window=None), print)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(BrokenRun, match="is no plan"):
        recipes.load("segmentation", tmp_path)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"window": (20, 64, 64)}, "multiples of 8 from 16 to 512"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, r"--spacing 0 × 1 × 1: 0\.05 to 50 mm"),
        ({"name": "My Model"}, "no name for an application"),
    ],
)
def test_settings_that_fit_nothing(asked: dict[str, Any], told: str) -> None:
    """Refused before anything is computed, with what would fit."""
    with pytest.raises(UnfitSetting, match=told):
        plan(facts((1, 1, 1), (99, 99, 99)), **asked)


def test_settings_of_another_recipe(tmp_path: Path) -> None:
    """The hippocampus recipe knows its labels and its window: it does not ignore in silence what it is given."""
    with pytest.raises(UnfitSetting, match="takes no labels or window"):
        recipes.begun("hippocampus", tmp_path, tmp_path, 0, Asked(labels=("Lesion",), window=(64, 64, 64)), print)
    with pytest.raises(UnfitSetting, match='"mr-brain" is an application of hilum already'):
        recipes.begun("segmentation", tmp_path, tmp_path, 0, Asked(name="mr-brain"), print)
    with pytest.raises(BrokenRun, match="holds no plan"):
        recipes.load("segmentation", tmp_path)


def test_parts_hold_what_they_are_cut_around() -> None:
    """The same seed gives the same part; two thirds of the parts hold a voxel that is one of a thousand; small images are filled evenly."""
    target = np.zeros((1, 30, 30, 4), dtype=np.uint8)
    target[0, 3, 25, 2] = 1
    example = Example(image=np.random.default_rng(0).normal(5, 1, (1, 30, 30, 4)).astype(np.float32), target=target)
    parts = [cut(example, (8, 8, 8), seed) for seed in range(300)]
    assert np.array_equal(parts[7].image, cut(example, (8, 8, 8), 7).image)
    assert 0.6 < np.mean([part.target.any() for part in parts]) < 0.85
    for part in parts:
        assert part.image.shape == (1, 8, 8, 8)
        assert part.image[..., 2:6].all()
        assert not part.image[..., :2].any()
        assert not part.image[..., 6:].any()


def test_bands_answer_by_intensity_alone() -> None:
    """Each voxel of a window gets the scores of the bin that its value is in."""
    bands = Bands(np.array([0.0, 1.0], dtype=np.float32), np.array([[1, 1, 1], [0, 2, 0]], dtype=np.float32))
    answer = bands(ModelRef(name="any", version=1), {"INPUT__0": np.array([[[[[-1.0, 0.5, 3.0]]]]], dtype=np.float32)})["OUTPUT__0"]
    assert answer.shape == (1, 2, 1, 1, 3)
    assert answer.argmax(axis=1).ravel().tolist() == [0, 1, 0]


def test_a_plan_is_for_the_cases_that_it_saw(tmp_path: Path) -> None:
    """Killed before the first checkpoint and begun again with another seed, or with a study more: refused, as the plan would have seen
    cases that are held out now; with the same it goes on, and says nothing anew."""
    told: list[str] = []
    data = write_studies(tmp_path / "data", 4)
    asked = Asked(window=(16, 16, 16))
    begun = partial(recipes.begun, "segmentation", data, tmp_path / "run")
    begun(3, asked, told.append)
    assert len(told) == 1
    again = begun(3, asked, told.append).sides(data, 3)
    assert len((*again.train, *again.validation, *again.test)) == 4
    assert len(told) == 1
    with pytest.raises(OtherRun, match="of seed 3; those of seed 4"):
        begun(4, asked, told.append)
    write_study(data, 9)
    with pytest.raises(OtherRun, match=r"those of seed 3 in .* are others"):
        begun(3, asked, told.append)


def test_roles_are_kept_with_those_that_may_be_missing(tmp_path: Path) -> None:
    """The plan comes back as it was written, and says in words what a study may lack; a first role that may is refused, as nothing would
    lie on it."""
    seen = [facts((2, 1, 1), (20, 40, 40))]
    roles = Roles(names=("FLAIR", "T1c"), optional=("T1c",))
    made = planned(
        seen, [SEGMENT], "MR", Asked(roles=roles.names, optional=roles.optional), series=1, patients=1, seed=0, training="", roles=roles
    )
    write(made, tmp_path)
    assert read(tmp_path) == made
    assert "FLAIR, T1c (may be missing); " in told(made)
    content = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text(content.replace('"optional": [\n      "T1c"', '"optional": [\n      "FLAIR"'))
    with pytest.raises(BrokenManifest, match="and not the first"):
        read(tmp_path)


def test_a_channel_that_may_be_missing_is_left_out_now_and_then() -> None:
    """In about the share that is said, whole, the same for a seed; the others never."""
    shown = Example(image=np.ones((3, 2, 2, 2), dtype=np.float32), target=np.zeros((1, 2, 2, 2), dtype=np.uint8))
    augment = lacking([1], lambda: lambda example, seed: example)()
    seen = np.stack([augment(shown, seed).image.reshape(3, -1) for seed in range(400)])
    gone = (seen == 0).all(axis=2)
    assert not gone[:, [0, 2]].any()
    assert seen[:, 1].std(axis=1).max() == 0, "a channel is left out whole"
    assert abs(gone[:, 1].mean() - ABSENT_SHARE) < 4 * np.sqrt(ABSENT_SHARE * (1 - ABSENT_SHARE) / 400)
    assert shown.image.all(), "what was given is as it was"
    np.testing.assert_array_equal(augment(shown, 7).image, augment(shown, 7).image)
