"""Cases from the breast ultrasound images of Al-Dhabyani and others (BUSI), as DIR/images.csv and DIR/benign/, DIR/malignant/ lay them out.

The table has a line an image: file, class, channels ("grey" or "rgb") and near_duplicate_group, a number that images share which show the
same; "" stands alone. The set names no patients: images of a group stand on one side of every split, and groups that hold several classes
are left out, since one of their labels is wrong. Normal images are left out: the question is malignant or benign.
"""

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.imaging.subject import Images
from training.data.cases import Case, LabelledSubject
from training.data.pictures import read_picture
from training.errors import UnfitData

TABLE = "images.csv"
MALIGNANT, BENIGN = "malignant", "benign"
MARKS = "marks"
"""The attribute: what was drawn into an image."""
_COLUMNS = ("file", "class", "channels", "near_duplicate_group")
_TOP, _ARM = 16, 2
"""Rows in which every image of the set has a sign of the maker's; pixels from the middle of a caliper's cross to the ends of its arms."""
_BRIGHTER = 30


def breast_ultrasounds(folder: Path) -> tuple[Case, ...]:
    """One case an image that is malignant or benign, in the table's order; its group, or itself, stands for the patient.

    Raises
    ------
    UnfitData
        There is no such table, it lacks columns, or an image that it names is not there.
    """
    table = folder / TABLE
    try:
        with table.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as broken:
        raise UnfitData(f"{table} is no table that can be read ({broken}); it has the columns {', '.join(_COLUMNS)}") from broken
    absent = [column for column in _COLUMNS if not rows or rows[0].get(column) is None]
    if absent:
        raise UnfitData(f"{table} has no column {' and no '.join(absent)}, or no line")
    classes: dict[str, set[str]] = {}
    for row in rows:
        if row["near_duplicate_group"]:
            classes.setdefault(row["near_duplicate_group"], set()).add(row["class"])
    wanted = [row for row in rows if row["class"] in (MALIGNANT, BENIGN) and len(classes.get(row["near_duplicate_group"], ())) < 2]
    lost = [row["file"] for row in wanted if not (folder / row["file"]).is_file()]
    if lost:
        raise UnfitData(f"{len(lost)} images that {table} names are not there: {folder / lost[0]}. Unpack the set into the folder")
    if {row["class"] for row in wanted} != {MALIGNANT, BENIGN}:
        raise UnfitData(f"{table} names no images of both kinds, {MALIGNANT} and {BENIGN}, outside of groups of several classes")
    return tuple(_case(folder, row) for row in wanted)


def _case(folder: Path, row: Mapping[str, str]) -> Case:
    group, positive = row["near_duplicate_group"], row["class"] == MALIGNANT
    labels = (float(not positive), float(positive))
    return Case(
        patient=f"group {group}" if group else row["file"],
        name=row["file"],
        load=partial(_load, folder / row["file"], labels, row["channels"] == "rgb"),
        stratum=row["class"],
        labels=labels,
    )


def _load(file: Path, labels: tuple[float, ...], coloured: bool) -> LabelledSubject:
    images: Images = read_picture(file, "US")
    pixels = images.images[0].pixels
    marked = coloured or has_calipers(pixels if pixels.ndim == 2 else pixels[..., :3].mean(axis=2))
    return LabelledSubject(subject=images, labels=labels, attributes={MARKS: "calipers or colour" if marked else "none found"})


def has_calipers(pixels: NDArray[np.generic]) -> bool:
    """Whether an image (Y, X) of 0 to 255 shows the cross of a caliper: bright arms to four sides, and darker pixels between them.

    Of 27 images of the set with the faintest crosses that it finds all had calipers, of 36 without any none had; letters it does not find.
    """
    values = np.pad(pixels.astype(np.float64), _ARM + 1, mode="edge")
    rows, columns = pixels.shape

    def at(down: int, across: int) -> NDArray[np.float64]:
        here: NDArray[np.float64] = values[_ARM + 1 + down :, _ARM + 1 + across :][:rows, :columns]
        return here

    steps = [(down, across) for far in range(1, _ARM + 1) for down, across in ((far, 0), (-far, 0), (0, far), (0, -far))]
    arms = np.min([at(0, 0), *(at(*step) for step in steps)], axis=0)
    corners = [(a * i, b * j) for a in (1, -1) for b in (1, -1) for i, j in ((_ARM, _ARM), (_ARM + 1, _ARM), (_ARM, _ARM + 1))]
    between = np.max([at(*corner) for corner in corners], axis=0)
    return bool(((arms - between)[_TOP:] >= _BRIGHTER).any())
