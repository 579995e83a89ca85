"""Findings as sentences of the languages that they are told in, each with what it rests on; no free text of an application but its remarks
and labels.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from inference.applications.look_alikes import look_alike_of
from inference.applications.port import RegistrationOutput
from inference.codes import ABSENT, MORPHOLOGICALLY_ABNORMAL_STRUCTURE, PRESENT, UNDETERMINED, Code
from inference.findings import Evaluation, Location, Measurement, Quality, Segment, Span
from inference.imaging.subject import Cine, Phases, prior_in
from node.domain.profile import FOUND, Kind, Language
from node.results.identity import local_time, model_names
from node.results.narrative.chinese import Chinese
from node.results.narrative.english import English
from node.results.narrative.wording import Count, Examination, Section, Thing, Wording
from node.results.normalise import text
from node.results.page.naming import names_of_images, series_date, series_description
from node.results.page.picture import extent
from node.results.port import Encoding
from node.results.reports.absent import Sought, found, is_among, not_found, place_of, told_of
from node.results.reports.context import imaged
from node.results.reports.items import measurements_of, of_the_series, series_tracked_by, shown_probability, tracked
from node.results.sources import Sources

WORDINGS: Mapping[Language, Wording] = {Language.ENGLISH: English(), Language.CHINESE: Chinese()}


class Weight(IntEnum):
    """What a conclusion, which names few findings, names first: no finding may stand behind others that are absent, and what is said of all
    phases together not behind each of them."""

    THERE = 0
    IN_A_PHASE = 1
    UNDETERMINED = 2
    ABSENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence and its evidence.

    Attributes
    ----------
    tracked
        Tracking Identifier and UID of the finding; None where it is about no single one.
    also_about
        Tracking UIDs of findings of which another sentence tells, and that this one is about too.
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
    brief
        What a conclusion says of it; "" for what is not for one. Of a conclusion itself: without who says so, for pages whose head and
        foot do.
    weight
        What a conclusion says first.
    """

    section: Section
    text: str
    tracked: tuple[str, str] | None = None
    also_about: tuple[str, ...] = ()
    rests_on: tuple[Kind, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    qualities: tuple[Quality, ...] = ()
    certainty: float | None = None
    finding: Code | None = None
    named: str = ""
    row: tuple[str, str, str] | None = None
    image: int | None = None
    brief: str = ""
    weight: Weight = Weight.THERE


_WEIGHTS = {UNDETERMINED: Weight.UNDETERMINED, ABSENT: Weight.ABSENT}
MOST_BRIEF = 4
"""Findings that a conclusion names one by one."""


def conclusion(encoding: Encoding, sources: Sources, wording: Wording) -> str:
    """What stands alone, for whoever reads no further: what a reader must know first; what was found, where, how much and how sure; who
    says so."""
    return _Speaker(encoding, sources, wording).conclusion()


def found_in_short(encoding: Encoding, sources: Sources, wording: Wording) -> list[str]:
    """The sentences of a conclusion without its cautions and without who says so: pages have places of their own for both."""
    return _Speaker(encoding, sources, wording).in_short()


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
        self._found = [one for one in encoding.findings.segments if one.has_voxels]
        said = [one for one in encoding.findings.evaluations if one.value == PRESENT]
        present = [told_of(encoding.findings, one.finding, (one.finding_site, one.laterality)) for one in said]
        self._seen = [*found(encoding.findings), *present]
        self._alike = Counter(_key(one.type, one.laterality, one.finding_site) for one in self._found)

    def all(self) -> Iterator[Sentence]:
        """Every sentence, section by section."""
        yield Sentence(section=Section.IMPRESSION, text=self.conclusion(), brief=self._wording.joined(self._concluded()))
        yield from self._found_or_not(outlined=True)
        yield from map(self._remark, self._findings.remarks)
        yield from self._examination()

    def _remark(self, remark: str) -> Sentence:
        """A remark; what else looks like a finding goes with all findings that it is about."""
        text, row = self._wording.remark(remark), look_alike_of(remark)
        if row is None:
            return Sentence(section=Section.FINDINGS, text=text)
        segments = [one.label for one in self._found if row.is_of(one.type, one.finding_site, mask=True)]
        locations = [one.label for one in self._findings.locations if one.point is None and row.is_of(one.finding, one.finding_site)]
        evaluations = [
            f"finding {number}"
            for number, one in enumerate(self._findings.evaluations, 1)
            if one.value == PRESENT and row.is_of(one.finding, one.finding_site)
        ]
        uids = [self._tracked(label, labelled=True)[1] for label in (*segments, *locations)]
        uids += [self._tracked(what)[1] for what in evaluations]
        return Sentence(section=Section.FINDINGS, text=text, also_about=tuple(uids), rests_on=FOUND, finding=row.finding)

    def conclusion(self) -> str:
        """Cautions, the gravest first; then counts of what was found, and the first findings; then who says so."""
        application, say = self._encoding.application, self._wording
        return say.joined([*self._concluded(), say.by(f"{application.name} {application.version}", application.qualification)])

    def _concluded(self) -> list[str]:
        return [*(self._wording.caution(one.sentence) for one in self._findings.cautions), *self.in_short()]

    def in_short(self) -> list[str]:
        """Counts of what was found, and the first findings."""
        say = self._wording
        findings = sorted((one for one in self._found_or_not(outlined=False) if one.brief), key=lambda one: one.weight)
        said = [*self._counted(), *(one.brief for one in findings[:MOST_BRIEF])]
        if len(findings) > MOST_BRIEF:
            said.append(say.more(len(findings) - MOST_BRIEF))
        if not findings and not self._findings.cut:  # what is cut has its caution, and no word on what is not there
            said.append(say.nothing())
        return said

    def _found_or_not(self, *, outlined: bool) -> Iterator[Sentence]:
        yield from self._evaluations()
        yield from self._locations(points=False)
        yield from self._segments(outlined=outlined)
        yield from self._locations(points=True)
        yield from self._whole()
        yield from self._nothing()
        yield from self._made()

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
            prior_date=self._prior_date() if self._compares() else None,
        )
        application = encoding.application
        said = self._wording.analysed(
            f"{application.name} {application.version}",
            application.manufacturer,
            model_names(encoding) if application.models else self._wording.labels["no model"],
            local_time(encoding, self._sources),
        )
        yield Sentence(section=Section.EXAMINATION, text=self._wording.examined(examination))
        yield Sentence(section=Section.EXAMINATION, text=said)
        if not self._about_disease():
            yield Sentence(section=Section.EXAMINATION, text=self._wording.only_measured())
        yield Sentence(section=Section.EXAMINATION, text=self._wording.standing(application.qualification))

    def _evaluations(self) -> Iterator[Sentence]:
        for number, one in enumerate(self._findings.evaluations, 1):
            thing = self._evaluated(one)
            phases = self._phases(one.images)
            images = [] if phases else [self._images[index] for index in one.images]
            frames = (one.span.first + 1, one.span.last + 1) if one.span else None
            said = self._wording.evaluation(thing, one.value, images, frames, phases)
            yield Sentence(
                section=Section.FINDINGS,
                text=said,
                brief="" if self._told_better(one) else said,
                weight=_WEIGHTS.get(one.value, Weight.THERE),
                tracked=self._tracked(f"finding {number}"),
                rests_on=(Kind.SR,),
                certainty=shown_probability(one),
                finding=one.finding,
                image=one.images[0] if len(one.images) == 1 else None,
                row=(
                    self._wording.name(thing),
                    self._wording.value(one.value),
                    # beside Absent a number would be read as that of absence: it stands in the sentence alone
                    self._wording.details(replace(thing, probability=shown_probability(one)), None),
                ),
            )

    def _locations(self, *, points: bool) -> Iterator[Sentence]:
        """`points`: those of segments, or all others."""
        for number, one in enumerate(self._findings.locations, 1):
            if points is (one.point is None):
                continue
            thing, image = replace(self._thing(one.finding, one), number=number), self._images[one.image]
            measurements = measurements_of(self._encoding, one)
            which = [] if one.point is None else [self._wording.point(one.point.method)]
            measured = [*which, *self._measured(measurements), *(self._wording.quality(each) for each in one.qualities)]
            said = self._wording.location(thing, image, measured)
            yield Sentence(
                section=Section.FINDINGS,
                text=said,
                # a conclusion says what a segment is, and not where each of its points lies
                brief="" if points else said,
                row=(self._wording.name(thing), "\n".join(measured), self._wording.details(thing, image)),
                tracked=self._tracked(one.label, labelled=True),
                rests_on=(Kind.DETECTIONS,),
                measurements=measurements,
                qualities=one.qualities,
                certainty=one.certainty,
                finding=one.finding,
                image=one.image,
            )

    def _outlined(self, one: Segment, thing: Thing, measured: Sequence[str]) -> str:
        on = int(one.inside[1].any(axis=(1, 2)).sum())
        return self._wording.segment(thing, on, len(self._sources.slices), measured)

    def _segments(self, *, outlined: bool) -> Iterator[Sentence]:
        """`outlined`: with the number of images that each is outlined on, for which every mask has to be looked through."""
        for one in self._found:
            measurements, thing = measurements_of(self._encoding, one), self._thing(one.type, one)
            measured, image = self._measured(measurements), None if one.image is None else self._images[one.image]
            brief = self._wording.brief(thing, measured) if image is None else self._wording.location(thing, image, measured)
            yield Sentence(
                section=Section.FINDINGS,
                text=self._outlined(one, thing, measured) if outlined and image is None else brief,
                brief=brief,
                row=(self._wording.name(thing), "\n".join(measured), self._wording.details(thing, image)),
                image=one.image,
                tracked=self._tracked(one.label, labelled=True),
                rests_on=(Kind.SEG, Kind.SR),
                measurements=measurements,
                certainty=one.certainty,
                finding=one.type,
                weight=Weight.THERE if one.phase is None else Weight.IN_A_PHASE,
            )

    def _nothing(self) -> Iterator[Sentence]:
        for one in self._absent:
            thing, measured, total = self._sought(one), self._measured(one.measurements), len(self._sources.slices)
            if one.answer is None:  # another like it was found, or may be there: it has no outline, and that is all
                said, word = self._wording.segment(thing, 0, total, measured), "\n".join(measured)
            elif one.answer == ABSENT:
                said, word = self._wording.absent(thing, measured), self._wording.labels["none"]
            else:
                said, word = self._wording.undetermined(thing, measured), self._wording.value(one.answer)
            yield Sentence(
                section=Section.FINDINGS,
                text=said,
                brief=said if one.answer else "",
                row=(self._wording.name(thing), word, self._wording.details(thing, None)),
                tracked=self._tracked(one.tracked_by, labelled=one.is_segment),
                rests_on=(Kind.SR,),
                measurements=one.measurements,
                finding=one.finding,
                weight=Weight.THERE if one.answer is None else _WEIGHTS[one.answer],
            )

    def _whole(self) -> Iterator[Sentence]:
        for (total, span, indices), measurements in of_the_series(self._findings.measurements).items():
            measured = self._measured(measurements)
            about = self._wording.total(total) if total else self._about(indices)
            said = self._wording.whole(about, measured)
            yield Sentence(
                section=Section.FINDINGS,
                text=said,
                brief=said,
                row=(about, "\n".join(measured), ""),
                tracked=self._tracked(series_tracked_by(total, span, indices)),
                rests_on=(Kind.SR,),
                measurements=tuple(measurements),
                finding=total,
                image=indices[0] if len(indices) == 1 else None,
            )

    def _about(self, indices: Sequence[int]) -> str:
        """Some images, each by its name; those of whole phases by the phases."""
        if phases := self._phases(indices):
            return self._wording.phases(phases)
        return self._wording.about([self._images[index] for index in indices])

    def _phases(self, indices: Sequence[int]) -> list[int]:
        """The phases, from 1, whose images these are, all of each; none where they are no whole phases."""
        subject = self._encoding.subject
        if not isinstance(subject, Phases):
            return []
        slices = len(subject.reference.voxels)
        phases = sorted({index // slices for index in indices})
        return [phase + 1 for phase in phases] if len(set(indices)) == len(phases) * slices else []

    def _made(self) -> Iterator[Sentence]:
        findings, say = self._findings, self._wording
        if findings.registration is not None:
            cosine = (float(np.trace(findings.registration.matrix[:3, :3])) - 1) / 2
            degrees = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
            registered = say.registered(degrees, self._prior_date())
            yield Sentence(section=Section.FINDINGS, text=registered, brief=registered, rests_on=(Kind.REGISTRATION,))
        if findings.deformation is not None:
            bent = say.bent(float(np.linalg.norm(findings.deformation.offsets, axis=-1).max()), self._prior_date())
            yield Sentence(section=Section.FINDINGS, text=bent, brief=bent, rests_on=(Kind.DEFORMABLE_REGISTRATION,))
        for derived in findings.derived:
            said = say.derived(derived.derivation, derived.of_prior)
            yield Sentence(
                section=Section.FINDINGS,
                text=said,
                brief=said,
                rests_on=(Kind.DERIVED,),
                named=derived.label,
                finding=derived.derivation,
            )
        for saliency in findings.saliencies:
            said = say.saliency(saliency.quantity, saliency.label)
            yield Sentence(
                section=Section.FINDINGS,
                text=said,
                brief=said,
                rests_on=(Kind.MAP,),
                named=saliency.label,
                finding=saliency.quantity,
            )

    def _told_better(self, one: Evaluation) -> bool:
        """Whether a conclusion need not repeat it: its locations say where it is present, and what is there on one side is not absent."""
        if one.value == PRESENT:
            return any(each.finding == one.finding and each.point is None for each in self._findings.locations)
        _, place = told_of(self._findings, one.finding, (one.finding_site, one.laterality))
        return one.value == ABSENT and is_among(one.finding, place, self._seen)

    def _about_disease(self) -> bool:
        """Whether anything was looked for that is not anatomy."""
        abnormal = any(one.category == MORPHOLOGICALLY_ABNORMAL_STRUCTURE for one in self._findings.segments)
        detected = any(one.point is None for one in self._findings.locations)
        return abnormal or detected or bool(self._findings.evaluations or any(one.answer for one in self._absent))

    def _counted(self) -> list[str]:
        """How often what was found more than once."""
        counted = [one.type for one in self._found if one.category == MORPHOLOGICALLY_ABNORMAL_STRUCTURE]
        counted += [one.finding for one in self._findings.locations if one.point is None]
        counts = [Count(what=code, number=number) for code, number in Counter(counted).items() if number > 1]
        return [self._wording.found(counts)] if counts else []

    def _thing(self, what: Code, one: Segment | Location | Evaluation) -> Thing:
        # a lung in the lung is a lung
        site = None if one.finding_site == what else one.finding_site
        # locations go by their number on the pictures, what lies on a single image by the image
        label = ""
        if isinstance(one, Segment) and one.image is None and self._alike[_key(what, one.laterality, one.finding_site)] > 1:
            label = one.label
        return Thing(
            what=what,
            laterality=one.laterality,
            site=site,
            label=label,
            abnormal=not isinstance(one, Segment) or one.category == MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
            certainty=None if isinstance(one, Evaluation) else one.certainty,
            probability=one.probability if isinstance(one, Evaluation) else None,
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
        # of images that end before what was to be searched, nobody has searched all of it
        site = None if one.site == one.finding or self._findings.cut else one.site
        alike = sum(other.finding == one.finding for other in self._absent) > 1 or one.answer is None
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

    def _compares(self) -> bool:
        """Whether the prior, where there is one, was compared: whoever can do without one, and would say how it lies, could not lay it."""
        outputs = self._encoding.application.outputs
        if not self._encoding.application.accepts.without_prior or not any(isinstance(one, RegistrationOutput) for one in outputs):
            return True
        return self._encoding.findings.registration is not None

    def _prior_date(self) -> str | None:
        """The day on which the prior was acquired, as applications reckon with; "" where it is not known; None where there is no prior."""
        if (prior := prior_in(self._encoding.subject)) is None:
            return None
        return "" if prior.acquired_on is None else prior.acquired_on.isoformat()


def _key(what: Code, laterality: Code | None, site: Code | None) -> tuple[str, str, str, str]:
    return what.value, what.scheme, laterality.value if laterality else "", site.value if site else ""
