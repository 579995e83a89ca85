"""Narratives: every finding in a sentence of English and of Chinese, every sentence traceable, every number the measured one."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from inference import codes
from inference.applications import catalog
from inference.applications.port import (
    DerivedOutput,
    EvaluationOutput,
    LocationOutput,
    MeasurementOutput,
    QualityOutput,
    SegmentOutput,
)
from inference.codes import Code
from inference.findings import Box, Evaluation, Findings, Line, Location, Measurement, Point, PointInSpace, Quality, Segment, Shape
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from node.domain.errors import ResultError
from node.domain.profile import VIEWER, Kind, Language, Profile
from node.results.check import check
from node.results.encode import encode
from node.results.narrative.chinese import Chinese
from node.results.narrative.sentences import WORDINGS, sentences
from node.results.narrative.terms_chinese import chinese
from node.results.narrative.wording import Section
from node.results.page.naming import certainty, number, quantity
from node.results.port import Encoded, Encoding, ReferencesDiffer, ValuesDiffer
from node.results.sources import read_sources
from tests.lab import validators
from tests.results import made

BOTH = Profile(name="both", kinds=frozenset({Kind.NARRATIVE, Kind.SR, Kind.DETECTIONS}), languages=(Language.ENGLISH, Language.CHINESE))
PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
CALCIUM_SCORE = Code("450360000", "SCT", "Coronary artery calcium score")
NO_UNIT = Code("1", "UCUM", "no units")
TEXTURE = Code("C41144", "NCIt", "Texture")
SOLID = Code("RID50151", "RADLEX", "solid pulmonary nodule")
NO_VOXEL = np.zeros(made.SHAPE, dtype=bool)
LEFT_LUNG, RIGHT_LUNG = ({"type": codes.LUNG, "laterality": side} for side in (codes.LEFT, codes.RIGHT))


BY = {
    Language.ENGLISH: " By mr-brain 1.2.3: research result, not for diagnosis; made by software, not verified by a person.",
    Language.CHINESE: "由软件mr-brain 1.2.3给出：研究结果，不得用于诊断；软件自动生成，未经人工核实。",
}
"""How every conclusion ends."""


def everything() -> Findings:
    """A lung with numbers, a lesion that was not found, two detections, an evaluation, a value of all, a remark."""
    lung = made.segment("left lung", made.blob(), type=codes.LUNG, laterality=codes.LEFT, finding_site=codes.LUNG, certainty=0.995)
    lesion = made.segment(
        "lesion",
        np.zeros(made.SHAPE, dtype=bool),
        type=made.LESION,
        finding_site=codes.CHEST,
        category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
    )
    return Findings(
        segments=(lung, lesion),
        measurements=(
            Measurement(name=codes.VOLUME, value=0.9375, unit=codes.CUBIC_CENTIMETRE, segment="left lung"),
            Measurement(
                name=codes.ATTENUATION_COEFFICIENT, value=-781.1234, unit=codes.HOUNSFIELD_UNIT, segment="left lung", derivation=codes.MEAN
            ),
            Measurement(name=LONG_AXIS, value=12.3456, unit=codes.MILLIMETRE, location="l1"),
            Measurement(name=CALCIUM_SCORE, value=321, unit=NO_UNIT),
        ),
        locations=(
            Location(
                label="l1",
                finding=made.LESION,
                shape=Box(top=3, left=3, bottom=6, right=7),
                image=4,
                certainty=0.87,
                finding_site=codes.LUNG,
                laterality=codes.LEFT,
                qualities=(Quality(name=TEXTURE, value=SOLID),),
            ),
            Location(label="l2", finding=made.LESION, shape=Point(row=3, column=3), image=4),
        ),
        evaluations=(Evaluation(finding=PNEUMOTHORAX, value=codes.ABSENT, finding_site=codes.CHEST, probability=0.001),),
        remarks=("Slices are 5 mm apart: volumes are approximate.",),
    )


@pytest.fixture
def encoding(tmp_path: Path) -> Encoding:
    """Everything, wanted in both languages."""
    return made.encoding(made.series(tmp_path), everything(), profiles=(BOTH,))


def narratives(objects: Sequence[Encoded]) -> dict[str, Dataset]:
    """By language."""
    return {one.form: pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind == Kind.NARRATIVE}


def texts(narrative: Dataset) -> list[Dataset]:
    """Every sentence, in order."""
    return [item for section in narrative.ContentSequence if section.ValueType == "CONTAINER" for item in section.ContentSequence]


def below(item: Dataset, *kinds: str) -> Iterator[Dataset]:
    """What a sentence rests on, of some value types."""
    return (child for child in item.get("ContentSequence") or () if child.ValueType in kinds)


@pytest.mark.slow
def test_only_where_a_sink_wants_one_and_in_its_languages(encoding: Encoding) -> None:
    """No narrative and no PDF for a viewer; one language, one narrative; the other objects stay as they are, byte for byte."""
    plain = encode(replace(encoding, profiles=(VIEWER,)))
    assert not {Kind.NARRATIVE, Kind.PDF} & {one.kind for one in plain}
    chinese_only = encode(replace(encoding, profiles=(VIEWER, replace(BOTH, languages=(Language.CHINESE,)))))
    assert [(one.kind, one.form) for one in chinese_only if one.kind == Kind.NARRATIVE] == [(Kind.NARRATIVE, "zh")]
    assert {one.data for one in plain} <= {one.data for one in chinese_only}


def test_each_sentence_is_right_in_both_languages(encoding: Encoding) -> None:
    """What a radiologist reads, word by word; written down by hand."""
    said = narratives(encode(encoding))
    lesion = "Lesion 1 in the left lung on image 5: long axis 12.3 mm; texture: solid pulmonary nodule; certainty 87 %."
    lung = "Left lung: volume 0.938 cm³; mean attenuation coefficient -781 HU; "
    concluded = (
        f"Found: lesion (2). {lesion} Lesion 2 on image 5. {lung}certainty >99 %. "
        f"All images: coronary artery calcium score 321. 1 more entry below.{BY[Language.ENGLISH]}"
    )
    assert [item.TextValue for item in texts(said["en"])] == [
        concluded,
        "Pneumothorax: absent in the chest; probability of pneumothorax <1 %.",
        lesion,
        "Lesion 2 on image 5.",
        f"{lung}outlined on 5 of 9 images; certainty >99 %.",
        "All images: coronary artery calcium score 321.",
        "Lesion in the chest: volume 0 cm³; outlined on 0 of 9 images.",
        "Please note: Slices are 5 mm apart: volumes are approximate.",
        "CT, series 4, of 2024-01-02: 9 images, 11 × 13 × 9, 1.50 × 2.00 × 2.50 mm.",
        f"Analysed automatically by mr-brain 1.2.3 (hilum), net v4 (sha256 {encoding.model_digest[:12]}), 2025-03-04 23:30 UTC.",
        "Research result, not for diagnosis. Preliminary; made by software, not verified by a person.",
    ]
    concluded = (
        "检出：病变（2）。左肺病变1，位于图像5：长径 12.3 mm；密度 实性结节；确信度 87 %。"
        f"病变2，位于图像5。左肺：体积 0.938 cm³；平均衰减系数 -781 HU；确信度 >99 %。"
        f"全部图像：冠状动脉钙化积分 321。另有1项，见下文。{BY[Language.CHINESE]}"
    )
    assert [item.TextValue for item in texts(said["zh"])] == [
        concluded,
        "胸部未见气胸；气胸的概率 <1 %。",
        "左肺病变1，位于图像5：长径 12.3 mm；密度 实性结节；确信度 87 %。",
        "病变2，位于图像5。",
        "左肺：体积 0.938 cm³；平均衰减系数 -781 HU；在9幅图像中的5幅上勾画；确信度 >99 %。",
        "全部图像：冠状动脉钙化积分 321。",
        "胸部病变（lesion）：体积 0 cm³；在9幅图像中的0幅上勾画。",
        "注（英文原文）：Slices are 5 mm apart: volumes are approximate.",
        "CT，序列4，2024-01-02：共9幅图像，11 × 13 × 9, 1.50 × 2.00 × 2.50 mm。",
        f"由软件mr-brain 1.2.3（hilum）自动分析，模型：net v4 (sha256 {encoding.model_digest[:12]})，分析时间：2025-03-04 23:30 UTC。",
        "仅供研究，不得用于诊断。本结果由软件自动生成，为初步结果，未经人工核实。",
    ]


@pytest.mark.parametrize(
    ("findings", "english", "chinese_too"),
    [
        (made.one_segment(made.AXIAL), "Brain: volume 0.938 cm³.", "脑：体积 0.938 cm³。"),
        (Findings(evaluations=(Evaluation(finding=PNEUMOTHORAX, value=codes.PRESENT),)), "Pneumothorax: present.", "可见气胸。"),
        (
            Findings(evaluations=(Evaluation(finding=PNEUMOTHORAX, value=codes.ABSENT),)),
            "Pneumothorax: absent in the head.",
            "头部未见气胸。",
        ),
        (
            Findings(evaluations=(Evaluation(finding=PNEUMOTHORAX, value=codes.UNDETERMINED),)),
            "Pneumothorax: undetermined.",
            "气胸：不能确定。",
        ),
        (Findings(), "Nothing was found and nothing measured in these images.", "图像中无所见，亦无测量结果。"),
    ],
)
def test_the_impression_claims_no_more_than_was_found(tmp_path: Path, findings: Findings, english: str, chinese_too: str) -> None:
    """Anatomy says nothing of disease; what is absent is named, never called normal; what could not be told is said to be so."""
    encoding = made.encoding(made.series(tmp_path), findings)
    sources = read_sources(encoding)
    for language, sentence in ((Language.ENGLISH, english), (Language.CHINESE, chinese_too)):
        said = [one.text for one in sentences(encoding, sources, WORDINGS[language]) if one.section is Section.IMPRESSION]
        assert said == [f"{sentence}{BY[language]}"]


@pytest.mark.parametrize(
    ("given", "found", "impression"),
    [
        (
            Findings(segments=(made.segment("l", made.blob(), **LEFT_LUNG), made.segment("r", NO_VOXEL, **RIGHT_LUNG))),
            "Right lung: none found in these images; volume 0 cm³.",
            "Left lung: outlined. Right lung: none found in these images; volume 0 cm³.",
        ),
        (
            Findings(evaluations=(Evaluation(finding=made.LESION, value=codes.ABSENT, laterality=codes.LEFT),)),
            "Lesion: absent in the left head.",
            "Lesion: absent in the left head.",
        ),
        (
            Findings(
                evaluations=tuple(
                    Evaluation(finding=made.LESION, value=value, laterality=side, finding_site=codes.LUNG)
                    for value, side in ((codes.PRESENT, codes.LEFT), (codes.ABSENT, codes.RIGHT))
                )
            ),
            "Lesion: absent in the right lung.",
            "Lesion: present in the left lung. Lesion: absent in the right lung.",
        ),
        (
            Findings(
                evaluations=(Evaluation(finding=made.LESION, value=codes.ABSENT),),
                locations=(Location(label="l", finding=made.LESION, shape=Point(row=3, column=3), image=4, laterality=codes.LEFT),),
            ),
            "Left lesion 1 on image 5.",
            "Left lesion 1 on image 5.",
        ),
    ],
    ids=["one lung of two", "a side without a site", "a lesion on one side", "found on a side, absent on none"],
)
def test_what_is_missing_on_one_side_is_not_missing(tmp_path: Path, given: Findings, found: str, impression: str) -> None:
    """The side is said in the findings and in the impression; what was found on one side is never simply not found."""
    encoding = made.encoding(made.series(tmp_path), given)
    said = sentences(encoding, read_sources(encoding), WORDINGS[Language.ENGLISH])
    assert found in [one.text for one in said]
    assert [one.text for one in said if one.section is Section.IMPRESSION] == [f"{impression}{BY[Language.ENGLISH]}"]


def test_every_sentence_is_traceable(encoding: Encoding) -> None:
    """The Tracking UID of each sentence stands in the object that it refers to, under the same identifier; the number in it is the measured
    one, rounded; both languages say the same of the same."""
    objects = encode(encoding)
    held = {one.sop_instance_uid: one.data for one in objects if one.kind in (Kind.SEG, Kind.SR, Kind.DETECTIONS)}
    rows: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for language, narrative in narratives(objects).items():
        assert narrative.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.22"
        assert (narrative.PreliminaryFlag, narrative.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
        for sentence in texts(narrative):
            uids = [str(item.UID) for item in below(sentence, "UIDREF")]
            identifiers = [str(item.TextValue) for item in below(sentence, "TEXT")]
            referred = [str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in below(sentence, "IMAGE", "COMPOSITE")]
            for uid, identifier in zip(uids, identifiers, strict=True):
                # as bytes: no reading code of ours in between
                assert all(uid.encode() in held[one] and identifier.encode() in held[one] for one in referred)
                assert referred
            shown = [float(text) for text in re.findall(r"(?<![\w.])-?\d+\.?\d*", sentence.TextValue)]
            values = tuple(float(item.MeasuredValueSequence[0].NumericValue) for item in below(sentence, "NUM"))
            for item, value in zip(below(sentence, "NUM"), values, strict=True):
                if item.ConceptNameCodeSequence[0].CodeValue != "111012":
                    assert any(value == pytest.approx(text, rel=1e-3, abs=1e-9) for text in shown)
            if uids:
                rows.setdefault(language, []).append((uids[0], values))
    assert rows["en"] == rows["zh"]
    assert len(rows["en"]) == 6
    measured = sorted(value for _, values in rows["en"] for value in values)
    assert measured == pytest.approx(sorted([-781, 0.0, 0.938, 12.3, 321, 87, 99.5]))  # none beside Absent


@pytest.mark.slow
def test_the_same_encoding_gives_the_same_narrative(encoding: Encoding) -> None:
    """Byte for byte; and a predecessor in the same language is named."""
    first, second = (encode(encoding) for _ in range(2))
    assert [one.data for one in first] == [one.data for one in second]
    before = replace(made.PREDECESSOR, kind=Kind.NARRATIVE, form="en")
    later = narratives(encode(replace(encoding, predecessors=(before,))))
    assert later["en"].PredecessorDocumentsSequence[0].StudyInstanceUID == before.study_instance_uid
    assert "PredecessorDocumentsSequence" not in later["zh"]


def test_every_code_of_the_built_in_applications_has_a_chinese_term() -> None:
    """Whoever declares a code adds its term; a reader of Chinese would meet an English word otherwise."""
    declared: set[Code] = set()
    for name in catalog.names():
        application = catalog.load(name)
        for one in application.outputs:
            match one:
                case SegmentOutput():
                    declared |= {one.type, *([one.searched] if one.searched else [])}
                case LocationOutput():
                    declared |= {one.finding, *([one.searched] if one.searched else [])}
                case MeasurementOutput():
                    declared |= {one.name, *([one.derivation] if one.derivation else [])}
                case EvaluationOutput():
                    declared.add(one.finding)
                case QualityOutput():
                    declared |= {one.name, *one.values}
                case DerivedOutput():
                    declared.add(one.derivation)
    named = {value for value in vars(codes).values() if isinstance(value, Code) and value.scheme != "UCUM"}
    assert declared
    assert [code for code in sorted(declared | named, key=str) if chinese(code.value, code.scheme) is None] == []


@pytest.mark.parametrize(
    ("segment", "english", "chinese_too"),
    [
        (
            {"label": "intracranial", "type": codes.INTRACRANIAL_SPACE, "finding_site": codes.HEAD},
            "Intracranial space in the head",
            "头部颅内腔",
        ),
        ({"label": "lung left", "type": codes.LUNG, "finding_site": codes.LUNG, "laterality": codes.LEFT}, "Left lung", "左肺"),
        (
            {"label": "hippocampus anterior", "type": codes.HIPPOCAMPUS, "finding_site": codes.BRAIN, "laterality": codes.LEFT},
            "Left hippocampus anterior in the brain",
            "脑左海马前部",
        ),
        (
            {
                "label": "bleed",
                "type": made.LESION,
                "finding_site": codes.BRAIN,
                "laterality": codes.LEFT,
                "category": codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
            },
            "Lesion (bleed) in the left brain",
            "左脑病变（bleed）",
        ),
    ],
)
def test_a_structure_is_called_as_people_call_it(segment: dict[str, Any], english: str, chinese_too: str, tmp_path: Path) -> None:
    """A noun, once; its side its own where it is anatomy, its site's where it is not. "Hippocampus (hippocampus anterior) in the left
    brain" and "Intracranial in the head" were said."""
    given = made.segment(mask=made.blob(), **segment)
    # another like it, so that its label has to be said
    twin = made.segment(mask=np.roll(made.blob(), 4, axis=2), **{**segment, "label": f"{segment['label']} too"})
    alike = segment["label"] in ("hippocampus anterior", "bleed")
    encoding = made.encoding(made.series(tmp_path), Findings(segments=(given, *([twin] if alike else []))))
    for language, said in ((Language.ENGLISH, f"{english}: outlined"), (Language.CHINESE, f"{chinese_too}：在")):
        texts_said = [
            one.text for one in sentences(encoding, read_sources(encoding), WORDINGS[language]) if one.section is Section.FINDINGS
        ]
        assert texts_said[0].startswith(said)


