"""Findings as sentences of a language, each with what it rests on; no free text of an application but its remarks and labels."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.codes import ABSENT, MORPHOLOGICALLY_ABNORMAL_STRUCTURE, PRESENT, Code
from inference.findings import Evaluation, Location, Measurement, Quality, Segment, Span
from inference.imaging.subject import Cine, Pair
from node.domain.profile import Kind
from node.results.identity import local_time, model_names
from node.results.narrative.narrative_wording import Count, Examination, Section, Thing, Wording
from node.results.normalise import text
from node.results.page.naming import names_of_images, series_date, series_description
from node.results.page.picture import extent
from node.results.planes import Sources
from node.results.port import Encoding
from node.results.reports.absent import Sought, found, is_among, not_found, place_of
from node.results.reports.imaged import imaged
from node.results.reports.sr_items import measurements_of, tracked
from node.results.reports.sr_series import NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence and its evidence.

    Attributes
    ----------
    tracked
        Tracking Identifier and UID of the finding; None where it is about no single one.
    rests_on
        The kinds of result objects that hold it.
    measurements, qualities
        The numbers and the coded answers in it, as they were found.
    finding
        What it is about.
    row
        The same in a table: what, measured, where.
    named
        Label of the map or the derived series that it is about.
    image
        Index of the source image that it names; None where it names none or several.
    """

    section: Section
    text: str
    tracked: tuple[str, str] | None = None
    rests_on: tuple[Kind, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    qualities: tuple[Quality, ...] = ()
    certainty: float | None = None
    finding: Code | None = None
    named: str = ""
    row: tuple[str, str, str] | None = None
    image: int | None = None


def sentences(encoding: Encoding, sources: Sources, wording: Wording) -> list[Sentence]:
    """All that is to be said, in order: what was examined, what was found or not, and what that is worth."""
    return list(_Speaker(encoding, sources, wording).all())


class _Speaker:
    """Says all of one encoding in one language."""

    def __init__(self, encoding: Encoding, sources: Sources, wording: Wording) -> None:
        self._encoding, self._sources, self._wording = encoding, sources, wording
        self._findings = encoding.findings
        self._images = names_of_images(encoding, sources)
        self._absent = not_found(encoding, sources)
        self._found = [one for one in encoding.findings.segments if one.mask.any()]
        self._alike = Counter(_key(one.type, one.laterality, one.finding_site) for one in self._found)

    def all(self) -> Iterator[Sentence]:
        """Every sentence, section by section."""
        yield from self._examination()
        yield from self._evaluations()
        yield from self._locations()
        yield from self._segments()
        yield from self._nothing()
        yield from self._whole()
        yield from self._made()
        yield from (Sentence(section=Section.FINDINGS, text=self._wording.remark(remark)) for remark in self._findings.remarks)
        yield from self._impression()

    def _examination(self) -> Iterator[Sentence]:
        encoding, first = self._encoding, self._sources.first
        examination = Examination(
            modality=encoding.subject.modality,
            description=series_description(self._sources),
            series=text(first, "SeriesNumber"),
            date=series_date(self._sources),
            part=encoding.part,
            images=len(self._sources.slices),
            frames=isinstance(encoding.subject, Cine),
            grid=extent(encoding.subject, words=False),
            prior_date=self._prior_date(),
        )
        application = encoding.application
        said = self._wording.analysed(
            f"{application.name} {application.version}",
            application.manufacturer,
            model_names(encoding),
            local_time(encoding, self._sources),
        )
        yield Sentence(section=Section.EXAMINATION, text=self._wording.examined(examination))
        yield Sentence(section=Section.EXAMINATION, text=said)

    def _evaluations(self) -> Iterator[Sentence]:
        for number, one in enumerate(self._findings.evaluations, 1):
            thing = self._evaluated(one)
            images = [self._images[index] for index in one.images]
            frames = (one.span.first + 1, one.span.last + 1) if one.span else None
            yield Sentence(
                section=Section.FINDINGS,
                text=self._wording.evaluation(thing, one.value, images, frames),
                tracked=self._tracked(f"finding {number}"),
                rests_on=(Kind.SR,),
                certainty=one.certainty,
                finding=one.finding,
                image=one.images[0] if len(one.images) == 1 else None,
                row=(self._wording.name(thing), self._wording.value(one.value), self._wording.details(thing, None)),
            )

    def _locations(self) -> Iterator[Sentence]:
        for number, one in enumerate(self._findings.locations, 1):
            thing, image = replace(self._thing(one.finding, one), number=number), self._images[one.image]
            measurements = measurements_of(self._encoding, one)
            measured = [*self._measured(measurements), *(self._wording.quality(each) for each in one.qualities)]
            yield Sentence(
                section=Section.FINDINGS,
                text=self._wording.location(thing, image, measured),
                row=(self._wording.name(thing), "\n".join(measured), self._wording.details(thing, image)),
                tracked=self._tracked(one.label, labelled=True),
                rests_on=(Kind.DETECTIONS,),
                measurements=measurements,
                qualities=one.qualities,
                certainty=one.certainty,
                finding=one.finding,
                image=one.image,
            )

    def _segments(self) -> Iterator[Sentence]:
        total = len(self._sources.slices)
        for one in self._found:
            measurements, thing = measurements_of(self._encoding, one), self._thing(one.type, one)
            on, measured = sum(bool(plane.any()) for plane in one.mask), self._measured(measurements)
            yield Sentence(
                section=Section.FINDINGS,
                text=self._wording.segment(thing, on, total, measured),
                row=(self._wording.name(thing), "\n".join(measured), self._wording.details(thing, None)),
                tracked=self._tracked(one.label, labelled=True),
                rests_on=(Kind.SEG, Kind.SR),
                measurements=measurements,
                certainty=one.certainty,
                finding=one.type,
            )

    def _nothing(self) -> Iterator[Sentence]:
        for one in self._absent:
            measurements = one.measurements or ((NOTHING,) if one.is_segment else ())
            thing, measured, total = self._sought(one), self._measured(measurements), len(self._sources.slices)
            # another like it was found, or may be there: it has no outline, and that is all
            said = self._wording.absent(thing, measured) if one.is_absent else self._wording.segment(thing, 0, total, measured)
            word = self._wording.labels["none"] if one.is_absent else "\n".join(measured)
            yield Sentence(
                section=Section.FINDINGS,
                text=said,
                row=(self._wording.name(thing), word, self._wording.details(thing, None)),
                tracked=self._tracked(one.tracked_by, labelled=one.is_segment),
                rests_on=(Kind.SR,),
                measurements=measurements,
                finding=one.finding,
            )

    def _whole(self) -> Iterator[Sentence]:
        spans: dict[Span | None, list[Measurement]] = {}
        for one in self._findings.measurements:
            if one.segment is None and one.location is None:
                spans.setdefault(one.span, []).append(one)
        for span, measurements in spans.items():
            measured = self._measured(measurements)
            yield Sentence(
                section=Section.FINDINGS,
                text=self._wording.whole(measured),
                row=(self._wording.labels["all"], "\n".join(measured), ""),
                tracked=self._tracked("series" if span is None else f"frames {span.first + 1} to {span.last + 1}"),
                rests_on=(Kind.SR,),
                measurements=tuple(measurements),
            )

    def _made(self) -> Iterator[Sentence]:
        findings, say = self._findings, self._wording
        if findings.registration is not None:
            cosine = (float(np.trace(findings.registration.matrix[:3, :3])) - 1) / 2
            degrees = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
            registered = say.registered(degrees, self._prior_date())
            yield Sentence(section=Section.FINDINGS, text=registered, rests_on=(Kind.REGISTRATION,))
        for derived in findings.derived:
            said = say.derived(derived.derivation, derived.of_prior)
            yield Sentence(section=Section.FINDINGS, text=said, rests_on=(Kind.DERIVED,), named=derived.label, finding=derived.derivation)
        for saliency in findings.saliencies:
            yield Sentence(
                section=Section.FINDINGS,
                text=say.saliency(saliency.quantity, saliency.label),
                rests_on=(Kind.MAP,),
                named=saliency.label,
                finding=saliency.quantity,
            )

    def _impression(self) -> Iterator[Sentence]:
        """What was found, what was not, what could not be told: of anatomy alone none of these. Then what all of it is worth."""
        evaluations, say = self._findings.evaluations, self._wording
        counted = [one.type for one in self._found if one.category == MORPHOLOGICALLY_ABNORMAL_STRUCTURE]
        counted += [one.finding for one in self._findings.locations]
        counts = Counter(counted)
        counts.update({one.finding for one in evaluations if one.value == PRESENT and one.finding not in counts})
        sought = [self._evaluated(one) for one in evaluations if one.value == ABSENT]
        sought += [self._sought(one) for one in self._absent if one.is_absent]
        seen = [*found(self._findings), *((one.finding, one.laterality) for one in evaluations if one.value == PRESENT)]
        # a site is said for its side: what is missing on one side is not missing
        bare = [Thing(what=one.what, laterality=one.laterality, site=one.site if one.laterality else None) for one in sought]
        missing = [one for one in dict.fromkeys(bare) if not is_among(one.what, one.laterality, seen)]
        undecided = list(dict.fromkeys(one.finding for one in evaluations if one.value not in (PRESENT, ABSENT)))
        said = [say.found([Count(what=code, number=number) for code, number in counts.items()])] if counts else []
        said += [say.missing(missing)] if missing else []
        said += [say.undecided(undecided)] if undecided else []
        for sentence in [*(said or [say.only_measured()]), say.standing(self._encoding.application.qualification)]:
            yield Sentence(section=Section.IMPRESSION, text=sentence)

    def _thing(self, what: Code, one: Segment | Location | Evaluation) -> Thing:
        # a lung in the lung is a lung
        site = None if one.finding_site == what else one.finding_site
        # locations go by their number on the pictures
        label = one.label if isinstance(one, Segment) and self._alike[_key(what, one.laterality, one.finding_site)] > 1 else ""
        return Thing(
            what=what,
            laterality=one.laterality,
            site=site,
            label=label,
            abnormal=not isinstance(one, Segment) or one.category == MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
            certainty=one.certainty,
        )

    def _evaluated(self, one: Evaluation) -> Thing:
        thing = self._thing(one.finding, one)
        if one.finding_site is None and (one.value == ABSENT or one.laterality is not None):
            # what is absent is absent somewhere: in what was imaged, as the reports say
            site, laterality = place_of(one.finding, (None, one.laterality), imaged(self._sources.slices, self._sources.headers))
            thing = replace(thing, site=None if site == one.finding else site, laterality=laterality)
        return thing

    def _sought(self, one: Sought) -> Thing:
        kinds = {segment.label: segment.category for segment in self._findings.segments}
        abnormal = not one.is_segment or kinds.get(one.tracked_by) == MORPHOLOGICALLY_ABNORMAL_STRUCTURE
        site = None if one.site == one.finding else one.site
        alike = sum(other.finding == one.finding for other in self._absent) > 1 or not one.is_absent
        return Thing(
            what=one.finding,
            laterality=one.laterality,
            site=site,
            label=one.tracked_by if alike and one.is_segment else "",
            abnormal=abnormal,
        )

    def _tracked(self, what: str, *, labelled: bool = False) -> tuple[str, str]:
        """Under which identifier and UID the reports track it."""
        identifier, uid = tracked(self._encoding, what, labelled=labelled)
        return str(identifier.TextValue), str(uid.UID)

    def _measured(self, measurements: Sequence[Measurement]) -> list[str]:
        return [self._wording.measured(one, self._seconds(one.span)) for one in measurements]

    def _seconds(self, span: Span | None) -> tuple[float, float] | None:
        subject = self._encoding.subject
        if span is None or not isinstance(subject, Cine) or subject.times_s is None:
            return None
        return float(subject.times_s[span.first]), float(subject.times_s[span.last])

    def _prior_date(self) -> str | None:
        """The day of the prior; "" where its header says none; None where there is no prior."""
        subject = self._encoding.subject
        if not isinstance(subject, Pair):
            return None
        header = self._sources.headers[subject.prior.sources[0].sop_instance_uid]
        date = text(header, "SeriesDate") or text(header, "StudyDate")
        return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def _key(what: Code, laterality: Code | None, site: Code | None) -> tuple[str, str, str, str]:
    return what.value, what.scheme, laterality.value if laterality else "", site.value if site else ""
