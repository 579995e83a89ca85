"""Pre-processing: each slice of each phase as the network sees it, and masks back; training and serving both go through here.

Slices are resampled within their own plane, never across planes: they lie 8 to 10 mm apart, and every one of them was drawn by itself.
However a scanner stored them, they are turned and mirrored in steps of a quarter turn to lie as a short axis is shown: the feet below, the
right ventricle on the left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.imaging.resample import Grid, Interpolation, resample
from inference.imaging.subject import Phases
from inference.imaging.volume import Volume

WINDOW = (128, 128)
"""Rows and columns: 174 mm, around the middle of the images. Of 30 patients every cavity lies in the inner 63 mm of it."""
PIXEL_MM = 1.36
"""Of the window. The training images do not tell theirs; in their study it was 1.3 to 1.4 mm."""
LONG_AXIS = np.array((0.62, -0.65, -0.44)) / np.linalg.norm((0.62, -0.65, -0.44))
"""From the base to the apex, LPS: to the left, to the front and to the feet."""
_ACROSS = np.cross((0.0, 0.0, 1.0), LONG_AXIS) / np.linalg.norm(np.cross((0.0, 0.0, 1.0), LONG_AXIS))
DISPLAYED = np.stack([np.cross(LONG_AXIS, _ACROSS), _ACROSS]) * np.array([[-1.0], [1.0]])
"""Down the rows and across the columns of a short axis as it is shown, LPS: to the feet; to the left and to the back."""
PERCENTILES = (1.0, 99.9)
"""The upper one leaves the tip of a cavity, of 30 mm², as bright as it is on a slice where nothing else is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedBeat:
    """What the network sees, and where that lies.

    Attributes
    ----------
    images
        (phase, Z, row, column) float32, of shape (T, Z, *WINDOW): values of mean 0 and deviation 1 over each slice by itself.
    source, window
        The grid of the phases, and that of `images`.
    """

    images: NDArray[np.float32]
    source: Grid
    window: Grid

    def onto(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels (Z, Y, X) of one phase on the window; 0 beside the images."""
        found: NDArray[np.uint8] = resample(labels, self.source, self.window, by=Interpolation.NEAREST)
        return found

    def back(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (Z, row, column) of one phase on the source grid; far below 0 beside the window."""
        found: NDArray[np.float32] = resample(scores, self.window, self.source, by=Interpolation.LINEAR, fill=BESIDE)
        return found

    @property
    def border(self) -> NDArray[np.bool_]:
        """(Y, X) of the source: pixels that the window does not have, or at its border, or at that of the images."""
        inner = np.zeros(self.window.shape, dtype=np.uint8)
        inner[:, 1:-1, 1:-1] = 1
        seen: NDArray[np.bool_] = resample(inner, self.window, self.source, by=Interpolation.NEAREST)[0] > 0
        seen[[0, -1]] = seen[:, [0, -1]] = False
        return ~seen


BESIDE = -1000.0


def prepare(phases: Phases, sides: tuple[int, int] = WINDOW) -> PreparedBeat:
    """Bring every slice of every phase into the window, or, to learn from, into one of other sides; an even slice is 0 everywhere."""
    source = Grid.of(phases.reference)
    window = _window(phases.reference, sides)
    images = np.stack([resample(volume.voxels, source, window, by=Interpolation.LINEAR) for volume in phases.volumes])
    # rounding of positions mixes a trillionth of its neighbour into a slice: made as loud as every other, it would show that one
    images[np.stack([np.ptp(volume.voxels, axis=(1, 2)) == 0 for volume in phases.volumes])] = 0
    return PreparedBeat(images=normalised(images), source=source, window=window)


def normalised(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each slice (…, row, column) by itself; an even one is 0 everywhere."""
    low, high = np.percentile(images, PERCENTILES, axis=(-2, -1), keepdims=True)
    images = np.clip(np.nan_to_num(images), low, high)
    mean, deviation = images.mean(axis=(-2, -1), keepdims=True), images.std(axis=(-2, -1), keepdims=True)
    made: NDArray[np.float32] = ((images - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    return made


def _window(volume: Volume, sides: tuple[int, int]) -> Grid:
    """Every slice's own plane as it is shown, `PIXEL_MM` a pixel, around its middle."""
    slices, rows, columns = volume.voxels.shape
    affine = volume.affine.copy()
    stored = [volume.affine[:3, axis] / np.linalg.norm(volume.affine[:3, axis]) * PIXEL_MM for axis in (1, 2)]
    turned = [(one * sign, other * mirror) for one, other in (stored, stored[::-1]) for sign in (1, -1) for mirror in (1, -1)]
    affine[:3, 1], affine[:3, 2] = max(turned, key=lambda axes: float(axes[0] @ DISPLAYED[0] + axes[1] @ DISPLAYED[1]))
    middle = volume.affine[:3, 1] * (rows - 1) / 2 + volume.affine[:3, 2] * (columns - 1) / 2
    affine[:3, 3] += middle - affine[:3, 1] * (sides[0] - 1) / 2 - affine[:3, 2] * (sides[1] - 1) / 2
    return Grid(shape=(slices, *sides), affine=affine)
