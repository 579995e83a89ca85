"""Proposal: whom of an archive a reader should label next, by the network of a run, and the table that says so."""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.checkpoint import writing
from training.choosing.choices import Choice, Chosen, core_set, most_unsure, of_patients
from training.choosing.seen import NetworkView
from training.compute import Compute
from training.data.cases import Split
from training.data.lines import CHOSEN, PATIENT
from training.errors import UnfitSetting
from training.fit import refuse_other_sides, trained
from training.pretraining.unlabelled import PATH, ArchiveImage, unlabelled
from training.recipe import Recipe

_LABELLED = "those who are labelled already"
_PATIENT = "patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedImage:
    """An image of a patient who was chosen; `unsure` is the network's entropy of it, from 0 to 1."""

    image: ArchiveImage
    patient: Chosen
    unsure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """All images of those who should be labelled next, the first first.

    Attributes
    ----------
    patients, images
        How many the archive has that are not labelled.
    nameless
        Of how many of the images no header says whose they are: each counts as a patient.
    left_out
        What is not among them, and why; `labelled` are those of it that are of patients who are labelled.
    """

    by: Choice
    proposed: tuple[ProposedImage, ...]
    patients: int
    images: int
    nameless: int
    left_out: tuple[str, ...]
    labelled: tuple[str, ...]

    def why(self, one: ProposedImage) -> str:
        """By what an image was chosen."""
        if self.by is Choice.ENTROPY:
            return f"entropy {one.unsure:.3f}, of the patient {one.patient.figure:.3f}"
        return f"features {one.patient.figure:.3g} from the nearest that is labelled or stands above; entropy {one.unsure:.3f}"


def propose(
    recipe: Recipe, run: Path, sides: Split, archive: Path, by: Choice, count: int, modality: str | None, compute: Compute
) -> Proposal:
    """The `count` patients of an archive of whom the run's network learns most, as `by` has it; nobody of the run's data is among them.

    Raises
    ------
    UnfitSetting
        The recipe takes several roles, or does not tell how unsure it is; or `count` is none.
    UnfitData
        Nothing of the archive is left.
    BrokenRun, OtherRun
    """
    if count < 1:
        raise UnfitSetting(f"--number {count}: 1 at the least")
    network, state = trained(recipe, run)
    refuse_other_sides(state, sides, run)
    view = NetworkView(recipe, network, compute)
    labelled = (*sides.train, *sides.validation, *sides.test)
    found = unlabelled(archive, recipe, modality, labelled, _LABELLED)
    # who has no PatientID is not everybody who has none
    patients = [case.patient if found.images[case.name].patient_id else case.name for case in found.cases]
    unsure, features = view.of(found.cases)
    chosen: Sequence[Chosen]
    if by is Choice.ENTROPY:
        chosen = most_unsure({one: float(value) for one, value in of_patients(patients, unsure).items()}, count)
    else:
        known = of_patients([case.patient for case in labelled], view.of(labelled)[1])
        chosen = core_set(np.stack(list(known.values())), of_patients(patients, features), count)
    return Proposal(
        by=by,
        proposed=tuple(
            ProposedImage(image=found.images[case.name], patient=patient, unsure=float(value))
            for patient in chosen
            for case, whose, value in zip(found.cases, patients, unsure, strict=True)
            if whose == patient.patient
        ),
        patients=len(set(patients)),
        images=len(found.cases),
        nameless=found.nameless,
        left_out=found.left_out,
        labelled=found.others,
    )


def tables(proposal: Proposal, file: Path) -> list[Path]:
    """Write the proposal as tables that recipes for a table take, once a column of labels stands beside: one for DICOM, one for other
    files, where both are proposed.

    Raises
    ------
    UnfitSetting
        A table is there already: somebody may have labelled in it.
    FullDisk
    """
    columns = list(dict.fromkeys(one.image.column for one in proposal.proposed))
    files = [file if at == 0 else file.with_name(f"{file.stem}-{column}{file.suffix}") for at, column in enumerate(columns)]
    for one in files:
        refuse_written(one)
    for column, one in zip(columns, files, strict=True):
        rows = [(each.image.name, each.image.patient_id, proposal.why(each)) for each in proposal.proposed if each.image.column == column]
        _write(one, (column, _PATIENT if column == PATH else PATIENT, CHOSEN), rows)
    return files


def refuse_written(file: Path) -> None:
    """Refuse to write over a table.

    Raises
    ------
    UnfitSetting
    """
    if file.exists():
        raise UnfitSetting(f"{file} is there already, and somebody may have labelled in it: name another file with --to")


def _write(file: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([head, *rows])
        aside.replace(file)


def summed_up(proposal: Proposal, files: Sequence[Path], archive: Path, tell: Callable[[str], None]) -> str:
    """What was proposed, as a line; what is not among it, and of what nothing is known, is told."""
    for reason in proposal.left_out:
        if reason not in proposal.labelled:
            tell(f"left out: {reason}")
    if proposal.labelled:
        tell(f"left out: {len(proposal.labelled)} images, or series, of {_LABELLED}")
    if proposal.nameless:
        tell(
            f"of {proposal.nameless} of {proposal.images} images in {archive} no header says whose they are: each counts as a patient of "
            "its own, and another image of one who is labelled may be among them under another name"
        )
    chosen = len({one.patient.patient for one in proposal.proposed})
    named = " and ".join(map(str, files))
    return (
        f"{named}: {len(proposal.proposed)} images of {chosen} patients, of {proposal.images} images of {proposal.patients} patients in "
        f"{archive} who are not labelled, by {proposal.by}"
    )
