"""A table of outcomes: a line a patient, how long it was followed, whether the event came, and what else was known when the time began.

PatientID,time (mo),event,Age (a),Grade,TP53      event: 1 it came at that time, 0 not until then (censored)
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.lines import NO, PATIENT_COLUMNS, YES, among, lines_of, number_of
from training.errors import UnfitData
from training.tabled.units import unit_of

STUDY = "StudyInstanceUID"
"""The column that says in which study a patient's measurements were made."""
FEWEST_EVENTS = 20
"""Fewer cannot be parted into folds in which anything is learned, or judged."""
_TIME = re.compile(r"\s*time\s*(?:\((?P<unit>.+)\))?\s*", re.IGNORECASE)
_TIMES = frozenset({"a", "mo", "wk", "d", "h", "min", "s"})
_MISSING = frozenset({"", ".", "nan", "na", "n/a", "#n/a", "<na>", "null"})
"""A point is what SAS and Stata write."""
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}|(19|20)\d{6}")
_MOST_LEVELS, _FEWEST_OF_LEVEL = 20, 5
_OTHER = "(other)"
_LEAK, _FEW_OF_LEAK = 0.97, 10
"""Of a rank correlation with the time, or of an agreement with the event, and lines from which on it is no chance."""
_NUMBERED = 20
"""Lines from which on whole numbers that all differ, and lie close together, are a numbering and no chance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutcomeColumn:
    """What a column says of every patient: numbers (N,), NaN where it says nothing; of a category the place of its level."""

    name: str
    cells: NDArray[np.float64]
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """The lines that say what became of a patient.

    Attributes
    ----------
    patients, studies
        PatientID of each, and the study that its line names ("" where it names none).
    times
        (N,) in `unit`, a code of UCUM; from 0 on.
    events
        (N,) whether the event came then; where not, nobody knows what came later.
    notes
        What was left out, a sentence each.
    sha256
        Of the file.
    """

    patients: tuple[str, ...]
    studies: tuple[str, ...]
    times: NDArray[np.float64]
    unit: str
    events: NDArray[np.bool_]
    columns: tuple[OutcomeColumn, ...]
    notes: tuple[str, ...]
    sha256: str


def read_outcomes(file: Path) -> Outcomes:
    """Read it, and look whether a column knows what came later.

    Raises
    ------
    UnfitData
        It is no table; a column is lacking; a time is none, an event is not known, a patient has two lines; fewer than twenty events; or a
        column says the outcome.
    """
    there, rows, delimiter = lines_of(file)
    doubled = [name for name, count in Counter(there).items() if count > 1]
    if doubled:
        raise UnfitData(f'{file}: column "{doubled[0]}" is there twice: take one of the two out')
    patient, time, event, unit = _roles(file, there)
    notes: list[str] = []
    known: list[tuple[int, dict[str, str | None]]] = []
    unknown: list[tuple[int, dict[str, str | None]]] = []
    for number, row in rows:
        (known if all(_cell(row, one) for one in (patient, time, event)) else unknown).append((number, row))
    if unknown:
        notes.append(f"{len(unknown)} lines without a patient, a time or an event are left out ({_some([n for n, _ in unknown])})")
    first: dict[str, int] = {}
    for number, row in known:
        name = _cell(row, patient)
        if name in first:
            raise UnfitData(
                f'{file}: lines {first[name]} and {number} are both of patient "{name}": one outcome a patient. Keep the line whose '
                "columns were known when the time began"
            )
        first[name] = number
    times = np.array([_time(file, number, _cell(row, time), delimiter, time) for number, row in known])
    events = np.array([_event(file, number, _cell(row, event), event) for number, row in known], dtype=np.bool_)
    if events.sum() < FEWEST_EVENTS:
        raise UnfitData(
            f"{file}: {int(events.sum())} events in {len(events)} patients: with fewer than {FEWEST_EVENTS} nothing that is learned could "
            "be told from chance. Follow them longer, or count more patients"
        )
    if len(np.unique(times)) < 2:
        raise UnfitData(f'{file}: column "{time}" has the same time in every line: nobody came before anybody')
    columns = []
    for name in there:
        if name in (patient, time, event, STUDY) or not name.strip():
            continue
        made = _column(name, [_cell(row, name) for _, row in known], delimiter, notes)
        if made is not None:
            refuse_leak(str(file), made, times, events)
            columns.append(made)
    return Outcomes(
        patients=tuple(_cell(row, patient) for _, row in known),
        studies=tuple(_cell(row, STUDY) for _, row in known),
        times=times,
        unit=unit,
        events=events,
        columns=tuple(columns),
        notes=tuple(notes),
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def refuse_leak(where: str, column: OutcomeColumn, times: NDArray[np.float64], events: NDArray[np.bool_]) -> None:
    """Refuse a column that says what was to be foretold: the event, the time, or something that only those have who had the event.

    Raises
    ------
    UnfitData
    """
    from scipy.stats import spearmanr

    said = np.isfinite(column.cells)
    wrong = "take it out; only what was known when the time began may stand in the table"
    agreeing = _agreement(said, events)
    if max(agreeing, 1 - agreeing) >= _LEAK:
        who = "those who had the event" if agreeing > 0.5 else "those who had not the event"
        raise UnfitData(f'{where}: column "{column.name}" says something of {who} alone: it was written afterwards; {wrong}')
    values, happened, until = column.cells[said], events[said], times[said]
    for value in np.unique(values)[:_MOST_LEVELS]:
        same = _agreement(values == value, happened)
        if len(values) >= _FEW_OF_LEAK and max(same, 1 - same) >= _LEAK:
            raise UnfitData(f'{where}: column "{column.name}" says the event itself ({max(same, 1 - same):.0%} of its lines): {wrong}')
    if not column.levels and len(np.unique(values)) > 2:
        for whose, of in (("the time", until >= 0), ("the time of those who had the event", happened)):
            if of.sum() >= _FEW_OF_LEAK and len(np.unique(until[of])) > 1 and len(np.unique(values[of])) > 1:
                rank = float(spearmanr(values[of], until[of]).statistic)
                if abs(rank) >= _LEAK:
                    raise UnfitData(f'{where}: column "{column.name}" says {whose} (rank correlation {rank:.2f}): {wrong}')


def _agreement(said: NDArray[np.bool_], events: NDArray[np.bool_]) -> float:
    """How far it says the event, from 0, its opposite, to 1: the mean of the share of those who had it and of those who had not. Where
    nearly all had it, what nearly all have says nothing."""
    if events.all() or not events.any():
        return 0.5
    return float(said[events].mean() + (~said[~events]).mean()) / 2


def _roles(file: Path, there: Sequence[str]) -> tuple[str, str, str, str]:
    """The columns of patient, time and event, and the unit of the time."""
    patients = among(there, PATIENT_COLUMNS)
    times = [(one, named) for one in there if (named := _TIME.fullmatch(one))]
    events = [one for one in there if one.strip().casefold() == "event"]
    for what, found in (("PatientID", patients), ("time", [one for one, _ in times]), ("event", events)):
        if len(found) != 1:
            said = f"the columns {', '.join(found)} all are" if found else f"has {', '.join(there) or 'no line'}, and no column is"
            raise UnfitData(
                f'{file} {said} "{what}": a table of outcomes has one each of PatientID, time with its unit ("time (mo)") and event '
                "(1 or 0)"
            )
    ((time, its),) = times
    if not its["unit"]:
        raise UnfitData(f'{file}: column "{time}" has no unit: write it behind the name, "time (d)", "time (mo)" or "time (a)"')
    unit = unit_of(file, its["unit"]).value
    if unit not in _TIMES:
        raise UnfitData(f'{file}: column "{time}" is in {unit}, which is no unit of time: "d", "wk", "mo" or "a"')
    return patients[0], time, events[0], unit


def _time(file: Path, number: int, cell: str, delimiter: str, column: str) -> float:
    if _DATE.fullmatch(cell):
        raise UnfitData(
            f'{file}, line {number}: column "{column}" has the date {cell}: write how long it took from the beginning (diagnosis, first '
            "image) to the event, or to the last time that the patient was known to be without it"
        )
    try:
        value = number_of(cell, delimiter)
    except ValueError as none:
        raise UnfitData(f'{file}, line {number}: column "{column}" is no number') from none
    if not math.isfinite(value) or value < 0:
        raise UnfitData(f'{file}, line {number}: column "{column}" is {cell}: no event comes before the time begins')
    return value


def _event(file: Path, number: int, cell: str, column: str) -> bool:
    said = cell.casefold()
    if said not in YES | NO:
        raise UnfitData(
            f'{file}, line {number}: column "{column}" is "{cell}": 1 where the event came, 0 where it had not come until the time. '
            "A second kind of event (death of something else) is 0, too, and the shares that are told are then of people who cannot have it"
        )
    return said in YES


def _column(name: str, cells: Sequence[str], delimiter: str, notes: list[str]) -> OutcomeColumn | None:
    """Numbers where all cells are; yes and no as 1 and 0; else categories. None, with a note, where nothing could be learned from it."""
    said = [cell for cell in cells if cell]
    if len({*said}) < 2:
        notes.append(f'column "{name}" is {"empty" if not said else "the same in every line"}: left out')
        return None
    if all(_DATE.fullmatch(cell) for cell in said):
        notes.append(f'column "{name}" holds dates: left out; write a duration or an age')
        return None
    if len(said) < len(cells) / 2:
        notes.append(f'column "{name}" is empty in {len(cells) - len(said)} of {len(cells)} lines, more than half: left out')
        return None
    values = _numbers(cells, delimiter)
    if values is not None:
        if _is_numbering(values):
            notes.append(f'column "{name}" numbers the lines, or patients: left out')
            return None
        return OutcomeColumn(name=name, cells=values)
    words = [cell for cell in said if _numbers([cell], delimiter) is None]
    if len({*said}) > _MOST_LEVELS and len(words) < len(said) / 2:
        notes.append(
            f'column "{name}" holds numbers, and in {len(words)} of {len(said)} lines words ("{words[0]}"): left out; empty these '
            "cells, or write numbers"
        )
        return None
    counts = Counter(said)
    if len(counts) > max(_MOST_LEVELS, 2) and len(counts) > len(said) / 10:
        notes.append(f'column "{name}" has {len(counts)} different words in {len(said)} lines, which are no categories: left out')
        return None
    return _category(name, cells, counts, notes)


def _is_numbering(values: NDArray[np.float64]) -> bool:
    """Whole numbers in every line, each once, with fewer gaps than numbers."""
    if len(values) < _NUMBERED or not np.isfinite(values).all() or (values != np.rint(values)).any():
        return False
    return len(np.unique(values)) == len(values) and float(np.ptp(values)) < 2 * len(values)


def _category(name: str, cells: Sequence[str], counts: Mapping[str, int], notes: list[str]) -> OutcomeColumn | None:
    """Levels, the most frequent first; those of a few patients are one."""
    rare = [word for word, count in counts.items() if count < _FEWEST_OF_LEVEL]
    merged = rare if len(rare) > 1 else []
    if merged:
        notes.append(f'column "{name}": {len(merged)} values of fewer than {_FEWEST_OF_LEVEL} patients each are taken together as {_OTHER}')
    words = [_OTHER if cell in merged else cell for cell in cells]
    levels = tuple(word for word, _ in Counter(word for word in words if word).most_common())
    if len(levels) < 2:
        notes.append(f'column "{name}" has no value that {_FEWEST_OF_LEVEL} patients share beside another: left out')
        return None
    places = {word: float(at) for at, word in enumerate(levels)}
    return OutcomeColumn(name=name, cells=np.array([places[word] if word else math.nan for word in words]), levels=levels)


def _numbers(cells: Sequence[str], delimiter: str) -> NDArray[np.float64] | None:
    if all(cell.casefold() in YES | NO for cell in cells if cell):
        return np.array([float(cell.casefold() in YES) if cell else math.nan for cell in cells])
    try:
        found = np.array([number_of(cell, delimiter) if cell else math.nan for cell in cells])
    except ValueError:
        return None
    return found if np.isfinite(found[[bool(cell) for cell in cells]]).all() else None


def _cell(row: Mapping[str, str | None], column: str) -> str:
    """ "" where the cell is empty, or says that it has no value."""
    cell = (row.get(column) or "").strip()
    return "" if cell.casefold() in _MISSING else cell


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{' …' if len(numbers) > 5 else ''}"
