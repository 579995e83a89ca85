"""Elements as bytes: what the node writes and reads plainly is what pydicom writes, and its one table of VRs is the standard's."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.filewriter import write_data_element, write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR
from pydicom.valuerep import VR as Known

from inference.imaging.errors import NotDicom
from node.dicom.elements import UNDEFINED, element, element_head, item, plain_elements, plain_items, sequence, text_element
from node.dicom.part10 import PREAMBLE, dataset_offset
from node.dicom.vr import HEAD_BYTES, LONG, REPRESENTATIONS, SHORT, may_be_vr


def by_pydicom(dataset: Dataset) -> bytes:
    """In Explicit VR Little Endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def test_the_table_has_every_vr_and_its_form() -> None:
    """All of PS3.5 6.2, with the lengths of four bytes where 7.1.2 has them."""
    assert set(REPRESENTATIONS) == {str(vr).encode() for vr in STANDARD_VR}
    assert {str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32 if vr in STANDARD_VR} == LONG
    assert set(HEAD_BYTES) == SHORT | LONG
    assert not SHORT & LONG
    assert all(may_be_vr(vr) for vr in REPRESENTATIONS)
    assert not may_be_vr(b"U\0")


@pytest.mark.parametrize(
    ("keyword", "vr", "value"), [("SOPInstanceUID", b"UI", "1.2.3"), ("Modality", b"CS", "CT"), ("RetrieveURL", b"UR", "dicom://a")]
)
def test_text_is_written_and_padded_as_the_library_does(keyword: str, vr: bytes, value: str) -> None:
    """Odd lengths become even by a zero in UIDs and by a space elsewhere, behind heads of both lengths."""
    dataset = Dataset()
    setattr(dataset, keyword, value)
    (tag,) = dataset.keys()
    assert text_element(tag, vr, value) == by_pydicom(dataset)


def test_sequences_are_written_as_the_library_does_and_read_again() -> None:
    """Two items, of which one is empty: with defined lengths, element by element."""
    dataset, full = Dataset(), Dataset()
    full.ReferencedSOPClassUID, full.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    dataset.ReferencedSOPSequence = [full, Dataset()]
    first = (text_element(0x00081150, b"UI", full.ReferencedSOPClassUID), text_element(0x00081155, b"UI", full.ReferencedSOPInstanceUID))
    written = sequence(0x00081199, item(*first), item())
    assert written == by_pydicom(dataset)
    ((tag, head, start, end),) = plain_elements(written)
    assert (tag, head, start, end) == (0x00081199, 0, 12, len(written))
    assert list(plain_items(written[start:end])) == [b"".join(first), b""]


def test_a_head_is_written_before_its_value_is_there() -> None:
    """Pixels of undefined length: the head that the library writes."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    dataset = Dataset()
    dataset.add_new("PixelData", Known.OB, b"\xfe\xff\x00\xe0\0\0\0\0")
    dataset["PixelData"].is_undefined_length = True
    write_data_element(buffer, dataset["PixelData"])
    assert element_head(0x7FE00010, b"OB", UNDEFINED) == buffer.getvalue()[:12]


@pytest.mark.parametrize("cut", range(1, 20))
def test_what_is_cut_off_is_no_plain_element(cut: int) -> None:
    """Wherever the bytes end but behind an element."""
    whole = element(0x00081150, b"UI", b"1.2.3\0") + element(0x00420011, b"OB", b"\1\2")
    assert len(list(plain_elements(whole))) == 2
    if len(whole) - cut != 14:
        with pytest.raises(NotDicom):
            list(plain_elements(whole[:-cut]))


@pytest.mark.parametrize("value", [b"\xfe\xff\x00\xe0\4\0\0\0\0", b"\xfe\xff\x00\xe0", b"\x08\0\x50\x11\0\0\0\0", item(b"ab")[:-1]])
def test_what_is_no_item_is_told(value: bytes) -> None:
    """Items that are cut off, and something else where an item must be."""
    with pytest.raises(NotDicom):
        list(plain_items(value))


def test_the_data_set_begins_where_the_library_finds_it() -> None:
    """By the group length, which stands first."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "4711"
    file = BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    content = file.getvalue()
    assert content.startswith(PREAMBLE)
    assert content[dataset_offset(content) :] == by_pydicom(dataset)
    assert dcmread(BytesIO(content)).PatientID == "4711"
