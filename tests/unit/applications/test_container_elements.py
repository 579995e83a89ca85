"""Counting the elements of a file before a library reads it: as many as pydicom finds, and no wait for a gigabyte of nothing."""

import struct
import time
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
    generate_uid,
)

from inference.applications.container.elements import elements_of
from inference.imaging.header import PARSE_ERRORS

HEAD = bytes(128) + b"DICM"
EMPTY = struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", 0)
MANY = 10**9


def contained(dataset: Dataset) -> int:
    """Elements and items, as pydicom has them."""
    of_items = sum(1 + contained(item) for element in dataset if element.VR == "SQ" for item in element.value)
    return len(dataset) + of_items


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=["implicit", "explicit"])
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
def test_elements_in_sequences_count_and_so_do_items(tmp_path: Path, syntax: UID, undefined: bool) -> None:
    """Three elements, a sequence of two items with a sequence in the first: counted by hand; a delimiter counts as what it ends."""
    inner, outer, empty = Dataset(), Dataset(), Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "one"
    inner.is_undefined_length_sequence_item = outer.is_undefined_length_sequence_item = undefined
    outer.ConceptNameCodeSequence = Sequence([inner])
    made = Dataset()
    made.PatientID, made.PixelData, made.ContentSequence = "P", bytes(40), Sequence([outer, empty])
    made["ContentSequence"].is_undefined_length = outer["ConceptNameCodeSequence"].is_undefined_length = undefined
    made["PixelData"].VR = "OW"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = SegmentationStorage, generate_uid()
    made.save_as(tmp_path / "made.dcm", enforce_file_format=True)
    meta = len(pydicom.dcmread(tmp_path / "made.dcm").file_meta)
    # 3 elements, 2 items, 1 sequence in the first of them, its item with 2; delimiters of 2 sequences and 2 items
    assert elements_of(tmp_path / "made.dcm", MANY) == meta + 3 + 2 + 1 + 1 + 2 + (4 if undefined else 0)


def test_what_other_programs_wrote_is_counted_as_pydicom_finds_it() -> None:
    """Files of many makers: never fewer, or a bound would not hold; more only by delimiters, of which each ends a sequence or an item."""
    compared = 0
    for name in sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm")):
        try:
            with warnings.catch_warnings(action="ignore"):
                dataset = pydicom.dcmread(name)
                found = contained(dataset) + len(dataset.file_meta)
        except PARSE_ERRORS:
            continue
        if dataset.file_meta.get("TransferSyntaxUID") in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
            continue
        assert found <= elements_of(name, MANY) <= 2 * found, name
        compared += 1
    assert compared > 50


def test_a_gigabyte_of_empty_elements_takes_no_minutes(tmp_path: Path) -> None:
    """A hole in a file is as many zeros as one likes; counting ends above the bound."""
    with (tmp_path / "zeros.dcm").open("wb") as file:
        file.write(HEAD)
        file.truncate(1 << 30)
    begun = time.process_time()
    assert elements_of(tmp_path / "zeros.dcm", 100_000) == 100_001
    assert time.process_time() - begun < 20


def test_the_end_of_an_item_where_none_is_hides_nothing(tmp_path: Path) -> None:
    """At the level of the file, delimiters are elements that a reader passes over."""
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    (tmp_path / "ends.dcm").write_bytes(HEAD + EMPTY + ends + 50 * EMPTY)
    assert elements_of(tmp_path / "ends.dcm", MANY) == 53


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 8) + EMPTY,
        struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 8) + struct.pack("<HHI", 0xFFFE, 0xE00D, 0),
    ],
    ids=["an element", "an end"],
)
def test_a_sequence_of_what_is_no_item_is_no_dicom(tmp_path: Path, content: bytes) -> None:
    """It would have to be guessed where it ends."""
    (tmp_path / "odd.dcm").write_bytes(HEAD + content)
    with pytest.raises(ValueError, match=r"a sequence holds|a delimiter stands"):
        elements_of(tmp_path / "odd.dcm", MANY)
