"""What an application may say about a volume; every finding carries a coded concept, no finding is without one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """One structure as a mask on the source grid.

    Attributes
    ----------
    mask
        (Z, Y, X) bool, on the grid of the `Volume` that was analysed (same axes, same slice order).
    label
        Short text for people, unique within the findings ("lung right").
    category, type
        SegmentedPropertyCategory and SegmentedPropertyType (PS3.3 C.8.20.4).
    rgb
        Recommended display colour, 0-255 each; the encoder turns it into CIELab.
    """

    label: str
    mask: NDArray[np.bool_]
    category: Code
    type: Code
    rgb: tuple[int, int, int]
    finding_site: Code | None = None
    laterality: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with a unit; of the segment named by `segment`, or of the whole series when that is None."""

    name: Code
    value: float
    unit: Code
    segment: str | None = None
    derivation: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A qualitative statement: is `finding` Present, Absent or Undetermined (CID 240)?"""

    finding: Code
    value: Code
    finding_site: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """All that one application says about one volume; the empty findings are a result too."""

    segments: tuple[Segment, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    remarks: tuple[str, ...] = ()
    """Sentences from the quality gate that a reader must see ("slices 3.0 mm apart: volume is approximate")."""
