"""What a report rests on and refers to, by study and series, and the reports that it replaces (PS3.3 C.17.2)."""

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from node.results.planes import Sources, SourceSeries
from node.results.port import Encoding, Predecessor
from node.results.written import hold, references, settled


def give_evidence(made: Dataset, encoding: Encoding, sources: Sources, segmentation: Dataset | None) -> None:
    """Write all evidence: what belongs to the study that was asked about, and what another study lends (the prior of a pair)."""
    own = encoding.subject.study_instance_uid
    current = [one for one in sources.series if one.study_instance_uid == own]
    if segmentation is not None:
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
        studies.setdefault(one.study_instance_uid, []).append(settled(listed))
    return [_study(uid, of_study) for uid, of_study in studies.items()]


def _study(uid: str, series: list[Dataset]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = uid
    study.ReferencedSeriesSequence = series
    return settled(study)
