"""Roles of several volumes that are analysed together: which there are, how one is brought onto the reference's grid, what is refused.

A volume in the reference's frame of reference lies where its headers say. One in another frame, or in none, is registered rigidly, as far
as its role allows; a registration that goes further is refused with its figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.imaging.errors import MovedTooFar, NotInOneFrame, OutOfReach
from inference.imaging.registration.motion import extent, fit_of, refuse_unlike
from inference.imaging.regrid import straightened
from inference.imaging.resample import Grid, Interpolation, resample
from inference.imaging.subject import CURRENT, PRIOR, VolumeSet
from inference.imaging.volume import Affine, Volume
from inference.translatable import Translatable, say

LEAST_COVERED, GOOD_COVERED = 0.5, 0.95
"""Share of the reference's images that a volume has to cover to be analysed with it, and that is not worth a word."""
_SAME_PLACE = 1e-3
"""Voxels by which grids may differ and still be the same."""
_LATTICE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RigidMotion:
    """How far a registration may bring a volume: the way of its middle in mm, and its turn in degrees. `always`: also within one frame of
    reference, as a patient moves from one series to the next."""

    max_mm: float
    max_degrees: float
    always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePlace:
    """One role, and where its volume has to lie.

    Attributes
    ----------
    name
        What the manifest calls it ("T1", "ADC").
    optional
        Without it the analysis is made all the same.
    prior_of
        The role of which it is the newest earlier series of the patient; "" of a series of the study itself.
    motion
        How far a volume of another frame of reference may be moved; None: it has to lie in the reference's.
    own_grid
        The application gets it on its own grid: with a motion brought to where the reference lies, else in its own patient coordinates,
        wherever that is.
    """

    name: str
    optional: bool = False
    prior_of: str = ""
    motion: RigidMotion | None = None
    own_grid: bool = False


PAIR_PLACES = (RolePlace(name=CURRENT), RolePlace(name=PRIOR, prior_of=CURRENT, own_grid=True))
"""A series with its prior."""


def motion_onto(reference: Volume, moving: Volume, place: RolePlace) -> tuple[Affine, tuple[Translatable, ...]]:
    """Where a volume lies in the reference's patient coordinates, and what a reader has to know of it.

    Raises
    ------
    NotInOneFrame
        It is of another frame of reference, and its role allows no registration, or it or the reference is neither CT nor MR.
    MovedTooFar
        The registration goes further than its role allows.
    NotTheSame, NothingToRegister
        It fits nowhere on the reference.
    OutOfReach
        It covers less than half of the reference's images.
    """
    one_frame = moving.frame_of_reference_uid == reference.frame_of_reference_uid != ""
    if not one_frame and place.motion is None:
        raise NotInOneFrame(
            f"{place.name}, series {moving.series_instance_uid}, is of another frame of reference than series "
            f"{reference.series_instance_uid}, and nothing is registered for this role"
        )
    matrix, said = np.eye(4), tuple[Translatable, ...]()
    if place.motion is not None and (not one_frame or place.motion.always):
        matrix, said = _registered(reference, moving, place.name, place.motion)
    covered = _covered(reference, moving, matrix)
    if covered < LEAST_COVERED:
        raise OutOfReach(
            f"{place.name}, series {moving.series_instance_uid}, covers {100 * covered:.0f} % of the images of series "
            f"{reference.series_instance_uid}, at least {100 * LEAST_COVERED:.0f} % are needed"
        )
    if covered < GOOD_COVERED:
        share = f"{100 * covered:.0f}"
        said = (*said, say("{role} covers {covered} % of the images that results lie on.", role=place.name, covered=share))
    return matrix, said


