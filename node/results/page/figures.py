"""Figures of a page: pictures of a volume or of a pair, and what is drawn on them; and of subjects without a place in the patient:
radiographs and mammograms, ultrasound stills and loops.

Of those no geometry is invented: a scale stands only where the header calibrates it, and no letter at an edge.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from inference.codes import MORPHOLOGICALLY_ABNORMAL_STRUCTURE
from inference.findings import Findings, Location, Saliency, Segment
from inference.imaging import subject as subjects
from inference.imaging.registration.field import places_in_prior
from inference.imaging.subject import Cine, Images, Phases
from inference.imaging.volume import Volume
from inference.translatable import say
from node.results.page.panels import GreyWindow, Mask, View, crop_of, heated, key_slices, panel, view_of, window_of
from node.results.page.tiles import Place, Tile, draw_locations, extent_of

Crop: TypeAlias = tuple[slice, slice]
"""Rows and columns of a turned plane."""
_ToPrior: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""(N, 3) current patient coordinates in mm to the prior's."""

TILES = 6
_LEAST_PLANES, _MOST_UNLIKE, _UPRIGHT = 24, 8.0, 0.02
"""Planes across the slices need so many of them, a spacing at most so many times the finest, and a stack that is straight and even."""
_NAMES = (say("sagittal plane"), say("coronal plane"), say("axial plane"))
_HIGH = 0.5
"""From this share of its largest value on, no part of a map is cropped off."""
_COARSE, _MANY = 4, 200
"""What lies where across the slices is counted on every fourth line, unless it is no more than so many voxels there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The pictures of a page.

    Attributes
    ----------
    images
        Indices of the source images that they show, ascending.
    notes
        (name, value) of what a reader has to know of them, such as the window.
    """

    tiles: Sequence[Tile]
    images: Sequence[int]
    notes: Sequence[tuple[str, str]] = ()
    columns: int = 0
    """In how many columns they belong; 0 leaves it to their sizes."""


def volume_figure(volume: Volume, findings: Findings, names: Sequence[str]) -> Figure:
    """Key slices, the two other planes where the volume allows them, and a map where there is one.

    Parameters
    ----------
    names
        What people call each slice.
    """
    pictures = Pictures(volume=volume, findings=findings)
    maps = findings.saliencies[:1]
    across = _other_planes(volume, findings) if _allows_planes(volume) else []
    chosen = key_slices(volume, findings.segments, TILES - len(across) - len(maps), by_certainty(findings.locations))
    peaks = [int(saliency.values.max(axis=(1, 2)).argmax()) for saliency in maps]
    crop = pictures.crop([*chosen, *peaks], maps)
    tiles = [pictures.acquired(z, crop, names[z]) for z in chosen]
    tiles += [pictures.across(axis, index) for axis, index in across]
    tiles += [pictures.heat(saliency, z, crop, names[z]) for saliency, z in zip(maps, peaks, strict=True)]
    return Figure(tiles=tiles, images=sorted({*chosen, *peaks}), notes=pictures.notes)


def phase_figure(phases: Phases, findings: Findings, names: Sequence[str]) -> Figure:
    """One phase of several: that in which most is marked, or the first; which it is stands among the notes."""
    marked = [sum(int(np.count_nonzero(one.inside[1])) for one in findings.segments if one.phase == phase) for phase in range(len(phases))]
    shown = int(np.argmax(marked))
    volume, first = phases.volumes[shown], shown * len(phases.reference.voxels)
    of_it = replace(findings, segments=tuple(one for one in findings.segments if one.phase == shown))
    figure = volume_figure(volume, of_it, names[first : first + len(volume.voxels)])
    at = f" ({moment})" if (moment := phases.moment(shown)) else ""
    note = ("phase", f"{shown + 1} / {len(phases)}{at}")
    return replace(figure, images=[first + image for image in figure.images], notes=[*figure.notes, note])


