"""Items of sequences that objects of every kind have: coded concepts, and references to instances, series and studies."""

from collections.abc import Iterable, Sequence

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from inference.codes import Code
from node.results.sources import Sources, SourceSeries


def item(code: Code) -> CodedConcept:
    """An item of a code sequence (PS3.3 8.8)."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def instance(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """An item that refers to a whole instance (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def instances(of: Iterable[tuple[str, str]]) -> list[Dataset]:
    """An item for each (SOP Class UID, SOP Instance UID)."""
    return [instance(sop_class_uid, uid) for sop_class_uid, uid in of]


def common_references(made: Dataset, sources: Sources, series: Sequence[SourceSeries]) -> None:
    """Write the Common Instance Reference module: series of the object's own study apart from those of others."""
    own = str(sources.entities.StudyInstanceUID)
    here = [_series(one) for one in series if one.study_instance_uid == own]
    if here:
        made.ReferencedSeriesSequence = here
    elsewhere = []
    for study in dict.fromkeys(one.study_instance_uid for one in series if one.study_instance_uid != own):
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = [_series(one) for one in series if one.study_instance_uid == study]
        elsewhere.append(item)
    if elsewhere:
        made.StudiesContainingOtherReferencedInstancesSequence = elsewhere


def evidence(series: Sequence[SourceSeries]) -> list[Dataset]:
    """The instances by study and series, as evidence sequences list them (Hierarchical SOP Instance Reference, PS3.3 C.17.2.1)."""
    studies = []
    for study in dict.fromkeys(one.study_instance_uid for one in series):
        item = Dataset()
        item.StudyInstanceUID, item.ReferencedSeriesSequence = study, []
        for one in series:
            if one.study_instance_uid == study:
                of_series = Dataset()
                of_series.SeriesInstanceUID, of_series.ReferencedSOPSequence = one.series_instance_uid, instances(one.instances)
                item.ReferencedSeriesSequence.append(of_series)
        studies.append(item)
    return studies


def _series(one: SourceSeries) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = one.series_instance_uid
    item.ReferencedInstanceSequence = instances(one.instances)
    return item
