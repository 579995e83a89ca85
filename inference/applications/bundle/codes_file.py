"""File of codes: what the labels of a model stand for, as a table (CSV) whose columns have DICOM's own names.

TotalSegmentator publishes such a table for its classes. Columns that are not named here are not read.
"""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from inference import codes
from inference.applications.bundle.anatomy import Coded, Rgb
from inference.applications.bundle.errors import UnreadableBundle, UnreadableCodes
from inference.applications.bundle.layouts import read_file
from inference.applications.bundle.names import words_of
from inference.codes import Code

_NAME = "Structure"
_CATEGORY, _TYPE = "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"
_MODIFIER = "SegmentedPropertyTypeModifierCodeSequence"
_SITE, _SITE_MODIFIER = "AnatomicRegionSequence", "AnatomicRegionModifierSequence"
_COLOUR = "DicomRGBColor"
_PARTS = {"CodeValue": 16, "CodingSchemeDesignator": 16, "CodeMeaning": 64}
"""Of a code, with the most characters that each has (VR SH, SH, LO)."""

_CATEGORIES = {"123037004": codes.ANATOMICAL_STRUCTURE}
"""Categories by another code than CID 7150's: the published table has this one."""

_SIDES = {one.value: one for one in (codes.LEFT, codes.RIGHT, codes.BOTH_SIDES)}
_MOST_BYTES = 1 << 22


def read_codes(file: Path) -> Mapping[str, Coded | None]:
    """Read the table; its rows by the words of their names.

    A row with a modifier that is no side says nothing (None), since a segment here has no other: its label needs a code of its own.

    Raises
    ------
    UnreadableCodes
        The message names the line.
    """
    try:
        text = read_file(file, _MOST_BYTES).decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="")
        columns = tuple(rows.fieldnames or ())
        absent = [name for name in (_NAME, *(f"{_TYPE}.{part}" for part in _PARTS)) if name not in columns]
        if absent:
            raise UnreadableCodes(f"{file} has no column {', '.join(absent)}; its first line names the columns, parted by commas")
        made: dict[str, Coded | None] = {}
        for row in rows:
            where = f"{file}:{rows.line_num}"
            name = " ".join(words_of(row[_NAME] or ""))
            if not name:
                raise UnreadableCodes(f"{where}: the structure has no name")
            if name in made:
                raise UnreadableCodes(f'{where}: "{row[_NAME]}" stands there twice')
            made[name] = _coded(row, where)
    except (OSError, UnicodeDecodeError, csv.Error, UnreadableBundle) as unreadable:
        raise UnreadableCodes(f"{file} cannot be read as a table of UTF-8 text: {unreadable}") from unreadable
    return made


def _coded(row: Mapping[str, str | None], where: str) -> Coded | None:
    category, type = (_code(row, key, where) for key in (_CATEGORY, _TYPE))
    if type is None:
        raise UnreadableCodes(f"{where}: it has no code in {_TYPE}")
    modifiers = [one for one in (_code(row, key, where) for key in (_MODIFIER, _SITE_MODIFIER)) if one is not None]
    if any(one.scheme != "SCT" or one.value not in _SIDES for one in modifiers):
        return None
    if len({one.value for one in modifiers}) > 1:
        raise UnreadableCodes(f"{where}: {_MODIFIER} and {_SITE_MODIFIER} say two sides")
    return Coded(
        category=codes.ANATOMICAL_STRUCTURE if category is None else _CATEGORIES.get(category.value, category),
        type=type,
        laterality=_SIDES[modifiers[0].value] if modifiers else None,
        site=_code(row, _SITE, where),
        rgb=_colour(row, where),
    )


def _code(row: Mapping[str, str | None], sequence: str, where: str) -> Code | None:
    """A code of three columns; None where they are empty."""
    said = {part: (row.get(f"{sequence}.{part}") or "").strip() for part in _PARTS}
    if not any(said.values()):
        return None
    for part, most in _PARTS.items():
        if not 0 < len(said[part]) <= most or "\\" in said[part] or not said[part].isprintable():
            raise UnreadableCodes(f'{where}: {sequence}.{part} is "{said[part]}", not 1 to {most} characters')
    return Code(said["CodeValue"], said["CodingSchemeDesignator"], said["CodeMeaning"])


def _colour(row: Mapping[str, str | None], where: str) -> Rgb | None:
    said = (row.get(_COLOUR) or "").strip()
    if not said:
        return None
    parts = [part.strip() for part in said.split(",")]
    if len(parts) != 3 or not all(re.fullmatch("[0-9]{1,3}", part) and int(part) <= 255 for part in parts):
        raise UnreadableCodes(f'{where}: {_COLOUR} is "{said}", not three numbers of 0 to 255 such as "241,172,34"')
    red, green, blue = (int(part) for part in parts)
    return red, green, blue
