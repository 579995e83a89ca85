"""Reads a withdrawal back: its title says why, and content and evidence name exactly what is withdrawn, nothing else."""

from pydicom.dataset import Dataset

from node.domain.notes import Rejection, Withdrawal
from node.results.port import ReferencesDiffer, ResultMalformed, ValuesDiffer

_TITLES = {Rejection.WRONG: ("113037", "DCM"), Rejection.REPLACED: ("113001", "DCM")}
_MODIFIERS = {Rejection.WRONG: [], Rejection.REPLACED: [("111220", "DCM")]}
_TITLE_MODIFIER, _DESCRIPTION = ("113011", "DCM"), ("113012", "DCM")
_REFERENCES = ("IMAGE", "COMPOSITE")


def check(dataset: Dataset, withdrawal: Withdrawal, study: str) -> None:
    """Compare a withdrawal with what there is to withdraw.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
        What differs.
    """
    if dataset.Modality != "KO" or dataset.ContentTemplateSequence[0].TemplateIdentifier != "2010":
        raise ResultMalformed("the withdrawal is no Key Object Selection of TID 2010")
    if not dataset.SeriesDescription.startswith(("Withdrawn", "撤回")):
        raise ResultMalformed(f"the withdrawal is called {dataset.SeriesDescription}")
    title = _coded(dataset.ConceptNameCodeSequence[0])
    if title != _TITLES[withdrawal.rejection]:
        raise ValuesDiffer(f"the title of the withdrawal is {title}, not {_TITLES[withdrawal.rejection]}")
    items = list(dataset.ContentSequence)
    modifiers = [_coded(item.ConceptCodeSequence[0]) for item in items if _coded(item.ConceptNameCodeSequence[0]) == _TITLE_MODIFIER]
    if modifiers != _MODIFIERS[withdrawal.rejection]:
        raise ValuesDiffer(f"the title of the withdrawal is modified by {modifiers}, not by {_MODIFIERS[withdrawal.rejection]}")
    if not any(_coded(item.ConceptNameCodeSequence[0]) == _DESCRIPTION and item.TextValue for item in items if item.ValueType == "TEXT"):
        raise ResultMalformed("the withdrawal does not say what it is")
    meant = sorted((one.sop_class_uid, one.sop_instance_uid) for one in withdrawal.objects)
    named = sorted(_instance(item.ReferencedSOPSequence[0]) for item in items if item.ValueType in _REFERENCES)
    if named != meant:
        raise ReferencesDiffer(f"the withdrawal names {len(named)} objects, {len(meant)} are to be withdrawn, or others")
    listed = sorted(
        (str(of_study.StudyInstanceUID), str(series.SeriesInstanceUID), *_instance(one))
        for of_study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in of_study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    )
    if listed != sorted((study, one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid) for one in withdrawal.objects):
        raise ReferencesDiffer("the evidence of the withdrawal lists other objects than it withdraws")


def _instance(item: Dataset) -> tuple[str, str]:
    return str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)


def _coded(code: Dataset) -> tuple[str, str]:
    return str(code.CodeValue), str(code.CodingSchemeDesignator)
