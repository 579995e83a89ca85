"""The manifest of mr-brain, and what it says of a mask; how the mask is computed stands in `extraction`."""

from functools import partial
from pathlib import Path

import numpy as np

from inference import codes
from inference.applications.mr_brain.extraction import BOUNDING_BOX, BRAIN, extract
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
from inference.engines.modelconfig import parse_text
from inference.findings import Findings, Measurement, Segment
from inference.imaging.judge.expects import BodyPart, Contrast, Expects, Form, Marked, Plausible, VolumeRange
from inference.imaging.volume import Volume
from inference.translatable import say

LABEL = "intracranial"
PLAUSIBLE = Plausible(
    structure=say("an intracranial volume"),
    segments=(LABEL,),
    # possible: from children born months too early and the smallest heads that live to hydrocephalus that was never drained; usual: nearly
    # everybody. No source gives the extremes: they are set far beyond what was measured
    spans=(
        VolumeRange(from_years=None, possible=(150, 4000), usual=(800, 2150)),
        VolumeRange(from_years=0, possible=(60, 4000), usual=(300, 1300)),
        VolumeRange(from_years=1, possible=(250, 4000), usual=(700, 1600)),
        VolumeRange(from_years=3, possible=(300, 4000), usual=(900, 1850)),
        VolumeRange(from_years=8, possible=(300, 4000), usual=(1000, 2050)),
    ),
    source="bounds of hilum, set wide of Sgouros and others, J Neurosurg 91:610, 1999, and Bethlehem and others, Nature 604:525, 2022",
)


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
    )


def _to_onnx(config: str, name: str, published: bytes) -> bytes:
    from inference.engines.exporting import convert

    return convert(parse_text(config, name, f"the configuration of {name}"), ".pt", published, "onnx")


def _source(model: ModelRef, member: str, sha256: str, golden: Golden) -> ModelSource:
    config = (Path(__file__).parent / "models" / f"{model.name}.pbtxt").read_text(encoding="utf-8")
    return ModelSource(
        model=model,
        sha256=sha256,
        licence="MIT",
        attribution="deepbet 1.0.2, Lukas Fisch and others, University of Münster (Medical Machine Learning Lab)",
        config=config,
        published="the wheel deepbet 1.0.2 on the Python package registry",
        requirement="deepbet==1.0.2",
        member=member,
        to_onnx=partial(_to_onnx, config, model.name),
        golden=golden,
    )


APPLICATION = Application(
    name="mr-brain",
    version="1.0.0",
    title="Intracranial volume on T1 MR",
    noun="Brain volume",
    series=1,
    # the whole head has to be in the images; brain crops and slabs are not what the network was made for
    accepts=Accepts(modality=("MR",), min_slices=20, max_spacing_mm=6.5, min_extent_mm=100),
    models=(BOUNDING_BOX, BRAIN),
    outputs=(
        SegmentOutput(label=LABEL, type=codes.INTRACRANIAL_SPACE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    licences=Licences(code="Apache-2.0"),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.T1, marked=(Marked(segments=(LABEL,), form=Form.BRAIN),), plausible=(PLAUSIBLE,)),
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
