"""Chinese wholly in Chinese: what hilum says of its own has a translation, from the source to the journal to the object."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from string import Formatter

import pydicom
import pytest

import inference
import node
from inference import codes, findings_file
from inference.applications import catalog
from inference.applications.bundle.names import known
from inference.applications.hippocampus.application import PARTS
from inference.applications.port import DerivedOutput, ExplanationOutput, SaliencyOutput
from inference.errors import InputError
from inference.findings import Caution, Evaluation, Findings
from inference.imaging.errors import NotInOneFrame
from inference.imaging.subjects import left_out
from inference.translatable import LABEL, Translatable, labelled, say
from node.domain.notes import NoResult, Statement, Why
from node.domain.profile import Kind, Language, Profile
from node.domain.shortage import Lack, Shortage
from node.flow.infer import as_incomplete
from node.results.encode import encode
from node.results.narrative.chinese import Chinese
from node.results.narrative.nouns_chinese import NOUNS
from node.results.narrative.reasons_chinese import REASONS, because
from node.results.narrative.terms_chinese import LABELS, SENTENCES, in_chinese
from node.results.statement.wording import of_series, sentence
from tests.results import made

_ROOTS = tuple(Path(package.__path__[0]) for package in (inference, node))
_WORDS = re.compile(r"[A-Za-z]{3,}")


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of hilum that says sentences."""
    for root in _ROOTS:
        for path in sorted(root.rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "from inference.translatable import" in text or path.name == "translatable.py":
                yield path, ast.parse(text)


def templates() -> Iterator[tuple[str, str, set[str]]]:
    """(where, template, names of the values) of every call of `say`."""
    for path, module in sources():
        for called in ast.walk(module):
            if isinstance(called, ast.Call) and isinstance(called.func, ast.Name) and called.func.id == "say":
                first, where = called.args[0], f"{path.name}:{called.lineno}"
                if isinstance(first, ast.Name) and first.id == "LABEL":
                    continue
                assert isinstance(first, ast.Constant), f"{where}: a template is written where it is called, or nobody can look for it"
                names = {one.arg for one in called.keywords if one.arg is not None}
                yield where, str(first.value), names if all(one.arg for one in called.keywords) else fields(str(first.value))


def fields(template: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def test_every_sentence_in_the_source_has_a_translation() -> None:
    """Whoever writes a new sentence adds its Chinese; neither needs a value that is not given."""
    found = list(templates())
    assert len(found) > 90
    assert [f"{where}: {template}" for where, template, _ in found if template not in SENTENCES] == []
    given = {template: names for _, template, names in found}
    short = [where for where, template, _ in found if not fields(template) <= given[template]]
    # structures stand in the Chinese, and labels in the English sentence; what a code stands for is said of each code
    beside = {template: {"structures", *(["because"] if "code" in names else [])} for template, names in given.items()}
    lacking = {template: fields(SENTENCES[template]) - given[template] - beside[template] for template in given}
    assert (short, {template: names for template, names in lacking.items() if names}) == ([], {})
    assert set(SENTENCES) - set(given) == set(), "translations of what nobody says any more"


def test_no_caution_is_a_bare_text() -> None:
    """A caution in the source is said with `say`: a text alone could not be translated."""
    bare = [
        f"{path}:{called.lineno}"
        for root in _ROOTS
        for path in root.rglob("*.py")
        for called in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(called, ast.Call) and isinstance(called.func, ast.Name) and called.func.id == "Caution"
        for keyword in called.keywords
        if keyword.arg == "sentence" and isinstance(keyword.value, ast.Constant | ast.JoinedStr)
    ]
    assert bare == []


def test_no_translation_holds_an_english_word_that_is_no_name() -> None:
    """Names of programs, data sets, file formats and units stay; everything else is Chinese."""
    names = {"Slicer", "dcmqi", "UTC", "PneumoniaMNIST", "BLAST", "JPEG", "DICOM", "PET", "FreeSurfer", "BraTS", "LIDC", "IDRI", "keV"}
    words = {word for text in SENTENCES.values() for word in _WORDS.findall(re.sub(r"\{\w+\}", "", text))}
    assert words <= names


def test_a_sentence_keeps_what_it_is_made_of_in_the_journal() -> None:
    """Written and read back, nested sentences, codes and several in a row included; equal sentences, equal bytes."""
    shortage = Shortage(lack=Lack.COUNT, came=154, expected=384)
    unlike = say(
        "What was marked looks unlike {form} ({reasons}): look at the segmentation before using any value.",
        form=say("a brain"),
        reasons=(say("its form is ragged"), say("it is {wide} mm wide", wide="410")),
    )
    whole = as_incomplete(Findings(remarks=(labelled("lung left", codes.LUNG, codes.LEFT), "somebody else's")), shortage, None, marked=True)
    findings = replace(whole, cautions=(*whole.cautions, Caution(sentence=unlike)))
    data = findings_file.dumps(findings)
    again = findings_file.loads(data)
    assert findings_file.dumps(again) == data
    assert again.cautions[0].sentence == "INCOMPLETE 154 of 384: not all instances of the series came; the sender lists more."
    assert [in_chinese(one.sentence) for one in again.cautions] == [
        "序列不完整：应收384个实例，实收154个（发送方登记的数量多于实收数量）。",
        "所勾画的区域形态不似脑（轮廓不规整；左右径达410 mm）；使用任何数值前请先核对分割结果。",
    ]
    assert [in_chinese(one) for one in again.remarks] == ["左肺", None]


def test_a_text_of_somebody_else_says_that_it_is_english() -> None:
    """A remark of another author's application, or of an earlier release, is never passed off as translated."""
    assert Chinese().remark("Thick slices.") == "注（英文原文）：Thick slices."
    assert Chinese().caution(say("The series may be incomplete: {shortage}.", shortage=say("the transfer broke off"))) == (
        "重要提示：序列可能不完整：传输中断。"
    )


def test_every_application_has_its_words() -> None:
    """Nouns, and labels of maps and series, of all that comes with hilum; a structure without a label of its own goes by its codes."""
    labels = set()
    for name in catalog.names():
        assert name in NOUNS
        for one in catalog.load(name).outputs:
            if isinstance(one, SaliencyOutput | DerivedOutput | ExplanationOutput):
                labels.add(one.label)
    assert labels | {label for label, _ in PARTS.values()} <= set(LABELS)


def test_every_refusal_of_images_has_its_reason_in_chinese() -> None:
    """A statement names why, by the code of the error: each class that is about the images has words of its own."""
    for name in catalog.names():
        catalog.load(name)
    for root in _ROOTS:
        for file in root.rglob("*errors.py"):
            import_module(".".join(file.relative_to(root.parent).with_suffix("").parts))
    known = {one.code for one in _subclasses(InputError) if one.__module__.startswith(("inference.", "node."))}
    assert len(known) > 40
    assert sorted(known - set(REASONS)) == []
    assert because("HLM-4002") == "模型或推理引擎未能完成分析"


def test_a_role_that_was_left_out_says_why_in_chinese() -> None:
    """By what its code stands for: the words of the error are English, and name files."""
    said = left_out("T1c", NotInOneFrame("T1c, series 1.2.3, lies in another frame of reference than T1, and is not registered"))
    assert Chinese().remark(said) == "注：T1c未纳入分析：合并分析的序列不在同一参考坐标系内（HLM-3035）。"
    assert said.endswith("and is not registered [HLM-3035]")


def test_structures_of_one_code_are_told_apart() -> None:
    """An effusion that is not found is no effusion of another place; what a code says whole needs no label."""
    said = [known(name) for name in ("pleural_effusion", "pericardial_effusion", "kidney_cyst_left", "kidney_left")]
    labels = ("pleural effusion", "pericardial effusion", "kidney cyst left", "kidney left")
    told = [in_chinese(labelled(label, one.type, one.laterality)) for label, one in zip(labels, said, strict=True) if one is not None]
    assert told == ["积液（pleural effusion）", "积液（pericardial effusion）", "左囊肿（kidney cyst left）", "左肾"]


def _subclasses(kind: type[InputError]) -> Iterator[type[InputError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _subclasses(one)


def test_a_statement_has_no_english_in_its_chinese() -> None:
    """What was not answered, and why, without a word of the job's English reason."""
    reason = NoResult(
        job=1, series_instance_uid="1.2", why=Why.DECLINED, code="HLM-3121", reason="the echo time is 90 ms, on T1 at most 40 ms"
    )
    said = [
        sentence(Statement(series=(reason,)), "颅内容积（mr-brain 1.0.0）", Language.CHINESE),
        of_series("4", reason, Language.CHINESE),
    ]
    assert said[1] == "序列4：图像的加权方式不符合此项分析的要求[HLM-3121]"
    assert [_WORDS.findall(one) for one in said] == [["brain"], ["HLM"]]
    assert of_series("4", reason, Language.ENGLISH).endswith("at most 40 ms [HLM-3121]")


def test_a_note_names_no_folder_and_no_host_of_the_node() -> None:
    """It goes into an archive; what is not about the images is for the operator, whom the code leads to the words of the job."""
    absent = 'model "brain" is not in the repository /srv/hilum/models'
    failed = NoResult(job=1, series_instance_uid="1.2", why=Why.FAILED, code="HLM-4101", reason=absent)
    said = of_series("4", failed, Language.ENGLISH)
    assert said == "Series 4: the model, or what computes it, did not give an answer [HLM-4101]"
    away = of_series("4", replace(failed, code="HLM-4001", reason="grpc://10.0.0.7:8001 does not answer"), Language.ENGLISH)
    assert "10.0.0.7" not in away


@pytest.mark.slow
def test_a_chinese_narrative_holds_no_english_sentence(tmp_path: Path) -> None:
    """Cautions, remarks and examination in the object itself; names, units and identifiers stay as they are."""
    remark = say(
        "The slices lie {least} to {most} mm apart: in volumes each counts half the way to both its neighbours.", least="1.0", most="2.5"
    )
    caution = Caution(
        sentence=say(
            "This is revision {revision}: it replaces the result{made}, which was made from other images.",
            revision="2",
            made=say(" of {moment} UTC", moment="2026-01-02 03:04"),
        )
    )
    findings = Findings(
        evaluations=(Evaluation(finding=codes.PNEUMONIA, value=codes.ABSENT, finding_site=codes.CHEST, probability=0.021),),
        remarks=(remark,),
        cautions=(caution,),
    )
    paths = made.series(tmp_path)
    profile = Profile(name="chinese", kinds=frozenset({Kind.SR, Kind.NARRATIVE}), languages=(Language.CHINESE,))
    encoding = made.encoding(paths, findings, profiles=(profile,))
    (narrative,) = (pydicom.dcmread(BytesIO(one.data)) for one in encode(encoding) if one.kind is Kind.NARRATIVE)
    texts = [
        str(item.TextValue) for section in narrative.ContentSequence if section.ValueType == "CONTAINER" for item in section.ContentSequence
    ]
    assert texts[0].startswith("重要提示：本报告为第2版，取代2026-01-02 03:04（UTC）依据其他图像得出的结果。")
    assert "注：层间距1.0～2.5 mm不等；计算体积时，每层按至相邻两层各一半的距离计。" in texts
    assert {word for text in texts for word in _WORDS.findall(re.sub(r"sha256 [0-9a-f]+", "", text))} <= {"brain", "hilum", "net", "UTC"}


def test_english_is_what_it_reads_as() -> None:
    """A sentence is a text to all that knows no other: equal, in a set, in a log."""
    assert (
        say("Voxels are {spacing} mm apart: volumes are approximate.", spacing="5.0") == "Voxels are 5.0 mm apart: volumes are approximate."
    )
    assert isinstance(labelled("x", codes.LUNG, None), Translatable)
    assert LABEL not in SENTENCES