def by_certainty(locations: Sequence[Location]) -> list[int]:
    """The images that detections lie on, the surest first, each once; of a segment's points the segment is shown."""
    detected = [one for one in locations if one.point is None]
    order = sorted(detected, key=lambda one: -1.0 if one.certainty is None else one.certainty, reverse=True)
    return list(dict.fromkeys(one.image for one in order))


def on_image(locations: Sequence[Location], image: int) -> list[tuple[int, Location]]:
    """The locations on one image, with the numbers that they go by."""
    return [(number, one) for number, one in enumerate(locations, 1) if one.image == image]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """Planes of one volume as tiles, all in one window, with what was found on them."""

    volume: Volume
    findings: Findings
    view: View = field(init=False)
    window: GreyWindow = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "view", view_of(self.volume))
        sites = [*(one.finding_site for one in self.findings.locations), *(one.finding_site for one in self.findings.evaluations)]
        object.__setattr__(self, "window", window_of(self.volume, self.findings.segments, sites))

    @property
    def notes(self) -> list[tuple[str, str]]:
        """The window, where it has a name."""
        return [("window", self.window.name)] if self.window.name else []

    def crop(self, slices: Sequence[int], maps: Sequence[Saliency] = ()) -> Crop:
        """Rows and columns of the turned slices that hold the body, and what was found on them or is high on one of the maps."""
        also = _located(self.volume, self.findings.locations, slices)
        for saliency in maps:
            largest = float(saliency.values.max())
            also |= largest > 0 and (saliency.values[list(slices)] >= _HIGH * largest).any(axis=0)
        return crop_of(self.volume, self.findings.segments, self.view, slices, also=also)

    def acquired(self, z: int, crop: Crop, name: str) -> Tile:
        """One slice, with contours and locations."""
        return self._tile(self.view, crop, name, partial(self._painted, z, crop))

    def bare(self, z: int, crop: Crop, name: str) -> Tile:
        """One slice with nothing on it, to be looked at beside another picture of it."""
        return self._tile(self.view, crop, name, partial(self.plain, z, crop))

    def heat(self, saliency: Saliency, z: int, crop: Crop, name: str) -> Tile:
        """One slice with a map over it, from nothing to the largest value of the whole map."""
        return self._tile(self.view, crop, say("map, {image}", image=name), partial(self._heated, saliency, z, crop))

    def across(self, axis: int, index: int) -> Tile:
        """The plane across the slices at an index of array axis 1 or 2."""
        view = view_of(self.volume, axis)
        also = _located(self.volume, self.findings.locations, [index], axis)
        crop = crop_of(self.volume, self.findings.segments, view, [index], axis, also)
        name = _NAMES[int(np.argmax(np.abs(self.volume.affine[:3, axis] / self.volume.spacing_mm[axis])))]
        return self._tile(view, crop, name, lambda size: self._plane(view, crop, index, size, axis))

    def plain(self, z: int, crop: Crop, size: tuple[int, int]) -> Image.Image:
        """One slice with nothing on it."""
        return panel(self.volume, (), self.view, self.window, crop, z, size)

    def _tile(self, view: View, crop: Crop, name: str, paint: Callable[[tuple[int, int]], Image.Image]) -> Tile:
        down, right = view.spacing_mm
        extent = ((crop[1].stop - crop[1].start) * right, (crop[0].stop - crop[0].start) * down)
        return Tile(extent=extent, mm=True, paint=paint, name=name, letters=(view.left, view.right, view.top, view.bottom))

    def _plane(self, view: View, crop: Crop, index: int, size: tuple[int, int], axis: int = 0) -> Image.Image:
        return panel(self.volume, self.findings.segments, view, self.window, crop, index, size, axis)

    def _painted(self, z: int, crop: Crop, size: tuple[int, int]) -> Image.Image:
        image = self._plane(self.view, crop, z, size)
        draw_locations(image, on_image(self.findings.locations, z), self._place(crop, size), self.volume)
        return image

    def _heated(self, saliency: Saliency, z: int, crop: Crop, size: tuple[int, int]) -> Image.Image:
        largest = float(saliency.values.max())
        share = self.view.turn(saliency.values[z])[crop] / (largest if largest > 0 else 1.0)
        return heated(self.plain(z, crop, size), share)

    def _place(self, crop: Crop, size: tuple[int, int]) -> Place:
        rows, columns = self.volume.voxels.shape[1:]
        down_scale = size[1] / (crop[0].stop - crop[0].start)
        right_scale = size[0] / (crop[1].stop - crop[1].start)

        def place(row: float, column: float) -> tuple[float, float]:
            down, right = self.view.place(row, column, (rows, columns))
            return (right - crop[1].start) * right_scale, (down - crop[0].start) * down_scale

        return place


