"""Measurements of patients, out of reports (DICOM SR) that lie in a folder nested in any way: those that hilum sent, or any other's.

Every number of a report is read with its unit and with what it is of (PS3.16 TID 1411, 1501, 300): finding, site and side of its group. A
patient is known by PatientID. Images, segmentations and whatever else lies there are passed over.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from inference.errors import InputError
from inference.imaging.header import read_dataset
from inference.imaging.tags import CODE_MEANING, CODE_VALUE, STUDY_DATE, STUDY_INSTANCE_UID, items, numbers, text
from training.errors import UnfitData
from training.tabled.outcomes import OutcomeColumn

_PATIENT_ID, _ISSUER, _STUDY_TIME, _MODALITY = 0x00100020, 0x00100021, 0x00080030, 0x00080060
_CONTENT_DATE, _CONTENT_TIME, _SERIES_DESCRIPTION = 0x00080023, 0x00080033, 0x0008103E
_CONTENT, _VALUE_TYPE, _CONCEPT, _CODED = 0x0040A730, 0x0040A040, 0x0040A043, 0x0040A168
_MEASURED, _NUMERIC, _UNIT = 0x0040A300, 0x0040A30A, 0x004008EA
_FINDING, _SITE, _LATERALITY, _DERIVATION = "121071", "363698007", "272741003", "121401"
_LEAST = 0.5
"""Share of patients who have a measurement that is learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What reports say of the patients of a table: columns, how many have a report, and notes, a sentence each."""

    columns: tuple[OutcomeColumn, ...]
    patients: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    patient: str
    issuer: str
    study: str
    studied: str
    made: str
    series: str
    numbers: tuple[tuple[str, float], ...]


def measured(folder: Path, patients: Sequence[str], studies: Sequence[str]) -> Measured:
    """The measurements of each patient's named study, or of the earliest where a line names none.

    Of one number that a study has several times (lesions), the largest is taken, and how many there are.

    Raises
    ------
    UnfitData
        It is no folder, there is no report with numbers of these patients, or one PatientID is of two issuers.
    """
    if not folder.is_dir():
        raise UnfitData(f"{folder} is no folder")
    wanted = dict(zip(patients, studies, strict=True))
    notes: list[str] = []
    reports, elsewhere = _latest(folder, wanted, notes)
    if not reports:
        raise UnfitData(
            f"{folder}: none of its reports (DICOM SR) has a measurement of a patient of the table; {elsewhere} are of others. What is in "
            "the table's column of patients has to be PatientID; without --data the table alone is learned from"
            + "".join(f"; {note}" for note in notes)
        )
    by_patient: dict[str, list[_Report]] = defaultdict(list)
    for report in reports:
        by_patient[report.patient].append(report)
    of: dict[str, dict[str, list[float]]] = {}
    several = 0
    for patient, own in by_patient.items():
        issuers = {one.issuer for one in own}
        if len(issuers) > 1:
            raise UnfitData(f'{folder}: PatientID "{patient}" is of two issuers: {" and ".join(sorted(issuers))}. Keep those of the table')
        several += not wanted[patient] and len({one.study for one in own}) > 1
        study = wanted[patient] or min(own, key=lambda one: (one.studied, one.study)).study
        said: dict[str, list[float]] = defaultdict(list)
        for report in own:
            if report.study == study:
                for name, value in report.numbers:
                    said[name].append(value)
        if said:
            of[patient] = said
    if several:
        notes.append(
            f"{several} patients have reports of several studies: the earliest is taken; a column StudyInstanceUID says which is meant"
        )
    if elsewhere:
        notes.append(f"{elsewhere} reports are of patients whom the table does not name")
    if len(of) < len(patients):
        notes.append(f"{len(patients) - len(of)} of {len(patients)} patients have no report: their measurements are missing")
    return Measured(columns=_columns(patients, of, notes), patients=len(of), notes=tuple(notes))


def _columns(patients: Sequence[str], of: Mapping[str, Mapping[str, Sequence[float]]], notes: list[str]) -> tuple[OutcomeColumn, ...]:
    made: list[OutcomeColumn] = []
    rare = []
    for name in sorted({name for each in of.values() for name in each}):
        cells = np.array([max(of[one][name]) if one in of and name in of[one] else np.nan for one in patients])
        said = cells[np.isfinite(cells)]
        if len(said) < _LEAST * len(patients):
            rare.append(f"{name} ({len(said)})")
            continue
        if len(np.unique(said)) > 1:
            made.append(OutcomeColumn(name=name, cells=cells))
        counts = np.array([float(len(of[one][name])) if one in of and name in of[one] else np.nan for one in patients])
        if np.nanmax(counts) > 1:
            made.append(OutcomeColumn(name=f"{name}: how many", cells=counts))
    if rare:
        notes.append(
            f"measurements that fewer than half of the patients have are left out: {', '.join(rare[:5])}{' …' if len(rare) > 5 else ''}"
        )
    return tuple(made)


def _latest(folder: Path, wanted: Mapping[str, str], notes: list[str]) -> tuple[list[_Report], int]:
    """Reports of wanted patients, of one series description of a study the one that was made last; and how many are of others."""
    latest: dict[tuple[str, str, str, str], _Report] = {}
    elsewhere, broken = 0, Counter[str]()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            report = _report(path)
        except InputError as wrong:
            broken[wrong.code] += 1
            continue
        except OSError as wrong:
            broken[wrong.strerror or "unreadable"] += 1
            continue
        if report is None:
            continue
        if report.patient not in wanted:
            elsewhere += 1
            continue
        key = (report.patient, report.issuer, report.study, report.series)
        if key not in latest or latest[key].made < report.made:
            latest[key] = report
    if broken:
        # without their names, which are often a patient's: notes stand in the record
        notes.append(f"{broken.total()} files cannot be read ({', '.join(sorted(broken))})")
    return list(latest.values()), elsewhere


def _report(path: Path) -> _Report | None:
    """A report with numbers; None of any other file."""
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
    dataset = read_dataset(path)
    if text(dataset, _MODALITY) != "SR":
        return None
    found = tuple(_numbers(dataset, (), path.name))
    if not found:
        return None
    return _Report(
        patient=text(dataset, _PATIENT_ID),
        issuer=text(dataset, _ISSUER),
        study=text(dataset, STUDY_INSTANCE_UID),
        studied=text(dataset, STUDY_DATE) + text(dataset, _STUDY_TIME),
        made=text(dataset, _CONTENT_DATE) + text(dataset, _CONTENT_TIME),
        series=text(dataset, _SERIES_DESCRIPTION),
        numbers=found,
    )


def _numbers(item: Dataset, about: tuple[str, ...], uid: str) -> Iterator[tuple[str, float]]:
    """Every number under an item, named by its concept, what its group is about, and its unit."""
    children = items(item, _CONTENT, uid)
    about = about + tuple(_meant(child, _FINDING, uid) or _meant(child, _SITE, uid) for child in children if _names(child, uid))
    about += tuple(side for child in children for each in items(child, _CONTENT, uid) if (side := _meant(each, _LATERALITY, uid)))
    for child in children:
        if text(child, _VALUE_TYPE) == "NUM":
            found = items(child, _MEASURED, uid)
            value = numbers(found[0], _NUMERIC, uid, 1) if found else None
            if value is not None:
                yield _called(child, found[0], about, uid), value[0]
        elif text(child, _VALUE_TYPE) == "CONTAINER":
            yield from _numbers(child, about, uid)


def _called(number: Dataset, found: Dataset, about: tuple[str, ...], uid: str) -> str:
    derived = [how for each in items(number, _CONTENT, uid) if (how := _meant(each, _DERIVATION, uid))]
    sites = [site for each in items(number, _CONTENT, uid) if (site := _meant(each, _SITE, uid))]
    unit = "".join(text(each, CODE_VALUE) for each in items(found, _UNIT, uid)[:1])
    name = ", ".join(dict.fromkeys([_meaning(items(number, _CONCEPT, uid)), *derived, *sites, *about]))
    return f"{name} ({unit})"


def _names(child: Dataset, uid: str) -> bool:
    return bool(_meant(child, _FINDING, uid) or _meant(child, _SITE, uid))


def _meant(item: Dataset, concept: str, uid: str) -> str:
    """What a coded item says of a concept; "" where it says something of another."""
    if not any(text(each, CODE_VALUE) == concept for each in items(item, _CONCEPT, uid)):
        return ""
    return _meaning(items(item, _CODED, uid))


def _meaning(found: Sequence[Dataset]) -> str:
    return str(found[0][CODE_MEANING].value or "").strip() if found and CODE_MEANING in found[0] else ""
