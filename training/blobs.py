"""Blob detector, which a nodule network has to beat: scale-normalised Laplacian of Gaussian at several radii, tuned on training cases.

How much a blob stands out is told as a multiple of one of the CT's own strongest blobs: contrast medium, a sharp kernel or noise raise all
blobs of a CT alike, and without that its false positives would outrank the nodules of every other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from inference.applications.lung_nodule.preparing import Floats, PreparedLungs, prepare
from inference.imaging.volume import Volume
from training.data.cases import Case
from training.evaluation.detection import Place, matched, sensitivities
from training.tasks.detection import Classical, thorax

MOST = 100
"""Blobs of a volume that are kept, those that stand out most."""
TUNED_ON = 6
"""Training cases: a few seconds each."""
RADII_MM = ((2.5, 4.0), (3.0, 5.0, 8.0), (2.0, 3.0, 4.5, 7.0, 10.0))
LEAST = (0.2, 0.3, 0.5)
RANKS = (5, 10, 20)
"""What is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobSetting:
    """Radii of the blobs, in mm, how dense (0 to 1 of the window) their middle has to be, and the CT's how-manieth strongest is 1."""

    radii_mm: tuple[float, ...]
    least: float
    rank: int

    def __str__(self) -> str:
        radii = ", ".join(f"{radius:g}" for radius in self.radii_mm)
        return f"radii {radii} mm, middle from {self.least:g} of the window, relative to the {self.rank}th strongest blob of the same CT"


def tuned(cases: Sequence[Case]) -> Classical:
    """The setting with the best mean sensitivity on some of the cases."""
    some = [thorax(case) for case in cases[:TUNED_ON]]
    prepared = [prepare(one.volume) for one in some]
    reached: dict[BlobSetting, float] = {}
    for radii_mm in RADII_MM:
        answers = [standing_out(each, radii_mm) for each in prepared]
        for least in LEAST:
            peaks = [_peaks(each, strongest, least) for each, strongest in zip(prepared, answers, strict=True)]
            for rank in RANKS:
                found = [
                    matched(str(number), _relative(of_one, rank), [(nodule.centre_mm, nodule.long_mm) for nodule in one.nodules])
                    for number, (one, of_one) in enumerate(zip(some, peaks, strict=True))
                ]
                reached[BlobSetting(radii_mm=radii_mm, least=least, rank=rank)] = float(np.mean(sensitivities(found)))
    best = max(reached, key=lambda setting: reached[setting])
    return Classical(name="Laplacian of Gaussian", setting=str(best), find=partial(_find, best))


def blobs(prepared: PreparedLungs, setting: BlobSetting) -> list[tuple[Place, float]]:
    """Where a blob is brighter than what is around it, over place and size, surest first: (x, y, z) in mm, and how much."""
    return _relative(_peaks(prepared, standing_out(prepared, setting.radii_mm), setting.least), setting.rank)


def standing_out(prepared: PreparedLungs, radii_mm: Sequence[float]) -> Floats:
    """The strongest answer of each voxel over the radii, (Z, Y, X)."""
    from scipy import ndimage

    step_mm = float(np.mean(prepared.grid.spacing_mm))
    strongest = np.zeros(prepared.image.shape, dtype=np.float32)
    for radius_mm in radii_mm:
        # a ball of this radius answers most to this width
        sigma = radius_mm / step_mm / np.sqrt(3)
        np.maximum(strongest, -(sigma**2) * ndimage.gaussian_laplace(prepared.image, sigma, truncate=3.0), out=strongest)
    return strongest


def _peaks(prepared: PreparedLungs, strongest: Floats, least: float) -> list[tuple[Place, float]]:
    from scipy import ndimage

    dense = ndimage.gaussian_filter(prepared.image, 1.0) >= least
    peaks = (strongest == ndimage.maximum_filter(strongest, size=5)) & (strongest > 0) & dense & prepared.search
    places = np.argwhere(peaks)
    values = strongest[peaks]
    kept = np.argsort(-values, kind="stable")[:MOST]
    at = (prepared.grid.affine @ np.column_stack([places[kept], np.ones(len(kept))]).T)[:3].T
    return [((float(x), float(y), float(z)), float(value)) for (x, y, z), value in zip(at, values[kept], strict=True)]


def _relative(peaks: list[tuple[Place, float]], rank: int) -> list[tuple[Place, float]]:
    """Of a CT with fewer, the weakest is 1."""
    return [(place, value / peaks[min(rank, len(peaks)) - 1][1]) for place, value in peaks]


def _find(setting: BlobSetting, volume: Volume) -> list[tuple[Place, float]]:
    return blobs(prepare(volume), setting)
