"""Measured values as the journal keeps them, so that a later study of the same patient can be set beside them."""

from dataclasses import dataclass
from enum import StrEnum


class MeasuredOf(StrEnum):
    """What a number is about."""

    SEGMENT = "segment"
    TOTAL = "total"  # of several segments together
    SERIES = "series"  # of all that was analysed


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """What was measured: two values may stand side by side where all of this is equal.

    Attributes
    ----------
    part
        The part of a series that was split; "" for all of it.
    structure, laterality, site
        Codes of the segment, or of what the segments are together; "" where there is none.
    label
        The segment's, or those of the parts of a total, a line each.
    name, unit, derivation
        Codes of the measurement. A code is its value and its scheme with a blank between: equal or not, and never taken apart.
    """

    part: str
    of: MeasuredOf
    structure: str
    laterality: str
    site: str
    label: str
    name: str
    unit: str
    derivation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One value, exact as it was found: never a bound. `version` is the application's that measured it."""

    concept: Concept
    version: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierResult:
    """What one job measured in an earlier study of the same patient. `studied_at` is as `node.domain.patient.studied_at` has it."""

    job: int
    study_instance_uid: str
    studied_at: str
    model_digest: str
    measured: tuple[Measured, ...]