def test_a_concept_without_a_term_keeps_its_meaning_and_its_code() -> None:
    """Never a wrong word: not even that of the same value in another scheme."""
    assert Chinese().term(Code("39607008", "SCT", "Lung")) == "肺"
    assert Chinese().term(Code("39607008", "99LOCAL", "Something else")) == "Something else[39607008 99LOCAL]"
    assert Chinese().term(Code("1234", "SCT", "Sesamoid")) == "Sesamoid[1234 SCT]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0, "0"), (321, "321"), (12, "12"), (12.3456, "12.3"), (123.456, "123"), (1792.4, "1790"), (99.96, "100"), (0.00012, "0.00012")],
        *[(-781.1234, "-781"), (0.9375, "0.938"), (3.0e-12, "3e-12"), (1.5e12, "1.5e+12"), (-0.0, "0")],
    ],
)
def test_numbers_have_sensible_digits(value: float, text: str) -> None:
    """Three significant digits, and never 0 for what is not 0."""
    assert number(value, codes.CUBIC_CENTIMETRE) == text


@pytest.mark.parametrize(("value", "text"), [(7.1614, "7.2"), (22.56, "22.6"), (123.4, "123"), (9.96, "10.0"), (0.625, "0.625"), (8, "8")])
def test_a_length_is_as_exact_as_a_pixel_is(value: float, text: str) -> None:
    """ "7.16 mm" was said of a lesion on pixels of 1.6 mm."""
    assert number(value, codes.MILLIMETRE) == text


