"""Pictures of the best, the middle and the worst cases: three planes each, with the true outline and the found one."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from training.evaluation.segmentation import Masks

if TYPE_CHECKING:
    from inference.findings import Box, Explanation
    from inference.imaging.volume import Volume
    from training.data.cases import Labelled

_EACH = 2
_MARGIN_MM = 8.0
_WINDOW = (1, 99)
_PLANES = ("sagittal", "coronal", "axial")
_LARGEST_PX = 170
_REACH_MM = 22.0
_LUNG_HU = (-1100, 300)
_PLACES, _HEAT = (0.0, 0.4, 0.75, 1.0), ((40, 0, 0), (200, 30, 10), (255, 170, 30), (255, 255, 220))
_FAINTEST, _LEAST_LOG_ODDS = 0.08, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One case: its number in the evaluation (no name: a name may be a patient's), why it is shown, its figure, and its planes as SVG.

    `maps` names what stands beside the image: what moved the answer.
    """

    number: int
    why: str
    figure: float
    planes: tuple[Markup, ...]
    maps: tuple[str, ...] = ()


def chosen(
    values: Sequence[float | None], seen: "Callable[[int], tuple[Volume, Sequence[Masks], NDArray[np.float32] | None]]"
) -> list[Picture]:
    """The best two, the middle two and the worst two of the cases that have these values; each case once.

    `seen` gives a case's volume and structures, and how unsure the network is of each voxel, 0 to 1, where that is known.
    """
    made = []
    for index, why in _ranked(values):
        made.append(Picture(number=index + 1, why=why, figure=values[index] or 0.0, planes=planes(*seen(index))))
    return made


def answered(
    images: Sequence[NDArray[Any]], told: Mapping[str, Any], explained: "Callable[[int], Sequence[Explanation]]" = lambda _: ()
) -> list[Picture]:
    """Of a classifier's held-out cases, given as images (Y, X), the surest hits and the worst misses of either kind.

    `told` is the record's `classification`; its cases are in the order of the images. `explained` says what moved the answer about one.
    """
    cases, threshold = told["cases"], told["threshold"]
    made = []
    for positive, real in ((True, "present"), (False, "absent")):
        # from the most certain "present" to the most certain "absent"
        order = sorted((n for n, each in enumerate(cases) if each["positive"] == positive), key=lambda n: -cases[n]["probability"])
        called = {n: cases[n]["probability"] >= threshold for n in order}
        right = [n for n in (order if positive else order[::-1]) if called[n] == positive][:_EACH]
        wrong = [n for n in (order[::-1] if positive else order) if called[n] != positive][:_EACH]
        for why, some in ((f"hit: {real}", right), (f"miss: {real}", wrong)):
            for n in some:
                image = images[n]
                pixel = _LARGEST_PX / max(image.shape)
                those = explained(n)
                planes = (
                    _plane("image", image, (), pixel, pixel),
                    *(_plane(one.label, image, (), pixel, pixel, heat=one.values) for one in those),
                )
                maps = tuple(one.label for one in those)
                made.append(Picture(number=n + 1, why=why, figure=cases[n]["probability"], planes=planes, maps=maps))
    return made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marked:
    """A place in a held-out CT that is worth a look: the case's number, why, and, where something was found, its box and certainty."""

    number: int
    why: str
    loaded: "Labelled"
    at_mm: tuple[float, float, float]
    image: int | None
    box: "Box | None"
    certainty: float


def marked(places: Sequence[Marked]) -> list[Picture]:
    """Of each place its slice around it: the outline of what was planted, and the box that was told."""
    return [Picture(number=each.number, why=each.why, figure=each.certainty, planes=(_around(each),)) for each in places]


