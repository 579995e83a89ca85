"""mr-deform: heads bent by a smooth warp that is known at every voxel, judged by arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from inference.applications.catalog import load
from inference.applications.declared import check_outputs
from inference.applications.mr_deform.application import LABEL, analyse
from inference.findings import Deformation, Findings
from inference.imaging.registration.demons import deform, resample_bent
from inference.imaging.registration.errors import NothingToRegister, NotTheSame
from inference.imaging.registration.field import MOST_FOLDED, folded, places_in_prior
from inference.imaging.subject import VolumeSet, pair_of
from inference.imaging.volume import Volume
from tests.unit.applications.test_mr_register import INFER, SHAPE, head, rigid

WARP_MM = 5.0


def bump(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) offsets in mm of a smooth warp: a hill of 25 mm width off the head's middle, and none at its outline."""
    away = (((places - (20.0, -10.0, 5.0)) / 25.0) ** 2).sum(axis=1)
    offsets: NDArray[np.float64] = WARP_MM * np.exp(-away / 2)[:, None] * np.array([0.7, -0.5, 0.51])
    return offsets


def in_head(current: Volume) -> NDArray[np.float64]:
    """Places (N, 3) of the head's voxels, mm, well within its ellipsoid."""
    places = current.to_patient(np.indices(SHAPE).reshape(3, -1).T.astype(np.float64))
    inner: NDArray[np.float64] = places[((places / (62, 52, 57)) ** 2).sum(axis=1) < 1]
    return inner


def bent_head() -> VolumeSet:
    """A head, moved and bent since the prior: the current volume shows at p what the prior shows where `true_place` says."""
    prior = head(3)
    places = prior.to_patient(np.indices(SHAPE).reshape(3, -1).T.astype(np.float64))
    there = prior.to_indices(true_place(places)).T
    voxels = ndimage.map_coordinates(prior.voxels.astype(np.float32), there, order=3, mode="constant").reshape(SHAPE)
    noisy = 1.2 * voxels + np.random.default_rng(5).normal(0, 10, SHAPE)
    current = replace(head(3, shape=SHAPE), voxels=np.clip(np.rint(noisy), 0, None).astype(np.int16), series_instance_uid="1.3.9")
    return pair_of(current=current, prior=replace(prior, frame_of_reference_uid="1.3.8", series_instance_uid="1.3.8"))


@pytest.fixture(scope="module")
def bent() -> VolumeSet:
    return bent_head()


MOTION = rigid((0, 0, 4), (5, -3, 0))
"""From the prior to the current visit, beside the bending."""


def true_place(places: NDArray[np.float64]) -> NDArray[np.float64]:
    back = np.linalg.inv(MOTION)
    there: NDArray[np.float64] = (places + bump(places)) @ back[:3, :3].T + back[:3, 3]
    return there


def error_mm(found: Deformation, places: NDArray[np.float64]) -> NDArray[np.float64]:
    away: NDArray[np.float64] = np.linalg.norm(places_in_prior(found, places) - true_place(places), axis=1)
    return away


def stiff(found: Deformation) -> Deformation:
    """The rigid motion alone."""
    return replace(found, offsets=np.zeros_like(found.offsets))


@pytest.fixture(scope="module")
def findings(bent: VolumeSet) -> Findings:
    return analyse(bent, INFER)


def deformation_of(findings: Findings) -> Deformation:
    assert findings.deformation is not None
    return findings.deformation


def test_a_made_warp_is_halved_against_the_rigid_motion_and_nothing_folds(bent: VolumeSet, findings: Findings) -> None:
    """Mean over the head of how far each place lies from where it belongs; the rigid motion is the one that was found in the same run."""
    found, places = deformation_of(findings), in_head(bent.reference)
    rigid_mm, bent_mm = error_mm(stiff(found), places).mean(), error_mm(found, places).mean()
    print(f"\nmr-deform: mean error {rigid_mm:.2f} mm rigid, {bent_mm:.2f} mm bent, {100 * folded(found):.3f} % of the cells folded")
    assert rigid_mm > 0.5
    assert bent_mm < rigid_mm / 2
    assert folded(found) <= MOST_FOLDED


def test_what_is_found_is_what_the_manifest_declares(bent: VolumeSet, findings: Findings) -> None:
    """The prior's images lie on the current grid, nearer to the current ones than without bending; the reader is told of it."""
    check_outputs(load("mr-deform"), findings, bent)
    (image,) = findings.derived
    assert (image.label, image.of_prior, image.voxels.shape) == (LABEL, True, SHAPE)
    assert "bent to fit the current images" in findings.remarks[0]
    assert "Read the original prior images" in findings.remarks[0]
    places = in_head(bent.reference)
    there = tuple(np.rint(bent.reference.to_indices(places)).astype(int).T)
    unbent = bent["prior"].to_indices(places_in_prior(stiff(deformation_of(findings)), places)).T
    before = ndimage.map_coordinates(bent["prior"].voxels.astype(np.float32), unbent, order=3)
    current = bent.reference.voxels[there] / 1.2
    assert np.abs(image.voxels[there] - current).mean() < 0.6 * np.abs(before - current).mean()


def test_equal_runs_give_equal_bytes(bent: VolumeSet, findings: Findings) -> None:
    """Whatever threads ITK would take."""
    again = deform(bent.reference, bent["prior"], deformation_of(findings).matrix)
    assert again.offsets.tobytes() == deformation_of(findings).offsets.tobytes()


def test_another_contrast_of_the_same_head_is_refused() -> None:
    """Grey values are bent onto their likes: what is dark in one and bright in the other would be pulled to a place where it is not.
    mr-register lays the two on each other (at least 1.08), and says that they resemble each other little."""
    current = head(3)
    turned = np.where(current.voxels > 100, 1400 - current.voxels, 0) + np.random.default_rng(8).normal(0, 200, SHAPE)
    prior = replace(current, voxels=np.clip(turned, 0, None).astype(np.int16), series_instance_uid="1.3.7")
    with pytest.raises(NotTheSame, match=r"information 1\.1\d\d, at least 1\.2 is needed"):
        analyse(pair_of(current=current, prior=prior), INFER)


def test_the_prior_reaches_half_a_voxel_beyond_the_middles_of_its_border() -> None:
    """A hundredth of a mm further than the middle of the first slice it is not black, as it is a voxel further; as mr-register has it."""
    prior = head(3)
    prior = replace(prior, voxels=prior.voxels + np.int16(100))
    still = Deformation(matrix=np.eye(4), offsets=np.zeros((2, 2, 2, 3), np.float32), affine=prior.affine)
    for shift_mm, seen in ((0.01, prior.voxels[0]), (4.0, np.full(SHAPE[1:], prior.voxels.min()))):
        matrix = np.eye(4)
        matrix[2, 3] = shift_mm
        first = resample_bent(prior, prior, replace(still, matrix=matrix))[0]
        assert np.abs(first - seen).max() <= 1


def test_another_head_and_an_empty_one_are_refused() -> None:
    """Bending would make one person of two."""
    with pytest.raises(NotTheSame):
        analyse(pair_of(current=head(3), prior=head(4)), INFER)
    with pytest.raises(NothingToRegister, match="every voxel has the same value"):
        deform(head(3), replace(head(3), voxels=np.zeros(SHAPE, np.int16)), np.eye(4))
    far = np.eye(4)
    far[:3, 3] = 900.0
    with pytest.raises(NothingToRegister, match="hardly overlap"):
        deform(head(3), head(3), far)
