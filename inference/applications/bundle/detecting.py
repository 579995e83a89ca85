"""Detectors: windows of a volume through a network with several heads, and the boxes that these find as locations on the series' slices.

What is read of a bundle's configuration stands in `detector`, the arithmetic of boxes in `boxes`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.boxes import AXES, CODED, Anchors, Floats, FoundBoxes, Selection, found_boxes
from inference.applications.bundle.errors import TooLittleMemory
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.steps import ImageOnGrid
from inference.applications.port import Infer, LocationOutput, MeasurementOutput, ModelRef
from inference.codes import Code
from inference.engines.calling import call_of, refuse_not_finite, room_of
from inference.engines.errors import WrongTensors
from inference.engines.port import Tiles
from inference.engines.processors import usable_memory
from inference.engines.tiling import window_starts
from inference.findings import Box, Findings, Location, Measurement
from inference.imaging.resample import Grid, Shape
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

WIDTH = Code("103355008", "SCT", "Width")
HEIGHT = Code("121207", "DCM", "Height")
DEPTH = Code("131197000", "SCT", "Depth")
SIDES = (WIDTH, HEIGHT, DEPTH)
"""Of a box: from right to left, from front to back, from foot to head, as MONAI's "cccwhd" has them of an image that lies so."""

TOLD = 20
"""Boxes that are reported: a list of more is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedClass:
    """One class of a detector as what it finds."""

    channel: int
    label: str
    finding: Code
    site: Code | None = None
    laterality: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A network whose heads say, at every place of every level, which of its anchors hold something, and where it ends.

    Attributes
    ----------
    anchors, selection
        What boxes start from, and which are kept.
    divisible
        Sides of what the network sees are multiples of these.
    always_windows
        Whether an image smaller than a window is cut into windows, too; else the network sees it whole.
    channels
        Classes that it tells apart.
    classes
        Those that are reported.
    told
        Probability from which on a box is reported.
    held
        Bytes that the network takes for each voxel of the windows of one call; 0 where nobody measured it.
    """

    anchors: Anchors
    selection: Selection
    divisible: Shape
    always_windows: bool
    channels: int
    classes: tuple[DetectedClass, ...] = ()
    told: float = 0.0
    held: float = 0.0

    @property
    def levels(self) -> int:
        """Resolutions at which the network looks."""
        return len(self.anchors.scales)

    def step(self, level: int) -> Shape:
        """Voxels from one place of a level to the next: the last level's are what sides have to be divisible by, each before half of it."""
        first, second, third = (max(1, side >> (self.levels - 1 - level)) for side in self.divisible)
        return first, second, third

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs: the class maps of all levels, then their box maps."""
        return tuple(f"OUTPUT__{number}" for number in range(2 * self.levels))

    @property
    def output_channels(self) -> tuple[int, ...]:
        """Channels of each output."""
        count = len(self.anchors.shapes)
        return (count * self.channels,) * self.levels + (count * CODED,) * self.levels

    @property
    def declared(self) -> tuple[LocationOutput | MeasurementOutput, ...]:
        """What the application may say."""
        return (
            *(
                LocationOutput(finding=one, searched=site)
                for one, site in dict.fromkeys((each.finding, each.site) for each in self.classes)
            ),
            *(MeasurementOutput(name=side, unit=codes.MILLIMETRE) for side in SIDES),
        )


def detector_from(said: Any) -> Detector:
    """A detector of what JSON holds of it; KeyError, TypeError or ValueError where it is none."""
    given = dict(said)
    anchors, selection = dict(given.pop("anchors")), given.pop("selection")
    scales, shapes = (tuple(anchors.pop(key)) for key in ("scales", "shapes"))
    if anchors:
        raise ValueError(f"anchors have no {', '.join(sorted(anchors))}")
    return Detector(
        anchors=Anchors(scales=scales, shapes=tuple(_shape(each) for each in shapes)),
        selection=Selection(**selection),
        divisible=_shape(given.pop("divisible")),
        classes=tuple(class_from(each) for each in given.pop("classes")),
        **given,
    )


def detected(
    detector: Detector, model: ModelRef, inferer: SlidingWindow, input: str, volume: Volume, seen: ImageOnGrid, infer: Infer
) -> Findings:
    """What a detector finds in a volume.

    Parameters
    ----------
    seen
        The volume as the network sees it.

    Raises
    ------
    TooLittleMemory, NotFinite, WrongTensors
    """
    found = boxes_of(detector, model, inferer, input, seen, infer)
    classes = {one.channel: one for one in detector.classes}
    sure = [at for at, channel in enumerate(found.classes) if int(channel) in classes and found.probabilities[at] >= detector.told]
    locations, measurements = [], []
    numbers: dict[str, int] = {}
    for at in sure[:TOLD]:
        one = classes[int(found.classes[at])]
        numbers[one.label] = numbers.get(one.label, 0) + 1
        label = f"{one.label} {numbers[one.label]}"
        box = found.boxes[at]
        image, shape = on_slice(box, seen.grid, Grid.of(volume))
        locations.append(
            Location(
                label=label,
                finding=one.finding,
                shape=shape,
                image=image,
                finding_site=one.site,
                laterality=one.laterality,
                certainty=float(found.probabilities[at]),
            )
        )
        for name, side_mm in zip(SIDES, sides_mm(box, seen.grid), strict=True):
            measurements.append(Measurement(name=name, value=side_mm, unit=codes.MILLIMETRE, location=label))
    return Findings(
        locations=tuple(locations),
        measurements=tuple(measurements),
        remarks=tuple(told_from(detector.told, min(len(sure), TOLD), len(sure))),
    )


def boxes_of(detector: Detector, model: ModelRef, inferer: SlidingWindow, input: str, seen: ImageOnGrid, infer: Infer) -> FoundBoxes:
    """The boxes of an image, in voxels of what the network sees.

    Raises
    ------
    TooLittleMemory, NotFinite, WrongTensors
    """
    shape: Shape = (seen.values.shape[0], seen.values.shape[1], seen.values.shape[2])
    first, second, third = (-(-side // step) * step for side, step in zip(shape, detector.divisible, strict=True))
    padded: Shape = (first, second, third)
    how = call_of(infer, model)
    if isinstance(how, Tiles):
        inferer = replace(inferer, roi_size=_shape(how.window), overlap=how.overlap, sw_batch_size=how.batch)
    whole = not detector.always_windows and math.prod(shape) < math.prod(inferer.window(padded))
    window = padded if whole else inferer.window(padded)
    _demand_memory(detector, padded, window)
    windows = _Windows(seen.values, padded, window, inferer)
    _demand_room(detector, window, windows.at_once, room_of(infer, model))
    maps: list[_LevelMap] = []
    for group in windows.groups():
        answer = infer(model, {input: windows.cut(group)})
        for number, name in enumerate(detector.outputs):
            values = answer[name]
            refuse_not_finite(model, values, name)
            expected = (len(group), detector.output_channels[number])
            if values.shape[:2] != expected or values.ndim != AXES + 2 or values.dtype.kind != "f":
                raise WrongTensors(
                    f'model "{model.name}": output {name} is {values.dtype} of shape {values.shape}, not {expected} and 3 axes'
                )
            if len(maps) == number:
                maps.append(_LevelMap(windows, _shape(values.shape[2:]), expected[1]))
            maps[number].add(group, values)
    blended = [one.blended() for one in maps]
    return found_boxes(blended[: detector.levels], blended[detector.levels :], detector.anchors, detector.selection, padded, shape)


def on_slice(box: Floats, grid: Grid, source: Grid) -> tuple[int, Box]:
    """The slice of a series that lies next to the middle of a box (6,) on the network's grid, and the box there, within the slice."""
    corners = np.ones((2, AXES + 1))
    corners[:, :AXES] = box.reshape(2, AXES)
    at = (corners @ (np.linalg.inv(source.affine) @ grid.affine).T)[:, :AXES]
    low, high = at.min(axis=0), at.max(axis=0)
    slices, rows, columns = source.shape
    image = int(np.clip(np.rint((low[0] + high[0]) / 2), 0, slices - 1))
    # voxel centres are whole indices there, and halves here
    (top, left), (bottom, right) = (np.clip(each[1:] + 0.5, 0, (rows, columns)) for each in (low, high))
    return image, Box(top=float(top), left=float(left), bottom=float(bottom), right=float(right))


