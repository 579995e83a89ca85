"""Sentences of a statement, in English and in Chinese."""

import re
from collections.abc import Mapping

from inference.codes import Code
from inference.translatable import say
from node.domain.notes import NoResult, Statement, Why
from node.domain.profile import Language
from node.results.narrative.reasons_chinese import because
from node.results.narrative.terms_chinese import in_chinese

_UID = re.compile(r"(\bseries )?([0-9]+(?:\.[0-9]+)+)")

_OF_THE_SOFTWARE: Mapping[str, str] = {
    "HLM-2": "the software is not configured for it",
    "HLM-4": "the model, or what computes it, did not give an answer",
    "HLM-6": "what was made could not be sent",
    "HLM-7": "the software's store could not be written or read",
    "HLM-0": "the software has a defect",
}
"""What is not about the images. The words of the job name folders and hosts of the node, which are nobody's business in an archive: they
stand where the operator looks."""


TAGS: Mapping[Language, Code] = {
    Language.ENGLISH: Code("en", "RFC5646", "English"),
    Language.CHINESE: Code("zh", "RFC5646", "Chinese"),
}
MARK = say("No result")
"""What the Series Description begins with, so that nobody takes the note for a result."""

_BECAUSE: Mapping[Language, Mapping[Why, str]] = {
    Language.ENGLISH: {
        Why.DECLINED: "The images could not be used for this analysis.",
        Why.FAILED: "The analysis failed.",
        Why.NOT_TAKEN: "The study holds no series that this analysis is for.",
        Why.LATE: "The analysis did not end in the time that was set for it.",
    },
    Language.CHINESE: {
        Why.DECLINED: "图像不适用于此项分析。",
        Why.FAILED: "分析失败。",
        Why.NOT_TAKEN: "检查中没有适用于此项分析的序列。",
        Why.LATE: "分析未在规定时间内完成。",
    },
}
_SAYS: Mapping[Language, tuple[str, str, str]] = {
    Language.ENGLISH: (
        "No result: {what}. The software gave none for this study.",
        "An earlier result of the software was made from other images and is no longer valid.",
        "This does not mean that nothing was found.",
    ),
    Language.CHINESE: ("无结果：{what}。软件未对本次检查给出结果。", "软件先前的结果基于其他图像，现已无效。", "这并不表示未发现异常。"),
}
_SHARED: Mapping[Language, str] = {
    Language.ENGLISH: "The images name more than one patient, or some of them name none: this note stands with each, and refers only to "
    "images that name the patient whom it names itself. Make sure whose images these are.",
    Language.CHINESE: "图像涉及多名患者，或部分图像未标明患者：每名患者名下均有此说明，且仅引用标明该患者的图像。请核实图像归属。",
}
_APART: Mapping[Language, str] = {
    Language.ENGLISH: "its images name more than one patient, or some of them name none",
    Language.CHINESE: "图像涉及多名患者，或部分图像未标明患者",
}
_SERIES: Mapping[Language, str] = {Language.ENGLISH: "Series {series}: {reason}", Language.CHINESE: "序列{series}：{reason}"}
_NAMELESS: Mapping[Language, str] = {Language.ENGLISH: "A series without number: {reason}", Language.CHINESE: "未编号的序列：{reason}"}


def sentence(statement: Statement, what: str, language: Language, *, shared: bool = False) -> str:
    """What stands alone, before everything else; `shared` where the images name several patients, with each of whom it stands."""
    none, earlier, meaning = _SAYS[language]
    said = [
        none.format(what=what),
        *(_BECAUSE[language][why] for why in statement.whys),
        *([_SHARED[language]] if shared else []),
        *([earlier] if statement.replaces else []),
        meaning,
    ]
    return (" " if language is Language.ENGLISH else "").join(said)


def of_series(series: str, why: NoResult, language: Language) -> str:
    """Why one series (its number or its description; "": it has neither) gave no result, with the code of its job: in the words of the job
    where they are about the images, in Chinese and of the software by what the code stands for. First, how short it was."""
    mark, code = "" if why.shortage is None else why.shortage.mark, why.code
    if language is Language.ENGLISH:
        return _about(series, f"{mark}{mark and ': '}{_OF_THE_SOFTWARE.get(code[:5], why.reason)} [{code}]", language)
    return _about(series, f"{mark and in_chinese(mark)}{mark and '：'}{because(code)}[{code}]", language)


def named(reason: str, images: Mapping[str, str], series: Mapping[str, str]) -> str:
    """The reason of a job, in which images and series are called as people know them ("image 12", "series 4"), not by their UIDs.

    Parameters
    ----------
    images, series
        By UID: the number of an image; the number of a series, or its description, "" where it has neither.
    """

    def said(found: re.Match[str]) -> str:
        uid = found[2]
        if uid in images:
            return f"{found[1] or ''}image {images[uid]}"
        if uid in series and found[1]:
            return f"series {series[uid]}" if series[uid] else "the series"
        return found[0]

    return _UID.sub(said, reason)


def of_mixed(series: str, code: str, language: Language) -> str:
    """Why a series of several patients gave no result; the words of its job name instances, which may be another patient's."""
    return _about(series, f"{_APART[language]} [{code}]", language)


def _about(series: str, reason: str, language: Language) -> str:
    return (_SERIES if series else _NAMELESS)[language].format(series=series, reason=reason)


def meaning(language: Language) -> str:
    """The sentence that no statement may lack."""
    return _SAYS[language][2]
