"""The manifest of bright-lesion, and what it says of the parts that stand out; how they are found stands in `contrast` and `lesions`."""

from collections.abc import Iterator

import numpy as np

from inference import codes
from inference.applications.bright_lesion.contrast import Mask, NotFlair, contrast
from inference.applications.bright_lesion.lesions import LEAST_MM3, Lesion, lesions_in
from inference.applications.port import (
    Accepts,
    Application,
    EvaluationOutput,
    Infer,
    LocationOutput,
    MeasurementOutput,
    SaliencyOutput,
)
from inference.findings import Evaluation, Findings, Location, Measurement, Saliency
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.volume import Volume
from inference.translatable import Translatable, of_the_whole, say

LABEL = "lesion"
MAP = "bright contrast"
MOST = 20
"""Lesions that are reported one by one: a list of more is not read."""
MOST_OUTSTANDING = 0.06
"""Share of the searched brain that may stand out beside large lesions: heavy lesion loads are a few percent, water on T2 is more."""
MOST_LARGE = 0.25
"""Share that large lesions may take: a tumour of 250 mL with its oedema is; water on T2, grown, takes a third and more."""
BRIGHTEST = 2.3
"""How bright large lesions may be, against the brain's median: on FLAIR once and a half to twice as bright, water on T2 is more."""

HOW = say("Bright spots were found by threshold and component analysis, not by a trained detector.")


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Find what is much brighter than the brain around it.

    Raises
    ------
    NoBrain
        No brain is found to look in.
    NotFlair
        Too much stands out.
    """
    seen = contrast(volume)
    found, outstanding = lesions_in(seen, volume)
    searched = int(np.count_nonzero(seen.search))
    if outstanding > MOST_OUTSTANDING * searched:
        raise NotFlair(f"{100 * outstanding / searched:.0f} % of the brain are brighter than their surroundings, in many places")
    _refuse_water(volume, seen.large, seen.search)
    named = [(f"{LABEL} {number}", lesion) for number, lesion in enumerate(found[:MOST], start=1)]
    return Findings(
        locations=tuple(
            Location(label=label, finding=codes.LESION, shape=lesion.shape, image=lesion.image, finding_site=codes.BRAIN)
            for label, lesion in named
        ),
        measurements=tuple(measurement for label, lesion in named for measurement in _measurements(label, lesion)),
        evaluations=(Evaluation(finding=codes.LESION, value=codes.PRESENT if found else codes.ABSENT, finding_site=codes.BRAIN),),
        saliencies=(Saliency(label=MAP, values=seen.values, quantity=codes.SALIENCY, unit=codes.NO_UNITS),),
        remarks=tuple(_remarks(found, searched * volume.voxel_volume_mm3 / 1000)),
    )


def _refuse_water(volume: Volume, large: Mask, search: Mask) -> None:
    """Large parts that are too bright or too many for lesions are water, which is dark on FLAIR."""
    share = int(np.count_nonzero(large)) / int(np.count_nonzero(search))
    if share > MOST_LARGE:
        raise NotFlair(f"large bright parts take {100 * share:.0f} % of the brain, lesions on FLAIR {100 * MOST_LARGE:.0f} % at most")
    if share > 0:
        brightness = float(np.median(volume.voxels[large])) / float(np.median(volume.voxels[search & ~large]))
        if brightness > BRIGHTEST:
            raise NotFlair(
                f"large bright parts are {brightness:.1f} times as bright as the brain, lesions on FLAIR {BRIGHTEST} times at most"
            )


def _measurements(label: str, lesion: Lesion) -> Iterator[Measurement]:
    yield Measurement(name=codes.VOLUME, value=lesion.volume_mm3 / 1000, unit=codes.CUBIC_CENTIMETRE, location=label)
    if lesion.diameter_mm > 0:
        yield Measurement(name=codes.LONG_AXIS, value=lesion.diameter_mm, unit=codes.MILLIMETRE, location=label)


def _remarks(found: list[Lesion], searched_cm3: float) -> Iterator[Translatable]:
    yield HOW
    yield say(
        "Looked for in {searched} cm³ of brain, 5 mm from its surface and deeper, from {least} mm³ on. Small and faint lesions are missed; "
        "choroid plexus, vessels and cortex may be marked.",
        searched=f"{searched_cm3:.0f}",
        least=f"{LEAST_MM3:.0f}",
    )
    if len(found) > MOST:
        rest_cm3 = sum(lesion.volume_mm3 for lesion in found[MOST:]) / 1000
        told = {"most": str(MOST), "found": str(len(found)), "rest": f"{rest_cm3:.2f}"}
        yield of_the_whole(say("The {most} largest of {found} are listed; the others are {rest} cm³ together and show on the map.", **told))


APPLICATION = Application(
    name="bright-lesion",
    version="1.1.0",
    title="Bright spots on FLAIR MR by threshold",
    noun="Bright spots",
    series=8,
    # a whole head; the usual slices of 5 mm with 1.5 mm between them hold a small lesion once or not at all, and the reader is told
    accepts=Accepts(modality=("MR",), min_slices=15, max_spacing_mm=7.0, min_extent_mm=90, remark_spacing_mm=3.5),
    models=(),
    outputs=(
        LocationOutput(finding=codes.LESION),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=codes.LONG_AXIS, unit=codes.MILLIMETRE),
        EvaluationOutput(finding=codes.LESION),
        SaliencyOutput(label=MAP),
    ),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.FLAIR),
    family=codes.MORPHOLOGICAL_OPERATIONS,
)
