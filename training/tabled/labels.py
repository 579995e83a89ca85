"""A table of labels: a line an image or a volume, named by a DICOM identifier or by its file; other columns say which class it is of, which
findings, or how much it is.

StudyInstanceUID,Finding          one of several classes, each by its name
SeriesInstanceUID,Effusion,Mass   findings, each yes or no by itself
StudyInstanceUID,Bone age (mo)    a number, its unit (UCUM) in parentheses
path,patient,Finding              files of a folder, and whose they are
participant_id,group              participants of a BIDS folder, and with session_id one of their visits
Image Data ID,Subject,Group       images of ADNI, or PTID, EXAMDATE and DX: a subject and a day
T1,FLAIR,patient,Finding          a column a role: the series that are looked at together, each by file, by SeriesInstanceUID, or beside a
                                  StudyInstanceUID by its description; empty where it is missing
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from inference.codes import Code
from training.data.adni import AdniColumns, adni_columns
from training.data.boxed import MarkedBox
from training.data.coded import coded
from training.data.lines import (
    CHOSEN,
    FILE_COLUMNS,
    IDENTIFIERS,
    INSTANCE,
    NO,
    PARTICIPANT,
    PATIENT,
    PATIENT_COLUMNS,
    SESSION,
    STUDY,
    YES,
    among,
    lines_of,
    number_of,
)
from training.errors import UnfitData, UnfitSetting
from training.tabled.units import code_of, unit_of, units_beside

FRAME = "Frame"
"""The column that names a frame (from 1) of a multi-frame image."""
_NOTHING = frozenset({"normal", "none", "nothing", "no finding", "healthy", "negative", "absent", "no"})
"""Classes that say that nothing was found: no statement is made of them."""
_MISSING = frozenset({"nan", "na", "n/a", "#n/a", "<na>", "null"})
"""What spreadsheets and statistics programs write for a cell that has no value."""
_QUANTITY = re.compile(r"(?P<name>[^()]*[^()\s])\s*\((?P<unit>.+)\)")
_MOST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledLine:
    """One line: where it stands, what it names, and of each of the table's channels whether it is so, or its number.

    `patient` is whose image it is, where the table says it; "" where it does not. `series` is what the columns of the roles say, in their
    order; () where a line names one image. Of a table of boxes `labels` say which classes have any; `size` is how many rows and columns
    it says that the image has.
    """

    number: int
    name: str
    instance: str
    frame: int | None
    labels: tuple[float, ...]
    patient: str = ""
    series: tuple[str, ...] = ()
    boxes: tuple[MarkedBox, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """The lines, and what they say.

    Attributes
    ----------
    identifier
        The DICOM keyword by which lines name what they are about; of files the column.
    channels
        The classes, findings or quantities, as codes.
    exclusive
        Whether exactly one channel is so in each line.
    unlabelled
        Lines with an empty cell, by number.
    sha256
        Of the file.
    units
        Of the quantities; () where channels are classes or findings.
    of_files
        Whether lines name files.
    of_participants
        Whether lines name participants of a BIDS folder, each by its name there: "sub-01", "sub-01_ses-2".
    roles
        Whose columns name the series of a line, the reference first; () where a line names one image.
    of_adni
        Whether lines name images of ADNI.
    boxed
        Whether lines have boxes; channels are their classes.
    rest_is_empty
        Whether images of the folder that no line names are learned, as such without a box.
    twice
        Boxes that are there twice, and are taken once.
    """

    identifier: str
    channels: tuple[Code, ...]
    exclusive: bool
    lines: tuple[LabelledLine, ...]
    unlabelled: tuple[int, ...]
    sha256: str
    units: tuple[Code, ...] = ()
    of_files: bool = False
    of_participants: bool = False
    roles: tuple[str, ...] = ()
    of_adni: bool = False
    boxed: bool = False
    rest_is_empty: bool = False
    twice: tuple[str, ...] = ()

    @property
    def answered(self) -> tuple[int, ...]:
        """The channels that are findings: a class like "normal" is none."""
        return tuple(at for at, code in enumerate(self.channels) if not (self.exclusive and says_nothing(code.meaning)))


def says_nothing(name: str) -> bool:
    """Whether a class of this name says that nothing was found."""
    return name.strip().casefold() in _NOTHING


def read_labels(file: Path, columns: Sequence[str] = (), roles: Sequence[str] = ()) -> LabelTable:
    """Read a table of classes or findings.

    Parameters
    ----------
    columns
        Which of them are labels; () for all that name nothing.
    roles
        The series of a case that are looked at together; each may be a column, which names them.

    Raises
    ------
    UnfitData
        It is no table, names no case, names one twice, or its labels are not of one kind, or not to be told apart.
    UnfitSetting
        A column is not there.
    """
    there, rows, _, naming = opened(file, columns, roles)
    labelling = list(columns) or [one for one in there if one.strip() and one not in naming.columns]
    if not labelling:
        raise UnfitData(f"{file} has no column of labels beside {', '.join(there)}")
    known = [(number, row) for number, row in rows if all(value_of(row, one) for one in labelling)]
    words = {one: {value_of(row, one) for _, row in known} for one in labelling}
    yes_or_no = [one for one in labelling if all(word.casefold() in YES | NO for word in words[one])]
    if len(labelling) > 1 and len(yes_or_no) < len(labelling):
        other = next(one for one in labelling if one not in yes_or_no)
        raise UnfitData(
            f'{file}: column "{other}" is not yes or no (1 or 0) in every line: of several columns each has to be; or name the one that is '
            "learned with --target"
        )
    exclusive = not yes_or_no
    names = sorted(words[labelling[0]]) if exclusive else labelling
    if exclusive and not 2 <= len(names) <= _MOST:
        said = "nothing could be told apart" if len(names) < 2 else f"at most {_MOST} are learned; numbers are no classes"
        raise UnfitData(f'{file}: column "{labelling[0]}" has {len(names)} classes: {said}')
    lines = _lines(
        file,
        naming,
        known,
        lambda _, row: (
            tuple(value_of(row, labelling[0]) == name for name in names)
            if exclusive
            else tuple(value_of(row, one).casefold() in YES for one in labelling)
        ),
    )
    channels = channels_of(file, names)
    silent = [code.meaning for code in channels if exclusive and says_nothing(code.meaning)]
    if len(silent) > 1:
        raise UnfitData(f"{file}: {', '.join(silent)} all say that nothing was found: give these lines one word")
    return LabelTable(
        identifier=naming.case,
        of_files=naming.of_files,
        of_participants=naming.of_participants,
        roles=naming.roles,
        of_adni=naming.adni is not None,
        channels=channels,
        exclusive=exclusive,
        lines=lines,
        unlabelled=tuple(number for number, row in rows if not all(value_of(row, one) for one in labelling)),
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def read_numbers(file: Path, columns: Sequence[str] = (), roles: Sequence[str] = ()) -> LabelTable:
    """Read a table of numbers.

    Parameters
    ----------
    columns
        Which of them are learned, in full or without their unit; () for all that have a unit.
    roles
        As of `read_labels`.

    Raises
    ------
    UnfitData
        As of `read_labels`; or a unit is no code of UCUM, a cell no number, or all cells are one.
    UnfitSetting
        A column is not there.
    """
    there, rows, delimiter, naming = opened(file, (), roles, units_beside(file))
    named = {one: _QUANTITY.fullmatch(one.strip()) for one in there if one not in naming.columns}
    learned = [one for one, found in named.items() if found]
    if columns:
        short = {found["name"]: one for one, found in named.items() if found}
        absent = [one for one in columns if one not in there and one not in short]
        if absent:
            raise UnfitSetting(f"--target {absent[0]}: {file} has no such column; it has {', '.join(there)}")
        of_two = [one for one in columns if one not in there and sum(each["name"] == one for each in named.values() if each) > 1]
        if of_two:
            raise UnfitSetting(f"--target {of_two[0]}: {file} has it in two units: name the column in full")
        learned = [short.get(one, one) for one in columns]
    without = [one for one in learned if not named.get(one)]
    if without or not learned:
        which = f'column "{without[0]}" has no unit' if without else f"none of {', '.join(there)} has a unit"
        raise UnfitData(
            f'{file}: {which}: write it behind the name, "Bone age (mo)", as a code of UCUM ("a" for years, "mo", "d", "mm", '
            '"kg", "cm3", "%", "1" for none)'
        )
    quantities = [found for one in learned if (found := named[one])]
    units = tuple(unit_of(file, found["unit"]) for found in quantities)
    known = [(number, row) for number, row in rows if all(value_of(row, one) for one in learned)]

    def numbers(line: int, row: Mapping[str, str | None]) -> tuple[float, ...]:
        found = []
        for column in learned:
            try:
                value = number_of(value_of(row, column), delimiter)
            except ValueError as none:
                raise UnfitData(f'{file}, line {line}: column "{column}" is no number') from none
            if not math.isfinite(value):
                raise UnfitData(f'{file}, line {line}: column "{column}" is {value}, with which nothing can be computed')
            found.append(value)
        return tuple(found)

    lines = _lines(file, naming, known, numbers)
    even = [column for at, column in enumerate(learned) if len({line.labels[at] for line in lines}) < 2]
    if even:
        raise UnfitData(f'{file}: column "{even[0]}" has the same number in every line: nothing could be learned')
    return LabelTable(
        identifier=naming.case,
        of_files=naming.of_files,
        of_participants=naming.of_participants,
        roles=naming.roles,
        of_adni=naming.adni is not None,
        channels=channels_of(file, [found["name"] for found in quantities]),
        exclusive=False,
        lines=lines,
        unlabelled=tuple(number for number, row in rows if not all(value_of(row, one) for one in learned)),
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        units=units,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseColumns:
    """Which columns of a table name the cases, and whose they are: no labels.

    Attributes
    ----------
    case
        Names the case.
    patient
        Of files, says whose they are; "" where no column does.
    columns
        All of a table that are no labels.
    roles
        Columns that name the series of a case.
    adni
        How a table of ADNI names its images; None of another.
    """

    case: str
    patient: str
    of_files: bool
    columns: frozenset[str]
    of_participants: bool = False
    roles: tuple[str, ...] = ()
    adni: AdniColumns | None = None


def _naming(file: Path, there: Sequence[str], roles: Sequence[str]) -> CaseColumns:
    """By the columns of the roles; else by a DICOM identifier of images where there is one, else by file; PatientID beside a file says
    whose it is."""
    if among_roles := [role for role in roles if role in there]:
        return _naming_roles(file, there, roles, among_roles)
    files, patients = among(there, FILE_COLUMNS), among(there, PATIENT_COLUMNS)
    identifier = next((one for one in (INSTANCE, *IDENTIFIERS) if one in there and not (files and one == PATIENT)), None)
    if identifier is not None:
        return CaseColumns(case=identifier, patient="", of_files=False, columns=frozenset((INSTANCE, FRAME, CHOSEN, *IDENTIFIERS, *files)))
    if not files and PARTICIPANT in there:
        return CaseColumns(
            case=PARTICIPANT, patient="", of_files=False, columns=frozenset((PARTICIPANT, SESSION, *patients)), of_participants=True
        )
    if not files and (adni := adni_columns(there)) is not None:
        # of the many columns of such a table one is of classes
        others = frozenset(one for one in there if one != adni.classes and not _QUANTITY.fullmatch(one.strip()))
        return CaseColumns(case=adni.image, patient=adni.subject, of_files=False, columns=others, adni=adni)
    if not files and len(patients) == 1:
        # sets of which each file is called as its patient
        files = patients
    if not files:
        raise UnfitData(
            f"{file} names no case: it needs a line, and a column {' or '.join((INSTANCE, *IDENTIFIERS))}, or path with the files of --data"
        )
    several = files if len(files) > 1 else patients if len(patients) > 1 else []
    if several:
        raise UnfitData(f"{file}: the columns {', '.join(several)} all name one thing: take all but one out")
    columns = frozenset((FRAME, CHOSEN, *IDENTIFIERS, *files, *patients))
    return CaseColumns(case=files[0], patient="".join(patients), of_files=True, columns=columns)


def _naming_roles(file: Path, there: Sequence[str], roles: Sequence[str], found: Sequence[str]) -> CaseColumns:
    """A line is a study, or what the first role's column names."""
    absent = [role for role in roles if role not in found]
    if absent:
        raise UnfitSetting(f"--roles {absent[0]}: {file} has no such column, as it has of {', '.join(found)}")
    patients = among(there, PATIENT_COLUMNS)
    if len(patients) > 1:
        raise UnfitData(f"{file}: the columns {', '.join(patients)} all name one thing: take all but one out")
    return CaseColumns(
        case=STUDY if STUDY in there else roles[0],
        patient="".join(patients),
        of_files=False,
        columns=frozenset((*roles, INSTANCE, FRAME, *IDENTIFIERS, *patients)),
        roles=tuple(roles),
    )


