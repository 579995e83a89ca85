"""Rigid registration of one volume onto another by mutual information, the same on every run: SimpleITK, fixed seed, one thread.

Both volumes are brought to grids of equal spacing, coarse to fine, so that thick slices count no more than thin ones. Several starts are
tried on the coarsest: as the scanners place the volumes, middle on middle, body on body, each nodded and turned. The best few are followed.
Samples of the fixed body are looked up in the moving volume; those that fall outside it do not count.
"""

import contextlib
import itertools
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from inference.imaging.registration.density import HU_WINDOW, without_table
from inference.imaging.registration.errors import NothingToRegister
from inference.imaging.registration.grids import affine_of, body_in, centroid, clipped, even, image_of, matrix_of, middle, volume_mm3
from inference.imaging.volume import Affine, Volume, Voxels

_FINEST_VOXELS, _MOST_VOXELS = 1e6, 8e6
"""Of the fixed and of the moving volume on the finest grid: 2 mm for a head."""
_LEVELS = (4, 2, 1)
"""Spacing of the grids, coarse to fine, as multiples of the finest."""
_SAMPLES = 40_000
_SEED = 20_240_101
_BINS = 32
_TURNED = (-0.35, 0.0, 0.35)
"""Radians by which starts are turned: 20 degrees, what a head is nodded or turned between two visits."""
_SLIDE_MM = 40.0
"""From one start to the next along a trunk: a vertebra and a half."""
_FOLLOWED = 4
_LEAST_SHARED = 0.3
_STEPS = 200
_LEAST_MM = 0.05
"""Between voxels of the finest grid; what says less says its spacing in another unit, and balls of some mm would have 10^10 voxels."""
_SMALLEST_STEP_MM = 0.002
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aligned:
    """Where the moving volume lies on the fixed one.

    Attributes
    ----------
    matrix
        (4, 4) float64, from patient coordinates of the moving volume to the fixed one's (mm, LPS), rigid.
    middle
        (3,) of the fixed volume's body.
    overlap
        Share of the fixed volume's body that the moving volume's images cover, 0 to 1.
    likeness
        Normalised mutual information where both are, 1 (nothing in common) to 2 (one tells the other).
    """

    matrix: Affine
    middle: NDArray[np.float64]
    overlap: float
    likeness: float


def align(fixed: Volume, moving: Volume) -> Aligned:
    """Find the rigid motion that brings `moving` onto `fixed`.

    Raises
    ------
    NothingToRegister
        A volume is even, its grid is sheared, nothing makes the two overlap, or SimpleITK cannot compute with them.
    """
    try:
        with one_thread():
            return _aligned(_levels(fixed, moving))
    except RuntimeError as failed:
        # all that ITK raises comes as this one class, the reason in its last line
        last = (str(failed).strip().splitlines() or ["SimpleITK gave no reason"])[-1].strip()
        series = f"series {moving.series_instance_uid} cannot be laid on series {fixed.series_instance_uid}"
        raise NothingToRegister(f"{series}: {last}") from failed


def _aligned(levels: "list[_Level]") -> Aligned:
    coarsest, finest = levels[0], levels[-1]
    starts = [start for start in coarsest.starts() if coarsest.shared(start) >= _LEAST_SHARED]
    if not starts:
        raise NothingToRegister("however one is laid over the other, the two hardly overlap")
    # sorting keeps the order of equals: the same starts are followed on every run
    best = sorted(starts, key=coarsest.unlikeness)[:_FOLLOWED]
    followed = [found for found in map(coarsest.follow, best) if coarsest.shared(found) >= _LEAST_SHARED]
    motion = min(followed, key=coarsest.unlikeness, default=None)
    for level in levels[1:] if motion is not None else ():
        motion = level.follow(motion)
    if motion is None or finest.shared(motion) < _LEAST_SHARED:
        raise NothingToRegister("wherever one is laid on the other at first, they drift apart")
    return Aligned(
        matrix=np.linalg.inv(matrix_of(motion)).astype(np.float64),
        middle=centroid(finest.body),
        overlap=finest.overlap(motion),
        likeness=finest.likeness(motion),
    )


