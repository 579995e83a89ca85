"""Cavity of the left ventricle on short-axis cine MR: a 2-D U-Net on slices drawn at end-diastole and end-systole (Sunnybrook)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.left_ventricle.application import APPLICATION, MODEL, SLICES_A_CALL
from inference.applications.left_ventricle.preparing import WINDOW, normalised, prepare
from inference.applications.port import ModelRef, Tensors
from inference.engines.port import Call
from inference.findings import Findings
from training.baselines import Baseline
from training.data.cases import ByPatient, Case
from training.data.short_axes import padded, short_axes
from training.networks.over_time import SYSTOLE, MaskAndPhase, mask_and_phase_loss
from training.recipe import Augment, DataTerms, Example, Recipe, Schedule
from training.synopsis import FullRun
from training.tasks.phases import PhaseSegmenter

CHANNELS = (16, 32, 64, 128, 128)
AROUND = (224, 224)
"""Pixels of what is learned from, of which windows are cut."""
TURNED_DEGREES, LARGER, WIDER, ASIDE_PX = 45.0, 1.25, 1.1, 14
"""At most. Serving lays every short axis as scanners show it (`preparing`), as most of the drawn images lie; pixels are not known in mm,
and the heart is not always in the middle."""
ANY_TURN_SHARE = 0.2
"""Of the windows, those that are turned by any angle: two of the 30 patients lie a quarter turn from the rest."""
BENT_PX = 2.0
"""Deviation by which the knots of a coarse grid are moved."""
FAR_SHARE, FAR_PX = 0.07, 60
"""Of the windows, those that lie far off: most of such a one has no heart."""
CLOSED_SHARE = 0.15
"""Of the windows, those whose cavity is painted over: what nobody drew, a slice beyond the apex."""
_KNOTS, _SHADES = 6, 3


def example(labelled: Any) -> Example:
    """Of `LabelledPhases`: the drawn slices of both phases, (1, N, *AROUND), by the serving code; labels as `MaskAndPhase` learns."""
    prepared = prepare(labelled.phases, AROUND)
    truth = np.stack([prepared.onto(one) | phase * SYSTOLE for phase, one in enumerate(labelled.labels)]).astype(np.uint8)
    return Example(image=prepared.images[labelled.drawn][None], target=truth[labelled.drawn][None])


def one_slice() -> Augment:
    """Cut a window out of one slice, turned, scaled, bent and moved, sometimes with its cavity painted over; then shade and noise."""

    def augment(example: Example, seed: int) -> Example:
        rng = np.random.default_rng(seed)
        at = int(rng.integers(example.image.shape[1]))
        phase = example.target[0, at] & SYSTOLE
        image, target = _moved(example.image[0, at], example.target[0, at] & 1, rng)
        if rng.random() < CLOSED_SHARE:
            image, target = _closed(image, target, rng)
        image = normalised(_shaded(image, rng)[None])[0]
        return Example(image=image[None], target=(target | phase[0, 0])[None])

    return augment


def _moved(image: NDArray[np.float32], target: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Any, Any]:
    from scipy.ndimage import map_coordinates

    angle = np.radians(rng.uniform(-1, 1) * (180.0 if rng.random() < ANY_TURN_SHARE else TURNED_DEGREES))
    scale, wider = LARGER ** rng.uniform(-1, 1), WIDER ** rng.uniform(-1, 1)
    reach = FAR_PX if rng.random() < FAR_SHARE else ASIDE_PX
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale * np.array([[wider], [1 / wider]])
    middle = (np.array(image.shape) - 1) / 2 + rng.uniform(-reach, reach, 2)
    places = np.mgrid[: WINDOW[0], : WINDOW[1]].reshape(2, -1) - (np.array(WINDOW)[:, None] - 1) / 2
    bent = np.stack([_smooth(rng.normal(0, BENT_PX, (_KNOTS, _KNOTS))) for _ in range(2)]).reshape(2, -1)
    at = turn @ (places + bent) + middle[:, None]
    moved, labels = (map_coordinates(each, at, order=order, mode="mirror") for each, order in ((image, 1), (target, 0)))
    return moved.reshape(WINDOW).astype(np.float32), labels.reshape(WINDOW).astype(np.uint8)


def _smooth(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Knots (K, K) as a smooth field over the window, by cubic splines."""
    down, across = (_spline(side, len(knots)) for side in WINDOW)
    return down @ knots @ across.T


@cache
def _spline(side: int, knots: int) -> NDArray[np.float64]:
    """(side, knots): what each knot adds along one axis."""
    from scipy.ndimage import zoom

    weights: NDArray[np.float64] = zoom(np.eye(knots), (side / knots, 1), order=3)
    return weights


