"""The phrases of narrative reports in Chinese (Simplified), as radiologists in China write them."""

from collections.abc import Mapping, Sequence

from inference.codes import ABSENT, PRESENT, UNDETERMINED, Code
from inference.findings import Measurement, Quality
from inference.imaging.measures.values import STANDARD_DEVIATION
from node.domain.profile import Kind, Language
from node.results.kinds import record_of
from node.results.narrative.terms_chinese import LABELS, chinese, in_chinese
from node.results.narrative.wording import Count, Examination, Section, Thing
from node.results.page.naming import ImageName, Numbering, certainty, earlier_quantity, interval_quantities, quantity

_LOW = {"RESEARCH": "研究结果，不得用于诊断", "PRODUCT": "已获批准产品的结果"}
_WHAT = {"RESEARCH": "仅供研究，不得用于诊断。", "PRODUCT": "已获批准产品的分析结果。"}


class Chinese:
    """Simplified Chinese; a concept that has no term here stands with its English meaning and its code."""

    language = Language.CHINESE
    tag = Code("zh", "RFC5646", "Chinese")
    title = "影像自动分析报告"
    headings: Mapping[Section, str] = {Section.EXAMINATION: "检查方法", Section.FINDINGS: "检查所见", Section.IMPRESSION: "影像提示"}
    table = ("所见", "测量", "部位及确信度")
    labels: Mapping[str, str] = {
        "patient": "患者",
        "born": "出生日期",
        "sex": "性别",
        "id": "患者编号",
        "study": "检查",
        "accession": "检查号",
        "series": "序列",
        "model": "模型",
        "software": "软件",
        "analysed": "分析时间",
        "images": "图像",
        "key images": "关键图像",
        "M": "男",
        "F": "女",
        "O": "其他",
        "provenance": "分析来源",
        "references": "各条所见的依据",
        "none": "未检出",
        "all": "全部图像",
        "no model": "未使用训练模型",
        "unsettable": "（本页无法显示该文字，请见文件头）",
    }

    def term(self, code: Code) -> str:
        """The Chinese term, or meaning and code."""
        return chinese(code.value, code.scheme) or f"{code.meaning}[{code.value} {code.scheme}]"

    def object(self, kind: Kind) -> str:
        """ "定位报告"."""
        return record_of(kind).chinese

    def image(self, name: ImageName) -> str:
        """ "第143幅图像"."""
        view = f"{name.view}，" if name.view else ""
        if name.numbering is Numbering.FRAME:
            return f"{view}第{name.number}帧"
        return f"{view}图像{name.number}" if name.numbering is Numbering.IMAGE else f"{view}第{name.number}幅图像"

    def name(self, thing: Thing) -> str:
        """ "左肺（lung left）"; a label that says the concept itself stands alone: "海马前部"."""
        side = self._side(thing.laterality) if thing.laterality and not thing.site_sided else ""
        what, label = self.term(thing.what), LABELS.get(thing.label, thing.label)
        if label.startswith(what):
            return f"{side}{label}"
        return f"{side}{what}{thing.number or (f'（{label}）' if label else '')}"

    def page(self, number: int, of: int) -> str:
        """ "第1页，共2页"."""
        return f"第{number}页，共{of}页"

    def value(self, code: Code) -> str:
        """ "未见"."""
        return {PRESENT.value: "可见", ABSENT.value: "未见", UNDETERMINED.value: "不能确定"}.get(code.value) or self.term(code)

    def details(self, thing: Thing, image: ImageName | None) -> str:
        """Where and how certain, in a few words."""
        said = (self._at(thing), self.image(image) if image else "", *_sure(thing.certainty), *self._probable(thing))
        return "，".join(part for part in said if part)

    def examined(self, one: Examination) -> str:
        """What was analysed."""
        series = f"序列{one.series}" if one.series else ""
        parts = (one.modality, series, f"“{one.description}”" if one.description else "", one.date, in_chinese(one.part) or one.part)
        prior = f"与既往检查{f'（{one.prior_date}）' if one.prior_date else ''}对比。" if one.prior_date is not None else ""
        return f"{'，'.join(part for part in parts if part)}：共{one.images}{'帧' if one.frames else '幅图像'}，{one.grid}。{prior}"

    def analysed(self, application: str, manufacturer: str, models: str, at: str) -> str:
        """Who did it."""
        return f"由软件{application}（{manufacturer}）自动分析，模型：{models}，分析时间：{at}。"

    def measurement(self, one: Measurement) -> str:
        """ "平均衰减系数"; a deviation stands behind what deviates: "衰减系数标准差"."""
        if one.derivation is None:
            return self.term(one.name)
        name, derivation = self.term(one.name), self.term(one.derivation)
        return f"{name}{derivation}" if one.derivation.value == STANDARD_DEVIATION.value else f"{derivation}{name}"

    def measured(self, one: Measurement, seconds: tuple[float, float] | None) -> str:
        """ "平均衰减系数 -812.4 HU"."""
        bound = "至少" if one.at_least else " "
        return f"{self.measurement(one)}{bound}{quantity(one)}{_interval(one)}{_earlier(one)}{_frames(one, seconds)}"

    def quality(self, one: Quality) -> str:
        """ "质地 部分实性肺结节"."""
        return f"{self.term(one.name)} {self.term(one.value)}"

    def point(self, which: Code) -> str:
        """Which point of a structure it is."""
        return self.term(which)

    def segment(self, thing: Thing, on: int, of: int, measurements: Sequence[str]) -> str:
        """A structure with a mask."""
        said = [*measurements, f"在{of}幅图像中的{on}幅上勾画", *_sure(thing.certainty)]
        return f"{self._at(thing)}{self.name(thing)}：{'；'.join(said)}。"

    def brief(self, thing: Thing, measurements: Sequence[str]) -> str:
        """The same without the images."""
        return f"{self._at(thing)}{self.name(thing)}：{'；'.join([*measurements, *_sure(thing.certainty)]) or '已勾画'}。"

    def location(self, thing: Thing, image: ImageName, measurements: Sequence[str]) -> str:
        """Something with a place on an image."""
        return f"{self._at(thing)}{self.name(thing)}，位于{self.image(image)}{_listed([*measurements, *_sure(thing.certainty)], '：')}。"

    def evaluation(
        self, thing: Thing, value: Code, images: Sequence[ImageName], frames: tuple[int, int] | None, phases: Sequence[int] = ()
    ) -> str:
        """Whether something is there."""
        on = f"（{'、'.join(self.image(image) for image in images)}）" if images else ""
        on = f"（{self.phases(phases)}）" if phases else on
        span = f"（第{frames[0]}至{frames[1]}帧）" if frames else ""
        said = {
            PRESENT.value: f"{self._at(thing)}可见{self.name(thing)}",
            ABSENT.value: f"{self._at(thing)}未见{self.name(thing)}",
            UNDETERMINED.value: f"{self._at(thing)}{self.name(thing)}：不能确定",
        }.get(value.value, f"{self._at(thing)}{self.name(thing)}：{self.term(value)}")
        return f"{said}{on}{span}{_listed(self._probable(thing), '；')}。"

    def absent(self, thing: Thing, measurements: Sequence[str]) -> str:
        """Something that was looked for in vain."""
        where = self._at(thing) or "图像中"
        verb = "未见" if thing.abnormal else "未检出"
        return f"{where}{verb}{self.name(thing)}{_listed(measurements, '；')}。"

    def undetermined(self, thing: Thing, measurements: Sequence[str]) -> str:
        """Something that was looked for in vain where images are missing."""
        return f"{self._at(thing)}{self.name(thing)}：不能确定{_listed(measurements, '；')}。"

    def total(self, what: Code) -> str:
        """ "双肺合计"."""
        return f"{self.term(what)}合计"

    def about(self, images: Sequence[ImageName]) -> str:
        """Some images; none named are all of them."""
        return "、".join(map(self.image, images)) if images else self.labels["all"]

    def phases(self, numbers: Sequence[int]) -> str:
        """ "第1、8期"."""
        return f"第{'、'.join(map(str, numbers))}期"

    def whole(self, about: str, measurements: Sequence[str]) -> str:
        """What was measured of all that was analysed, of some images, or of several segments together."""
        return f"{about}：{'；'.join(measurements)}。"

    def saliency(self, quantity: Code, label: str) -> str:
        """A map."""
        return f"本结果附有叠加于图像的分布图（{self.term(quantity)}：{LABELS.get(label, label)}）。"

    def derived(self, derivation: Code, of_prior: bool) -> str:
        """A derived series."""
        return f"由{'既往' if of_prior else '本次'}图像生成了新的序列（{self.term(derivation)}）。"

    def registered(self, rotation_degrees: float, prior_date: str | None) -> str:
        """How the prior lies."""
        return f"既往检查{f'（{prior_date}）' if prior_date else ''}已与本次检查刚性配准（旋转 {rotation_degrees:.1f}°）。"

    def bent(self, most_mm: float, prior_date: str | None) -> str:
        """How the prior was bent."""
        dated = f"（{prior_date}）" if prior_date else ""
        return f"既往检查{dated}已与本次检查配准并作形变（最大 {most_mm:.1f} mm）：其所示结构的形状和大小已改变。"

    def remark(self, text: str) -> str:
        """What the quality gate said; what somebody else's application says, in its own words."""
        said = in_chinese(text)
        return f"注：{said}" if said is not None else f"注（英文原文）：{text}"

    def noted(self, text: str) -> str:
        """A remark in a report where remarks stand by themselves."""
        return in_chinese(text) or text

    def analysed_part(self, part: str) -> str:
        """Which part of a series was analysed."""
        return f"分析范围为该序列中的：{in_chinese(part) or part}。"

    def looked_for(self, names: Sequence[str], images: int, *, cut: bool) -> str:
        """In how many images something was looked for; where others are missing, that this decides nothing."""
        listed = "、".join(names)
        return f"仅收到{images}幅图像，不能确定：{listed}。" if cut else f"在{images}幅图像中查找，未检出：{listed}。"

    def timed(self, first: int, last: int, first_s: float, last_s: float) -> str:
        """When frames, counted from 0, were taken."""
        return f"第{first + 1}至{last + 1}帧距首帧 {first_s:g} s 至 {last_s:g} s。"

    def caution(self, text: str) -> str:
        """What a reader must know first."""
        said = in_chinese(text)
        return f"重要提示：{said}" if said is not None else f"重要提示（英文原文）：{text}"

    def caption(self, text: str) -> str:
        """What stands on a picture."""
        return in_chinese(text) or text

    def found(self, counts: Sequence[Count]) -> str:
        """What was found, and how often."""
        return f"检出：{'，'.join(f'{self.term(one.what)}（{one.number}）' for one in counts)}。"

    def joined(self, sentences: Sequence[str]) -> str:
        """Sentences as a paragraph."""
        return "".join(sentences)

    def only_measured(self) -> str:
        """Measurements of anatomy say nothing of disease."""
        return "仅为测量结果，不涉及疾病判断。"

    def by(self, application: str, qualification: str) -> str:
        """Who says so, and what that is worth."""
        return f"由软件{application}给出：{_LOW.get(qualification, qualification)}；软件自动生成，未经人工核实。"

    def more(self, findings: int) -> str:
        """How many findings a conclusion leaves to the rest."""
        return f"另有{findings}项，见下文。"

    def nothing(self) -> str:
        """That there is nothing to say."""
        return "图像中无所见，亦无测量结果。"

    def standing(self, qualification: str) -> str:
        """What this is worth."""
        return f"{_WHAT.get(qualification, qualification)}本结果由软件自动生成，为初步结果，未经人工核实。"

    def _probable(self, thing: Thing) -> list[str]:
        return [] if thing.probability is None else [f"{self.term(thing.what)}的概率 {certainty(thing.probability)}"]

    def _side(self, laterality: Code) -> str:
        return self.term(laterality)

    def _at(self, thing: Thing) -> str:
        if thing.site is None:
            return ""
        return f"{self._side(thing.laterality) if thing.laterality and thing.site_sided else ''}{self.term(thing.site)}"


