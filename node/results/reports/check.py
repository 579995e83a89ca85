"""Reads a structured report back, by hand: what all reports share, references, evidence, content items by the codes of their names.

Nothing of the writing code is used here. What the groups say is checked by the kind.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import Code
from inference.findings import Findings, Measurement
from inference.imaging.subject import all_sources
from node.domain.profile import Language
from node.results.kind import Checking
from node.results.narrative.terms_chinese import in_chinese
from node.results.port import Encoding, ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.sources import Sources

Coded: TypeAlias = tuple[str, str]
"""Code value and coding scheme."""
Number: TypeAlias = tuple[Coded, float, Coded, Coded | None, Coded | None, bool, tuple[float, ...]]
"""Name, value, unit, derivation, method, whether the true value may be more, and how far above and below it its interval ends; () where it
has none."""
Image: TypeAlias = tuple[str, str, tuple[int, ...]]
"""SOP Class UID, SOP Instance UID, frames."""

_CONCEPT_NAME = Tag("ConceptNameCodeSequence")
_CODE_VALUE, _LONG_CODE_VALUE, _CODING_SCHEME = Tag("CodeValue"), Tag("LongCodeValue"), Tag("CodingSchemeDesignator")

RELATIVE = 1e-9
THREE_DIGITS = 0.005
_HALF_A_TENTH = 0.05
"""Lengths in mm are shown to a tenth."""
_HALF_A_PERCENT = 0.5
"""Certainties are shown in whole per cent."""

SEGMENT, SEGMENTATION_FRAME, SOURCE_OF_SEGMENTATION = ("121191", "DCM"), ("121214", "DCM"), ("121233", "DCM")
FINDING, SITE, SIDE = ("121071", "DCM"), ("363698007", "SCT"), ("272741003", "SCT")
TRACKING_UID, TRACKING_IDENTIFIER = ("112040", "DCM"), ("112039", "DCM")
_DERIVATION, _ALGORITHM_FAMILY = ("121401", "DCM"), ("111000", "DCM")
METHOD = ("370129005", "SCT")
_PURPOSE = ("130400", "DCM")
_UPPER, _LOWER = ("371886008", "SCT"), ("371885007", "SCT")
_BOUND, _AT_LEAST = ("BOUND", "99HILUM"), ("AT-LEAST", "99HILUM")
_CERTAINTY, _PERCENT = ("111012", "DCM"), ("%", "UCUM")
_MILLIMETRE = ("mm", "UCUM")
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_DAY = r"\d{4}-\d{2}-\d{2}"
_SAID = re.compile(rf"\((?P<value>{_NUMBER})[^()]* on (?P<day>{_DAY})|（(?P<day_first>{_DAY})：(?P<value_last>{_NUMBER})")
_NEARLY_THREE_DIGITS = 0.00501


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementGroup:
    """What a measurement group says, but for where: `answers` are its qualitative evaluations, `images` those that it rests on."""

    finding: Coded | None
    site: Coded | None
    side: Coded | None
    answers: tuple[tuple[Coded, Coded], ...]
    numbers: tuple[Number, ...]
    images: tuple[Image, ...]


def walk(content: Dataset) -> Iterator[Dataset]:
    """All content items below this one."""
    for child in content.get("ContentSequence") or ():
        yield child
        yield from walk(child)


def named(content: Dataset, code: Coded) -> list[Dataset]:
    """The children of this name. Values alone name nothing: a local scheme may use those of any other."""
    return [child for child in content.get("ContentSequence") or () if name(child) == code]


def name(content: Dataset) -> Coded:
    """The code of a content item's name."""
    return coded(content[_CONCEPT_NAME].value[0])


def coded(item: Dataset) -> Coded:
    """An item of a code sequence; values of more than 16 characters stand in an attribute of their own (PS3.3 8.1)."""
    # by tags: a keyword is looked up each time, and the names of a report's items are asked for often
    short = item[_CODE_VALUE].value if _CODE_VALUE in item else ""
    return str(short or item[_LONG_CODE_VALUE].value), str(item[_CODING_SCHEME].value)


