"""A .npz file of arrays (MedMNIST and the like) as a table of labels and what its lines name; the file's own split is kept.

Such a file numbers its classes, or its findings, and names none; it says neither what it holds images of, nor where their axes run.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.applications.bundle.metadata import MODALITIES
from inference.imaging.subject import Images
from inference.imaging.volume import Volume
from training.data.cases import OwnSide
from training.data.coded import coded
from training.data.nifti import volume_of
from training.data.npz import ImageSides, LabelledImages, any_sides, is_volumes
from training.data.pictures import images_of
from training.errors import UnfitData, UnfitSetting
from training.tabled.labels import LabelledLine, LabelTable
from training.tabled.studies import SINGLE, TabledCase, TabledStudies

ENDING = ".npz"
_VOLUMES = frozenset({"CT", "MR", "PT"})
_SIZE = re.compile(r"_(28|64|128|224)$")
_MOST = 32
_TAKEN = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
"""Of volumes whose axes nobody names: (z, y, x) to the head, to the back and to the left (LPS), in steps of 1 mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A set of MedMNIST v2 (Yang and others, Scientific Data 2023): its modality, and its labels in the order of their numbers."""

    modality: str
    labels: tuple[str, ...]


PUBLISHED: Mapping[str, Published] = {
    "adrenalmnist3d": Published(modality="CT", labels=("normal", "hyperplasia")),
    "breastmnist": Published(modality="US", labels=("malignant", "normal or benign")),
    "chestmnist": Published(
        modality="DX",
        labels=(
            "atelectasis",
            "cardiomegaly",
            "effusion",
            "infiltration",
            "mass",
            "nodule",
            "pneumonia",
            "pneumothorax",
            "consolidation",
            "edema",
            "emphysema",
            "fibrosis",
            "pleural thickening",
            "hernia",
        ),
    ),
    "dermamnist": Published(
        modality="XC",
        labels=(
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ),
    ),
    "fracturemnist3d": Published(modality="CT", labels=("buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture")),
    "nodulemnist3d": Published(modality="CT", labels=("benign", "malignant")),
    "pneumoniamnist": Published(modality="DX", labels=("normal", "pneumonia")),
    "vesselmnist3d": Published(modality="MR", labels=("vessel", "aneurysm")),
}
"""Those whose modality an application takes, as what their images are."""


def of_arrays(data: Path) -> bool:
    """Whether what is named as the data is such a file."""
    return data.suffix == ENDING


def labels_of_arrays(file: Path, names: Sequence[str], target: Sequence[str]) -> LabelTable:
    """The labels of all images; lines are counted over the sides as `arrayed` has them.

    Parameters
    ----------
    names
        What the classes, or the findings, are called, in the order of their numbers; () for a set that is known by the file's name.
    target
        Of findings, those that are learned; () for all.

    Raises
    ------
    UnfitData
        The file is none, or a class is on one side alone.
    UnfitSetting
        Nobody says what its numbers mean, or other names than there are.
    """
    found = _read(file)
    findings = found.train.labels.ndim == 2
    count = found.train.labels.shape[1] if findings else int(found.train.labels.max()) + 1
    called = _called(file, names, count, "findings" if findings else "classes")
    absent = [one for one in target if one not in called]
    if absent or (target and not findings):
        why = f"{file} has {', '.join(called)}" if absent else f"{file} says of each image one class: all of them are learned"
        raise UnfitSetting(f"--target {target[0] if not absent else absent[0]}: {why}")
    chosen = [called.index(one) for one in target] if target else list(range(count))
    channels = tuple(coded(called[at]) for at in chosen)
    if not 1 + (not findings) <= len(channels) <= _MOST:
        raise UnfitData(f"{file} has {len(channels)} {'findings' if findings else 'classes'}: at most {_MOST} are learned, and two classes")
    lines: list[LabelledLine] = []
    for side, held in _in_order(found):
        said = held.labels[:, chosen].astype(bool) if findings else held.labels[:, None] == np.arange(count)
        _refuse_one_sided(file, side, said, [called[at] for at in chosen], findings)
        lines += [
            LabelledLine(number=len(lines) + at + 1, name=_name(side, at), instance="", frame=None, labels=tuple(map(bool, row)))
            for at, row in enumerate(said)
        ]
    return LabelTable(
        identifier=ENDING,
        channels=channels,
        exclusive=not findings,
        lines=tuple(lines),
        unlabelled=(),
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        of_files=True,
    )


def arrayed(file: Path, table: LabelTable, modality: str | None) -> TabledStudies:
    """The images of a file, the held-out ones first: of doubles the first is kept.

    Raises
    ------
    UnfitData
    UnfitSetting
        What they are images of is not said, or is none that is learned.
    """
    found = _read(file)
    volumes = is_volumes(found.train)
    known = PUBLISHED.get(_set(file))
    said = known.modality if modality is None and known else modality
    said = None if said is None else MODALITIES.get(said.upper(), said.upper())
    fit = sorted(_VOLUMES if volumes else SINGLE)
    if said is None or said not in fit:
        which = f"{file.name} does not say what it holds images of" if said is None else f"--modality {said}"
        kind = "volumes, which are" if volumes else "single images, which are"
        raise UnfitSetting(f"{which}, and it holds {kind} {', '.join(fit)}: say it with `--modality`")
    state = _state(file)
    cases = [
        TabledCase(
            name=line.name,
            line=line.number,
            subject=partial(_subject, file, state, side, at, said),
            patient="",
            person=("", ""),
            modality=said,
            files=(file,),
            labels=line.labels,
            burned_in="",
            attributes={},
            side=side,
        )
        for line, (side, at) in zip(
            table.lines, ((side, at) for side, held in _in_order(found) for at in range(len(held.images))), strict=True
        )
    ]
    unsaid = ["values of 0 to 255, which no modality sends: the network is served images by the percentiles of each"]
    if volumes:
        unsaid += ["axes, taken as to the head, to the back and to the left", "spacing, taken as 1 mm"]
    return TabledStudies(cases=tuple(cases), lost=(), unlabelled=(), left_out=(), unsaid=tuple(unsaid), hounsfield=False)


def _called(file: Path, names: Sequence[str], count: int, what: str) -> Sequence[str]:
    known = PUBLISHED.get(_set(file))
    called = tuple(names) or (known.labels if known else ())
    if not called:
        raise UnfitSetting(f"{file} numbers {count} {what} and names none: say what each is, `--labels` and {count} names, 0 first")
    if len(called) != count:
        where = f"--labels has {len(called)} names" if names else f"{_set(file)} of MedMNIST has {len(called)} {what}"
        raise UnfitSetting(f"{where}, and {file} numbers {count} {what}: name each, in the order of their numbers")
    if len({one.strip().casefold() for one in called}) < count:
        raise UnfitSetting(f"--labels {' '.join(called)}: two {what} have one name")
    return called


def _refuse_one_sided(file: Path, side: OwnSide, said: NDArray[np.bool_], called: Sequence[str], findings: bool) -> None:
    for at, name in enumerate(called):
        absent = not said[:, at].any()
        if absent or (findings and said[:, at].all()):
            which = "has" if absent else "is without"
            done = "leave it out with --target, or write" if findings else "write"
            raise UnfitData(
                f'{file}: no image of side "{side}" {which} "{name}", and nothing could be said of it there: {done} other sides'
            )


def _in_order(found: ImageSides) -> list[tuple[OwnSide, LabelledImages]]:
    return [(OwnSide.TEST, found.test), (OwnSide.VALIDATION, found.validation), (OwnSide.TRAIN, found.train)]


def _name(side: OwnSide, at: int) -> str:
    return f"{side} {at}"


def _set(file: Path) -> str:
    """The name of a set, of whatever size: "chestmnist" of chestmnist_224.npz."""
    return _SIZE.sub("", file.stem.casefold())


def _subject(file: Path, state: tuple[int, int], side: OwnSide, at: int, modality: str) -> Images | Volume:
    held = dict(_in_order(_held(file, state)))[side]
    values, name = held.images[at], f"{file.name} {_name(side, at)}"
    if is_volumes(held):
        return volume_of(values, _TAKEN, modality, name)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.min() == values.max():
        raise UnfitData(f"{name} has one value everywhere")
    return images_of(values, name, modality)


def _read(file: Path) -> ImageSides:
    return _held(file, _state(file))


def _state(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as absent:
        raise UnfitData(f"{file} cannot be read: {absent}") from absent
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1)
def _held(file: Path, state: tuple[int, int]) -> ImageSides:
    """The arrays, unpacked once for all cases; `state` tells one file of this name from another."""
    return any_sides(file)
