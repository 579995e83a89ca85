"""Pre-processing: brings a crop to the network's window, and masks back; training and serving both go through here.

The window's axes run to the head, to the back and to the left, 1 mm a voxel, the crop in its middle and zeros around it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import InputError
from inference.imaging.resample import Grid, Interpolation, Reorientation, Shape, reorientation, resample
from inference.imaging.volume import Volume

WINDOW: Shape = (48, 64, 48)
"""Voxels of 1 mm: every crop of the Medical Segmentation Decathlon fits (at most 47 × 59 × 43)."""

PERCENTILES = (0.5, 99.5)


class NotACrop(InputError):
    """The images show more than the surroundings of one hippocampus, or nothing at all."""

    code = "HLM-3190"
    remedy = (
        "Send a crop around one hippocampus (at most 48 × 64 × 48 mm), as the network was trained on; cancel the job, or narrow the route."
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedCrop:
    """What the network sees, and where that lies.

    Attributes
    ----------
    image
        (Z, Y, X) float32 of shape `WINDOW`: values of mean 0 and deviation 1 over the crop, 0 around it.
    turn
        From the source's axes to the window's.
    turned
        The source grid after `turn`.
    window
        The grid of `image`.
    """

    image: NDArray[np.float32]
    turn: Reorientation
    turned: Grid
    window: Grid

    def onto(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Labels (Z, Y, X) of the source grid on the window; 0 around the crop."""
        return resample(self.turn.apply(labels), self.turned, self.window, by=Interpolation.NEAREST)

    def back(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Labels of the window on the source grid."""
        return np.ascontiguousarray(self.turn.undo(resample(labels, self.window, self.turned, by=Interpolation.NEAREST)))

    def laid_back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the window on the source grid, interpolated."""
        return np.ascontiguousarray(self.turn.undo(resample(values, self.window, self.turned, by=Interpolation.LINEAR)))


def prepare(volume: Volume) -> PreparedCrop:
    """Bring a crop into the window.

    Raises
    ------
    NotACrop
        It is larger than the window, or even.
    """
    source = Grid.of(volume)
    turn = reorientation(source, "SPL")
    turned = turn.grid(source)
    z, y, x = (max(1, round(count * step)) for count, step in zip(turned.shape, turned.spacing_mm, strict=True))
    if any(side > most for side, most in zip((z, y, x), WINDOW, strict=True)):
        raise NotACrop(f"the images cover {z} × {y} × {x} mm (to the head, the back and the left); at most {_sides(WINDOW)} mm are a crop")
    first = tuple((side - of) // 2 for side, of in zip((z, y, x), WINDOW, strict=True))
    start: Shape = (first[0], first[1], first[2])
    stop: Shape = (start[0] + WINDOW[0], start[1] + WINDOW[1], start[2] + WINDOW[2])
    window = turned.resized((z, y, x)).cropped(start, stop)
    image = resample(_normalised(turn.apply(volume.voxels)), turned, window, by=Interpolation.LINEAR)
    return PreparedCrop(image=image, turn=turn, turned=turned, window=window)


def _normalised(voxels: NDArray[Any]) -> NDArray[np.float32]:
    values = np.nan_to_num(voxels.astype(np.float32))
    low, high = np.percentile(values, PERCENTILES)
    values = np.clip(values, low, high)
    deviation = float(values.std(dtype=np.float64))
    if not deviation > 0:
        raise NotACrop("the images are even: every voxel has the same value")
    normalised: NDArray[np.float32] = ((values - values.mean(dtype=np.float64)) / deviation).astype(np.float32)
    return normalised


def _sides(shape: Shape) -> str:
    return " × ".join(str(side) for side in shape)
