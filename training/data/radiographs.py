"""Cases from the .npz file of a two-class image set: each picture as the radiograph that serving would be given."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.cases import Case, LabelledImage, Split
from training.data.npz import LabelledImages
from training.data.npz import sides as sides_of
from training.data.pictures import images_of
from training.errors import UnfitData


def sides(data: Path) -> Split:
    """The three sides of a file, or of the one .npz file of a folder.

    Every picture counts as a patient: who they are, the file does not say; nor whether its makers split by them.

    Raises
    ------
    UnfitData
        No such file, or several, or colours, or other classes than 0 and 1, or a side of one class.
    """
    files = [data] if data.is_file() else sorted(data.glob("*.npz"))
    if len(files) != 1:
        raise UnfitData(f"{data} holds {len(files)} .npz files; one is needed, or its own name")
    read = sides_of(files[0])
    if read.train.images.ndim != 3 or read.train.labels.max() != 1:
        raise UnfitData(f"{files[0]} holds colours, or other classes than 0 and 1")
    for side, there in (("train", read.train), ("val", read.validation), ("test", read.test)):
        if len(np.unique(there.labels)) < 2:
            raise UnfitData(
                f"{files[0]}: all {len(there.labels)} {side}_labels are {there.labels[0]}; ranking needs both classes on every side"
            )
    return Split(train=_cases("train", read.train), validation=_cases("val", read.validation), test=_cases("test", read.test))


def _cases(side: str, images: LabelledImages) -> tuple[Case, ...]:
    names = [f"{side} {index}" for index in range(len(images.images))]
    return tuple(
        Case(patient=name, name=name, load=partial(_load, name, picture, bool(label)))
        for name, picture, label in zip(names, images.images, images.labels, strict=True)
    )


def _load(name: str, picture: NDArray[np.uint8], positive: bool) -> Any:
    return LabelledImage(images=images_of(picture, name), positive=positive)
