"""What a folder holds that a network can learn to outline, however it is laid out: cases with their structures, of one modality."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from inference.applications.bundle.metadata import MODALITIES
from training.data.bids import DERIVATIVES, bids_folder, is_bids
from training.data.brats import ROLES, brats_folder, is_brats
from training.data.cases import Case
from training.data.dicom import LabelledSeries, Segment, Studies, none_together, read_studies
from training.data.lidc_folder import MODALITY, NODULE, lidc_folder, readings_of
from training.data.naming import named_structures
from training.data.nnunet import DATASET, SPLITS, is_raw_folder, raw_folder
from training.data.segments import labelled
from training.data.structures import Wanted, having, wanted
from training.data.unread import unread
from training.errors import UnfitData, UnfitSetting

BY_PATIENT = "by patient: nobody is on two sides"
_BY_NAME = "by the names of the cases; whether two are of one person, they do not tell"
_AS_PARTED = f"by the folds of {SPLITS}, by the names of the cases; whether two are of one person, they do not tell"
_VOLUMES = frozenset({"CT", "MR", "PT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which images of a case are learned, the one that was drawn on first, () for what the layout says; and those without which it is
    learned, too."""

    names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def checked(self) -> "Roles":
        """These, which do not contradict each other.

        Raises
        ------
        UnfitSetting
        """
        if len(set(self.names)) < len(self.names):
            raise UnfitSetting(f"--roles {' '.join(self.names)}: one is there twice")
        beyond = [one for one in self.optional if one not in self.names[1:]]
        if beyond:
            raise UnfitSetting(
                f"--optional {beyond[0]}: it is one of --roles {' '.join(self.names)}, and not the first, which was drawn on"
            )
        return self


ONE = Roles()
"""One image a case, or what the layout says."""


