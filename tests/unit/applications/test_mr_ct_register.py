"""mr-ct-register: an MR of a made body laid on a CT of it, whose motion is known to the last digit."""

from datetime import timedelta

import numpy as np
import pytest

from inference.applications.accept import check
from inference.applications.catalog import load
from inference.applications.declared import check_outputs
from inference.applications.errors import NotAccepted
from inference.applications.mr_ct_register.application import analyse
from inference.imaging.errors import UnfitPrior
from inference.imaging.registration.errors import NotTheSame
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume
from node.domain.route import Condition, ConditionOperator, RoleConditions, Route
from node.routing.roles import unknown_roles
from tests.unit.applications.test_ct_register import STEP_MM, STILL, error_mm, found, trunk
from tests.unit.applications.test_mr_register import INFER, rigid

TRUE = rigid((5, -4, 9), (12, -9, 15))
"""From the MR to the CT."""


def both(ct: Volume, mr: Volume) -> VolumeSet:
    return VolumeSet(volumes={"CT": ct, "MR": mr}, priors=("MR",))


@pytest.mark.slow
def test_an_earlier_mr_is_laid_on_a_ct_as_the_manifest_declares() -> None:
    """To less than a voxel at the corners of the body's box, and its images lie on the grid of the CT with their own grey values: dark
    where the CT shows bone."""
    pair = both(trunk(1, STILL), trunk(1, np.linalg.inv(TRUE).astype(np.float64), ct=False))
    application = load("mr-ct-register")
    assert check(application, pair) == ()
    said = analyse(pair, INFER)
    check_outputs(application, said, pair)
    away = error_mm(found(said), TRUE)
    print(f"\nmr-ct-register: {away:.2f} mm at the corners of a made body in voxels of {STEP_MM:g} mm")
    assert away < STEP_MM
    (image,) = said.derived
    ct = pair.reference.voxels
    assert image.of_prior
    assert image.voxels.shape == ct.shape
    # a fifth of a bone's voxels are its rim
    assert np.median(image.voxels[(ct > 450) & (ct < 600)]) < 0.5 * np.median(image.voxels[(ct > 0) & (ct < 80)])
    assert "The prior was moved by" in said.remarks[0]


@pytest.mark.slow
def test_another_persons_mr_is_refused() -> None:
    """With the bound of MR on CT, which is less than that of CT on CT."""
    with pytest.raises(NotTheSame, match=r"prior series 1\.2\.0 does not fit series 1\.1\.0 .* at least 1\.1 is needed"):
        analyse(both(trunk(1, STILL), trunk(2, STILL, ct=False)), INFER)


def test_each_role_takes_its_own_modality() -> None:
    """A CT for the MR is no prior that fits; an MR for the CT is none of the application's."""
    ct, mr = trunk(1, STILL), trunk(1, STILL, ct=False)
    with pytest.raises(UnfitPrior, match="the MR: modality is CT"):
        check(load("mr-ct-register"), both(ct, ct))
    with pytest.raises(NotAccepted, match="modality is MR"):
        check(load("mr-ct-register"), both(mr, mr))


def asked(name: str, modality: str = "", within: timedelta | None = None) -> RoleConditions:
    when = (Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=(modality,)),) if modality else ()
    return RoleConditions(name=name, when=when, within=within)


@pytest.mark.parametrize(
    ("roles", "wrong"),
    [
        ((asked("CT", "CT"), asked("MR", "MR", timedelta(days=90))), []),
        ((asked("CT", "CT"), asked("MR", within=timedelta(days=90))), ["no conditions; every series would do"]),
        ((asked("CT", "CT"),), ["mr-ct-register needs MR too, which the route does not say"]),
    ],
    ids=["both are said", "how old the MR is alone", "the CT alone"],
)
def test_a_route_says_of_both_what_they_are(roles: tuple[RoleConditions, ...], wrong: list[str]) -> None:
    """The conditions of the CT would never hold of an MR."""
    route = Route(name="planning", run=("mr-ct-register",), send=("archive",), roles=roles)
    assert unknown_roles(route, load("mr-ct-register")) == wrong
