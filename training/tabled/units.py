"""Units of a table's numbers: codes of the Unified Code for Units of Measure (UCUM 2.1, case-sensitive), as far as medicine needs them.

Annotations ({score}) are taken as they are; a unit of atoms that are not listed here is refused, so that none is sent that nobody can read.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from inference.codes import Code
from training.errors import UnfitData

_LONGEST = 16
"""Characters of a Code Value (PS3.5 6.2)."""
_METRIC = frozenset(
    [
        "m",
        "s",
        "g",
        "l",
        "L",
        "mol",
        "eq",
        "osm",
        "V",
        "A",
        "K",
        "C",
        "F",
        "J",
        "W",
        "Pa",
        "N",
        "Hz",
        "Bq",
        "Gy",
        "Sv",
        "Cel",
        "U",
        "[iU]",
        "[degF]",
        "bar",
        "cal",
        "kat",
        "T",
        "m[Hg]",
        "m[H2O]",
        "B",
        "u",
        "eV",
    ]
)
"""Those that take a prefix."""
_PLAIN = frozenset(
    [
        "1",
        "%",
        "[ppth]",
        "[ppm]",
        "[ppb]",
        "a",
        "mo",
        "wk",
        "d",
        "h",
        "min",
        "deg",
        "rad",
        "sr",
        "[hnsf'U]",
        "[pH]",
        "[in_i]",
        "[ft_i]",
        "[lb_av]",
        "[oz_av]",
        "10*",
        "10^",
        "[arb'U]",
    ]
)
_PREFIXES = ["Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y"]
_ATOMS = _PLAIN | _METRIC | {f"{prefix}{atom}" for prefix in _PREFIXES for atom in _METRIC}
_COMPONENT = re.compile(r"(?P<atom>10[*^]|(?:\[[^\[\]]+\]|[A-Za-z%]|m\[[^\[\]]+\])+|\d+)?(?P<power>[+-]?\d+)?(?P<note>\{[^{}]*\})?")
_MEANINGS = {"a": "year", "mo": "month", "wk": "week", "d": "day", "mm": "millimeter", "cm": "centimeter", "kg": "kilogram"}
_MEANINGS |= {"%": "Percent", "1": "no units", "cm3": "cubic centimeter", "mL": "milliliter", "[hnsf'U]": "Hounsfield unit"}
_MEANT = {
    "year": "a",
    "years": "a",
    "y": "a",
    "yr": "a",
    "month": "mo",
    "months": "mo",
    "week": "wk",
    "weeks": "wk",
    "day": "d",
    "days": "d",
}
_MEANT |= {"HU": "[hnsf'U]", "mmHg": "mm[Hg]", "cc": "cm3", "cm³": "cm3", "mm³": "mm3", "cm²": "cm2", "mm²": "mm2", "°": "deg", "°C": "Cel"}
_MEANT |= {"bpm": "/min", "percent": "%", "none": "1", "sec": "s", "µm": "um"}
_MISTAKEN = {"C": ("coulomb", "Cel"), "F": ("farad", "[degF]"), "Mg": ("megagram", "mg"), "Mm": ("megameter", "mm")}
_MISTAKEN |= dict.fromkeys(("ML", "Ml"), ("megaliter", "mL"))
"""Codes of UCUM that nobody's table is in, and what people mean by them."""
_NOT_FROM_NOTHING = frozenset({"Cel", "[degF]", "[hnsf'U]", "[pH]", "1", "B", "C", "V", "deg", "rad"})
"""Atoms whose scale has an arbitrary zero, or goes below it: temperatures, densities of CT, levels, angles, charges, plain numbers."""


def begins_at_zero(unit: Code) -> bool:
    """Whether what is measured in a unit is an amount, of which less than nothing is not there: an age, a length, a mass, a share."""
    atoms = [found["atom"] for part in _components(unit.value) if (found := _COMPONENT.fullmatch(part)) and found["atom"]]
    signed = {f"{prefix}{atom}" for prefix in ("", *_PREFIXES) for atom in _NOT_FROM_NOTHING & _METRIC} | _NOT_FROM_NOTHING
    return bool(atoms) and signed.isdisjoint(atoms)


def code_of(written: str) -> str:
    """What people write for a unit as its code, where it is known here; else as it is."""
    return _MEANT.get(written.strip(), written.strip())


def units_beside(file: Path) -> Mapping[str, str]:
    """What participants.json says of the units of a participants.tsv, by column; nothing where there is none.

    Raises
    ------
    UnfitData
    """
    sidecar = file.with_suffix(".json")
    if file.suffix != ".tsv" or not sidecar.is_file():
        return {}
    try:
        said = json.loads(sidecar.read_text(encoding="utf-8-sig"))
        return {name: str(one["Units"]) for name, one in said.items() if isinstance(one, dict) and one.get("Units")}
    except (OSError, ValueError, AttributeError) as broken:
        raise UnfitData(f"{sidecar} is no description of the columns of {file.name}: {broken}") from broken


def unit_of(file: Path, written: str) -> Code:
    """A unit as a table writes it, as a code.

    Raises
    ------
    UnfitData
        It is no code of UCUM that is known here.
    """
    said = written.strip()
    if said in _MEANT:
        raise UnfitData(f'{file}: "{said}" is no code of UCUM: write "{_MEANT[said]}"')
    if said in _MISTAKEN:
        other, meant = _MISTAKEN[said]
        raise UnfitData(f'{file}: "{said}" is {other} in UCUM: write "{meant}"')
    if len(said) > _LONGEST or not said.isascii() or not _is_unit(said):
        raise UnfitData(
            f'{file}: "{said}" is no unit of UCUM that is known here: "a" for years, "mo", "mm", "cm3", "kg/m2", "{{score}}", "1"'
        )
    return Code(said, "UCUM", _MEANINGS.get(said, said))


def _is_unit(said: str) -> bool:
    """Components with their powers and annotations, between them a point or a solidus, which may also stand first.

    A number alone is a factor, and no unit of anything but 1.
    """
    if said.isdecimal() and said != "1":
        return False
    return all(_is_component(part) for part in _components(said))


def _components(said: str) -> list[str]:
    return re.split(r"[./](?![^{]*\})", said.removeprefix("/"))


def _is_component(part: str) -> bool:
    found = _COMPONENT.fullmatch(part)
    if found is None or not (found["atom"] or found["note"]):
        return False
    atom = found["atom"]
    return atom is None or atom in _ATOMS or (atom.isdecimal() and found["power"] is None)
