"""Where every profile of a job leads with Chinese, what is made once for all sinks is Chinese too: descriptions, conclusions, pages."""

import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL.ImageDraw import ImageDraw

from inference import codes
from inference.findings import Caution, Findings
from inference.translatable import say
from node.domain.profile import VIEWER, Kind, Language, Profile
from node.results.encode import encode
from node.results.page.words import PAGE_WORDS
from node.results.port import Encoded
from tests.results import kinds, made

HAN = re.compile(r"[\u4e00-\u9fff]")
CHINESE = replace(VIEWER, name="chinese", languages=(Language.CHINESE,), kinds=frozenset(Kind))
BOTH = replace(CHINESE, name="both", languages=(Language.CHINESE, Language.ENGLISH))
ENGLISH_FIRST = replace(CHINESE, name="english first", languages=(Language.ENGLISH, Language.CHINESE))


def objects(case: Callable[[Path], kinds.Case], folder: Path, *profiles: Profile) -> list[tuple[Encoded, pydicom.Dataset]]:
    """What the case gives for sinks with these profiles."""
    return [(one, pydicom.dcmread(BytesIO(one.data))) for one in encode(replace(case(folder).encoding, profiles=profiles))]


def sentences(report: pydicom.Dataset) -> list[str]:
    """The conclusion and the comments, which stand first."""
    return [str(item.TextValue) for item in report.ContentSequence[0].ContentSequence]


