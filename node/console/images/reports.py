"""What reports say: values and sentences, read from the structured reports that a job made, as any reader of them would."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from inference.codes import unit_sign
from inference.imaging.errors import NotDicom
from inference.imaging.header import PARSE_ERRORS, read_dataset

_TRACKING_IDENTIFIER, _FINDING = "112039", "121071"
_NAMES = frozenset({_TRACKING_IDENTIFIER})
_CONTEXT = frozenset({"HAS OBS CONTEXT", "HAS ACQ CONTEXT", "HAS CONCEPT MOD"})
"""Relationships (PS3.3 C.17.3.2.4) to who observed, by which algorithm, and to how images were made: no statement of a report."""
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedValue:
    """One measured value: of what, what, and how much, with the unit as people write it."""

    of: str
    name: str
    value: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """What one report says, in its order."""

    values: tuple[ReportedValue, ...]
    sentences: tuple[str, ...]


def content_of(path: Path) -> ReportContent:
    """The numbers (NUM) and texts (TEXT) that a structured report states (PS3.3 C.17.3), at most two hundred of each.

    Raises
    ------
    NotDicom, UnsupportedSyntax
        It cannot be read, or what it states is damaged.
    """
    report = read_dataset(path)
    try:
        values = tuple(dict.fromkeys(_values(report, "")))
        sentences = tuple(dict.fromkeys(_sentences(report)))
    except PARSE_ERRORS as damaged:
        raise NotDicom(f"the content of the report is damaged: {type(damaged).__name__}") from damaged
    return ReportContent(values=values[:_MOST], sentences=sentences[:_MOST])


def _values(holder: Dataset, of: str) -> Iterator[ReportedValue]:
    of = next((said for one in holder.get("ContentSequence") or () if (said := _about(one))), of)
    for one in _stated(holder):
        measured = one.get("MeasuredValueSequence") or ()
        if one.get("ValueType") == "NUM" and measured:
            unit = unit_sign(_code(measured[0].get("MeasurementUnitsCodeSequence")))
            yield ReportedValue(of=of, name=_meaning(one.get("ConceptNameCodeSequence")), value=str(measured[0].NumericValue), unit=unit)
        yield from _values(one, of)


def _stated(holder: Dataset) -> list[Dataset]:
    return [one for one in holder.get("ContentSequence") or () if one.get("RelationshipType") not in _CONTEXT]


def _about(item: Dataset) -> str:
    """What a measurement group is of: its tracking identifier, else its finding."""
    code = _code(item.get("ConceptNameCodeSequence"))
    if item.get("ValueType") == "TEXT" and code == _TRACKING_IDENTIFIER:
        return str(item.get("TextValue") or "")
    if item.get("ValueType") == "CODE" and code == _FINDING:
        return _meaning(item.get("ConceptCodeSequence"))
    return ""


def _sentences(holder: Dataset) -> Iterator[str]:
    for one in _stated(holder):
        if one.get("ValueType") == "TEXT" and _code(one.get("ConceptNameCodeSequence")) not in _NAMES:
            yield str(one.get("TextValue") or "").strip()
        yield from _sentences(one)


def _code(sequence: Sequence[Dataset] | None) -> str:
    return str(sequence[0].get("CodeValue") or "") if sequence else ""


def _meaning(sequence: Sequence[Dataset] | None) -> str:
    return str(sequence[0].get("CodeMeaning") or "") if sequence else ""
