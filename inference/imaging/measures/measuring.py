"""Measures what an application declares of its segments; what cannot be measured is told to the reader with its reason, never left out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydicom.dataset import Dataset

from inference.findings import Findings, Location, Measurement
from inference.imaging.measures import calcium, calibre, composition, lengths, points, sides, uptake, values
from inference.imaging.measures.measure import Kind, Measure, SegmentedImages, Unmeasured
from inference.imaging.subject import Subject
from inference.translatable import Translatable, listed, say

_FAMILIES = (values, lengths, points, calibre, uptake, sides, calcium, composition)
KINDS: Mapping[str, Kind] = {kind.word: kind for family in _FAMILIES for kind in family.KINDS}
"""Every measure by its word in app.yaml, in the order in which they are listed."""

MEASURES: Mapping[str, Any] = {kind.make.__name__: kind.make for kind in KINDS.values()}
"""Their classes by name, as application.json has them."""


def measured(measures: Sequence[Measure], subject: Subject, headers: Sequence[Dataset], findings: Findings) -> Findings:
    """The findings with what is measured of their segments, and with a remark of what is not.

    A segment that is not there, or without a voxel, is not measured: reports say that it is absent.

    Parameters
    ----------
    headers
        As `SegmentedImages` has them.
    findings
        About `subject`: masks on its own grid, as they will be delivered.
    """
    given = SegmentedImages(subject, headers, findings)
    made: list[Measurement] = []
    located: list[Location] = []
    refused: dict[Translatable, list[Translatable]] = {}
    for measure in measures:
        if not given.those(measure.segments):
            continue
        for said in measure.of(given):
            if isinstance(said, Unmeasured):
                refused.setdefault(said.reason, []).append(measure.words)
            elif isinstance(said, Location):
                located.append(said)
            else:
                made.append(said)
    remarks = [_told(why, what) for why, what in refused.items()]
    return replace(
        findings,
        measurements=(*findings.measurements, *made),
        locations=(*findings.locations, *located),
        remarks=(*findings.remarks, *remarks),
    )


def tells(measure: Measure, modality: Sequence[str]) -> bool:
    """Whether it says anything of images of these modalities: a number, or a point."""
    return isinstance(measure, points.PointsOfSegments) or bool(measure.concepts(modality))


def _told(why: Translatable, what: Iterable[Translatable]) -> Translatable:
    return say("Not measured: {what}, because {why}.", what=listed([*dict.fromkeys(what)]), why=why)
