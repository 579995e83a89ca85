"""The result kinds: one tuple of their records, in the order in which a job's objects are made."""

from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from node.domain.profile import Kind
from node.results.deformable_registration import DEFORMABLE_REGISTRATION
from node.results.derived import DERIVED
from node.results.detections import DETECTIONS
from node.results.explanation import EXPLANATION
from node.results.explanation_map import EXPLANATION_MAP
from node.results.kind import Checking, Making, ResultKind
from node.results.measurements import MEASUREMENTS
from node.results.narrative import NARRATIVE
from node.results.overlay import OVERLAY
from node.results.parametric_map import PARAMETRIC_MAP
from node.results.pdf import PDF
from node.results.registration import REGISTRATION
from node.results.segmentation import SEGMENTATION
from node.results.statement import STATEMENT
from node.results.summary import SUMMARY
from node.results.uncertainty_map import UNCERTAINTY_MAP
from node.results.withdrawal import WITHDRAWAL

if TYPE_CHECKING:
    from node.results.port import Encoded, Encoding
    from node.results.sources import Sources

GREATEST_NUMBER = 99
"""Of a kind in Series Numbers."""


def registered(records: Sequence[ResultKind]) -> dict[Kind, ResultKind]:
    """The records by their kind; all that is imported refuses to be where two of them claim the same.

    Raises
    ------
    ValueError
        Two records are of one kind, have one switch or one number in Series Numbers, or a number is none.
    """
    claims = [
        *(f"the kind {one.kind.value}" for one in records),
        *(f"the switch {one.switch}" for one in records if one.switch),
        *(f"the series number {number}" for one in records for number in one.series),
    ]
    twice = [claim for claim, times in Counter(claims).items() if times > 1]
    if twice:
        raise ValueError(f"two result kinds claim {', '.join(twice)}")
    beyond = [number for one in records for number in one.series if not 1 <= number <= GREATEST_NUMBER]
    if beyond:
        raise ValueError(f"series numbers of kinds are 1 to {GREATEST_NUMBER}, not {beyond[0]}")
    return {one.kind: one for one in records}


KINDS = (
    SEGMENTATION,
    MEASUREMENTS,
    DETECTIONS,
    PARAMETRIC_MAP,
    OVERLAY,
    REGISTRATION,
    DEFORMABLE_REGISTRATION,
    DERIVED,
    EXPLANATION,
    EXPLANATION_MAP,
    UNCERTAINTY_MAP,
    NARRATIVE,
    PDF,
    SUMMARY,
    STATEMENT,
    WITHDRAWAL,
)
"""Masks before the reports that refer to them, and documents behind all that they speak of."""

_BY_KIND = registered(KINDS)


def record_of(kind: Kind) -> ResultKind:
    """The record of a kind."""
    return _BY_KIND[kind]


def maker_of(record: ResultKind) -> "Callable[[Making], list[Encoded]]":
    """`make` of a kind that stands for findings; imported when it is first asked for."""
    made: Callable[[Making], list[Encoded]] = _module(record, "make").make
    return made


def beginner_of(record: ResultKind) -> "Callable[[Encoding, Sources], Callable[[], Any]]":
    """`begin` of a kind that has one."""
    begun: Callable[[Encoding, Sources], Callable[[], Any]] = _module(record, "make").begin
    return begun


def checker_of(record: ResultKind) -> Callable[[Checking], None]:
    """`check` of a kind that stands for findings."""
    checked: Callable[[Checking], None] = _module(record, "check").check
    return checked


def _module(record: ResultKind, name: str) -> ModuleType:
    """By its name: a record that named its functions would bring highdicom, numpy and Pillow to every reader of a configuration."""
    return import_module(f"{record.folder}.{name}")
