"""Alike check: the slices of one volume are images of one kind. What geometry takes for one stack may be two that lie between each other: a
reconstruction and its averages, two kernels, two echoes. Headers say it but for one thing, which values do: whether slices that are
rescaled by intercepts of their own are in one unit.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeAlias

import numpy as np

from inference.imaging import tags
from inference.imaging.axes import image_types
from inference.imaging.diffusion import b_value_of
from inference.imaging.errors import MixedKinds, naming
from inference.imaging.groups import macro
from inference.imaging.slices import FrameData, Slice, frame_data
from inference.imaging.stored import Values

Kind: TypeAlias = Hashable
_Rescaled: TypeAlias = tuple[Kind, Kind, float]
"""The form of stored values (BitsStored, PixelRepresentation), RescaleSlope and RescaleIntercept."""
_ROUGHLY = 1.1
"""Two numbers are one where they do not differ by more: scanners write what was reached, not what was asked for."""
_NEVER_NOTHING = frozenset({"EchoTime", "SliceThickness", "KVP"})
"""A 0 in these is what a writer leaves where it does not know: no slice is without thickness. An inversion time or b-value of 0 is one."""
_AS_STORED = ((1.0,), (0.0,))
"""RescaleSlope and RescaleIntercept that change nothing."""
_LEAST_BLOCK = 3
"""Slices of one kind that are a block, as over the base of a skull, where a kind comes back behind another."""
_LEAST_STEP = 100.0
"""HU by which intercepts of neighbours have to differ for values to tell whether they are meant: a slice that lost its own is 1000 off, and
from slice to slice tissue itself changes by tens."""
_FEWEST = 0.1
"""The share of two slices that has to be above their least values (air, as far as it is stored, and what lies outside the field of view)
for these to be left out."""


def refuse_unlike(stack: Sequence[Slice]) -> None:
    """Look at what headers say of slices in their order along the normal, before a pixel is decoded.

    Modality, units, type of rescale, what is bright (MONOCHROME1 or 2), echo time, inversion time and b-value are one in a volume, and all
    are rescaled or none. Kind of image, kernel, thickness and tube voltage may change
    along it where blocks lie above each other, and never to and fro. An image that does not say is of no kind.

    Raises
    ------
    MixedKinds
        They are not.
    """
    frames = frame_data(stack)
    for attribute, of in _ONE.items():
        _refuse(stack, attribute, of(frames), blocks=False)
    for attribute, of in IN_BLOCKS.items():
        _refuse(stack, attribute, of(frames), blocks=True)


def _refuse(stack: Sequence[Slice], attribute: str, found: Sequence[Kind | None], *, blocks: bool) -> None:
    stated = [(each, kind) for each, kind in zip(stack, found, strict=True) if kind is not None]
    kinds = [kind for _, kind in stated]
    several = set(kinds)
    if len(several) < 2 or (blocks and in_blocks(kinds)):
        return
    fewest = min(several, key=kinds.count)
    apart = naming(each.plane.name for each, kind in stated if kind == fewest)
    lie = "lie between each other" if blocks else "were taken for one volume"
    raise MixedKinds(f"slices of {len(several)} kinds {lie}, which differ in {attribute}; apart: {apart}")


def in_blocks(kinds: Sequence[Kind]) -> bool:
    """Whether kinds, in the order of their slices, lie above each other and never to and fro."""
    runs = [len([*run]) for _, run in itertools.groupby(kinds)]
    return len(runs) == len(set(kinds)) or min(runs) >= _LEAST_BLOCK


def _texts(tag: int) -> Callable[[Sequence[FrameData]], Sequence[Kind | None]]:
    return lambda frames: [tags.text(frame.header, tag) or None for frame in frames]


def kind_of_image(image_type: Sequence[str]) -> Kind | None:
    """What ImageType or FrameType says but for its value 1: whoever sends some slices anew, compressed with losses, writes DERIVED there
    and changes nothing else (PS3.3 C.7.6.1.1.2)."""
    return tuple(filter(None, image_type[1:])) or None


def rescale_type(stated: str, modality: str) -> Kind | None:
    """What values are rescaled to (PS3.3 C.11.1.1.2); a CT that says nothing means Hounsfield units (C.8.2.1)."""
    return stated or ("HU" if modality == "CT" else None)


def kinds_of_numbers(attribute: str, values: Sequence[float | None]) -> Sequence[float | None]:
    """The smallest of the numbers that are roughly as large as each; None of one that says nothing."""
    stated = [None if value is None or (value <= 0 and attribute in _NEVER_NOTHING) else value for value in values]
    start: dict[float, float] = {}
    least: float | None = None
    for value in sorted({value for value in stated if value is not None}):
        if least is None or value > max(least * _ROUGHLY, least):
            least = value
        start[value] = least
    return [None if value is None else start[value] for value in stated]


def _numbers(attribute: str, enhanced: tuple[int, int], classic: int) -> Callable[[Sequence[FrameData]], Sequence[Kind | None]]:
    def of(frames: Sequence[FrameData]) -> Sequence[Kind | None]:
        stated = []
        for frame in frames:
            sequence, tag = enhanced if frame.enhanced else (enhanced[0], classic)
            found = tags.stated(macro(frame.own, frame.common, sequence, frame.uid), tag, 1)
            stated.append(None if found is None else found[0])
        return kinds_of_numbers(attribute, stated)

    return of


def _b_values(frames: Sequence[FrameData]) -> Sequence[Kind | None]:
    stated = [b_value_of(frame) for frame in frames]
    return kinds_of_numbers("DiffusionBValue", [None if one is None else one[0] for one in stated])


def _rescaled(frames: Sequence[FrameData]) -> list[Kind | None]:
    """Whether each is rescaled to other values than are stored, where some say nothing of it: those hold other values than the rest."""
    stated = []
    for frame in frames:
        holder = macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid)
        stated.append(tuple(tags.stated(holder, tag, 1) for tag in (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT)))
    absent = (None, None)
    return [absent in stated and one not in (absent, _AS_STORED) for one in stated]


def refuse_steps(stack: Sequence[Slice], values: Values) -> None:
    """Look at the values of CT whose slices have one slope and several intercepts, as scanners write that rescale each slice for itself.

    A slice that was written anew without its own intercept is off by what it lost: there, and nowhere else, values step from slice to slice
    by as much as the intercepts do.

    Parameters
    ----------
    stack
        In the order along the normal.
    values
        HU (Z, Y, X).

    Raises
    ------
    MixedKinds
        The values of some slices step so at each of their borders.
    """
    rescaled = _rescaled_ct(frame_data(stack))
    several = several_intercepts(one for one in rescaled if one is not None)
    if not several:
        return
    runs = [[*run] for _, run in itertools.groupby(range(len(stack)), key=lambda z: rescaled[z])]
    borders = [_steps(rescaled[one[-1]], rescaled[two[0]], values[one[-1]], values[two[0]]) for one, two in itertools.pairwise(runs)]
    wrong = []
    for run, *met in zip(runs, [None, *borders], [*borders, None], strict=True):
        told = [each for each in met if each is not None]
        if told and all(told):
            wrong.append(run)
    if wrong:
        apart = naming(stack[z].plane.name for z in min(wrong, key=len))
        raise MixedKinds(f"slices that differ in RescaleIntercept are in several units: their values step as it does; apart: {apart}")


def _steps(one: _Rescaled | None, other: _Rescaled | None, below: Values, above: Values) -> bool | None:
    """Whether values step from one slice to the next by what intercepts do; None where these tell nothing of it."""
    if one is None or other is None or one[:2] != other[:2] or abs(step := other[2] - one[2]) < _LEAST_STEP:
        return None
    shown = (below != below.min()) & (above != above.min())
    change = np.subtract(above, below, dtype=np.float32)
    if np.count_nonzero(shown) >= _FEWEST * shown.size:
        change = change[shown]
    return bool(abs(float(np.median(change)) - step) < abs(step) / 2)


def _rescaled_ct(frames: Sequence[FrameData]) -> list[_Rescaled | None]:
    """Of each slice of CT that says its intercept."""
    found: list[_Rescaled | None] = []
    for frame in frames:
        holder = macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid)
        slope, intercept = (tags.stated(holder, tag, 1) for tag in (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT))
        stored = tuple(tags.text(frame.header, tag) for tag in (tags.BITS_STORED, tags.PIXEL_REPRESENTATION))
        ct = tags.text(frame.header, tags.MODALITY) == "CT"
        found.append((stored, slope, float(intercept[0])) if ct and intercept is not None else None)
    return found


def several_intercepts(rescaled: Iterable[tuple[Kind, Kind, Kind]]) -> frozenset[Kind]:
    """The forms of stored values whose slices have one slope and several intercepts, of triples of form, slope and intercept."""
    distinct = set(rescaled)
    slopes = Counter(form for form, _ in {(form, slope) for form, slope, _ in distinct})
    intercepts = Counter(form for form, _, _ in distinct)
    return frozenset(form for form, count in intercepts.items() if count > slopes[form] == 1)


def _rescale_types(frames: Sequence[FrameData]) -> list[Kind | None]:
    holders = [macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid) for frame in frames]
    return [
        rescale_type(tags.text(holder, tags.RESCALE_TYPE), tags.text(frame.header, tags.MODALITY))
        for holder, frame in zip(holders, frames, strict=True)
    ]


_ONE: dict[str, Callable[[Sequence[FrameData]], Sequence[Kind | None]]] = {
    "Modality": _texts(tags.MODALITY),
    "Units": _texts(0x00541001),
    "PhotometricInterpretation": _texts(tags.PHOTOMETRIC_INTERPRETATION),
    "RescaleSlope (absent in some)": _rescaled,
    "RescaleType": _rescale_types,
    "EchoTime": _numbers("EchoTime", (0x00189114, 0x00189082), 0x00180081),
    "InversionTime": _numbers("InversionTime", (0x00189115, 0x00189079), 0x00180082),
    "DiffusionBValue": _b_values,
}
IN_BLOCKS: dict[str, Callable[[Sequence[FrameData]], Sequence[Kind | None]]] = {
    "ImageType": lambda frames: [kind_of_image(words) for words in image_types(frames)],
    "ConvolutionKernel": lambda frames: [
        tags.text(macro(frame.own, frame.common, 0x00189314, frame.uid), 0x00181210) or None for frame in frames
    ],
    "SliceThickness": _numbers("SliceThickness", (tags.PIXEL_MEASURES, tags.SLICE_THICKNESS), tags.SLICE_THICKNESS),
    "KVP": _numbers("KVP", (0x00189325, 0x00180060), 0x00180060),
}
"""What may change along a volume, by the keyword of what says it."""
