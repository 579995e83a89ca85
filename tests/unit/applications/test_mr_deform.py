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
from inference.imaging.registration import bending
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
    (derived,) = findings.derived
    assert (derived.label, derived.of_prior, derived.voxels.shape) == (LABEL, True, SHAPE)
    assert "bent to fit the current images" in findings.remarks[0]
    assert "Read the original prior images" in findings.remarks[0]
    assert "New lesions were not looked for" in findings.remarks[1]
    told = {one.name: one for one in findings.measurements}
    often, most = (f"{told[name].value:.1f} mm" for name in (bending.BENT_OFTEN, bending.BENT_MOST))
    assert f"by {often} or less in 95 % of the body and by {most} at most" in findings.remarks[0]
    assert [*told] == [*bending.CONCEPTS]
    # the hill of 5 mm, whose middle lies at 5 mm
    (image,) = told[bending.BENT_MOST].images
    assert abs(bent.reference.affine[2, 3] + 4 * image - 5) < 12
    assert 3.5 < told[bending.BENT_MOST].value < 6.5
    assert told[bending.LIKE_BENT].value > told[bending.LIKE_RIGID].value
    places = in_head(bent.reference)
    there = tuple(np.rint(bent.reference.to_indices(places)).astype(int).T)
    unbent = bent["prior"].to_indices(places_in_prior(stiff(deformation_of(findings)), places)).T
    before = ndimage.map_coordinates(bent["prior"].voxels.astype(np.float32), unbent, order=3)
    current = bent.reference.voxels[there] / 1.2
    assert np.abs(derived.voxels[there] - current).mean() < 0.6 * np.abs(before - current).mean()


def test_how_far_the_prior_was_bent_is_counted_node_by_node() -> None:
    """Of 1,000 voxels of a body, each of which is a node, 100 are bent by 3 mm and 4 mm, which is 5 mm, one of them by 6, the others by 1;
    what lies outside is bent far, and does not count. The one lies on slice 13, which its number names; none of the others names any."""
    now = head(3)
    body = np.zeros(SHAPE, dtype=np.bool_)
    body[10:20, 30:40, 30:40] = True
    offsets = np.full((*SHAPE, 3), 20.0, np.float32)
    offsets[body] = (1, 0, 0)
    offsets[15, 30:40, 30:40] = (3, 0, 4)
    offsets[13, 31, 32], offsets[15, 30, 30] = (0, 6, 0), (0, 1, 0)
    found = Deformation(matrix=np.eye(4), offsets=offsets, affine=now.affine)
    told = {one.name: one for one in bending.measurements(found, now, now, body)}
    assert told[bending.BENT_OFTEN].value == pytest.approx(5)
    assert told[bending.BENT_MOST].value == pytest.approx(6)
    assert told[bending.BENT_MOST].images == (13,)
    assert told[bending.BENT_SHARE].value == pytest.approx(10)
    assert {one.images for name, one in told.items() if name != bending.BENT_MOST} == {()}
    assert {name: one.unit for name, one in told.items()} == bending.CONCEPTS


def test_a_bending_that_fits_makes_the_two_alike() -> None:
    """The prior is the current head a voxel further to the left: offsets of one voxel lay one on the other. Where no node of the body is
    on the images of both, nothing is measured."""
    now = head(3)
    prior = replace(now, voxels=np.roll(now.voxels, 1, axis=2))
    offsets = np.zeros((*SHAPE, 3), np.float32)
    offsets[..., 0] = now.spacing_mm[2]
    found = Deformation(matrix=np.eye(4), offsets=offsets, affine=now.affine)
    told = {one.name: one.value for one in bending.measurements(found, now, prior, now.voxels > 100)}
    assert told[bending.LIKE_RIGID] < 0.99
    assert told[bending.LIKE_BENT] == pytest.approx(1)
    assert told[bending.FOLDED_SHARE] == 0
    assert not [*bending.measurements(replace(found, offsets=offsets + 900), now, prior, now.voxels > 100)]


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