def _around(place: Marked) -> Markup:
    volume, labels = place.loaded.volume, place.loaded.labels
    z, row, column = (np.linalg.inv(volume.affine) @ [*place.at_mm, 1.0])[:3]
    image = int(np.clip(round(z), 0, len(labels) - 1)) if place.image is None else place.image
    here = tuple(
        slice(max(0, round(at - _REACH_MM / step)), min(side, round(at + _REACH_MM / step) + 1))
        for at, step, side in zip((row, column), volume.spacing_mm[1:], labels.shape[1:], strict=True)
    )
    box = np.zeros(labels.shape[1:], dtype=np.bool_)
    if place.box is not None:
        box[int(place.box.top) : int(place.box.bottom), int(place.box.left) : int(place.box.right)] = True
    shown = np.clip(volume.voxels[image][here], *_LUNG_HU)
    outlines = (("true", labels[image][here] > 0), ("found", box[here]))
    scale = _LARGEST_PX / (2 * _REACH_MM)
    return _plane("axial", shown, outlines, scale * volume.spacing_mm[1], scale * volume.spacing_mm[2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxedImage:
    """What the network sees of a held-out image (Y, X), and boxes there: those that were drawn, and those that were told."""

    image: NDArray[np.float32]
    true: "Sequence[Box]"
    found: "Sequence[Box]"


def boxed(shown: Sequence[tuple[float | None, BoxedImage]]) -> list[Picture]:
    """The best two, the middle two and the worst two of the images that have this figure, with their boxes."""
    made = []
    for number, why in _ranked([figure for figure, _ in shown]):
        figure, one = shown[number]
        pixel = _LARGEST_PX / max(one.image.shape)
        outlines = [(name, _filled(box, one.image.shape)) for name, boxes in (("true", one.true), ("found", one.found)) for box in boxes]
        made.append(Picture(number=number + 1, why=why, figure=figure or 0.0, planes=(_plane("image", one.image, outlines, pixel, pixel),)))
    return made


def stills(shown: Sequence[tuple[float | None, Sequence[tuple[str, NDArray[Any]]]]]) -> list[Picture]:
    """The best two, the middle two and the worst two of the cases that have this figure, each as images (Y, X) with what they are."""
    made = []
    for number, why in _ranked([figure for figure, _ in shown]):
        figure, images = shown[number]
        drawn = [(title, image, _LARGEST_PX / max(image.shape)) for title, image in images]
        planes = tuple(_plane(title, image, (), pixel, pixel) for title, image, pixel in drawn)
        made.append(Picture(number=number + 1, why=why, figure=figure or 0.0, planes=planes))
    return made


def _filled(box: "Box", shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[round(box.top) : max(round(box.bottom), round(box.top) + 1), round(box.left) : max(round(box.right), round(box.left) + 1)] = True
    return mask


def _ranked(values: Sequence[float | None]) -> list[tuple[int, str]]:
    order = sorted((index for index, value in enumerate(values) if value is not None), key=lambda index: -(values[index] or 0.0))
    middle = len(order) // 2
    found: dict[int, str] = {}
    for why, some in (("worst", order[::-1][:_EACH]), ("best", order[:_EACH]), ("middle", order[max(0, middle - 1) : middle + 1])):
        for index in some:
            found.setdefault(index, why)
    ranks = ("best", "middle", "worst")
    return sorted(found.items(), key=lambda each: (ranks.index(each[1]), order.index(each[0])))


def planes(volume: "Volume", structures: Sequence[Masks], unsure: NDArray[np.float32] | None = None) -> tuple[Markup, ...]:
    """One picture across each axis, where most of the truth is; the head up, the patient's right on the left.

    Where it is known how `unsure` the network is of each voxel, 0 to 1, there is another of each with that in colours, to the same scale.
    """
    true = np.logical_or.reduce([masks.true for masks in structures])
    anywhere = true | np.logical_or.reduce([masks.found for masks in structures])
    aim = true if true.any() else anywhere
    box = around(anywhere, volume.spacing_mm)
    scale = _LARGEST_PX / max((side.stop - side.start) * step for side, step in zip(box, volume.spacing_mm, strict=True))
    made, heated = [], []
    for axis in range(3):
        place = int(aim.sum(axis=tuple(other for other in range(3) if other != axis)).argmax())
        rows, columns = (other for other in range(3) if other != axis)
        cut = tuple(place if each == axis else box[each] for each in range(3))
        # arrays run to the head, the back and the left; a picture has the head at its top
        down = -1 if volume.affine[2, rows] > abs(volume.affine[:2, rows]).max() else 1
        outlines = [(name, mask[cut][::down]) for masks in structures for name, mask in (("true", masks.true), ("found", masks.found))]
        kind = _PLANES[int(np.abs(volume.affine[:3, axis]).argmax())]
        image, size = volume.voxels[cut][::down], (scale * volume.spacing_mm[rows], scale * volume.spacing_mm[columns])
        made.append(_plane(kind, image, outlines, *size))
        if unsure is not None:
            heated.append(_plane(f"{kind}, unsure", image, outlines, *size, heat=unsure[cut][::down], full=1.0))
    return (*made, *heated)


def _plane(
    kind: str,
    image: NDArray[Any],
    outlines: Sequence[tuple[str, NDArray[np.bool_]]],
    down_px: float,
    right_px: float,
    heat: NDArray[np.float32] | None = None,
    full: float | None = None,
) -> Markup:
    rows, columns = image.shape
    over = Markup("") if heat is None else _laid_over(heat, full)
    drawn = over + Markup("").join(Markup('<path class="{}" d="{}"/>').format(name, outline(mask)) for name, mask in outlines if mask.any())
    return Markup(
        '<svg role="img" viewBox="0 0 {0} {1}" width="{2:.0f}" height="{3:.0f}" preserveAspectRatio="none"><title>{4}</title>'
        '<image href="data:image/png;base64,{5}" width="{0}" height="{1}" preserveAspectRatio="none"/>{6}</svg>'
    ).format(columns, rows, columns * right_px, rows * down_px, kind, _png(image), drawn)


def outline(mask: NDArray[np.bool_]) -> str:
    """The edges between pixels inside and outside, as an SVG path in pixels: horizontal runs, then vertical ones."""
    padded = np.pad(mask, 1)
    across, down = padded[1:, 1:-1] != padded[:-1, 1:-1], padded[1:-1, 1:] != padded[1:-1, :-1]
    parts = [f"M{start} {row}h{length}" for row, line in enumerate(across) for start, length in _runs(line)]
    parts += [f"M{column} {start}v{length}" for column, line in enumerate(down.T) for start, length in _runs(line)]
    return "".join(parts)


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    steps = np.diff(np.concatenate([[0], line.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [(int(start), int(stop - start)) for start, stop in zip(starts, stops, strict=True)]


def _png(image: NDArray[Any]) -> str:
    from PIL import Image

    low, high = np.percentile(image, _WINDOW)
    grey = np.clip((image - low) / ((high - low) or 1) * 255, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _laid_over(values: NDArray[np.float32], full: float | None) -> Markup:
    """As colours from dark red to nearly white, the more the less of what is below shows; what is negative is not drawn.

    White is `full`, or of log odds the largest value.
    """
    from PIL import Image

    share = np.clip(values / (max(float(values.max()), _LEAST_LOG_ODDS) if full is None else full), 0, 1)
    rgb = [np.interp(share, _PLACES, channel) for channel in zip(*_HEAT, strict=True)]
    alpha = np.where(share < _FAINTEST, 0, 190 * np.sqrt(share))
    file = io.BytesIO()
    Image.fromarray(np.stack([*rgb, alpha], axis=-1).astype(np.uint8)).save(file, "PNG", optimize=True)
    rows, columns = values.shape
    return Markup('<image href="data:image/png;base64,{}" width="{}" height="{}" preserveAspectRatio="none"/>').format(
        base64.b64encode(file.getvalue()).decode("ascii"), columns, rows
    )


def around(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> tuple[slice, ...]:
    """Where anything is, and some millimetres around it."""
    if not mask.any():
        return tuple(slice(0, side) for side in mask.shape)
    sides = []
    for axis, step in enumerate(spacing_mm):
        there = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = round(_MARGIN_MM / step)
        sides.append(slice(max(0, int(there[0]) - margin), min(mask.shape[axis], int(there[-1]) + margin + 1)))
    return tuple(sides)
