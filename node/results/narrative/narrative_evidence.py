"""Which result object holds which finding: read from the objects that were made, so that a sentence refers to what really exists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from node.domain.profile import Form, Kind
from node.results.narrative.narrative_sentences import Sentence
from node.results.planes import SourceSeries
from node.results.port import Encoded

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
        held = [one for one in self.tracked.get(sentence.tracked[1], ()) if one.kind in sentence.rests_on] if sentence.tracked else []
        for kind in sentence.rests_on:
            candidates = self.others.get(kind, [])
            named = [one for label, one in candidates if sentence.named and label == sentence.named]
            held += named or [one for _, one in candidates]
        return held


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
        if one.kind in (Kind.SEG, Kind.SR, Kind.DETECTIONS) and one.form in ("", masks):
            for uid, segment in _tracking_uids(one):
                found.tracked.setdefault(uid, []).append(_holder(one, segment))
        elif one.kind in (Kind.MAP, Kind.DERIVED, Kind.REGISTRATION):
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
