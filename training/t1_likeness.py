"""Learns how tissue lies in T1 weighted heads, for the input judge: `python -m training.t1_likeness`.

Reads two of the maps of labels of train/synthseg_label_maps (SynthSeg, Apache-2.0) below HILUM_DATA, draws heads of them in any weighting
with coils, noise, slices and disease, and fits a logistic regression to their signs. The third map is what the bench draws from. Writes
inference/imaging/judge/t1_likeness.json; the same data gives the same numbers.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.imaging.judge.weighting import FILE, Floats, T1Likeness, signs_of, standardised

FOLDER = "train/synthseg_label_maps"
LEARNED = ("01", "03")
GREY = frozenset({3, 8, 10, 11, 12, 13, 17, 18, 26, 42, 47, 49, 50, 51, 52, 53, 54, 58})
DEEP = frozenset({10, 11, 12, 13, 17, 18, 26, 49, 50, 51, 52, 53, 54, 58})
"""Of the grey matter the nuclei: between cortex and white matter on T1."""
WATER = frozenset({4, 5, 14, 15, 24, 43, 44, 72})
OUTSIDE: Mapping[int, str] = {502: "artery", 506: "eye", 507: "muscle", 508: "muscle", 509: "mucosa", 511: "skin", 512: "white"} | {
    514: "vein",
    515: "bone",
    516: "marrow",
    530: "white",
}
"""What labels of FreeSurfer, and those of 500 and more for what lies outside the brain, stand for; all others are white matter."""
TISSUES = ("air", "white", "grey", "water", "artery", "eye", "muscle", "mucosa", "skin", "vein", "bone", "marrow")
GRIDS = ((3, 3, 3), (3, 3, 3), (3, 3, 3), (2, 3, 3), (4, 3, 3), (5, 3, 3), (6, 3, 3), (6, 3, 3), (3, 3, 5))
"""Steps in mm, to the head, to the back and to the left, that the judge's grid may have."""
DRAWN = 26
"""Heads of each map on each grid."""
SEED = 1
PENALTY = 3.0
ROUNDS = 30

Labels = NDArray[np.intp]


class Weighting(StrEnum):
    """What heads are drawn as."""

    T1 = "T1"
    T1_ENHANCED = "T1 with contrast medium"
    T2 = "T2"
    FLAIR = "FLAIR"
    PROTON_DENSITY = "proton density"
    NEGATIVE = "negative of T1"
    CT = "CT"
    WHITE_MAP = "map of white matter"
    GREY_MAP = "map of grey matter"
    WATER_MAP = "map of water"
    ANY_OTHER = "any other"


_RIGHT = frozenset({Weighting.T1, Weighting.T1_ENHANCED})
_OFTEN = (*(Weighting.T1,) * 5, *(Weighting.T1_ENHANCED,) * 3, *Weighting, Weighting.ANY_OTHER, Weighting.FLAIR)
_MAPS = {Weighting.WHITE_MAP: 0, Weighting.GREY_MAP: 1, Weighting.WATER_MAP: 2}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shares:
    """One map on a coarse grid.

    Attributes
    ----------
    tissues
        (tissue, Z, Y, X) share of each voxel: white and grey matter, water, nuclei, then what lies outside the brain.
    inside
        (Z, Y, X) share that lies within the skull.
    """

    tissues: Floats
    inside: Floats
    spacing_mm: tuple[float, float, float]


def tissues_of(labels: Labels) -> Labels:
    """Places in `TISSUES` of a map of labels."""
    places = np.zeros(int(labels.max()) + 1, dtype=np.intp)
    for label in range(1, len(places)):
        named = OUTSIDE.get(label, "grey" if label in GREY else "water" if label in WATER else "white")
        places[label] = TISSUES.index(named)
    return places[labels]


def within_skull(labels: Labels) -> NDArray[np.bool_]:
    """What a map has of the brain and its water."""
    inside: NDArray[np.bool_] = (labels > 0) & (labels < 500)
    return inside


def shares(labels: Labels, blocks: tuple[int, int, int], offset: NDArray[np.intp]) -> Shares:
    """A map (Z, Y, X) of 1 mm in blocks, which begin at an offset."""
    begun = labels[tuple(slice(int(start), None) for start in offset)]
    tissue, inside = tissues_of(begun), within_skull(begun)
    deep = np.isin(begun, list(DEEP))
    parts = [tissue == 1, (tissue == 2) & ~deep, tissue == 3, deep, *(tissue == number for number in range(4, len(TISSUES)))]
    within = _blocked(inside, blocks)
    kept = tuple(slice(max(0, int(at.min()) - 2), int(at.max()) + 3) for at in np.nonzero(within))
    return Shares(
        tissues=np.stack([_blocked(part, blocks)[kept] for part in parts]),
        inside=within[kept],
        spacing_mm=(float(blocks[0]), float(blocks[1]), float(blocks[2])),
    )


