"""PDFs: read by programs that did not write them; the glyphs are inside, the words are those of the narrative, names are never boxes."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pypdf
import pytest
from pydicom.dataset import Dataset

from node.domain.errors import ResultError
from node.domain.profile import Kind, Language, Profile
from node.results.encode import encode
from node.results.kind import Checking, ReadBack
from node.results.kinds import KINDS
from node.results.narrative.sentences import WORDINGS, sentences
from node.results.narrative.wording import Section
from node.results.pdf.check import check
from node.results.pdf.pages import Pages
from node.results.port import Encoded, Encoding, ReferencesDiffer, ResultMalformed
from node.results.sources import read_sources
from tests.lab import validators
from tests.results import made
from tests.results.test_narrative import everything

PDFS = Profile(name="pdfs", kinds=frozenset({Kind.PDF, Kind.SR, Kind.DETECTIONS}), languages=(Language.ENGLISH, Language.CHINESE))


@pytest.fixture
def encoding(tmp_path: Path) -> Encoding:
    """Everything, wanted as PDF in both languages."""
    return made.encoding(made.series(tmp_path), everything(), profiles=(PDFS,))


def documents(encoding: Encoding) -> dict[str, Dataset]:
    """By language."""
    return {one.form: pydicom.dcmread(BytesIO(one.data)) for one in encode(encoding) if one.kind == Kind.PDF}


def content(dataset: Dataset) -> bytes:
    """The file inside, without the byte that makes it even."""
    return bytes(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])


def read(dataset: Dataset) -> str:
    """All its text as pypdf finds it, without white space: lines are folded."""
    pages = pypdf.PdfReader(BytesIO(content(dataset)), strict=True).pages
    return "".join("".join(page.extract_text() for page in pages).split())


def test_it_is_the_document_that_the_standard_describes(encoding: Encoding) -> None:
    """PS3.3 A.45.1: modality, type, title, what it was made from, and that the patient stands on it."""
    made_of = documents(encoding)
    assert set(made_of) == {"en", "zh"}
    for dataset in made_of.values():
        assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
        assert (dataset.Modality, dataset.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
        assert (dataset.BurnedInAnnotation, dataset.VerificationFlag) == ("YES", "UNVERIFIED")
        assert dataset.ConceptNameCodeSequence[0].CodeValue == "18748-4"
        sources = {item.ReferencedSOPInstanceUID for item in dataset.SourceInstanceSequence}
        assert sources >= {source.SOPInstanceUID for source in encoding.sources}
    assert made_of["zh"].DocumentTitle == "影像自动分析报告: mr-brain 1.2.3"


@pytest.mark.slow
@pytest.mark.parametrize("language", list(Language))
def test_another_program_reads_every_sentence(encoding: Encoding, language: Language) -> None:
    """pypdf finds the conclusion, each finding as a row or a sentence, no sentence twice, the patient, and each Tracking UID; in Chinese
    too: the glyphs carry their code points."""
    text = read(documents(encoding)[language])
    said = sentences(encoding, read_sources(encoding), WORDINGS[language])
    for one in said:
        if one.text == WORDINGS[language].standing("RESEARCH"):
            continue  # the foot of every page
        # who says so stands at the head and at the foot
        words = one.brief if one.section is Section.IMPRESSION else one.text
        concluded = words in said[0].brief
        shown = concluded or (one.section is not Section.EXAMINATION and one.row is None)
        assert text.count("".join(words.split())) == shown, words
        if one.tracked:
            assert one.tracked[1] in text
        if one.row:
            assert "".join(one.row[0].split()) in text
    assert "DoeJane" in text
    assert "P-1" in text


@pytest.mark.slow
def test_every_glyph_is_in_the_file(encoding: Encoding) -> None:
    """Each font is embedded as a subset: nothing depends on what the reader's computer has."""
    for dataset in documents(encoding).values():
        fonts: dict[str, Any] = {}
        for page in pypdf.PdfReader(BytesIO(content(dataset))).pages:
            resources: Any = page["/Resources"]
            fonts |= {name: font.get_object() for name, font in resources["/Font"].items()}
        assert fonts
        for font in fonts.values():
            assert "/FontFile2" in font["/FontDescriptor"]
            assert str(font["/BaseFont"])[7] == "+"
    assert max(len(content(dataset)) for dataset in documents(encoding).values()) < 400_000