def opened(
    file: Path, columns: Sequence[str], roles: Sequence[str], units: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[str], list[tuple[int, dict[str, str | None]]], str, CaseColumns]:
    """Columns, lines and what separates cells, as `lines_of`; and which columns name the cases. Columns with `units` have them in their
    names."""
    there, rows, delimiter = lines_of(file)
    called = {one: f"{one} ({code_of(units[one])})" for one in there if one in units and not _QUANTITY.fullmatch(one)}
    there = [called.get(one, one) for one in there]
    rows = [(number, {called.get(name, name): cell for name, cell in row.items()}) for number, row in rows]
    naming = _naming(file, there, roles)
    doubled = [name for name, count in Counter(there).items() if count > 1]
    if doubled:
        raise UnfitData(f'{file}: column "{doubled[0]}" is there twice: take one of the two out')
    absent = [one for one in columns if one not in there]
    if absent:
        raise UnfitSetting(f"--target {absent[0]}: {file} has no such column; it has {', '.join(there)}")
    return there, rows, delimiter, naming


def _lines(
    file: Path,
    naming: CaseColumns,
    rows: Sequence[tuple[int, dict[str, str | None]]],
    labels: Callable[[int, Mapping[str, str | None]], tuple[float, ...]],
) -> tuple[LabelledLine, ...]:
    """Each line with what it says, by its number and its cells; none names a case that another names."""
    lines = tuple(
        LabelledLine(
            number=number,
            name=_visit(row) if naming.of_participants else naming.adni.named(row) if naming.adni else cell_of(row, naming.case),
            patient=cell_of(row, naming.patient),
            instance=cell_of(row, INSTANCE),
            frame=frame_of(file, number, row),
            labels=labels(number, row),
            series=tuple(value_of(row, role) for role in naming.roles),
        )
        for number, row in rows
    )
    first: dict[tuple[str, int | None], int] = {}
    for line in lines:
        if line.name and (line.name, line.frame) in first:
            raise UnfitData(f"{file}: lines {first[line.name, line.frame]} and {line.number} name the same case: take one of them out")
        first[line.name, line.frame] = line.number
    return lines


