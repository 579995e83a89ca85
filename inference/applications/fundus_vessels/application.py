"""The manifest of fundus-vessels, and what it says of a photograph: where the field lies stands in `field`, what is marked in `reading`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.fundus_vessels.field import Field, field_of
from inference.applications.fundus_vessels.network import to_onnx
from inference.applications.fundus_vessels.reading import ARTERIES_AND_VEINS, VESSELS, VesselReading, read_photograph
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
    Takes,
)
from inference.codes import Code
from inference.errors import InputError
from inference.findings import Findings, Measurement, Segment, of_image
from inference.imaging.subject import Image, Images
from inference.translatable import Translatable, say

PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
"""Ophthalmic Photography 8 Bit Image Storage."""

VESSEL_SHARE = Code("VESSEL-SHARE", "99HILUM", "Vessels, share of the field of view")
ARTERY_SHARE = Code("ARTERY-SHARE", "99HILUM", "Arteries, share of the field of view")
VEIN_SHARE = Code("VEIN-SHARE", "99HILUM", "Veins, share of the field of view")
VESSEL_PARTS = Code("VESSEL-PARTS", "99HILUM", "Separate parts of the vessels")
"""No published scheme has codes for these: they are this project's own."""
ONE_NETWORK = Code("LWNET-042", "99HILUM", "Probability over 0.42, network learned from DRIVE")
TWO_NETWORKS = Code("LWNET-AV", "99HILUM", "Mean of two networks, learned from DRIVE and HRF")
TOUCHING = Code("PARTS-8-50", "99HILUM", "Touching pixels, 50 or more of 512 by 512")

LEAST_SHARE, MOST_SHARE = 2.0, 30.0
"""Percent of the field, chosen here and not measured: the one photograph that this was tried on has 16; what is round and red and no fundus
has next to none, and noise has much."""

GRADE = say(
    "Research only, not for diagnosis. Published networks, trained on a few dozen photographs from two places; how well they do on others "
    "was not measured."
)
NO_SCALE = say(
    "Shares are of the field of view, which cameras have of different widths: compare them only between photographs of one camera and one "
    "field. Nothing here is a length."
)
_SIDES: Mapping[str, Translatable] = {"R": say("right eye"), "L": say("left eye")}
_LATERALITIES: Mapping[str, Code] = {"R": codes.RIGHT, "L": codes.LEFT}


@dataclass(frozen=True, slots=True, kw_only=True)
class _VesselKind:
    """What is marked on a photograph, and what is said of it."""

    label: str
    type: Code
    rgb: tuple[int, int, int]
    share: Code
    method: Code
    mask: Callable[[VesselReading], NDArray[np.bool_]]


_KINDS = (
    _VesselKind(
        label="vessels",
        type=codes.BLOOD_VESSEL,
        rgb=(240, 240, 90),
        share=VESSEL_SHARE,
        method=ONE_NETWORK,
        mask=lambda reading: reading.vessel,
    ),
    _VesselKind(
        label="arteries",
        type=codes.ARTERY,
        rgb=(255, 60, 60),
        share=ARTERY_SHARE,
        method=TWO_NETWORKS,
        mask=lambda reading: reading.artery,
    ),
    _VesselKind(
        label="veins", type=codes.VEIN, rgb=(80, 130, 255), share=VEIN_SHARE, method=TWO_NETWORKS, mask=lambda reading: reading.vein
    ),
)
"""Over each other: thin vessels are neither artery nor vein to the networks that tell these apart."""


class NotAFundus(InputError):
    """None of the photographs shows the fundus in colour, in a round field of view, with vessels on it."""

    code = "HLM-3230"
    remedy = (
        "Look at the images: fundus-vessels needs colour photographs of the fundus with their dark surround. Angiograms, red-free and "
        "external photographs, or crops without a rim: narrow the route's `when`, or cancel the job."
    )


def analyse(images: Images, infer: Infer) -> Findings:
    """Mark vessels, arteries and veins on every colour photograph of the fundus, and say how much of its field each of them is.

    Raises
    ------
    NotAFundus
    """
    segments: list[Segment] = []
    measurements: list[Measurement] = []
    told: list[Translatable] = []
    left_out: dict[int, Translatable] = {}
    for index, image in enumerate(images.images):
        seen = _read(image, infer)
        if isinstance(seen, VesselReading):
            segments += _segments(seen, index, image.laterality)
            measurements += _measurements(seen, index)
            told.append(_remark(images, index, seen))
        else:
            left_out[index] = seen
    if not measurements:
        reasons = "; ".join(dict.fromkeys(left_out.values()))
        raise NotAFundus(f"no image of series {images.series_instance_uid} is a colour photograph of the fundus: {reasons}")
    without = (
        say("Image {number} was left out: {reasons}.", number=images.called(index), reasons=(reason,)) for index, reason in left_out.items()
    )
    return Findings(segments=tuple(segments), measurements=tuple(measurements), remarks=(GRADE, *told, *without, NO_SCALE))


