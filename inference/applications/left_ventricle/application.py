"""The manifest of left-ventricle, and what it says of a beat: which phase is which, which slices count, and when it says nothing."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.left_ventricle.cavity import Cavity, cavity
from inference.applications.left_ventricle.errors import NoBeatingVentricle, NotShortAxis, VentricleCut
from inference.applications.left_ventricle.preparing import BESIDE, LONG_AXIS, PreparedBeat, prepare
from inference.applications.left_ventricle.views import Images, mean_of_views
from inference.applications.port import Accepts, Application, Clock, Infer, Licences, MeasurementOutput, ModelRef, SegmentOutput, Takes
from inference.engines.port import SERVING
from inference.findings import Caution, Findings, Measurement, Segment, in_phase
from inference.imaging.judge.expects import BodyPart, Expects
from inference.imaging.subject import Phases
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

MODEL = ModelRef(name="left_ventricle_cavity", version=SERVING)
"""Made by `hilum train left-ventricle`."""
SLICES_A_CALL = 16
"""At most; a phase has 8 to 15."""
LABEL = "left ventricle cavity"

MOST_OFF_DEGREES = 45.0
"""Slices whose normal is farther from it are no short axis; planes along the axis lie 90 degrees off, axial, coronal and sagittal ones 49
to 64. Bounds of hilum: hearts differ by some 15 degrees, and those that lie on the other side of the chest are declined."""
LEAST_SLICES = 4
LEAST_ML, MOST_ML = 15.0, 700.0
LEAST_EJECTED = 0.05
"""Of the largest volume: less is no beat, or marks that follow none."""
MOST_AT_THE_END = 0.5
"""Of the widest slice's part: the outermost slice of a stack, on the side of the apex, has less where the stack goes down to it."""


def analyse(phases: Phases, infer: Infer) -> Findings:
    """Mark the cavity in every phase; the largest volume is end-diastole, the smallest end-systole.

    Slices in unequal steps are marked as they are, none is made between them: each counts half the way to both its neighbours.

    Raises
    ------
    NotShortAxis, VentricleCut, NoBeatingVentricle
    """
    refuse_other_views(phases)
    prepared = prepare(phases)
    pixel_mm2 = float(np.prod(phases.reference.spacing_mm[1:]))
    found = [_cavity(prepared, phase, pixel_mm2, infer) for phase in range(len(phases))]
    volumes_ml = [phases.reference.volume_mm3(one.mask) / 1000 for one in found]
    diastole, systole = int(np.argmax(volumes_ml)), int(np.argmin(volumes_ml))
    down = goes_down(phases.reference)
    refuse_no_ventricle(found, volumes_ml, prepared.border, down=down)
    open_base = _reaches_the_end(found[diastole], last=not down)
    largest, smallest = volumes_ml[diastole], volumes_ml[systole]
    slices = len(phases.reference.voxels)
    at_diastole, at_systole = (tuple(range(phase * slices, (phase + 1) * slices)) for phase in (diastole, systole))
    both = tuple(sorted((*at_diastole, *at_systole)))

    def volume(name: codes.Code, value: float, images: tuple[int, ...], at_least: bool = False) -> Measurement:
        return Measurement(name=name, value=value, unit=codes.CUBIC_CENTIMETRE, images=images, at_least=at_least)

    return Findings(
        segments=tuple(
            Segment(
                label=in_phase(LABEL, phase),
                mask=one.mask,
                category=codes.ANATOMICAL_STRUCTURE,
                type=codes.LEFT_VENTRICLE,
                rgb=(220, 60, 60),
                phase=phase,
            )
            for phase, one in enumerate(found)
        ),
        measurements=(
            volume(codes.END_DIASTOLIC_VOLUME, largest, at_diastole, open_base),
            volume(codes.END_SYSTOLIC_VOLUME, smallest, at_systole, open_base),
            volume(codes.STROKE_VOLUME, largest - smallest, both),
            Measurement(name=codes.EJECTION_FRACTION, value=100 * (largest - smallest) / largest, unit=codes.PERCENT, images=both),
        ),
        remarks=tuple(_which(phases, found, diastole, systole)),
        cautions=(Caution(sentence=OPEN_BASE),) if open_base else (),
    )


def goes_down(reference: Volume) -> bool:
    """Whether slices are counted from the base to the apex."""
    return bool(reference.affine[:3, 0] @ LONG_AXIS > 0)


def refuse_other_views(phases: Phases) -> None:
    """Decline planes that do not lie across the long axis of a ventricle.

    Raises
    ------
    NotShortAxis
    """
    down, across = phases.reference.affine[:3, 1], phases.reference.affine[:3, 2]
    normal = np.cross(down, across)
    cosine = abs(float(normal @ LONG_AXIS)) / float(np.linalg.norm(normal))
    off = float(np.degrees(np.arccos(min(cosine, 1.0))))
    if off > MOST_OFF_DEGREES:
        raise NotShortAxis(
            f"the slices' normal is {off:.0f} degrees from the long axis of most hearts, at most {MOST_OFF_DEGREES:.0f} are a short axis"
        )