def _located(volume: Volume, locations: Sequence[Location], planes: Sequence[int], axis: int = 0) -> Mask:
    """Where locations that lie on any of the planes across an array axis lie on them."""
    shape = volume.voxels.shape
    mask = np.zeros([size for each, size in enumerate(shape) if each != axis], dtype=np.bool_)
    for one in locations:
        box = extent_of(one.shape, volume)
        ends = ((one.image, one.image + 1), (box.top, box.bottom), (box.left, box.right))
        spans = [_voxels(low, high, size) for (low, high), size in zip(ends, shape, strict=True)]
        here = spans.pop(axis)
        if any(here.start <= plane < here.stop for plane in planes):
            mask[tuple(spans)] = True
    return mask


def _voxels(low: float, high: float, size: int) -> slice:
    """The voxels of a line of this size that an extent touches, one at least."""
    first = min(max(math.floor(low), 0), size - 1)
    return slice(first, min(max(math.ceil(high), first + 1), size))


def _allows_planes(volume: Volume) -> bool:
    """Whether planes across the slices would show the patient undistorted."""
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    upright = float(np.abs(axes.T @ axes - np.eye(3)).max()) < _UPRIGHT
    enough = min(volume.voxels.shape) >= _LEAST_PLANES and volume.widest_mm / min(volume.spacing_mm) <= _MOST_UNLIKE
    return upright and volume.steps is None and enough


def _other_planes(volume: Volume, findings: Findings) -> list[tuple[int, int]]:
    """(array axis, index) of the planes across the slices: where what was found is largest, or through the surest location."""
    abnormal = [segment for segment in findings.segments if segment.category == MORPHOLOGICALLY_ABNORMAL_STRUCTURE]
    found = next((areas for several in (abnormal, findings.segments) if several and (areas := _areas(several))), None)
    if found is not None:
        return [(axis, int(area.argmax())) for axis, area in zip((1, 2), found, strict=True)]
    middle = [size / 2 for size in volume.voxels.shape[1:]]
    if findings.locations:
        box = extent_of(max(findings.locations, key=lambda one: one.certainty or 0.0).shape, volume)
        middle = [(box.top + box.bottom) / 2, (box.left + box.right) / 2]
    return [(axis, int(np.clip(place, 0, volume.voxels.shape[axis] - 1))) for axis, place in zip((1, 2), middle, strict=True)]


