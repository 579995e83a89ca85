"""Deformable registration of two volumes of one contrast by symmetric demons (Vercauteren and others 2007): SimpleITK, one thread.

The prior is laid on the current volume by a rigid motion first; what is left is found on a grid of equal spacing along the patient's axes,
coarse to fine, smoothed after every step as an elastic body would be. Both volumes are cut at their brightest, given one histogram, and
black outside the body that both show: air does not move. The field is then taken down to the grid that is served, and everything else (the
moved prior, the folding) is computed from that grid.
"""

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from inference.findings import Deformation
from inference.imaging.registration.errors import NothingToRegister, SpaceFolds
from inference.imaging.registration.field import MOST_FOLDED, folded, places_in_prior
from inference.imaging.registration.grids import body_in, image_of
from inference.imaging.registration.rigid import one_thread
from inference.imaging.volume import Affine, Volume, Voxels

FINEST_MM, NODES_MM = 2.0, 4.0
"""Voxels in which the demons work, and the distance of the nodes of what is served; of large volumes both grow by one factor."""
_MOST_VOXELS = 4e6
_LEVELS = ((4, 60), (2, 40), (1, 20))
"""Spacing as a multiple of the finest, and steps."""
_ELASTIC = 2.0
"""Deviation of the smoothing of the field after each step, in voxels of the level."""
_FLUID = 1.0
"""The same of each step itself."""
_STEP = 2.0
"""Voxels that a step may move."""
_CUT = (1.0, 99.0)
_BINS, _MATCHES = 256, 12
_SOFT_MM = 4.0
"""Over which the outline of the body fades."""
_SMOOTHED_MM = (0.0, 3.0, 6.0, 10.0)
"""How far a field that folds is smoothed once more, until it does not."""


def deform(fixed: Volume, moving: Volume, matrix: Affine) -> Deformation:
    """Find how `moving` has to be bent to show what `fixed` shows.

    Parameters
    ----------
    matrix
        Rigid, from patient coordinates of the moving volume to the fixed one's (`Aligned.matrix`).

    Raises
    ------
    NothingToRegister
        A volume is even, or the two bodies do not overlap.
    SpaceFolds
        However it is smoothed, it folds space in more than `MOST_FOLDED` of the cells.
    """
    with one_thread():
        field = _field(lay(image_of(fixed), image_of(moving), matrix))
    return _served(field, matrix)


def resample_bent(fixed: Volume, moving: Volume, deformation: Deformation) -> Voxels:
    """The moving volume where the served deformation takes the fixed voxels, by cubic B-splines; its least value beyond its images, which
    reach half a voxel further than the middles of the outermost ones."""
    least, most = float(moving.voxels.min()), float(moving.voxels.max())
    moved = np.empty(fixed.voxels.shape, dtype=np.float32)
    rows = np.indices(fixed.voxels.shape[1:]).reshape(2, -1)
    # a slice at a time: the places of a whole head in doubles are half a gigabyte
    splines = _splines(moving.voxels)
    last = np.array(moving.voxels.shape)[:, None] - 1
    for z, plane in enumerate(moved):
        here = fixed.to_patient(np.column_stack([np.full(rows.shape[1], z), *rows]))
        there = moving.to_indices(places_in_prior(deformation, here)).T
        within = np.all((there >= -0.5) & (there <= last + 0.5), axis=0)
        values = map_coordinates(splines, np.clip(there, 0, last), order=3, mode="mirror", prefilter=False)
        plane[...] = np.where(within, values, least).reshape(plane.shape)
    np.clip(moved, least, most, out=moved)  # splines swing beyond the values at edges
    return moving.held_alike(moved)


def _splines(voxels: NDArray[np.generic]) -> NDArray[np.float32]:
    from scipy.ndimage import spline_filter

    filtered: NDArray[np.float32] = spline_filter(voxels, order=3, output=np.float32, mode="mirror")
    return filtered


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """Two volumes of one contrast on one grid along the patient's axes, which holds the fixed one.

    Attributes
    ----------
    greys
        Fixed and moving, 0 to 1, of one histogram, black outside the body that both show.
    soft
        1 in that body and 0 beyond, with a soft outline.
    """

    greys: tuple[sitk.Image, sitk.Image]
    soft: sitk.Image


def lay(fixed: sitk.Image, moving: sitk.Image, matrix: Affine) -> Laid:
    """Bring both volumes to the grid on which a field is found, the moving one by its rigid motion.

    Raises
    ------
    NothingToRegister
    """
    grid = _grid(fixed)
    back = np.linalg.inv(matrix)
    motion = sitk.AffineTransform(3)
    motion.SetMatrix(back[:3, :3].ravel().tolist())
    motion.SetTranslation(back[:3, 3].tolist())
    pair = [_sampled(fixed, grid, sitk.Transform()), _sampled(moving, grid, motion)]
    bodies = [_body(image, there) for image, there in pair]
    shared = sitk.And(pair[0][1], pair[1][1])
    either = sitk.And(sitk.Or(*bodies), shared)
    if not sitk.GetArrayViewFromImage(sitk.And(*bodies)).any():
        raise NothingToRegister("however one is laid over the other, the two bodies do not meet")
    soft = sitk.SmoothingRecursiveGaussian(sitk.Cast(either, sitk.sitkFloat32), _SOFT_MM)
    greys = [_grey(image, sitk.And(body, shared)) for (image, _), body in zip(pair, bodies, strict=True)]
    greys[1] = sitk.Cast(sitk.HistogramMatching(greys[1], greys[0], _BINS, _MATCHES, True), sitk.sitkFloat32)
    return Laid(greys=(greys[0] * soft, greys[1] * soft), soft=soft)