def sides_mm(box: Floats, grid: Grid) -> tuple[float, float, float]:
    """A box's extent from right to left, from front to back and from foot to head, of axes that lie nearest to these."""
    sides = (box[AXES:] - box[:AXES]).astype(np.float64) * grid.spacing_mm
    cosines = np.abs(grid.affine[:AXES, :AXES]) / grid.spacing_mm
    # each axis is the nearest to one direction alone: of far turned images one may be nearest to two
    turns = itertools.permutations(range(AXES))
    across, through, along = max(turns, key=lambda axes: sum(cosines[row, axis] for row, axis in enumerate(axes)))
    return float(sides[across]), float(sides[through]), float(sides[along])


class _Windows:
    """Windows of an image (X, Y, Z) that was padded at its ends, and evenly around where it is smaller than they are."""

    def __init__(self, values: Floats, padded: Shape, window: Shape, inferer: SlidingWindow) -> None:
        self.window = window
        self.padded = padded
        self.around: Shape = _shape(max(longer, side) for longer, side in zip(window, padded, strict=True))
        self.before: Shape = _shape((longer - side) // 2 for longer, side in zip(self.around, padded, strict=True))
        self.starts = [window_starts(side, part, inferer.overlap) for side, part in zip(self.around, window, strict=True)]
        self._values = values
        self._fill = inferer.cval
        self._batch = inferer.sw_batch_size

    @property
    def at_once(self) -> int:
        """How many go in the largest call."""
        return min(self._batch, math.prod(map(len, self.starts)))

    def groups(self) -> Iterator[list[Shape]]:
        """Where windows begin, as many at a time as go in one call."""
        places = itertools.product(*self.starts)
        while group := [_shape(each) for each in itertools.islice(places, self._batch)]:
            yield group

    def cut(self, group: Sequence[Shape]) -> Floats:
        """The windows at these places, (N, 1, X, Y, Z)."""
        tiles = np.full((len(group), 1, *self.window), self._fill, dtype=np.float32)
        for tile, place in zip(tiles, group, strict=True):
            begin = [start - before for start, before in zip(place, self.before, strict=True)]
            # what was padded at the ends is 0, what is around it the inferer's own
            for sides, given in ((self.padded, None), (self._values.shape, self._values)):
                there = [slice(max(at, 0), min(at + part, side)) for at, part, side in zip(begin, self.window, sides, strict=True)]
                inside = tuple(slice(part.start - at, max(part.stop, part.start) - at) for part, at in zip(there, begin, strict=True))
                tile[0][inside] = 0 if given is None else given[tuple(there)]
        return tiles


class _LevelMap:
    """The mean of what windows say at each place of a level (C, X, Y, Z)."""

    def __init__(self, windows: _Windows, part: Shape, channels: int) -> None:
        self._windows = windows
        self._scale = [out / side for out, side in zip(part, windows.window, strict=True)]
        self._sum = np.zeros((channels, *(int(side * scale) for side, scale in zip(windows.around, self._scale, strict=True))), np.float32)
        self._part = part

    def add(self, group: Sequence[Shape], values: NDArray[Any]) -> None:
        """What the network gives (N, C, x, y, z) of windows that begin at these places."""
        for place, one in zip(group, values, strict=True):
            self._sum[(slice(None), *self._at(place))] += one

    def blended(self) -> Floats:
        """The whole level, without what was padded around the image."""
        windows = self._windows
        for axis, starts in enumerate(windows.starts):
            count = np.zeros(self._sum.shape[axis + 1], np.float32)
            for start in starts:
                count[self._along(axis, start)] += 1
            self._sum /= count.reshape([-1 if each == axis + 1 else 1 for each in range(AXES + 1)])
        inside = [slice(None)] * AXES
        for axis, (around, side, before) in enumerate(zip(windows.around, windows.padded, windows.before, strict=True)):
            if around > side:
                scale = self._sum.shape[axis + 1] / windows.window[axis]
                inside[axis] = slice(round(before * scale), round((before + side) * scale))
        return self._sum[(slice(None), *inside)]

    def _at(self, place: Shape) -> tuple[slice, ...]:
        return tuple(self._along(axis, start) for axis, start in enumerate(place))

    def _along(self, axis: int, start: int) -> slice:
        first = int(start * self._scale[axis])
        return slice(first, first + self._part[axis])


def _demand_memory(detector: Detector, padded: Shape, window: Shape) -> None:
    """Refuse what this machine cannot hold before it is begun: the image, a window with its answer, and all levels of the whole image."""
    floats = np.dtype(np.float32).itemsize
    places = [
        math.prod(-(-side // step) for side, step in zip(padded, detector.step(level), strict=True)) for level in range(detector.levels)
    ]
    maps = sum(count * channels for count, channels in zip((*places, *places), detector.output_channels, strict=True))
    needed = floats * (3 * math.prod(padded) + 2 * math.prod(window) + 2 * maps)
    if needed > (usable := usable_memory()):
        sides = " × ".join(map(str, padded))
        raise TooLittleMemory(
            f"what the network says of {sides} voxels takes {needed / 2**30:.1f} GB, this machine or its container has {usable / 2**30:.1f}"
        )


def _demand_room(detector: Detector, window: Shape, at_once: int, room: int | None) -> None:
    """Refuse what the network holds of one call where this machine computes it, and may not hold so much."""
    needed = detector.held * at_once * math.prod(window)
    if room is not None and needed > room:
        sides = " × ".join(map(str, window))
        windows = f"a window of {sides} voxels" if at_once == 1 else f"{at_once} windows of {sides} voxels"
        raise TooLittleMemory(
            f"the network takes up to {needed / 2**30:.1f} GB for {windows}, one model may take {room / 2**30:.1f} on this machine; "
            "another engine, or `memory` of this one, may give it more"
        )


def told_from(least: float, listed: int, sure: int) -> Iterator[Translatable]:
    """What is said of boxes: the probability from which on they are told, and how many of those that are so sure are listed."""
    yield say(
        "Marked is what the network gives a probability of {least} or more. The sides of a box are no diameters of what it holds.",
        least=f"{least:g}",
    )
    if sure > listed:
        yield say("The {most} surest of {sure} boxes are listed.", most=str(listed), sure=str(sure))


def class_from(said: Any) -> DetectedClass:
    """A class of what JSON holds; KeyError, TypeError or ValueError where it is none."""
    given = dict(said)
    site, laterality = (None if (one := given.pop(key, None)) is None else Code(**one) for key in ("site", "laterality"))
    return DetectedClass(finding=Code(**given.pop("finding")), site=site, laterality=laterality, **given)


def _shape(sides: Any) -> tuple[Any, Any, Any]:
    first, second, third = sides
    return first, second, third
