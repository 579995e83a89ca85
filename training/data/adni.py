"""Images of the Alzheimer's Disease Neuroimaging Initiative as its archive packs them, and the columns of the tables that come with them.

[ADNI/]002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/I13722/    subject, description, date and time, image: a series of DICOM files, or one NIfTI
Image Data ID,Subject,Group,Sex,Age,…,Acq Date,Format      the table of a collection: each line an image
PTID,EXAMDATE,DX,…                                         other tables: a subject and a day

Older downloads have the series (S13408) in the place of the image; the image then stands in the names of its files.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from training.data.lines import among
from training.errors import UnfitData

IMAGE_COLUMN = "Image Data ID"
_IMAGES = frozenset({"image_data_id"})
_SUBJECTS, _DAYS = frozenset({"subject", "ptid"}), frozenset({"acq_date", "examdate"})
_DIAGNOSES = ("DX", "Group")
"""The columns of classes, the one of the visit before the one that the subject was enrolled in."""
_SUBJECT = re.compile(r"\d{3}_S_\d{4,5}")
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})_\d{2}_\d{2}_\d{2}(\.\d+)?")
_IMAGE = re.compile(r"I\d+")
_IN_NAME = re.compile(r"_(I\d+)\.(dcm|nii|nii\.gz)")
_WRITTEN = ("%Y-%m-%d", "%m/%d/%Y")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdniImage:
    """An image of a subject; `identifier` ("I13722") is "" where nothing says it."""

    subject: str
    description: str
    day: date
    identifier: str
    files: tuple[Path, ...]

    @property
    def visit(self) -> str:
        """As a table without images names it."""
        return visit_of(self.subject, self.day)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdniColumns:
    """Which columns of a table name its images: `image`, or `subject` and `day`; and `classes`, the column of diagnoses, "" for none."""

    image: str
    subject: str
    day: str
    classes: str

    def named(self, row: Mapping[str, str | None]) -> str:
        """The image, or the visit, that a line is about; "" where it is about none.

        Raises
        ------
        UnfitData
            A day is written in no known way.
        """
        if self.image:
            cell = (row.get(self.image) or "").strip()
            return f"I{cell}" if cell.isdecimal() else cell
        subject, day = ((row.get(one) or "").strip() for one in (self.subject, self.day))
        return visit_of(subject, _day(day)) if subject and day else ""


def adni_columns(there: Sequence[str]) -> AdniColumns | None:
    """The columns of a table that is one of ADNI's by their names; None of another."""
    image, subject, day = ("".join(among(there, known)[:1]) for known in (_IMAGES, _SUBJECTS, _DAYS))
    if not image and not (subject and day):
        return None
    return AdniColumns(image=image, subject=subject, day=day, classes=next((one for one in _DIAGNOSES if one in there), ""))


def visit_of(subject: str, day: date) -> str:
    """ "002_S_0295 2006-04-18"."""
    return f"{subject} {day.isoformat()}"


def is_adni(folder: Path) -> bool:
    """Whether folders are named by ADNI's subjects, in it or in a folder "ADNI" of it."""
    return any(_SUBJECT.fullmatch(one.name) for place in (folder, folder / "ADNI") for one in place.glob("[0-9]*_S_*"))


def adni_images(folder: Path) -> tuple[AdniImage, ...]:
    """Every image of a folder, by subject, day and description; names alone are read."""
    found: dict[tuple[str, str, str, str, str], list[Path]] = {}
    for path in sorted(folder.rglob("[!.]*")):
        parts = path.relative_to(folder).parts
        at = next((place for place, part in enumerate(parts) if _SUBJECT.fullmatch(part)), None)
        if at is None or len(parts) != at + 5 or not path.is_file():
            continue
        subject, description, time, series, name = parts[at:]
        stated = _TIME.fullmatch(time)
        if stated is None:
            continue
        in_name = _IN_NAME.search(name)
        image = series if _IMAGE.fullmatch(series) else in_name[1] if in_name else ""
        found.setdefault((subject, stated[1], description, series, image), []).append(path)
    return tuple(
        AdniImage(subject=subject, day=date.fromisoformat(day), description=description, identifier=image, files=tuple(files))
        for (subject, day, description, _, image), files in sorted(found.items())
    )


def _day(written: str) -> date:
    for form in _WRITTEN:
        try:
            return datetime.strptime(written, form).date()
        except ValueError:
            continue
    raise UnfitData(f'"{written}" is no day: 2006-04-18, or 4/18/2006')