def test_units_are_those_that_people_read() -> None:
    """cm³ for cm3, as reports have it, HU, per cent; no unit where there is none; certainty never 0 or 100 per cent for what is neither."""
    units = {"cm3": "1.50 cm³", "mm": "1.5 mm", "[hnsf'U]": "1.50 HU", "%": "1.50 %", "1": "1.50", "deg": "1.50°", "mm2": "1.50 mm²"}
    for unit, text in units.items():
        assert quantity(Measurement(name=codes.VOLUME, value=1.5, unit=Code(unit, "UCUM", unit))) == text
    assert [certainty(share) for share in (0, 0.001, 0.5, 0.87, 0.996, 1)] == ["0 %", "<1 %", "50 %", "87 %", ">99 %", "100 %"]


def tampered(objects: Sequence[Encoded], change: Callable[[Dataset], None]) -> list[Encoded]:
    """The objects, with something changed in the English narrative."""
    changed = []
    for one in objects:
        if one.kind == Kind.NARRATIVE and one.form == "en":
            dataset = pydicom.dcmread(BytesIO(one.data))
            change(dataset)
            dataset.save_as(file := BytesIO())
            one = replace(one, data=file.getvalue())
        changed.append(one)
    return changed


def _another_number(narrative: Dataset) -> None:
    sentence = next(item for item in texts(narrative) if item.TextValue.startswith("Left lung: volume 0.938"))
    sentence.TextValue = sentence.TextValue.replace("0.938", "0.948")