def _field(laid: Laid) -> sitk.Image:
    """Offsets in mm, (3) a voxel; they fade out beyond the shared body."""
    field: sitk.Image | None = None
    for multiple, steps in _LEVELS:
        level = [_coarser(grey, multiple) for grey in laid.greys]
        if field is None:
            field = sitk.Image(level[0].GetSize(), sitk.sitkVectorFloat64, 3)
            field.CopyInformation(level[0])
        else:
            field = sitk.Resample(field, level[0], sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
        field = _demons(steps).Execute(*level, field)
    fading = np.clip(2 * sitk.GetArrayViewFromImage(laid.soft), 0, 1)[..., None]
    faded = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(field) * fading, isVector=True)
    faded.CopyInformation(field)
    return faded


def _demons(steps: int) -> sitk.FastSymmetricForcesDemonsRegistrationFilter:
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(steps)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(_ELASTIC)
    demons.SetSmoothUpdateField(True)
    demons.SetUpdateFieldStandardDeviations(_FLUID)
    demons.SetMaximumUpdateStepLength(_STEP)
    return demons


def _grid(fixed: sitk.Image) -> sitk.Image:
    """An empty image along the patient's axes around all corners of the fixed volume."""
    ends = [(-0.5, count - 0.5) for count in fixed.GetSize()]
    corners = [fixed.TransformContinuousIndexToPhysicalPoint((x, y, z)) for x in ends[0] for y in ends[1] for z in ends[2]]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    spacing = max(FINEST_MM, float((np.prod(high - low) / _MOST_VOXELS) ** (1 / 3)))
    made = sitk.Image([max(4 * _LEVELS[0][0], math.ceil(side / spacing)) for side in high - low], sitk.sitkFloat32)
    made.SetSpacing([spacing] * 3)
    made.SetOrigin((low + spacing / 2).tolist())
    return made


def _sampled(image: sitk.Image, grid: sitk.Image, motion: sitk.Transform) -> tuple[sitk.Image, sitk.Image]:
    """An image on the grid, smoothed where its voxels are smaller, and 1 where it has voxels."""
    step = grid.GetSpacing()[0]
    variances = [(step / 2) ** 2 if own < step / 1.5 else 0.0 for own in image.GetSpacing()]
    smooth = sitk.DiscreteGaussian(image, variance=variances, useImageSpacing=True)
    least = float(sitk.GetArrayViewFromImage(image).min())
    everywhere = sitk.Image(image.GetSize(), sitk.sitkUInt8) + 1
    everywhere.CopyInformation(image)
    return (
        sitk.Resample(smooth, grid, motion, sitk.sitkLinear, least),
        sitk.Resample(everywhere, grid, motion, sitk.sitkNearestNeighbor, 0),
    )


def _body(image: sitk.Image, there: sitk.Image) -> sitk.Image:
    values = sitk.GetArrayViewFromImage(image)
    if values.min() == values.max() or not sitk.GetArrayViewFromImage(there).any():
        raise NothingToRegister("however one is laid over the other, the two hardly overlap")
    return sitk.Cast(body_in(image), sitk.sitkUInt8)


def _grey(image: sitk.Image, body: sitk.Image) -> sitk.Image:
    """Values of the body as 0 to 1, cut at its darkest and brightest hundredth."""
    inside = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(body) > 0]
    if not inside.size:
        raise NothingToRegister("however one is laid over the other, the two bodies do not meet")
    low, high = (float(value) for value in np.percentile(inside, _CUT))
    if low == high:
        raise NothingToRegister("the two have nothing but one grey value in common")
    return sitk.Cast((sitk.Clamp(image, sitk.sitkFloat32, low, high) - low) / (high - low), sitk.sitkFloat32)


def _coarser(grey: sitk.Image, multiple: int) -> sitk.Image:
    if multiple == 1:
        return grey
    smooth = sitk.SmoothingRecursiveGaussian(grey, multiple / 2 * grey.GetSpacing()[0])
    return sitk.Shrink(smooth, [multiple] * 3)


def _served(field: sitk.Image, matrix: Affine) -> Deformation:
    """The field at the nodes; smoothed as far as it takes for space not to fold."""
    spacing = field.GetSpacing()[0]
    step = round(NODES_MM / FINEST_MM)
    offsets = sitk.GetArrayViewFromImage(field)
    # the last node of an axis lies beyond the last voxel, where nothing moves
    size = [math.ceil((count - 1) / step) + 1 for count in offsets.shape[:3]]
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.eye(3)) * spacing * step
    affine[:3, 3] = field.GetOrigin()
    nodes = np.indices(size).reshape(3, -1) * step
    for smoothed_mm in _SMOOTHED_MM:
        sampled = [
            map_coordinates(
                gaussian_filter(offsets[..., axis], smoothed_mm / spacing, mode="constant"), nodes, order=1, mode="grid-constant"
            )
            for axis in range(3)
        ]
        found = Deformation(matrix=matrix, offsets=np.stack(sampled, axis=-1).reshape(*size, 3).astype(np.float32), affine=affine)
        share = folded(found)
        if share <= MOST_FOLDED:
            return found
    raise SpaceFolds(
        f"the prior would have to be folded in {100 * share:.1f} % of the places that move, at most {100 * MOST_FOLDED:g} % are allowed"
    )
