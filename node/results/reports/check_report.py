"""Reads a structured report back: what all reports share, its references and its evidence; what the groups say is check_report_groups."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from inference.findings import Findings
from inference.imaging.subject import Pair
from node.domain.profile import Kind
from node.results.errors import ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.planes import Sources
from node.results.port import Encoding
from node.results.reports.check_content import TRACKING_IDENTIFIER, TRACKING_UID, coded, image, name, named, walk
from node.results.reports.check_earlier import check_earlier
from node.results.reports.check_report_detections import check_detections
from node.results.reports.check_report_groups import check_segment_groups, check_series_groups

_GROUP, _SEGMENT = ("125007", "DCM"), ("121191", "DCM")
_LANGUAGE, _OBSERVER_TYPE, _DEVICE = ("121049", "DCM"), ("121005", "DCM"), ("121007", "DCM")
_DEVICE_UID, _PROCEDURE = ("121012", "DCM"), ("121058", "DCM")
_LIBRARY, _LIBRARY_GROUP = ("111028", "DCM"), ("126200", "DCM")
_COMMENTS, _CONCLUSION, _COMMENT = ("C0034375", "UMLS"), ("121077", "DCM"), ("121106", "DCM")
_LONGEST_READ = 64
_MOST_CONCLUDED = 4
_WITH_COORDINATES, _WITHOUT = ("126000", "DCM"), ("18748-4", "LN")


def check_report(dataset: Dataset, kind: Kind, encoding: Encoding, sources: Sources, segmentations: Sequence[Dataset]) -> None:
    """Every value, unit, code, coordinate and tracking identifier is what was found; every reference is in the evidence, which is what was
    used.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
        What differs.
    """
    _root(dataset, kind, encoding)
    groups = [item for item in walk(dataset) if name(item) == _GROUP]
    about_segments = [group for group in groups if named(group, _SEGMENT)]
    if not groups or len(about_segments) not in (0, len(groups)):
        raise ResultMalformed(f"{len(about_segments)} of {len(groups)} groups refer to a segment: one template a report")
    if any(len(named(group, each)) != 1 for group in groups for each in (TRACKING_UID, TRACKING_IDENTIFIER)):
        raise ResultMalformed("a measurement group cannot be tracked")
    if kind is Kind.DETECTIONS:
        check_detections(groups, encoding, sources)
    elif about_segments:
        check_segment_groups(groups, encoding, segmentations)
    else:
        check_series_groups(groups, encoding)
    _library(dataset, kind, encoding, sources)
    _comments(dataset, encoding, more=not about_segments)
    _references(dataset, encoding, sources, segmentations if about_segments else ())


def _root(dataset: Dataset, kind: Kind, encoding: Encoding) -> None:
    """Flags, template, title, and the context that IHE AIR asks for: language, observing device, procedure."""
    flags = (dataset.CompletionFlag, dataset.VerificationFlag, dataset.PreliminaryFlag)
    if flags != ("COMPLETE", "UNVERIFIED", "PRELIMINARY") or dataset.ContentTemplateSequence[0].TemplateIdentifier != "1500":
        raise ResultMalformed(f"the report is marked {flags}, or is not on TID 1500")
    title = name(dataset)
    if title != (_WITH_COORDINATES if kind is Kind.DETECTIONS else _WITHOUT):
        raise ResultMalformed(f"the report's title is {title[0]}: 126000 is for coordinates, and for nothing else")
    missing = [each[0] for each in (_LANGUAGE, _OBSERVER_TYPE, _DEVICE_UID, _PROCEDURE) if not named(dataset, each)]
    if missing:
        raise ResultMalformed(f"the report lacks {', '.join(missing)}")
    (observer,), (device,) = named(dataset, _OBSERVER_TYPE), named(dataset, _DEVICE_UID)
    if coded(observer.ConceptCodeSequence[0]) != _DEVICE or encoding.device_uid != device.UID:
        raise ValuesDiffer("the observer of the report is not the device that analysed")


def _library(dataset: Dataset, kind: Kind, encoding: Encoding, sources: Sources) -> None:
    """Every image that was used is listed once in the group of its series; frames, where others of the instance were not used.

    Not of long series in a report that is read as a text: there its evidence alone lists them.
    """
    (library,) = named(dataset, _LIBRARY)
    listed = [[image(item) for item in group.ContentSequence if item.ValueType == "IMAGE"] for group in named(library, _LIBRARY_GROUP)]
    subject = encoding.subject
    used = list(subject.sources) + (list(subject.prior.sources) if isinstance(subject, Pair) else [])
    meant = []
    for series in sources.series:
        images = []
        for sop_class_uid, uid in series.instances:
            frames = tuple(sorted(source.frame for source in used if source.sop_instance_uid == uid and source.frame is not None))
            whole = len(frames) == int(sources.headers[uid].get("NumberOfFrames") or 1)
            images.append((sop_class_uid, uid, () if whole else frames))
        meant.append(images if kind is Kind.DETECTIONS or len(images) <= _LONGEST_READ else [])
    if listed != meant:
        raise ReferencesDiffer(f"the image library lists {[len(one) for one in listed]} images, used were {[len(one) for one in meant]}")


def _comments(dataset: Dataset, encoding: Encoding, *, more: bool) -> None:
    """First of all a conclusion, which begins with the cautions and names who says so; then the part of the series and the remarks of the
    quality gate, word by word; `more` sentences in a report that is not about segments."""
    concluded = [str(text.TextValue) for text in named(dataset.ContentSequence[0], _CONCLUSION)]
    application = f"{encoding.application.name} {encoding.application.version}"
    if len(concluded) != 1 or application not in concluded[0] or len(named(dataset, _COMMENTS)) != 1:
        raise ResultMalformed("the report does not begin with a conclusion that says whose it is")
    cautions = " ".join(one.sentence.strip() for one in encoding.findings.cautions)
    if not concluded[0].startswith(cautions):
        raise ValuesDiffer(f"the report does not begin with {cautions!r}")
    check_earlier([concluded[0].removeprefix(cautions)], encoding.findings, every=_says_all(encoding.findings))
    said = [str(text.TextValue) for container in named(dataset, _COMMENTS) for text in named(container, _COMMENT)]
    meant = [remark.strip() for remark in encoding.findings.remarks if remark.strip()]
    part, rest = (said[:1], said[1:]) if encoding.part else ([], said)
    if encoding.part and not (part and encoding.part in part[0]):
        raise ValuesDiffer(f"the report does not say that it is about {encoding.part}")
    if rest[: len(meant)] != meant or (len(rest) > len(meant) and not more):
        raise ValuesDiffer(f"the report remarks {rest}, the remarks were {meant}")


def _says_all(findings: Findings) -> bool:
    """Whether a conclusion has room for all that was found."""
    groups = {(one.total, one.span) for one in findings.measurements if one.segment is None and one.location is None}
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
