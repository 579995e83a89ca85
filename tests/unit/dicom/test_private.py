"""Private elements by their creator: pydicom writes them, in the block and the syntax that it is told."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.dicom.header import read_header
from node.domain.instance import Header
from node.domain.private_name import PrivateName, private_of
from node.routing.conditions import try_on
from node.settings.conditions import Conditions
from node.settings.source import Here, snippet

B_VALUE = "(0019,xx0C) SIEMENS MR HEADER"


def written(
    *elements: tuple[int, str, Any], block: int = 0x10, creator: str = "SIEMENS MR HEADER", syntax: UID = ExplicitVRLittleEndian
) -> bytes:
    """A Part 10 file with elements of group 0019 in one block."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2", "1.2.1", "MR"
    if creator:
        dataset.add_new((0x0019, block), "LO", creator)
    for number, vr, value in elements:
        dataset.add_new((0x0019, block << 8 | number), vr, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def header(file: bytes, *names: str) -> Header:
    return read_header(file, private_of(names))[1]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("block", [0x10, 0x2A])
def test_a_value_is_found_in_whichever_block_and_syntax(syntax: UID, block: int) -> None:
    """Implicitly its representation is known of the creator; others of the group, and the same number of another creator, are left."""
    file = written((0x0C, "IS", 1000), (0x0D, "CS", "DIRECTIONAL"), block=block, syntax=syntax)
    assert header(file, B_VALUE)[B_VALUE] == (1000,)
    assert "(0019,xx0D) SIEMENS MR HEADER" not in header(file, B_VALUE)
    assert header(file, "(0019,xx0C) GEMS_ACQU_01") == {**header(file), "(0019,xx0C) GEMS_ACQU_01": ()}
    assert not [name for name in header(file) if name.startswith("(")], "nobody asked"


@pytest.mark.parametrize(
    ("vr", "value", "said"),
    [
        ("LO", "1000", (1000,)),  # a number under another representation
        ("LO", ["void", "3.5"], ("void", 3.5)),
        ("LO", "12345678901", ("12345678901",)),  # of something, and no number
        ("FD", [0.5, 1.5], (0.5, 1.5)),
        ("UN", b"1000", (1000,)),
        ("UN", b"12.5\\3\0 ", ("8 bytes",)),  # a NUL in the middle is no padding
        ("UN", b"1.000000000001", (1.000000000001,)),
        ("UN", b"100\0", (100,)),
        ("UN", b"1\0", ("2 bytes",)),  # the binary number 49, and no 1
        ("UN", b"12\0\0", ("4 bytes",)),
        ("UN", b"\x01\x00\x80\xff", ("4 bytes",)),
        ("OB", b"\x01\x02", ("2 bytes",)),
        ("UT", "x" * 2000, ("2000 bytes",)),
        ("LO", "", ()),
        ("SQ", [], ()),
    ],
)
def test_what_is_read_of_a_value(vr: str, value: Any, said: tuple[Any, ...]) -> None:
    """Of an element that no dictionary knows; what cannot be read counts as there, by its size."""
    name = "(0019,xx7E) NOBODY KNOWS"
    assert header(written((0x7E, vr, value), creator="NOBODY KNOWS"), name)[name] == said


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_groups_between_the_frames_and_the_pixels_are_read_as_well(syntax: UID) -> None:
    """Vendors' factors of PET stand behind the functional groups, and in front of the pixels."""
    name = "(7053,xx00) Philips PET Private Group"
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.128", "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2", "1.2.1", "PT"
    dataset.PerFrameFunctionalGroupsSequence = [Dataset()]
    dataset.add_new((0x7053, 0x0010), "LO", "Philips PET Private Group")
    dataset.add_new((0x7053, 0x1000), "DS", "0.000380257")
    dataset.PixelData = b"\0\0"
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    assert header(file.getvalue(), name)[name] == (0.000380257,)
    assert header(file.getvalue()) == {key: values for key, values in header(file.getvalue(), name).items() if key != name}


@pytest.mark.parametrize("text", ["12345678901", "1000", "0.000380257", "1.000000000001"])
def test_a_route_reads_a_value_as_headers_have_it(text: str) -> None:
    """Numbers, and the number of something."""
    name = "(0019,xx7E) NOBODY KNOWS"
    (asked,) = Conditions().read(snippet(f'"{name}": {text}'), Here(file="", folder=Path()))
    assert try_on(asked, header(written((0x7E, "LO", text), creator="NOBODY KNOWS"), name), datetime(2026, 3, 10, tzinfo=UTC)).held


def test_a_block_that_nobody_reserved_says_nothing() -> None:
    """Its elements have no creator (PS3.5 7.8.1)."""
    assert header(written((0x0C, "IS", 1000), creator=""), B_VALUE)[B_VALUE] == ()


@pytest.mark.parametrize("text", ["(0019,xx0C) SIEMENS MR HEADER", "(0019,XX0c)  SIEMENS MR HEADER ", "(0019, xx0c) SIEMENS MR HEADER"])
def test_a_name_has_one_form(text: str) -> None:
    """However it is typed."""
    assert PrivateName.of(text).text == B_VALUE
