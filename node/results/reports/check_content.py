"""Reading a structured report by hand: its content items, by the codes of their names; nothing of the writing code is used here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydicom.dataset import Dataset

from inference.codes import Code
from inference.findings import Measurement
from node.results.errors import ValuesDiffer

Coded: TypeAlias = tuple[str, str]
"""Code value and coding scheme."""
Number: TypeAlias = tuple[Coded, float, Coded, Coded | None, bool]
"""Name, value, unit, derivation, and whether the true value may be more."""
Image: TypeAlias = tuple[str, str, tuple[int, ...]]
"""SOP Class UID, SOP Instance UID, frames."""

RELATIVE = 1e-9
THREE_DIGITS = 0.005
_HALF_A_PERCENT = 0.5
"""Certainties are shown in whole per cent."""

FINDING, SITE, SIDE = ("121071", "DCM"), ("363698007", "SCT"), ("272741003", "SCT")
TRACKING_UID, TRACKING_IDENTIFIER = ("112040", "DCM"), ("112039", "DCM")
_DERIVATION, _ALGORITHM_FAMILY = ("121401", "DCM"), ("111000", "DCM")
_BOUND, _AT_LEAST = ("BOUND", "99HILUM"), ("AT-LEAST", "99HILUM")
_CERTAINTY, _PERCENT = ("111012", "DCM"), ("%", "UCUM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a measurement group says, but for where: `answers` are its qualitative evaluations, `images` those that it rests on."""

    finding: Coded | None
    site: Coded | None
    side: Coded | None
    answers: tuple[tuple[Coded, Coded], ...]
    numbers: tuple[Number, ...]
    images: tuple[Image, ...]


def walk(content: Dataset) -> Iterator[Dataset]:
    """All content items below this one."""
    for child in content.get("ContentSequence") or ():
        yield child
        yield from walk(child)


def named(content: Dataset, code: Coded) -> list[Dataset]:
    """The children of this name. Values alone name nothing: a local scheme may use those of any other."""
    return [child for child in content.get("ContentSequence") or () if name(child) == code]


def name(content: Dataset) -> Coded:
    """The code of a content item's name."""
    return coded(content.ConceptNameCodeSequence[0])


def coded(item: Dataset) -> Coded:
    """An item of a code sequence; values of more than 16 characters stand in an attribute of their own (PS3.3 8.1)."""
    return str(item.get("CodeValue") or item.LongCodeValue), str(item.CodingSchemeDesignator)


def code(meant: Code | None) -> Coded | None:
    """A code as it is read back."""
    return None if meant is None else (meant.value, meant.scheme)


def said(group: Dataset) -> Said:
    """Take one measurement group apart."""
    items = group.ContentSequence
    sites = named(group, SITE)
    sides = [side for site in sites for side in named(site, SIDE)]
    if len(sites) > 1 or len(sides) > 1:
        raise ValuesDiffer(f"a group of the report has {len(sites)} sites and {len(sides)} sides")
    findings = named(group, FINDING)
    answers = [
        (name(item), coded(item.ConceptCodeSequence[0]))
        for item in items
        if item.ValueType == "CODE" and name(item) not in (FINDING, SITE, _ALGORITHM_FAMILY)
    ]
    return Said(
        finding=coded(findings[0].ConceptCodeSequence[0]) if findings else None,
        site=coded(sites[0].ConceptCodeSequence[0]) if sites else None,
        side=coded(sides[0].ConceptCodeSequence[0]) if sides else None,
        answers=tuple(answers),
        numbers=tuple(_number(item) for item in items if item.ValueType == "NUM"),
        images=tuple(image(item) for item in items if item.ValueType == "IMAGE"),
    )


def image(item: Dataset) -> Image:
    """What an IMAGE content item refers to."""
    (reference,) = item.ReferencedSOPSequence
    frames = reference.get("ReferencedFrameNumber")
    listed = () if frames is None else (frames,) if isinstance(frames, int) else tuple(frames)
    return str(reference.ReferencedSOPClassUID), str(reference.ReferencedSOPInstanceUID), tuple(int(frame) for frame in listed)


def number(meant: Measurement) -> Number:
    """A measurement as it is read back."""
    what, unit = (meant.name.value, meant.name.scheme), (meant.unit.value, meant.unit.scheme)
    return what, float(meant.value), unit, code(meant.derivation), meant.at_least


def certainty(meant: float | None) -> list[Number]:
    """A certainty as it is read back: percent."""
    return [] if meant is None else [(_CERTAINTY, round(meant * 100, 6), _PERCENT, None, False)]


def compare(found: Sequence[Number], meant: Sequence[Number], about: str) -> None:
    """Every number is there, with its unit and derivation, and no other.

    Raises
    ------
    ValuesDiffer
    """
    pairs = list(zip(sorted(found, key=_order), sorted(meant, key=_order), strict=False))
    same = len(found) == len(meant) and all(
        (one[0], *one[2:]) == (other[0], *other[2:]) and abs(one[1] - other[1]) <= RELATIVE * max(abs(other[1]), 1.0)
        for one, other in pairs
    )
    if not same:
        raise ValuesDiffer(f"of {about} the report says {list(found)}, found was {list(meant)}")


def _order(one: Number) -> tuple[object, ...]:
    return one[0], one[2], one[3] or (), one[4], one[1]


def _number(item: Dataset) -> Number:
    (measured,) = item.MeasuredValueSequence
    exact = float(measured.get("FloatingPointValue", measured.NumericValue))
    allowed = _HALF_A_PERCENT if name(item) == _CERTAINTY else THREE_DIGITS * abs(exact)
    if abs(exact - float(measured.NumericValue)) > (1 + RELATIVE) * allowed:
        raise ValuesDiffer(f"the report says {measured.NumericValue} and {exact} of one measurement")
    derivations = [coded(part.ConceptCodeSequence[0]) for part in named(item, _DERIVATION)]
    unit = coded(measured.MeasurementUnitsCodeSequence[0])
    bounds = [coded(part.ConceptCodeSequence[0]) for part in named(item, _BOUND)]
    if bounds not in ([], [_AT_LEAST]):
        raise ValuesDiffer(f"the report says of a measurement that it is {bounds}")
    return name(item), exact, unit, derivations[0] if derivations else None, bool(bounds)
