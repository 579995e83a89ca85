"""Cells of an acceptance test: its cases by scanner, slice thickness, sex and age, in bands that are the same for every test."""

from collections.abc import Mapping, Sequence

from pydicom.dataset import Dataset

from inference.imaging.tags import text
from training.data.segments import attributes_of

LEAST = 10
"""Of fewer patients who have a value a cell shows no figure: it would say more of chance, or of one patient, than of the model."""
SCANNER, THICKNESS, SEX, AGE = "scanner", "slice thickness", "sex", "age"
NOT_KNOWN = "not known"

_MODEL = 0x00081090
_THICKNESS_MM = (1.0, 2.0, 3.0, 5.0)
_YEARS = (18, 40, 65, 80)


def attributes(header: Dataset, thickness_mm: float | None) -> dict[str, str]:
    """The cell of one case in each direction; what its headers do not tell is "not known"."""
    said = attributes_of(header)
    maker, model = said.get("manufacturer", ""), " ".join(text(header, _MODEL).split())
    # many models begin with the maker's name
    scanner = model if model.casefold().startswith(maker.casefold()) else f"{maker} {model}".strip()
    return {
        SCANNER: scanner or NOT_KNOWN,
        THICKNESS: NOT_KNOWN if thickness_mm is None else _band(thickness_mm, _THICKNESS_MM, "mm"),
        SEX: said.get("sex") or NOT_KNOWN,
        AGE: _band(float(said["age"]), _YEARS, "years") if "age" in said else NOT_KNOWN,
    }


def cells(all_attributes: Sequence[Mapping[str, str]]) -> list[tuple[str, str, list[int]]]:
    """(attribute, cell, indices of its cases), cells of one attribute one after the other; every case stands in one cell of each."""
    found: dict[tuple[str, str], list[int]] = {}
    for index, one in enumerate(all_attributes):
        for name, value in one.items():
            found.setdefault((name, value), []).append(index)
    order = {name: place for place, name in enumerate((SCANNER, THICKNESS, SEX, AGE))}
    return [
        (*key, found[key]) for key in sorted(found, key=lambda key: (order[key[0]], key[1] == NOT_KNOWN, _first_number(key[1]), key[1]))
    ]


def _band(value: float, bounds: Sequence[float], unit: str) -> str:
    """ "from 2 to below 3 mm": each bound belongs to the band above it."""
    low = max((bound for bound in bounds if bound <= value), default=None)
    high = min((bound for bound in bounds if bound > value), default=None)
    if low is None:
        return f"below {high:g} {unit}"
    return f"from {low:g} {unit}" if high is None else f"from {low:g} to below {high:g} {unit}"


def _first_number(cell: str) -> float:
    """Where a band stands among its own; words stand together, in the order of their letters."""
    words = cell.split()
    if cell.startswith("below "):
        return -1.0
    return float(words[1]) if cell.startswith("from ") else 0.0