def _areas(segments: Sequence[Segment]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """How much of the segments lies on each row and on each column of the grid; None where there is nothing."""
    for step in (_COARSE, 1):
        rows = np.sum([segment.mask[::step, :, ::step].sum(axis=(0, 2)) for segment in segments], axis=0)
        columns = np.sum([segment.mask[::step, ::step].sum(axis=(0, 1)) for segment in segments], axis=0)
        # what is small is counted voxel by voxel
        if step == 1 or min(rows.max(initial=0), columns.max(initial=0)) > _MANY:
            return (rows, columns) if np.any(rows) else None
    return None


_ROWS = 2
_SQUARE_MM = 25.0


def pair_figure(current: Volume, prior: Volume, findings: Findings, names: Sequence[str]) -> Figure:
    """Two slices, each three times: current, prior where it belongs, checkerboard. Where nobody knows how the prior lies: the current."""
    known = _known(current, prior, findings)
    if known is None:
        alone = volume_figure(current, findings, names)
        return Figure(tiles=alone.tiles, images=alone.images, notes=[*alone.notes, ("prior", say("not aligned, not shown"))])
    pictures = Pictures(volume=current, findings=findings)
    chosen = key_slices(current, findings.segments, _ROWS, by_certainty(findings.locations))
    crop = pictures.crop(chosen)
    # HU are the same on both visits, grey values of others are each scanner's own
    window = pictures.window if current.modality == prior.modality == "CT" else window_of(prior, ())
    laid = say("prior, aligned") if findings.deformation is None else say("prior, bent")
    tiles: list[Tile] = []
    for z in chosen:
        here = pictures.acquired(z, crop, say("current, {image}", image=names[z]))
        there = _Prior(current=current, prior=prior, to_prior=known, pictures=pictures, crop=crop, window=window)
        tiles += [
            here,
            Tile(extent=here.extent, mm=True, paint=partial(there.aligned, z), name=laid, letters=here.letters),
            Tile(extent=here.extent, mm=True, paint=partial(there.checkerboard, z), name=say("current / prior"), letters=here.letters),
        ]
    return Figure(tiles=tiles, images=sorted(chosen), notes=pictures.notes, columns=3)


def _known(current: Volume, prior: Volume, findings: Findings) -> _ToPrior | None:
    """From the current patient coordinates to the prior's; None when nobody knows."""
    if findings.deformation is not None:
        return partial(places_in_prior, findings.deformation)
    same = current.frame_of_reference_uid == prior.frame_of_reference_uid != ""
    if findings.registration is None and not same:
        return None
    back = np.eye(4) if findings.registration is None else np.linalg.inv(findings.registration.matrix)
    return lambda places: places @ back[:3, :3].T + back[:3, 3]


class _Prior:
    """The prior volume on slices of the current one."""

    def __init__(self, *, current: Volume, prior: Volume, to_prior: _ToPrior, pictures: Pictures, crop: Crop, window: GreyWindow) -> None:
        self._current, self._prior, self._pictures, self._crop, self._window = current, prior, pictures, crop, window
        self._to_prior = to_prior

    def aligned(self, z: int, size: tuple[int, int]) -> Image.Image:
        """The prior, linearly interpolated; black where it does not reach."""
        view, crop = self._pictures.view, self._crop
        grid = np.indices(self._current.voxels.shape[1:])
        rows, columns = view.turn(grid[0])[crop], view.turn(grid[1])[crop]
        # array indices of the current volume to those of the prior: out to the patient, back by the registration, in again
        places = self._current.to_patient(np.stack([np.full(rows.shape, z), rows, columns], axis=-1).reshape(-1, 3))
        indices = self._prior.to_indices(self._to_prior(places))
        values = map_coordinates(self._prior.voxels, indices.T, order=1, cval=np.nan, output=np.float32)
        beyond = np.isnan(values)
        grey = np.where(beyond, 0, self._window.grey(np.where(beyond, 0, values)))
        picture = Image.fromarray(grey.astype(np.uint8).reshape(rows.shape))
        return picture.resize(size, Image.Resampling.BICUBIC).convert("RGB")

    def checkerboard(self, z: int, size: tuple[int, int]) -> Image.Image:
        """Squares of the current and the prior in turn: edges run on across them where the two are aligned."""
        current = self._pictures.plain(z, self._crop, size)
        down, _ = self._pictures.view.spacing_mm
        side = max(round(_SQUARE_MM * size[1] / ((self._crop[0].stop - self._crop[0].start) * down)), 2)
        rows, columns = np.indices(size[::-1])
        odd = (rows // side + columns // side) % 2 == 1
        current.paste(self.aligned(z, size), (0, 0), Image.fromarray(odd.astype(np.uint8) * np.uint8(255)))
        return current


_THIN = 1_000_000
"""About so many pixels are looked at to find a window."""
_WHOLE, _ENLARGED = 3, 0.14
"""With up to so many images on the page there is room to enlarge what was found, to squares of at least this share of the image."""


def images_figure(images: Images, findings: Findings, names: Sequence[str]) -> Figure:
    """The images with what was found on them, those first that hold something; what is small on a large image also enlarged."""
    every = range(len(images.images))
    marked = [one.image for one in findings.segments if one.image is not None]
    chosen = sorted(list(dict.fromkeys([*by_certainty(findings.locations), *marked, *_rested_on(findings), *every]))[:TILES])
    tiles = [_whole(images.images[index], on_image(findings.locations, index), names[index]) for index in chosen]
    if len(chosen) <= _WHOLE:
        # masks hide what they lie on: beside the image as it is
        tiles = [
            tile
            for index, tile in zip(chosen, tiles, strict=True)
            for tile in (tile, *_laid_over(tile, [one for one in findings.segments if one.image == index]))
        ]
    if len(tiles) <= _WHOLE:
        numbers = sorted(enumerate(findings.locations, 1), key=lambda each: -(each[1].certainty or 0.0))
        for number, location in numbers[: TILES - len(tiles)]:
            tiles.append(_enlarged(images.images[location.image], number, location))
    return Figure(tiles=tiles, images=chosen)


def _laid_over(tile: Tile, segments: Sequence[Segment]) -> Iterator[Tile]:
    """The same image with its segments in their colours, where it has any; the later lie over the earlier."""
    if not segments:
        return

    def paint(size: tuple[int, int]) -> Image.Image:
        image = tile.paint(size)
        for segment in segments:
            # shares of a pixel of the picture, so that what is thin is not lost
            mask = Image.fromarray(segment.mask[0].astype(np.uint8) * np.uint8(255)).resize(size, Image.Resampling.BOX)
            image.paste(segment.rgb, (0, 0), mask)
        return image

    yield replace(tile, paint=paint, name=say("{image}, marked", image=tile.name))


def bare(image: subjects.Image, name: str) -> Tile:
    """The whole image with nothing on it."""
    return _whole(image, (), name)


def explained(image: subjects.Image, share: NDArray[np.float32], name: str) -> Tile:
    """The whole image with a map (row, column) of 0 to 1 over it."""
    tile = bare(image, name)
    return replace(tile, paint=lambda size: heated(tile.paint(size), share))


def cine_figure(cine: Cine, findings: Findings, names: Sequence[str]) -> Figure:
    """Frames with what was found on them; then the ends of what was measured, then frames spread evenly over the loop."""
    count = len(cine.frames)
    spans = [one.span for one in findings.measurements if one.span] + [one.span for one in findings.evaluations if one.span]
    ends = [frame for span in spans for frame in (span.first, span.last)]
    evenly = [int(frame) for frame in np.linspace(0, count - 1, min(TILES, count)).round()]
    chosen = sorted(list(dict.fromkeys([*by_certainty(findings.locations), *_rested_on(findings), *ends, *evenly]))[:TILES])
    window = None if cine.frames.ndim == 4 else window_of_pixels(cine.frames)
    top, left, bottom, right, mm = _scanned(cine)
    across, along = mm or (1.0, 1.0)
    tiles = []
    for index in chosen:
        paint = partial(_painted, cine.frames[index, top:bottom, left:right], window, on_image(findings.locations, index), (top, left))
        tiles.append(Tile(extent=((right - left) * across, (bottom - top) * along), mm=mm is not None, paint=paint, name=names[index]))
    return Figure(tiles=tiles, images=chosen)


def window_of_pixels(pixels: NDArray[Any]) -> GreyWindow:
    """From the darkest to the brightest of what is not background, but for the outermost of both."""
    flat = pixels.reshape(-1)
    sample = flat[:: max(flat.size // _THIN, 1)]
    ground = sample.min()
    inside = sample[sample > ground] if (sample > ground).any() else sample
    low, high = (float(value) for value in np.percentile(inside, (0.5, 99.7)))
    return GreyWindow(low=low, high=max(high, low + 1e-6), name="")


def _scanned(cine: Cine) -> tuple[int, int, int, int, tuple[float, float] | None]:
    """(top, left, bottom, right) of the calibrated regions, whose surroundings hold names, logos and settings; and mm per column and per
    row where all regions agree."""
    rows, columns = cine.frames.shape[1:3]
    boxes = [
        (max(y0, 0), max(x0, 0), min(y1 + 1, rows), min(x1 + 1, columns)) for x0, y0, x1, y1, _, _ in cine.regions if x1 > x0 and y1 > y0
    ]
    if not boxes:
        return 0, 0, rows, columns, None
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    scales = {(across, along) for *_, across, along in cine.regions}
    mm = scales.pop() if len(scales) == 1 else None
    return min(tops), min(lefts), max(bottoms), max(rights), mm


def _rested_on(findings: Findings) -> list[int]:
    return [index for one in findings.evaluations for index in one.images]


def _whole(image: subjects.Image, here: Sequence[tuple[int, Location]], name: str) -> Tile:
    rows, columns = image.pixels.shape[:2]
    down, right = image.spacing_mm or (1.0, 1.0)
    mm = image.spacing_mm is not None and image.calibrated
    return Tile(
        extent=(columns * right, rows * down), mm=mm, paint=partial(_painted, image.pixels, _window(image), here, (0, 0)), name=name
    )


def _enlarged(image: subjects.Image, number: int, location: Location) -> Tile:
    rows, columns = image.pixels.shape[:2]
    down, right = image.spacing_mm or (1.0, 1.0)
    box = extent_of(location.shape)
    # a square in the patient, inside the image, the location in its middle where the image reaches far enough
    half = max((box.bottom - box.top) * down, (box.right - box.left) * right, _ENLARGED * min(rows * down, columns * right)) / 2 * 1.3
    top, bottom = _within((box.top + box.bottom) / 2, half / down, rows)
    left, end = _within((box.left + box.right) / 2, half / right, columns)
    part = image.pixels[top:bottom, left:end]
    paint = partial(_painted, part, _window(image), [(number, location)], (top, left))
    mm = image.spacing_mm is not None and image.calibrated
    return Tile(
        extent=((end - left) * right, (bottom - top) * down),
        mm=mm,
        paint=paint,
        name=say("{number}, enlarged", number=str(number)),
        apart=True,
    )


def _within(middle: float, half: float, size: int) -> tuple[int, int]:
    low = int(np.clip(round(middle - half), 0, max(size - 1, 0)))
    return low, int(np.clip(round(middle + half), low + 1, size))


def _window(image: subjects.Image) -> GreyWindow | None:
    return None if image.pixels.ndim == 3 else window_of_pixels(image.pixels)


def _painted(
    pixels: NDArray[Any], window: GreyWindow | None, here: Sequence[tuple[int, Location]], corner: tuple[int, int], size: tuple[int, int]
) -> Image.Image:
    """Pixels in their window, and locations; `corner` is where the first pixel lies on the image, as (row, column)."""
    shades = np.asarray(pixels, dtype=np.uint8) if window is None else window.grey(pixels)
    image = Image.fromarray(np.ascontiguousarray(shades)).convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    across, along = size[0] / pixels.shape[1], size[1] / pixels.shape[0]
    draw_locations(image, here, lambda row, column: ((column - corner[1]) * across, (row - corner[0]) * along))
    return image
