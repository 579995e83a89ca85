"""Clock of a series over time: which element says when each phase is, in what, and whether its slices say so alike.

Which images are one phase is found by `dimensions`; here is found when it is. Elements are believed in one order: times from the trigger
of a beat, shares of a beat or of a breath, then times as they pass. One that a slice lacks, or that does not rise from phase to phase on
every slice, says nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.errors import OVER_MIDNIGHT, PhasesApart, naming
from inference.imaging.groups import macro
from inference.imaging.slices import FrameData, Slice, frame_data
from inference.imaging.subject import Clock, Timing
from inference.translatable import Translatable, say

LONGEST_BEAT_MS = 3000.0
"""A beat at 20 a minute. What is counted from one trigger on for longer is no phase of a beat, but time: perfusion is sent so."""
LEAST_STEP = 0.5
"""The least share of the usual step from one phase of a beat to the next: two acquisitions that lie between each other are no cine."""
UNLIKE_BEATS = 0.1
"""By how much of the median beat those of slices may differ without a word to the reader: each slice is of another breath-hold."""
MOST_BEATS, MOST_BEATS_BY_RATE = 1.5, 1.9
"""Of the beat that a slice states, what its phases may run for: a stated beat is a mean, and phases of two beats are no cine of one. A rate
may have been entered before the scan, and is held against two whole beats only."""
USUAL_BEAT_MS = 1500.0
"""A beat at 40 a minute: what covers more may be two, and where nothing states a beat the reader is told."""
UNLIKE_WINDOWS = 0.25
"""By how much of the median the share of its stated beat that a slice covers may be another: a slice of another window is another cine."""
_MIDNIGHT_MS = 12 * 3600 * 1000.0
"""A step of half a day between times without a date, or of one day, is one over midnight, put in the wrong order."""

_SYNCHRONISED, _BREATHING, _TEMPORAL = 0x00189118, 0x00209253, 0x00209310
"""Functional groups: Cardiac and Respiratory Synchronization, Temporal Position (PS3.3 C.7.6.16.2)."""
_RR_INTERVAL, _NOMINAL_INTERVAL, _HEART_RATE, _ACQUISITION_NUMBER = 0x00209070, 0x00181062, 0x00181088, 0x00200012
_TO_ITS_DATE = 0x10
_MOST_MS = 1e13
"""Of a time since any day of three centuries."""


def _ms(holder: Dataset, tag: int) -> float | None:
    stated = tags.stated(holder, tag, 1)
    return None if stated is None else stated[0]


def _s(holder: Dataset, tag: int) -> float | None:
    value = _ms(holder, tag)
    return None if value is None else value * 1000


def _date_time(holder: Dataset, tag: int) -> float | None:
    return _since(tags.text(holder, tag))


def _time(holder: Dataset, tag: int) -> float | None:
    return _since(f"20000101{tags.text(holder, tag).strip()}")


def _dated_time(holder: Dataset, tag: int) -> float | None:
    """A time with the day that stands beside it: AcquisitionDate and ContentDate are as far from their times in the standard's order."""
    return _since(f"{tags.text(holder, tag - _TO_ITS_DATE).strip()}{tags.text(holder, tag).strip()}")


def _since(text: str) -> float | None:
    """Milliseconds since an arbitrary day of a DT (PS3.5 6.2); its offset from UTC is that of all images of a series, and not looked at."""
    digits, _, fraction = text.strip().partition("+")[0].partition("-")[0].partition(".")
    try:
        at = datetime.strptime(f"{digits}.{(fraction or '0')[:6]}", "%Y%m%d%H%M%S.%f")
    except ValueError:
        return None
    return (at - datetime(2000, 1, 1)) / timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    """An element that may say the time; `group` is the functional group of it in an enhanced instance, None where its header has it."""

    tag: int
    group: int | None
    clock: Clock
    read: Callable[[Dataset, int], float | None]
    percent: bool = False


