"""Context of structured documents of every kind: observer, procedure, region, evidence, and the documents that they replace."""

from collections.abc import Iterable, Mapping, Sequence

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import BOTH_SIDES, LEFT, RIGHT, Code
from inference.imaging.volume import SliceSource
from node.results.identity import MANUFACTURER, ResultIdentity
from node.results.normalise import items_of, text
from node.results.part10 import as_explicit, hold, references
from node.results.port import Encoding, Predecessor
from node.results.sources import Sources, SourceSeries, functional_group, item

_REGIONS = (
    *(("ABDOMEN", "818981001", "Abdomen"), ("ABDOMENPELVIS", "818982008", "Abdomen and Pelvis"), ("ANKLE", "70258002", "Ankle joint")),
    *(("BREAST", "76752008", "Breast"), ("CHEST", "816094009", "Chest"), ("CHESTABDOMEN", "416550000", "Chest and Abdomen")),
    *(("CHESTABDPELVIS", "416775004", "Chest, Abdomen and Pelvis"), ("CLAVICLE", "51299004", "Clavicle")),
    *(("CSPINE", "122494005", "Cervical spine"), ("ELBOW", "16953009", "Elbow joint"), ("EXTREMITY", "66019005", "Extremity")),
    *(("EYE", "81745001", "Eye"), ("FEMUR", "71341001", "Femur"), ("FINGER", "7569003", "Finger"), ("FOOT", "56459004", "Foot")),
    *(("FOREARM", "14975008", "Forearm"), ("HAND", "85562004", "Hand"), ("HEAD", "69536005", "Head")),
    *(("HEADNECK", "774007", "Head and Neck"), ("HEART", "80891009", "Heart"), ("HIP", "29836001", "Hip")),
    *(("HUMERUS", "85050009", "Humerus"), ("KNEE", "72696002", "Knee"), ("LSPINE", "122496007", "Lumbar spine")),
    *(("NECK", "45048000", "Neck"), ("NECKCHEST", "417437006", "Neck and Chest"), ("PELVIS", "816092008", "Pelvis")),
    *(("PROSTATE", "41216001", "Prostate"), ("SHOULDER", "16982005", "Shoulder"), ("SKULL", "89546000", "Skull")),
    *(("SPINE", "421060004", "Spine"), ("TSPINE", "122495006", "Thoracic spine"), ("WHOLEBODY", "38266002", "Entire body")),
    ("WRIST", "74670003", "Wrist joint"),
)
_BY_TERM: Mapping[str, Code] = {term: Code(value, "SCT", meaning) for term, value, meaning in _REGIONS}
"""Defined terms of BodyPartExamined (PS3.16 Annex L) with their codes in CID 4031; other terms are not guessed at."""

_SIDES: Mapping[str, Code] = {"L": LEFT, "R": RIGHT, "B": BOTH_SIDES}


def imaged(slices: Iterable[SliceSource], headers: Mapping[str, Dataset]) -> tuple[Code | None, Code | None]:
    """Region and side, where all images agree; None for what they do not tell, or not alike."""
    seen = {(source.sop_instance_uid, source.frame) for source in slices}
    told = {_told(headers[uid], frame) for uid, frame in seen}
    region, side = ({each[which] for each in told} for which in (0, 1))
    return region.pop() if len(region) == 1 else None, side.pop() if len(side) == 1 else None


def _told(header: Dataset, frame: int | None) -> tuple[Code | None, Code | None]:
    anatomy = functional_group(header, frame, "FrameAnatomySequence") or header
    region = next((code for item in items_of(anatomy, "AnatomicRegionSequence") if (code := _code(item)) is not None), None)
    stated = text(header, "BodyPartExamined").upper().replace(" ", "")
    side = text(anatomy, "FrameLaterality") or text(header, "ImageLaterality") or text(header, "Laterality")
    return region or _BY_TERM.get(stated), _SIDES.get(side)


