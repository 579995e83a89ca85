"""Reads a narrative report back: every finding has its sentence, every sentence its evidence, every number is the measured one."""

import re
from collections.abc import Collection, Iterator, Sequence

from pydicom.dataset import Dataset

from inference.applications.look_alikes import look_alike_of
from inference.findings import Findings
from node.domain.profile import Form, Kind
from node.results.kind import Checking
from node.results.narrative.terms_chinese import in_chinese
from node.results.port import ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.reports.check import check_earlier
from node.results.selection import readers_of
from node.results.sources import Sources

_TRACKING_UID, _CERTAINTY, _LANGUAGE = ("112040", "DCM"), ("111012", "DCM"), ("121049", "DCM")
_HEADINGS = [("19005-8", "LN"), ("59776-5", "LN"), ("55111-9", "LN")]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_REFERRING = ("IMAGE", "COMPOSITE")
_UPPER, _LOWER = ("371886008", "SCT"), ("371885007", "SCT")
"""How far above and below a number its interval ends."""
_BEFORE_CAUTION = 11
"""Signs that may stand before the first caution: that it is important, and in which language it came."""


def _as_said(text: str, language: str) -> str:
    """A remark or a caution as it stands in a narrative of a language: what nobody has translated, in the words in which it came."""
    return (in_chinese(text) if language == "zh" else None) or text.strip()


def check(checking: Checking) -> None:
    """Compare a narrative with the findings and with the objects that hold them.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
        What differs.
    """
    dataset, encoding, sources = checking.dataset, checking.encoding, checking.sources
    form, others = checking.one.form, [other.dataset for other in checking.others]
    flags = (dataset.CompletionFlag, dataset.VerificationFlag, dataset.PreliminaryFlag)
    if flags != ("COMPLETE", "UNVERIFIED", "PRELIMINARY"):
        raise ResultMalformed(f"the narrative is marked {flags}")
    languages = [item.ConceptCodeSequence[0].CodeValue for item in _named(dataset, _LANGUAGE)]
    if languages != [form.partition("+")[0]]:
        raise ResultMalformed(f"the narrative says that its language is {languages}, not {form}")
    sections = [item for item in dataset.ContentSequence if item.ValueType == "CONTAINER"]
    if [_name(section) for section in sections] != _HEADINGS:
        raise ResultMalformed(f"the narrative has the sections {[_name(section)[0] for section in sections]}")
    said = [item for section in sections for item in section.get("ContentSequence") or ()]
    _complete(said, encoding.findings, {uid for one in others for uid in _tracking_uids(one)}, languages[0])
    for sentence in said:
        _numbers(sentence)
    readers = readers_of(encoding.profiles, Kind.NARRATIVE, form)
    lacked = {
        other.one.sop_instance_uid
        for other in checking.others
        if not all(each.gets(other.one.kind, other.one.form) for each in readers)
        or other.one.form not in ("", form.partition("+")[2] or Form.BINARY)
    }
    _references(dataset, said, sources, others, lacked)
    _look_alikes(said, encoding.findings, [one for one in others if str(one.SOPInstanceUID) not in lacked], languages[0])


def _complete(said: Sequence[Dataset], findings: Findings, held: set[str], language: str) -> None:
    """No finding without a sentence: each that the other objects hold is tracked once, with all its numbers; every remark stands there."""
    tracked = [item for item in said if _named(item, _TRACKING_UID)]
    uids = [str(_named(item, _TRACKING_UID)[0].UID) for item in tracked]
    if len(set(uids)) != len(uids) or set(uids) != held:
        raise ValuesDiffer(f"the narrative tracks {len(set(uids))} findings in {len(uids)} sentences, the other results hold {len(held)}")
    exact = sorted(_value(item) for sentence in said for item in _nums(sentence) if _name(item) != _CERTAINTY)
    meant = [float(one.value) for one in findings.measurements]
    for value in meant:
        near = next((one for one in exact if abs(one - value) <= 1e-9 * max(abs(value), 1.0)), None)
        if near is None:
            raise ValuesDiffer(f"the narrative lacks the measurement {value}")
        exact.remove(near)
    answers = sorted(_answer(item) for sentence in said for item in _below(sentence) if item.ValueType == "CODE")
    asked = sorted(
        ((one.name.value, one.name.scheme), (one.value.value, one.value.scheme)) for each in findings.locations for one in each.qualities
    )
    if answers != asked:
        raise ValuesDiffer(f"the narrative answers {answers}, found was {asked}")
    texts = [str(item.TextValue) for item in said]
    check_earlier([str(item.TextValue) for item in tracked], findings, every=True)
    cautions = [_as_said(one.sentence, language) for one in findings.cautions]
    if not texts or any(one not in texts[0] for one in cautions) or (cautions and not 0 <= texts[0].find(cautions[0]) <= _BEFORE_CAUTION):
        raise ValuesDiffer(f"the narrative does not begin with {cautions}")
    lost = [remark for remark in findings.remarks if not any(_as_said(remark, language) in text for text in texts)]
    if lost:
        raise ValuesDiffer(f"the narrative lacks the remark {lost[0]!r}")


def _numbers(sentence: Dataset) -> None:
    """Each measured value stands in the sentence, rounded to the digits that are shown."""
    shown = [match.group() for match in _NUMBER.finditer(str(sentence.TextValue))]
    for item in _nums(sentence):
        value = _value(item)
        if _name(item) == _CERTAINTY:
            # 0.2 % is written as <1 %, 99.9 % as >99 %
            value = min(max(value, 1.0), 99.0) if 0 < value < 100 else value
        if not any(abs(float(text) - value) <= _half_a_digit(text) * 1.0001 for text in shown):
            raise ValuesDiffer(f"the narrative says {str(sentence.TextValue)!r} of a value of {value}")
        for end, outward in _ends(item):
            # as it is shown, by less than a digit, and never inward
            slack = 1e-9 * max(abs(end), abs(value))
            if not any(-slack <= outward * (float(text) - end) <= 2 * _half_a_digit(text) for text in shown):
                raise ValuesDiffer(f"the narrative says {str(sentence.TextValue)!r} of an interval that ends at {end}")


