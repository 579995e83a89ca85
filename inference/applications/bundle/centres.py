"""Detectors of single images: from a network's map of middles to boxes, as locations on each image. numpy only.

The network says at every place whether the middle of something lies there, and how far its edges are (Zhou and others 2019, "Objects as
Points"; its heat maps, with the sides as logarithms). Boxes are (N, 4) float32: top, left, bottom, right, by edges of pixels as in `Box`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.boxes import FoundBoxes, Selection, suppressed
from inference.applications.bundle.detecting import TOLD, DetectedClass, class_from, on_slice, told_from
from inference.applications.bundle.steps import ImageOnGrid
from inference.applications.port import LocationOutput
from inference.findings import Findings, Location
from inference.imaging.resample import Grid

EDGES = 4
"""Channels behind those of the classes: the middle's way from that of the place, down and to the right, then the logarithms of height and
width; all in steps from one place to the next."""
_CANDIDATES = 200
"""Places of an image that are looked at: the likeliest."""
_MOST_GROWN = np.float32(8)
"""Logarithm of a side above which it is as long as any image."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDetector:
    """A network with one output (channels + 4, rows, columns) for a single image.

    Attributes
    ----------
    stride
        Pixels of what the network sees from one place to the next.
    channels
        Classes that it tells apart.
    classes
        Those that are reported.
    overlap
        Intersection over union above which the less likely of two boxes of a class is dropped.
    told
        Probability from which on a box is reported.
    """

    stride: int
    channels: int
    classes: tuple[DetectedClass, ...]
    overlap: float
    told: float

    @property
    def declared(self) -> tuple[LocationOutput, ...]:
        """What the application may say."""
        pairs = dict.fromkeys((each.finding, each.site) for each in self.classes)
        return tuple(LocationOutput(finding=finding, searched=site) for finding, site in pairs)


def image_detector_from(said: Any) -> ImageDetector:
    """A detector of what JSON holds of it; KeyError, TypeError or ValueError where it is none."""
    given = dict(said)
    made = ImageDetector(classes=tuple(class_from(each) for each in given.pop("classes")), **given)
    if made.stride < 1 or not all(0 <= one.channel < made.channels for one in made.classes):
        raise ValueError("the stride is 1 or more, and each class has one of its channels")
    return made


def boxes_in(detector: ImageDetector, maps: Floats) -> FoundBoxes:
    """The boxes of an image, all that are likely from `detector.told` on, in pixels of what the network sees; they may reach beyond it.

    Parameters
    ----------
    maps
        What the network says (channels + 4, rows, columns): logits of the classes, then `EDGES`.
    """
    logits, edges = maps[: detector.channels], maps[detector.channels :]
    padded = np.pad(logits, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows, columns = logits.shape[1:]
    around = [padded[:, down : down + rows, right : right + columns] for down in range(3) for right in range(3)]
    probabilities = np.float32(1) / (np.float32(1) + np.exp(-logits.astype(np.float64))).astype(np.float32)
    peaks = (logits >= np.max(around, axis=0)) & (probabilities >= np.float32(detector.told))
    kinds, down, right = np.nonzero(peaks)
    sure = probabilities[peaks]
    listed = np.argsort(-sure, kind="stable")[:_CANDIDATES]
    kinds, down, right, sure = kinds[listed], down[listed], right[listed], sure[listed]
    middles = np.stack([down, right]) + np.float32(0.5) + edges[:2, down, right]
    halves = np.exp(np.minimum(edges[2:, down, right], _MOST_GROWN)) / np.float32(2)
    boxes = (np.concatenate([middles - halves, middles + halves]) * np.float32(detector.stride)).T.astype(np.float32)
    kept = suppressed(
        _flat(boxes), sure, kinds, Selection(least=detector.told, candidates=_CANDIDATES, overlap=detector.overlap, most=_CANDIDATES)
    )
    return FoundBoxes(boxes=boxes[kept], probabilities=sure[kept], classes=kinds[kept])


def located(detector: ImageDetector, found: FoundBoxes, seen: ImageOnGrid, pixels: tuple[int, int], image: int) -> list[Location]:
    """The boxes of one image as locations on its own pixels, likeliest first; those without an area there are left out.

    Parameters
    ----------
    seen
        The image as the network sees it.
    pixels
        Its own rows and columns.
    """
    classes = {one.channel: one for one in detector.classes}
    own = Grid(shape=(1, *pixels), affine=np.eye(4))
    made = []
    # a grid counts from the middles of pixels, and there is one slice
    for box, probability, kind in zip(_flat(found.boxes) - np.float32(0.5), found.probabilities, found.classes, strict=True):
        if (one := classes.get(int(kind))) is None:
            continue
        _, shape = on_slice(box, seen.grid, own)
        if shape.top < shape.bottom and shape.left < shape.right:
            made.append(
                Location(
                    label=one.label,
                    finding=one.finding,
                    shape=shape,
                    image=image,
                    finding_site=one.site,
                    laterality=one.laterality,
                    certainty=float(probability),
                )
            )
    return made


def findings_of(detector: ImageDetector, each: Sequence[Sequence[Location]]) -> Findings:
    """What is reported of the images: of each the surest boxes, numbered class by class through all of them."""
    numbers: Counter[str] = Counter()
    told = []
    for location in (one for found in each for one in found[:TOLD]):
        numbers[location.label] += 1
        told.append(replace(location, label=f"{location.label} {numbers[location.label]}"))
    return Findings(locations=tuple(told), remarks=tuple(told_from(detector.told, len(told), sum(map(len, each)))))


def _flat(boxes: Floats) -> Floats:
    """Boxes (N, 4) of an image as boxes (N, 6) of a volume of one slice."""
    thick = np.zeros((len(boxes), 1), dtype=np.float32)
    flat: Floats = np.concatenate([thick, boxes[:, :2], thick + np.float32(1), boxes[:, 2:]], axis=1)
    return flat