def code(meant: Code | None) -> Coded | None:
    """A code as it is read back."""
    return None if meant is None else (meant.value, meant.scheme)


def measurement_group(group: Dataset) -> MeasurementGroup:
    """Take one measurement group apart."""
    items = group.ContentSequence
    sites = named(group, SITE)
    sides = [side for site in sites for side in named(site, SIDE)]
    if len(sites) > 1 or len(sides) > 1:
        raise ValuesDiffer(f"a group of the report has {len(sites)} sites and {len(sides)} sides")
    findings = named(group, FINDING)
    answers = [
        (name(item), coded(item.ConceptCodeSequence[0]))
        for item in items
        if item.ValueType == "CODE" and name(item) not in (FINDING, SITE, METHOD, _PURPOSE, _ALGORITHM_FAMILY)
    ]
    return MeasurementGroup(
        finding=coded(findings[0].ConceptCodeSequence[0]) if findings else None,
        site=coded(sites[0].ConceptCodeSequence[0]) if sites else None,
        side=coded(sides[0].ConceptCodeSequence[0]) if sides else None,
        answers=tuple(answers),
        numbers=tuple(_number(item) for item in items if item.ValueType == "NUM"),
        images=tuple(image(item) for item in items if item.ValueType == "IMAGE"),
    )


def image(item: Dataset) -> Image:
    """What an IMAGE content item refers to."""
    (reference,) = item.ReferencedSOPSequence
    frames = reference.get("ReferencedFrameNumber")
    listed = () if frames is None else (frames,) if isinstance(frames, int) else tuple(frames)
    return str(reference.ReferencedSOPClassUID), str(reference.ReferencedSOPInstanceUID), tuple(int(frame) for frame in listed)


def number(meant: Measurement) -> Number:
    """A measurement as it is read back."""
    what, unit = (meant.name.value, meant.name.scheme), (meant.unit.value, meant.unit.scheme)
    interval = meant.interval
    ends = () if interval is None else (interval.high - meant.value, meant.value - interval.low)
    return what, float(meant.value), unit, code(meant.derivation), code(meant.method), meant.at_least, ends


def certainty(meant: float | None) -> list[Number]:
    """A certainty as it is read back: percent."""
    return [] if meant is None else [(_CERTAINTY, round(meant * 100, 6), _PERCENT, None, None, False, ())]


def compare(found: Sequence[Number], meant: Sequence[Number], about: str) -> None:
    """Every number is there, with its unit, derivation, method and interval, and no other.

    Raises
    ------
    ValuesDiffer
    """
    pairs = list(zip(sorted(found, key=_order), sorted(meant, key=_order), strict=False))
    same = len(found) == len(meant) and all(
        (one[0], *one[2:6], len(one[6])) == (other[0], *other[2:6], len(other[6]))
        and all(abs(says - of) <= RELATIVE * max(abs(of), 1.0) for says, of in zip((one[1], *one[6]), (other[1], *other[6]), strict=True))
        for one, other in pairs
    )
    if not same:
        raise ValuesDiffer(f"of {about} the report says {list(found)}, found was {list(meant)}")


def _order(one: Number) -> tuple[object, ...]:
    return one[0], one[2], one[3] or (), one[4] or (), one[5], one[1]


def _number(item: Dataset) -> Number:
    exact, shown, unit = _measured(item)
    allowed = _HALF_A_PERCENT if name(item) == _CERTAINTY else _shown_within(exact, unit, THREE_DIGITS)
    if abs(exact - shown) > allowed:
        raise ValuesDiffer(f"the report says {shown} and {exact} of one measurement")
    derivations = [coded(part.ConceptCodeSequence[0]) for part in named(item, _DERIVATION)]
    methods = [coded(part.ConceptCodeSequence[0]) for part in named(item, METHOD)]
    bounds = [coded(part.ConceptCodeSequence[0]) for part in named(item, _BOUND)]
    if bounds not in ([], [_AT_LEAST]):
        raise ValuesDiffer(f"the report says of a measurement that it is {bounds}")
    ends = tuple(_uncertainty(part, item, sign) for each, sign in ((_UPPER, 1), (_LOWER, -1)) for part in named(item, each))
    if len(ends) not in (0, 2):
        raise ValuesDiffer(f"the report says of a measurement {len(ends)} of the two ends of its interval")
    return name(item), exact, unit, derivations[0] if derivations else None, methods[0] if methods else None, bool(bounds), ends


