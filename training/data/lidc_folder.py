"""A download of LIDC-IDRI, nested in any way: CT series, and the XML file of each, which lies beside it or anywhere else in the folder.

What is learned are the nodules of 3 mm and more that at least three of the four readers outlined; a voxel is one of a nodule where at
least half of those readers have it. Nodules that fewer outlined count as background, and so do points. A series whose file has no such
nodule is a case without any.
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from inference import codes
from inference.imaging.assemble import assemble
from inference.imaging.header import read_instance
from training.data.cases import Case, Labelled
from training.data.dicom import LabelledSeries, Segment
from training.data.lidc import agreed, outlined_by_half, readings
from training.data.naming import plain
from training.data.segments import attributes_of
from training.data.volumes import on_one_grid
from training.errors import UnclearLabels, UnfitData

MODALITY = "CT"
NODULE = Segment(number=1, label="Nodule", type=codes.NODULE, category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, site=codes.LUNG)
_HEAD = 4096
"""Bytes of a file: its response header, which names the series, comes first."""
_MESSAGE = "<LidcReadMessage"
_SERIES = re.compile(r"<SeriesInstanceUid>\s*([0-9.]+)\s*</SeriesInstanceUid>")


@dataclass(frozen=True, slots=True, kw_only=True)
class LidcFolder:
    """The CT series that have a file of readings; and of every CT series and file that is not used, and of the others together, why not."""

    files: tuple[tuple[LabelledSeries, Path], ...]
    left_out: tuple[str, ...]

    def cases(self, names: Sequence[str]) -> tuple[Case, ...]:
        """A case a series, whose label 1 is `NODULE`.

        Raises
        ------
        UnclearLabels
            `names` asks for another structure.
        """
        absent = [name for name in names if plain(name) != plain(NODULE.label)]
        if absent:
            raise UnclearLabels(f"readings of LIDC-IDRI have no label {', '.join(absent)}; they have: {NODULE.label}")
        return tuple(Case(patient=series.patient, name=series.uid, load=partial(load, series, file)) for series, file in self.files)


def readings_of(folder: Path) -> tuple[Path, ...]:
    """The files of readings of CT; those of the collection's radiographs are others (IdriReadMessage)."""
    return tuple(path for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".xml" and _MESSAGE in _head(path))


def lidc_folder(files: Sequence[Path], series: Sequence[LabelledSeries]) -> LidcFolder:
    """Bring files of readings and CT series together, by what the files say.

    Raises
    ------
    UnfitData
        No file is of a series that is there.
    """
    there = {one.uid: one for one in series if one.modality == MODALITY}
    of: dict[str, list[Path]] = {}
    left_out: list[str] = []
    for file in files:
        named = _SERIES.search(_head(file))
        uid = named[1] if named else ""
        if uid in there:
            of.setdefault(uid, []).append(file)
        else:
            why = f"it is of series {uid}, which is not here" if uid else "it does not say of which series it is"
            left_out.append(f"{file}: {why}")
    for uid, several in of.items():
        if len({file.read_bytes() for file in several}) > 1:
            left_out.append(f"series {uid}: {' and '.join(map(str, several))} are of it, and differ: take all but one out of the folder")
            there.pop(uid)
    left_out += [f"series {uid}: no readings (LidcReadMessage) of it" for uid in there if uid not in of]
    others = Counter(one.modality for one in series if one.modality != MODALITY)
    left_out += [f"{count} series of {modality}: readings are of {MODALITY}" for modality, count in sorted(others.items())]
    found = tuple((one, of[uid][0]) for uid, one in there.items() if uid in of)
    if not found:
        raise UnfitData(
            f"{len(files)} files of readings of LIDC-IDRI, and none is of a CT series that is here"
            + "".join(f"; {one}" for one in left_out[:3])
        )
    return LidcFolder(files=found, left_out=tuple(left_out))


def load(series: LabelledSeries, file: Path) -> Labelled:
    """The volume of a series as serving assembles it, and 1 where a nodule was outlined.

    Raises
    ------
    InputError
        The images are no volume.
    UnfitData
    """
    volume = on_one_grid(assemble(series.files))
    nodules = agreed(readings(file, volume))
    labels = outlined_by_half(nodules, volume.voxels.shape).astype(np.uint8)
    return Labelled(volume=volume, labels=labels, attributes=attributes_of(read_instance(series.files[0]).header))


def _head(path: Path) -> str:
    """In UTF-16 where it says so itself, as XML has to (XML 1.0, 4.3.3)."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD)
    except OSError:
        return ""
    return start.decode("utf-16" if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8", errors="ignore")
