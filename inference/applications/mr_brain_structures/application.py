"""The manifest of mr-brain-structures, and what it says of labels; what the network sees stands in `preparing`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.mr_brain_structures.network import INPUT, OUTPUT, to_onnx
from inference.applications.mr_brain_structures.preparing import brain_box
from inference.applications.mr_brain_structures.structures import CHANNELS, MIRRORED, PAIRED, STRUCTURES
from inference.applications.port import (
    Accepts,
    Application,
    Golden,
    Infer,
    Licences,
    MeasurementOutput,
    ModelRef,
    ModelSource,
    SegmentOutput,
)
from inference.findings import Findings, Measurement, Segment
from inference.imaging.components import largest_component
from inference.imaging.judge.expects import BodyPart, Contrast, Expects, Plausible, VolumeRange
from inference.imaging.measures.sides import ASYMMETRY, Asymmetry
from inference.imaging.volume import Volume
from inference.stages import BACK, RESAMPLE, stage
from inference.translatable import say

MODEL = ModelRef(name="brainchop_104")

GRADE = say(
    "Research only, not for diagnosis. A published network whose classes are FreeSurfer's; how near its volumes are to a reader's was not "
    "measured."
)

PLAUSIBLE = Plausible(
    structure=say("both thalami"),
    segments=("thalamus left", "thalamus right"),
    # possible: from a small child's to more than any that was published; below, the network has not found what it was made for
    spans=(
        VolumeRange(from_years=None, possible=(4, 40), usual=(9, 22)),
        VolumeRange(from_years=0, possible=(2, 40), usual=(4, 20)),
        VolumeRange(from_years=4, possible=(4, 40), usual=(9, 22)),
    ),
    source="bounds of hilum, set wide around the 13 to 17 cm³ of the three heads that it was tried on",
)

_LABELS = np.array([0, *(place for place, each in enumerate(STRUCTURES, 1) for _ in each.channels)], dtype=np.uint8)
"""Of each channel of the served network the label: 0, or the place in `STRUCTURES` from 1."""
_SWAPPED = np.array([0, *(1 + CHANNELS.index(channel) for channel in MIRRORED)])
"""Of each channel of the served network the one of the other side."""


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Segment the structures and measure them.

    Raises
    ------
    NoBrainForStructures
    """
    with stage(RESAMPLE):
        box = brain_box(volume)
    labels = labels_of(box.image, infer)
    with stage(BACK):
        labels = box.on_source(in_one_piece(labels), volume)
    segments, measurements = [], []
    for value, structure in enumerate(STRUCTURES, 1):
        mask = labels == value
        segments.append(
            Segment(
                label=structure.label,
                mask=mask,
                category=codes.ANATOMICAL_STRUCTURE,
                type=structure.type,
                rgb=structure.rgb,
                finding_site=codes.BRAIN,
                laterality=structure.laterality,
            )
        )
        volume_cm3 = int(np.count_nonzero(mask)) * volume.voxel_volume_mm3 / 1000
        measurements.append(Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=structure.label))
    return Findings(segments=tuple(segments), measurements=tuple(measurements), remarks=(GRADE,))


def labels_of(image: NDArray[np.float32], infer: Infer) -> NDArray[np.uint8]:
    """Of each voxel of a box the place in `STRUCTURES` from 1, or 0 for all else, by the logits of the box and of its mirror image.

    The network alone is not even: of some structures it makes one side larger, whichever that is. Asked so, it cannot.
    """
    logits = infer(MODEL, {INPUT: image[None, None]})[OUTPUT][0]
    mirrored = infer(MODEL, {INPUT: np.ascontiguousarray(image[::-1])[None, None]})[OUTPUT][0]
    labels = np.empty(image.shape, dtype=np.uint8)
    for plane in range(len(labels)):
        # a sum: the order of channels is that of their mean
        labels[plane] = _LABELS[(logits[:, plane] + mirrored[_SWAPPED, -1 - plane]).argmax(axis=0)]
    return labels


def in_one_piece(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The labels without what lies apart from the largest piece of a structure that is one piece."""
    kept = labels.copy()
    for value, structure in enumerate(STRUCTURES, 1):
        mask = labels == value
        if structure.compact and mask.any():
            kept[mask & ~largest_component(mask)] = 0
    return kept


APPLICATION = Application(
    name="mr-brain-structures",
    version="1.0.0",
    title="Deep structures of the brain on T1 MR",
    noun="Brain structures",
    series=13,
    # voxels of 1 mm are what the network knows; of thick slices the small structures are a few
    accepts=Accepts(modality=("MR",), min_slices=60, max_spacing_mm=2.0, max_thickness_mm=2.0, min_extent_mm=100),
    models=(MODEL,),
    outputs=(
        *(SegmentOutput(label=structure.label, type=structure.type) for structure in STRUCTURES),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=ASYMMETRY, unit=codes.PERCENT),
    ),
    licences=Licences(code="Apache-2.0", weights="MIT"),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.T1, plausible=(PLAUSIBLE,), measured="the size of the brain"),
    measures=tuple(Asymmetry(segments=(f"{pair[0]} left", f"{pair[0]} right")) for pair in PAIRED),
    sources=(
        ModelSource(
            model=MODEL,
            sha256="09e80b88aac5069cf536114c9082a30e574c2ef12fbd396cd7c02e8ccb025622",
            licence="MIT",
            attribution="brainchop, model21_104class, neuroneural (Masoud, Hu and Plis, Journal of Open Source Software 8:5098, 2023)",
            config=(Path(__file__).parent / "models" / f"{MODEL.name}.pbtxt").read_text(encoding="utf-8"),
            file="model.onnx",
            published="neuroneural/brainchop-models on GitHub, meshnet/model21_104class/model.pth",
            convert=to_onnx,
            golden=Golden(shape=(1, 1, 64, 64, 64), mean=-7.43257, deviation=0.87553),
        ),
    ),
)
