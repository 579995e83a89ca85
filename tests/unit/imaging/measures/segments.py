"""Volumes with segments for tests of measures, and what is measured of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference import codes
from inference.findings import Findings, Measurement, Segment
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.measuring import measured
from inference.imaging.subject import Subject


def segment(label: str, mask: NDArray[np.bool_], **more: Any) -> Segment:
    """A segment with a code and a colour."""
    return Segment(label=label, mask=mask, **{"category": codes.TISSUE, "type": codes.LUNG, "rgb": (1, 2, 3), **more})


def results(measure: Measure, subject: Subject, *segments: Segment, headers: Sequence[Dataset] = ()) -> tuple[Measurement, ...]:
    """What one measure makes of segments, of which nothing may be left out."""
    found = measured((measure,), subject, headers, Findings(segments=segments))
    assert found.remarks == ()
    return found.measurements


def refusal(measure: Measure, subject: Subject, *segments: Segment, headers: Sequence[Dataset] = ()) -> str:
    """Why one measure makes nothing of segments."""
    found = measured((measure,), subject, headers, Findings(segments=segments))
    assert found.measurements == ()
    (remark,) = found.remarks
    return str(remark)
