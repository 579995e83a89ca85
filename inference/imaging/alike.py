"""Alike check: the slices of one volume are images of one kind. What geometry takes for one stack may be two that lie between each other: a
reconstruction and its averages, two kernels, two echoes.
"""

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

from inference.imaging import tags
from inference.imaging.axes import image_types
from inference.imaging.diffusion import b_value_of
from inference.imaging.errors import MixedKinds, naming
from inference.imaging.groups import macro
from inference.imaging.slices import FrameData, Slice, frame_data

Kind: TypeAlias = Hashable
_ROUGHLY = 1.1
"""Two numbers are one where they do not differ by more: scanners write what was reached, not what was asked for."""
_AS_STORED = ((1.0,), (0.0,))
"""RescaleSlope and RescaleIntercept that change nothing."""
_LEAST_BLOCK = 3
"""Slices of one kind that are a block, as over the base of a skull, where a kind comes back behind another."""


def refuse_unlike(stack: Sequence[Slice]) -> None:
    """Look at what headers say of slices in their order along the normal, before a pixel is decoded.

    Modality, units, echo time and b-value are one in a volume, and all are rescaled or none. Kind of image (ImageType), kernel, thickness
    and tube voltage may change along it where blocks lie above each other, and never to and fro. An image that does not say is of no kind.

    Raises
    ------
    MixedKinds
        They are not.
    """
    frames = frame_data(stack)
    for attribute, of in _ONE.items():
        _refuse(stack, attribute, of(frames), blocks=False)
    for attribute, of in _IN_BLOCKS.items():
        _refuse(stack, attribute, of(frames), blocks=True)


def _refuse(stack: Sequence[Slice], attribute: str, found: Sequence[Kind | None], *, blocks: bool) -> None:
    stated = [(each, kind) for each, kind in zip(stack, found, strict=True) if kind is not None]
    kinds = [kind for _, kind in stated]
    several = set(kinds)
    runs = [len([*run]) for _, run in itertools.groupby(kinds)]
    if len(several) < 2 or (blocks and (len(runs) == len(several) or min(runs) >= _LEAST_BLOCK)):
        return
    fewest = min(several, key=kinds.count)
    apart = naming(each.plane.name for each, kind in stated if kind == fewest)
    lie = "lie between each other" if blocks else "were taken for one volume"
    raise MixedKinds(f"slices of {len(several)} kinds {lie}, which differ in {attribute}; apart: {apart}")


def _texts(tag: int) -> Callable[[Sequence[FrameData]], Sequence[Kind | None]]:
    return lambda frames: [tags.text(frame.header, tag) or None for frame in frames]


def _numbers(enhanced: tuple[int, int], classic: int) -> Callable[[Sequence[FrameData]], Sequence[Kind | None]]:
    def of(frames: Sequence[FrameData]) -> list[Kind | None]:
        stated = []
        for frame in frames:
            sequence, tag = enhanced if frame.enhanced else (enhanced[0], classic)
            found = tags.stated(macro(frame.own, frame.common, sequence, frame.uid), tag, 1)
            stated.append(None if found is None else found[0])
        return _clustered(stated)

    return of


def _clustered(values: Sequence[float | None]) -> list[Kind | None]:
    """The smallest of the numbers that are roughly as large as each."""
    start: dict[float, float] = {}
    least: float | None = None
    for value in sorted({value for value in values if value is not None}):
        if least is None or value > max(least * _ROUGHLY, least):
            least = value
        start[value] = least
    return [None if value is None else start[value] for value in values]


def _b_values(frames: Sequence[FrameData]) -> list[Kind | None]:
    stated = [b_value_of(frame) for frame in frames]
    return _clustered([None if one is None else one[0] for one in stated])


def _rescaled(frames: Sequence[FrameData]) -> list[Kind | None]:
    """Whether each is rescaled to other values than are stored, where some say nothing of it: those hold other values than the rest."""
    stated = []
    for frame in frames:
        holder = macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid)
        stated.append(tuple(tags.stated(holder, tag, 1) for tag in (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT)))
    absent = (None, None)
    return [absent in stated and one not in (absent, _AS_STORED) for one in stated]


_ONE: dict[str, Callable[[Sequence[FrameData]], Sequence[Kind | None]]] = {
    "Modality": _texts(tags.MODALITY),
    "Units": _texts(0x00541001),
    "RescaleSlope (absent in some)": _rescaled,
    "EchoTime": _numbers((0x00189114, 0x00189082), 0x00180081),
    "DiffusionBValue": _b_values,
}
_IN_BLOCKS: dict[str, Callable[[Sequence[FrameData]], Sequence[Kind | None]]] = {
    "ImageType": lambda frames: [tuple(filter(None, words)) or None for words in image_types(frames)],
    "ConvolutionKernel": lambda frames: [
        tags.text(macro(frame.own, frame.common, 0x00189314, frame.uid), 0x00181210) or None for frame in frames
    ],
    "SliceThickness": _numbers((tags.PIXEL_MEASURES, tags.SLICE_THICKNESS), tags.SLICE_THICKNESS),
    "KVP": _numbers((0x00189325, 0x00180060), 0x00180060),
}