def _code(item: Dataset) -> Code | None:
    value, scheme, meaning = (text(item, keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    return Code(value, scheme, meaning) if value and meaning and scheme == "SCT" else None


def give_evidence(made: Dataset, encoding: Encoding, sources: Sources, segmentations: Sequence[Dataset]) -> None:
    """Write all evidence: what belongs to the study that was asked about, and what another study lends (the prior of a pair)."""
    own = encoding.subject.study_instance_uid
    current = [one for one in sources.series if one.study_instance_uid == own]
    for segmentation in segmentations:
        instance = (str(segmentation.SOPClassUID), str(segmentation.SOPInstanceUID))
        series_uid = str(segmentation.SeriesInstanceUID)
        current.append(SourceSeries(study_instance_uid=own, series_instance_uid=series_uid, instances=(instance,)))
    made.CurrentRequestedProcedureEvidenceSequence = _studies(current)
    others = _studies(one for one in sources.series if one.study_instance_uid != own)
    if others:
        made.PertinentOtherEvidenceSequence = others
    elif "PertinentOtherEvidenceSequence" in made:
        # the library puts there what nothing refers to
        del made.PertinentOtherEvidenceSequence


def name_predecessors(made: Dataset, predecessors: Sequence[Predecessor]) -> None:
    """Say which reports this one replaces; nothing, when there are none."""
    if predecessors:
        made.PredecessorDocumentsSequence = _studies(
            SourceSeries(
                study_instance_uid=one.study_instance_uid,
                series_instance_uid=one.series_instance_uid,
                instances=((one.sop_class_uid, one.sop_instance_uid),),
            )
            for one in predecessors
        )


def _studies(series: Iterable[SourceSeries]) -> list[Dataset]:
    """Hierarchical SOP Instance References (PS3.3 C.17.2.1): an item for each study, in it one for each series."""
    studies: dict[str, list[Dataset]] = {}
    for one in series:
        listed = Dataset()
        listed.SeriesInstanceUID = one.series_instance_uid
        hold(listed, Tag("ReferencedSOPSequence"), references(one.instances))
        studies.setdefault(one.study_instance_uid, []).append(as_explicit(listed))
    return [_study(uid, of_study) for uid, of_study in studies.items()]


def _study(uid: str, series: list[Dataset]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = uid
    study.ReferencedSeriesSequence = series
    return as_explicit(study)


DEVICE = Code("121007", "DCM", "Device")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
    "XA": Code("77343006", "SCT", "Angiography"),
}
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
"""CID 100 "Quantitative Diagnostic Imaging Procedures", by the source's modality; the last for any other."""


def observer(encoding: Encoding) -> sr.ObserverContext:
    """The application as the device that observed (TID 1002 with TID 1004)."""
    application = encoding.application
    return sr.ObserverContext(
        observer_type=item(DEVICE),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=encoding.device_uid,
            name=f"{application.name} {application.version}",
            manufacturer_name=MANUFACTURER,
            model_name=application.name,
            serial_number=encoding.model_digest[:16],
        ),
    )


def procedure(encoding: Encoding) -> Code:
    """What was done to the patient, as far as the source's modality tells it."""
    return PROCEDURES.get(encoding.subject.modality, IMAGING_PROCEDURE)


def procedure_reported(encoding: Encoding) -> Dataset:
    """The same as an item of a document that claims no template."""
    made: Dataset = sr.CodeContentItem(
        name=item(PROCEDURE_REPORTED), value=item(procedure(encoding)), relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD
    )
    return made


def enhanced_sr(seen: Sequence[Dataset], identity: ResultIdentity, root: Dataset) -> Dataset:
    """An Enhanced SR (PS3.3 A.35.2) around `root`; what is evidence is written afterwards.

    Parameters
    ----------
    seen
        The library takes the patient from the first, and wants to see the rest.
    """
    made: Dataset = sr.EnhancedSR(
        evidence=seen,
        content=root,
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        record_evidence=False,
    )
    return made