def refuse_no_ventricle(found: Sequence[Cavity], volumes_ml: Sequence[float], border: NDArray[np.bool_], *, down: bool) -> None:
    """Decline what is marked where it is no whole ventricle that beats.

    Parameters
    ----------
    border
        (Y, X) where nobody sees how it goes on.
    down
        Whether slices are counted from the base to the apex.

    Raises
    ------
    NoBeatingVentricle, VentricleCut
    """
    diastole, systole = int(np.argmax(volumes_ml)), int(np.argmin(volumes_ml))
    largest, smallest = volumes_ml[diastole], volumes_ml[systole]
    if found[diastole].slices < LEAST_SLICES:
        raise NoBeatingVentricle(
            f"a cavity is marked on {found[diastole].slices} neighbouring slices at most, and at least {LEAST_SLICES} are needed"
        )
    if not LEAST_ML <= largest <= MOST_ML:
        raise NoBeatingVentricle(f"the largest volume marked is {largest:.0f} ml, and a ventricle has {LEAST_ML:.0f} to {MOST_ML:.0f}")
    if smallest == 0:
        raise NoBeatingVentricle(f"nothing is marked in phase {systole + 1}, and no ventricle empties wholly")
    if largest - smallest < LEAST_EJECTED * largest:
        raise NoBeatingVentricle(
            f"the largest volume marked is {largest:.1f} ml and the smallest {smallest:.1f}: nothing that is marked beats"
        )
    if any((one.mask & border).any() for one in found):
        raise VentricleCut("the cavity reaches the border of what the network sees")
    share = _share_at_the_apex(found[diastole], down=down)
    if _reaches_the_end(found[diastole], last=down) and share > MOST_AT_THE_END:
        raise VentricleCut(
            f"the outermost slice at the apex has {100 * share:.0f} % of the cavity that the widest has: the stack ends before the apex"
        )


def _cavity(prepared: PreparedBeat, phase: int, pixel_mm2: float, infer: Infer) -> Cavity:
    """What counts in one phase. An even slice shows nothing, whatever a network says of it."""
    images = prepared.images[phase]
    scores = np.full(images.shape, BESIDE, dtype=np.float32)
    shown = np.flatnonzero(images.any(axis=(1, 2)))

    def marked(some: Images) -> Images:
        """How likely cavity is, from -1 to 1."""
        answer = infer(MODEL, {"INPUT__0": some[:, None]})["OUTPUT__0"]
        likely: Images = np.tanh((answer[:, 1] - answer[:, 0]) / 2)
        return likely

    for start in range(0, len(shown), SLICES_A_CALL):
        some = shown[start : start + SLICES_A_CALL]
        scores[some] = mean_of_views(images[some], marked)
    return cavity(prepared.back(scores) > 0, pixel_mm2)


def _share_at_the_apex(one: Cavity, *, down: bool) -> float:
    """The part of the slice that counts nearest to the apex, as a share of the widest."""
    sizes = np.count_nonzero(one.mask, axis=(1, 2))
    return float(sizes[one.last if down else one.first] / sizes.max())


def _reaches_the_end(one: Cavity, *, last: bool) -> bool:
    """Whether the stack's last slice counts, or its first: nothing shows that the ventricle ends there."""
    return one.last == len(one.mask) - 1 if last else one.first == 0


OPEN_BASE = say(
    "The cavity goes on to the last slice at the base: no image shows where the ventricle ends. Volumes at end-diastole and end-systole "
    "are at least those told; stroke volume and ejection fraction are of what is shown, and may be larger or smaller."
)


def _which(phases: Phases, found: Sequence[Cavity], diastole: int, systole: int) -> Iterator[Translatable]:
    """Which phases and which slices the numbers are of, counted from 1, slices along the stack."""
    for phase, which in ((diastole, _AT_DIASTOLE), (systole, _AT_SYSTOLE)):
        one = found[phase]
        yield say(
            "{which}: phase {phase} of {phases}, slices {first} to {last} of {slices} count.",
            which=(which,),
            phase=str(phase + 1),
            phases=str(len(phases)),
            first=str(one.first + 1),
            last=str(one.last + 1),
            slices=str(len(one.mask)),
        )
        if one.left_out:
            yield say(
                "{which}: what is marked on slices {left} does not lie over the rest, or is too large beside it, and does not count.",
                which=(which,),
                left=", ".join(str(z + 1) for z in one.left_out),
            )
    yield say("The papillary muscles count as cavity.")


_AT_DIASTOLE, _AT_SYSTOLE = say("End-diastole (the largest volume)"), say("End-systole (the smallest volume)")


APPLICATION = Application(
    name="left-ventricle",
    version="1.0.0",
    title="Left ventricle on short-axis cine MR",
    noun="Left ventricle",
    series=10,
    accepts=Accepts(
        modality=("MR",),
        takes=Takes.PHASES,
        min_slices=6,
        min_phases=8,
        max_phases=100,
        clock=(Clock.HEART,),
        max_spacing_mm=12.0,
        max_thickness_mm=12.0,
        remark_spacing_mm=12.0,
    ),
    models=(MODEL,),
    outputs=(
        SegmentOutput(label=LABEL, type=codes.LEFT_VENTRICLE),
        *(
            MeasurementOutput(name=name, unit=codes.CUBIC_CENTIMETRE)
            for name in (codes.END_DIASTOLIC_VOLUME, codes.END_SYSTOLIC_VOLUME, codes.STROKE_VOLUME)
        ),
        MeasurementOutput(name=codes.EJECTION_FRACTION, unit=codes.PERCENT),
    ),
    licences=Licences(code="Apache-2.0", data="CC0-1.0", commercial="yes"),
    analyse=analyse,
    as_acquired=True,
    expects=Expects(
        part=BodyPart.CHEST, own_borders=True, measured="the cavity: on how many slices it is, how large, and by how much it changes"
    ),
)