def _registered(reference: Volume, moving: Volume, role: str, limit: RigidMotion) -> tuple[Affine, tuple[Translatable, ...]]:
    fit = fit_of(reference.modality, moving.modality)
    if fit is None:
        raise NotInOneFrame(
            f"{role}, series {moving.series_instance_uid}, is {moving.modality} and would have to be registered onto {reference.modality}, "
            f"series {reference.series_instance_uid}: only CT and MR are, since of others nobody measured how alike they have to be"
        )
    # SimpleITK takes a tenth of a second to import, and most volumes lie in one frame
    from inference.imaging.registration.rigid import align

    fixed, other = (one if (straight := straightened(one)) is None else straight.volume for one in (reference, moving))
    aligned = align(fixed, other)
    refuse_unlike(aligned.likeness, f"{role}, series {moving.series_instance_uid},", f"series {reference.series_instance_uid}", fit)
    moved_mm, turned_degrees = extent(aligned.matrix, aligned.middle)
    if moved_mm > limit.max_mm or turned_degrees > limit.max_degrees:
        raise MovedTooFar(
            f"{role}, series {moving.series_instance_uid}, would have to be moved by {moved_mm:.1f} mm and turned by {turned_degrees:.1f} "
            f"degrees to lie on series {reference.series_instance_uid}, at most {limit.max_mm:g} mm and {limit.max_degrees:g} degrees are "
            "allowed"
        )
    told = say(
        "{role} was registered: moved by {moved} mm and turned by {turned} degrees.",
        role=role,
        moved=f"{moved_mm:.1f}",
        turned=f"{turned_degrees:.1f}",
    )
    return aligned.matrix, (told,)


def _covered(reference: Volume, moving: Volume, matrix: Affine) -> float:
    """The share of the reference's images that another volume covers, on a lattice of points."""
    axes = [np.linspace(0, count - 1, min(count, _LATTICE)) for count in reference.voxels.shape]
    indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    back = np.linalg.inv(matrix)
    at = moving.to_indices(reference.to_patient(indices) @ back[:3, :3].T + back[:3, 3])
    # beyond the ends of slices in unequal steps places are not counted on: those are at the ends
    inside = (at >= -0.5) & (at <= np.array(moving.voxels.shape) - 0.5)
    return float(inside.all(axis=1).mean())


def on_one_grid(subject: VolumeSet) -> VolumeSet:
    """The volumes as an application gets them: on straight and even grids, those with a motion on the reference's, or there on their own.

    Between voxels values are interpolated linearly; where a volume does not reach stands its least value.
    """
    upright = {role: volume if (made := straightened(volume)) is None else made.volume for role, volume in subject.volumes.items()}
    reference = next(iter(upright.values()))
    for role, motion in subject.motions.items():
        upright[role] = (_there if role in subject.own_grids else _onto)(reference, upright[role], motion)
    return replace(subject, volumes=upright)


def on_the_references_grid(subject: VolumeSet) -> dict[str, Volume]:
    """The volumes by their roles, each of the others on the grid of the reference as that was acquired.

    Between voxels values are interpolated linearly; where a volume does not reach stands its least value.
    """
    reference = subject.reference
    others = {role: volume for role, volume in subject.volumes.items() if volume is not reference}
    upright = {role: volume if (made := straightened(volume)) is None else made.volume for role, volume in others.items()}
    first = next(iter(subject.volumes))
    return {first: reference, **{role: _onto(reference, volume, subject.motions[role]) for role, volume in upright.items()}}


def _there(reference: Volume, moving: Volume, motion: Affine) -> Volume:
    return replace(moving, affine=motion @ moving.affine, frame_of_reference_uid=reference.frame_of_reference_uid, sources=())


def _onto(reference: Volume, moving: Volume, motion: Affine) -> Volume:
    target, source = Grid.of(reference), Grid(shape=Grid.of(moving).shape, affine=motion @ moving.affine)
    placed = replace(moving, affine=reference.affine, frame_of_reference_uid=reference.frame_of_reference_uid, sources=())
    if target.shape == source.shape and _same_place(target, source):
        return placed
    least = float(moving.voxels.min())
    return replace(placed, voxels=resample(moving.voxels, source, target, by=Interpolation.LINEAR, fill=least))


def _same_place(one: Grid, other: Grid) -> bool:
    corners = np.array([(0, 0, 0, 1), (*(count - 1 for count in one.shape), 1)], dtype=np.float64)
    apart = np.linalg.solve(one.affine, (other.affine @ corners.T) - (one.affine @ corners.T))
    turned = np.linalg.solve(one.affine, other.affine)[:3, :3] - np.eye(3)
    return bool(np.abs(apart[:3]).max() < _SAME_PLACE and np.abs(turned).max() * max(one.shape) < _SAME_PLACE)


def named(roles: Sequence[RolePlace], role: str) -> RolePlace:
    """The role of a name."""
    return next(one for one in roles if one.name == role)
