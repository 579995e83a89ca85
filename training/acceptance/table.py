"""A hospital's table as reference: a line a case, named by a DICOM identifier; other columns are findings (yes, no) and measured values.

SeriesInstanceUID,Pneumonia,Volume lung right (cm3)
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.port import Application, EvaluationOutput, MeasurementOutput, SegmentOutput
from inference.codes import Code
from inference.findings import Findings, Measurement
from inference.imaging.header import read_instance
from inference.imaging.tags import text
from training.data.dicom import LabelledSeries
from training.data.lines import IDENTIFIERS, INSTANCE, NO, YES, lines_of, number_of
from training.errors import UnfitData
from training.evaluation.bootstrap import over_patients
from training.evaluation.classification import auc
from training.evaluation.figures import Kind

_NAME, _BIRTH_DATE = 0x00100010, 0x00100030
SENSITIVITY, SPECIFICITY, DECIDED, DIFFERENCE, ERROR = "sensitivity", "specificity", "decided", "difference", "absolute error"
PROBABILITY = ".probability"
"""Kept beside the figures of a case: no figure of its own, but what cases are ranked by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: where it stands, what it names, and its values by column; an empty cell is not there."""

    number: int
    name: str
    present: Mapping[str, bool]
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The lines, and what their columns mean.

    Attributes
    ----------
    identifier
        The DICOM keyword by which lines name cases.
    findings
        Columns that are findings, by the meaning of the application's code.
    measured
        Columns that are measured values, and their units, "" where the column says none.
    unknown
        Columns that are nothing of the application's.
    """

    identifier: str
    lines: tuple[Line, ...]
    findings: tuple[str, ...]
    measured: Mapping[str, str]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSeries:
    """The series that the lines name: one after the other, with its line; lines that name none, or not one alone, with the reason."""

    series: Mapping[str, Line] = field(default_factory=dict)
    lost: tuple[tuple[str, str], ...] = ()


def read_table(file: Path, application: Application) -> Table:
    """Read a table, comma- or semicolon-separated, in UTF-8, with names above its columns.

    Raises
    ------
    UnfitData
        It is no such table, names no case, has nothing that the application says, a column that may be two of its values, a line or column
        twice, values in a unit that the application does not say, or a cell that is neither yes nor no.
    """
    columns, rows, delimiter = lines_of(file)
    # one slice is no volume: there the column names nothing, whatever else it says
    names = tuple(IDENTIFIERS) if application.accepts.takes.of_slices else (INSTANCE, *IDENTIFIERS)
    identifier = next((one for one in names if one in columns), None)
    if identifier is None:
        raise UnfitData(f"{file} names no case: it needs a line, and a column {' or '.join(names)}")
    findings, measured, unknown = _meant(file, [one for one in columns if one not in names], application)
    if not findings and not measured:
        said = ", ".join(_findings(application)) or "no finding"
        raise UnfitData(f"{file}: none of its columns ({', '.join(unknown)}) is anything that {application.name} says: {said}")
    _refuse_doubled_columns(file, columns, (identifier, *findings), measured)
    lines = [_line(file, number, row, identifier, findings, measured, delimiter) for number, row in rows]
    _refuse_doubled(file, lines)
    return Table(identifier=identifier, lines=tuple(lines), findings=tuple(findings), measured={**measured}, unknown=tuple(unknown))


def named(table: Table, series: Sequence[LabelledSeries]) -> NamedSeries:
    """Which series, or single images (`single_images`), each line names. One that names several is of no use: nobody could say which of
    them the finding is about."""
    found: dict[str, Line] = {}
    lost: list[tuple[str, str]] = []
    by_name: dict[str, list[LabelledSeries]] = {}
    people: dict[str, set[tuple[str, str]]] = {}
    for each in series:
        header = read_instance(each.files[0]).header
        name = each.uid if table.identifier == INSTANCE else text(header, IDENTIFIERS[table.identifier])
        by_name.setdefault(name, []).append(each)
        people.setdefault(name, set()).add((text(header, _NAME), text(header, _BIRTH_DATE)))
    for line in table.lines:
        there = by_name.get(line.name, []) if line.name else []
        where = f"line {line.number}"
        if not there:
            lost.append((where, f"no image here has the {table.identifier} that it names"))
        elif table.identifier == "PatientID" and len(people[line.name]) > 1:
            lost.append((where, f"{len(people[line.name])} patients (other names or days of birth) have the PatientID that it names"))
        elif len(there) > 1:
            lost.append((where, f"{len(there)} series have the {table.identifier} that it names: name each by its SeriesInstanceUID"))
        else:
            found[there[0].uid] = line
    return NamedSeries(series=found, lost=tuple(lost))


