"""The manifest of ct-lung, and what it says of the masks; how they are computed stands in `segmentation`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.ct_lung.anatomy import Side
from inference.applications.ct_lung.network import to_onnx
from inference.applications.ct_lung.segmentation import MODEL, STORED, segment
from inference.applications.ct_lung.stored import finishing, preparing
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
from inference.codes import Code
from inference.engines.port import WholeImage
from inference.findings import Findings, Measurement, Segment
from inference.imaging.judge.expects import BodyPart, Expects, Form, Marked, Plausible, VolumeRange
from inference.imaging.volume import Volume
from inference.translatable import Translatable, of_the_whole, say

_LABELS = {Side.LEFT: "lung left", Side.RIGHT: "lung right", Side.BOTH: "lungs"}
_TYPES = {Side.LEFT: codes.LUNG, Side.RIGHT: codes.LUNG, Side.BOTH: codes.LUNGS}
_LATERALITY: dict[Side, Code | None] = {Side.LEFT: codes.LEFT, Side.RIGHT: codes.RIGHT, Side.BOTH: None}
_ALL = tuple(_LABELS.values())
PLAUSIBLE = Plausible(
    structure=say("a volume of both lungs"),
    segments=_ALL,
    # possible: from the lungs of a child born months too early to the largest that were measured; usual: CT in any depth of breath
    spans=(
        VolumeRange(from_years=None, possible=(30, 12000), usual=(700, 9000)),
        VolumeRange(from_years=0, possible=(30, 1500), usual=(80, 600)),
        VolumeRange(from_years=2, possible=(100, 4500), usual=(300, 2500)),
        VolumeRange(from_years=8, possible=(200, 9000), usual=(700, 5500)),
        VolumeRange(from_years=16, possible=(300, 12000), usual=(1300, 9000)),
    ),
    source="bounds of hilum, set wide of Quanjer and others, Eur Respir J 6 suppl 16:5, 1993, and Gollogly and others, Spine 29:2061, 2004",
)
"""No source gives the extremes: they are set wide of total lung capacities, with room for one lung and for lungs breathed out."""
_COLOURS = {Side.LEFT: (90, 170, 230), Side.RIGHT: (240, 150, 110), Side.BOTH: (150, 200, 120)}


def _config(name: str) -> str:
    return (Path(__file__).parent / "models" / f"{name}.pbtxt").read_text(encoding="utf-8")


def _step(name: str, make: Callable[[], bytes] | None) -> ModelSource:
    """A step around the network, or (without `make`) the ensemble of all of them: made here, not published."""
    return ModelSource(
        model=ModelRef(name=name),
        sha256="",
        licence="Apache-2.0",
        attribution="hilum",
        config=_config(name),
        file="" if make is None else "model.onnx",
        make=make,
    )


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Segment the lungs; measure volume and mean attenuation of each. Without lungs: a volume of 0 and no segment."""
    masks = segment(volume, infer)
    if not masks:
        nothing = Measurement(name=codes.VOLUME, value=0.0, unit=codes.CUBIC_CENTIMETRE)
        return Findings(measurements=(nothing,), remarks=(of_the_whole(say("No lung was found in these images.")),))
    return Findings(
        segments=tuple(_segment(side, mask) for side, mask in masks.items()),
        measurements=_with_total([each for side, mask in masks.items() for each in _measurements(volume, side, mask)]),
        remarks=_remarks(masks),
    )


def _segment(side: Side, mask: NDArray[np.bool_]) -> Segment:
    return Segment(
        label=_LABELS[side],
        mask=mask,
        category=codes.ANATOMICAL_STRUCTURE,
        type=_TYPES[side],
        rgb=_COLOURS[side],
        finding_site=_TYPES[side],
        laterality=_LATERALITY[side],
    )


def _measurements(volume: Volume, side: Side, mask: NDArray[np.bool_]) -> tuple[Measurement, Measurement]:
    volume_cm3 = int(np.count_nonzero(mask)) * volume.voxel_volume_mm3 / 1000
    mean_hu = float(volume.voxels[mask].mean(dtype=np.float64))
    return (
        Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=_LABELS[side]),
        Measurement(
            name=codes.ATTENUATION_COEFFICIENT,
            value=mean_hu,
            unit=codes.HOUNSFIELD_UNIT,
            segment=_LABELS[side],
            derivation=codes.MEAN,
        ),
    )


def _with_total(measured: list[Measurement]) -> tuple[Measurement, ...]:
    """And the volume of both lungs together, where they were measured one by one."""
    volumes = [one for one in measured if one.name == codes.VOLUME]
    return (*measured, Measurement.sum_of(volumes, codes.LUNGS)) if len(volumes) > 1 else tuple(measured)


def _remarks(masks: dict[Side, NDArray[np.bool_]]) -> tuple[Translatable, ...]:
    return (say("Left and right lung could not be told apart: they are one segment."),) if Side.BOTH in masks else ()


APPLICATION = Application(
    name="ct-lung",
    version="1.1.0",
    title="Lung volume and attenuation on chest CT",
    noun="Lungs",
    series=3,
    accepts=Accepts(modality=("CT",), min_slices=8, max_spacing_mm=10.0, min_extent_mm=40, orientation="axial"),
    models=(MODEL,),
    outputs=(
        *(SegmentOutput(label=_LABELS[side], type=_TYPES[side]) for side in _LABELS),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=codes.ATTENUATION_COEFFICIENT, unit=codes.HOUNSFIELD_UNIT, derivation=codes.MEAN),
    ),
    licences=Licences(code="Apache-2.0"),
    analyse=analyse,
    expects=Expects(part=BodyPart.CHEST, marked=(Marked(segments=_ALL, form=Form.LUNGS),), plausible=(PLAUSIBLE,)),
    sources=(
        ModelSource(
            model=MODEL,
            sha256="2d9356d7a7766aecfa02b7d40ecebc4daba0b151d3705e2b77b1a389e7588b07",
            licence="MIT",
            attribution="UNet-Small, William Knottenbelt; trained on the Lung CT Segmentation Challenge 2017 (LCTSC)",
            config=_config(MODEL.name),
            file="model.onnx",
            published="knottwill/UNet-Small on GitHub, Models/UNet_wdk24.pt",
            convert=to_onnx,
            golden=Golden(shape=(1, 1, 64, 64), mean=0.55518, deviation=0.46410, scale=400),
            call=WholeImage(model=STORED),
        ),
        _step(f"{MODEL.name}_before", preparing),
        _step(f"{MODEL.name}_behind", finishing),
        _step(STORED.name, None),
    ),
)
