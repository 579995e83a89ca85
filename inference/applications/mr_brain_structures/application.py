"""The manifest of mr-brain-structures, and what it says of labels; what the network sees stands in `preparing`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.mr_brain_structures.hippocampi import AFFINE_MODEL, HIPPOCAMPUS_MODEL, TISSUES_MODEL, hippocampi
from inference.applications.mr_brain_structures.hippodeep import HALF, SIDE, affine_onnx, hippocampus_onnx, tissues_onnx
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
    "Research only, not for diagnosis. Published networks, of which one knows the hippocampus alone; how near their volumes are to a "
    "reader's was not measured."
)

CUT = say(
    "The images end within the brain: where a part of it is missing, the networks mark less of what is there, too, and volumes may be far "
    "too small."
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

NEAR = 10
"""Voxels of 1 mm between the pieces of one ventricle, at most."""

_VALUES = {structure.label: value for value, structure in enumerate(STRUCTURES, 1)}
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
    marked = hippocampi(volume, infer)
    with stage(BACK):
        labels = box.on_source(in_place(labels, box.of_source(marked.left | marked.right, volume)), volume)
        for label, mask in (("hippocampus left", marked.left), ("hippocampus right", marked.right)):
            # of a voxel that a ventricle has too the network counts that was made for the hippocampus
            labels[largest_component(mask)] = _VALUES[label]
    segments, measurements = [], []
    for structure in STRUCTURES:
        mask = labels == _VALUES[structure.label]
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
    return Findings(segments=tuple(segments), measurements=tuple(measurements), remarks=(GRADE, CUT) if box.cut else (GRADE,))


def labels_of(image: NDArray[np.float32], infer: Infer) -> NDArray[np.uint8]:
    """Of each voxel of a box the place in `STRUCTURES` from 1, or 0 for all else, by the logits of the box and of its mirror image.

    The network alone is not even: of some structures it makes one side larger, whichever that is. Asked so, it cannot.
    """
    logits = infer(MODEL, {INPUT: image[None, None]})[OUTPUT][0]
    mirrored = infer(MODEL, {INPUT: np.ascontiguousarray(image[::-1])[None, None]})[OUTPUT][0]
    labels = np.empty(logits.shape[1:], dtype=np.uint8)
    for plane in range(len(labels)):
        # a sum: the order of channels is that of their mean
        labels[plane] = _LABELS[(logits[:, plane] + mirrored[_SWAPPED, -1 - plane]).argmax(axis=0)]
    return labels


def in_place(labels: NDArray[np.uint8], hippocampi: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The labels without what lies apart from the largest piece of a structure.

    Of ventricles, which may seem parted, pieces stay that come within `NEAR` voxels of the largest; of one with sides those near a
    hippocampus too, along which its inferior horn runs.
    """
    kept = labels.copy()
    for value, structure in enumerate(STRUCTURES, 1):
        mask = labels == value
        if mask.any():
            largest = largest_component(mask)
            beside = largest | hippocampi if structure.laterality else largest
            kept[mask & ~(largest if structure.compact else _near(mask, beside))] = 0
    return kept


def _near(mask: NDArray[np.bool_], beside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pieces of a mask that come within `NEAR` voxels of another."""
    from scipy import ndimage

    pieces, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    away = ndimage.distance_transform_edt(~beside)
    near = np.unique(pieces[mask & (away <= NEAR)])
    return np.isin(pieces, near[near > 0])


def _source(
    model: ModelRef, sha256: str, convert: Callable[[bytes], bytes], published: str, attribution: str, golden: Golden
) -> ModelSource:
    return ModelSource(
        model=model,
        sha256=sha256,
        licence="MIT",
        attribution=attribution,
        config=(Path(__file__).parent / "models" / f"{model.name}.pbtxt").read_text(encoding="utf-8"),
        file="model.onnx",
        published=published,
        convert=convert,
        golden=golden,
    )


_BRAINCHOP = "brainchop, model21_104class, neuroneural (Masoud, Hu and Plis, Journal of Open Source Software 8:5098, 2023)"
_HIPPODEEP = "hippodeep (Thyreau, Sato, Fukuda and Taki, Medical Image Analysis 43:214-228, 2018)"
_TORCHPARAMS = "bthyreau/hippodeep_pytorch on GitHub, torchparams"

SOURCES = (
    _source(
        MODEL,
        "09e80b88aac5069cf536114c9082a30e574c2ef12fbd396cd7c02e8ccb025622",
        to_onnx,
        "neuroneural/brainchop-models on GitHub, meshnet/model21_104class/model.pth",
        _BRAINCHOP,
        Golden(shape=(1, 1, 64, 64, 64), mean=-7.21318, deviation=0.56287),
    ),
    _source(
        TISSUES_MODEL,
        "f50ada0f3e6011955f00a05e6da070b1528adde30a80b802f8a73ea9d918cff9",
        tissues_onnx,
        f"{_TORCHPARAMS}/params_head_00075_00000.pt",
        _HIPPODEEP,
        Golden(shape=(1, 1, SIDE, SIDE, SIDE), mean=0.01868, deviation=0.06522, scale=10),
    ),
    _source(
        AFFINE_MODEL,
        "070fce2921a3d333eb85560c0873c65c91cc4c41ac99c219e4f3172cc43333b7",
        affine_onnx,
        f"{_TORCHPARAMS}/paramsaffineta_00079_00000.pt",
        _HIPPODEEP,
        Golden(shape=(1, 2, SIDE, SIDE, SIDE), mean=0.13521, deviation=0),
    ),
    _source(
        HIPPOCAMPUS_MODEL,
        "38d9340ad960958618fd6235385a9a20f8d7c1840696e6180dac7598847e1846",
        hippocampus_onnx,
        f"{_TORCHPARAMS}/hippodeep.pt",
        _HIPPODEEP,
        Golden(shape=(1, 1, *HALF), mean=0.00040, deviation=0.00090, tolerance=5e-5),
    ),
)

APPLICATION = Application(
    name="mr-brain-structures",
    version="1.1.0",
    title="Deep structures of the brain on T1 MR",
    noun="Brain structures",
    series=13,
    # voxels of 1 mm are what the network knows; of thick slices the small structures are a few
    accepts=Accepts(modality=("MR",), min_slices=60, max_spacing_mm=2.0, max_thickness_mm=2.0, min_extent_mm=100),
    models=(MODEL, TISSUES_MODEL, AFFINE_MODEL, HIPPOCAMPUS_MODEL),
    outputs=(
        *(SegmentOutput(label=structure.label, type=structure.type) for structure in STRUCTURES),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=ASYMMETRY, unit=codes.PERCENT),
    ),
    licences=Licences(code="Apache-2.0", weights="MIT"),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.T1, plausible=(PLAUSIBLE,), measured="the size of the brain"),
    measures=tuple(Asymmetry(segments=(f"{pair[0]} left", f"{pair[0]} right")) for pair in PAIRED),
    sources=SOURCES,
)
