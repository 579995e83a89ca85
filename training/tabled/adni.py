"""Images of ADNI that the lines of a table name, by image or by subject and day."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from inference.errors import InputError
from inference.imaging.header import read_instance
from training.data.adni import IMAGE_COLUMN, AdniImage, adni_images, is_adni
from training.errors import UnfitData
from training.tabled.files import is_nifti, modality_of, volume_in
from training.tabled.labels import LabelledLine, LabelTable
from training.tabled.studies import TabledCase, TabledStudies, dicom_case, of_one_modality


def of_adni(folder: Path, table: LabelTable, modality: str | None) -> TabledStudies:
    """Find the image of each line; its subject is its patient, whatever the header says.

    Raises
    ------
    UnfitData
        The folder is none of ADNI's, or no line names an image.
    UnfitSetting
        NIfTI files do not say what they are images of, and nobody does.
    """
    if not is_adni(folder):
        raise UnfitData(
            f"the table names images of ADNI, and {folder} has no folder of a subject (002_S_0295), nor has a folder ADNI in it: name the "
            "folder that the download was unpacked into, or name each image in a column path"
        )
    images = adni_images(folder)
    # looked up, not searched: tables have a line of every visit of the study, and downloads thousands of images
    called: dict[str, list[AdniImage]] = {}
    days: dict[str, list[str]] = {}
    for one in images:
        for name in (one.identifier, one.visit):
            called.setdefault(name, []).append(one)
        days.setdefault(one.subject, []).append(one.day.isoformat())
    cases: list[TabledCase] = []
    lost: list[str] = []
    first: dict[AdniImage, int] = {}
    for line in table.lines:
        try:
            image = _meant(line.name, called, days)
            if (before := first.setdefault(image, line.number)) != line.number:
                raise UnfitData(f"{line.name} is the image that line {before} names, too")
            cases.append(_case(line, image, modality))
        except (UnfitData, InputError) as unfit:
            lost.append(f"line {line.number}: {unfit}")
    unlabelled = tuple(f"{one.visit} {one.description}" for one in images if one not in first)
    found = TabledStudies(cases=tuple(cases), lost=tuple(lost), unlabelled=unlabelled, left_out=())
    return of_one_modality(found, folder, len(table.lines))


def _meant(name: str, called: Mapping[str, Sequence[AdniImage]], days: Mapping[str, Sequence[str]]) -> AdniImage:
    """The one image that is `called` so; `days` are those of each subject."""
    if not name:
        raise UnfitData("it names no image")
    meant = called.get(name, ())
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UnfitData(f"{name} has {', '.join(one.description for one in meant)}: name each in a column {IMAGE_COLUMN}")
    others = ", ".join(dict.fromkeys(days.get(name.partition(" ")[0], ())))
    raise UnfitData(f"{name} is not here" + (f"; images of this subject are of {others}" if others else ""))


def _case(line: LabelledLine, image: AdniImage, modality: str | None) -> TabledCase:
    first, *more = image.files
    if is_nifti(first):
        if more:
            raise UnfitData(f"{line.name} has {len(image.files)} NIfTI files in one folder: leave one there")
        said = modality_of(first, modality, volumes=True)
        return TabledCase(
            name=line.name,
            line=line.number,
            subject=partial(volume_in, first, said),
            patient=image.subject,
            person=("", ""),
            modality=said,
            files=image.files,
            labels=line.labels,
            burned_in="",
            attributes={},
        )
    instance = read_instance(first)
    case = dicom_case(line, line.name, image.files, instance.header, patient=image.subject, modality=instance.modality)
    # names and birth dates of ADNI stand for all that were taken out
    return replace(case, person=("", ""))
