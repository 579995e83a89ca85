"""Heads and masks made by formula, so that what the judge says of them can be worked out by hand."""

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import SliceSource, Volume

LABEL = "structure"


def volume_of(
    voxels: NDArray[np.generic], spacing_mm: tuple[float, float, float], modality: str = "MR", years: int | None = None
) -> Volume:
    """(Z, Y, X) with axes to the head, to the back and to the left."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing_mm, 1.0
    return Volume(
        voxels=voxels,
        affine=affine,
        sources=tuple(SliceSource(sop_instance_uid=f"1.2.{n}", sop_class_uid="1.2") for n in range(len(voxels))),
        modality=modality,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        frame_of_reference_uid="1.2.3.5",
        patient_years=years,
    )


def brain(shape: tuple[int, int, int] = (76, 88, 76), step_mm: float = 2.5, *, lower: int = 12) -> NDArray[np.bool_]:
    """An egg, 175 mm long, 136 wide, 132 high, the narrower end in front, the lower part farther back: 1.6 litres, as an adult's.

    `lower` planes lie below it.
    """
    z, y, x = (np.arange(count) * step_mm for count in shape)
    up = (z - lower * step_mm - 66)[:, None, None] / 66
    along = (y[None, :] - 110 + 0.3 * 66 * up[:, :, 0])[:, :, None] / 87.5
    across = (x - 95)[None, None, :] / (68 * (1 + 0.5 * np.clip(along, -1, 1)))
    inside: NDArray[np.bool_] = up**2 + along**2 + across**2 < 1
    return inside


def pictured(mask: NDArray[np.bool_], *, seed: int = 3) -> NDArray[np.int16]:
    """Tissue of unequal values in the mask, darker bone around it, and air with a little noise."""
    noise = np.random.default_rng(seed).normal(0, 40, mask.shape)
    return np.clip(np.where(mask, 900, 30) + noise, 0, None).astype(np.int16)


def found(volume: Volume, mask: NDArray[np.bool_], label: str = LABEL) -> Findings:
    """One segment and its volume, as an application gives them."""
    volume_cm3 = int(mask.sum()) * volume.voxel_volume_mm3 / 1000
    return Findings(
        segments=(Segment(label=label, mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=codes.BRAIN, rgb=(1, 2, 3)),),
        measurements=(
            Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=label),
            Measurement(name=codes.ATTENUATION_COEFFICIENT, value=30.0, unit=codes.HOUNSFIELD_UNIT, segment=label),
        ),
    )
