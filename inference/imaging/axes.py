"""The attributes that may tell apart several images of one place: b-values, echoes, components, times; classic and enhanced.

Each becomes an axis: a key for every slice, equal where the slices belong to the same volume as far as this attribute goes, and words for
people. Whether the keys explain a series is for `dimensions` to find out.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydicom.datadict import dictionary_description, dictionary_has_tag, keyword_for_tag

from inference.imaging import tags
from inference.imaging.diffusion import b_value_of, direction_of
from inference.imaging.groups import macro
from inference.imaging.slices import FrameData, Slice, frame_data

Key: TypeAlias = tuple[float | str, ...]
"""Sortable; () where the attribute does not apply (no gradient direction at b 0)."""

SIGNIFICANT = 6
"""Digits in which two numbers must agree to be one: writers round, physics does not differ so finely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One attribute over all slices of a series.

    Attributes
    ----------
    attribute
        Its keyword.
    plural
        What the volumes are to people: "time points".
    keys
        One per slice.
    labels
        Words for each key; "" where it needs none.
    tells
        Whether people want to know it though something else tells the volumes apart: a b-value, not an acquisition number.
    """

    attribute: str
    plural: str
    keys: tuple[Key, ...]
    labels: Mapping[Key, str]
    tells: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Where an attribute stands in an enhanced instance (functional group, tag) and in a classic one, and how it is said.

    `words` takes the key, its rank from 0 and how many there are. `ranked`: values differ a little from place to place and only their order
    counts; `apart`: and all of one rank come before all of the next. `date`: where the day of a classic one stands.
    """

    enhanced: tuple[int, int] | None
    classic: int | None
    plural: str
    words: Callable[[Key, int, int], str]
    tells: bool = False
    number: bool = True
    ranked: bool = False
    apart: bool = False
    date: int | None = None


def _unit(name: str, unit: str) -> Callable[[Key, int, int], str]:
    return lambda key, rank, count: f"{name} {float(key[0]):g} {unit}".strip()


def _counted(noun: str) -> Callable[[Key, int, int], str]:
    return lambda key, rank, count: f"{noun} {rank + 1} of {count}"


def _echo(key: Key, rank: int, count: int) -> str:
    return f"echo {rank + 1} (TE {float(key[0]):.4g} ms)"


_COMPONENTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary", "W": "water", "F": "fat"} | {
    "IP": "in phase",
    "IN_PHASE": "in phase",
    "OP": "opposed phase",
    "OPP_PHASE": "opposed phase",
    "OUT_PHASE": "opposed phase",
    "T1": "T1 map",
    "T2": "T2 map",
    "FF": "fat fraction",
}


def _component(key: Key, rank: int, count: int) -> str:
    words = [_COMPONENTS.get(str(part), str(part).lower().replace("_", " ")) for part in key]
    return " ".join(dict.fromkeys(words))


