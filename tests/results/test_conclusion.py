"""The sentence that each report begins with: it stands alone, says first what must be known first; no number misleads."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.port import EvaluationOutput, LocationOutput
from inference.findings import Box, Caution, Evaluation, Findings, Location, Measurement
from inference.translatable import say
from node.domain.profile import Kind, Language, Profile
from node.domain.shortage import Lack, Shortage
from node.flow.infer import as_incomplete
from node.results.check import check
from node.results.encode import encode
from node.results.narrative.english import English
from node.results.narrative.sentences import conclusion as say_conclusion
from node.results.page import lettering, picture, table
from node.results.page.capture import page_of
from node.results.page.table import entries
from node.results.page.words import PAGE_WORDS
from node.results.port import Encoded, ResultMalformed, ValuesDiffer
from node.results.sources import read_sources
from tests.lab import validators
from tests.results import made
from tests.results.reports import SITE, comments, groups, named, read, value, walk

EVERYTHING = Profile(name="everything", kinds=frozenset(Kind), languages=tuple(Language))
SHORT = Caution(sentence=say("INCOMPLETE: 154 of 384 images came."), mark="INCOMPLETE 154 of 384")
OLD = Caution(sentence=say("It replaces a result of 2025-01-01."))
BY = "By mr-brain 1.2.3: research result, not for diagnosis; made by software, not verified by a person."


def cut(folder: Path) -> list[Encoded]:
    """A lung that goes on beyond the images, of a series that is short; detections beside it; in every kind of report."""
    lung = made.segment("left lung", made.blob(), type=codes.LUNG, laterality=codes.LEFT, finding_site=codes.LUNG)
    volume = Measurement(name=codes.VOLUME, value=1234.5678, unit=codes.CUBIC_CENTIMETRE, segment="left lung", at_least=True)
    spot = Location(label="l1", finding=made.LESION, shape=Box(top=3, left=3, bottom=6, right=7), image=4, certainty=0.87)
    found = Findings(segments=(lung,), measurements=(volume,), locations=(spot,), cautions=(SHORT, OLD), remarks=("Thick slices.",))
    return encode(made.encoding(made.series(folder), found, profiles=(EVERYTHING,)))


def conclusion(report: Dataset) -> str:
    """The first content item of the first container, which is the first content item of all."""
    first = report.ContentSequence[0].ContentSequence[0]
    assert (first.ConceptNameCodeSequence[0].CodeMeaning, first.ValueType) == ("Conclusion", "TEXT")
    return str(first.TextValue)


def test_every_report_begins_with_it(tmp_path: Path) -> None:
    """About segments, about the series, of detections: cautions, the gravest first; what, where, how much, how sure; by what."""
    reports = [pydicom.dcmread(BytesIO(one.data)) for one in cut(tmp_path) if one.kind in (Kind.SR, Kind.DETECTIONS)]
    assert len(reports) == 2
    for report in reports:
        assert conclusion(report) == (
            "INCOMPLETE: 154 of 384 images came. It replaces a result of 2025-01-01. Lesion 1 on image 5: certainty 87 %. "
            f"Left lung: volume at least 1230 cm³. {BY}"
        )
        assert comments(report) == ["Thick slices."]


def test_the_narratives_begin_with_it_in_both_languages(tmp_path: Path) -> None:
    """The first section of the document is the impression, and that one sentence is all of it."""
    said = {}
    for one in cut(tmp_path):
        if one.kind is Kind.NARRATIVE:
            sections = [item for item in pydicom.dcmread(BytesIO(one.data)).ContentSequence if item.ValueType == "CONTAINER"]
            assert [section.ConceptNameCodeSequence[0].CodeValue for section in sections] == ["19005-8", "59776-5", "55111-9"]
            (only,) = sections[0].ContentSequence
            said[one.form] = str(only.TextValue)
    assert said["en"].startswith("INCOMPLETE: 154 of 384 images came. It replaces a result of 2025-01-01. Lesion 1 on image 5")
    assert said["en"].endswith(BY)
    assert said["zh"].startswith(
        "重要提示（英文原文）：INCOMPLETE: 154 of 384 images came.重要提示（英文原文）：It replaces a result of 2025-01-01.病变1"
    )
    assert "体积至少1230 cm³" in said["zh"]


def test_a_bound_is_one_to_machines_too(tmp_path: Path) -> None:
    """The number has a modifier that says so; one that lost it may not leave."""
    objects = cut(tmp_path)
    (report,) = (pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind is Kind.SR)
    (number,) = named(groups(report)[0], codes.VOLUME)
    (bound,) = number.ContentSequence
    assert bound.RelationshipType == "HAS CONCEPT MOD"
    assert bound.ConceptCodeSequence[0].CodeMeaning.startswith("At least")
    assert (str(number.MeasuredValueSequence[0].NumericValue), number.MeasuredValueSequence[0].FloatingPointValue) == ("1230", 1234.5678)


def test_the_page_says_it_first_and_calls_a_bound_one() -> None:
    """Cautions take room above the findings; the value reads "at least"."""
    lung = made.segment("left lung", np.ones((1, 2, 2), dtype=bool))
    volume = Measurement(name=codes.VOLUME, value=1234.5678, unit=codes.CUBIC_CENTIMETRE, segment="left lung", at_least=True)
    (entry,) = entries(Findings(segments=(lung,), measurements=(volume,)), ["image 1"], [])
    assert entry.values == [("Volume", "at least 1230 cm³")]


@pytest.mark.parametrize(
    ("answer", "probability", "number", "sentence"),
    [
        (codes.ABSENT, 0.0231, None, "Pneumonia: absent in the chest; probability of pneumonia 2 %."),
        (codes.PRESENT, 0.97688, "98", "Pneumonia: present in the chest; probability of pneumonia 98 %."),
        (codes.UNDETERMINED, 0.4, "40", "Pneumonia: undetermined in the chest; probability of pneumonia 40 %."),
    ],
)
def test_the_number_is_the_probability_of_the_finding_and_beside_absent_there_is_none(
    answer: codes.Code, probability: float, number: str | None, sentence: str, tmp_path: Path
) -> None:
    """ "97.68718 % Absent" stood in a viewer: a reader could not tell of what. The sentence has the probability in every case."""
    found = Findings(evaluations=(Evaluation(finding=codes.PNEUMONIA, value=answer, finding_site=codes.CHEST, probability=probability),))
    triage = made.application(triage_only=True, outputs=(EvaluationOutput(finding=codes.PNEUMONIA),))
    (report,) = read(encode(made.encoding(made.series(tmp_path), found, application=triage)), "sr")
    (group,) = groups(report)
    assert [str(one.MeasuredValueSequence[0].NumericValue) for one in named(group, "111012")] == ([number] if number else [])
    assert value(group, SITE) == codes.CHEST.value
    assert conclusion(report).startswith(sentence)


@pytest.mark.parametrize("answer", [codes.PRESENT, codes.ABSENT])
def test_the_page_leads_with_it_and_says_the_same_number(answer: codes.Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cautions, then what was found, above pictures and table; beside Absent stands no number, in the sentence it does."""
    lines: list[tuple[float, str]] = []

    def write(draw: Any, at: tuple[float, float], text: str, *rest: Any, **more: Any) -> float:
        if draw is not None:
            lines.append((at[1], text))
        return lettering.write(draw, at, text, *rest, **more)

    monkeypatch.setattr(picture, "write", write)
    monkeypatch.setattr(table, "write", write)
    found = Findings(
        evaluations=(Evaluation(finding=codes.PNEUMONIA, value=answer, finding_site=codes.CHEST, probability=0.97688),), cautions=(SHORT,)
    )
    encode(made.encoding(made.series(tmp_path), found))
    said = [text for _, text in sorted(lines)]
    word = answer.meaning.lower()
    sentence = f"Pneumonia: {word} in the chest; probability of pneumonia 98 %."
    assert said.index(SHORT.sentence) < said.index(sentence) < said.index("Pneumonia")
    probable = [text for text in said if "98 %" in text]
    assert len(probable) == (1 if answer == codes.ABSENT else 2)