class Layout(StrEnum):
    """How the files of a folder lie."""

    DICOM = "DICOM studies"
    NNUNET = "a raw folder of nnU-Net"
    BIDS = "a BIDS folder"
    BRATS = "a folder of BraTS"
    LIDC = "a folder of LIDC-IDRI"


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
    roles
        Of several images of each case that are learned together; none where one is.
    """

    layout: Layout
    cases: tuple[Case, ...]
    structures: tuple[Segment, ...]
    modality: str
    left_out: tuple[str, ...]
    split: str
    roles: Roles = ONE


def outlined(folder: Path, names: Sequence[str], modality: str | None, *, over: bool, roles: Roles = ONE) -> Outlined:
    """Read names and headers of a folder; voxels are read when a case is loaded.

    Parameters
    ----------
    names
        The structures, in that order; () for all.
    modality
        What the images are, where the files do not say it.
    over
        Whether a later structure takes the voxels that it shares with an earlier one.
    roles
        Where a case has several images, those that are learned.

    Raises
    ------
    UnfitData, UnclearLabels, UnfitSetting
    """
    if is_raw_folder(folder):
        return _of_raw_folder(folder, names, modality, roles)
    layout = Layout.BIDS if is_bids(folder) else Layout.BRATS if is_brats(folder) else Layout.DICOM
    if modality is not None:
        of = (
            "the images of {} are DICOM files, which say it themselves"
            if layout is Layout.DICOM
            else f"{{}} is {layout}, which says it itself"
        )
        raise UnfitSetting(f"--modality {modality}: {of.format(folder)}: leave it out")
    if layout is Layout.BIDS:
        return _of_bids(folder, names, roles)
    if layout is Layout.BRATS:
        return _of_brats(folder, names, roles)
    if roles != ONE:
        raise UnfitSetting(
            f"--roles {' '.join(roles.names)}: of DICOM studies one series is learned, the one that was outlined; leave it out"
        )
    return _of_studies(folder, names, over)


def _of_raw_folder(folder: Path, names: Sequence[str], modality: str | None, asked: Roles) -> Outlined:
    found = raw_folder(folder)
    said = found.labels.modality if modality is None else MODALITIES.get(modality.upper(), modality.upper())
    if said not in _VOLUMES:
        inputs = found.labels.inputs
        calls = f'its channel "{inputs[0]}"' if len(inputs) == 1 else f"its channels {', '.join(inputs)}"
        which = f"--modality {modality}" if modality else f"{folder / DATASET} calls {calls}"
        raise UnfitData(f"{which}, which is no modality of volumes: say `--modality {'`, `'.join(sorted(_VOLUMES))}`")
    structures = found.segments(names)
    roles = replace(asked, names=asked.names or found.channels).checked()
    unknown = [role for role in roles.names if role not in found.channels]
    if unknown:
        raise UnfitSetting(f"--roles {unknown[0]}: {folder / DATASET} has the channels {', '.join(found.channels)}")
    return Outlined(
        layout=Layout.NNUNET,
        cases=found.cases(structures, said, roles.names),
        structures=structures,
        modality=said,
        left_out=found.left_out,
        split=_AS_PARTED if found.parts else _BY_NAME,
        roles=roles if len(roles.names) > 1 else ONE,
    )


def _of_bids(folder: Path, names: Sequence[str], asked: Roles) -> Outlined:
    found = bids_folder(folder)
    if not found.drawn:
        raise UnfitData(
            f"{folder} is a BIDS folder with images of {len(found.images)} visits, and nothing drawn on them: "
            f"{DERIVATIVES}/NAME/sub-01/anat/sub-01_label-lesion_mask.nii.gz, or _dseg.nii.gz with a dseg.tsv"
            + "".join(f"; {one}" for one in found.left_out[:3])
        )
    structures = named_structures(f"{folder / DERIVATIVES}", found.labels, names)
    roles = replace(asked, names=found.roles(asked.names)).checked()
    cases, modality, lacking = found.cases(structures, roles.names, roles.optional)
    return Outlined(
        layout=Layout.BIDS,
        cases=cases,
        structures=structures,
        modality=modality,
        left_out=(*found.left_out, *lacking),
        split=BY_PATIENT,
        roles=roles if len(roles.names) > 1 else ONE,
    )


def _of_brats(folder: Path, names: Sequence[str], asked: Roles) -> Outlined:
    found = brats_folder(folder)
    structures = named_structures(str(folder), found.labels, names)
    roles = replace(asked, names=asked.names or ROLES).checked()
    unknown = [role for role in roles.names if role not in ROLES]
    if unknown:
        raise UnfitSetting(f"--roles {unknown[0]}: BraTS has {', '.join(ROLES)}")
    cases, lacking = found.cases(structures, roles.names, roles.optional)
    if not cases:
        raise UnfitData(f"{folder}: no case of BraTS has {', '.join(roles.names)}" + "".join(f"; {one}" for one in lacking[:3]))
    return Outlined(
        layout=Layout.BRATS,
        cases=cases,
        structures=structures,
        modality="MR",
        left_out=(*found.left_out, *lacking),
        split=BY_PATIENT if found.named_by_patient else _BY_NAME,
        roles=roles if len(roles.names) > 1 else ONE,
    )


def _of_studies(folder: Path, names: Sequence[str], over: bool) -> Outlined:
    """What DICOM SEG says of the images that are there; where none does, readings of LIDC-IDRI."""
    found, segmentations = read_studies(folder)
    if not found.series:
        readings = readings_of(folder)
        if readings:
            return _of_lidc(readings, found, names)
        raise UnfitData(unread(folder) or none_together(folder, found, segmentations))
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


def _of_lidc(readings: Sequence[Path], found: Studies, names: Sequence[str]) -> Outlined:
    lidc = lidc_folder(readings, found.unlabelled)
    return Outlined(
        layout=Layout.LIDC,
        cases=lidc.cases(names),
        structures=(NODULE,),
        modality=MODALITY,
        left_out=(*found.left_out, *lidc.left_out),
        split=BY_PATIENT,
    )


def _case(series: LabelledSeries, chosen: Sequence[Wanted], over: bool) -> Case:
    return Case(patient=series.patient, name=series.uid, load=partial(labelled, series, chosen, over=over))