def _a_finding_less(narrative: Dataset) -> None:
    findings = [item for item in narrative.ContentSequence if item.ValueType == "CONTAINER"][1]
    findings.ContentSequence = list(findings.ContentSequence)[1:]


def _no_evidence(narrative: Dataset) -> None:
    for sentence in texts(narrative):
        if sentence.get("ContentSequence"):
            sentence.ContentSequence = [item for item in sentence.ContentSequence if item.ValueType not in ("IMAGE", "COMPOSITE")]


def _another_texture(narrative: Dataset) -> None:
    next(item for sentence in texts(narrative) for item in below(sentence, "CODE")).ConceptCodeSequence[0].CodeValue = "RID50153"


def _no_remark(narrative: Dataset) -> None:
    next(item for item in texts(narrative) if "5 mm apart" in item.TextValue).TextValue = "Please note: nothing."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error"),
    [
        *[(_another_number, ValuesDiffer), (_another_texture, ValuesDiffer), (_a_finding_less, ValuesDiffer)],
        *[(_no_evidence, ReferencesDiffer), (_no_remark, ValuesDiffer)],
    ],
)
def test_a_narrative_that_says_something_else_may_not_leave(
    encoding: Encoding, change: Callable[[Dataset], None], error: type[ResultError]
) -> None:
    """A wrong number, a lost finding, a sentence without evidence, a lost remark: each is found when it is read back."""
    objects = encode(encoding)
    sources = read_sources(encoding)
    check(objects, encoding, sources)
    with pytest.raises(error):
        check(tampered(objects, change), encoding, sources)


