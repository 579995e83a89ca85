"""Absent findings: what an application looked for and did not find, and where; nothing found is a result too.

Where images are missing it may be on those: then it is undetermined.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from inference.applications.port import LocationOutput, SegmentOutput
from inference.codes import ABSENT, ANATOMICAL_STRUCTURE, BOTH_SIDES, CUBIC_CENTIMETRE, UNDETERMINED, VOLUME, Code
from inference.findings import Findings, Measurement, Segment
from node.results.port import Encoding
from node.results.reports.context import imaged
from node.results.reports.sites import apart
from node.results.sources import Sources

NOTHING = Measurement(name=VOLUME, value=0.0, unit=CUBIC_CENTIMETRE)
"""What a report says of a segment without a voxel when the application says nothing of it."""

Place: TypeAlias = tuple[Code | None, Code | None]
"""A site and its side."""

Told: TypeAlias = tuple[Code, Place]
"""What something is, and where; None where nobody says. A site stands in it only where masks tell it from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Something that was looked for in vain.

    Attributes
    ----------
    site, laterality
        Where: as the finding says, else as the application declares, else what the images say they show; None where nobody says.
    measurements
        What the application says of it nevertheless; of a mask of which it says nothing, that its volume is 0, unless the images are cut.
    is_segment
        Whether its mask was looked for.
    answer
        Absent, or Undetermined where images are missing; None where an evaluation of the application speaks of it already, or another
        like it was found.
    """

    tracked_by: str
    finding: Code
    site: Code | None
    laterality: Code | None
    measurements: tuple[Measurement, ...] = ()
    is_segment: bool = False
    answer: Code | None


def not_found(encoding: Encoding, sources: Sources) -> list[Sought]:
    """The segments without a voxel, and what the manifest says is always looked for and that nothing was found of."""
    shown = imaged(sources.slices, sources.headers)
    return [*_empty_segments(encoding, shown), *_unmentioned(encoding, shown)]


def place_of(finding: Code, stated: Place, shown: Place) -> Place:
    """Where: as stated, else in what the images show. A stated side is kept, as one of the finding itself where no region is known."""
    site, laterality = stated
    if site is not None:
        return stated
    region, side = shown
    if region is None:
        # the images' side without a region says nothing
        return (finding, laterality) if laterality is not None else (None, None)
    return region, laterality or side


def is_among(finding: Code, place: Place, told: Iterable[Told]) -> bool:
    """Whether something is told of already, on a side and at a site that may be its own; one that nobody says may be any.

    What was found in a lobe was found in the lung: only of sites that are known to be apart (`sites`) one may not be the other.
    """
    site, side = place
    alike = [where for one, where in told if _key(one) == _key(finding)]
    return any(_may_be_site(site, other) and _may_be_side(side, other_side) for other, other_side in alike)


def found(findings: Findings) -> list[Told]:
    """What has voxels, and what has a place on an image."""
    there = [(one.type, (one.finding_site, one.laterality)) for one in findings.segments if one.has_voxels]
    there += [(one.finding, (one.finding_site, one.laterality)) for one in findings.locations]
    return [told_of(findings, finding, place) for finding, place in there]


def told_of(findings: Findings, finding: Code, place: Place) -> Told:
    """Something that is told of, at a site that says it is elsewhere only where another mask of the kind has that site.

    A lesion in a lobe is one of the lung; an effusion of the pericardium, which has a mask of its own, is none of the pleura.
    """
    site, side = place
    of_masks = {_key(one.finding_site) for one in findings.segments if one.finding_site and _key(one.type) == _key(finding)}
    return finding, (site if site is not None and _key(site) in of_masks else None, side)


def _told(findings: Findings) -> list[Told]:
    said = [told_of(findings, one.finding, (one.finding_site, one.laterality)) for one in findings.evaluations]
    return [*found(findings), *said]


def _empty_segments(encoding: Encoding, shown: Place) -> Iterator[Sought]:
    findings = encoding.findings
    told = _told(findings)
    declared = {one.label: one.searched for one in encoding.application.outputs if isinstance(one, SegmentOutput)}
    for segment in findings.segments:
        if segment.has_voxels:
            continue
        site, laterality = place_of(segment.type, _stated(segment, declared.get(segment.label)), shown)
        yield Sought(
            tracked_by=segment.label,
            finding=segment.type,
            site=site,
            laterality=laterality,
            measurements=tuple(one for one in findings.measurements if one.segment == segment.label) or _zero(findings),
            is_segment=True,
            answer=None if is_among(segment.type, (segment.finding_site, segment.laterality), told) else _answer(findings),
        )


def _stated(segment: Segment, searched: Code | None) -> Place:
    """The right lung is looked for as the right lung, a lesion of the right side where the application looks, there on the right."""
    if segment.finding_site is not None:
        return segment.finding_site, segment.laterality
    if segment.laterality is not None and segment.category == ANATOMICAL_STRUCTURE:
        return segment.type, segment.laterality
    return searched, segment.laterality


def _unmentioned(encoding: Encoding, shown: Place) -> Iterator[Sought]:
    findings = encoding.findings
    labels = {segment.label for segment in findings.segments}
    told = {_key(finding) for finding, _ in _told(findings)}
    for one in encoding.application.outputs:
        # one that is not looked for always may be missing for another reason than that it is absent
        if isinstance(one, SegmentOutput) and one.searched and one.label not in labels and _key(one.type) not in told:
            yield Sought(
                tracked_by=one.label,
                finding=one.type,
                site=one.searched,
                laterality=None,
                measurements=_zero(findings),
                is_segment=True,
                answer=_answer(findings),
            )
        if isinstance(one, LocationOutput) and not one.of_segment and _key(one.finding) not in told:
            # once, however often it is declared
            told.add(_key(one.finding))
            site, laterality = place_of(one.finding, (one.searched, None), shown)
            yield Sought(
                tracked_by=f"{one.finding.meaning}, {'undetermined' if findings.cut else 'none found'}",
                finding=one.finding,
                site=site,
                laterality=laterality,
                answer=_answer(findings),
            )


def _zero(findings: Findings) -> tuple[Measurement, ...]:
    return () if findings.cut else (NOTHING,)


def _answer(findings: Findings) -> Code:
    return UNDETERMINED if findings.cut else ABSENT


def _may_be_site(one: Code | None, other: Code | None) -> bool:
    return one is None or other is None or not apart(one, other)


def _may_be_side(one: Code | None, other: Code | None) -> bool:
    sides = {_side(one), _side(other)}
    return None in sides or len(sides) == 1


def _side(laterality: Code | None) -> tuple[str, str] | None:
    return None if laterality is None or _key(laterality) == _key(BOTH_SIDES) else _key(laterality)


def _key(code: Code) -> tuple[str, str]:
    return code.value, code.scheme