def _sure(share: float | None) -> list[str]:
    return [] if share is None else [f"确信度 {certainty(share)}"]


def _listed(parts: Sequence[str], before: str) -> str:
    return before + "；".join(parts) if parts else ""


def _interval(one: Measurement) -> str:
    """ "（90 %预测区间62.1至106 mo）"."""
    return "" if one.interval is None else f"（{certainty(one.interval.level)}预测区间{'至'.join(interval_quantities(one))}）"


def _earlier(one: Measurement) -> str:
    """ "（2025-03-04：1450 cm³）"."""
    if one.earlier is None:
        return ""
    version = f"，软件版本{one.earlier.version}" if one.earlier.version else ""
    model = "，由其他模型测得" if one.earlier.another_model else ""
    return f"（{one.earlier.date}：{earlier_quantity(one)}{version}{model}）"


def _frames(one: Measurement, seconds: tuple[float, float] | None) -> str:
    if one.span is None:
        return ""
    if one.span.first == one.span.last:
        return f"（第{one.span.first + 1}帧{f'，{seconds[0]:.2f} s' if seconds else ''}）"
    time = f"，{seconds[0]:.2f} s 至 {seconds[1]:.2f} s" if seconds else ""
    return f"（第{one.span.first + 1}至{one.span.last + 1}帧{time}）"