def single_images(series: Sequence[LabelledSeries]) -> list[LabelledSeries]:
    """Every image of the series as one of its own, under its SOPInstanceUID: what a table names that has this column."""
    return [replace(each, uid=read_instance(path).sop_instance_uid, files=(path,)) for each in series for path in each.files]


def kinds(table: Table) -> dict[str, Kind]:
    """The figures of findings and of measured values."""
    share = {
        SENSITIVITY: "share of the cases that have the finding in which it was called present; an undetermined one was not",
        SPECIFICITY: "share of the cases without the finding in which it was called absent; an undetermined one was not",
        DECIDED: "share of the cases in which it was called present or absent",
    }
    made = {
        f"{name} {one}": Kind(unit="", better="more", digits=4, says=says, share=True)
        for name, says in share.items()
        for one in table.findings
    }
    for one, unit in table.measured.items():
        made[f"{DIFFERENCE} {one}"] = Kind(unit=unit, better="near 0", digits=2, says="found less true value: its mean is the bias")
        made[f"{ERROR} {one}"] = Kind(unit=unit, better="less", digits=2, says="how far the found value is from the true one")
    return made


def row(table: Table, line: Line, found: Findings) -> dict[str, float]:
    """The figures of one case; NaN of what its line, or for a value the application, does not say.

    Raises
    ------
    UnfitData
        The application measures under one name several values.
    """
    made = dict.fromkeys(kinds(table), math.nan)
    made |= {f"{PROBABILITY} {finding}": probability(found, finding) for finding in table.findings}
    for finding, present in line.present.items():
        called = _called(found, finding)
        made[f"{DECIDED} {finding}"] = float(called is not None)
        made[f"{SENSITIVITY if present else SPECIFICITY} {finding}"] = float(called is present)
    for column, true in line.values.items():
        value = _measured(found, column, table.measured[column])
        made[f"{DIFFERENCE} {column}"] = value - true
        made[f"{ERROR} {column}"] = abs(value - true)
    return made


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_], drawn: NDArray[np.intp]) -> float:
    return auc(scores[drawn], positive[drawn])


def ranking(table: Table, cases: Sequence[tuple[Line, str, Mapping[str, float]]]) -> dict[str, dict[str, Any]]:
    """The area under the ROC curve of each finding, over cases (line, patient, row); its 95 % interval by bootstrap over patients.

    None where the application says no probability, or where only one class is there.
    """
    made = {}
    for finding in table.findings:
        known = [
            (patient, row[f"{PROBABILITY} {finding}"], line.present[finding])
            for line, patient, row in cases
            if finding in line.present and math.isfinite(row[f"{PROBABILITY} {finding}"])
        ]
        told: dict[str, Any] = {"unit": "", "better": "more", "digits": 4, "count": len(known)}
        scores, positive = np.array([one for _, one, _ in known]), np.array([one for *_, one in known], dtype=np.bool_)
        area = auc(scores, positive) if known else math.nan
        interval = None
        if math.isfinite(area):
            interval = list(over_patients(partial(_area, scores, positive), [patient for patient, *_ in known]))
        made[f"AUC {finding}"] = {**told, "mean": area if math.isfinite(area) else None, "interval": interval, "worst": None}
    return made


def probability(found: Findings, finding: str) -> float:
    """The largest that the application says of a finding; NaN where it says none."""
    said = [one.probability for one in found.evaluations if one.finding.meaning == finding and one.probability is not None]
    return max(said, default=math.nan)


def _called(found: Findings, finding: str) -> bool | None:
    """Whether a finding was called present, anywhere, or absent, everywhere; None where it was neither."""
    values = {one.value for one in found.evaluations if one.finding.meaning == finding}
    return True if codes.PRESENT in values else False if values == {codes.ABSENT} else None


def _measured(found: Findings, column: str, unit: str) -> float:
    """NaN where nothing is measured so, or as "at least": how far the true value is from it nobody knows."""
    there = [one for one in found.measurements if column.casefold() in _called_so(one) and unit in ("", *_written(one.unit))]
    if len(there) > 1 and len({one.images for one in there}) == len(there):
        raise UnfitData(f'"{column}" is measured of each of {len(there)} images: name each of them by a column {INSTANCE}')
    if len(there) > 1:
        ways = ", ".join(" ".join([one.derivation.meaning if one.derivation else "", one.unit.value]).strip() for one in there)
        raise UnfitData(f'"{column}" is measured in {len(there)} ways ({ways}), and a column of this name may mean any of them')
    return there[0].value if there and not there[0].at_least else math.nan


