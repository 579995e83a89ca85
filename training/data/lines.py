"""Lines of a table: separated by commas, semicolons or tabs, in UTF-8, names above the columns; how cases are named, and yes and no."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.errors import UnfitData

SERIES = "SeriesInstanceUID"
IDENTIFIERS = {
    SERIES: 0x0020000E,
    "StudyInstanceUID": 0x0020000D,
    "AccessionNumber": 0x00080050,
    "PatientID": 0x00100020,
}
"""Columns that may name a case by what all files of a series have in common, the narrowest first."""
STUDY = "StudyInstanceUID"
"""The column that says which study the descriptions of series beside it are of."""
INSTANCE = "SOPInstanceUID"
"""The column that names one image of a series."""
PATIENT = "PatientID"
FILE_COLUMNS = frozenset(
    {"path", "file", "image", "filename", "file_name", "filepath", "file_path", "imagepath"}
    | {"image_path", "image_file", "image_name", "image_id", "imageid", "image_index", "id_code"}
)
"""Columns that name a case by its file, however they are capitalised."""
PARTICIPANT, SESSION = "participant_id", "session_id"
"""Columns of BIDS: a subject, and one of its visits."""
PATIENT_COLUMNS = frozenset({"patient", "patientid", "patient_id", "subject", "subject_id", "participant", "participant_id", "person_id"})
"""Columns that say whose image a file is."""
CHOSEN = "chosen because"
"""The column that says why an image was chosen to be labelled (`hilum choose`): no label."""
YES = frozenset({"1", "1.0", "yes", "true", "present", "positive"})
NO = frozenset({"0", "0.0", "no", "false", "absent", "negative"})
"""Whole numbers with a point are what statistics programs write of a column in which a cell is empty."""


def among(columns: Sequence[str], known: frozenset[str]) -> list[str]:
    """Those of a table's columns that are called as one of `known`, however they are capitalised, spaced or hyphenated."""
    return [one for one in columns if one.strip().casefold().replace(" ", "_").replace("-", "_") in known]


def number_of(cell: str, delimiter: str) -> float:
    """A cell as a number; a comma is a decimal one where semicolons stand between cells: between commas, 2,931 may be two thousand or two.

    Raises
    ------
    ValueError
    """
    return float(cell.replace(",", ".") if delimiter == ";" else cell)


def lines_of(file: Path) -> tuple[list[str], list[tuple[int, dict[Any, Any]]], str]:
    """The columns; of each line its number in the file and its cells by column, None where it is too short; and what separates cells.

    Raises
    ------
    UnfitData
        It is no such table, or a line has more cells than there are columns.
    """
    try:
        content = file.read_text(encoding="utf-8-sig")
        head = content.partition("\n")[0]
        delimiter = "\t" if "\t" in head else ";" if head.count(";") > head.count(",") else ","
        reader = csv.DictReader(io.StringIO(content), delimiter=delimiter, strict=True)
        rows: list[tuple[int, dict[Any, Any]]] = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as broken:
        raise UnfitData(f"{file} is no table in UTF-8: {broken}") from broken
    for number, row in rows:
        if any(cell.strip() for cell in row.pop(None, ())):
            raise UnfitData(f"{file}, line {number}: it has more cells than there are columns; a decimal comma asks for semicolons between")
    return [*(reader.fieldnames or ())] if rows else [], rows, delimiter
