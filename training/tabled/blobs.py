"""Blob detector for boxes on single images, which a network has to beat: scale-normalised Laplacian of Gaussian, tuned class by class.

Of each class it is found on the training cases how large its blobs are, and whether they are brighter or darker than their surroundings.
How much a blob stands out is told as a multiple of one of the image's own strongest: noise raises all of an image alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import Box
from training.data.boxed import MarkedBox
from training.evaluation.boxes import JudgedImage, SureBox, scan
from training.evaluation.detection import sensitivities

_MOST = 60
"""Blobs of a class that are kept of an image."""
_QUANTILES = (0.2, 0.5, 0.8)
_RANKS = (3, 10)
_LEAST_PX = 1.5

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobClass:
    """How blobs of one class are looked for, in pixels of what the network sees.

    Attributes
    ----------
    radii
        Of the blobs.
    sign
        1 where they are brighter than what is around them, -1 where darker.
    rank
        The image's how-manieth strongest blob is 1.
    shape
        Height and width of a box, as multiples of its radius.
    """

    radii: tuple[float, ...]
    sign: int
    rank: int
    shape: tuple[float, float]

    def __str__(self) -> str:
        radii = ", ".join(f"{radius:.3g}" for radius in self.radii)
        return f"{'brighter' if self.sign > 0 else 'darker'}, radii {radii} pixels, relative to strongest no. {self.rank} of the image"

    def boxes(self, image: Floats, channel: int) -> list[SureBox]:
        """The blobs of an image (Y, X), strongest first."""
        answers = np.stack([self._standing_out(image, radius) for radius in self.radii])
        strongest = answers.max(axis=0)
        peaks = (strongest == ndimage.maximum_filter(strongest, size=5)) & (strongest > 0)
        places, values = np.argwhere(peaks), strongest[peaks]
        kept = np.argsort(-values, kind="stable")[:_MOST]
        if not len(kept):
            return []
        over = values[kept][min(self.rank, len(kept)) - 1]
        radii = np.array(self.radii)[answers.argmax(axis=0)[peaks]][kept]
        return [
            self._box(float(row) + 0.5, float(column) + 0.5, float(radius), float(value / over), channel)
            for (row, column), radius, value in zip(places[kept], radii, values[kept], strict=True)
        ]

    def _standing_out(self, image: Floats, radius: float) -> Floats:
        # a disc of this radius answers most to this width
        sigma = radius / np.sqrt(2)
        found: Floats = -self.sign * sigma**2 * ndimage.gaussian_laplace(image, sigma, truncate=3.0)
        return found

    def _box(self, row: float, column: float, radius: float, certainty: float, channel: int) -> SureBox:
        half_height, half_width = (radius * times / 2 for times in self.shape)
        box = Box(top=row - half_height, left=column - half_width, bottom=row + half_height, right=column + half_width)
        return SureBox(box=box, channel=channel, certainty=certainty)


def tuned(images: Sequence[tuple[str, Floats, Sequence[MarkedBox]]], classes: int) -> tuple[BlobClass, ...]:
    """The setting of each class with the best mean sensitivity of FROC on these images: patient, what the network sees (Y, X), boxes."""
    return tuple(_tuned(images, channel) for channel in range(classes))


def _tuned(images: Sequence[tuple[str, Floats, Sequence[MarkedBox]]], channel: int) -> BlobClass:
    sides = np.array(
        [(one.box.bottom - one.box.top, one.box.right - one.box.left) for *_, boxes in images for one in boxes if one.channel == channel]
    )
    radii = np.sqrt(np.prod(sides, axis=1)) / 2
    tried = tuple(dict.fromkeys(max(float(each), _LEAST_PX) for each in np.quantile(radii, _QUANTILES)))
    height, width = np.median(sides / radii[:, None], axis=0)
    reached: dict[BlobClass, float] = {}
    for sign in (1, -1):
        for rank in _RANKS:
            setting = BlobClass(radii=tried, sign=sign, rank=rank, shape=(float(height), float(width)))
            scans = [
                scan(
                    JudgedImage(
                        patient=patient,
                        found=tuple(setting.boxes(image, channel)),
                        true=tuple(one for one in boxes if one.channel == channel),
                    )
                )
                for patient, image, boxes in images
            ]
            reached[setting] = float(np.mean(sensitivities(scans)))
    return max(reached, key=lambda setting: reached[setting])