B_VALUES = "b-values"
DIRECTIONS = "gradient directions"
"""What the axes of diffusion count."""
_B_VALUE = _Kind(enhanced=(0x00189117, 0x00189087), classic=0x00189087, plural=B_VALUES, words=_unit("b", "s/mm2"), tells=True)
KINDS = (
    _Kind(enhanced=(0x00189114, 0x00189082), classic=0x00180081, plural="echo times", words=_echo, tells=True),
    _Kind(enhanced=(0x00189115, 0x00189079), classic=0x00180082, plural="inversion times", words=_unit("TI", "ms"), tells=True),
    _Kind(enhanced=(0x00189112, 0x00181314), classic=0x00181314, plural="flip angles", words=_unit("flip angle", "degrees"), tells=True),
    _Kind(enhanced=(0x00189325, 0x00180060), classic=0x00180060, plural="tube voltages", words=_unit("", "kV"), tells=True),
    _Kind(
        enhanced=(0x00189314, 0x00181210),
        classic=0x00181210,
        plural="convolution kernels",
        words=lambda key, rank, count: f"kernel {key[0]}",
        tells=True,
        number=False,
    ),
    _Kind(enhanced=(0x00189118, 0x00209241), classic=0x00209241, plural="heart phases", words=_unit("heart phase", "%"), tells=True),
    _Kind(
        enhanced=(0x00209253, 0x00209245),
        classic=0x00209245,
        plural="breathing phases",
        words=_unit("breathing phase", "%"),
        tells=True,
    ),
    _Kind(enhanced=(0x00209111, 0x00209128), classic=0x00200100, plural="time points", words=_counted("time")),
    _Kind(enhanced=(0x00189118, 0x00209153), classic=0x00181060, plural="heart phases", words=_counted("heart phase"), ranked=True),
    _Kind(enhanced=(0x00209111, 0x00209056), classic=None, plural="stacks", words=_counted("stack"), number=False),
    _Kind(enhanced=None, classic=0x00180086, plural="echoes", words=_counted("echo")),
    _Kind(enhanced=(0x00209111, 0x00209156), classic=0x00200012, plural="acquisitions", words=_counted("acquisition")),
    _Kind(
        enhanced=None, classic=0x00180024, plural="sequences", words=lambda key, rank, count: f"sequence {key[0]}", tells=True, number=False
    ),
    _Kind(enhanced=None, classic=0x00541300, plural="time points", words=_counted("time"), ranked=True, apart=True),
    _Kind(
        enhanced=(0x00209111, 0x00189151),
        classic=0x0008002A,
        plural="time points",
        words=_counted("time"),
        number=False,
        ranked=True,
        apart=True,
    ),
    _Kind(
        enhanced=None,
        classic=0x00080032,
        date=0x00080022,
        plural="time points",
        words=_counted("time"),
        number=False,
        ranked=True,
        apart=True,
    ),
    _Kind(enhanced=None, classic=0x00080032, plural="time points", words=_counted("time"), number=False, ranked=True, apart=True),
)
"""In the order in which they are believed, behind b-values: physics before times, times before numbers. EffectiveEchoTime or EchoTime,
InversionTimes, FlipAngle, KVP, ConvolutionKernel, NominalPercentageOfCardiacPhase, NominalPercentageOfRespiratoryPhase,
TemporalPositionIndex or …Identifier, NominalCardiacTriggerDelayTime or TriggerTime, StackID, EchoNumbers, (Frame)AcquisitionNumber,
SequenceName, FrameReferenceTime, date-times; AcquisitionTime with its day, which a scan over midnight needs, before the time alone."""


def axes_of(slices: Sequence[Slice], places: Sequence[Sequence[int]]) -> list[Axis]:
    """The attributes in which images of one place differ, the most telling first.

    Parameters
    ----------
    places
        Indices into `slices` of the images at each place.
    """
    frames = frame_data(slices)
    found = [_axis(_name(kind, frames), kind, [_read(kind, frame) for frame in frames], places) for kind in KINDS]
    # behind the b-values and behind the echoes: a direction without its strength says little
    found[1:1] = [_components(frames, places)]
    found[0:0] = [_b_values(frames, places), _directions(frames, places)]
    found += [_vector(tag, plural, noun, slices, frames, places) for tag, plural, noun in _VECTORS]
    found += _dimensions(frames, places)
    # a time alone says nothing where it stands with its day; a dimension of the same name counts otherwise than what it counts
    kept: dict[tuple[str, str], Axis] = {}
    for axis in found:
        if axis is not None:
            kept.setdefault((axis.attribute, axis.plural), axis)
    return [*kept.values()]


def _name(kind: _Kind, frames: Sequence[FrameData]) -> str:
    tag = kind.enhanced[1] if kind.enhanced and (frames[0].enhanced or kind.classic is None) else kind.classic
    return keyword_for_tag(tag or 0)


