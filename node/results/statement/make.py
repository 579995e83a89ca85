"""Statements as Enhanced SR (PS3.3 A.35.2), one a language: a sentence, (111065, DCM, "Summary of Analyses") with its value of CID 6042,
and why each series gave no result. It refers to what was looked at; there are no findings in it, and nothing to measure."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from highdicom import sr
from pydicom.dataset import Dataset

from inference.applications.port import Application
from inference.codes import Code
from inference.findings import Caution, Findings
from inference.translatable import say
from node.domain.notes import Status
from node.domain.profile import Kind, Language, Profile
from node.results.check import check_alone
from node.results.identity import encoded, identify, stamp
from node.results.narrative.nouns_chinese import NOUNS
from node.results.normalise import text
from node.results.port import Encoded, Encoding
from node.results.reports.context import enhanced_sr, observer, procedure_reported
from node.results.sources import Sources, evidence, item, without_planes
from node.results.statement.check import check
from node.results.statement.port import Stated
from node.results.statement.wording import MARK, TAGS, named, of_mixed, of_series, sentence

TITLE = Code("18748-4", "LN", "Diagnostic Imaging Report")
SUMMARY = Code("111065", "DCM", "Summary of Analyses")
CONCLUSION = Code("121077", "DCM", "Conclusion")
COMMENT = Code("121106", "DCM", "Comment")
STATUSES = {
    Status.NOT_ATTEMPTED: Code(Status.NOT_ATTEMPTED, "DCM", "Not Attempted"),
    Status.FAILED: Code(Status.FAILED, "DCM", "Failed"),
}
_NOUN = "note"
_CONTAINS = sr.RelationshipTypeValues.CONTAINS


def encode_statement(stated: Stated) -> list[Encoded]:
    """A statement in every language that a profile asks for which wants statements; equal input gives equal bytes.

    Raises
    ------
    SourcesNameless
        There is no header to take patient and study from, or no study or series to place it in.
    ResultError
        An object did not pass its check.
    """
    encoding = replace(stated.encoding, findings=Findings(cautions=(Caution(sentence=say(""), mark=MARK),)))
    sources = without_planes(encoding, stated.looked_at)
    languages = [one for one in Language if any(one in profile.languages for profile in _wanting(encoding.profiles))]
    with warnings.catch_warnings():
        # of the senders' ways of writing names, which are kept on purpose
        warnings.simplefilter("ignore", UserWarning)
        made = [_made(encoding, sources, stated, language) for language in languages]
    for one, language in zip(made, languages, strict=True):
        check_alone(one, encoding, sources, partial(check, statement=stated.statement, language=language, looked_at=stated.looked_at))
    return made


def _wanting(profiles: Sequence[Profile]) -> list[Profile]:
    return [one for one in profiles if Kind.STATEMENT in one.kinds]


def _made(encoding: Encoding, sources: Sources, stated: Stated, language: Language) -> Encoded:
    # each is a series of its own: its description leads in its language
    encoding = replace(encoding, profiles=[replace(one, languages=(language,)) for one in encoding.profiles])
    identity = identify(encoding, sources, Kind.STATEMENT, _NOUN)
    made = enhanced_sr([sources.base], identity, _root(encoding, stated, language))
    made.CurrentRequestedProcedureEvidenceSequence = evidence(sources.series)
    if "PertinentOtherEvidenceSequence" in made:
        del made.PertinentOtherEvidenceSequence
    stamp(made, encoding, sources, identity)
    return encoded(Kind.STATEMENT, made, identity, language.value)


def _about(application: Application, language: Language) -> str:
    noun = NOUNS.get(application.name) if language is Language.CHINESE else None
    software = f"{application.name} {application.version}"
    return f"{noun}（{software}）" if noun else f"{application.noun or application.title} ({software})"


def _root(encoding: Encoding, stated: Stated, language: Language) -> Dataset:
    said = sentence(stated.statement, _about(encoding.application, language), language, shared=stated.shared)
    names = {one.series_instance_uid: "" for one in stated.statement.series}
    names |= {
        str(one.get("SeriesInstanceUID", "")): text(one, "SeriesNumber") or text(one, "SeriesDescription") for one in encoding.sources
    }
    own = {one.series_instance_uid for one in stated.looked_at}
    reasons = dict.fromkeys(
        of_series(names[one.series_instance_uid], replace(one, reason=named(one.reason, stated.numbers, names)), language)
        if one.series_instance_uid not in stated.apart
        else of_mixed(names[one.series_instance_uid], one.code, language)
        for one in stated.statement.series
        if one.code and (one.series_instance_uid in own or not stated.shared)
    )
    root: Dataset = sr.ContainerContentItem(name=item(TITLE))
    root.ContentSequence = sr.ContentSequence(
        [
            # viewers write the items in their order: who looked and in which language comes behind what there is to say
            sr.TextContentItem(name=item(CONCLUSION), value=said, relationship_type=_CONTAINS),
            *(sr.TextContentItem(name=item(COMMENT), value=one, relationship_type=_CONTAINS) for one in reasons),
            sr.CodeContentItem(name=item(SUMMARY), value=item(STATUSES[stated.statement.status]), relationship_type=_CONTAINS),
            procedure_reported(encoding),
            *sr.LanguageOfContentItemAndDescendants(item(TAGS[language])),
            *sr.ObservationContext(observer_device_context=observer(encoding)),
        ],
        is_root=False,
    )
    return root