def _uncertainty(item: Dataset, number: Dataset, sign: int) -> float:
    """How far from the value one end of its interval is, above (1) or below (-1)."""
    (exact, read, unit), (size, far, its_unit) = _measured(number), _measured(item)
    if its_unit != unit:
        raise ValuesDiffer(f"the report says the interval of a measurement in {unit} in {its_unit}")
    end, added = exact + sign * size, read + sign * far
    # rounded outward alone: who adds what people read comes to the end or just beyond it, and not below 0 where the end is not
    beyond, slack = sign * (added - end), RELATIVE * max(abs(exact), size)
    most = 2 * _shown_within(far, unit, THREE_DIGITS) if far else _shown_within(exact, unit, THREE_DIGITS)
    if far < 0 or not -slack <= beyond <= most + slack or end >= 0 > added + slack:
        raise ValuesDiffer(f"the report says {read} and {far} of one end of an interval, which is {end}")
    return size


def _measured(item: Dataset) -> tuple[float, float, Coded]:
    """A value exactly, as people read it, and its unit."""
    (measured,) = item.MeasuredValueSequence
    shown = float(measured.NumericValue)
    return float(measured.get("FloatingPointValue", shown)), shown, coded(measured.MeasurementUnitsCodeSequence[0])


def _shown_within(exact: float, unit: Coded, share: float) -> float:
    """By how much what people read may differ from the value."""
    return (1 + RELATIVE) * max(share * abs(exact), _HALF_A_TENTH if unit == _MILLIMETRE and abs(exact) >= 1 else 0.0)


def check_earlier(sentences: Sequence[str], findings: Findings, *, every: bool) -> None:
    """Compare what sentences about findings say of earlier studies with what was found there.

    Parameters
    ----------
    every
        Whether these are all of them; a conclusion may leave some to the rest of the report.

    Raises
    ------
    ValuesDiffer
    """
    meant = [
        (one.earlier.date, one.earlier.value, _shown_within(one.earlier.value, (one.unit.value, one.unit.scheme), _NEARLY_THREE_DIGITS))
        for one in findings.measurements
        if one.earlier is not None
    ]
    said = [pair for sentence in sentences for pair in _pairs(sentence)]
    left = list(meant)
    for day, value in said:
        near = next((one for one in left if one[0] == day and abs(one[1] - value) <= one[2]), None)
        if near is None:
            raise ValuesDiffer(f"a sentence says {value} of {day}, the earlier values are {meant}")
        left.remove(near)
    if left and every:
        raise ValuesDiffer(f"no sentence says the earlier values {left}")


def _pairs(sentence: str) -> Iterator[tuple[str, float]]:
    for found in _SAID.finditer(sentence):
        yield found["day"] or found["day_first"], float(found["value"] or found["value_last"])


_GROUP = ("125007", "DCM")
_LANGUAGE, _OBSERVER_TYPE, _DEVICE = ("121049", "DCM"), ("121005", "DCM"), ("121007", "DCM")
_DEVICE_UID, _PROCEDURE = ("121012", "DCM"), ("121058", "DCM")
_LIBRARY, _LIBRARY_GROUP = ("111028", "DCM"), ("126200", "DCM")
_COMMENTS, _CONCLUSION, _COMMENT = ("C0034375", "UMLS"), ("121077", "DCM"), ("121106", "DCM")
_LONGEST_READ = 64
_MOST_CONCLUDED = 4
_LONGEST_LEAD = 16
"""Characters that may stand before a caution: that it is one."""
_WITH_COORDINATES, _WITHOUT = ("126000", "DCM"), ("18748-4", "LN")


