"""The manifest of cardiac-phase, what its network sees of a cine, and how the slices' answers become one."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.left_ventricle.application import refuse_other_views
from inference.applications.left_ventricle.preparing import WINDOW, normalised, prepare
from inference.applications.port import Accepts, Application, Clock, EvaluationOutput, Infer, Licences, ModelRef, Takes
from inference.engines.port import SERVING
from inference.errors import InputError
from inference.findings import Evaluation, Findings
from inference.imaging.judge.expects import BodyPart, Expects
from inference.imaging.subject import Phases
from inference.translatable import Translatable, say

MODEL = ModelRef(name="cardiac_phase", version=SERVING)
"""Made by `hilum train cardiac-phase`."""
COARSER = 2
"""Pixels of left-ventricle's window that are one of this network's, along either side."""
SIDE = WINDOW[0] // COARSER
SLICES_A_CALL = 4
"""At most, each with all its frames."""

MOST_CYCLES_OFF = 0.075
"""Of the beat: how far around the frame that is told the slices' answers are counted as about it."""
LEAST_AGREEING = 0.3
"""Of the answers, in the mean of the slices, as much has to lie there: of 20 frames that do not differ it is 0.15."""


class NoBeatSeen(InputError):
    """No frame of the cine looks more like end-diastole, or like end-systole, than the others do, or one looks most like both."""

    code = "HLM-3260"
    remedy = "Look at the images: a phantom, another organ or another view is no short-axis cine of a heart. Cancel the job."


def analyse(phases: Phases, infer: Infer) -> Findings:
    """Tell end-diastole and end-systole: what all slices together say of each frame.

    Raises
    ------
    NotShortAxis, NoBeatSeen
    """
    refuse_other_views(phases)
    told = answers(phases, infer)
    diastole, systole = (_frame(one, which) for one, which in zip(told, ("end-diastole", "end-systole"), strict=True))
    if diastole == systole:
        raise NoBeatSeen(f"phase {diastole + 1} looks most like end-diastole, and most like end-systole: no beat has both in one")
    slices = len(phases.reference.voxels)

    def of_phase(finding: codes.Code, phase: int) -> Evaluation:
        return Evaluation(finding=finding, value=codes.PRESENT, images=tuple(range(phase * slices, (phase + 1) * slices)))

    return Findings(
        evaluations=(of_phase(codes.END_DIASTOLE, diastole), of_phase(codes.END_SYSTOLE, systole)),
        remarks=tuple(_which(phases, diastole, systole)),
    )


def answers(phases: Phases, infer: Infer) -> NDArray[np.float64]:
    """(2, T, Z): how much the network takes each frame of each slice for end-diastole and for end-systole, 1 in sum over the frames."""
    seen = shown(phases)
    scores = np.concatenate(
        [infer(MODEL, {"INPUT__0": seen[start : start + SLICES_A_CALL]})["OUTPUT__0"] for start in range(0, len(seen), SLICES_A_CALL)]
    ).astype(np.float64)
    likely = np.exp(scores - scores.max(axis=2, keepdims=True))
    told: NDArray[np.float64] = (likely / likely.sum(axis=2, keepdims=True)).transpose(1, 2, 0)
    return told


def shown(phases: Phases) -> NDArray[np.float32]:
    """What the network sees of a cine: (Z, 1, T, `SIDE`, `SIDE`)."""
    return pooled(prepare(phases).images).transpose(1, 0, 2, 3)[:, None]


def pooled(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (…, row, column) of the window as the network sees them: means of `COARSER` by `COARSER` pixels, each frame by itself."""
    *before, rows, columns = images.shape
    parts = images.reshape(*before, rows // COARSER, COARSER, columns // COARSER, COARSER)
    return np.ascontiguousarray(normalised(parts.mean(axis=(-3, -1), dtype=np.float32)))


def _frame(told: NDArray[np.float64], which: str) -> int:
    """The frame (from 0) that the slices' answers (T, Z) together say is it: slices that say nothing say it of all frames alike."""
    frame = int(np.argmax(np.log(told + 1e-6).sum(axis=1)))
    frames = np.arange(len(told))
    off = np.abs((frames - frame + len(frames) / 2) % len(frames) - len(frames) / 2) / len(frames)
    agreeing = float(told[off <= MOST_CYCLES_OFF].sum(axis=0).mean())
    if agreeing < LEAST_AGREEING:
        raise NoBeatSeen(
            f"{100 * agreeing:.0f} % of what the slices' frames look like speaks for phase {frame + 1} as {which}, "
            f"and at least {100 * LEAST_AGREEING:.0f} % are asked for"
        )
    return frame


def _which(phases: Phases, diastole: int, systole: int) -> Iterator[Translatable]:
    """Which phases they are, counted from 1, and when."""
    for phase, which in ((diastole, _DIASTOLE), (systole, _SYSTOLE)):
        at, of = str(phase + 1), str(len(phases))
        if moment := phases.moment(phase):
            yield say("{which} is phase {phase} of {phases}, at {moment}.", which=(which,), phase=at, phases=of, moment=moment)
        else:
            yield say("{which} is phase {phase} of {phases}.", which=(which,), phase=at, phases=of)
    yield say(
        "Told by how all slices look, and not by a volume: a network that has learned from made cines only, which demonstrates the way of "
        "a study."
    )


_DIASTOLE, _SYSTOLE = say("End-diastole"), say("End-systole")


APPLICATION = Application(
    name="cardiac-phase",
    version="1.0.0",
    title="Phases of the beat on short-axis cine MR",
    noun="Phases of the beat",
    series=15,
    accepts=Accepts(
        modality=("MR",),
        takes=Takes.PHASES,
        min_slices=3,
        min_phases=8,
        max_phases=100,
        clock=(Clock.HEART,),
        max_spacing_mm=12.0,
        max_thickness_mm=12.0,
        remark_spacing_mm=12.0,
    ),
    models=(MODEL,),
    outputs=(EvaluationOutput(finding=codes.END_DIASTOLE), EvaluationOutput(finding=codes.END_SYSTOLE)),
    licences=Licences(code="Apache-2.0", data="CC0-1.0", commercial="yes"),
    analyse=analyse,
    as_acquired=True,
    grade="demonstration",
    expects=Expects(part=BodyPart.CHEST, measured="which of its frames is end-diastole and which end-systole"),
)