@pytest.mark.peers
@pytest.mark.slow
def test_validators_find_nothing_in_narratives(encoding: Encoding, tmp_path: Path) -> None:
    """dicom3tools: the modules of Enhanced SR; DCMTK: its relationships, and its reader gives the numbers; PixelMed: its IOD."""
    objects = [one for one in encode(encoding) if one.kind == Kind.NARRATIVE]
    for path in made.save(objects, tmp_path / "out"):
        assert validators.faults_of(path, report=True) == []
        _, tree = validators.dsrdump(path)
        assert "Enhanced SR Document" in tree
        assert 'NUM:(118565006,SCT,"Volume")="0.938" (cm3,UCUM,"cubic centimeter")' in tree


# a backslash parts the values of SegmentLabel and CodeMeaning (LO): a label with one is refused elsewhere
_SIGNS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\\")
LABELS = st.text(_SIGNS, min_size=1, max_size=30).filter(lambda text: text.strip() == text)
CODES = st.sampled_from([codes.LUNG, codes.BRAIN, made.LESION, PNEUMOTHORAX]) | st.builds(
    Code, st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True), st.just("99X"), LABELS
)
SHARES = st.none() | st.floats(0, 1)
SIDES = st.none() | st.sampled_from([codes.LEFT, codes.RIGHT])
UNITS = st.sampled_from([codes.CUBIC_CENTIMETRE, codes.MILLIMETRE, codes.HOUNSFIELD_UNIT, NO_UNIT])
SHAPES: st.SearchStrategy[Shape] = st.sampled_from(
    [
        Box(top=1, left=2, bottom=3.5, right=4),
        Point(row=2, column=9),
        Line(start=Point(row=1, column=1), end=Point(row=5, column=4)),
        PointInSpace(x=-15, y=-20, z=50),
    ]
)