@pytest.mark.slow
def test_the_same_encoding_gives_the_same_bytes(encoding: Encoding) -> None:
    """No clock and no dice; its date is that of the journal."""
    first, second = documents(encoding), documents(encoding)
    assert content(first["zh"]) == content(second["zh"])
    metadata = pypdf.PdfReader(BytesIO(content(first["en"]))).metadata
    assert metadata is not None
    assert metadata.creation_date == made.AT.replace(microsecond=0)
    assert metadata.title == "Automated image analysis report: mr-brain"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Müller^Łucja", "MüllerŁucja"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "YamadaTarou山田太郎やまだたろう"),
        ("Иванов^Иван", "ИвановИван"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "HongGildong洪吉洞"),
        ("שלום^דוד", "(inascriptthatthispagecannotset:seetheheader)"),
    ],
)
def test_a_name_is_never_shown_in_boxes(tmp_path: Path, name: str, shown: str) -> None:
    """What can be set is set; a group that cannot is left to the others; where none can, the page says where the name is."""
    files = made.series(tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 192", name
        dataset.save_as(path)
    written = documents(made.encoding(files, everything(), profiles=(replace(PDFS, languages=(Language.ENGLISH,)),)))["en"]
    assert str(written.PatientName) == name
    assert f"Patient{shown}Study" in read(written)


@pytest.mark.parametrize("before", range(30, 48))
def test_no_line_of_a_paragraph_stands_alone(before: int) -> None:
    """Wherever a page ends: a paragraph of two or three lines is not parted, a longer one never by a single line."""
    pages = Pages()
    for number in range(before):
        pages.line(f"one {number}", 10)
    pages.line("two " + "words " * 20, 10)
    pages.line("three " + "words " * 40, 10)
    pages.line("four " + "words " * 80, 10)
    file = pages.finished(title="t", author="a", language="en", at=made.AT, foot="foot", number=lambda page, of: f"{page}/{of}")
    for page in pypdf.PdfReader(BytesIO(file), strict=True).pages:
        lines = [line for line in page.extract_text().split("\n") if "words" in line]
        starts = [place for place, line in enumerate(lines) if line.startswith(("two", "three", "four"))]
        parts = [len(part) for part in np.split(np.asarray(lines), starts) if len(part)]
        assert 1 not in parts, lines


@pytest.mark.parametrize("before", range(30, 48))
def test_no_row_of_a_table_stands_alone(before: int) -> None:
    """Wherever a page ends: its head stands above each part, no part is a single row, and the heading stands on the page of the first. One
    row stood below the pictures, the others on the next page without a head."""
    pages = Pages()
    for number in range(before):
        pages.line(f"one {number}", 10)
    pages.table(
        [("what", "how much"), *((f"row {number}", "1 mm\n2 mm") for number in range(5))], (0.5, 0.5), 9, head=True, heading="Found"
    )
    file = pages.finished(title="t", author="a", language="en", at=made.AT, foot="foot", number=lambda page, of: f"{page}/{of}")
    parts = [page.extract_text() for page in pypdf.PdfReader(BytesIO(file), strict=True).pages]
    parts = [text for text in parts if "row" in text]
    assert sum(text.count("row") for text in parts) == 5
    for text in parts:
        assert text.count("row") > 1
        assert text.index("what") < text.index("row")
    assert "Found" in parts[0]


@pytest.mark.parametrize("language", list(Language))
def test_objects_have_a_name_in_every_language(language: Language) -> None:
    """What sentences rest on, one word a kind: "DETECTIONS" stood in Chinese documents."""
    held = [one.kind for one in KINDS if one.held is not None]
    named = [WORDINGS[language].object(kind) for kind in held]
    assert len(set(named)) == len(held)
    assert all(any(letter >= "\u4e00" for letter in name) for name in named) is (language is Language.CHINESE)


@pytest.mark.slow
def test_no_page_is_turned_for_a_few_lines(encoding: Encoding) -> None:
    """The last page of several holds a seventh of a page at least, else the pictures are smaller."""
    for dataset in documents(encoding).values():
        pages = pypdf.PdfReader(BytesIO(content(dataset))).pages
        assert len(pages) == 1 or len(pages[-1].extract_text().split("\n")) > 6


def test_long_documents_go_on_on_the_next_page() -> None:
    """Hundreds of lines and a table of hundreds of rows: each on a page, in order, above the footer."""
    pages = Pages()
    pages.heading("Much")
    for number in range(150):
        pages.line(f"line {number:03}. " + "很长的一行" * 12, 10, indent=12, mark="·")
    pages.table([("what", "how much"), *((f"row {number:03}", "1 mm") for number in range(120))], (0.5, 0.5), 9, head=True)
    file = pages.finished(title="t", author="a", language="zh", at=made.AT, foot="研究" * 60, number=lambda page, of: f"{page}/{of}")
    found = pypdf.PdfReader(BytesIO(file), strict=True)
    text = "".join(page.extract_text() for page in found.pages)
    places = [
        text.index(word) for word in [*(f"line {number:03}" for number in range(150)), *(f"row {number:03}" for number in range(120))]
    ]
    assert places == sorted(places)
    assert all(f"{number}/{len(found.pages)}" in page.extract_text() for number, page in enumerate(found.pages, 1))


def _cut_off(dataset: Dataset) -> None:
    dataset.EncapsulatedDocument = bytes(dataset.EncapsulatedDocument)[:-200]
    dataset.EncapsulatedDocumentLength = len(dataset.EncapsulatedDocument)


def _active(dataset: Dataset) -> None:
    file = content(dataset).replace(b"/Type /Catalog", b"/OpenAction 9 ", 1)
    dataset.EncapsulatedDocument, dataset.EncapsulatedDocumentLength = file + b"\0" * (len(file) % 2), len(file)


def _nobody_on_it(dataset: Dataset) -> None:
    dataset.BurnedInAnnotation = "NO"


def _a_stranger(dataset: Dataset) -> None:
    dataset.SourceInstanceSequence[0].ReferencedSOPInstanceUID = "1.2.3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error"),
    [(_cut_off, ResultMalformed), (_active, ResultMalformed), (_nobody_on_it, ResultMalformed), (_a_stranger, ReferencesDiffer)],
)
def test_a_pdf_that_is_not_whole_or_not_ours_may_not_leave(
    encoding: Encoding, change: Callable[[Dataset], None], error: type[ResultError]
) -> None:
    """Cut off, with something that runs, without saying that the patient stands on it, about images of somebody else."""
    read = [ReadBack(one=one, dataset=pydicom.dcmread(BytesIO(one.data))) for one in encode(encoding)]
    pdf = next(each for each in read if (each.one.kind, each.one.form) == (Kind.PDF, "en"))
    others = [each for each in read if each.one.kind not in (Kind.PDF, Kind.NARRATIVE)]
    checking = Checking(series=[pdf], encoding=encoding, sources=read_sources(encoding), others=others)
    check(checking)
    change(pdf.dataset)
    with pytest.raises(error):
        check(checking)


@pytest.mark.peers
@pytest.mark.slow
def test_validators_find_nothing_in_pdfs(encoding: Encoding, tmp_path: Path) -> None:
    """dicom3tools holds nothing against the module; poppler, where it is installed, reads the same words."""
    objects: list[Encoded] = [one for one in encode(encoding) if one.kind == Kind.PDF]
    for path, one in zip(made.save(objects, tmp_path / "out"), objects, strict=True):
        assert validators.faults_of(path) == []
        if shutil.which("pdftotext"):
            file = tmp_path / f"{one.form}.pdf"
            file.write_bytes(content(pydicom.dcmread(path)))
            text = subprocess.run(["pdftotext", file, "-"], capture_output=True, check=True).stdout.decode()
            word = {"en": "Lesion1intheleftlungonimage5", "zh": "左肺病变1，位于图像5"}[one.form]
            assert word in "".join(text.split())