def resample_onto(fixed: Volume, moving: Volume, matrix: Affine) -> Voxels:
    """The moving volume at the voxels of the fixed one; its least value where it has no images.

    By cubic B-splines; CT linearly: splines swing at bone and metal, and their coefficients take eight bytes for each voxel of a chest.

    Parameters
    ----------
    matrix
        As `Aligned.matrix`.
    """
    back = np.linalg.inv(matrix)
    motion = sitk.AffineTransform(3)
    motion.SetMatrix(back[:3, :3].ravel().tolist())
    motion.SetTranslation(back[:3, 3].tolist())
    least, most = float(moving.voxels.min()), float(moving.voxels.max())
    by = sitk.sitkLinear if moving.modality == "CT" else sitk.sitkBSpline
    resampled = sitk.Resample(image_of(moving), image_of(fixed), motion, by, least)
    moved: NDArray[np.float32] = sitk.GetArrayFromImage(resampled)
    np.clip(moved, least, most, out=moved)  # splines swing beyond the values at edges
    return moving.held_alike(moved)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Level:
    """The two volumes on grids of one spacing. Motions take points of the fixed volume to points of the moving one, as ITK has them."""

    fixed: sitk.Image
    moving: sitk.Image
    body: sitk.Image
    moving_body: sitk.Image
    spacing_mm: float
    slid: bool
    """Whether one body may be a part of the other from head to foot, anywhere along it."""

    def follow(self, start: sitk.Euler3DTransform) -> sitk.Euler3DTransform:
        """The motion of the greatest mutual information that is reached from `start` uphill."""
        registration = self._registration(start)
        registration.SetOptimizerAsRegularStepGradientDescent(
            learningRate=self.spacing_mm,
            minStep=_SMALLEST_STEP_MM,
            numberOfIterations=_STEPS,
            relaxationFactor=0.5,
            gradientMagnitudeTolerance=1e-9,
        )
        registration.SetOptimizerScalesFromPhysicalShift()  # so that steps are in mm, for angles too
        try:
            registration.Execute(self.fixed, self.moving)
        except RuntimeError as lost:
            if "samples map outside" not in str(lost):
                raise
            return start
        return start

    def unlikeness(self, motion: sitk.Euler3DTransform) -> float:
        """The negative mutual information, which is the least where the two fit best."""
        registration = self._registration(motion)
        return float(registration.MetricEvaluate(self.fixed, self.moving))

    def likeness(self, motion: sitk.Euler3DTransform) -> float:
        """See `Aligned`."""
        moved = sitk.GetArrayFromImage(sitk.Resample(self.moving, self.fixed, motion, sitk.sitkLinear, 0.0))
        both = self._body_mask() & self._covered(motion)
        joint, _, _ = np.histogram2d(sitk.GetArrayViewFromImage(self.fixed)[both], moved[both], bins=2 * _BINS)
        shares = joint / joint.sum()
        mine, others, both_s = (-float(np.sum(some[some > 0] * np.log(some[some > 0]))) for some in (shares.sum(1), shares.sum(0), shares))
        return (mine + others) / both_s if both_s > 0 else 1.0

    def overlap(self, motion: sitk.Euler3DTransform) -> float:
        """See `Aligned`."""
        return float(self._covered(motion)[self._body_mask()].mean())

    def shared(self, motion: sitk.Euler3DTransform) -> float:
        """What the two bodies have in common, as a share of the smaller one: a slab of a head lies wholly within the head."""
        mine, others = volume_mm3(self.body), volume_mm3(self.moving_body)
        return self.overlap(motion) * mine / min(mine, others)

    def starts(self) -> list[sitk.Euler3DTransform]:
        """As the scanners place the volumes, middle on middle, body on body; each straight and turned."""
        turned_about = centroid(self.body)
        shifts = (
            np.zeros(3),
            middle(self.moving) - middle(self.fixed),
            centroid(self.moving_body) - turned_about,
        )
        starts = []
        for shift, nodded, turned in itertools.product(shifts, _TURNED, _TURNED):
            start = sitk.Euler3DTransform()
            start.SetCenter(turned_about.tolist())
            start.SetRotation(nodded, 0.0, turned)
            start.SetTranslation(shift.tolist())
            starts.append(start)
        return [*starts, *self._slides(shifts[-1], turned_about)]

    def _slides(self, shift: NDArray[np.float64], turned_about: NDArray[np.float64]) -> list[sitk.Euler3DTransform]:
        """Body along body, from where the feet of one meet the head of the other."""
        if not self.slid:
            return []
        reach_mm = sum(float(np.ptp(np.argwhere(sitk.GetArrayViewFromImage(one) > 0)[:, 0])) for one in (self.body, self.moving_body))
        steps = int(reach_mm * self.spacing_mm / 2 / _SLIDE_MM)
        return [
            sitk.Euler3DTransform(turned_about, 0, 0, 0, (shift[0], shift[1], shift[2] + step * _SLIDE_MM))
            for step in range(-steps, steps + 1)
        ]

    def _registration(self, motion: sitk.Euler3DTransform) -> sitk.ImageRegistrationMethod:
        registration = sitk.ImageRegistrationMethod()
        registration.SetMetricAsMattesMutualInformation(_BINS)
        registration.SetMetricFixedMask(self.body)
        registration.SetMetricSamplingStrategy(registration.RANDOM)
        registration.SetMetricSamplingPercentage(min(1.0, _SAMPLES / int(self._body_mask().sum())), _SEED)
        registration.SetInterpolator(sitk.sitkLinear)
        registration.SetInitialTransform(motion, inPlace=True)
        return registration

    def _body_mask(self) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = sitk.GetArrayViewFromImage(self.body) > 0
        return mask

    def _covered(self, motion: sitk.Euler3DTransform) -> NDArray[np.bool_]:
        """(Z, Y, X) of the fixed grid: where the moving volume has voxels."""
        to_index = np.linalg.inv(affine_of(self.moving)) @ matrix_of(motion) @ affine_of(self.fixed)
        columns, rows, slices = self.fixed.GetSize()
        at = [np.arange(count) for count in (slices, rows, columns)]
        inside = np.ones((slices, rows, columns), dtype=np.bool_)
        for (along_z, along_y, along_x, offset), count in zip(to_index[:3], reversed(self.moving.GetSize()), strict=True):
            index = along_z * at[0][:, None, None] + along_y * at[1][None, :, None] + along_x * at[2] + offset
            inside &= (index >= -0.5) & (index <= count - 0.5)
        return inside


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """ITK's threads add up in the order in which they end, and sums differ in their last bits; a metric uses those of the process."""
    with _LOCK:
        before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _levels(fixed_volume: Volume, moving_volume: Volume) -> list[_Level]:
    """Coarse to fine; spacings in mm follow from how much space the fixed volume takes, so that wrists and chests cost the same."""
    fixed, moving = image_of(fixed_volume), image_of(moving_volume)
    space_mm3 = [math.prod(image.GetSize()) * math.prod(image.GetSpacing()) for image in (fixed, moving)]
    # a finger beside a whole body is found on the finger's grid, as far as memory goes
    finest_mm = max((space_mm3[0] / _FINEST_VOXELS) ** (1 / 3), (space_mm3[1] / _MOST_VOXELS) ** (1 / 3), min(fixed.GetSpacing()))
    for volume, image in ((fixed_volume, fixed), (moving_volume, moving)):
        if min(image.GetSpacing()) < _LEAST_MM:
            raise NothingToRegister(f"series {volume.series_instance_uid} has voxels less than {_LEAST_MM:g} mm apart: no distance in mm")
    fixed, moving = _seen(fixed_volume, fixed, finest_mm), _seen(moving_volume, moving, finest_mm)
    slid = "CT" in (fixed_volume.modality, moving_volume.modality)
    levels: list[_Level] = []
    for multiple in reversed(_LEVELS):
        spacing_mm = finest_mm * multiple
        if multiple > 1:
            fixed, moving = even(fixed, spacing_mm), even(moving, spacing_mm)
        bodies = _body(fixed_volume, fixed), _body(moving_volume, moving)
        levels.insert(0, _Level(fixed=fixed, moving=moving, body=bodies[0], moving_body=bodies[1], spacing_mm=spacing_mm, slid=slid))
    return levels


def _body(volume: Volume, image: sitk.Image) -> sitk.Image:
    """What is not air in it: without a contrast between the two, as in values that are no numbers, there is nothing to lay on anything."""
    body = body_in(image)
    if not sitk.GetArrayViewFromImage(body).any():
        raise NothingToRegister(f"series {volume.series_instance_uid} shows no body: nothing in it stands out of air")
    return body


def _seen(volume: Volume, image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The volume as its likeness is looked for, on the finest grid."""
    if volume.modality != "CT":
        return even(clipped(image), spacing_mm)
    low, high = HU_WINDOW
    seen = without_table(even(sitk.Clamp(image, sitk.sitkFloat32, low, high), spacing_mm))
    if not sitk.GetArrayViewFromImage(seen).any():
        raise NothingToRegister(f"series {volume.series_instance_uid} shows no body: nothing in it is thicker than a table")
    return seen
