"""The sentences of a statement, in the reader's language: what was not answered, why, and that this says nothing of the patient."""

from collections.abc import Mapping

from inference.codes import Code
from node.domain.profile import Language
from node.domain.statement import Statement, Why
from node.results.statement.reasons_chinese import because

TAGS: Mapping[Language, Code] = {
    Language.ENGLISH: Code("en", "RFC5646", "English"),
    Language.CHINESE: Code("zh", "RFC5646", "Chinese"),
}
MARK = "No result"
"""What the Series Description begins with, so that nobody takes the note for a result."""

_BECAUSE: Mapping[Language, Mapping[Why, str]] = {
    Language.ENGLISH: {
        Why.DECLINED: "The images could not be used for this analysis.",
        Why.FAILED: "The analysis failed.",
        Why.LATE: "The analysis did not end in the time that was set for it.",
    },
    Language.CHINESE: {
        Why.DECLINED: "图像不适用于此项分析。",
        Why.FAILED: "分析失败。",
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


def of_series(series: str, reason: str, code: str, language: Language) -> str:
    """Why one series gave no result, with the code of its job: in the words of the job, in Chinese by what the code stands for."""
    said = f"{reason} [{code}]" if language is Language.ENGLISH else f"{because(code)}[{code}]"
    return _SERIES[language].format(series=series, reason=said)


def of_mixed(series: str, code: str, language: Language) -> str:
    """Why a series of several patients gave no result; the words of its job name instances, which may be another patient's."""
    return _SERIES[language].format(series=series, reason=f"{_APART[language]} [{code}]")


def meaning(language: Language) -> str:
    """The sentence that no statement may lack."""
    return _SAYS[language][2]
