"""Numbers out of a structured report as DCMTK's dsrdump prints it, so that nothing of the node reads its own reports."""

import re
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from tests.lab.validators import dsrdump


def numbers(report: Path, code: str) -> list[tuple[float, str]]:
    """The values (number, UCUM unit) of every NUM item whose concept name has this code value, exactly: where the file has the number as a
    float beside the digits that dsrdump prints for people, the float, which these digits have to round."""
    faults, tree = dsrdump(report)
    assert faults == [], faults
    item = re.compile(rf'NUM:\({code},[^"]*"[^"]*"\)="([-+0-9.eE]+)" \(([^,]+),UCUM,')
    printed = [(float(number), unit) for number, unit in item.findall(tree)]
    exact = list(_floats(pydicom.dcmread(report, stop_before_pixels=True), code))
    assert len(exact) == len(printed), (exact, printed)
    told = []
    for (number, unit), one in zip(printed, exact, strict=True):
        value = number if one is None else one
        assert abs(number - value) <= 0.005 * abs(value), f"{report.name} shows {number} and means {value}"
        told.append((value, unit))
    return told


def _floats(item: Dataset, code: str) -> Iterator[float | None]:
    for child in item.get("ContentSequence") or ():
        if child.ValueType == "NUM" and child.ConceptNameCodeSequence[0].get("CodeValue") == code:
            yield child.MeasuredValueSequence[0].get("FloatingPointValue")
        yield from _floats(child, code)
