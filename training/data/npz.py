"""Images and labels from one .npz file, in the layout of MedMNIST: train_images, train_labels, val_…, test_…; the file's own split."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import UnfitData

_COLOURS = frozenset({1, 3})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImages:
    """Images of one side of a split, and the class of each.

    Attributes
    ----------
    images
        (N, Y, X), (N, Y, X, 3) or (N, Z, Y, X) uint8.
    labels
        The class of each, (N,) int64, from 0; or of each finding whether it is there, (N, K) of 0 and 1.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSides:
    """Three sides; who stands where was decided by those who made the data; by what, the file does not tell."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages


def sides(file: Path) -> ImageSides:
    """The three sides of a .npz file of single images, each of one class; nothing in it is run (pickled objects are refused).

    Raises
    ------
    UnfitData
        The file is not there, is no .npz, lacks an array, or its arrays do not fit each other.
    """
    found = any_sides(file)
    for name, side in (("train", found.train), ("val", found.validation), ("test", found.test)):
        if side.labels.ndim > 1:
            raise UnfitData(f"{file}: {name}_labels is {_told(side.labels)}, not a whole number for each of {len(side.images)} images")
        if is_volumes(side):
            raise UnfitData(f"{file}: {name}_images is {_told(side.images)}: volumes, not single images")
    return found


def is_volumes(side: LabelledImages) -> bool:
    """Whether each image is a volume (Z, Y, X); what has three values a pixel is one of colours."""
    return side.images.ndim == 4 and side.images.shape[-1] not in _COLOURS


def any_sides(file: Path) -> ImageSides:
    """The three sides of a .npz file of single images or volumes, each of one class, or with several findings.

    Raises
    ------
    UnfitData
        As of `sides`.
    """
    try:
        arrays = np.load(file, allow_pickle=False)
        if isinstance(arrays, np.ndarray):
            raise UnfitData(f"{file} holds one array without a name; a .npz file with train_images, train_labels and so on is needed")
        with arrays:
            found = {name: _side(file, arrays, name) for name in ("train", "val", "test")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as broken:
        raise UnfitData(f"{file} is no .npz file of arrays: {broken}") from broken
    shapes = {name: side.images.shape[1:] for name, side in found.items()}
    if len(set(shapes.values())) > 1:
        raise UnfitData(f"{file}: the sides hold images of different shapes: {shapes}")
    columns = {name: side.labels.shape[1:] for name, side in found.items()}
    if len(set(columns.values())) > 1:
        raise UnfitData(f"{file}: the sides hold labels of different shapes: {columns}")
    if columns["train"]:
        more = next((name for name, side in found.items() if side.labels.max() > 1), None)
        if more is not None:
            raise UnfitData(
                f"{file}: {more}_labels has several columns, each of which is a finding: 1 or 0, and not {found[more].labels.max()}"
            )
        return ImageSides(train=found["train"], validation=found["val"], test=found["test"])
    # a class that the network never saw cannot be asked of it
    beyond = max(side.labels.max() for side in found.values())
    if beyond > found["train"].labels.max():
        raise UnfitData(f"{file}: class {beyond} is not among the training labels (0 to {found['train'].labels.max()})")
    return ImageSides(train=found["train"], validation=found["val"], test=found["test"])


def _side(file: Path, arrays: np.lib.npyio.NpzFile, name: str) -> LabelledImages:
    wanted = (f"{name}_images", f"{name}_labels")
    absent = [array for array in wanted if array not in arrays]
    if absent:
        raise UnfitData(f"{file} has no array {' and no '.join(absent)}; it has: {', '.join(arrays.files) or 'none'}")
    images, labels = (arrays[array] for array in wanted)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise UnfitData(f"{file}: {wanted[0]} is {_told(images)}, not uint8 of shape (N, Y, X) or (N, Y, X, C)")
    if labels.dtype.kind not in "iu" or labels.ndim not in (1, 2) or len(labels) != len(images) or not labels.size:
        raise UnfitData(f"{file}: {wanted[1]} is {_told(labels)}, not a whole number for each of {len(images)} images")
    if labels.min() < 0:
        raise UnfitData(f"{file}: {wanted[1]} holds {labels.min()}; classes are counted from 0")
    one = labels.ndim == 1 or labels.shape[1] == 1
    return LabelledImages(images=images, labels=(labels.reshape(-1) if one else labels).astype(np.int64))


def _told(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} of shape {array.shape}"