def _ends(item: Dataset) -> Iterator[tuple[float, int]]:
    """The two ends of a number's interval, each with its direction."""
    for code, sign in ((_UPPER, 1), (_LOWER, -1)):
        for far in _named(item, code):
            yield _value(item) + sign * _value(far), sign


def _half_a_digit(text: str) -> float:
    """Half of the last digit that is shown, of more than three the third: thousands are rounded too."""
    digits, _, power = text.partition("e")
    whole, _, decimals = digits.lstrip("-").partition(".")
    return float(0.5 * 10.0 ** (int(power or 0) - len(decimals) + (max(len(whole) - 3, 0) if not decimals else 0)))


def _references(dataset: Dataset, said: Sequence[Dataset], sources: Sources, others: Sequence[Dataset], lacked: Collection[str]) -> None:
    """Every sentence about a finding refers to an object of this job that holds it; all that is referred to is evidence, and known. Nothing
    refers to what a reader lacks: where all that holds a finding is so, its sentence rests on nothing."""
    held = {str(one.SOPInstanceUID): set(_tracking_uids(one)) for one in others}
    series = {str(one.SOPInstanceUID): str(one.SeriesInstanceUID) for one in others}
    evidence = {
        (str(of_series.SeriesInstanceUID), str(item.ReferencedSOPInstanceUID))
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in dataset.get(keyword) or ()
        for of_series in study.ReferencedSeriesSequence
        for item in of_series.ReferencedSOPSequence
    }
    for sentence in said:
        referred = [
            str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in _below(sentence) if item.ValueType in _REFERRING
        ]
        for item in _named(sentence, _TRACKING_UID):
            at_hand = any(item.UID in of_one for uid, of_one in held.items() if uid not in lacked)
            if at_hand and not any(item.UID in held.get(uid, ()) for uid in referred):
                raise ReferencesDiffer(f"no object that the narrative refers to holds the finding tracked as {item.UID}")
        for uid in referred:
            if uid in lacked:
                raise ReferencesDiffer(f"the narrative refers to {uid}, which a sink that gets the narrative does not get")
            if uid not in held or (series[uid], uid) not in evidence:
                raise ReferencesDiffer(f"the narrative refers to {uid}, which is no result of this job, or not in its evidence")
    known = {(one.series_instance_uid, uid) for one in sources.series for _, uid in one.instances}
    known |= {(series_uid, uid) for uid, series_uid in series.items()}
    if not evidence <= known:
        raise ReferencesDiffer(f"the narrative's evidence holds {len(evidence - known)} instances that nobody knows")


def _look_alikes(said: Sequence[Dataset], findings: Findings, others: Sequence[Dataset], language: str) -> None:
    """What else looks like a finding is said of objects that hold such a finding, where any of those that its readers get does."""
    held = {str(one.SOPInstanceUID): set(_finding_codes(one)) for one in others}
    for remark in findings.remarks:
        row = look_alike_of(remark)
        if row is None:
            continue
        finding, text = (row.finding.value, row.finding.scheme), _as_said(remark, language)
        for sentence in (one for one in said if text in str(one.TextValue)):
            referring = [item for item in _below(sentence) if item.ValueType in _REFERRING]
            uids = [str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in referring]
            at_hand = any(finding in of_one for of_one in held.values())
            if (at_hand and not uids) or any(finding not in held[uid] for uid in uids):
                raise ReferencesDiffer(f"the narrative says {text!r} of objects that hold no such finding")


def _finding_codes(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """What an object holds findings of: the types of its segments, and all coded values of a report."""
    for segment in dataset.get("SegmentSequence") or ():
        yield _coded(segment.SegmentedPropertyTypeCodeSequence[0])
    for item in _walk(dataset):
        if item.ValueType == "CODE":
            yield _coded(item.ConceptCodeSequence[0])


def _tracking_uids(dataset: Dataset) -> Iterator[str]:
    for segment in dataset.get("SegmentSequence") or ():
        if "TrackingUID" in segment:
            yield str(segment.TrackingUID)
    for item in _walk(dataset):
        if item.ValueType == "UIDREF" and _name(item) == _TRACKING_UID:
            yield str(item.UID)


def _nums(sentence: Dataset) -> list[Dataset]:
    return [item for item in _below(sentence) if item.ValueType == "NUM"]


def _value(item: Dataset) -> float:
    measured = item.MeasuredValueSequence[0]
    return float(measured.get("FloatingPointValue", measured.NumericValue))


def _answer(item: Dataset) -> tuple[tuple[str, str], tuple[str, str]]:
    return _name(item), _coded(item.ConceptCodeSequence[0])


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in _below(item):
        yield child
        yield from _walk(child)


def _below(item: Dataset) -> Sequence[Dataset]:
    return item.get("ContentSequence") or ()


def _named(item: Dataset, code: tuple[str, str]) -> list[Dataset]:
    return [child for child in _below(item) if _name(child) == code]


def _name(item: Dataset) -> tuple[str, str]:
    """Value and scheme of the code that names an item."""
    names = item.get("ConceptNameCodeSequence")
    return _coded(names[0]) if names else ("", "")


def _coded(code: Dataset) -> tuple[str, str]:
    """Values of more than 16 characters stand in an attribute of their own."""
    return str(code.get("CodeValue") or code.LongCodeValue), str(code.CodingSchemeDesignator)
