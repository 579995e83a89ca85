"""Participants that the lines of a table name, in a BIDS folder: participants.tsv, or a table with participant_id and session_id."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from training.data.bids import DESCRIPTION, BidsFolder, BidsImage, bids_folder, is_bids
from training.errors import UnfitData, UnfitSetting
from training.tabled.files import volume_in
from training.tabled.labels import LabelledLine, LabelTable
from training.tabled.studies import TabledCase, TabledStudies, of_one_modality


def of_participants(folder: Path, table: LabelTable, modality: str | None, roles: Sequence[str]) -> TabledStudies:
    """Find the image of each line: of a line without a session all sessions of classes, the only one of numbers, which may differ by visit.

    `roles` names the image, "T1w", where visits have several.

    Raises
    ------
    UnfitData
        The folder is no BIDS folder, no line names an image, or which is meant is not said.
    UnfitSetting
        A modality is said of files that say it, or several images of each visit are named.
    """
    if not is_bids(folder):
        raise UnfitData(
            f'the table names participants, and {folder} is no BIDS folder: it has no {DESCRIPTION} with "BIDSVersion". Write one, or name '
            "each image in a column path"
        )
    if modality is not None:
        raise UnfitSetting(f"--modality {modality}: {folder} is a BIDS folder, which says it itself: leave it out")
    if len(roles) > 1:
        raise UnfitSetting(f"--roles {' '.join(roles)}: a network for a table sees one image of each visit: name one")
    found = bids_folder(folder)
    role = roles[0] if roles else _only(found)
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
                cases.append(_case(line, visit, found.image(visit, role), _known(found, visit, table)))
            except UnfitData as unfit:
                lost.append(f"line {line.number}: {unfit}")
    unlabelled = tuple(visit for visit in found.images if visit not in first)
    return of_one_modality(
        TabledStudies(cases=tuple(cases), lost=tuple(lost), unlabelled=unlabelled, left_out=()), folder, len(table.lines)
    )


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


def _case(line: LabelledLine, visit: str, image: BidsImage, known: Mapping[str, str]) -> TabledCase:
    return TabledCase(
        name=visit,
        line=line.number,
        subject=partial(volume_in, image.path, image.modality),
        patient=visit.partition("_")[0],
        person=("", ""),
        modality=image.modality,
        files=(image.path,),
        labels=line.labels,
        burned_in="",
        attributes=known,
    )


def _known(found: BidsFolder, visit: str, table: LabelTable) -> Mapping[str, str]:
    """What participants.tsv says of a visit's subject but its class: a group of one class has no figure."""
    classes = {code.meaning for code in table.channels}
    return {name: value for name, value in found.attributes.get(visit.partition("_")[0], {}).items() if value not in classes}