def check_report(checking: Checking, check_groups: Callable[[Sequence[Dataset]], None], *, coordinates: bool) -> None:
    """Every value, unit, code, coordinate and tracking identifier is what was found; every reference is in the evidence, which is what was
    used.

    Parameters
    ----------
    check_groups
        Compares what the measurement groups say.
    coordinates
        Whether it is a report that viewers draw on the images.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
        What differs.
    """
    dataset, encoding, sources = checking.dataset, checking.encoding, checking.sources
    _root(dataset, encoding, coordinates=coordinates)
    groups = [item for item in walk(dataset) if name(item) == _GROUP]
    about_segments = [group for group in groups if named(group, SEGMENT) or named(group, SEGMENTATION_FRAME)]
    if not groups or len(about_segments) not in (0, len(groups)):
        raise ResultMalformed(f"{len(about_segments)} of {len(groups)} groups refer to a segment: one template a report")
    if any(len(named(group, each)) != 1 for group in groups for each in (TRACKING_UID, TRACKING_IDENTIFIER)):
        raise ResultMalformed("a measurement group cannot be tracked")
    check_groups(groups)
    _library(dataset, encoding, sources, whole=coordinates)
    _comments(dataset, encoding, more=not about_segments)
    _references(dataset, encoding, sources, checking.masks() if about_segments else ())


def _root(dataset: Dataset, encoding: Encoding, *, coordinates: bool) -> None:
    """Flags, template, title, and the context that IHE AIR asks for: language, observing device, procedure."""
    flags = (dataset.CompletionFlag, dataset.VerificationFlag, dataset.PreliminaryFlag)
    if flags != ("COMPLETE", "UNVERIFIED", "PRELIMINARY") or dataset.ContentTemplateSequence[0].TemplateIdentifier != "1500":
        raise ResultMalformed(f"the report is marked {flags}, or is not on TID 1500")
    title = name(dataset)
    if title != (_WITH_COORDINATES if coordinates else _WITHOUT):
        raise ResultMalformed(f"the report's title is {title[0]}: 126000 is for coordinates, and for nothing else")
    missing = [each[0] for each in (_LANGUAGE, _OBSERVER_TYPE, _DEVICE_UID, _PROCEDURE) if not named(dataset, each)]
    if missing:
        raise ResultMalformed(f"the report lacks {', '.join(missing)}")
    (observer,), (device,) = named(dataset, _OBSERVER_TYPE), named(dataset, _DEVICE_UID)
    if coded(observer.ConceptCodeSequence[0]) != _DEVICE or encoding.device_uid != device.UID:
        raise ValuesDiffer("the observer of the report is not the device that analysed")


def _library(dataset: Dataset, encoding: Encoding, sources: Sources, *, whole: bool) -> None:
    """Every image that was used is listed once in the group of its series; frames, where others of the instance were not used.

    Not of long series in a report that is read as a text, unless it has to list the `whole` of them: there its evidence alone lists them.
    """
    (library,) = named(dataset, _LIBRARY)
    listed = [[image(item) for item in group.ContentSequence if item.ValueType == "IMAGE"] for group in named(library, _LIBRARY_GROUP)]
    subject = encoding.subject
    used = list(all_sources(subject))
    meant = []
    for series in sources.series:
        images = []
        for sop_class_uid, uid in series.instances:
            frames = tuple(sorted(source.frame for source in used if source.sop_instance_uid == uid and source.frame is not None))
            all_of_it = len(frames) == int(sources.headers[uid].get("NumberOfFrames") or 1)
            images.append((sop_class_uid, uid, () if all_of_it else frames))
        meant.append(images if whole or len(images) <= _LONGEST_READ else [])
    if listed != meant:
        raise ReferencesDiffer(f"the image library lists {[len(one) for one in listed]} images, used were {[len(one) for one in meant]}")


