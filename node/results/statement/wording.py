"""Sentences of a statement, in English and in Chinese."""

import re
from collections.abc import Mapping

from inference.codes import Code
from inference.translatable import say
from node.domain.notes import NoResult, Statement, Why
from node.domain.profile import Language
from node.results.narrative.terms_chinese import in_chinese

_UID = re.compile(r"(\bseries )?([0-9]+(?:\.[0-9]+)+)")

_REASONS: Mapping[str, str] = {
    "HLM-3000": "图像不适于分析",
    "HLM-3001": "文件不是有效的DICOM文件，或无法解析",
    "HLM-3002": "文件中的像素数据被截断",
    "HLM-3003": "序列中没有图像，或图像缺少像素数据",
    "HLM-3004": "像素数据的传输语法无法解码",
    "HLM-3005": "压缩的像素数据已损坏",
    "HLM-3006": "缺少必需的图像属性，或其取值不符合标准",
    "HLM-3010": "图像没有空间位置，不能构成容积",
    "HLM-3011": "图像分属多个序列",
    "HLM-3012": "图像分属多个参考坐标系，扫描中患者可能移动",
    "HLM-3013": "序列中的图像互不平行",
    "HLM-3014": "序列中图像的矩阵或像素间距不一致",
    "HLM-3015": "同一位置有重复图像",
    "HLM-3016": "每个位置有多幅图像（多时相、多回波或多b值）",
    "HLM-3017": "层面倾斜超出扫描机架可能的角度",
    "HLM-3018": "层面之间有不规则的侧向错位",
    "HLM-3019": "中间缺少层面",
    "HLM-3020": "层间距不均匀",
    "HLM-3021": "缺少用于对比的两个序列",
    "HLM-3022": "图像数据量超出单次分析的上限",
    "HLM-3023": "图像的色彩空间已被标准废止，或不是图像",
    "HLM-3024": "序列中没有可分析的单幅图像",
    "HLM-3025": "序列中没有可分析的动态图像，或有多段",
    "HLM-3026": "多帧图像的部分实例缺失",
    "HLM-3027": "用于对比的既往序列不适于分析",
    "HLM-3028": "没有未加扩散权重（b=0）的图像，或有多组",
    "HLM-3029": "各层拼接于一幅图像中，无法得到各层的位置",
    "HLM-3031": "图像属性或像素值超出任何患者图像可能的范围",
    "HLM-3032": "图像的唯一标识符（UID）不符合标准或缺失",
    "HLM-3033": "同一容积的层面来自不同的重建或采集",
    "HLM-3034": "合并分析所需的序列不全",
    "HLM-3035": "合并分析的序列不在同一参考坐标系内",
    "HLM-3036": "序列间的配准位移超出允许范围",
    "HLM-3037": "序列覆盖的范围过小，无法合并分析",
    "HLM-3030": "图像标明属于多名患者或多次检查",
    "HLM-3080": "同一实例标识下有两幅不同的图像",
    "HLM-3081": "所需的像素数据已按保存期限删除",
    "HLM-3082": "实例无法处理",
    "HLM-3083": "归档中已有此结果",
    "HLM-3084": "用于对比的图像后被更正为其他患者",
    "HLM-3085": "检查中缺少所需的序列",
    "HLM-3086": "已接收的实例无法从存储读取",
    "HLM-3087": "序列不完整，等待其余图像的时限已过",
    "HLM-3088": "检查的匹配或解析超出允许的处理时间",
    "HLM-3089": "处理该检查的进程多次意外终止",
    "HLM-3090": "加密文件已损坏",
    "HLM-3091": "缺少解密文件所需的密钥",
    "HLM-3092": "解密所需的内存超出上限",
    "HLM-3093": "处理该检查时软件多次出错",
    "HLM-3095": "有多个序列同样符合合并分析的同一角色，无法确定",
    "HLM-3094": "路由要求的序列在检查中不存在",
    "HLM-3101": "序列不属于此项分析的适用范围",
    "HLM-3120": "图像信息标明为测试体模或动物",
    "HLM-3121": "图像的加权方式不符合此项分析的要求",
    "HLM-3122": "图像中没有可辨认的内容，或黑白反转",
    "HLM-3123": "图像内容不似此项分析的目标部位",
    "HLM-3124": "测量值超出该年龄人体可能的范围",
    "HLM-3125": "图像由其他图像计算得出，不是原始测量",
    "HLM-3150": "图像中未见头部，或对比不是T1加权",
    "HLM-3160": "按模型所需的间距重采样后体素过多",
    "HLM-3161": "图像中没有模型可处理的内容",
    "HLM-3162": "分析所需的内存超出本机上限",
    "HLM-3163": "图像的像素值超出模型所需的8位范围",
    "HLM-3170": "两组图像没有可供配准的共同内容",
    "HLM-3171": "既往图像与本次图像不能配准",
    "HLM-3180": "图像中未见完整的脑",
    "HLM-3181": "脑内高信号过多，对比可能不是FLAIR",
    "HLM-3190": "图像范围超出单侧海马区，或无内容",
    "HLM-3195": "图像为彩色，或窗内无内容",
    "HLM-3196": "没有正位片",
    "HLM-3197": "图像信息标明的部位不是胸部",
    "HLM-3200": "图像不是普通幅度图像",
    "HLM-3201": "图像噪声水平不在模型训练的范围内",
    "HLM-3205": "图像中没有足够的含气肺组织",
    "HLM-3210": "图像中未见颅骨包绕的脑组织",
}
_FAMILIES: Mapping[str, str] = {
    "HLM-1": "图像接收失败",
    "HLM-2": "软件配置有误",
    "HLM-3": "图像不适于分析",
    "HLM-4": "模型或推理引擎未能完成分析",
    "HLM-5": "结果未通过校验，未予发送",
    "HLM-6": "结果传送失败",
    "HLM-7": "存储或日志库故障",
    "HLM-0": "软件故障",
}
"""By the first digit, for what is not about the images: the reader of a report can do nothing about it but ask the operator."""


_OF_THE_SOFTWARE: Mapping[str, str] = {
    "HLM-2": "the software is not configured for it",
    "HLM-4": "the model, or what computes it, did not give an answer",
    "HLM-6": "what was made could not be sent",
    "HLM-7": "the software's store could not be written or read",
    "HLM-0": "the software has a defect",
}
"""What is not about the images. The words of the job name folders and hosts of the node, which are nobody's business in an archive: they
stand where the operator looks."""


def because(code: str) -> str:
    """What a code stands for, a clause without a full stop."""
    return _REASONS.get(code) or _FAMILIES.get(code[:5], "软件故障")


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
