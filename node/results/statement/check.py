"""Reads a statement back: it says that there is no result, what that means, with the status that was decided, and measures nothing."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from node.domain.notes import Statement
from node.domain.profile import Language
from node.results.port import ReferencesDiffer, ResultMalformed, ValuesDiffer
from node.results.sources import SourceSeries
from node.results.statement.wording import meaning

_MARKS = ("No result", "无结果")
_SUMMARY, _CONCLUSION, _LANGUAGE = ("111065", "DCM"), ("121077", "DCM"), ("121049", "DCM")


def check(dataset: Dataset, statement: Statement, language: Language, looked_at: Sequence[SourceSeries]) -> None:
    """Compare a statement with what there was to say.

    Raises
    ------
    ResultMalformed, ValuesDiffer, ReferencesDiffer
        What differs.
    """
    flags = (dataset.CompletionFlag, dataset.VerificationFlag, dataset.PreliminaryFlag)
    if flags != ("COMPLETE", "UNVERIFIED", "PRELIMINARY"):
        raise ResultMalformed(f"the statement is marked {flags}")
    items = list(dataset.ContentSequence)
    others = {item.ValueType for item in items} - {"CODE", "TEXT", "UIDREF"}
    if others:
        raise ResultMalformed(f"the statement holds {', '.join(sorted(others))}")
    statuses = [_coded(item.ConceptCodeSequence[0]) for item in items if _name(item) == _SUMMARY]
    if statuses != [(statement.status.value, "DCM")]:
        raise ValuesDiffer(f"the statement's status is {statuses}, not {statement.status.value}")
    said = [str(item.TextValue) for item in items if _name(item) == _CONCLUSION]
    if len(said) != 1 or not said[0].endswith(meaning(language)):
        raise ResultMalformed("the statement does not say what it means that there is no result")
    languages = [_coded(item.ConceptCodeSequence[0])[0] for item in items if _name(item) == _LANGUAGE]
    if languages != [language.value]:
        raise ResultMalformed(f"the statement says that its language is {languages}, not {language}")
    if not dataset.SeriesDescription.startswith(_MARKS):
        raise ResultMalformed(f"the statement is called {dataset.SeriesDescription}")
    texts = [str(item.TextValue) for item in items if item.ValueType == "TEXT"]
    lost = [one for one in statement.series if one.code and not any(one.code in text for text in texts)]
    if lost:
        raise ValuesDiffer(f"the statement lacks why series {lost[0].series_instance_uid} gave no result")
    referred = {
        (str(study.StudyInstanceUID), str(series.SeriesInstanceUID), str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    meant = {(one.study_instance_uid, one.series_instance_uid, *instance) for one in looked_at for instance in one.instances}
    if referred != meant:
        raise ReferencesDiffer(f"the statement refers to {len(referred)} instances, {len(meant)} were looked at")


def _name(item: Dataset) -> tuple[str, str]:
    return _coded(item.ConceptNameCodeSequence[0])


def _coded(code: Dataset) -> tuple[str, str]:
    return str(code.CodeValue), str(code.CodingSchemeDesignator)