_ELEMENTS = (
    _Element(tag=0x00209153, group=_SYNCHRONISED, clock=Clock.HEART, read=_ms),
    _Element(tag=tags.TRIGGER_TIME, group=None, clock=Clock.HEART, read=_ms),
    _Element(tag=0x00209241, group=_SYNCHRONISED, clock=Clock.HEART, read=_ms, percent=True),
    _Element(tag=0x00209245, group=_BREATHING, clock=Clock.BREATH, read=_ms, percent=True),
    _Element(tag=0x0020930D, group=_TEMPORAL, clock=Clock.TIME, read=_s),
    _Element(tag=tags.FRAME_REFERENCE_TIME, group=None, clock=Clock.TIME, read=_ms),
    _Element(tag=0x00189151, group=tags.FRAME_CONTENT, clock=Clock.TIME, read=_date_time),
    _Element(tag=0x00189074, group=tags.FRAME_CONTENT, clock=Clock.TIME, read=_date_time),
    _Element(tag=0x0008002A, group=None, clock=Clock.TIME, read=_date_time),
    _Element(tag=0x00080032, group=None, clock=Clock.TIME, read=_dated_time),
    _Element(tag=0x00080032, group=None, clock=Clock.TIME, read=_time),
    _Element(tag=0x00080033, group=None, clock=Clock.TIME, read=_dated_time),
    _Element(tag=0x00080033, group=None, clock=Clock.TIME, read=_time),
)
"""NominalCardiacTriggerDelayTime, TriggerTime, NominalPercentageOfCardiacPhase, NominalPercentageOfRespiratoryPhase,
TemporalPositionTimeOffset, FrameReferenceTime, FrameReferenceDateTime, FrameAcquisitionDateTime, AcquisitionDateTime, AcquisitionTime,
ContentTime, these two with their date where all images have one."""


def timing_of(phases: Sequence[Sequence[Slice]]) -> tuple[Timing, tuple[Translatable, ...]]:
    """When each phase is, and what a reader has to know of it.

    Parameters
    ----------
    phases
        In the order of time; in each one image of every place, in the order of the places.

    Raises
    ------
    PhasesApart
        A slice is at another time than the others of its phase: by more than half a phase of its beat, or by more than a phase passes. Or
        phases of a beat are of several acquisitions, run for longer than the beat that is stated, or follow each other as those of
        two cines would that lie between each other. Or times without a date run over midnight.
    """
    frames = [frame_data(each) for each in phases]
    for element in _ELEMENTS:
        stated = [[_stated(element, frame) for frame in each] for each in frames]
        if any(value is None for each in stated for value in each):
            continue
        at = np.array(stated, dtype=np.float64)
        if len(at) > 1 and bool((np.diff(at, axis=0) > 0).all()):
            return _timing(element, at, phases, frames)
    unknown = say("The images say in which order their phases are, and not when: no time is given.")
    return Timing(clock=None, attribute="", unit="", values=tuple(map(float, range(len(phases))))), (unknown,)


def no_beat(places: Sequence[Sequence[float]]) -> bool:
    """Whether times from a trigger (ms), two or more of each place, run for longer than any beat: then they are time as it passes."""
    return median(map(covered_ms, places)) > LONGEST_BEAT_MS


def covered_ms(times: Sequence[float]) -> float:
    """What the phases of a place, two or more, cover: the last of them lasts as long as the others on average."""
    return (max(times) - min(times)) * len(times) / (len(times) - 1)


def may_be_apart(places: Sequence[Sequence[float]], clock: Clock) -> bool:
    """Whether times alone, of each place those of its phases, may have slices refused (`timing_of`), whatever they state of their beats."""
    at, covered = np.array(places, dtype=np.float64).T, np.array([covered_ms(times) for times in places])
    off, allowed = _off(at, covered, covered, clock)
    return bool((off >= allowed).any()) or (clock is Clock.HEART and _least_step(at) < LEAST_STEP)


