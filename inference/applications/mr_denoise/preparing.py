"""Pre-processing: divides a head by its estimated noise, and brings the result back; training, evaluation and serving all go through here.

The network sees values divided by the noise's deviation: to it the noise is always as strong, and only how bright the tissue is differs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.engines.extras import demand
from inference.errors import InputError
from inference.imaging.volume import Volume

Image: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]

BESIDE = 2
"""Slices on either side that the network sees for each that it gives."""
HALO = 8
"""Pixels around what it gives that it has to see: one a layer."""
DEPTH, SIDE = 8, 128
"""What it gives at once: slices, and pixels along both sides."""
WINDOW = (DEPTH + 2 * BESIDE, SIDE + 2 * HALO, SIDE + 2 * HALO)
LEAST, MOST = 0.015, 0.13
"""Noise that is taken, as a share of the head's median; the network was trained on 2 to 10 %."""

_FLAT = 0.25
"""The share of the head that is asked for its noise."""
_TO_DEVIATION = 0.6745
"""The median of a normal deviate's absolute value."""


class NotMagnitude(InputError):
    """The images are no plain magnitude images: of the Enhanced MR class, with negative values, or even."""

    code = "HLM-3200"
    remedy = "Cancel the job, and narrow the route: classic MR images whose ImageType has M and no ADC, phase, real or imaginary part."


class OtherNoise(InputError):
    """There is less noise in the images than the network was trained on, or more."""

    code = "HLM-3201"
    remedy = "Cancel the job: with so little noise there is nothing to gain, and with so much nobody has measured what the network does."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedHead:
    """A head as multiples of its noise.

    Attributes
    ----------
    image
        (Z, Y, X).
    sigma
        The noise's deviation in the volume's units; `image` times it is the volume.
    share
        The same as a share of the median in the head.
    """

    image: Image
    sigma: float
    share: float

    def restored(self, network: Callable[[Image], Image]) -> Image:
        """The image that the network gives, in the volume's units; window by window, without seams.

        Parameters
        ----------
        network
            From `WINDOW` to (DEPTH, SIDE, SIDE) in its middle.
        """
        slices, rows, columns = self.image.shape
        padding = [
            (margin, margin + -side % step) for side, step, margin in ((slices, DEPTH, BESIDE), (rows, SIDE, HALO), (columns, SIDE, HALO))
        ]
        padded = np.pad(self.image, padding, mode="reflect")
        made = np.empty([side - 2 * margin for side, margin in zip(padded.shape, (BESIDE, HALO, HALO), strict=True)], dtype=np.float32)
        for z in range(0, slices, DEPTH):
            for y in range(0, rows, SIDE):
                for x in range(0, columns, SIDE):
                    seen = padded[z : z + WINDOW[0], y : y + WINDOW[1], x : x + WINDOW[2]]
                    made[z : z + DEPTH, y : y + SIDE, x : x + SIDE] = network(np.ascontiguousarray(seen))
        return made[:slices, :rows, :columns] * np.float32(self.sigma)


def prepare(volume: Volume) -> PreparedHead:
    """Estimate the noise of a head and divide by it.

    Raises
    ------
    NotMagnitude, OtherNoise
    """
    values = volume.voxels.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0:
        raise NotMagnitude(f"series {volume.series_instance_uid} has negative values: magnitude images have none")
    head = head_of(values)
    sigma = noise_of(values, head)
    median = float(np.median(values[head])) if head.any() else 0.0
    if median == 0:
        raise NotMagnitude(f"half of what stands out in series {volume.series_instance_uid} is 0: that is no head")
    share = sigma / median
    if not LEAST <= share <= MOST:
        raise OtherNoise(
            f"the noise of series {volume.series_instance_uid} is {100 * share:.1f} % of the median in the head; "
            f"{100 * LEAST:g} to {100 * MOST:g} % are taken"
        )
    return PreparedHead(image=values / np.float32(sigma), sigma=sigma, share=share)


def head_of(values: NDArray[Any]) -> Mask:
    """The largest body brighter than the air around it (Otsu), with its hollows.

    Raises
    ------
    LibraryNotInstalled
        SimpleITK is not.
    NotMagnitude
        Every voxel has the same value.
    """
    demand("mr-denoise", "SimpleITK")
    # a tenth of a second to import, and manifests are read by commands that run nothing
    import SimpleITK as sitk

    if values.min() == values.max():
        raise NotMagnitude("the images are even: every voxel has the same value")
    image = sitk.DiscreteGaussian(sitk.GetImageFromArray(values.astype(np.float32, copy=False)), variance=1.0, useImageSpacing=False)
    body = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.OtsuThreshold(image, 0, 1)), sortByObjectSize=True) == 1
    mask: Mask = sitk.GetArrayFromImage(sitk.BinaryFillhole(body)) > 0
    return mask


def noise_of(values: NDArray[Any], head: Mask) -> float:
    """The deviation of the noise within the head: the median of the finest diagonal wavelet (Haar, in three dimensions), as Donoho's.

    It is taken where the head is flattest: with thick slices, anatomy is in the finest wavelet as well. Where the signal is a few times
    the noise, Rician noise is normal with this very deviation.
    """
    detail, mean, whole = values.astype(np.float64), values.astype(np.float64), head
    for axis in range(3):
        even, odd = [slice(None)] * 3, [slice(None)] * 3
        even[axis], odd[axis] = slice(0, values.shape[axis] // 2 * 2, 2), slice(1, None, 2)
        detail = (detail[tuple(even)] - detail[tuple(odd)]) / np.sqrt(2)
        mean = (mean[tuple(even)] + mean[tuple(odd)]) / 2
        whole = whole[tuple(even)] & whole[tuple(odd)]
    if not whole.any() or min(mean.shape) < 2:
        return 0.0
    steep = np.sum([np.gradient(mean, axis=axis) ** 2 for axis in range(3)], axis=0)
    flat = whole & (steep <= np.quantile(steep[whole], _FLAT))
    return float(np.median(np.abs(detail[flat]))) / _TO_DEVIATION
