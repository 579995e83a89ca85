"""What the values of images are: attenuation, a diffusion coefficient, standardized uptake, or the signal of MR, which has no unit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from inference import codes
from inference.codes import Code
from inference.imaging import tags
from inference.imaging.alike import rescale_type
from inference.imaging.groups import functional_groups
from inference.imaging.measures.body_weight import suv_factor
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

ADC = Code("113041", "DCM", "Apparent Diffusion Coefficient")
MR_SIGNAL = Code("110852", "DCM", "MR signal intensity")
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")
SQUARE_MICROMETRES_A_SECOND = Code("um2/s", "UCUM", "square micrometer per second")

_FACTORS = (1.0, 1e3, 1e6)
"""Stored ADCs are in 10⁻⁶, 10⁻³ or 1 mm²/s; 1 µm²/s is 10⁻⁶ mm²/s."""
_USUAL_ADC = (50.0, 5000.0)
"""Of the median of an image in µm²/s: water that diffuses freely at 37 °C has some 3,000, and no tissue a sixtieth of it."""
_FEWEST = 100
"""Voxels above 0, of which a median says something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What values are, in which unit; they are those of the voxels times `factor`.

    Attributes
    ----------
    sign
        The unit as part of a code's value ("HU"); "" where a threshold would mean nothing.
    """

    name: Code
    unit: Code
    sign: str
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Why nobody can say what the values are."""

    reason: Translatable


HOUNSFIELD = Quantity(name=codes.ATTENUATION_COEFFICIENT, unit=codes.HOUNSFIELD_UNIT, sign="HU")
DIFFUSION = Quantity(name=ADC, unit=SQUARE_MICROMETRES_A_SECOND, sign="UM2/S")
SIGNAL = Quantity(name=MR_SIGNAL, unit=ARBITRARY, sign="")
UPTAKE = Quantity(
    name=Code("126401", "DCM", "SUVbw"), unit=Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"), sign="SUVBW"
)
OF_MODALITY = {"CT": (HOUNSFIELD,), "MR": (DIFFUSION, SIGNAL), "PT": (UPTAKE,)}
"""What the values of a modality's images may be."""


def quantity_of(volume: Volume, headers: Sequence[Dataset]) -> Quantity | Unknown:
    """What the values of a volume are, by the headers of its images; of an ADC the power of ten by its values."""
    if volume.modality == "CT":
        others = sorted({kind for header in headers if (kind := str(rescale_type(_rescaled_to(header), "CT"))) != "HU"})
        if others:
            return Unknown(reason=say("the values of these images are {kind}, not HU", kind=", ".join(others)))
        return HOUNSFIELD
    if volume.modality == "MR":
        if headers and all("ADC" in tags.text(header, tags.IMAGE_TYPE).split("\\") for header in headers):
            return _diffusion(volume)
        return SIGNAL
    if volume.modality == "PT":
        factor = suv_factor(headers)
        return replace(UPTAKE, factor=factor) if isinstance(factor, float) else Unknown(reason=factor)
    return Unknown(reason=say("it is not known here what the values of {modality} images are", modality=volume.modality))


def _diffusion(volume: Volume) -> Quantity | Unknown:
    """ADC maps rarely state their unit; powers of a thousand lie farther apart than any two tissues."""
    sampled = volume.voxels[:, ::2, ::2]
    above = sampled[sampled > 0]
    if above.size >= _FEWEST:
        median = float(np.median(above))
        for factor in _FACTORS:
            if _USUAL_ADC[0] <= median * factor <= _USUAL_ADC[1]:
                return replace(DIFFUSION, factor=factor)
    return Unknown(reason=say("the unit of this ADC map cannot be told from its values"))


def _rescaled_to(header: Dataset) -> str:
    """RescaleType (0028,1054), of enhanced images that of the first frame."""
    uid = tags.text(header, tags.SOP_INSTANCE_UID)
    shared, per_frame = functional_groups(header, int((tags.stated(header, tags.NUMBER_OF_FRAMES, 1) or (1.0,))[0]), uid)
    holders = [header]
    for group in (shared, *per_frame[:1]):
        holders += tags.items(group, tags.PIXEL_VALUE_TRANSFORMATION, uid)
    return next((said for holder in holders if (said := tags.text(holder, tags.RESCALE_TYPE))), "")
