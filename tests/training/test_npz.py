"""Classification images from a .npz file: what is read, and what each broken file is told."""

from pathlib import Path

import numpy as np
import pytest

from training.data.npz import any_sides, sides
from training.errors import UnfitData


def arrays(**changed: np.ndarray) -> dict[str, np.ndarray]:
    """Twelve images of two classes, as MedMNIST lays them out: labels (N, 1)."""
    rng = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for name, count in (("train", 6), ("val", 2), ("test", 4)):
        made[f"{name}_images"] = rng.integers(0, 256, (count, 5, 7), dtype=np.uint8)
        made[f"{name}_labels"] = (np.arange(count, dtype=np.uint8) % 2)[:, None]
    return {**made, **changed}


def written(folder: Path, made: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "made.npz", **made)  # type: ignore[arg-type]
    return folder / "made.npz"


def test_the_file_own_split_is_kept(tmp_path: Path) -> None:
    """Each side has exactly the images of its arrays, labels flat, in their order; colour and flat labels are read as well."""
    made = arrays()
    read = sides(written(tmp_path, made))
    for name, side in (("train", read.train), ("val", read.validation), ("test", read.test)):
        assert np.array_equal(side.images, made[f"{name}_images"])
        assert side.labels.tolist() == made[f"{name}_labels"][:, 0].tolist()
    colour = {name: array[..., None].repeat(3, -1) if name.endswith("images") else array[:, 0] for name, array in made.items()}
    assert sides(written(tmp_path, colour)).test.images.shape == (4, 5, 7, 3)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"val_images": np.zeros((2, 5, 7), np.float32)}, r"val_images is float32 of shape \(2, 5, 7\), not uint8"),
        ({"val_images": np.zeros((0, 5, 7), np.uint8)}, r"val_images is uint8 of shape \(0, 5, 7\)"),
        ({"test_images": np.zeros((4, 9, 9), np.uint8)}, "images of different shapes"),
        ({"test_labels": np.zeros((3, 1), np.uint8)}, r"test_labels is uint8 of shape \(3, 1\), not a whole number for each of 4 images"),
        ({"test_labels": np.full((4, 1), 0.5)}, "test_labels is float64"),
        ({"train_labels": np.full((6, 1), -1)}, "holds -1; classes are counted from 0"),
        ({"test_labels": np.full((4, 1), 2)}, r"class 2 is not among the training labels \(0 to 1\)"),
        ({"train_labels": np.array([object()] * 6)}, "is no .npz file of arrays"),
        ({"train_images": np.zeros((6, 5, 7, 8), np.uint8)}, "images of different shapes"),
        ({"test_labels": np.ones((4, 2), np.uint8)}, "labels of different shapes"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, changed: dict[str, np.ndarray], told: str) -> None:
    """Each is refused with the array's name and what was expected; a pickled object is never loaded."""
    with pytest.raises(UnfitData, match=told):
        sides(written(tmp_path, arrays(**changed)))


def test_findings_and_volumes_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    """Several labels an image are 1 or 0; recipes for single images of one class are given neither these nor volumes."""
    made = arrays()
    several = {name: array.repeat(3, axis=1) if name.endswith("labels") else array for name, array in made.items()}
    assert any_sides(written(tmp_path, several)).test.labels.shape == (4, 3)
    with pytest.raises(UnfitData, match="not a whole number for each of 6 images"):
        sides(written(tmp_path, several))
    with pytest.raises(UnfitData, match="val_labels has several columns, each of which is a finding: 1 or 0, and not 2"):
        any_sides(written(tmp_path, {**several, "val_labels": several["val_labels"] * 2}))
    volumes = {name: array[..., None].repeat(9, -1) if name.endswith("images") else array for name, array in made.items()}
    assert any_sides(written(tmp_path, volumes)).train.images.shape == (6, 5, 7, 9)
    with pytest.raises(UnfitData, match="volumes, not single images"):
        sides(written(tmp_path, volumes))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Absent, of something else, cut short, or without one of the arrays."""
    with pytest.raises(UnfitData, match="No such file"):
        sides(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(UnfitData, match=r"is no \.npz file"):
        sides(tmp_path / "text.npz")
    whole = written(tmp_path, arrays())
    whole.write_bytes(whole.read_bytes()[:-50])
    with pytest.raises(UnfitData, match=r"is no \.npz file"):
        sides(whole)
    made = arrays()
    del made["val_labels"]
    with pytest.raises(UnfitData, match="has no array val_labels; it has: train_images"):
        sides(written(tmp_path, made))
    np.save(tmp_path / "one.npy", made["val_images"])
    with pytest.raises(UnfitData, match=r"one\.npy holds one array"):
        sides(tmp_path / "one.npy")
