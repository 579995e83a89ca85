"""Pictures of a study's images, masks and results, made from blobs when somebody asks: few at once, and little of it is kept in memory."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.errors import InputError
from inference.imaging.frame_values import GREYSCALE, frames_of, is_inverted
from inference.imaging.geometry import Plane
from inference.imaging.header import Instance as Opened
from inference.imaging.header import read_instance
from node.blobs.port import Blobs
from node.console.errors import RequestRefused
from node.console.images.grey import MOST_PIXELS, DisplayWindow, as_decoded, picture, place_in, png, window_by, window_in, words
from node.console.images.masks import ImageMasks, overlay, read_masks, size_at
from node.console.images.reports import ReportContent, content_of
from node.console.images.stack import Shown, Stack, stack_of, view_of
from node.domain.errors import JournalError
from node.domain.instance import Instance
from node.domain.job import ResultObject
from node.journal.journal import Journal
from node.results.page.panels import View

_AT_ONCE = 2
_PATIENCE_S = 20.0
_STACKS, _MASKS, _FRESH_S = 16, 8, 60.0
_MOST_BYTES = 512 << 20
"""A compressed file is read whole: a larger one is not shown. Of an uncompressed one a frame is read."""
_MOST_VALUES = 64 << 20
MOST_SEGMENTS, MOST_FRAMES = 512, 100_000
"""On one image, and in one segmentation: a hundred organs on a thousand slices are shown. Others may send what is more, and one of few
turns would be busy with it for minutes."""
_THUMBNAIL = 320
_OPACITY = 0.55

_Value = TypeVar("_Value")
Segmented: TypeAlias = ResultObject | Instance
"""A segmentation: made here, or received."""


class _Recent(Generic[_Value]):
    """The last few of something, each for a minute; two threads may make the same one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, _Value]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        with self._guard:
            found = self._kept.get(key)
        if found is not None and time.monotonic() - found[0] < _FRESH_S:
            return found[1]
        made = make()
        with self._guard:
            self._kept[key] = (time.monotonic(), made)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedImage:
    """One image that somebody wants to see: its row, the frame (0-based), and whether pixels may name the patient to him."""

    instance: Instance
    frame: int
    sees_patients: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelValue:
    """What stands in a pixel (row and column from 0, as the instance has them), in the modality's values; None in colours and where a map
    says nothing."""

    row: int
    column: int
    value: float | None