def channels_of(file: Path, names: Sequence[str]) -> tuple[Code, ...]:
    """Names as codes that can be told apart."""
    channels = tuple(map(coded, names))
    if min(len({(code.scheme, code.value) for code in channels}), len({code.meaning.casefold() for code in channels})) < len(channels):
        raise UnfitData(
            f"{file}: two of {', '.join(names)} have one code or one meaning, or names that differ in signs or capitals alone: rename one"
        )
    if any(not code.meaning or "\\" in code.meaning or not code.meaning.isprintable() for code in channels):
        raise UnfitData(f"{file}: a backslash, or a sign that is not printed, stands in one of {', '.join(map(repr, names))}: rename it")
    return channels


def cell_of(row: Mapping[str, str | None], column: str) -> str:
    """ "" where it is empty, or the column is not there; the one without a name numbers lines, as statistics programs do, and is none."""
    return (row.get(column) or "").strip() if column else ""


def _visit(row: Mapping[str, str | None]) -> str:
    """A participant, or one of its visits, as BIDS names it."""
    participant, session = cell_of(row, PARTICIPANT), value_of(row, SESSION)
    subject = f"sub-{participant.removeprefix('sub-')}"
    return f"{subject}_ses-{session.removeprefix('ses-')}" if session else subject


def value_of(row: Mapping[str, str | None], column: str) -> str:
    """ "" where the cell is empty, or says that it has no value."""
    cell = cell_of(row, column)
    return "" if cell.casefold() in _MISSING else cell


def frame_of(file: Path, number: int, row: Mapping[str, str | None]) -> int | None:
    """The frame (from 1) that a line names; None where it names none.

    Raises
    ------
    UnfitData
    """
    said = cell_of(row, FRAME)
    if said and not (said.isdecimal() and int(said) > 0):
        raise UnfitData(f'{file}, line {number}: column "{FRAME}" is no number from 1 on')
    return int(said) if said else None
