"""Pixel check before any model is asked: do the images show a body, in air, dark where air is?"""

from collections.abc import Iterator

import numpy as np

from inference.imaging.judge.coarse import Coarse, Values
from inference.imaging.volume import Volume

LEAST_LIKENESS = 0.5
"""Correlation of neighbouring blocks: 0 in noise, 0.85 and more in all real series that the bench knows."""
MOST_AT_EDGE = 0.75
"""Of the voxels at the borders, how many may be as bright as tissue; a body may be cut on every side, but air lies around a head."""
LEAST_AIR_HU = -300.0
"""The darkest hundredth of a CT of the chest is air."""
DENSER_THAN_LUNG_HU = -600.0
SOFT_HU = (-200.0, 200.0)
LEAST_SOFT = 0.2
"""Of what is denser than lung, fat, muscle and blood are most: 0.65 in real scans; off by 1024, half or twice as large 0.1 at most."""
FEW_VALUES = 8
"""MR of eight bits, windowed, has some sixty values."""
_LOOKED_AT = 24
"""Slices on which values are counted."""
_BINS = 128


def nothing_there(coarse: Coarse) -> str:
    """Why the values are no picture of anything, for people; "" where they may be."""
    values = coarse.values
    if float(values.max()) <= float(values.min()):
        return "every voxel has the same value"
    most = None
    for axis in range(3):
        likeness = _likeness(values, axis)
        if likeness is not None and likeness >= LEAST_LIKENESS:
            return ""
        most = likeness if most is None or (likeness is not None and likeness > most) else most
    return "" if most is None else f"neighbouring voxels have nothing in common (correlation {most:.2f}): noise"


def drawn(volume: Volume) -> str:
    """Why the values are those of a drawing, for people; "" where they may have been measured."""
    found = len(np.unique(volume.voxels[:: max(1, len(volume.voxels) // _LOOKED_AT)]))
    return f"the images have {found} values only, as a mask or a drawing has" if found <= FEW_VALUES else ""


def negative(coarse: Coarse) -> str:
    """Why the images look like their own negative, for people; "" where they do not."""
    values = coarse.values
    between, _ = threshold(values)
    faces = np.concatenate([face.ravel() for face in _faces(values)])
    middle = values[tuple(slice(count // 4, count - count // 4) for count in values.shape)]
    bright_edge, bright_middle = float((faces > between).mean()), float((middle > between).mean())
    if bright_edge > MOST_AT_EDGE and bright_edge > bright_middle:
        return f"{100 * bright_edge:.0f} % of the border is bright, {100 * bright_middle:.0f} % of the middle: air is dark in such images"
    return ""


def not_hounsfield(coarse: Coarse) -> str:
    """Why the values cannot be HU of a chest, for people; "" where they can."""
    darkest = float(np.percentile(coarse.values, 1))
    if darkest > LEAST_AIR_HU:
        return f"the darkest hundredth of the voxels has {darkest:.0f} HU: there is no air in the images, or their values are no HU"
    dense = coarse.values[coarse.values > DENSER_THAN_LUNG_HU]
    soft = float(((dense > SOFT_HU[0]) & (dense < SOFT_HU[1])).mean()) if dense.size else 0.0
    if soft < LEAST_SOFT:
        between = f"{SOFT_HU[0]:.0f} to {SOFT_HU[1]:.0f} HU"
        return f"of what is denser than lung {100 * soft:.0f} % has {between}, as fat, muscle and blood have: the values are no HU"
    return ""


def threshold(values: Values) -> tuple[float, float]:
    """The value that parts dark from bright best (Otsu), and the lowest value, both without the extreme half percent."""
    low, high = (float(bound) for bound in np.percentile(values, (0.5, 99.5)))
    counts, edges = np.histogram(np.clip(values, low, max(high, low + 1e-6)), bins=_BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centres)
    parted = (below > 0) & (below < below[-1])
    if not parted.any():
        return high, low
    apart = np.zeros(_BINS)
    total, whole = below[-1], sums[-1]
    apart[parted] = (whole * below[parted] / total - sums[parted]) ** 2 / (below[parted] * (total - below[parted]))
    return float(centres[int(apart.argmax())]), low


def _faces(values: Values) -> Iterator[Values]:
    """Those to the sides, and to the front: below is the neck, behind a pillow or a coil."""
    yield values[:, :, 0]
    yield values[:, :, -1]
    yield values[:, 0]


def _likeness(values: Values, axis: int) -> float | None:
    """Correlation of neighbours along an axis; None where there are none that differ."""
    first, second = (np.moveaxis(values, axis, 0)[part].ravel() for part in (slice(1, None), slice(None, -1)))
    if first.size < 2 or not first.std() > 0 or not second.std() > 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