def test_the_page_leads_with_whole_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they have no room for all of them, a mark stands for the rest: "Nodul…" ended one."""
    lead: list[str] = []

    def write(draw: Any, at: tuple[float, float], text: str, size: int, *rest: Any, **more: Any) -> float:
        if size == 23:
            lead.append(text)
        return lettering.write(draw, at, text, size, *rest, **more)

    monkeypatch.setattr(picture, "write", write)
    shapes = (Box(top=1, left=1, bottom=4, right=4 + 0.5 * number) for number in range(5))
    names = [f"a lesion of a long name {number}" for number in range(5)]
    found = Findings(
        locations=tuple(
            Location(label=name, finding=made.LESION, shape=shape, image=4, certainty=0.9)
            for name, shape in zip(names, shapes, strict=True)
        ),
        measurements=tuple(
            Measurement(name=what, value=12.3, unit=codes.MILLIMETRE, location=name, derivation=codes.MEAN)
            for name in names
            for what in (codes.LONG_AXIS, codes.SHORT_AXIS, codes.DIAMETER, codes.VOLUME, codes.ATTENUATION_COEFFICIENT)
        ),
    )
    encode(made.encoding(made.series(tmp_path), found))
    assert len(lead) <= 4
    said = " ".join(lead)
    assert said.endswith("certainty 90 %. …")
    assert "Lesion 4" not in said


@pytest.mark.parametrize(("value", "text"), [(1.797, "1.80"), (0.05, "0.0500"), (3.0, "3"), (1792.4, "1790")])
def test_the_number_that_viewers_show_is_the_one_in_the_sentence(value: float, text: str, tmp_path: Path) -> None:
    """ "1.8 cm3" stood below "1.80 cm³"."""
    files = made.series(tmp_path)
    found = Findings(measurements=(Measurement(name=codes.VOLUME, value=value, unit=codes.CUBIC_CENTIMETRE),))
    (report,) = read(encode(made.encoding(files, found)), "sr")
    (number,) = named(groups(report)[0], codes.VOLUME)
    assert str(number.MeasuredValueSequence[0].NumericValue.original_string) == text
    assert conclusion(report).startswith(f"All images: volume {text} cm³.")


def _silenced(report: Dataset) -> None:
    report.ContentSequence[0].ContentSequence[0].TextValue = "Left lung: volume at least 1230 cm³. By mr-brain 1.2.3."


def _last(report: Dataset) -> None:
    report.ContentSequence.append(report.ContentSequence.pop(0))


def _whole(report: Dataset) -> None:
    (number,) = named(groups(report)[0], codes.VOLUME)
    del number.ContentSequence


@pytest.mark.parametrize(("spoil", "error"), [(_silenced, ValuesDiffer), (_last, ResultMalformed), (_whole, ValuesDiffer)])
def test_a_report_without_it_may_not_leave(spoil: object, error: type[Exception], tmp_path: Path) -> None:
    """A caution that was lost, a conclusion that comes last, a bound that reads as a value: each is found when it is read back."""
    assert callable(spoil)
    found = Findings(
        segments=(made.segment("brain", made.blob()),),
        measurements=(Measurement(name=codes.VOLUME, value=0.9, unit=codes.CUBIC_CENTIMETRE, segment="brain", at_least=True),),
        cautions=(SHORT,),
    )
    encoding = made.encoding(made.series(tmp_path), found)
    objects: Sequence[Encoded] = encode(encoding)
    check(objects, encoding, read_sources(encoding))
    spoilt = []
    for one in objects:
        if one.kind is Kind.SR:
            dataset = pydicom.dcmread(BytesIO(one.data))
            spoil(dataset)
            dataset.save_as(file := BytesIO())
            one = replace(one, data=file.getvalue())
        spoilt.append(one)
    with pytest.raises(error):
        check(spoilt, encoding, read_sources(encoding))


@pytest.mark.peers
@pytest.mark.slow
def test_validators_take_it(tmp_path: Path) -> None:
    """dciodvfy, dsrdump and PixelMed on every report: the conclusion, the bound and the title are faults to none."""
    paths = made.save(cut(tmp_path / "source"), tmp_path / "results")
    reports = [path for path in paths if pydicom.dcmread(path, stop_before_pixels=True).Modality == "SR"]
    assert len(reports) == 4
    assert [fault for path in reports for fault in validators.faults_of(path, report=True)] == []


def test_what_is_there_is_named_before_what_is_absent(tmp_path: Path) -> None:
    """A conclusion and a page name few of many answers: the one finding that is there stood behind four that are not, and was left out."""
    answers = [Evaluation(finding=made.LESION, value=codes.ABSENT, laterality=side, probability=0.01) for side in (codes.LEFT, codes.RIGHT)]
    answers += [Evaluation(finding=codes.LUNG, value=codes.ABSENT), Evaluation(finding=codes.BRAIN, value=codes.ABSENT)]
    answers += [Evaluation(finding=codes.HIPPOCAMPUS, value=codes.UNDETERMINED), Evaluation(finding=codes.PNEUMONIA, value=codes.PRESENT)]
    found = Findings(evaluations=tuple(answers))
    (report,) = read(encode(made.encoding(made.series(tmp_path), found)), "sr")
    assert conclusion(report).startswith("Pneumonia: present. Hippocampus: undetermined. ")
    assert conclusion(report).endswith(f"2 more entries below. {BY}")
    assert [entry.word for entry in entries(found, ["image 1"], [])][:2] == ["Present", "Undetermined"]


def test_an_empty_mask_of_cut_images_has_no_volume(tmp_path: Path) -> None:
    """ "INCOMPLETE … nothing is measured", and then "volume 0 cm³": what was not sent was not looked through."""
    empty = made.segment("lesion", np.zeros(made.SHAPE, dtype=bool), type=made.LESION)
    shortage = Shortage(lack=Lack.COUNT, came=154, expected=384)
    files = made.series(tmp_path)
    found = as_incomplete(Findings(segments=(empty,)), shortage, made.encoding(files, Findings()).subject, marked=True)
    encoding = made.encoding(files, found, profiles=(EVERYTHING,))
    assert page_of(encoding, read_sources(encoding)).title.startswith("INCOMPLETE 154 of 384: ")
    objects = encode(encoding)
    for one in objects:
        if one.kind in (Kind.SR, Kind.NARRATIVE):
            said = list(walk(pydicom.dcmread(BytesIO(one.data))))
            assert not [
                item for item in said if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == codes.VOLUME.value
            ]
    (report,) = read(objects, "sr")
    assert conclusion(report).startswith("INCOMPLETE 154 of 384: ")
    assert "Lesion: undetermined. " in conclusion(report), "and not in the head, of which a part is missing"


def test_nothing_is_absent_of_images_that_did_not_come(tmp_path: Path) -> None:
    """What the application calls absent, a mask without a voxel, and what it always looks for and does not mention: each is undetermined,
    to machines, in the sentences of both languages and on the page. No number says absent in other words."""
    files = made.series(tmp_path)
    said = Findings(
        evaluations=(Evaluation(finding=codes.PNEUMONIA, value=codes.ABSENT, finding_site=codes.LUNGS, probability=0.02),),
        segments=(made.segment("lesion", np.zeros(made.SHAPE, dtype=bool), type=made.LESION),),
        measurements=(
            Measurement(name=codes.VOLUME, value=0.0, unit=codes.CUBIC_CENTIMETRE, total=codes.LUNGS, parts=("lesion",)),
            Measurement(name=codes.VOLUME, value=0.0, unit=codes.CUBIC_CENTIMETRE, segment="lesion"),
        ),
    )
    whole = made.encoding(files, said)
    found = as_incomplete(said, Shortage(lack=Lack.COUNT, came=154, expected=384), whole.subject, marked=True)
    looks_for = made.application(outputs=(LocationOutput(finding=codes.NODULE),))
    encoding = replace(made.encoding(files, found, profiles=(EVERYTHING,)), application=looks_for)
    objects = encode(encoding)
    (report,) = read(objects, "sr")
    answers = {
        group: [str(item.ConceptCodeSequence[0].CodeMeaning) for item in groups(report)[number].ContentSequence if item.ValueType == "CODE"]
        for number, group in enumerate(("lesion", "nodule", "pneumonia"))
    }
    assert all("Undetermined" in meanings for meanings in answers.values()), answers
    for one in objects:
        if one.kind in (Kind.SR, Kind.NARRATIVE):
            items = list(walk(pydicom.dcmread(BytesIO(one.data))))
            assert not [item for item in items if item.ValueType == "NUM" and item.RelationshipType != "HAS ACQ CONTEXT"]
            coded = {str(item.ConceptCodeSequence[0].CodeValue) for item in items if item.ValueType == "CODE"}
            assert codes.ABSENT.value not in coded
            text = " ".join(str(item.TextValue) for item in items if item.ValueType == "TEXT")
            claims = ("absent", "none found", "not found", "nothing was found", "未见", "未检出", "2 %")
            assert not any(word in text.lower() for word in claims)
    (chinese,) = (pydicom.dcmread(BytesIO(one.data)) for one in objects if (one.kind, one.form) == (Kind.NARRATIVE, "zh"))
    assert "不能确定" in " ".join(str(item.TextValue) for item in walk(chinese) if item.ValueType == "TEXT")
    page = page_of(encoding, read_sources(encoding))
    words = {entry.word for entry in entries(found, page.image_names, page.absent or ())}
    assert words == {"Undetermined"}


def test_a_lesion_on_a_short_series_has_its_length_and_no_volume(tmp_path: Path) -> None:
    """Its diameter stands on one image, which came; how far it goes through those that did not nobody knows."""
    spot = Location(label="l1", finding=made.LESION, shape=Box(top=3, left=3, bottom=6, right=7), image=4)
    values = [(codes.VOLUME, 0.3, codes.CUBIC_CENTIMETRE), (codes.LONG_AXIS, 9.0, codes.MILLIMETRE)]
    measured = tuple(Measurement(name=name, value=value, unit=unit, location="l1") for name, value, unit in values)
    subject = made.encoding(made.series(tmp_path), Findings()).subject
    shortage = Shortage(lack=Lack.TORN, came=154, expected=None)
    found = as_incomplete(Findings(locations=(spot,), measurements=measured), shortage, subject, marked=True)
    assert [one.name for one in found.measurements] == [codes.LONG_AXIS]
    assert found.cautions[0].sentence == (
        "INCOMPLETE: not all instances of the series came; the transfer broke off. "
        "No volume is given, and nothing is measured of the whole or of its structures: any of them may be cut."
    )


def test_of_incomplete_images_nobody_says_that_nothing_was_found(tmp_path: Path) -> None:
    """An application that has nothing to say of them: the caution stands alone."""
    encoding = made.encoding(made.series(tmp_path), Findings(cautions=(SHORT,), cut=True))
    sources = read_sources(encoding)
    assert say_conclusion(encoding, sources, English()) == f"{SHORT.sentence} {BY}"
    assert [entry.name for entry in entries(encoding.findings, ["image 1"], [])] == ["Undetermined"]


def test_nothing_is_certain_that_is_not(tmp_path: Path) -> None:
    """Three digits of 99.97 % are 100 %, which viewers showed beside ">99 %"."""
    found = Findings(evaluations=(Evaluation(finding=codes.PNEUMONIA, value=codes.PRESENT, probability=0.9997),))
    (report,) = read(encode(made.encoding(made.series(tmp_path), found)), "sr")
    (number,) = named(groups(report)[0], "111012")
    assert str(number.MeasuredValueSequence[0].NumericValue) == "99.97"


def test_the_explained_answer_says_of_what_its_number_is() -> None:
    """Beside "absent" a bare "probability 3 %" reads as that of absence."""
    one = Evaluation(finding=codes.PNEUMONIA, value=codes.ABSENT, probability=0.031)
    assert PAGE_WORDS[Language.ENGLISH].answer(one) == "answer: pneumonia absent; probability of pneumonia 3 %"
