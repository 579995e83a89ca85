"""A table of codes for the labels of a model: what is read, and which lines are refused."""

import csv
from pathlib import Path

import pytest

from inference import codes
from inference.applications.bundle.codes_file import read_codes
from inference.applications.bundle.errors import UncodedStructure, UnreadableCodes
from inference.applications.bundle.names import known, structures, words_of
from inference.codes import Code
from tests.lab import needs

TYPE = "SegmentedPropertyTypeCodeSequence"
HEAD = f"Structure,{TYPE}.CodingSchemeDesignator,{TYPE}.CodeValue,{TYPE}.CodeMeaning"

_SIDES = ("SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionModifierSequence")


def table(folder: Path, *lines: str, head: str = HEAD) -> Path:
    """A file of these lines."""
    made = folder / "codes.csv"
    made.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8-sig")
    return made


def test_labels_get_what_the_table_says(tmp_path: Path) -> None:
    """By name, however it is written; the table goes before what is known, and what the operator says of a channel before the table."""
    head = f"{HEAD},AnatomicRegionSequence.CodingSchemeDesignator,AnatomicRegionSequence.CodeValue,AnatomicRegionSequence.CodeMeaning"
    listed = read_codes(
        table(
            tmp_path,
            'funny_gland_left,SCT,23451007,Adrenal gland,,,,SCT,7771000,Left,"1,2,3"',
            "spot,SCT,52988006,Lesion,SCT,10200004,Liver",
            "Spleen,99LAB,S1,Our spleen",
            head=f"{head},SegmentedPropertyTypeModifierCodeSequence.CodingSchemeDesignator,SegmentedPropertyTypeModifierCodeSequence.CodeValue,"
            "SegmentedPropertyTypeModifierCodeSequence.CodeMeaning,DicomRGBColor",
        )
    )
    said = known("aorta")
    gland, spot, spleen, other = structures({1: "Funny-Gland left", 2: "spot", 3: "spleen", 4: "spot"}, {4: said}, listed)
    assert (gland.type.value, gland.laterality, gland.rgb) == ("23451007", codes.LEFT, (1, 2, 3))
    assert (spot.type, spot.site) == (codes.LESION, Code("10200004", "SCT", "Liver"))
    assert (spleen.type, spleen.category) == (Code("S1", "99LAB", "Our spleen"), codes.ANATOMICAL_STRUCTURE)
    assert other.type.meaning == "Aorta"
    with pytest.raises(UncodedStructure):
        structures({1: "another gland"}, {}, listed)


@pytest.mark.parametrize(
    ("head", "line", "said"),
    [
        ("Structure,Code", "liver,1", "no column SegmentedPropertyTypeCodeSequence.CodeValue"),
        (HEAD, "liver,SCT,,Liver", "codes.csv:2: SegmentedPropertyTypeCodeSequence.CodeValue"),
        (HEAD, "liver,,,", "codes.csv:2: it has no code"),
        (HEAD, "liver,SCT,123456789012345678901,Liver", "not 1 to 16 characters"),
        (HEAD, " ,SCT,10200004,Liver", "codes.csv:2: the structure has no name"),
        (HEAD, "liver,SCT,10200004,Liver\nLIVER,SCT,1,Other", 'codes.csv:3: "LIVER" stands there twice'),
        (f"{HEAD},DicomRGBColor", 'liver,SCT,10200004,Liver,"1,2,300"', "not three numbers of 0 to 255"),
        pytest.param(f"{HEAD},DicomRGBColor", f'liver,SCT,10200004,Liver,"1,2,{"9" * 5000}"', "not three numbers of 0 to 255", id="long"),
        (
            ",".join((HEAD, *(f"{one}.{part}" for one in _SIDES for part in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")))),
            "kidney,SCT,64033007,Kidney,SCT,7771000,Left,SCT,24028007,Right",
            "say two sides",
        ),
        (HEAD, 'liver,SCT,"10200004,Liver', "cannot be read as a table"),
    ],
)
def test_a_line_that_says_no_code_is_named(head: str, line: str, said: str, tmp_path: Path) -> None:
    """Nothing is guessed from half a code."""
    with pytest.raises(UnreadableCodes) as refused:
        read_codes(table(tmp_path, line, head=head))
    assert said in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfeS\x00", b"PK\x03\x04"])
def test_what_is_no_table(content: bytes, tmp_path: Path) -> None:
    """An empty file, UTF-16, a workbook."""
    file = tmp_path / "codes.csv"
    file.write_bytes(content)
    with pytest.raises(UnreadableCodes):
        read_codes(file)
    with pytest.raises(UnreadableCodes):
        read_codes(tmp_path / "absent.csv")


def test_a_modifier_that_is_no_side_leaves_no_name_known(tmp_path: Path) -> None:
    """The upper part of a liver is not the liver that is known by that name."""
    modifier = "SegmentedPropertyTypeModifierCodeSequence"
    head = f"{HEAD},{modifier}.CodingSchemeDesignator,{modifier}.CodeValue,{modifier}.CodeMeaning"
    listed = read_codes(table(tmp_path, "liver,SCT,10200004,Liver,SCT,261183002,Upper", head=head))
    with pytest.raises(UncodedStructure):
        structures({1: "liver"}, {}, listed)


def test_the_published_table_of_totalsegmentator() -> None:
    """Read whole; each of its 170 names is known here without it, with its codes and colour, but for what `anatomy` says."""
    file = needs.data("tables", "totalsegmentator_snomed.csv")
    listed = read_codes(file)
    with file.open(encoding="utf-8", newline="") as opened:
        names = [row["Structure"] for row in csv.DictReader(opened)]
    assert len(names) == 170
    other = []
    for name in names:
        found, said = known(name), listed.get(" ".join(words_of(name)))
        assert found is not None
        if said is None or (found.type.value, found.laterality, found.site, found.rgb) != (
            said.type.value,
            said.laterality,
            said.site,
            said.rgb,
        ):
            other.append(name)
    assert other == ["lung_covid_infiltrate", "gluteus_minimus"]