def _comments(dataset: Dataset, encoding: Encoding, *, more: bool) -> None:
    """First of all a conclusion, which begins with the cautions and names who says so; then the part of the series and the remarks of the
    quality gate, word by word; `more` sentences in a report that is not about segments."""
    concluded = [str(text.TextValue) for text in named(dataset.ContentSequence[0], _CONCLUSION)]
    application = f"{encoding.application.name} {encoding.application.version}"
    if len(concluded) != 1 or application not in concluded[0] or len(named(dataset, _COMMENTS)) != 1:
        raise ResultMalformed("the report does not begin with a conclusion that says whose it is")
    rest_of_it = concluded[0]
    for caution in encoding.findings.cautions:
        said_first = _told(caution.sentence, encoding.language)
        before, found, rest_of_it = rest_of_it.partition(said_first)
        if not found or len(before) > _LONGEST_LEAD:
            raise ValuesDiffer(f"the report does not begin with {said_first!r}")
    check_earlier([rest_of_it], encoding.findings, every=_says_all(encoding.findings))
    said = [str(text.TextValue) for container in named(dataset, _COMMENTS) for text in named(container, _COMMENT)]
    meant = [_told(remark, encoding.language) for remark in encoding.findings.remarks if remark.strip()]
    part, rest = (said[:1], said[1:]) if encoding.part else ([], said)
    if encoding.part and not (part and _told(encoding.part, encoding.language) in part[0]):
        raise ValuesDiffer(f"the report does not say that it is about {encoding.part}")
    if rest[: len(meant)] != meant or (len(rest) > len(meant) and not more):
        raise ValuesDiffer(f"the report remarks {rest}, the remarks were {meant}")


def _told(text: str, language: Language) -> str:
    """A sentence that the findings hold, in the language of the report; one that has no translation stands as it is."""
    return ((in_chinese(text) if language is Language.CHINESE else None) or text).strip()


def _says_all(findings: Findings) -> bool:
    """Whether a conclusion has room for all that was found."""
    groups = {(one.total, one.span, one.images) for one in findings.measurements if one.segment is None and one.location is None}
    return sum(map(len, (findings.evaluations, findings.locations, findings.segments, groups))) <= _MOST_CONCLUDED


def _references(dataset: Dataset, encoding: Encoding, sources: Sources, segmentations: Sequence[Dataset]) -> None:
    own = encoding.subject.study_instance_uid
    known = {(one.study_instance_uid, one.series_instance_uid, uid) for one in sources.series for _, uid in one.instances}
    known |= {(own, str(one.SeriesInstanceUID), str(one.SOPInstanceUID)) for one in segmentations}
    current, other = _evidence(dataset, "CurrentRequestedProcedureEvidenceSequence"), _evidence(dataset, "PertinentOtherEvidenceSequence")
    if current != {one for one in known if one[0] == own} or other != {one for one in known if one[0] != own}:
        counted = f"{len(current)} and {len(other)} instances, its sources and segmentation are {len(known)}"
        raise ReferencesDiffer(f"the report's evidence of its own and of other studies holds {counted}")
    instances = {uid for _, _, uid in known}
    for item in walk(dataset):
        if item.ValueType in ("IMAGE", "COMPOSITE"):
            uid = str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            if uid not in instances:
                raise ReferencesDiffer(f"the report refers to {uid}, which is not in its evidence")
    before = {uid for _, _, uid in _evidence(dataset, "PredecessorDocumentsSequence")}
    if before != {one.sop_instance_uid for one in encoding.predecessors}:
        raise ReferencesDiffer(f"the report names {sorted(before)} as what it replaces")


def _evidence(dataset: Dataset, keyword: str) -> set[tuple[str, str, str]]:
    """(study, series, instance) of one of the sequences of references."""
    return {
        (str(study.StudyInstanceUID), str(series.SeriesInstanceUID), str(item.ReferencedSOPInstanceUID))
        for study in dataset.get(keyword) or ()
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
