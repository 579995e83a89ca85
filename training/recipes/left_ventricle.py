"""Cavity of the left ventricle on short-axis cine MR: a 2-D U-Net on slices drawn at end-diastole and end-systole (Sunnybrook)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from training.recipe import Augment, DataTerms, Example, Recipe, Schedule
from training.synopsis import FullRun
from training.tasks.phases import PhaseSegmenter

CHANNELS, STRIDES = (16, 32, 64, 128), (2, 2, 2)
AROUND = (224, 224)
"""Pixels of what is learned from, of which windows are cut."""
TURNED_DEGREES, LARGER, ASIDE_PX = 180.0, 1.25, 14
"""At most; and every other one mirrored. The drawn images lie a quarter turn from how scanners show a short axis, without a word of it: any
turn has to do. Pixels are not known in mm, and the heart is not always in the middle."""
FAR_SHARE, FAR_PX = 0.15, 60
"""Of the windows, those that lie far off: most of such a one has no heart."""
CLOSED_SHARE = 0.1
"""Of the windows, those whose cavity is painted over: what nobody drew, a slice beyond the apex."""


def example(labelled: Any) -> Example:
    """Of `LabelledPhases`: the drawn slices of both phases, (1, N, *AROUND), by the code that serves."""
    prepared = prepare(labelled.phases, AROUND)
    truth = np.stack([prepared.onto(one) for one in labelled.labels])
    return Example(image=prepared.images[labelled.drawn][None], target=truth[labelled.drawn][None])


def one_slice() -> Augment:
    """Cut a window out of one slice, turned, scaled and moved, sometimes with its cavity painted over; then contrast and noise."""

    def augment(example: Example, seed: int) -> Example:
        rng = np.random.default_rng(seed)
        at = int(rng.integers(example.image.shape[1]))
        image, target = _moved(example.image[0, at], example.target[0, at], rng)
        if rng.random() < CLOSED_SHARE:
            image, target = _closed(image, target, rng)
        image = normalised(_shaded(image, rng)[None])[0]
        return Example(image=image[None], target=target[None])

    return augment


def _moved(image: NDArray[np.float32], target: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Any, Any]:
    from scipy.ndimage import affine_transform

    angle = np.radians(rng.uniform(-TURNED_DEGREES, TURNED_DEGREES))
    scale = LARGER ** rng.uniform(-1, 1)
    reach = FAR_PX if rng.random() < FAR_SHARE else ASIDE_PX
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    if rng.random() < 0.5:
        turn[:, 1] *= -1
    middle = (np.array(image.shape) - 1) / 2 + rng.uniform(-reach, reach, 2)
    offset = middle - turn @ ((np.array(WINDOW) - 1) / 2)
    moved = [
        affine_transform(each, turn, offset, output_shape=WINDOW, order=order, mode="mirror") for each, order in ((image, 1), (target, 0))
    ]
    return moved[0].astype(np.float32), moved[1].astype(np.uint8)


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
    unit = (image - low) / max(high - low, 1e-6)
    shaded = unit ** rng.uniform(0.7, 1.4) + rng.normal(0, rng.uniform(0, 0.03), image.shape)
    return shaded.astype(np.float32)


def network(channels: tuple[int, ...] = CHANNELS, strides: tuple[int, ...] = STRIDES) -> Any:
    """A U-Net with residual units."""
    from monai.networks.nets.unet import UNet

    return UNet(spatial_dims=2, in_channels=1, out_channels=2, channels=channels, strides=strides, num_res_units=1, norm="INSTANCE")


def loss() -> Callable[[Any, Any], Any]:
    """Dice over the batch and cross-entropy together: windows without a cavity count as well."""
    from monai.losses.dice import DiceCELoss

    made: Callable[[Any, Any], Any] = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    return made


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
    sizes = [np.count_nonzero(each) for case in cases for each in recipe.example(case.load()).target[0]]
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
    loss=loss,
    augment=one_slice,
    structure="cavity",
    ejected=ejected,
    padded=padded,
    baseline=Baseline(name="threshold and region growing", make=grown),
    at_once=SLICES_A_CALL,
    watched="Dice cavity",
    averaged=0.98,
    schedule=Schedule(epochs=24, batch=12, learning_rate=3e-3, patience=24),
    data=DataTerms(
        name="Sunnybrook Cardiac Data: 30 patients, slices drawn at end-diastole and end-systole",
        licence="CC0-1.0",
        attribution="Sunnybrook Health Sciences Centre (Radau and others 2009), as packed by github:mshunshin/SegNetCMR",
        split="by patient",
    ),
    draws=20,
    full_run=FullRun(
        wants="drawn slices of the Sunnybrook data: DIR/images/PATIENT_NNNN.png and DIR/labels/PATIENT_NNNN.png",
        time="27 minutes on two cores beside much else",
        figure="Dice 0.855 (0.789 to 0.906) on 6 held-out patients, ejection fraction off by 7.6 points; by threshold 0.684 and 7.2",
    ),
)