@st.composite
def any_findings(draw: st.DrawFn) -> Findings:
    """Segments with and without voxels, locations of every shape, evaluations, numbers of all sizes, remarks."""
    segments: list[Segment] = []
    locations: list[Location] = []
    measurements: list[Measurement] = []
    for label in draw(st.lists(LABELS, unique=True, max_size=4)):
        about: dict[str, Any] = {"certainty": draw(SHARES), "finding_site": draw(st.none() | CODES), "laterality": draw(SIDES)}
        if draw(st.booleans()):
            mask = made.blob() if draw(st.booleans()) else np.zeros(made.SHAPE, dtype=bool)
            segments.append(made.segment(label, mask, type=draw(CODES), **about))
        else:
            about["qualities"] = tuple(
                draw(st.lists(st.builds(Quality, name=CODES, value=CODES), max_size=2, unique_by=lambda one: one.name))
            )
            locations.append(Location(label=label, finding=draw(CODES), shape=draw(SHAPES), image=draw(st.integers(0, 8)), **about))
        owner: dict[str, Any] = {"segment" if segments and segments[-1].label == label else "location": label}
        values = draw(st.lists(st.floats(-1e300, 1e300), max_size=2))
        measurements += [Measurement(name=draw(CODES), value=value, unit=draw(UNITS), **owner) for value in values]
    evaluations = st.builds(Evaluation, finding=CODES, value=st.sampled_from([codes.ABSENT, codes.PRESENT, codes.UNDETERMINED]))
    return Findings(
        segments=tuple(segments),
        locations=tuple(locations),
        measurements=tuple(measurements),
        evaluations=tuple(draw(st.lists(evaluations, max_size=2))),
        remarks=tuple(draw(st.lists(LABELS, max_size=2))),
    )


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Volume]:
    """One series for many findings."""
    files = made.series(tmp_path_factory.mktemp("head"))
    return files, assemble(files)


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(findings=any_findings())
def test_no_finding_is_ever_lost(head: tuple[list[Path], Volume], findings: Findings) -> None:
    """Whatever is found, both narratives are made, and their own check, which reads them back, finds every finding, number and remark."""
    files, volume = head
    objects = encode(made.encoding(files, findings, volume=volume, profiles=(BOTH,)))
    for narrative in narratives(objects).values():
        said = [str(item.TextValue) for item in texts(narrative)]
        assert all(any(remark in text for text in said) for remark in findings.remarks)
        tracked = {str(item.UID) for sentence in texts(narrative) for item in below(sentence, "UIDREF")}
        assert len(tracked) >= len(findings.segments) + len(findings.locations) + len(findings.evaluations)