def _stated(element: _Element, frame: FrameData) -> float | None:
    holder = macro(frame.own, frame.common, element.group, frame.uid) if frame.enhanced and element.group is not None else frame.header
    value = element.read(holder, element.tag)
    return value if value is not None and abs(value) <= _MOST_MS else None


def _timing(
    element: _Element, at: NDArray[np.float64], phases: Sequence[Sequence[Slice]], frames: Sequence[Sequence[FrameData]]
) -> tuple[Timing, tuple[Translatable, ...]]:
    """Times (phase, slice) of one element as a timing."""
    name = keyword_for_tag(element.tag)
    covered = np.array([covered_ms(times) for times in at.T.tolist()])
    clock, unit = element.clock, "%" if element.percent else "ms"
    if clock is Clock.HEART and unit == "ms" and no_beat(at.T.tolist()):
        clock = Clock.TIME
    one_day = len(np.unique(at // (2 * _MIDNIGHT_MS))) == 1
    if element.read in (_time, _dated_time) and one_day and float(np.diff(at, axis=0).max()) > _MIDNIGHT_MS:
        raise PhasesApart(OVER_MIDNIGHT.format(keyword=name))
    if clock is Clock.HEART and (several := min(map(_acquisitions, at.T, zip(*frames, strict=True)))) > 1:
        raise PhasesApart(f"each slice was acquired {several} times, by AcquisitionNumber: more than one cine")
    beats, said = _beats(covered, frames) if clock is Clock.HEART and unit == "ms" else (covered, ())
    if clock is Clock.TIME:
        at = at - float(np.median(at[0]))
    off, allowed = _off(at, covered, beats, clock)
    wrong = np.argwhere(off >= allowed)
    if wrong.size:
        of = sorted({int(place) for _, place in wrong})
        phase, place = map(int, wrong[0])
        stated, usual = at[phase, place], float(np.median(at[phase]))
        window = covered[place], beats[place], float(np.median(covered)), float(np.median(beats))
        cut = ", where phases run for {:.4g} of a beat of {:.4g} ms, elsewhere for {:.4g} of {:.4g}".format(*window)
        raise PhasesApart(
            f"{len(of)} of {at.shape[1]} slices are at other times than the others, by {name}: phase {phase + 1} at {stated:.4g} {unit}, "
            f"elsewhere at {usual:.4g} {unit}, for example {naming([phases[phase][place].plane.name])}"
            f"{cut if _unlike_windows(covered, beats)[place] else ''}"
        )
    if clock is Clock.HEART and _least_step(at) < LEAST_STEP:
        steps = np.diff(at, axis=0)
        raise PhasesApart(
            f"phases of a beat follow each other by {steps.min():.4g} to {steps.max():.4g} {unit}, by {name}: more than one cine"
        )
    return Timing(clock=clock, attribute=name, unit="%" if unit == "%" else "ms", values=tuple(map(float, np.median(at, axis=1)))), said


def _least_step(at: NDArray[np.float64]) -> float:
    """The least step from one phase to the next, in usual steps of its slice."""
    steps = np.diff(at, axis=0)
    return float((steps / np.median(steps, axis=0)).min())


def _off(
    at: NDArray[np.float64], covered: NDArray[np.float64], beats: NDArray[np.float64], clock: Clock
) -> tuple[NDArray[np.float64], float]:
    """How far each image (phase, slice) is from others of its phase, and from where on it is of another time; ms or shares of a beat."""
    if clock is Clock.TIME:
        return np.abs(at - np.median(at, axis=1, keepdims=True)), float(np.median((at[-1] - at[0]) / (len(at) - 1)))
    return _off_beat(at, covered, beats), 0.5 / len(at)


def _off_beat(at: NDArray[np.float64], covered: NDArray[np.float64], beats: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far from the others of its phase each image (phase, slice) is, in shares of a beat.

    Slices are one cine where they have the same delays from the trigger (gated prospectively), the same shares of what each covers (gated
    retrospectively: a beat of its own), or the same shares of the beat that each states, which is a mean, and may be a setting: what fits
    all of them best. One that covers another share of its beat than the others is held against the stated ones: its shares of itself are
    those of any cine.
    """
    ways = at / np.median(covered), (at - at[0]) / covered, (at - at[0]) / beats
    offs = [np.abs(way - np.median(way, axis=1, keepdims=True)) for way in ways]
    best = min(offs, key=lambda one: float(one.max()))
    begins = np.abs(at[0] - np.median(at[0])) / beats
    off: NDArray[np.float64] = np.maximum(np.where(_unlike_windows(covered, beats), offs[-1], best), begins)
    return off


def _unlike_windows(covered: NDArray[np.float64], beats: NDArray[np.float64]) -> NDArray[np.bool_]:
    windows = covered / beats
    unlike: NDArray[np.bool_] = np.abs(windows / np.median(windows) - 1) > UNLIKE_WINDOWS
    return unlike


def _beats(covered: NDArray[np.float64], frames: Sequence[Sequence[FrameData]]) -> tuple[NDArray[np.float64], tuple[Translatable, ...]]:
    """How long the beat of each slice is: as all of them state it, or else what its phases cover; and what a reader has to know of it."""
    stated = [beat for frame in frames[0] if (beat := _stated_beat(frame)) is not None]
    if len(stated) < len(frames[0]):
        return covered, (*_unstated(float(covered.max())), *_unlike_beats(covered))
    beats, most = np.array([beat for beat, _ in stated]), np.array([most for _, most in stated])
    worst = int(np.argmax(covered / (most * beats)))
    if covered[worst] > most[worst] * beats[worst]:
        raise PhasesApart(f"phases run for {covered[worst]:.4g} ms where a beat is stated to be {beats[worst]:.4g} ms: more than one beat")
    return beats, _unlike_beats(covered)


def _acquisitions(at: NDArray[np.float64], place: Sequence[FrameData]) -> int:
    """How many acquisitions the images of a slice are of, where each is of as many, of several, and they lie between each other in time:
    phases that are numbered on within a beat are of one cine. Else 1."""
    times: dict[str, list[float]] = {}
    for time, frame in zip(at.tolist(), place, strict=True):
        times.setdefault(tags.text(frame.header, _ACQUISITION_NUMBER), []).append(time)
    ranges = sorted((min(each), max(each)) for each in times.values())
    between = any(begin < end for (_, end), (begin, _) in pairwise(ranges))
    return len(times) if between and len({len(each) for each in times.values()}) == 1 else 1


def _stated_beat(frame: FrameData) -> tuple[float, float] | None:
    """Milliseconds, by the first of RRIntervalTimeNominal, NominalInterval and HeartRate that can be a beat; and how many of it phases may
    run for."""
    group = macro(frame.own, frame.common, _SYNCHRONISED, frame.uid) if frame.enhanced else frame.header
    rate = _ms(frame.header, _HEART_RATE)
    intervals = _ms(group, _RR_INTERVAL), _ms(frame.header, _NOMINAL_INTERVAL)
    for beat, most in (*((one, MOST_BEATS) for one in intervals), (60000 / rate if rate else None, MOST_BEATS_BY_RATE)):
        if beat is not None and 0 < beat <= LONGEST_BEAT_MS:
            return beat, most
    return None


def _unstated(longest: float) -> tuple[Translatable, ...]:
    if longest <= USUAL_BEAT_MS:
        return ()
    return (say("The images cover {ms} ms and do not state how long a beat is: they may show more than one.", ms=f"{longest:.0f}"),)


def _unlike_beats(covered: NDArray[np.float64]) -> tuple[Translatable, ...]:
    least, most, usual = float(covered.min()), float(covered.max()), float(np.median(covered))
    if most - least <= UNLIKE_BEATS * usual:
        return ()
    return (
        say(
            "The images cover another time from slice to slice ({least} to {most} ms): a phase is one share of each beat.",
            least=f"{least:.0f}",
            most=f"{most:.0f}",
        ),
    )