def _blocked(array: NDArray[np.bool_], blocks: tuple[int, int, int]) -> Floats:
    counts = [size // block for size, block in zip(array.shape, blocks, strict=True)]
    whole = array[tuple(slice(0, count * block) for count, block in zip(counts, blocks, strict=True))]
    parted = whole.reshape(counts[0], blocks[0], counts[1], blocks[1], counts[2], blocks[2])
    return np.asarray(parted.mean(axis=(1, 3, 5), dtype=np.float32))


def drawn(of: Shares, weighting: Weighting, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """One head (Z, Y, X) in a weighting, and what a network may mark in it."""
    from scipy import ndimage

    inner, outer = _values(weighting, rng), rng.uniform(0, 1.2, len(of.tissues) - 4)
    if weighting in _MAPS:
        outer = np.zeros_like(outer)
    picture = np.tensordot(np.array([*inner, *outer], dtype=np.float32), of.tissues, 1)
    shape, inside = picture.shape, of.inside > 0.5
    depth_mm = np.asarray(ndimage.distance_transform_edt(inside, sampling=of.spacing_mm), dtype=np.float32)
    picture *= 1 + rng.uniform(0, 0.15) * ndimage.gaussian_filter(rng.normal(0, 1, shape).astype(np.float32), 1)
    if weighting is Weighting.T1_ENHANCED:
        picture = picture + _vessels(of, rng)
    if rng.random() < 0.35:
        picture = _with_lesion(picture, of, inner, rng)
    if rng.random() < 0.2:
        filled = np.clip((depth_mm - rng.uniform(18, 40)) / 4, 0, 1)
        picture = np.asarray(picture * (1 - filled) + inner[2] * filled, dtype=np.float32)
    if rng.random() < 0.5:
        width_mm = rng.uniform(0, 1.4)
        picture = ndimage.gaussian_filter(picture, [width_mm / step for step in of.spacing_mm])
    picture = picture * _gain(shape, depth_mm, rng)
    noise = rng.uniform(0.005, 0.06) * float(picture[inside].max()) * (0.1 if weighting in _MAPS else 1.0)
    picture = np.hypot(picture + noise * rng.normal(0, 1, shape), noise * rng.normal(0, 1, shape))
    if rng.random() < 0.3:
        picture = np.where(inside, picture, 0)
    grown = int(rng.integers(-1, 2))
    marked = ndimage.binary_erosion(inside) if grown < 0 else ndimage.binary_dilation(inside) if grown else inside
    return picture.astype(np.float32), ndimage.binary_closing(marked)


def _gain(shape: tuple[int, ...], depth_mm: Floats, rng: np.random.Generator) -> Floats:
    """What coils make of brightness: uneven, stronger at one end, and darker in the middle of the head."""
    from scipy import ndimage

    rough = ndimage.zoom(rng.normal(0, 1, (4, 4, 4)), [count / 4 for count in shape], order=1, grid_mode=True, mode="nearest")
    back, head = (np.linspace(-1, 1, count) for count in (shape[1], shape[0]))
    logarithm = rng.uniform(0, 0.3) * rough + rng.uniform(-0.6, 0.6) * back[None, :, None] + rng.uniform(-0.4, 0.4) * head[:, None, None]
    if rng.random() < 0.6:
        logarithm = logarithm - rng.uniform(0, 1.5) * depth_mm / 60
    return np.asarray(np.exp(logarithm), dtype=np.float32)


def _vessels(of: Shares, rng: np.random.Generator) -> Floats:
    """What contrast medium makes bright among the water, in the meninges and between the gyri."""
    from scipy import ndimage

    rough = ndimage.gaussian_filter(rng.normal(0, 1, of.inside.shape), 0.7)
    among = of.tissues[2] * (of.inside > 0.2)
    thin = rough > np.quantile(rough, 1 - rng.uniform(0.05, 0.3))
    return np.asarray(rng.uniform(0.3, 1.2) * among * thin, dtype=np.float32)


def _with_lesion(picture: Floats, of: Shares, inner: tuple[float, ...], rng: np.random.Generator) -> Floats:
    """A ball as water, as grey matter, or as bright or dark as it likes: a cavity, oedema, a tumour with contrast medium."""
    places = np.argwhere(of.inside > 0.9)
    centre = places[rng.integers(len(places))]
    axes = [np.square((np.arange(count) - at) * step) for count, at, step in zip(picture.shape, centre, of.spacing_mm, strict=True)]
    away_mm = np.sqrt(axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :])
    share = np.clip((rng.uniform(8, 35) - away_mm) / 4, 0, 1) * (of.inside > 0.5)
    level = (inner[2], inner[1], max(inner) * rng.uniform(0.3, 1.2))[rng.integers(3)]
    return np.asarray(picture * (1 - share) + share * level * (1 + 0.1 * rng.normal(0, 1, picture.shape)), dtype=np.float32)


def _values(weighting: Weighting, rng: np.random.Generator) -> tuple[float, ...]:
    """How bright white matter, cortex, water and nuclei are."""
    between = rng.uniform
    if weighting in _MAPS:
        levels = [float(between(0, 0.05)), float(between(0, 0.05)), 0.0]
        levels[_MAPS[weighting]] = 1.0
        return (*levels, float(between(0, 0.5)))
    if weighting in _RIGHT or weighting is Weighting.NEGATIVE:
        # spin echo at 3 T, and contrast medium, leave next to nothing between grey and white matter
        grey = float(between(0.55, 0.88) if weighting is not Weighting.T1_ENHANCED else between(0.7, 0.98))
        t1 = (1.0, grey, float(between(0.02, max(0.05, min(0.5, grey - 0.2)))), grey + float(between(-0.1, 0.5)) * (1 - grey))
        return t1 if weighting in _RIGHT else tuple(1.05 - level for level in t1)
    if weighting is Weighting.T2:
        grey = float(between(0.4, 0.75))
        return grey * float(between(0.6, 0.9)), grey, 1.0, grey * float(between(0.7, 1.0))
    if weighting is Weighting.FLAIR:
        grey = float(between(0.7, 1.0))
        return grey * float(between(0.72, 0.95)), grey, grey * float(between(0, 0.35)), grey * float(between(0.85, 1.05))
    if weighting is Weighting.PROTON_DENSITY:
        grey = float(between(0.7, 1.0))
        return grey * float(between(0.7, 0.92)), grey, grey * float(between(0.8, 1.3)), grey * float(between(0.85, 1.0))
    if weighting is Weighting.CT:
        return 0.7, 0.9, 0.2, 0.9
    while True:
        white, grey, water, deep = (float(level) for level in between(0, 1, 4))
        if not (white > 1.05 * grey and grey > 1.1 * water):
            return white, grey, water, deep


def learn(data: Path) -> T1Likeness:
    """The signs' means and deviations over all drawn heads, and the weights that tell T1 from the others, both counting alike."""
    rng = np.random.default_rng(SEED)
    signs, right = list[dict[str, float]](), list[bool]()
    for name in LEARNED:
        labels = _labels(data / FOLDER / f"training_seg_{name}.nii.gz")
        for blocks in GRIDS:
            of = shares(labels, blocks, rng.integers(0, 3, 3))
            for _ in range(DRAWN):
                weighting = _OFTEN[rng.integers(len(_OFTEN))]
                found = signs_of(*drawn(of, weighting, rng), of.spacing_mm)
                if found is not None:
                    signs.append(found)
                    right.append(weighting in _RIGHT)
    names = tuple(signs[0])
    rows = np.array([[each[name] for name in names] for each in signs], dtype=np.float32)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-6)
    weights = _fitted(standardised(rows, mean, deviation).astype(np.float64), np.array(right))
    made = T1Likeness(names=names, mean=mean, deviation=deviation, weight=weights[:-1].astype(np.float32), bias=float(weights[-1]))
    return T1Likeness.of(made.held())


def _labels(path: Path) -> Labels:
    """A map with axes to the head, to the back and to the left, of 1 mm."""
    from inference.imaging.write_series import from_nifti

    return from_nifti(path)[0].astype(np.intp)


def _fitted(rows: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights and bias by Newton's method, with a penalty on the square of the weights."""
    with_one = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    penalty = np.r_[np.full(rows.shape[1], PENALTY), 1e-3]
    counts = np.where(right, 0.5 / right.mean(), 0.5 / (1 - right.mean()))
    weights = np.zeros(with_one.shape[1])
    for _ in range(ROUNDS):
        odds = 1 / (1 + np.exp(-with_one @ weights))
        slope = with_one.T @ (counts * (odds - right)) + penalty * weights
        curve = (with_one * (counts * odds * (1 - odds))[:, None]).T @ with_one + np.diag(penalty)
        weights = weights - np.linalg.solve(curve, slope)
    return weights


def main() -> None:
    """Learn and write."""
    made = learn(Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[1] / "../shared/data")))
    FILE.write_text(json.dumps(made.held(), indent=1) + "\n", encoding="utf-8")
    print(f"{FILE}: {FILE.stat().st_size} bytes, {len(made.names)} signs")


if __name__ == "__main__":
    main()
