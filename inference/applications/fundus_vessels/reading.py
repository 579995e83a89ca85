"""What three published networks say of a fundus photograph: where its vessels are, and which of them are arteries and veins.

The box of the field of view is stretched to the size that a network learned on, asked as it is and mirrored, and the mean of the four
probabilities is brought back to the pixels of the photograph (Galdran and others, arXiv 2009.01907). One network tells vessels; two, which
learned from other photographs, arteries and veins, and the mean of both counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from inference.applications.fundus_vessels.field import Field
from inference.applications.fundus_vessels.network import INPUT, OUTPUT
from inference.applications.port import Infer, ModelRef

VESSELS = ModelRef(name="lwnet_vessels")
ARTERIES_AND_VEINS = (ModelRef(name="lwnet_av_drive"), ModelRef(name="lwnet_av_hrf"))
SIDES = {VESSELS: 512, ARTERIES_AND_VEINS[0]: 512, ARTERIES_AND_VEINS[1]: 1024}
"""Pixels of the square that each network learned on."""
ABOVE = 0.42
"""The probability from which on its authors call something vessel."""

LEAST_PART = 50
"""Pixels of the 512 × 512 that a part of the vessels has, at least, to be counted: about one in five thousand of them."""

_MIRRORED: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
_BACKGROUND, _UNCERTAIN, _ARTERY, _VEIN = range(4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VesselReading:
    """What was seen on one photograph.

    Attributes
    ----------
    field
        (Y, X) where it shows the fundus.
    vessel, artery, vein
        (Y, X) pixels of the field; an artery and a vein have none in common.
    parts
        How many parts the vessels fall into, of `LEAST_PART` pixels or more at the network's own size.
    agreed
        Of the pixels that both networks call artery or vein, the share that they call the same; None where there is none.
    """

    field: NDArray[np.bool_]
    vessel: NDArray[np.bool_]
    artery: NDArray[np.bool_]
    vein: NDArray[np.bool_]
    parts: int
    agreed: float | None

    def share(self, mask: NDArray[np.bool_]) -> float:
        """Of the field, in percent."""
        return 100 * int(np.count_nonzero(mask)) / int(np.count_nonzero(self.field))


def read_photograph(pixels: NDArray[np.uint8], field: Field, infer: Infer) -> VesselReading:
    """Look at one photograph, (Y, X, 3) RGB, with all networks."""
    crop = np.ascontiguousarray(pixels[field.top : field.bottom, field.left : field.right])
    inside = field.mask()
    small = probabilities(crop, VESSELS, infer)[0]
    vessel = (stretched_back(small, inside.shape) > ABOVE) & inside
    alone = [_of_kinds(crop, model, infer) for model in ARTERIES_AND_VEINS]
    kinds = [each.argmax(axis=0) for each in alone]
    together = (alone[0] + alone[1]).argmax(axis=0)
    both = (kinds[0] > 0) & (kinds[1] > 0) & inside
    seen = int(np.count_nonzero(both))
    return VesselReading(
        field=_put_back(inside, field, pixels),
        vessel=_put_back(vessel, field, pixels),
        artery=_put_back((together == 1) & inside, field, pixels),
        vein=_put_back((together == 2) & inside, field, pixels),
        parts=_parts(small > ABOVE, inside),
        agreed=int(np.count_nonzero(both & (kinds[0] == kinds[1]))) / seen if seen else None,
    )


def probabilities(crop: NDArray[np.uint8], model: ModelRef, infer: Infer) -> NDArray[np.float32]:
    """(classes, side, side) the mean over four mirrored copies of the field's box, (Y, X, 3) RGB, at the network's size.

    One class is a sigmoid, several are a softmax.
    """
    side = SIDES[model]
    seen = np.asarray(Picture.fromarray(crop).resize((side, side), Picture.Resampling.BILINEAR), dtype=np.float32).transpose(2, 0, 1) / 255
    total = None
    for axes in _MIRRORED:
        logits: NDArray[np.float32] = infer(model, {INPUT: np.ascontiguousarray(np.flip(seen, axes))[None]})[OUTPUT][0]
        found = np.flip(_sigmoid(logits) if len(logits) == 1 else _softmax(logits), axes)
        total = found if total is None else total + found
    assert total is not None
    mean: NDArray[np.float32] = (total / len(_MIRRORED)).astype(np.float32)
    return mean


def in_kinds(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, …) background, artery and vein of the four classes: half of what is uncertain is given to either."""
    half = probability[_UNCERTAIN] / 2
    kinds: NDArray[np.float32] = np.stack([probability[_BACKGROUND], probability[_ARTERY] + half, probability[_VEIN] + half])
    return kinds


def stretched_back(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(Y, X) values at a network's size on the pixels of the box, by cubic interpolation."""
    back: NDArray[np.float32] = np.asarray(Picture.fromarray(values).resize((shape[1], shape[0]), Picture.Resampling.BICUBIC))
    return back


def _of_kinds(crop: NDArray[np.uint8], model: ModelRef, infer: Infer) -> NDArray[np.float32]:
    return np.stack([stretched_back(np.ascontiguousarray(each), crop.shape) for each in in_kinds(probabilities(crop, model, infer))])


def _put_back(mask: NDArray[np.bool_], field: Field, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    whole = np.zeros(pixels.shape[:2], dtype=np.bool_)
    whole[field.top : field.bottom, field.left : field.right] = mask
    return whole


def _parts(vessel: NDArray[np.bool_], inside: NDArray[np.bool_]) -> int:
    """How many parts touch each other nowhere, not by a corner either; (side, side) vessels, and the field as it is on the photograph."""
    from scipy import ndimage

    rows, columns = (((np.arange(side) + 0.5) * of / side).astype(int) for side, of in zip(vessel.shape, inside.shape, strict=True))
    labels, _ = ndimage.label(vessel & inside[np.ix_(rows, columns)], structure=np.ones((3, 3)))
    return int(np.count_nonzero(np.bincount(labels.ravel())[1:] >= LEAST_PART))


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # overflows to infinity, and so to 0, as it should
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-logits))).astype(np.float32)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=0))
    probability: NDArray[np.float32] = powers / powers.sum(axis=0)
    return probability