def _read(kind: _Kind, frame: FrameData) -> Key | None:
    if frame.enhanced:
        if kind.enhanced is None:
            return None
        holder, tag = macro(frame.own, frame.common, kind.enhanced[0], frame.uid), kind.enhanced[1]
    elif kind.classic is None:
        return None
    else:
        holder, tag = frame.header, kind.classic
    if kind.number:
        number = tags.stated(holder, tag, 1)
        return None if number is None else (float(f"{number[0]:.{SIGNIFICANT}g}"),)
    text = tags.text(holder, tag)
    if kind.date is not None:
        day = tags.text(holder, kind.date).strip()
        return (day, text) if day and text else None
    return (text,) if text else None


def _axis(attribute: str, kind: _Kind, keys: Sequence[Key | None], places: Sequence[Sequence[int]]) -> Axis | None:
    """None where an image lacks the attribute, or where it tells no images of one place apart."""
    known = [key for key in keys if key is not None]
    if len(known) < len(keys) or not any(len({known[index] for index in place}) > 1 for place in places):
        return None
    if kind.ranked:
        ranked = _ranked(known, places, apart=kind.apart)
        if ranked is None:
            return None
        known = ranked
    order = sorted(set(known))
    labels = {key: kind.words(key, rank, len(order)) for rank, key in enumerate(order)}
    return Axis(attribute=attribute, plural=kind.plural, keys=tuple(known), labels=labels, tells=kind.tells)


def _ranked(keys: Sequence[Key], places: Sequence[Sequence[int]], *, apart: bool) -> list[Key] | None:
    """The place of each key among those of its place; None where two are alike, or (`apart`) ranks overlap."""
    ranks: list[Key] = [()] * len(keys)
    for place in places:
        order = sorted(place, key=lambda index: keys[index])
        if len({keys[index] for index in place}) < len(place):
            return None
        for rank, index in enumerate(order):
            ranks[index] = (float(rank),)
    if apart:
        of_rank: dict[Key, list[Key]] = {}
        for rank_, key in zip(ranks, keys, strict=True):
            of_rank.setdefault(rank_, []).append(key)
        spans = [(min(of_rank[rank_]), max(of_rank[rank_])) for rank_ in sorted(of_rank)]
        if any(before[1] >= after[0] for before, after in itertools.pairwise(spans)):
            return None
    return ranks


def _b_values(frames: Sequence[FrameData], places: Sequence[Sequence[int]]) -> Axis | None:
    where, keys = _stated_b_values(frames)
    return _axis(where, _B_VALUE, [key or None for key in keys], places)


def known_b_values(slices: Sequence[Slice]) -> Axis | None:
    """The b-values of those slices that have one; None where none has."""
    where, keys = _stated_b_values(frame_data(slices))
    labels = {key: _B_VALUE.words(key, 0, 0) if key else "" for key in set(keys)}
    return Axis(attribute=where, plural=B_VALUES, keys=tuple(keys), labels=labels, tells=True) if any(keys) else None


def _stated_b_values(frames: Sequence[FrameData]) -> tuple[str, list[Key]]:
    """Where they stand, and the key of each; () of an image that has none."""
    stated = [b_value_of(frame) for frame in frames]
    where = dict.fromkeys(one[1] for one in stated if one is not None)
    return " and ".join(where), [() if one is None else (float(f"{one[0]:.{SIGNIFICANT}g}"),) for one in stated]


def _directions(frames: Sequence[FrameData], places: Sequence[Sequence[int]]) -> Axis | None:
    """Diffusion gradients (PS3.3 C.8.13.5.9): images without one (b 0, trace) stand beside those that have one."""
    keys: list[Key] = [direction_of(frame) for frame in frames]
    if not any(len({keys[index] for index in place}) > 1 for place in places):
        return None
    order = [key for key in sorted(set(keys)) if key]
    labels = {key: f"direction {rank + 1} of {len(order)}" for rank, key in enumerate(order)} | {(): ""}
    return Axis(attribute="DiffusionGradientOrientation", plural=DIRECTIONS, keys=tuple(keys), labels=labels, tells=True)


_FRAME_TYPES = (0x00189226, 0x00189329, 0x00189751)
"""MRImageFrameTypeSequence, CTImageFrameTypeSequence, PETFrameTypeSequence."""


