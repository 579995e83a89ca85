"""Volumes as SimpleITK has them, brought to grids of equal spacing, and the bodies in them."""

import math

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from inference.imaging.registration.errors import NothingToRegister
from inference.imaging.volume import Affine, Volume

_MARGIN_MM = 8.0
"""How much of the air around the body counts: its outline tells as much as what is inside."""
_EXTREME = (0.0005, 0.9995)
_SHEARED_PIXELS = 1.0
"""Slices that drift sideways by less over the whole stack stand where they are; `straightened` moves what drifts by more."""
_ROUNDED = 6
"""Digits of a step in mm."""
_LEAST_PIXELS = 4
"""Along each axis, a thin slab too: ITK smooths over no fewer."""


def image_of(volume: Volume) -> sitk.Image:
    """A volume as SimpleITK has it, in the same patient coordinates.

    Raises
    ------
    NothingToRegister
        Its axes are not perpendicular, or every voxel has the same value.
    """
    axes = volume.affine[:3, :3].copy()
    # where a stack leans, its slices stay as they lie and its step is made perpendicular; no more than rounding is left as it is
    axes[:, 0] -= np.round(axes[:, 1:] @ np.linalg.lstsq(axes[:, 1:], axes[:, 0])[0], _ROUNDED)
    spacing = np.linalg.norm(axes, axis=0)
    left, _, right = np.linalg.svd(axes / spacing)
    directions = left @ right
    drift_mm = np.linalg.norm(volume.affine[:3, :3] - directions * spacing, axis=0) * (np.array(volume.voxels.shape) - 1)
    if drift_mm.max() > _SHEARED_PIXELS * spacing[1:].max():
        raise NothingToRegister(f"the slices of series {volume.series_instance_uid} are sheared against each other (gantry tilt)")
    if volume.voxels.min() == volume.voxels.max():
        raise NothingToRegister(f"series {volume.series_instance_uid} is even: every voxel has the same value")
    image = sitk.GetImageFromArray(volume.voxels.astype(np.float32, copy=False))
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetDirection(directions[:, ::-1].ravel().tolist())
    return image


def affine_of(image: sitk.Image) -> Affine:
    """Indices (z, y, x, 1) to mm, as `Volume.affine`."""
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing()))[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return affine


def matrix_of(motion: sitk.Euler3DTransform) -> Affine:
    """(4, 4): what the motion does to points (x, y, z, 1)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(motion.GetMatrix()).reshape(3, 3)
    centre = np.array(motion.GetCenter())
    matrix[:3, 3] = np.array(motion.GetTranslation()) + centre - matrix[:3, :3] @ centre
    return matrix


def clipped(image: sitk.Image) -> sitk.Image:
    """The image without its few extreme values, which would leave all others in one bin of a histogram."""
    low, high = np.quantile(sitk.GetArrayViewFromImage(image), _EXTREME)
    return sitk.Clamp(image, sitk.sitkFloat32, float(low), float(high)) if low < high else image


def even(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The image smoothed, and sampled at `spacing_mm` along its own axes; its field of view stays."""
    # half a new voxel of smoothing where voxels get larger, none where they get smaller
    variances = [(spacing_mm / 2) ** 2 if step < spacing_mm / 1.5 else 0.0 for step in image.GetSpacing()]
    smooth = sitk.DiscreteGaussian(image, variance=variances, useImageSpacing=True)
    size = [max(_LEAST_PIXELS, round(count * step / spacing_mm)) for count, step in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    spacing = [count * step / new for count, step, new in zip(image.GetSize(), image.GetSpacing(), size, strict=True)]
    first = [(new / step - 1) / 2 for new, step in zip(spacing, image.GetSpacing(), strict=True)]
    origin = image.TransformContinuousIndexToPhysicalPoint(first)
    least = float(sitk.GetArrayViewFromImage(image).min())
    return sitk.Resample(smooth, size, sitk.Transform(), sitk.sitkLinear, origin, spacing, image.GetDirection(), least)


def body_in(image: sitk.Image, margin_mm: float = _MARGIN_MM) -> sitk.Image:
    """1 in what is not air, with its hollows, and a margin around."""
    threshold = sitk.OtsuThresholdImageFilter()
    threshold.Execute(image)
    least = float(sitk.GetArrayViewFromImage(image).min())
    body = image > (least + threshold.GetThreshold()) / 2
    body = sitk.BinaryFillhole(sitk.RelabelComponent(sitk.ConnectedComponent(body), sortByObjectSize=True) == 1)
    return sitk.BinaryDilate(body, [max(1, round(margin_mm / step)) for step in image.GetSpacing()]) if margin_mm else body


def centroid(body: sitk.Image) -> NDArray[np.float64]:
    indices = np.argwhere(sitk.GetArrayViewFromImage(body) > 0).mean(axis=0)
    return (affine_of(body) @ (*indices, 1.0))[:3]


def volume_mm3(body: sitk.Image) -> float:
    return float(np.count_nonzero(sitk.GetArrayViewFromImage(body)) * math.prod(body.GetSpacing()))


def middle(image: sitk.Image) -> NDArray[np.float64]:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in image.GetSize()]))
