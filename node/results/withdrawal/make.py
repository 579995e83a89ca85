"""Withdrawals as Key Object Selection (PS3.3 A.35.4, TID 2010): rejection notes as IHE IOCM has them. An archive that follows that profile
hides what they refer to; one that does not shows one more entry in the study."""

import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial

from highdicom import ko, sr
from pydicom.dataset import Dataset

from inference.codes import Code
from inference.findings import Caution, Findings
from inference.translatable import say
from node.dicom.transfer_syntax import LABEL_MAP_STORAGE
from node.domain.notes import Rejection, Withdrawal
from node.domain.profile import Kind, Language
from node.results.check import check_alone
from node.results.identity import MANUFACTURER, ResultIdentity, encoded, identify, stamp
from node.results.kinds import record_of
from node.results.port import Encoded, Encoding
from node.results.reports.context import observer
from node.results.sources import Sources, SourceSeries, evidence, item, without_planes
from node.results.statement.wording import TAGS
from node.results.withdrawal.check import check

MARK = say("Withdrawn")
"""What the Series Description begins with, so that nobody takes the note for a result."""

_SAYS: Mapping[Language, Mapping[Rejection, str]] = {
    Language.ENGLISH: {
        Rejection.WRONG: (
            "Withdrawn: {what}. These objects were made from images that were wrong, mixed or incomplete. "
            "A later result or note of the same software stands in their place. Do not use them."
        ),
        Rejection.REPLACED: "Withdrawn: {what}. A later result of the same software stands in the place of these objects. Do not use them.",
    },
    Language.CHINESE: {
        Rejection.WRONG: "已撤回:{what}。这些对象基于错误、混杂或不完整的图像,已由同一软件的后续结果或说明取代。请勿使用。",
        Rejection.REPLACED: "已撤回:{what}。这些对象已由同一软件的后续结果取代。请勿使用。",
    },
}


def sentence(rejection: Rejection, what: str, language: Language) -> str:
    """What is withdrawn, why, and what to do."""
    return _SAYS[language][rejection].format(what=what)


TITLES: Mapping[Rejection, Code] = {
    Rejection.WRONG: Code("113037", "DCM", "Rejected for Patient Safety Reasons"),
    Rejection.REPLACED: Code("113001", "DCM", "Rejected for Quality Reasons"),
}
"""PS3.16 CID 7010."""
TITLE_MODIFIER = Code("113011", "DCM", "Document Title Modifier")
REASONS: Mapping[Rejection, Code] = {Rejection.REPLACED: Code("111220", "DCM", "Other failure")}
"""PS3.16 CID 7011, which TID 2010 asks for behind (113001, DCM) alone; none of its reasons means that something better came."""

_NOUN = "note"


def encode_withdrawal(encoding: Encoding, withdrawal: Withdrawal) -> list[Encoded]:
    """One Key Object Selection that names exactly what is withdrawn; equal input gives equal bytes.

    Parameters
    ----------
    encoding
        Of no findings and no images: whose application, when, by what, and a header of the images that the study is of.

    Raises
    ------
    SourcesNameless
        There is no header to take patient and study from, or nothing to withdraw.
    ResultError
        The object did not pass its check.
    """
    encoding = replace(encoding, findings=Findings(cautions=(Caution(sentence=say(""), mark=MARK),)))
    sources = without_planes(encoding, _by_series(withdrawal, encoding.subject.study_instance_uid))
    # one note says it once, in the first language of the archive's profile: two would withdraw the same twice
    language = next((one for profile in encoding.profiles for one in profile.languages), Language.ENGLISH)
    with warnings.catch_warnings():
        # of the senders' ways of writing names, which are kept on purpose
        warnings.simplefilter("ignore", UserWarning)
        made = _made(encoding, sources, withdrawal, language, identify(encoding, sources, Kind.WITHDRAWAL, _NOUN))
    check_alone(made, encoding, sources, partial(check, withdrawal=withdrawal, study=encoding.subject.study_instance_uid))
    return [made]


def _by_series(withdrawal: Withdrawal, study: str) -> list[SourceSeries]:
    """What is withdrawn, as evidence lists it."""
    by_series: dict[str, list[tuple[str, str]]] = {}
    for one in withdrawal.objects:
        by_series.setdefault(one.series_instance_uid, []).append((one.sop_class_uid, one.sop_instance_uid))
    return [
        SourceSeries(study_instance_uid=study, series_instance_uid=uid, instances=tuple(instances)) for uid, instances in by_series.items()
    ]


def _made(encoding: Encoding, sources: Sources, withdrawal: Withdrawal, language: Language, identity: ResultIdentity) -> Encoded:
    referenced = [
        _referenced(sources.base, one.kind, one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid) for one in withdrawal.objects
    ]
    made: Dataset = ko.KeyObjectSelectionDocument(
        evidence=referenced,
        content=_content(encoding, referenced, withdrawal.rejection, language),
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    made.CurrentRequestedProcedureEvidenceSequence = evidence(sources.series)
    stamp(made, encoding, sources, identity)
    return encoded(Kind.WITHDRAWAL, made, identity)


def _referenced(base: Dataset, kind: Kind, series: str, sop_class: str, sop_instance: str) -> Dataset:
    """As much of an object as the library asks of what is referred to: rows and columns tell it that it is an image."""
    one = deepcopy(base)  # elements are shared otherwise, and with them their values
    one.SeriesInstanceUID, one.SOPClassUID, one.SOPInstanceUID = series, sop_class, sop_instance
    # DCMTK 3.6.7 does not read a document in which a label map is an image, a class that it does not know
    if record_of(kind).image and sop_class != LABEL_MAP_STORAGE:
        one.Rows, one.Columns = 1, 1
    return one


def _content(encoding: Encoding, referenced: list[Dataset], rejection: Rejection, language: Language) -> ko.KeyObjectSelection:
    application = encoding.application
    content = ko.KeyObjectSelection(
        document_title=item(TITLES[rejection]),
        referenced_objects=referenced,
        observer_device_context=observer(encoding),
        description=sentence(rejection, f"{application.noun or application.title} ({application.name} {application.version})", language),
    )
    # which the library has no argument for; TID 2010 has them before the observer
    before = list(sr.LanguageOfContentItemAndDescendants(item(TAGS[language])))
    if rejection in REASONS:
        modifier = sr.CodeContentItem(
            name=item(TITLE_MODIFIER), value=item(REASONS[rejection]), relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD
        )
        before.insert(0, modifier)
    content[0].ContentSequence = sr.ContentSequence([*before, *content[0].ContentSequence], is_root=False)
    return content
