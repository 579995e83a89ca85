"""The judge's model of T1 weighting is learned from drawn heads, and again from the same maps it is the same."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from inference.imaging.judge.weighting import signs_of
from training import t1_likeness
from training.t1_likeness import GRIDS, Weighting, drawn, learn, shares

OTHERS = (Weighting.T2, Weighting.NEGATIVE, Weighting.WATER_MAP)


@pytest.fixture(scope="module")
def labels() -> NDArray[np.intp]:
    """A head of spheres in labels of FreeSurfer: skin, skull, water, cortex, white matter, ventricle."""
    away = np.sqrt(np.sum(np.square(np.indices((120, 120, 120)) - 60.0), axis=0))
    made = np.zeros(away.shape, dtype=np.intp)
    for radius, label in ((57, 511), (53, 515), (50, 24), (47, 3), (42, 2), (12, 4)):
        made[away < radius] = label
    return made


def test_the_same_maps_give_the_same_model(labels: NDArray[np.intp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small learnings are equal to the last digit, and tell the heads apart that they were taught."""
    monkeypatch.setattr(t1_likeness, "DRAWN", 6)
    monkeypatch.setattr(t1_likeness, "GRIDS", GRIDS[:1])
    folder = tmp_path / t1_likeness.FOLDER
    folder.mkdir(parents=True)
    for name in t1_likeness.LEARNED:
        nibabel.save(nibabel.Nifti1Image(labels.astype(np.int16), np.eye(4)), folder / f"training_seg_{name}.nii.gz")
    model = learn(tmp_path)
    assert model.held() == learn(tmp_path).held()
    rng = np.random.default_rng(4)
    of = shares(labels, (3, 3, 3), np.zeros(3, dtype=np.intp))
    odds = {
        weighting: [model.log_odds(signs_of(*drawn(of, weighting, rng), of.spacing_mm) or {}) for _ in range(4)]
        for weighting in (Weighting.T1, *OTHERS)
    }
    assert min(odds[Weighting.T1]) > max(max(odds[other]) for other in OTHERS)


def test_shares_keep_every_voxel(labels: NDArray[np.intp]) -> None:
    """Of each block the shares of its tissues and of air are one; the volume within the skull is that of its sphere."""
    of = shares(labels, (5, 3, 2), np.array([1, 0, 2]))
    assert of.tissues.sum(axis=0).max() <= 1 + 1e-6
    assert of.inside.sum() * 30 == pytest.approx(4 / 3 * np.pi * 50**3, rel=0.01)
    assert of.tissues[:4].sum() == pytest.approx(float(of.inside.sum()), rel=1e-5)
