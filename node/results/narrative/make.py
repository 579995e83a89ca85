"""Narrative reports as Enhanced SR (PS3.3 A.35.2), one a language: sentences, and under each what it rests on.

The structure is that of TID 2000 "Basic Diagnostic Imaging Report": a title, a language, the observer, sections with headings of CID 7001,
texts with names of CID 7002. The template is not claimed: it is not extensible and knows neither tracking identifiers nor references to
other reports, which every sentence about a finding has here (as properties, and as what it is inferred from).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from highdicom import sr
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import Code
from node.domain.profile import Form, Kind, Language
from node.results.identity import encoded, identify, stamp
from node.results.kind import Holding, Making
from node.results.kinds import record_of
from node.results.narrative.sentences import WORDINGS, Sentence, sentences
from node.results.narrative.wording import Section, Wording
from node.results.port import Encoded, Encoding
from node.results.reports.context import enhanced_sr, name_predecessors, observer, procedure_reported
from node.results.reports.items import numbers
from node.results.selection import readers_of, written_in
from node.results.sources import Sources, SourceSeries, evidence, item

_TRACKING_UID = "112040"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A result object that holds a finding; `segment` is its number in a segmentation."""

    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    segment: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who holds what: by Tracking UID, and by kind with the label of the finding that the object shows."""

    tracked: dict[str, list[Holder]] = field(default_factory=dict)
    others: dict[Kind, list[tuple[str, Holder]]] = field(default_factory=dict)

    def of(self, sentence: Sentence) -> list[Holder]:
        """The objects that a sentence rests on."""
        uids = [*([sentence.tracked[1]] if sentence.tracked else ()), *sentence.also_about]
        held = [one for uid in uids for one in self.tracked.get(uid, ()) if one.kind in sentence.rests_on]
        for kind in sentence.rests_on:
            candidates = self.others.get(kind, [])
            named = [one for label, one in candidates if sentence.named and label == sentence.named]
            held += named or [one for _, one in candidates]
        return list(dict.fromkeys(held))


def evidence_of(made: Sequence[Encoded], masks: Form) -> Evidence:
    """Read which findings the objects hold; nothing of their pixels is looked at.

    Parameters
    ----------
    masks
        The form of the segmentations, and of the reports that refer to these, among which it is looked: those of another form go to other
        sinks.
    """
    found = Evidence()
    for one in made:
        if record_of(one.kind).held is Holding.TRACKED and one.form in ("", masks):
            for uid, segment in _tracking_uids(one):
                found.tracked.setdefault(uid, []).append(_holder(one, segment))
        elif record_of(one.kind).held is Holding.LABELLED:
            found.others.setdefault(one.kind, []).append((one.label, _holder(one)))
    # of a derived series its first image stands for all
    for kind, several in found.others.items():
        found.others[kind] = list({each[1].series_instance_uid: each for each in reversed(several)}.values())[::-1]
    return found


def series_of(holders: Sequence[Holder], study_instance_uid: str) -> list[SourceSeries]:
    """The objects by series, for evidence sequences."""
    instances: dict[str, dict[tuple[str, str], None]] = {}
    for one in holders:
        instances.setdefault(one.series_instance_uid, {})[(one.sop_class_uid, one.sop_instance_uid)] = None
    return [
        SourceSeries(study_instance_uid=study_instance_uid, series_instance_uid=uid, instances=tuple(of_series))
        for uid, of_series in instances.items()
    ]


def _holder(one: Encoded, segment: int | None = None) -> Holder:
    return Holder(
        kind=one.kind,
        sop_class_uid=one.sop_class_uid,
        sop_instance_uid=one.sop_instance_uid,
        series_instance_uid=one.series_instance_uid,
        segment=segment,
    )


def _tracking_uids(one: Encoded) -> list[tuple[str, int | None]]:
    """(Tracking UID, segment number) of every finding in a segmentation or a report, each once."""
    wanted = Tag("SegmentSequence" if one.kind == Kind.SEG else "ContentSequence")
    dataset = dcmread(BytesIO(one.data), stop_before_pixels=True, specific_tags=[wanted])
    if one.kind == Kind.SEG:
        return [(str(segment.TrackingUID), int(segment.SegmentNumber)) for segment in dataset.SegmentSequence if "TrackingUID" in segment]
    return list(dict.fromkeys((uid, None) for uid in _referred(dataset)))


def _referred(item: Dataset) -> Iterator[str]:
    for child in item.get("ContentSequence") or ():
        if child.ValueType == "UIDREF" and child.ConceptNameCodeSequence[0].CodeValue == _TRACKING_UID:
            yield str(child.UID)
        yield from _referred(child)


TITLE = Code("18748-4", "LN", "Diagnostic Imaging Report")
HEADINGS = {
    Section.EXAMINATION: Code("55111-9", "LN", "Current Procedure Descriptions"),
    Section.FINDINGS: Code("59776-5", "LN", "Findings"),
    Section.IMPRESSION: Code("19005-8", "LN", "Impressions"),
}
ELEMENTS = {
    Section.EXAMINATION: Code("121065", "DCM", "Procedure Description"),
    Section.FINDINGS: Code("121071", "DCM", "Finding"),
    Section.IMPRESSION: Code("121073", "DCM", "Impression"),
}
SEGMENT = Code("121191", "DCM", "Referenced Segment")
MEASURED = Code("121112", "DCM", "Source of Measurement")
ILLUSTRATION = Code("121080", "DCM", "Best illustration of finding")

_INFERRED, _PROPERTY, _CONTAINS = (
    sr.RelationshipTypeValues.INFERRED_FROM,
    sr.RelationshipTypeValues.HAS_PROPERTIES,
    sr.RelationshipTypeValues.CONTAINS,
)


def versions(encoding: Encoding, kind: Kind, made: Sequence[Encoded]) -> list[tuple[Language, Form]]:
    """In which languages a sink wants narratives, or PDFs, and the masks that their sentences refer to.

    Binary masks, which are always made; besides, those that the same sink gets, where it wants another form and that was made, and none,
    where it may get none.
    """
    masks = [one for one in made if one.kind == Kind.SEG and one.form != Form.EMPTY]
    there = {one.form for one in masks}
    misread = any(one.one_cine for one in masks)
    wanted = {
        (language, form)
        for profile in encoding.profiles
        if kind in profile.kinds
        for language in profile.languages
        for form in (Form.BINARY, profile.form, Form.NO_MASKS if masks and profile.may_lack_masks(one_cine=misread) else None)
        if form in (Form.BINARY, Form.NO_MASKS) or form in there
    }
    return [(language, form) for language in Language for form in Form if (language, form) in wanted]


def evidences(encoding: Encoding, kind: Kind, made: Sequence[Encoded]) -> dict[tuple[Language, Form], Evidence]:
    """The versions of a narrative, or PDF, each with the objects that it may refer to: those that all its readers get."""
    found = {}
    for language, masks in versions(encoding, kind, made):
        readers = readers_of(encoding.profiles, kind, written_in(language, masks))
        found[language, masks] = evidence_of([one for one in made if all(each.gets(one.kind, one.form) for each in readers)], masks)
    return found


def each_once(written: Iterable[Encoded]) -> list[Encoded]:
    """Without versions that say the very same as one before them, which is the plain one, and goes in their place."""
    unlike: dict[str, Encoded] = {}
    for one in written:
        unlike.setdefault(one.sop_instance_uid, one)
    return list(unlike.values())


def make(making: Making) -> list[Encoded]:
    """A narrative in every language that a sink wants, for every form of the masks that such a sink gets."""
    encoding, sources, made = making.encoding, making.sources, making.made
    return each_once(
        _narrative(encoding, sources, WORDINGS[language], held, written_in(language, masks))
        for (language, masks), held in evidences(encoding, Kind.NARRATIVE, made).items()
    )


def _narrative(encoding: Encoding, sources: Sources, wording: Wording, held: Evidence, form: str) -> Encoded:
    encoding = encoding.replacing(Kind.NARRATIVE, form)
    identity = identify(encoding, sources, Kind.NARRATIVE, f"narrative, {wording.tag.meaning}")
    said = sentences(encoding, sources, wording)
    holders = [holder for sentence in said for holder in held.of(sentence)]
    results = series_of(holders, encoding.subject.study_instance_uid)
    made = enhanced_sr([sources.base, *_stubs(results)], identity, _root(encoding, wording, said, held))
    own = [one for one in sources.series if one.study_instance_uid == encoding.subject.study_instance_uid]
    others = [one for one in sources.series if one.study_instance_uid != encoding.subject.study_instance_uid]
    made.CurrentRequestedProcedureEvidenceSequence = evidence([*own, *results])
    if others:
        made.PertinentOtherEvidenceSequence = evidence(others)
    elif "PertinentOtherEvidenceSequence" in made:
        del made.PertinentOtherEvidenceSequence
    name_predecessors(made, encoding.predecessors)
    stamp(made, encoding, sources, identity)
    return encoded(Kind.NARRATIVE, made, identity, form)


def _stubs(series: Sequence[SourceSeries]) -> Iterator[Dataset]:
    """The objects that the content refers to, as far as the library looks at them."""
    for one in series:
        for sop_class_uid, sop_instance_uid in one.instances:
            stub = Dataset()
            stub.StudyInstanceUID, stub.SeriesInstanceUID = one.study_instance_uid, one.series_instance_uid
            stub.SOPClassUID, stub.SOPInstanceUID = sop_class_uid, sop_instance_uid
            yield stub


def _root(encoding: Encoding, wording: Wording, said: Sequence[Sentence], held: Evidence) -> Dataset:
    root: Dataset = sr.ContainerContentItem(name=item(TITLE))
    root.ContentSequence = sr.ContentSequence(
        [
            procedure_reported(encoding),
            *sr.LanguageOfContentItemAndDescendants(item(wording.tag)),
            *sr.ObservationContext(observer_device_context=observer(encoding)),
            *(_section(section, said, held) for section in Section),
        ],
        is_root=False,
    )
    return root


def _section(section: Section, said: Sequence[Sentence], held: Evidence) -> Dataset:
    container: Dataset = sr.ContainerContentItem(name=item(HEADINGS[section]), relationship_type=_CONTAINS)
    container.ContentSequence = sr.ContentSequence([_text(one, held.of(one)) for one in said if one.section is section])
    return container


def _text(sentence: Sentence, holders: Sequence[Holder]) -> Dataset:
    """A sentence; below it who is tracked, the numbers exactly, and where they stand."""
    made: Dataset = sr.TextContentItem(name=item(ELEMENTS[sentence.section]), value=sentence.text, relationship_type=_CONTAINS)
    below = [*_tracked(sentence), *_answers(sentence), *_numbers(sentence), *(_reference(one) for one in holders)]
    if below:
        made.ContentSequence = sr.ContentSequence(below)
    return made


def _tracked(sentence: Sentence) -> Iterator[Dataset]:
    if sentence.tracked is None:
        return
    identifier, uid = sentence.tracked
    for one in sr.TrackingIdentifier(uid=uid, identifier=identifier):
        one.RelationshipType = _PROPERTY.value
        yield one


def _answers(sentence: Sentence) -> Iterator[Dataset]:
    for one in sentence.qualities:
        yield sr.CodeContentItem(name=item(one.name), value=item(one.value), relationship_type=_PROPERTY)


def _numbers(sentence: Sentence) -> Iterator[Dataset]:
    for group in numbers(sentence.measurements, sentence.certainty):
        for one in group:
            one.RelationshipType = _INFERRED.value
            yield one


def _reference(holder: Holder) -> Dataset:
    """To a segment, a map, an image as an image; to a report or a registration as what it is."""
    if record_of(holder.kind).image:
        segments = [holder.segment] if holder.segment is not None and holder.kind is Kind.SEG else None
        image: Dataset = sr.ImageContentItem(
            name=item(SEGMENT if segments else ILLUSTRATION),
            referenced_sop_class_uid=holder.sop_class_uid,
            referenced_sop_instance_uid=holder.sop_instance_uid,
            referenced_segment_numbers=segments,
            relationship_type=_INFERRED,
        )
        return image
    document: Dataset = sr.CompositeContentItem(
        name=item(MEASURED),
        referenced_sop_class_uid=holder.sop_class_uid,
        referenced_sop_instance_uid=holder.sop_instance_uid,
        relationship_type=_INFERRED,
    )
    return document
