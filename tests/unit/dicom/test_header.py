"""Headers: the same as pydicom reads them, in any script, and never more than an error from a hostile file."""

import struct
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from inference.errors import InputError
from inference.imaging.errors import MissingAttribute, NotDicom, UnsupportedSyntax
from node.dicom.header import merge, read_header
from node.dicom.part10 import received_head as received
from node.dicom.uid import IMPLEMENTATION_CLASS_UID
from node.dicom.vr import CODED
from node.domain.instance import Header
from tests.contract.test_blobs import reception
from tests.lab import needs
from tests.unit.flow.files import BIG, DEFLATED, LITTLE, PLACE, UIDS, by_hand, data_set, element, part10, slice_of

NO_VALUES = {"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "US or OW"}
LIFTED = (
    {"PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "ImageOrientationPatient", "ImagePositionPatient"}
    | CODED
    | {
        "RequestedProcedureDescription",
        "ScheduledProcedureStepDescription",
        "EffectiveEchoTime",
        "RescaleType",
        "InversionTimes",
        "MonoenergeticEnergyEquivalent",
        "NominalPercentageOfCardiacPhase",
        "NominalPercentageOfRespiratoryPhase",
        "TemporalPositionIndex",
    }
)


def _read_by_pydicom(content: bytes) -> dict[str, tuple[Any, ...]]:
    """The top-level values as pydicom converts them."""
    header: dict[str, tuple[Any, ...]] = {}
    for one in pydicom.dcmread(BytesIO(content), stop_before_pixels=True):
        if one.tag.is_private or one.VR in NO_VALUES or not one.keyword or one.tag.group >= 0x5000 or one.tag.element == 0:
            continue
        values = [] if one.value in (None, "") else list(one.value) if isinstance(one.value, MultiValue | list) else [one.value]
        header[one.keyword] = tuple(_plain(one.VR, value) for value in values)
    return header


def _plain(vr: str, value: Any) -> Any:
    if vr == "AT":
        return f"{int(value):08X}"
    if vr in ("DS", "IS") and value != "":
        return float(value) if vr == "DS" else int(value)
    return value if isinstance(value, int | float) else str(value).strip(" \0")


def _real_files() -> Iterator[tuple[str, bytes]]:
    for path in sorted(needs.data("dicom").rglob("*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                yield from ((f"{path.name}:{name}", archive.read(name)) for name in archive.namelist() if not name.endswith("/"))
        elif path.is_file():
            yield path.name, path.read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_real_headers_are_read_as_pydicom_reads_them() -> None:
    """Every top-level value of every real file (CT, MR, US, XA, PT, NM, SEG, RT; seven vendors; five syntaxes) is the same."""
    files = 0
    for name, content in _real_files():
        expected, (_, header) = _read_by_pydicom(content), read_header(content)
        for keyword in expected.keys() | (header.keys() - LIFTED):
            if len(str(expected.get(keyword, ""))) < 900:  # longer values are left out
                assert header.get(keyword) == expected.get(keyword), f"{name}: {keyword}"
        files += 1
    assert files > 600


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_where_the_frames_of_real_enhanced_images_lie_is_what_pydicom_reads() -> None:
    """Of every frame in its order; where the frames share one place, that one."""
    found = 0
    for name, content in _real_files():
        dataset = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
        positions = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames if "PlanePositionSequence" in frame]
        if positions and len(positions) == len(frames):
            expected = tuple(float(value) for position in positions for value in position)
            assert read_header(content)[1]["ImagePositionPatient"] == expected, name
            found += 1
    assert found > 20


@pytest.mark.parametrize("syntax", [*LITTLE, BIG, DEFLATED])
def test_every_way_of_writing_elements_is_understood(syntax: str) -> None:
    """Implicit and explicit, little and big endian, deflated: one header."""
    dataset = slice_of(7, SmallestImagePixelValue=3, FrameIncrementPointer=0x00181063, NumberOfFrames=1)
    identity, header = read_header(part10(dataset, syntax))
    assert (identity.sop_instance_uid, identity.series_instance_uid, identity.transfer_syntax_uid) == ("1.2.3.4.7", "1.2.3.4", syntax)
    assert header["InstanceNumber"] == (7,)
    assert header["PixelSpacing"] == (0.5, 0.5)
    assert header["Rows"] == (4,)
    assert header["SmallestImagePixelValue"] == (3,)
    assert header["FrameIncrementPointer"] == ("00181063",)
    assert "PixelData" not in header


@pytest.mark.parametrize("syntax", [b"1.2.840.10008.1.2.4.95", b"1.2.840.10008.1.2.4.205\0"])
def test_a_data_set_whose_pixels_are_elsewhere_is_deflated_too(syntax: bytes) -> None:
    """JPIP Referenced Deflate and its HTJ2K twin (PS3.5 A.7): what routes look at is read as of any other."""
    dataset = slice_of(7, PixelDataProviderURL="http://archive/1.2.3.4.7")
    del dataset.PixelData
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = squeeze.compress(data_set(dataset)) + squeeze.flush()
    assert read_header(by_hand(deflated, syntax))[1] == read_header(by_hand(data_set(dataset)))[1]


def test_implicit_elements_under_an_explicit_syntax_are_understood() -> None:
    """Some senders negotiate one and write the other."""
    content = part10(slice_of(7), LITTLE[1]).replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2\0")
    explicit = content.replace(b"UI\x12\x001.2.840.10008.1.2\0", b"UI\x14\x001.2.840.10008.1.2.1\0")
    assert read_header(explicit)[1]["InstanceNumber"] == (7,)


# ---- text; the first five are the examples of PS3.5 annexes H, I, J and K, byte for byte


@pytest.mark.parametrize(
    ("character_set", "raw", "text"),
    [
        (
            b"\\ISO 2022 IR 87 ",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (b"ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
        (b"GB18030 ", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
        (b"ISO_IR 13 ", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\xa5", "ﾔﾏﾀﾞ^ﾀﾛｳ=･"),
        (b"ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),  # no character set declared: most such senders mean Latin-1
        (b"NO SUCH SET ", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"rot13 ", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),  # one of Python's codecs, and no text encoding
        (b"ISO_IR 192", b"broken \xff\xfe", "broken ÿþ"),  # no UTF-8: nothing of it is lost
        (b"ISO_IR 192", b"\xe7\x8e\x8b^\xe5\xb0", "王^\ufffd"),  # UTF-8, cut off in the middle of a character
        (b"", "王^小".encode(), "王^小"),  # declared to be ASCII, and valid UTF-8
        (b"\\ISO 2022 IR 58", b"Zhang^\x1b$)A\xd5\xc5", "Zhang^张"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_names_in_any_script(character_set: bytes, raw: bytes, text: str) -> None:
    """Text is Unicode by the data set's own character set; what cannot be decoded is marked, never an error."""
    charset = element(0x00080005, b"CS", character_set) if character_set else b""
    name = raw + b" " * (len(raw) % 2)
    assert read_header(by_hand(charset + UIDS + element(0x00100010, b"PN", name) + PLACE))[1]["PatientName"] == (text,)


def test_a_backslash_that_is_half_a_character_separates_nothing() -> None:
    """In GB18030 the second byte of a character may be 0x5C (PS3.5 6.1.2.5.3 note): U+4E57 is 81 5C."""
    charset = element(0x00080005, b"CS", b"GB18030 ")
    content = by_hand(charset + UIDS + element(0x0008103E, b"LO", b"a\x81\x5cb\\c ") + PLACE)
    assert read_header(content)[1]["SeriesDescription"] == ("a\u4e57b", "c")


def test_values_are_plain_whatever_was_written() -> None:
    """NULs and spaces go, empty is empty, a number that is none stays text, what is too long or of a wrong length is left out."""
    _, header = read_header(
        by_hand(
            UIDS
            + element(0x00080050, b"SH", b" A1\0\0")
            + element(0x00081030, b"LO", b"")
            + element(0x0008103E, b"LO", b"x" * 1026)
            + element(0x00100020, b"LO", b"in\0side")
            + element(0x00180050, b"DS", b"thick\\2.5\\")
            + element(0x00180060, b"DS", b"1e999 ")
            + element(0x00180080, b"DS", b"1_000 ")
            + PLACE
            + element(0x00200011, b"IS", b"5.0 ")
            + element(0x00200012, b"IS", b"9" * 400)
            + element(0x00280010, b"US", b"\x01\x02\x03")
            + element(0x00281050, b"DS", b"   ")
        )
    )
    assert header["AccessionNumber"] == ("A1",)
    assert header["StudyDescription"] == ()
    assert "SeriesDescription" not in header
    assert header["PatientID"] == ("inside",)
    assert header["SliceThickness"] == ("thick", 2.5, "")
    assert header["KVP"] == ("inf",)
    assert header["RepetitionTime"] == ("1_000",)
    assert header["SeriesNumber"] == (5.0,)
    assert header["AcquisitionNumber"] == ("9" * 400,)
    assert "Rows" not in header
    assert header["WindowCenter"] == ()


# ---- enhanced multi-frame, contributing equipment


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", LITTLE)
def test_what_all_frames_share_is_lifted(syntax: str, undefined: bool) -> None:
    """Spacing, thickness and orientation of the shared functional groups count as the instance's own."""
    measures, orientation, shared, dataset = Dataset(), Dataset(), Dataset(), slice_of()
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [0.7, 0.8], 1.5, 1.75
    orientation.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    del dataset.PixelSpacing, dataset.ImageOrientationPatient
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    for part, keyword in [(dataset, "SharedFunctionalGroupsSequence"), (shared, "PixelMeasuresSequence")]:
        part[keyword].is_undefined_length = undefined
        part[keyword].value[0].is_undefined_length_sequence_item = undefined
    _, header = read_header(part10(dataset, syntax))
    assert header["PixelSpacing"] == (0.7, 0.8)
    assert (header["SliceThickness"], header["SpacingBetweenSlices"]) == ((1.5,), (1.75,))
    assert header["ImageOrientationPatient"] == (0, 1, 0, 0, 0, -1)
    assert "SharedFunctionalGroupsSequence" not in header


@pytest.mark.parametrize(
    ("manufacturer", "purpose", "made"), [("hilum", "109102", True), ("hilum", "109101", False), ("SIEMENS", "109102", False)]
)
def test_a_result_of_hilum_is_known_by_its_contributing_equipment(manufacturer: str, purpose: str, made: bool) -> None:
    """Processing equipment (109102, DCM) of this manufacturer, also as the second item; nothing else counts."""
    scanner, equipment, code = Dataset(), Dataset(), Dataset()
    scanner.Manufacturer = "SIEMENS"
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = purpose, "DCM", "Processing Equipment"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = manufacturer, Sequence([code])
    content = part10(slice_of(ContributingEquipmentSequence=Sequence([scanner, equipment])))
    assert read_header(content)[0].made_by_hilum is made


# ---- what is not there


def test_a_blanked_study_is_told_by_its_frame_of_reference() -> None:
    """De-identified in haste: without study and series UIDs, slices of one frame of reference and series stay together, others apart."""

    def identity(**attributes: Any) -> tuple[str, str]:
        blank = slice_of(SOPClassUID="", StudyInstanceUID="", SeriesInstanceUID="", **attributes)
        read = read_header(part10(blank))[0]
        assert read.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2", "from the file meta information"
        return read.study_instance_uid, read.series_instance_uid

    first = identity(number=1, FrameOfReferenceUID="1.9", SeriesNumber=2)
    assert identity(number=2, FrameOfReferenceUID="1.9", SeriesNumber=2) == first
    assert identity(number=3, FrameOfReferenceUID="1.9", SeriesNumber=3)[0] == first[0]
    assert identity(number=3, FrameOfReferenceUID="1.9", SeriesNumber=3)[1] != first[1]
    assert identity(number=4, FrameOfReferenceUID="1.8", SeriesNumber=2)[0] != first[0]
    assert identity(number=5)[0] != identity(number=6)[0], "nothing says that they belong together"


def test_a_data_set_without_a_study_is_none() -> None:
    """Blank is one thing, absent another: bytes that happen to walk as elements must not become an instance."""
    with pytest.raises(MissingAttribute, match="StudyInstanceUID is absent"):
        read_header(by_hand(UIDS))
    with pytest.raises(MissingAttribute, match="SOPInstanceUID is absent"):
        read_header(by_hand(b"this is no data set at all, whatever the sender says"))


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.3\\1.2.4", "1." * 33, "eins.zwei"])
def test_what_is_no_uid_is_refused_by_name(uid: str) -> None:
    """Digits and dots, 64 at most, one value; it would stand in every result's references."""
    raw = uid.encode() + b"\0" * (len(uid) % 2)
    with pytest.raises(MissingAttribute, match="StudyInstanceUID"):
        read_header(by_hand(UIDS + element(0x0020000D, b"UI", raw) + element(0x0020000E, b"UI", b"1.2.3.4\0")))


# ---- hostile files


def _nested(depth: int, *, defined: bool, tag: int = 0x00091001) -> bytes:
    """A private sequence in a sequence in a sequence …"""
    head = struct.pack("<HH2sHI", 0x0009, 0x1001, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    tail = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    if not defined:
        return head * depth + tail * depth
    value = b""
    for _ in range(depth):
        value = element(tag, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value)
    return value


def test_sequences_nested_10_000_deep_are_refused_at_once() -> None:
    """Readers further down recurse; the walk does not, and says what it found."""
    began = time.thread_time()
    with pytest.raises(NotDicom, match="nested more than 100 deep"):
        read_header(by_hand(UIDS + _nested(10_000, defined=False) + PLACE))
    assert read_header(by_hand(UIDS + _nested(3_000, defined=True) + PLACE))[0].study_instance_uid == "1.2.3", "stepped over by its length"
    assert time.thread_time() - began < 1


def test_referenced_series_nested_3_000_deep_are_stepped_over() -> None:
    """In what says that it is a result of another node: series are referred to by the file, or below a study, and never by a series."""
    code = element(0x00080100, b"SH", b"109102") + element(0x00080102, b"SH", b"DCM ")
    equipment = element(0x00080070, b"LO", b"hilum ") + element(0x0040A170, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(code)) + code)
    made = element(0x0018A001, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(equipment)) + equipment)
    uid = element(0x0020000E, b"UI", b"1.9\0")
    one = element(0x00081115, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(uid)) + uid)
    deep = _nested(3_000, defined=True, tag=0x00081115)
    identity, _ = read_header(by_hand(UIDS + deep + one + made + PLACE))
    assert (identity.made_by_hilum, identity.referenced_series) == (True, frozenset({"1.9"}))


def _deflated(dataset: bytes, zeros_mb: int = 0, end: bytes = b"") -> bytes:
    """A file whose deflated data set goes on with so many MiB of zeros."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = squeeze.compress(dataset) + b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(zeros_mb))
    return by_hand(stream + squeeze.compress(end) + squeeze.flush(), DEFLATED.encode())


def test_a_deflated_bomb_is_inflated_no_further_than_a_header_needs() -> None:
    """A gigabyte of zeros in a megabyte: bounded work, one error, which calls it large and not damaged."""
    bomb = _deflated(UIDS + element(0x00091001, b"OB", b"", 0x3FFFFFFE), 256)
    began = time.thread_time()
    with pytest.raises(UnsupportedSyntax, match="deflated, and its header does not end in the first 64 MiB"):
        read_header(bomb)
    assert time.thread_time() - began < 2


def test_a_deflated_data_set_may_hold_a_lot_before_the_patient() -> None:
    """Private data of the maker, more of it than is held at once: stepped over, as in a data set that is not deflated."""
    size = 40 << 20
    before, after = UIDS + element(0x00091010, b"OB", b"", size), PLACE + element(0x00280010, b"US", b"\4\0")
    assert read_header(_deflated(before, 40, after))[1] == read_header(by_hand(before + bytes(size) + after))[1]


def test_sequences_are_found_behind_much_that_is_deflated() -> None:
    """A private sequence of undefined length as large as what is held: its end is found, and what comes behind is read."""
    many = element(0x00091002, b"OB", bytes(4 << 20))
    private = struct.pack("<HH2sHIHHI", 9, 0x1001, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF) + many * 6
    private += struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    assert read_header(_deflated(UIDS + private + PLACE))[0].study_instance_uid == "1.2.3"
    with pytest.raises(UnsupportedSyntax, match="one of its sequences inflates to more than 16 MiB"):
        read_header(_deflated(UIDS + private.replace(b"\x09\0\x01\x10SQ", b"\x18\0\x01\xa0SQ") + PLACE))


def test_a_deflated_data_set_that_ends_early_is_cut_off() -> None:
    """In a value, and in the stream itself; and a stream that is none is damaged."""
    with pytest.raises(NotDicom, match="says 5 bytes, 1 are left: the data set is cut off"):
        read_header(_deflated(UIDS + element(0x0020000D, b"UI", b"1", 5)))
    whole = _deflated(UIDS + element(0x00091010, b"OB", bytes(range(256)) * 4000) + PLACE)
    with pytest.raises(NotDicom, match="cut off"):
        read_header(whole[:400])
    with pytest.raises(NotDicom, match="the deflated data set is damaged"):
        read_header(by_hand(b"\xff" * 64, DEFLATED.encode()))


@pytest.mark.slow
def test_a_deflated_bomb_of_elements_is_counted() -> None:
    """Sequences that are each allowed, one behind the other, from a few kilobytes."""
    sequence = struct.pack("<HH2sHIHHI", 9, 0x1001, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    sequence += element(0x00091002, b"CS", b"") * 350_000 + struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    with pytest.raises(UnsupportedSyntax, match="more than 1000000 elements in sequences"):
        read_header(_deflated(UIDS + sequence * 3 + PLACE))


def test_a_million_elements_are_too_many() -> None:
    """A header has hundreds; nobody is made to wait for more."""
    with pytest.raises(NotDicom, match="more than 20000 elements"):
        read_header(by_hand(UIDS + element(0x00091001, b"LO", b"") * 100_000))


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 200, b"%PDF-1.7" * 100, b"\0" * 128 + b"DICM", by_hand(b"")])
def test_what_is_no_dicom_file_is_refused(content: bytes) -> None:
    """Empty, another format, a prefix and nothing behind it."""
    with pytest.raises(InputError):
        read_header(content)


def test_a_file_cut_off_anywhere_is_read_or_refused() -> None:
    """At every byte: before the pixels an error that is ours, within them the header as it is."""
    content = part10(slice_of(1, StudyDescription="Thorax", ContributingEquipmentSequence=Sequence([slice_of(2)])))
    whole = read_header(content)[1]
    pixels = content.rindex(b"\xe0\x7f\x10\x00OW")
    for length in range(len(content)):
        try:
            header = read_header(content[:length])[1]
        except InputError:
            assert length < pixels + 12
        else:
            assert header.items() <= whole.items()


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_damage_makes_more_than_an_error(data: st.DataObject) -> None:
    """Bytes overwritten anywhere, in any syntax: a header or one of our errors, nothing else."""
    syntax = data.draw(st.sampled_from([*LITTLE, BIG, DEFLATED]))
    content = bytearray(_CONTENT[syntax])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(132, len(content) - 1))
        damage = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(damage)] = damage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _, header = read_header(bytes(content))
        except InputError:
            return
    str(header).encode("utf-8")  # nothing that could not be stored


_CONTENT = {
    syntax: part10(slice_of(1, SpecificCharacterSet="ISO_IR 192", ContributingEquipmentSequence=Sequence([slice_of(2)])), syntax)
    for syntax in [*LITTLE, BIG, DEFLATED]
}


# ---- series


def test_a_series_has_the_values_of_all_its_instances() -> None:
    """In order, each once, and every orientation whole; and their number."""
    merged = merge(
        [
            {"Modality": ("CT",), "ImageOrientationPatient": (1, 0, 0, 0, 1, 0), "InstanceNumber": (1,), "StudyID": ()},
            {"Modality": ("CT",), "ImageOrientationPatient": (1, 0, 0, 0, 1, 0), "InstanceNumber": (2,), "KVP": (120.0,)},
            {"Modality": ("CT", "PT"), "ImageOrientationPatient": (1, 0, 0, 0, 0, -1), "InstanceNumber": (1,), "StudyID": ("7",)},
        ]
    )
    assert merged == {
        "Modality": ("CT", "PT"),
        "ImageOrientationPatient": (1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, -1),
        "InstanceNumber": (1, 2),
        "StudyID": ("7",),
        "KVP": (120.0,),
        "NumberOfSeriesRelatedInstances": (3,),
    }
    assert merge([]) == {"NumberOfSeriesRelatedInstances": (0,)}


def test_merging_thousands_of_instances_takes_milliseconds() -> None:
    """Linear in their number: a series of 5,000 has 5,000 values of several keywords."""
    headers: list[Header] = [{"InstanceNumber": (n,), "SliceLocation": (n / 2,), "SOPInstanceUID": (f"1.2.{n}",)} for n in range(5000)]
    began = time.thread_time()
    assert merge(headers)["InstanceNumber"] == tuple(range(5000))
    assert time.thread_time() - began < 1


def test_control_characters_do_not_reach_whoever_looks() -> None:
    """A description that would clear the operator's screen and name its window; and a calling AE title that would."""
    described = element(0x0008103E, b"LO", b"T1\x1b[2J\x1b]0;mine\x07 SAG")
    called = element(0x00020016, b"AE", b"CT\x1b[2J ")
    whole = by_hand(UIDS[: UIDS.index(b"\x08\x00\x60\x00")] + described + UIDS[UIDS.index(b"\x08\x00\x60\x00") :] + PLACE)
    identity, header = read_header(whole[:144] + called + whole[144:])
    assert header["SeriesDescription"] == ("T1[2J]0;mine SAG",)
    assert identity.calling_ae == "CT[2J"


def test_a_data_set_cannot_say_who_sent_it() -> None:
    """One that begins with elements of the file meta information, as no data set may: what the listener wrote before them counts."""

    def meta(number: int, vr: bytes, value: bytes) -> bytes:
        length = struct.pack("<HL", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
        return struct.pack("<HH2s", 2, number, vr) + length + value

    head = received(reception(calling_ae="CT", address="10.0.0.5", peer="old", transfer_syntax_uid="1.2.840.10008.1.2.1"))
    class_uid = IMPLEMENTATION_CLASS_UID.encode()
    forged = b"".join(
        (
            *(meta(number, b"AE", b"MR") for number in (0x0016, 0x0017)),
            meta(0x0026, b"UI", b"10.0.0.6"),
            meta(0x0100, b"UI", class_uid + b"\0" * (len(class_uid) % 2)),
            meta(0x0102, b"OB", b"new\0"),
        )
    )
    identity, _ = read_header(head + forged + data_set(slice_of()))
    assert (identity.calling_ae, identity.address, identity.peer) == ("CT", "dicom://10.0.0.5", "old")
