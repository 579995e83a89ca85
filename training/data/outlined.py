"""What a folder holds that a network can learn to outline, however it is laid out: cases with their structures, of one modality."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from inference.applications.bundle.metadata import MODALITIES
from training.data.cases import Case
from training.data.dicom import LabelledSeries, Segment, studies
from training.data.nnunet import DATASET, SPLITS, is_raw_folder, raw_folder
from training.data.segments import labelled
from training.data.structures import Wanted, having, wanted
from training.errors import UnfitData, UnfitSetting

BY_PATIENT = "by patient: nobody is on two sides"
_BY_NAME = "by the names of the cases; whether two are of one person, they do not tell"
_AS_PARTED = f"by the folds of {SPLITS}, by the names of the cases; whether two are of one person, they do not tell"
_VOLUMES = frozenset({"CT", "MR", "PT"})


class Layout(StrEnum):
    """How the files of a folder lie."""

    DICOM = "DICOM studies"
    NNUNET = "a raw folder of nnU-Net"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlined:
    """What is learned from.

    Attributes
    ----------
    cases
        Their labels are 1, 2, … in the order of `structures`.
    left_out
        Of everything that is not used, why not.
    split
        By what cases are put on one side or another, for people.
    """

    layout: Layout
    cases: tuple[Case, ...]
    structures: tuple[Segment, ...]
    modality: str
    left_out: tuple[str, ...]
    split: str


def outlined(folder: Path, names: Sequence[str], modality: str | None, *, over: bool) -> Outlined:
    """Read names and headers of a folder; voxels are read when a case is loaded.

    Parameters
    ----------
    names
        The structures, in that order; () for all.
    modality
        What the images are, where the files do not say it.
    over
        Whether a later structure takes the voxels that it shares with an earlier one.

    Raises
    ------
    UnfitData, UnclearLabels, UnfitSetting
    """
    if is_raw_folder(folder):
        return _of_raw_folder(folder, names, modality)
    if modality is not None:
        raise UnfitSetting(f"--modality {modality}: the images of {folder} are DICOM files, which say it themselves: leave it out")
    return _of_studies(folder, names, over)


def _of_raw_folder(folder: Path, names: Sequence[str], modality: str | None) -> Outlined:
    found = raw_folder(folder)
    said = found.labels.modality if modality is None else MODALITIES.get(modality.upper(), modality.upper())
    if said not in _VOLUMES:
        which = f"--modality {modality}" if modality else f'{folder / DATASET} calls its channel "{found.labels.inputs[0]}"'
        raise UnfitData(f"{which}, which is no modality of volumes: say `--modality {'`, `'.join(sorted(_VOLUMES))}`")
    structures = found.segments(names)
    return Outlined(
        layout=Layout.NNUNET,
        cases=found.cases(structures, said),
        structures=structures,
        modality=said,
        left_out=found.left_out,
        split=_AS_PARTED if found.parts else _BY_NAME,
    )


def _of_studies(folder: Path, names: Sequence[str], over: bool) -> Outlined:
    found = studies(folder)
    chosen = wanted(found.series, names)
    series = having(found.series, chosen)
    modalities = sorted({each.modality for each in series})
    if len(modalities) != 1:
        raise UnfitData(f"{folder} holds labelled series of {', '.join(modalities) or 'no modality'}: one network learns one modality")
    lacking = len(found.series) - len(series)
    return Outlined(
        layout=Layout.DICOM,
        cases=tuple(_case(each, chosen, over) for each in series),
        structures=tuple(one.segment for one in chosen),
        modality=modalities[0],
        left_out=(*found.left_out, *([f"{lacking} of {len(found.series)} series that do not have all labels"] if lacking else [])),
        split=BY_PATIENT,
    )


def _case(series: LabelledSeries, chosen: Sequence[Wanted], over: bool) -> Case:
    return Case(patient=series.patient, name=series.uid, load=partial(labelled, series, chosen, over=over))