def _closed(image: NDArray[np.float32], target: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Any, Any]:
    from scipy.ndimage import binary_dilation, gaussian_filter

    over = binary_dilation(target > 0, iterations=int(rng.integers(1, 4)))
    wall = image[binary_dilation(over, iterations=4) & ~over]
    if not wall.size:
        return image, target
    noise = gaussian_filter(rng.normal(0, 1, image.shape), rng.uniform(0.5, 2))
    painted = np.percentile(wall, rng.uniform(20, 60)) + noise / noise.std() * float(wall.std()) * rng.uniform(0.1, 0.6)
    share = gaussian_filter(over.astype(np.float32), 1.0)
    return (image * (1 - share) + painted * share).astype(np.float32), np.zeros_like(target)


def _shaded(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    low, high = float(image.min()), float(image.max())
    unit = (image - low) / max(high - low, 1e-6) * np.exp(_smooth(rng.normal(0, 0.25, (_SHADES, _SHADES))))
    shaded = unit ** rng.uniform(0.6, 1.6) + rng.normal(0, rng.uniform(0, 0.03), image.shape)
    return shaded.astype(np.float32)


def network(channels: tuple[int, ...] = CHANNELS) -> Any:
    """A U-Net of two heads."""
    return MaskAndPhase(channels)


@dataclass(frozen=True, slots=True)
class Grown:
    """An `Infer` without a network: bright by Otsu's threshold in the middle of the window, grown from the part nearest to it."""

    least_px: int

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        (image,) = tensors.values()
        scores = np.zeros((len(image), 2, *image.shape[2:]), dtype=np.float32)
        scores[:, 0] = 0.5
        scores[:, 1] = np.stack([self._part(one[0]) for one in image])
        return {"OUTPUT__0": scores}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None

    def _part(self, image: NDArray[np.float32]) -> NDArray[np.bool_]:
        from scipy import ndimage
        from skimage.filters import threshold_otsu

        inner = tuple(slice(side // 5, side - side // 5) for side in image.shape)
        bright = np.zeros(image.shape, dtype=np.bool_)
        bright[inner] = ndimage.binary_opening(image[inner] > threshold_otsu(image[inner]), iterations=2)
        parts, count = ndimage.label(bright)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        large = np.flatnonzero(sizes >= self.least_px) + 1
        if not large.size:
            return np.zeros(image.shape, dtype=np.bool_)
        middle = (np.array(image.shape) - 1) / 2
        far = [float(np.linalg.norm(np.array(place) - middle)) for place in ndimage.center_of_mass(bright, parts, large)]
        found: NDArray[np.bool_] = ndimage.binary_fill_holes(parts == large[int(np.argmin(far))])
        return found


def grown(recipe: Recipe, cases: Sequence[Case]) -> Grown:
    """The smallest part that counts is the one in a hundred of what was drawn in training."""
    sizes = [np.count_nonzero(each & 1) for case in cases for each in recipe.example(case.load()).target[0]]
    return Grown(least_px=max(10, int(np.percentile(sizes, 1))))


def ejected(findings: Findings) -> float:
    """What the report says."""
    return next(one.value for one in findings.measurements if one.name == codes.EJECTION_FRACTION)


RECIPE = PhaseSegmenter(
    name="left-ventricle",
    title="Cavity of the left ventricle on short-axis cine MR",
    application=APPLICATION,
    model=MODEL,
    window=WINDOW,
    channels=2,
    sides=ByPatient(short_axes),
    example=example,
    network=network,
    loss=mask_and_phase_loss,
    augment=one_slice,
    structure="cavity",
    ejected=ejected,
    padded=padded,
    baseline=Baseline(name="threshold and region growing", make=grown),
    at_once=SLICES_A_CALL,
    watched="Dice cavity",
    averaged=0.99,
    schedule=Schedule(epochs=12, batch=12, learning_rate=2e-3, patience=12),
    data=DataTerms(
        name="Sunnybrook Cardiac Data: 30 patients, slices drawn at end-diastole and end-systole",
        licence="CC0-1.0",
        attribution="Sunnybrook Health Sciences Centre (Radau and others 2009), as packed by github:mshunshin/SegNetCMR",
        split="by patient",
    ),
    draws=90,
    full_run=FullRun(
        wants="drawn slices of the Sunnybrook data: DIR/images/PATIENT_NNNN.png and DIR/labels/PATIENT_NNNN.png",
        time="195 s for five folds at once on an H100; 1.1 s of one core a step, of 1,900: some 20 minutes on two, by this estimate",
        figure="Dice 0.910 (0.872 to 0.934) on 30 patients, padded, ejection fraction off by 4.2 points; by threshold 0.346 and 23.1",
    ),
)
