"""Numbers out of a structured report as DCMTK's dsrdump prints it, so that nothing of the node reads its own reports."""

import re
from pathlib import Path

from tests.lab.validators import dsrdump


def numbers(report: Path, code: str) -> list[tuple[float, str]]:
    """The values (number, UCUM unit) of every NUM item whose concept name has this code value."""
    faults, tree = dsrdump(report)
    assert faults == [], faults
    item = re.compile(rf'NUM:\({code},[^"]*"[^"]*"\)="([-+0-9.eE]+)" \(([^,]+),UCUM,')
    return [(float(number), unit) for number, unit in item.findall(tree)]