def image_types(frames: Sequence[FrameData]) -> list[tuple[str, ...]]:
    """The words of ImageType or FrameType of each, and ComplexImageComponent behind them."""
    types: list[tuple[str, ...]] = []
    for frame in frames:
        stated, complex_component = tags.text(frame.header, tags.IMAGE_TYPE), ""
        for sequence in _FRAME_TYPES if frame.enhanced else ():
            item = macro(frame.own, frame.common, sequence, frame.uid)
            stated = tags.text(item, 0x00089007) or stated
            complex_component = complex_component or tags.text(item, 0x00089208)
        types.append((*(part.strip() for part in stated.split("\\")), complex_component))
    return types


def _components(frames: Sequence[FrameData], places: Sequence[Sequence[int]]) -> Axis | None:
    """ImageType or FrameType, and ComplexImageComponent: magnitude and phase, water and fat, original and derived."""
    types = image_types(frames)
    if not any(len({types[index] for index in place}) > 1 for place in places):
        return None
    # only the words that differ: what all images share tells nothing
    shared = set.intersection(*(set(each) for each in types))
    keys: list[Key] = [tuple(part for part in each if part and part not in shared) for each in types]
    labels = {key: _component(key, 0, 0) for key in set(keys)}
    return Axis(attribute="ImageType", plural="components", keys=tuple(keys), labels=labels, tells=True)


_VECTORS = (
    (0x00540070, "heart phases", "heart phase"),
    (0x00540060, "R-R intervals", "R-R interval"),
    (0x00540010, "energy windows", "energy window"),
)
"""TimeSlotVector, RRIntervalVector and EnergyWindowVector of nuclear medicine (PS3.3 C.8.4.8): one number a frame."""


def _vector(
    tag: int, plural: str, noun: str, slices: Sequence[Slice], frames: Sequence[FrameData], places: Sequence[Sequence[int]]
) -> Axis | None:
    keys: list[Key | None] = []
    for each, frame in zip(slices, frames, strict=True):
        numbers = tags.stated(frame.header, tag, each.instance.pixels.frames)
        keys.append(None if numbers is None else (numbers[each.frame],))
    return _axis(keyword_for_tag(tag), _Kind(enhanced=None, classic=tag, plural=plural, words=_counted(noun)), keys, places)


_PLACES = frozenset({0x00209057, 0x00200032, 0x00209056, 0x00200037, 0x00209128, 0x00189087, 0x00189089, 0x00189082, 0x00209156})
"""Dimensions that say where a frame lies, or that have a kind of their own above."""


def _dimensions(frames: Sequence[FrameData], places: Sequence[Sequence[int]]) -> list[Axis | None]:
    """The dimensions that an enhanced instance itself names (PS3.3 C.7.6.17), as far as they are not read above."""
    if not all(frame.enhanced for frame in frames):
        return []
    pointers = [_pointers(frame) for frame in {frame.uid: frame for frame in frames}.values()]
    if any(each != pointers[0] for each in pointers):
        return []
    found = []
    for number, pointer in enumerate(pointers[0]):
        if pointer in _PLACES or not dictionary_has_tag(pointer):
            continue
        keys = [_index(frame, number, len(pointers[0])) for frame in frames]
        name = dictionary_description(pointer)
        kind = _Kind(enhanced=None, classic=None, plural=f"values of {name}", words=_counted(name.lower()[:24]))
        found.append(_axis(keyword_for_tag(pointer), kind, keys, places))
    return found


def _pointers(frame: FrameData) -> tuple[int, ...]:
    items = tags.items(frame.header, 0x00209222, frame.uid)
    return tuple(next(iter(tags.pointers(item, 0x00209165)), 0) for item in items)


def _index(frame: FrameData, number: int, count: int) -> Key | None:
    values = tags.stated(macro(frame.own, frame.common, tags.FRAME_CONTENT, frame.uid), 0x00209157, count)
    return None if values is None else (values[number],)