class Gallery:
    """Shared by all requests.

    Every method raises `RequestRefused` with words for the person who asked: the pixels are gone, cannot be decoded or may not be seen.
    """

    def __init__(self, journal: Journal, blobs: Blobs) -> None:
        self._journal = journal
        self._blobs = blobs
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._stacks: _Recent[Stack] = _Recent(_STACKS)
        self._masks: _Recent[ImageMasks] = _Recent(_MASKS)
        self._windows: _Recent[DisplayWindow] = _Recent(_STACKS)
        self._reports: _Recent[ReportContent] = _Recent(_STACKS)

    def stack(self, study: str, series: str) -> Stack:
        """The images of a series, in the order in which they are looked through."""

        return self._stack(study, series, self._turn)

    def masks(self, one: Segmented) -> ImageMasks:
        """What a segmentation's header says."""

        def make() -> ImageMasks:
            with self._turn(), self._file(one.blob) as path:
                return _masks_in(path)

        return self._masks.get(one.blob, make)

    def marked(self, stack: Stack, one: Segmented) -> list[int]:
        """Which images of a stack a segmentation marks; none where it is of another space."""
        masks = self.masks(one)
        return masks.marked(stack) if masks.instance.frame_of_reference_uid == stack.frame_of_reference_uid else []

    def image(self, asked: AskedImage, window: DisplayWindow | None = None) -> bytes:
        """An image in a window, else in that of its header; of colours there is none."""
        with self._turn():
            return png(self._image(asked, window=window))

    def window(self, asked: AskedImage) -> DisplayWindow | None:
        """The window that an image is shown in where nobody asks for another; None where it cannot be another one."""
        with self._turn(), self._file(asked.instance.blob) as path:
            opened = _open(path)
            if opened.pixels.photometric not in GREYSCALE or _turned_by_table(opened):
                return None
            given = window_in(opened.header, asked.frame)
            if given is not None or is_inverted(opened):
                return given
            _may_see(opened, asked.sees_patients)
            return self._own_window(asked.instance, frames_of(opened, range(asked.frame, asked.frame + 1), threads=1)[0])

    def value(self, asked: AskedImage, right: float, down: float) -> PixelValue:
        """What stands at a place of an image, which is told as the share of its width and height as it is looked at."""
        with self._turn(), self._file(asked.instance.blob) as path:
            opened = _open(path)
            if not 0 <= asked.frame < opened.pixels.frames:
                raise RequestRefused(HTTPStatus.NOT_FOUND, f"the instance has {opened.pixels.frames} frames")
            _may_see(opened, asked.sees_patients)
            values = frames_of(opened, range(asked.frame, asked.frame + 1), threads=1)[0]
            row, column = place_in(values.shape[:2], _view(opened, asked.frame), right, down)
            told = None if values.ndim == 3 else float(values[row, column])
            return PixelValue(row=row, column=column, value=told if told is not None and np.isfinite(told) else None)

    def mask(self, asked: AskedImage, one: Segmented) -> bytes:
        """What a segmentation marks on an image: as large as `image`, clear where nothing is."""
        with self._turn():
            return png(self._mask(asked, one))

    def instead(self, refused: RequestRefused) -> bytes:
        """What stands in the place of a small picture that cannot be made."""
        return words(refused.words, (_THUMBNAIL, _THUMBNAIL * 9 // 16))

    def thumbnail(self, one: ResultObject, asked: AskedImage | None, *, sees_patients: bool) -> bytes:
        """A small picture of a result; of a segmentation its mask over an image of its series."""
        with self._turn():
            if asked is None:
                with self._file(one.blob) as path:
                    opened = _open(path)
                    _may_see(opened, sees_patients)
                    frame = opened.pixels.frames // 2
                    return png(picture(self._pixels(opened, frame, None), _view(opened, frame), most=_THUMBNAIL))
            base, drawn = self._image(asked, most=_THUMBNAIL).convert("RGBA"), self._mask(asked, one, most=_THUMBNAIL)
            drawn.putalpha(drawn.getchannel("A").point(lambda alpha: round(alpha * _OPACITY)))
            return png(Image.alpha_composite(base, drawn).convert("RGB"))

    def report(self, one: ResultObject) -> ReportContent:
        """The values and sentences of a report."""

        def make() -> ReportContent:
            with self._turn(), self._file(one.blob) as path:
                return content_of(path)

        return self._reports.get(one.blob, make)

    def page_of(self, one: ResultObject, *, sees_patients: bool) -> bytes:
        """A result that is a picture, as large as it is."""
        with self._turn(), self._file(one.blob) as path:
            opened = _open(path)
            _may_see(opened, sees_patients)
            return png(picture(self._pixels(opened, 0, None), _view(opened, 0)))

    def fullest(self, stack: Stack, one: ResultObject) -> Shown | None:
        """The image of a stack on which a segmentation marks most, of a few that are spread over those that it marks."""
        marked = self.marked(stack, one)
        if not marked:
            return None
        masks = self.masks(one)
        few = [marked[place] for place in sorted({round(share * (len(marked) - 1)) for share in np.linspace(0, 1, 9)})]
        with self._turn(), self._file(one.blob) as path:

            def size(index: int) -> int:
                plane = stack.images[index].plane
                return 0 if plane is None else size_at(masks, path, masks.frames_at(plane, stack.gap_mm / 2))

            return stack.images[max(few, key=size)]

    # ---- each under a turn of its own

    def _image(self, asked: AskedImage, most: int = MOST_PIXELS, window: DisplayWindow | None = None) -> Image.Image:
        with self._file(asked.instance.blob) as path:
            opened = _open(path)
            if not 0 <= asked.frame < opened.pixels.frames:
                raise RequestRefused(HTTPStatus.NOT_FOUND, f"the instance has {opened.pixels.frames} frames")
            _may_see(opened, asked.sees_patients)
            pixels = self._pixels(opened, asked.frame, asked.instance, window)
            return picture(pixels, _view(opened, asked.frame), most=most)

    def _mask(self, asked: AskedImage, one: Segmented, most: int = MOST_PIXELS) -> Image.Image:
        with self._file(asked.instance.blob) as path:
            opened = _open(path)
        plane = opened.planes[asked.frame] if asked.frame < len(opened.planes) else None
        if plane is None:
            raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the image has no place in the patient: no mask can be drawn on it")
        with self._file(one.blob) as path:
            masks = self._masks.get(one.blob, lambda: _masks_in(path))
            if masks.instance.frame_of_reference_uid != opened.frame_of_reference_uid:
                raise RequestRefused(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "the segmentation is of another space (frame of reference) than the image"
                )
            reach_mm = self._stack(asked.instance.study_instance_uid, asked.instance.series_instance_uid).gap_mm / 2
            frames = masks.frames_at(plane, reach_mm)
            if len(frames) > MOST_SEGMENTS:
                raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{len(frames)} segments lie on this image: too many to be drawn")
            drawn = overlay(masks, path, frames, plane)
        return picture(drawn, view_of(plane), most=most, smooth=False)

    def _stack(self, study: str, series: str, turn: Callable[[], AbstractContextManager[None]] = nullcontext) -> Stack:
        """Under a `turn` where it has to be made, unless the caller has one."""

        def make() -> Stack:
            mine = [one for one in self._journal.instances.of_study(study) if one.series_instance_uid == series]
            with turn():
                return stack_of(mine, self._planes)

        return self._stacks.get((study, series), make)

    def _pixels(self, opened: Opened, frame: int, instance: Instance | None, wanted: DisplayWindow | None = None) -> NDArray[np.uint8]:
        values = frames_of(opened, range(frame, frame + 1), threads=1)[0]
        if values.ndim == 3:
            return np.asarray(values, dtype=np.uint8)
        given = wanted or window_in(opened.header, frame)
        if given is not None and not _turned_by_table(opened):
            window = as_decoded(given, opened, frame)
        else:
            window = window_by(values) if instance is None else self._own_window(instance, values)
        grey = window.grey(values)
        return 255 - grey if opened.pixels.photometric == "MONOCHROME1" and opened.physical else grey

    def _own_window(self, instance: Instance, values: NDArray[Any]) -> DisplayWindow:
        """One for all images of a series, or the brightness would jump from one to the next."""
        return self._windows.get((instance.study_instance_uid, instance.series_instance_uid), lambda: window_by(values))

    def _planes(self, one: Instance) -> tuple[Plane | None, ...]:
        with self._file(one.blob) as path:
            return read_instance(path).planes

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Few pictures at once, so that their memory is bounded; what goes wrong becomes words."""
        if not self._turns.acquire(timeout=_PATIENCE_S):
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too many pictures are being made", retry_after_s=5)
        try:
            yield
        except InputError as unfit:
            raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{unfit} [{unfit.code}]") from unfit
        except FileNotFoundError as gone:
            raise RequestRefused(HTTPStatus.GONE, "the pixels are not kept any more") from gone
        except JournalError as away:
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"the pixels cannot be read now [{away.code}]", retry_after_s=5) from away
        finally:
            self._turns.release()

    @contextmanager
    def _file(self, blob: str) -> Iterator[Path]:
        with self._blobs.hold():
            yield self._blobs.path(blob)


def _open(path: Path) -> Opened:
    opened = read_instance(path)
    _small_enough(opened, path)
    return opened


def _masks_in(path: Path) -> ImageMasks:
    masks = read_masks(path)
    _small_enough(masks.instance, path)
    if len(masks.planes) > MOST_FRAMES:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"the segmentation has {len(masks.planes)} frames: too many to be shown here")
    return masks


def _small_enough(opened: Opened, path: Path) -> None:
    pixels, uid = opened.pixels, opened.sop_instance_uid
    if (pixels.transfer_syntax.is_encapsulated or not pixels.offset) and (size := path.stat().st_size) > _MOST_BYTES:
        raise RequestRefused(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{uid} is one compressed file of {size >> 20} MiB: too large to be shown here"
        )
    if pixels.rows * pixels.columns * pixels.samples > _MOST_VALUES:
        raise RequestRefused(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{uid} has {pixels.columns} x {pixels.rows} pixels: too many to be shown here"
        )


def _turned_by_table(opened: Opened) -> bool:
    """Whether a table turns the values over: what a window means of those, nobody says."""
    return opened.lookup_table and opened.pixels.photometric == "MONOCHROME1"


def _view(opened: Opened, frame: int) -> View | None:
    plane = opened.planes[frame]
    return None if plane is None else view_of(plane)


def _may_see(opened: Opened, sees_patients: bool) -> None:
    """Pixels of slices name nobody unless their header says so; radiographs, captures and loops may."""
    burned_in = str(opened.header.get("BurnedInAnnotation") or "")
    if sees_patients or burned_in == "NO" or (burned_in != "YES" and all(opened.planes)):
        return
    raise RequestRefused(HTTPStatus.FORBIDDEN, "these pixels may show whose they are: your role may not see that")
