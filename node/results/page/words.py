"""The words on pages, in English and in Chinese: what is neither a picture nor a number."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from inference.codes import ABSENT, Code, unit_sign
from inference.findings import Evaluation, Measurement, Segment
from inference.translatable import Translatable
from node.domain.profile import Language
from node.results.narrative.chinese import Chinese
from node.results.narrative.nouns_chinese import NOUNS
from node.results.narrative.terms_chinese import LABELS, in_chinese, structure
from node.results.page.naming import ImageName, Numbering, certainty, derived_name, earlier_quantity, interval_quantities, low, quantity


class PageWords(Protocol):
    """A language of pages: one method a kind of words, codes and numbers in, words out."""

    between: str
    """What stands between two sentences."""
    standing: str
    note: str
    """Above remarks."""
    more_remarks: str
    no_description: str
    """Of a series that the scanner gave none."""
    heads: Mapping[str, str]
    """Of lines that name something: "model", "software", "images", "analysed", "window", "phase", "prior"; in English as they are."""
    whole: str
    """What is of all images together."""
    outlined_none: str
    undetermined: str
    nothing: str
    none_found: str
    aligned: tuple[str, str]
    """That the prior was aligned, and how."""
    bent: tuple[str, str]
    """That it was bent to fit."""
    below_zero: str
    """Of a map whose negative values have no colour."""
    explains: str
    """What an explanation is, and is not."""
    against: str
    """Of an explanation whose negative values have no colour."""

    def title(self, application: str, title: str) -> str: ...
    def notice(self, qualification: str) -> str: ...
    def sentence(self, text: str) -> str: ...
    def term(self, code: Code) -> str: ...
    def structure(self, segment: Segment) -> str: ...
    def sought(self, label: str, what: Code, laterality: Code | None) -> str: ...
    def label(self, text: str) -> str: ...
    def place(self, *codes: Code | None) -> str: ...
    def value(self, code: Code) -> str: ...
    def image(self, name: ImageName, of: int) -> str: ...
    def images(self, count: int) -> str: ...
    def counted(self, count: int, noun: str) -> str: ...
    def series(self, number: str) -> str: ...
    def total(self, what: Code) -> str: ...
    def quality(self, code: Code) -> str: ...
    def measured(self, one: Measurement) -> tuple[str, str]: ...
    def earlier(self, one: Measurement, name: str) -> str: ...
    def frames(self, first: int, last: int) -> str: ...
    def probable(self, finding: Code, probability: float) -> str: ...
    def sure(self, share: float | None) -> str: ...
    def searched(self, where: str) -> str: ...
    def shown_map(self, label: str) -> str: ...
    def new_series(self, label: str, derivation: Code, *, of_prior: bool) -> tuple[str, str]: ...
    def more(self, findings: int) -> str: ...
    def list(self, parts: Sequence[str]) -> str: ...
    def unit(self, code: Code) -> str: ...
    def of_quantity(self, label: str, quantity: Code) -> str: ...
    def map_drawn(self, label: str, quantity: Code) -> str: ...
    def moved(self, labels: Sequence[str]) -> str: ...
    def answer(self, one: Evaluation) -> str: ...
    def colours(self, finding: Code) -> str: ...
    def log_odds(self, label: str) -> str: ...


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


class EnglishPage:
    """English."""

    between = " "
    standing = "preliminary · not verified by a person"
    note = "Please note"
    more_remarks = "and more: see the report"
    no_description = "(series without description)"
    heads: Mapping[str, str] = {}
    whole = "All images"
    outlined_none = "Not outlined"
    undetermined = "Undetermined"
    nothing = "No findings"
    none_found = "None found"
    aligned = ("Prior aligned", "rigid, to the current images")
    bent = ("Prior bent", "to fit the current images: shape and size altered")
    below_zero = "below 0: not drawn"
    explains = "EXPLAINS THE NETWORK - SHOWS NO LOCATION OF A FINDING"
    against = "what speaks against is not drawn"

    def title(self, application: str, title: str) -> str:
        """What the page is about."""
        return title

    def notice(self, qualification: str) -> str:
        """What it is worth, in the footer."""
        return "RESEARCH - NOT FOR DIAGNOSIS" if qualification == "RESEARCH" else f"{qualification} - PRELIMINARY RESULT"

    def sentence(self, text: str) -> str:
        """A remark, a caution or a caption."""
        return text

    def term(self, code: Code) -> str:
        """A concept."""
        return code.meaning

    def structure(self, segment: Segment) -> str:
        """What was outlined."""
        return capital(segment.label)

    def sought(self, label: str, what: Code, laterality: Code | None) -> str:
        """What was looked for."""
        return capital(label)

    def label(self, text: str) -> str:
        """What an application calls a map or a series."""
        return text

    def place(self, *codes: Code | None) -> str:
        """Side and site."""
        return " ".join(code.meaning for code in codes if code is not None).lower()

    def value(self, code: Code) -> str:
        """The answer of an evaluation."""
        return "Absent" if code == ABSENT else code.meaning

    def image(self, name: ImageName, of: int) -> str:
        """ "image 12", "L MLO, image 1"; by its place among `of` where it has no number."""
        said = f"frame {name.number}" if name.numbering is Numbering.FRAME else f"image {name.number}"
        said += f" of {of}" if name.numbering is Numbering.PLACE else ""
        return f"{name.view}, {said}" if name.view else said

    def images(self, count: int) -> str:
        """So many images that something was seen on."""
        return f"{count} images"

    def counted(self, count: int, noun: str) -> str:
        """So many slices, images or frames."""
        return f"{count} {noun}{'' if count == 1 else 's'}"

    def series(self, number: str) -> str:
        """The series by its number."""
        return f"series {number}"

    def total(self, what: Code) -> str:
        """Of several segments together."""
        return f"{what.meaning}, in total"

    def quality(self, code: Code) -> str:
        """An answer to a question about a place."""
        return capital(code.meaning)

    def measured(self, one: Measurement) -> tuple[str, str]:
        """(name, number with unit)."""
        name = derived_name(one.derivation.meaning, low(one.name.meaning)) if one.derivation else one.name.meaning
        frames = f", {self.frames(one.span.first, one.span.last)}" if one.span else ""
        interval = f" ({certainty(one.interval.level)}: {' to '.join(interval_quantities(one))})" if one.interval else ""
        return name + frames, f"{'at least ' if one.at_least else ''}{quantity(one)}{interval}"

    def earlier(self, one: Measurement, name: str) -> str:
        """The earlier value, with its name where there are several."""
        assert one.earlier is not None, "asked of what has an earlier value"
        version = f", version {one.earlier.version}" if one.earlier.version else ""
        model = ", another model" if one.earlier.another_model else ""
        return f"{f'{name} ' if name else ''}{earlier_quantity(one)} on {one.earlier.date}{version}{model}"

    def frames(self, first: int, last: int) -> str:
        """Frames, counted from 0."""
        return f"frames {first + 1} to {last + 1}"

    def probable(self, finding: Code, probability: float) -> str:
        """How probable a finding is."""
        return f"probability of {finding.meaning.lower()} {certainty(probability)}"

    def sure(self, share: float | None) -> str:
        """How sure the application is."""
        return "" if share is None else f"certainty {certainty(share)}"

    def searched(self, where: str) -> str:
        """Where it was looked for."""
        return f"searched: {where}" if where else ""

    def shown_map(self, label: str) -> str:
        """That there is a map."""
        return f"Map: {label}"

    def new_series(self, label: str, derivation: Code, *, of_prior: bool) -> tuple[str, str]:
        """That a series was made, and how."""
        return f"New series: {label}", " · ".join([derivation.meaning, *(["of the prior"] if of_prior else [])])

    def more(self, findings: int) -> str:
        """How many findings have no room."""
        return f"and {findings} more finding{'s' if findings > 1 else ''}: see the report"

    def list(self, parts: Sequence[str]) -> str:
        """Parts beside each other."""
        return ", ".join(parts)

    def unit(self, code: Code) -> str:
        """The unit of a map."""
        sign = unit_sign(code.value)
        return f"in {sign}" if sign else "no unit"

    def of_quantity(self, label: str, quantity: Code) -> str:
        """A map with what its values are."""
        return f"{label} ({quantity.meaning})"

    def map_drawn(self, label: str, quantity: Code) -> str:
        """What a drawn map shows, in the header."""
        return f"Map drawn over key slices: {self.of_quantity(label, quantity)}"

    def moved(self, labels: Sequence[str]) -> str:
        """What a page of explanations shows, in the header."""
        return f"{self.list(labels)}: what moved the answer of the network; no location of a finding"

    def answer(self, one: Evaluation) -> str:
        """The answer that is explained; its number is the probability of the finding, which beside "absent" has to be said."""
        sure = "" if one.probability is None else f"; {self.probable(one.finding, one.probability)}"
        return f"answer: {one.finding.meaning.lower()} {one.value.meaning.lower()}{sure}"

    def colours(self, finding: Code) -> str:
        """What the colours of an explanation are."""
        rests = f"Colour: how much of the log odds of {finding.meaning.lower()} rests on it."
        return f"{rests} The network may look at what has nothing to do with it."

    def log_odds(self, label: str) -> str:
        """Above the bar of an explanation."""
        return f"{label}, log odds"


class ChinesePage:
    """Simplified Chinese; a concept that has no term stands with its English meaning and its code, as in narratives."""

    between = ""
    standing = "初步结果 · 未经人工核实"
    note = "请注意"
    more_remarks = "更多内容见报告"
    no_description = "（序列无描述）"
    heads: Mapping[str, str] = {
        "model": "模型",
        "software": "软件",
        "images": "图像",
        "analysed": "分析时间",
        "window": "窗",
        "phase": "时相",
        "prior": "既往图像",
    }
    whole = "全部图像"
    outlined_none = "未勾画"
    undetermined = "不能确定"
    nothing = "图像中无所见"
    none_found = "未检出"
    aligned = ("既往图像已配准", "刚性配准至本次图像")
    bent = ("既往图像已形变", "形变至本次图像：形状和大小已改变")
    below_zero = "低于0的部分未绘出"
    explains = "仅解释网络的判断，不表示病变部位"
    against = "不支持该判断的部分未绘出"

    _said = Chinese()

    def title(self, application: str, title: str) -> str:
        """What the page is about."""
        return NOUNS.get(application, title)

    def notice(self, qualification: str) -> str:
        """What it is worth, in the footer."""
        return "研究结果，不得用于诊断" if qualification == "RESEARCH" else f"{qualification}，初步结果"

    def sentence(self, text: str) -> str:
        """A remark, a caution or a caption; what somebody else's application says stays in its own words."""
        return in_chinese(text) or text

    def term(self, code: Code) -> str:
        """A concept."""
        return self._said.term(code)

    def structure(self, segment: Segment) -> str:
        """What was outlined."""
        return structure(segment.label, segment.type, segment.laterality)

    def sought(self, label: str, what: Code, laterality: Code | None) -> str:
        """What was looked for."""
        return structure(label, what, laterality)

    def label(self, text: str) -> str:
        """What an application calls a map or a series."""
        return (in_chinese(text) if isinstance(text, Translatable) else LABELS.get(text)) or text

    def place(self, *codes: Code | None) -> str:
        """Side and site."""
        return "".join(self.term(code) for code in codes if code is not None)

    def value(self, code: Code) -> str:
        """The answer of an evaluation."""
        return self._said.value(code)

    def image(self, name: ImageName, of: int) -> str:
        """ "图像12"."""
        return self._said.image(name)

    def images(self, count: int) -> str:
        """So many images that something was seen on."""
        return f"{count}幅图像"

    def counted(self, count: int, noun: str) -> str:
        """So many slices, images or frames."""
        return f"{count}帧" if noun == "frame" else f"{count}层" if noun == "slice" else f"{count}幅图像"

    def series(self, number: str) -> str:
        """The series by its number."""
        return f"序列{number}"

    def total(self, what: Code) -> str:
        """Of several segments together."""
        return self._said.total(what)

    def quality(self, code: Code) -> str:
        """An answer to a question about a place."""
        return self.term(code)

    def measured(self, one: Measurement) -> tuple[str, str]:
        """(name, number with unit)."""
        name = self._said.measurement(one)
        frames = f"，{self.frames(one.span.first, one.span.last)}" if one.span else ""
        interval = f"（{certainty(one.interval.level)}：{'至'.join(interval_quantities(one))}）" if one.interval else ""
        return name + frames, f"{'至少 ' if one.at_least else ''}{quantity(one)}{interval}"

    def earlier(self, one: Measurement, name: str) -> str:
        """The earlier value, with its name where there are several."""
        assert one.earlier is not None, "asked of what has an earlier value"
        version = f"，软件版本{one.earlier.version}" if one.earlier.version else ""
        model = "，由其他模型测得" if one.earlier.another_model else ""
        return f"{one.earlier.date}：{f'{name} ' if name else ''}{earlier_quantity(one)}{version}{model}"

    def frames(self, first: int, last: int) -> str:
        """Frames, counted from 0."""
        return f"第{first + 1}至{last + 1}帧"

    def probable(self, finding: Code, probability: float) -> str:
        """How probable a finding is."""
        return f"{self.term(finding)}的概率 {certainty(probability)}"

    def sure(self, share: float | None) -> str:
        """How sure the application is."""
        return "" if share is None else f"确信度 {certainty(share)}"

    def searched(self, where: str) -> str:
        """Where it was looked for."""
        return f"查找范围：{where}" if where else ""

    def shown_map(self, label: str) -> str:
        """That there is a map."""
        return f"分布图：{self.label(label)}"

    def new_series(self, label: str, derivation: Code, *, of_prior: bool) -> tuple[str, str]:
        """That a series was made, and how."""
        return f"新序列：{self.label(label)}", " · ".join([self.term(derivation), *(["由既往图像生成"] if of_prior else [])])

    def more(self, findings: int) -> str:
        """How many findings have no room."""
        return f"另有{findings}项，见报告"

    def list(self, parts: Sequence[str]) -> str:
        """Parts beside each other."""
        return "，".join(parts)

    def unit(self, code: Code) -> str:
        """The unit of a map."""
        sign = unit_sign(code.value)
        return f"单位：{sign}" if sign else "无单位"

    def of_quantity(self, label: str, quantity: Code) -> str:
        """A map with what its values are."""
        return f"{self.label(label)}（{self.term(quantity)}）"

    def map_drawn(self, label: str, quantity: Code) -> str:
        """What a drawn map shows, in the header."""
        return f"关键层面叠加分布图：{self.of_quantity(label, quantity)}"

    def moved(self, labels: Sequence[str]) -> str:
        """What a page of explanations shows, in the header."""
        return f"{'、'.join(self.label(label) for label in labels)}：影响网络判断的因素，不表示病变部位"

    def answer(self, one: Evaluation) -> str:
        """The answer that is explained, with the probability of the finding."""
        sure = "" if one.probability is None else f"；{self.probable(one.finding, one.probability)}"
        return f"判断：{self.term(one.finding)}，{self.value(one.value)}{sure}"

    def colours(self, finding: Code) -> str:
        """What the colours of an explanation are."""
        return f"颜色：该处对{self.term(finding)}对数优势的贡献大小。网络所依据的内容可能与病变无关。"

    def log_odds(self, label: str) -> str:
        """Above the bar of an explanation."""
        return f"{self.label(label)}，对数优势"


PAGE_WORDS: Mapping[Language, PageWords] = {Language.ENGLISH: EnglishPage(), Language.CHINESE: ChinesePage()}
ENGLISH_PAGE = PAGE_WORDS[Language.ENGLISH]
