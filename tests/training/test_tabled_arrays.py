"""A file of arrays as MedMNIST lays them out: its names, its own split, what its images are, and what is said of one that does not fit."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.applications.bundle.steps import ScaleIntensityRangePercentiles
from inference.imaging.volume import Volume
from training import recipes
from training.data.cases import Fold
from training.errors import OtherRun, UnfitData, UnfitSetting
from training.planning import Asked
from training.recipe import Recipe
from training.tabled.arrays import arrayed, labels_of_arrays
from training.tabled.plan import read
from training.tabled.studies import image_of

from .labelled_radiographs import spotted

COUNTS = {"train": 24, "val": 8, "test": 12}
Arrays = dict[str, NDArray[np.generic]]


def films(**changed: NDArray[np.generic]) -> Arrays:
    """Films with fine spots (class 1) or broad ones (class 0), in turn."""
    made: Arrays = {}
    seed = 0
    for name, count in COUNTS.items():
        pictures = [(spotted(seed + at, bool(at % 2)) // 16).astype(np.uint8) for at in range(count)]
        made[f"{name}_images"] = np.stack(pictures)
        made[f"{name}_labels"] = (np.arange(count, dtype=np.uint8) % 2)[:, None]
        seed += count
    return {**made, **changed}


def written(folder: Path, made: Mapping[str, NDArray[np.generic]], name: str = "spots.npz") -> Path:
    np.savez(folder / name, **made)  # type: ignore[arg-type]
    return folder / name


def begun(file: Path, run: Path, asked: Asked, told: list[str], seed: int = 0) -> Recipe:
    return recipes.begun("classification", file, run, seed, asked, told.append)


SPOTS = Asked(name="spots", labels=("broad", "fine"), modality="DX")


def test_the_split_of_the_file_is_kept_whatever_the_seed(tmp_path: Path) -> None:
    """Every image stands on the side of its array, with its own pixels and label; the plan says whose split it is; the run goes on."""
    made = films()
    file, told = written(tmp_path, made), list[str]()
    recipe = begun(file, tmp_path / "run", SPOTS, told)
    for seed in (0, 5):
        sides = recipe.sides(file, seed)
        for name, side in (("train", sides.train), ("val", sides.validation), ("test", sides.test)):
            assert len(side) == COUNTS[name]
            assert [case.labels for case in side] == [(not one, bool(one)) for one in made[f"{name}_labels"][:, 0]]
    np.testing.assert_array_equal(sides.test[3].load().subject.images[0].pixels, made["test_images"][3])
    assert told[-1].startswith("44 cases, DX: one of 2 classes, broad × 1, fine × 1;")
    assert told[-1].endswith("split AS THE FILE HAS IT; WHETHER TWO CASES ARE OF ONE PERSON, IT DOES NOT TELL")
    assert recipe.data.split.startswith("as the file has it")
    again = begun(file, tmp_path / "run", SPOTS, told)
    assert len(told) == 2, "planned once"
    assert [case.name for case in again.sides(file, 0).test] == [f"test {at}" for at in range(12)]
    with pytest.raises(UnfitData, match="bring one split along, and are not parted into folds"):
        recipes.folded(recipe, Fold(number=1, count=3)).sides(file, 0)
    written(tmp_path, films(test_labels=1 - made["test_labels"]))
    with pytest.raises(OtherRun, match=r"spots\.npz is not the table any more"):
        begun(file, tmp_path / "run", SPOTS, told)


def test_a_leak_across_the_split_costs_the_side_that_learns(tmp_path: Path) -> None:
    """A held-out film that also trains, as it is and nearly: it stays held out, the others go, and each is told."""
    made = films()
    train = made["train_images"].copy()
    train[4], train[6] = made["test_images"][2], np.clip(made["test_images"][8].astype(int) + 1, 0, 255).astype(np.uint8)
    told: list[str] = []
    file = written(tmp_path, {**made, "train_images": train})
    sides = begun(file, tmp_path / "run", SPOTS, told).sides(file, 0)
    assert len(sides.test) == COUNTS["test"]
    assert {case.name for case in sides.train} == {f"train {at}" for at in range(24)} - {"train 4", "train 6"}
    lines = {line.split("  ")[0]: line for line in told[0].splitlines()}
    assert lines["exact doubles"].endswith("test 2 = train 4")
    assert lines["of one group on two sides of the split"].split("  ")[-1].strip() == "train 6"


def test_findings_are_each_yes_or_no(tmp_path: Path) -> None:
    """Several columns are findings, of which some may be learned."""
    changed = {}
    for name, count in COUNTS.items():
        at = np.arange(count)
        changed[f"{name}_labels"] = np.stack([at % 2, at // 2 % 2, np.ones(count, int)], axis=1)
    file = written(tmp_path, films(**changed))
    table = labels_of_arrays(file, ("fine spots", "later", "always"), ("later", "fine spots"))
    assert not table.exclusive
    assert [code.meaning for code in table.channels] == ["later", "fine spots"]
    assert [line.labels for line in table.lines[:4]] == [(False, False), (False, True), (True, False), (True, True)]
    with pytest.raises(UnfitData, match=r'no image of side "test" is without "always".*leave it out with --target'):
        labels_of_arrays(file, ("fine spots", "later", "always"), ())
    with pytest.raises(UnfitSetting, match=r"--target soon: .*has fine spots, later, always"):
        labels_of_arrays(file, ("fine spots", "later", "always"), ("soon",))


def test_sets_of_medmnist_are_known_by_their_names(tmp_path: Path) -> None:
    """Whatever their size: what their numbers mean, and what their images are of."""
    file = written(tmp_path, films(), "PneumoniaMNIST_64.npz")
    table = labels_of_arrays(file, (), ())
    assert [code.meaning for code in table.channels] == ["normal", "pneumonia"]
    assert arrayed(file, table, None).modalities == ("DX",)
    assert [table.channels[at].meaning for at in table.answered] == ["pneumonia"]


def test_volumes_are_taken_as_they_lie_and_it_is_told(tmp_path: Path) -> None:
    """A volume of three axes keeps its voxels; of CT the values are no HU, and none are planned for."""
    rng = np.random.default_rng(3)
    made: Arrays = {}
    for name, count in COUNTS.items():
        labels = np.arange(count) % 2
        made[f"{name}_labels"] = labels[:, None].astype(np.uint8)
        made[f"{name}_images"] = (rng.integers(0, 120, (count, 20, 18, 16)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    told: list[str] = []
    file = written(tmp_path, made, "nodulemnist3d.npz")
    begun(file, tmp_path / "run", Asked(name="nodules"), told)
    table = labels_of_arrays(file, (), ())
    subject, image = image_of(arrayed(file, table, None).cases[2])
    assert isinstance(subject, Volume)
    np.testing.assert_array_equal(image.values, made["test_images"][2])
    assert "TAKEN SO" in told[0]
    assert "axes, taken as to the head" in told[0]
    plan = read(tmp_path / "run")
    assert plan is not None
    assert any(isinstance(step, ScaleIntensityRangePercentiles) for step in plan.manifest.prepare)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(modality="DX"), "numbers 2 classes and names none: say what each is, `--labels` and 2 names, 0 first"),
        (Asked(labels=("one", "two", "three"), modality="DX"), "--labels has 3 names, and "),
        (Asked(labels=("one", "One"), modality="DX"), "two classes have one name"),
        (Asked(labels=("one", "two")), "does not say what it holds images of"),
        (Asked(labels=("one", "two"), modality="CT"), "--modality CT, and it holds single images, which are"),
        (Asked(labels=("one", "two"), modality="DX", target=("one",)), "says of each image one class: all of them are learned"),
    ],
)
def test_what_a_file_does_not_say_is_asked(tmp_path: Path, asked: Asked, said: str) -> None:
    """A number is no name, and pixels tell no modality."""
    with pytest.raises(UnfitSetting) as refused:
        begun(written(tmp_path, films()), tmp_path / "run", asked, [])
    assert said in str(refused.value)


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Absent; labels for fewer images than there are; a class that is held out nowhere; a recipe of numbers."""
    with pytest.raises(UnfitData, match="cannot be read"):
        begun(tmp_path / "absent.npz", tmp_path / "run", SPOTS, [])
    with pytest.raises(UnfitData, match="val_labels is uint8 of shape"):
        begun(written(tmp_path, films(val_labels=np.zeros(3, np.uint8))), tmp_path / "run", SPOTS, [])
    with pytest.raises(UnfitData, match='no image of side "test" has "fine"'):
        begun(written(tmp_path, films(test_labels=np.zeros(12, np.uint8))), tmp_path / "run", SPOTS, [])
    with pytest.raises(UnfitSetting, match='recipe "regression" learns what a table says of a folder'):
        recipes.begun("regression", tmp_path / "spots.npz", tmp_path / "run", 0, SPOTS, list[str]().append)