@pytest.mark.parametrize("case", [kinds.masks, kinds.nothing, kinds.study, kinds.places, kinds.mapped, kinds.smoothed_ct])
def test_descriptions_conclusions_and_their_language_are_chinese(case: Callable[[Path], kinds.Case], tmp_path: Path) -> None:
    """In the character set that holds them (ISO_IR 192), no longer than an LO may be, in characters (PS3.5 6.2); no English word is left
    in them but names of software and what the case says in its own words."""
    reports = 0
    for one, dataset in objects(case, tmp_path, CHINESE, BOTH):
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert HAN.search(dataset.SeriesDescription), (one.kind, dataset.SeriesDescription)
        assert dataset.SeriesDescription.startswith("颅内容积")
        assert len(dataset.SeriesDescription) <= 64
        if one.kind in (Kind.SR, Kind.DETECTIONS):
            reports += 1
            (conclusion, *rest) = sentences(dataset)
            assert not re.sub(r"mr-brain 1\.2\.3|[ch]?mm?3?|cm³|HU", "", conclusion).strip("0123456789 ").isascii()
            assert re.findall(r"[A-Za-z]{3,}", conclusion.replace("mr-brain", "")) == []
            assert all(HAN.search(said) for said in rest if said != "Slices are 1.5 mm apart.")
            languages = [item for item in dataset.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121049"]
            assert [item.ConceptCodeSequence[0].CodeValue for item in languages] == ["zh"]
    assert reports or case in (kinds.mapped, kinds.smoothed_ct)


@pytest.mark.parametrize("profiles", [(ENGLISH_FIRST,), (CHINESE, VIEWER), (VIEWER,)])
def test_english_leads_where_anybody_leads_with_it(profiles: tuple[Profile, ...], tmp_path: Path) -> None:
    """Objects are made once for all sinks: what [en, zh] and a mixture of sinks get is in the language that all can read."""
    for one, dataset in objects(kinds.masks, tmp_path, *profiles):
        assert not HAN.search(dataset.SeriesDescription), one.kind
        if one.kind is Kind.SR:
            assert not HAN.search(" ".join(sentences(dataset)))


def test_marks_and_cautions_come_first_and_in_chinese(tmp_path: Path) -> None:
    """INCOMPLETE stands before the noun, in the conclusion and on the page: it is the first that a reader must know."""
    case = kinds.masks(tmp_path)
    mark = say("INCOMPLETE {came} of {expected}", came="154", expected="384")
    said = say("This is revision {revision}: it replaces the result{made}, which was made from other images.", revision="2", made=say(""))
    findings: Findings = replace(case.encoding.findings, cautions=(Caution(sentence=said, mark=mark),))
    for one in encode(replace(case.encoding, findings=findings, profiles=(CHINESE,))):
        dataset = pydicom.dcmread(BytesIO(one.data))
        assert dataset.SeriesDescription.startswith("不完整（384中的154）：颅内容积")
        if one.kind is Kind.SR:
            assert HAN.match(sentences(dataset)[0])
            assert "revision" not in sentences(dataset)[0]


def test_the_page_is_another_picture_of_the_same_findings(tmp_path: Path) -> None:
    """Same size, same source images, other words."""
    pages = []
    for profile in (CHINESE, VIEWER):
        ((_, page),) = [pair for pair in objects(kinds.masks, tmp_path / profile.name, profile) if pair[0].kind is Kind.SC]
        pages.append(page)
    assert pages[0].pixel_array.shape == pages[1].pixel_array.shape
    assert not np.array_equal(pages[0].pixel_array, pages[1].pixel_array)
    assert len(pages[0].SourceImageSequence) == len(pages[1].SourceImageSequence)
    assert HAN.search(pages[0].DerivationDescription)
    assert HAN.search(pages[0].ImageComments)


TEXTS = frozenset(
    {
        *("SeriesDescription", "ContentDescription", "DerivationDescription", "ImageComments", "LUTLabel", "LUTExplanation"),
        "FrameOfReferenceTransformationComment",
    }
)
"""Texts of a result that viewers show beside its pixels, and that no code says."""


@pytest.mark.parametrize(
    "case", [kinds.masks, kinds.mapped, kinds.registered, kinds.smoothed_ct, kinds.chest_radiograph, kinds.denoised_head, kinds.study]
)
def test_what_viewers_show_of_an_object_beside_its_pixels_is_chinese(case: Callable[[Path], kinds.Case], tmp_path: Path) -> None:
    """What a segmentation, a map or a registration is (its content description), what values mean, how an image was derived: no English
    word but names of software, data sets and methods, and what the case calls things in its own words."""
    own = {
        "PDF",
        "brain",
        "lesion",
        "map",
        "smooth",
        "register",
        "denoise",
        "chest",
        "xray",
        "smoothed",
        "prior",
        "aligned",
        "Grad",
        "CAM",
        "PneumoniaMNIST",
        "UTC",
        "hilum",
    }
    looked_at = 0
    for one, dataset in objects(case, tmp_path, CHINESE):
        for element in dataset.iterall():
            if element.keyword in TEXTS and element.value:
                looked_at += 1
                said = re.findall(r"[A-Za-z]{3,}", re.sub(r"\(sha256.*|[0-9a-f]{12}\)", "", str(element.value)))
                assert set(said) <= own, (one.kind, element.keyword, element.value)
    assert looked_at > 3


def test_words_of_pages_have_no_english_left() -> None:
    """By hand: what each of them says of one measurement of a lung."""
    chinese = PAGE_WORDS[Language.CHINESE]
    segment = made.segment("left lung", made.blob(), type=codes.LUNG, laterality=codes.LEFT)
    assert chinese.structure(segment) == "左肺"
    assert chinese.place(codes.LEFT, codes.LUNG) == "左肺"
    assert chinese.counted(9, "slice") == "9层"
    assert chinese.value(codes.ABSENT) == "未见"
    assert chinese.sentence(say("{tissue} C {centre} W {width}", tissue=say("lung"), centre="-600", width="1500")) == "肺窗 C -600 W 1500"


@pytest.mark.parametrize(
    ("case", "kind", "names"),
    [
        (kinds.mapped, Kind.OVERLAY, {"brain", "lesion", "map", "net"}),
        (kinds.chest_radiograph, Kind.EXPLANATION, {"chest", "xray", "pneumonia", "Grad", "CAM"}),
    ],
)
def test_pages_of_maps_and_explanations_are_chinese(
    case: Callable[[Path], kinds.Case], kind: Kind, names: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No English word is drawn, there or on the summary page, but names of software, data sets and methods and what the case calls its
    map; nor does one stand in the header that says what is drawn."""
    drawn: list[str] = []
    plain = ImageDraw.text

    def text(self: ImageDraw, at: tuple[float, float], words: str, **more: Any) -> None:
        drawn.append(words)
        plain(self, at, words, **more)

    monkeypatch.setattr(ImageDraw, "text", text)
    profile = replace(CHINESE, kinds=frozenset({kind}))
    (page,) = (dataset for one, dataset in objects(case, tmp_path, profile) if one.kind is kind)
    said = [*drawn, page.SeriesDescription, page.DerivationDescription, page.ImageComments]
    words = {word for one in said for word in re.findall(r"[A-Za-z]{3,}", re.sub(r"\(sha256.*|[0-9a-f]{12}\)", "", one))}
    assert words <= names | {"hilum", "UTC", "PneumoniaMNIST", "JPEG", "DICOM"}
    assert len([one for one in drawn if HAN.search(one)]) > 8
    if kind is Kind.EXPLANATION:
        assert {"仅解释网络的判断，不表示病变部位"} <= set(drawn)
        assert all("不表示病变部位" in one for one in (page.SeriesDescription, page.DerivationDescription))
