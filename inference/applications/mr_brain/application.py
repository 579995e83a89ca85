"""The manifest of mr-brain, and what it says of a mask; how the mask is computed stands in `extraction`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.mr_brain.extraction import BOUNDING_BOX, BRAIN, extract
from inference.applications.port import Accepts, Application, Golden, Infer, MeasurementOutput, ModelRef, ModelSource, SegmentOutput
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume

LABEL = "intracranial"
PLAUSIBLE_CM3 = (800.0, 2300.0)
"""Intracranial volumes of people from a small child to the largest adults lie well within; outside, the mask is to be looked at."""


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Segment the intracranial space (brain with its CSF) and measure it.

    Raises
    ------
    NoBrain
        The network finds none.
    """
    mask = extract(volume, infer)
    volume_cm3 = int(np.count_nonzero(mask)) * volume.voxel_volume_mm3 / 1000
    return Findings(
        segments=(
            Segment(
                label=LABEL,
                mask=mask,
                category=codes.ANATOMICAL_STRUCTURE,
                type=codes.INTRACRANIAL_SPACE,
                rgb=(250, 170, 60),
                finding_site=codes.HEAD,
            ),
        ),
        measurements=(Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=LABEL),),
        remarks=_remarks(mask, volume_cm3),
    )


def _remarks(mask: NDArray[np.bool_], volume_cm3: float) -> tuple[str, ...]:
    remarks = []
    if mask[0].any() or mask[-1].any():
        remarks.append("The segmentation reaches the first or last slice: part of the brain may lie outside the images.")
    low, high = PLAUSIBLE_CM3
    if not low <= volume_cm3 <= high:
        remarks.append(f"An intracranial volume of {volume_cm3:.0f} cm³ is unusual: look at the segmentation before using the value.")
    return tuple(remarks)


def _source(model: ModelRef, member: str, sha256: str, golden: Golden) -> ModelSource:
    return ModelSource(
        model=model,
        sha256=sha256,
        licence="MIT",
        attribution="deepbet 1.0.2, Lukas Fisch and others, University of Münster (Medical Machine Learning Lab)",
        config=(Path(__file__).parent / "models" / f"{model.name}.pbtxt").read_text(encoding="utf-8"),
        published="the wheel deepbet 1.0.2 on the Python package registry",
        requirement="deepbet==1.0.2",
        member=member,
        golden=golden,
    )


APPLICATION = Application(
    name="mr-brain",
    version="1.0.0",
    title="Intracranial volume on T1 MR",
    # the whole head has to be in the images; brain crops and slabs are not what the network was made for
    accepts=Accepts(modality=("MR",), min_slices=20, max_spacing_mm=6.5, min_extent_mm=100),
    models=(BOUNDING_BOX, BRAIN),
    outputs=(
        SegmentOutput(label=LABEL, type=codes.INTRACRANIAL_SPACE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    analyse=analyse,
    sources=(
        _source(
            BOUNDING_BOX,
            "data/models/bbox_model.pt",
            "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
            Golden(shape=(1, 1, 64, 64, 64), mean=0.15254, deviation=0.35133),
        ),
        _source(
            BRAIN,
            "data/models/model.pt",
            "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
            Golden(shape=(1, 1, 64, 64, 64), mean=0.37994, deviation=0.47850),
        ),
    ),
)