def _written(unit: Code) -> tuple[str, ...]:
    """A unit as it is coded, and as people write it."""
    return unit.value, codes.unit_sign(unit.value)


def _called_so(one: Measurement) -> tuple[str, ...]:
    of = one.segment or (one.total.meaning if one.total else "")
    return tuple(f"{name} {of}".strip().casefold() for name in _names(one)) if one.location is None else ()


def _names(one: Measurement | MeasurementOutput) -> tuple[str, ...]:
    """What a number may be called: "Attenuation Coefficient", and "Mean Attenuation Coefficient"."""
    plain = one.name.meaning
    return (plain,) if one.derivation is None else (plain, f"{one.derivation.meaning} {plain}")


def _findings(application: Application) -> list[str]:
    return [output.finding.meaning for output in application.outputs if isinstance(output, EvaluationOutput)]


def _meant(file: Path, columns: Sequence[str], application: Application) -> tuple[list[str], dict[str, str], list[str]]:
    """Columns as findings, as measured values with their units, and the rest."""
    known = {one.casefold(): one for one in _findings(application)}
    structures = [output for output in application.outputs if isinstance(output, SegmentOutput)]
    # a total is called by what its parts are together
    segments = ["", *(output.label for output in structures), *(output.type.meaning for output in structures)]
    quantities = [output for output in application.outputs if isinstance(output, MeasurementOutput)]
    means: dict[str, dict[str, list[Code]]] = {}
    for output in quantities:
        for name, label in itertools.product(_names(output), segments):
            means.setdefault(f"{name} {label}".strip().casefold(), {}).setdefault(_names(output)[-1], []).append(output.unit)
    findings, measured, unknown = list[str](), dict[str, str](), list[str]()
    for column in columns:
        name, _, unit = column.partition("(")
        if column.strip().casefold() in known:
            findings.append(known[column.strip().casefold()])
        elif len(several := means.get(name.strip().casefold(), {})) > 1:
            which = " or ".join(f'"{one}"' for one in several)
            raise UnfitData(f'{file}: column "{name.strip()}" may be several of what {application.name} measures: begin it with {which}')
        elif several:
            measured[name.strip()] = unit = unit.rstrip(") ").strip()
            known_units = dict.fromkeys(sign for units in several.values() for one in units for sign in _written(one))
            if unit and unit not in known_units:
                said = " or ".join(known_units)
                raise UnfitData(f'{file}: column "{column}" is measured in {said}: give it in that, or take the column out')
        else:
            unknown.append(column)
    return findings, measured, unknown


def _line(
    file: Path,
    number: int,
    row: Mapping[str, str],
    identifier: str,
    findings: Sequence[str],
    measured: Mapping[str, str],
    delimiter: str,
) -> Line:
    present, values = dict[str, bool](), dict[str, float]()
    for column, said in row.items():
        cell = (said or "").strip() if isinstance(said, str) else ""
        name = str(column).partition("(")[0].strip()
        finding = next((one for one in findings if one.casefold() == str(column).strip().casefold()), None)
        if finding is not None and cell:
            if cell.casefold() not in YES | NO:
                raise UnfitData(f'{file}, line {number}: column "{column}" is neither yes nor no (1 or 0)')
            present[finding] = cell.casefold() in YES
        elif name in measured and cell:
            try:
                values[name] = number_of(cell, delimiter)
            except ValueError as none:
                raise UnfitData(f'{file}, line {number}: column "{column}" is no number') from none
    return Line(number=number, name=(row[identifier] or "").strip(), present=present, values=values)


def _refuse_doubled_columns(file: Path, columns: Sequence[str], named: Sequence[str], measured: Mapping[str, str]) -> None:
    """A value in two units is there twice, too."""
    whole = Counter(one.strip().casefold() for one in columns)
    without_unit = Counter(one.partition("(")[0].strip().casefold() for one in columns)
    for name, there in (*((one, whole) for one in named), *((one, without_unit) for one in measured)):
        if there[name.casefold()] > 1:
            raise UnfitData(f'{file}: column "{name}" is there twice: take one of the two out')


def _refuse_doubled(file: Path, lines: Sequence[Line]) -> None:
    first: dict[str, int] = {}
    for line in lines:
        if line.name in first:
            raise UnfitData(f"{file}: lines {first[line.name]} and {line.number} name the same case: take one of them out")
        first[line.name] = line.number
