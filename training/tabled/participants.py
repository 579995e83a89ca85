"""Participants that the lines of a table name, in a BIDS folder: participants.tsv, or a table with participant_id and session_id."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from training.data.bids import DESCRIPTION, BidsFolder, BidsImage, bids_folder, is_bids
from training.data.outlined import ONE, Roles
from training.errors import UnfitData, UnfitSetting
from training.tabled.files import volume_in
from training.tabled.labels import LabelledLine, LabelTable
from training.tabled.roles import of_nifti
from training.tabled.studies import TabledCase, TabledStudies, of_one_modality


def of_participants(folder: Path, table: LabelTable, modality: str | None, roles: Roles) -> TabledStudies:
    """Find the images of each line: of one without a session all sessions of classes, the only one of numbers, which may differ by visit.

    `roles` names the image, "T1w", where visits have several, or those that are looked at together.

    Raises
    ------
    UnfitData
        The folder is no BIDS folder, no line names an image, or which is meant is not said.
    UnfitSetting
        A modality is said of files that say it, or the roles contradict each other.
    """
    if not is_bids(folder):
        raise UnfitData(
            f'the table names participants, and {folder} is no BIDS folder: it has no {DESCRIPTION} with "BIDSVersion". Write one, or name '
            "each image in a column path"
        )
    if modality is not None:
        raise UnfitSetting(f"--modality {modality}: {folder} is a BIDS folder, which says it itself: leave it out")
    found, asked = bids_folder(folder), roles.checked()
    if not asked.names:
        asked = Roles(names=(_only(found),))
    cases: list[TabledCase] = []
    lost: list[str] = []
    first: dict[str, int] = {}
    for line in table.lines:
        try:
            visits = _visits(found, line, one=bool(table.units))
        except UnfitData as unfit:
            lost.append(f"line {line.number}: {unfit}")
            continue
        for visit in visits:
            try:
                if (before := first.setdefault(visit, line.number)) != line.number:
                    raise UnfitData(f"{visit} is what line {before} names, too")
                cases.append(_case(line, visit, _images(found, visit, asked), _known(found, visit, table), together=len(asked.names) > 1))
            except UnfitData as unfit:
                lost.append(f"line {line.number}: {unfit}")
    unlabelled = tuple(visit for visit in found.images if visit not in first)
    together = asked if len(asked.names) > 1 else ONE
    made = TabledStudies(cases=tuple(cases), lost=tuple(lost), unlabelled=unlabelled, left_out=(), roles=together)
    return of_one_modality(made, folder, len(table.lines))


def _images(found: BidsFolder, visit: str, roles: Roles) -> Mapping[str, BidsImage]:
    images = {role: found.image(visit, role) for role in roles.names if role not in roles.optional or found.has(visit, role)}
    if len(modalities := sorted({image.modality for image in images.values()})) > 1:
        raise UnfitData(f"{visit}: {', '.join(images)} are of {' and '.join(modalities)}: one network learns one modality")
    return images


def _only(found: BidsFolder) -> str:
    every = [frozenset(images) for images in found.images.values()]
    shared = sorted(frozenset.intersection(*every)) if every else []
    if len(shared) != 1:
        there = sorted({contrast for images in every for contrast in images})
        which = f"all visits have {', '.join(shared)}" if shared else "no image is in all visits"
        raise UnfitData(f"{found.folder}: {which}: say which is learned from, `--roles` (there are {', '.join(there) or 'none'})")
    return shared[0]


def _visits(found: BidsFolder, line: LabelledLine, *, one: bool) -> Sequence[str]:
    subject, _, session = line.name.partition("_ses-")
    of_subject = [visit for visit in found.images if visit.partition("_")[0] == subject]
    return [found.visit(subject, session)] if session or one or not of_subject else of_subject


def _case(line: LabelledLine, visit: str, images: Mapping[str, BidsImage], known: Mapping[str, str], *, together: bool) -> TabledCase:
    image, *_ = images.values()
    in_roles = partial(of_nifti, {role: one.path for role, one in images.items()}, image.modality)
    return TabledCase(
        name=visit,
        line=line.number,
        subject=in_roles if together else partial(volume_in, image.path, image.modality),
        patient=visit.partition("_")[0],
        person=("", ""),
        modality=image.modality,
        files=tuple(one.path for one in images.values()),
        labels=line.labels,
        burned_in="",
        attributes=known,
    )


def _known(found: BidsFolder, visit: str, table: LabelTable) -> Mapping[str, str]:
    """What participants.tsv says of a visit's subject but its class: a group of one class has no figure."""
    classes = {code.meaning for code in table.channels}
    return {name: value for name, value in found.attributes.get(visit.partition("_")[0], {}).items() if value not in classes}