def _read(image: Image, infer: Infer) -> VesselReading | Translatable:
    """What is seen on one image, or why it is left out, half a sentence."""
    if image.source.sop_class_uid != PHOTOGRAPH:
        return say("it is not stored as an Ophthalmic Photography 8 Bit Image")
    field = field_of(image)
    if not isinstance(field, Field):
        return field
    reading = read_photograph(image.pixels, field, infer)
    share = reading.share(reading.vessel)
    if LEAST_SHARE <= share <= MOST_SHARE:
        return reading
    return say(
        "{share} % of its field is marked as vessel, on a fundus {least} to {most} %",
        share=f"{share:.1f}",
        least=f"{LEAST_SHARE:g}",
        most=f"{MOST_SHARE:g}",
    )


def _segments(reading: VesselReading, index: int, laterality: str) -> Iterator[Segment]:
    for kind in _KINDS:
        mask = kind.mask(reading)
        if mask.any():
            yield Segment(
                label=of_image(kind.label, index),
                mask=mask[np.newaxis],
                category=codes.ANATOMICAL_STRUCTURE,
                type=kind.type,
                rgb=kind.rgb,
                finding_site=codes.RETINA,
                laterality=_LATERALITIES.get(laterality),
                image=index,
            )


def _measurements(reading: VesselReading, index: int) -> Iterator[Measurement]:
    """Each of what is marked; where nothing is, of the image."""
    for kind in _KINDS:
        mask = kind.mask(reading)
        of: dict[str, Any] = {"segment": of_image(kind.label, index)} if mask.any() else {"images": (index,)}
        yield Measurement(name=kind.share, value=reading.share(mask), unit=codes.PERCENT, method=kind.method, **of)
    vessels = of_image(_KINDS[0].label, index)
    yield Measurement(name=VESSEL_PARTS, value=reading.parts, unit=codes.NO_UNITS, method=TOUCHING, segment=vessels)


def _remark(images: Images, index: int, reading: VesselReading) -> Translatable:
    """Whose eye it is, by the header alone, and how far the two networks agree on what is an artery."""
    number, side = images.called(index), _SIDES.get(images.images[index].laterality) or say("side not stated")
    if reading.agreed is None:
        return say("Image {number} ({side}): no pixel is an artery or a vein to both networks.", number=number, side=side)
    return say(
        "Image {number} ({side}): of what both networks call artery or vein, they name {agreed} % alike.",
        number=number,
        side=side,
        agreed=f"{100 * reading.agreed:.0f}",
    )


def _source(model: ModelRef, folder: str, sha256: str, learned: str, golden: Golden) -> ModelSource:
    return ModelSource(
        model=model,
        sha256=sha256,
        licence="MIT",
        attribution=f"lwnet, Galdran and others (arXiv 2009.01907, 2020); learned from {learned}",
        config=(Path(__file__).parent / "models" / f"{model.name}.pbtxt").read_text(encoding="utf-8"),
        file="model.onnx",
        published=f"agaldran/lwnet on GitHub, experiments/{folder}/model_checkpoint.pth",
        convert=to_onnx,
        golden=golden,
    )


_DRIVE = "DRIVE, whose images are for research and education only"

APPLICATION = Application(
    name="fundus-vessels",
    version="1.1.0",
    title="Vessels on fundus photographs",
    noun="Fundus vessels",
    series=11,
    accepts=Accepts(modality=("OP",), takes=Takes.IMAGES),
    models=(VESSELS, *ARTERIES_AND_VEINS),
    outputs=(
        *(SegmentOutput(label=kind.label, type=kind.type) for kind in _KINDS),
        *(MeasurementOutput(name=name, unit=codes.PERCENT) for name in (VESSEL_SHARE, ARTERY_SHARE, VEIN_SHARE)),
        MeasurementOutput(name=VESSEL_PARTS, unit=codes.NO_UNITS),
    ),
    licences=Licences(code="Apache-2.0", weights="MIT", data="DRIVE: research and education only; HRF: CC-BY-4.0", commercial="no"),
    analyse=analyse,
    sources=(
        _source(
            VESSELS,
            "wnet_drive",
            "91f0cada4b26ece63464b05be60f9b3a51f1bcd1f764081d07d3a35961118de1",
            _DRIVE,
            Golden(shape=(1, 3, 64, 64), mean=0.70265, deviation=1.83742),
        ),
        _source(
            ARTERIES_AND_VEINS[0],
            "big_wnet_drive_av",
            "3ef72c572c436d758b7d266ed2719e82b69ae472ea1a16e0b60ba847c920bfb5",
            _DRIVE,
            Golden(shape=(1, 3, 64, 64), mean=-0.55591, deviation=0.86147),
        ),
        _source(
            ARTERIES_AND_VEINS[1],
            "big_wnet_hrf_av_1024",
            "c533b8e6549c875240da492d641f03e9bd91f784d6cfc819fbfd2af19574b170",
            "HRF (CC BY 4.0)",
            Golden(shape=(1, 3, 64, 64), mean=0.59323, deviation=12.17417),
        ),
    ),
)
