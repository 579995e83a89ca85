"""What an application looked for and did not find, and where: nothing found is a result too."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from inference.applications.port import LocationOutput, SegmentOutput
from inference.codes import Code
from inference.findings import Measurement
from node.results.planes import Sources
from node.results.port import Encoding
from node.results.reports.imaged import imaged

_Place: TypeAlias = tuple[Code | None, Code | None]
"""A site and its side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Something that was looked for in vain.

    Attributes
    ----------
    site, laterality
        Where: as the finding says, else as the application declares, else what the images say they show; None where nobody says.
    measurements
        What the application says of it nevertheless.
    is_segment
        Whether its mask was looked for: then it has a volume of 0 at least.
    is_absent
        Whether it is called absent; not where an evaluation of the application speaks of it already.
    """

    tracked_by: str
    finding: Code
    site: Code | None
    laterality: Code | None
    measurements: tuple[Measurement, ...] = ()
    is_segment: bool = False
    is_absent: bool = True


def not_found(encoding: Encoding, sources: Sources) -> list[Sought]:
    """The segments without a voxel, and what the manifest says is always looked for and that nothing was found of."""
    shown = imaged(sources.slices, sources.headers)
    return [*_empty_segments(encoding, shown), *_unmentioned(encoding, shown)]


def _empty_segments(encoding: Encoding, shown: _Place) -> Iterator[Sought]:
    findings = encoding.findings
    evaluated = {_key(one.finding) for one in findings.evaluations}
    declared = {one.label: one.searched for one in encoding.application.outputs if isinstance(one, SegmentOutput)}
    for segment in findings.segments:
        if segment.mask.any():
            continue
        own = (segment.finding_site, segment.laterality)
        site, laterality = _where(own if segment.finding_site else (declared.get(segment.label), None), shown)
        yield Sought(
            tracked_by=segment.label,
            finding=segment.type,
            site=site,
            laterality=laterality,
            measurements=tuple(one for one in findings.measurements if one.segment == segment.label),
            is_segment=True,
            is_absent=_key(segment.type) not in evaluated,
        )


def _unmentioned(encoding: Encoding, shown: _Place) -> Iterator[Sought]:
    findings = encoding.findings
    labels = {segment.label for segment in findings.segments}
    told = {_key(one.finding) for one in findings.evaluations} | {_key(one.finding) for one in findings.locations}
    for one in encoding.application.outputs:
        # one that is not looked for always may be missing for another reason than that it is absent
        if isinstance(one, SegmentOutput) and one.searched and one.label not in labels and _key(one.type) not in told:
            yield Sought(tracked_by=one.label, finding=one.type, site=one.searched, laterality=None, is_segment=True)
        if isinstance(one, LocationOutput) and _key(one.finding) not in told:
            # once, however often it is declared
            told.add(_key(one.finding))
            site, laterality = _where((one.searched, None), shown)
            yield Sought(tracked_by=f"{one.finding.meaning}, none found", finding=one.finding, site=site, laterality=laterality)


def _where(stated: _Place, shown: _Place) -> _Place:
    site, laterality = stated if stated[0] is not None else shown
    # a side without a site says nothing
    return site, laterality if site is not None else None


def _key(code: Code) -> tuple[str, str]:
    return code.value, code.scheme
