"""What all results have in common: patient and study of the source in Unicode, equipment, dates, and bytes that depend on nothing else."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.uid import IMPLEMENTATION_CLASS_UID, is_uid
from node.domain.errors import SourcesUnfit
from node.results.encode import encode
from node.results.identity import series_number
from node.results.port import Encoded
from node.results.sources import read_sources
from tests.results import made

# PS3.5 Annex H.3.1 and J.1: names as the standard itself writes them, byte by byte
NAMES = [
    (["ISO_IR 100"], "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
    (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
    (["GB18030"], b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
    (["ISO_IR 192"], "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東"),
    ([], b"Doe^Ja\x00ne", "Doe^Jane"),
    (["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"),
    (["GBK"], "Wang^XiaoDong=王^小东".encode("gbk"), "Wang^XiaoDong=王^小东"),
    # the second byte of some characters is a backslash's
    (["GB18030"], "Wang=乗^侰㐂".encode("gb18030"), "Wang=乗^侰㐂"),
    (["ISO_IR 166"], "นามสกุล^ชื่อ".encode("tis-620"), "นามสกุล^ชื่อ"),
    (["ISO_IR 127"], "قباني^لنزار".encode("iso8859-6"), "قباني^لنزار"),
    (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    ),
    # a backslash parts two values, of which there may be one; in JIS X 0201 it is how a yen sign is written
    ([], b"Doe^Jane\\Roe^Ann", "Doe^Jane\\Roe^Ann"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], b"\xd4\xcf\xc0\xde\\\xc0\xdb\xb3=\x1b$B;3ED\x1b(J", "ﾔﾏﾀﾞ\\ﾀﾛｳ=山田"),
    # declared to be ASCII: UTF-8 where it is valid, Latin-1 where it is not
    ([], "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東"),
    ([], "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
    (["nonsense"], "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
    # declared to be UTF-8, which it is not
    (["ISO_IR 192"], "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
    # declared to be Latin-1, which any bytes are: an archive reads it so, and finds the patient under this name only
    (["ISO_IR 100"], "Müller^Jürgen".encode(), "MÃ¼ller^JÃ¼rgen"),
]


def read(objects: Sequence[Encoded]) -> list[Dataset]:
    """All objects, parsed."""
    return [pydicom.dcmread(BytesIO(one.data)) for one in objects]


@pytest.mark.slow
@pytest.mark.parametrize(("character_sets", "raw", "name"), NAMES)
def test_names_are_intact_in_unicode(character_sets: list[str], raw: bytes, name: str, tmp_path: Path) -> None:
    """Whatever the source's character set, every object says ISO_IR 192 and holds the name in UTF-8, byte for byte."""
    files = made.series(tmp_path)
    for path in files:
        made.with_bytes(path, "PatientName", raw, character_sets)
    objects = encode(made.encoding(files, made.one_segment(made.AXIAL)))
    for one, dataset in zip(objects, read(objects), strict=True):
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        encoded = name.encode()
        element = b"\x10\x00\x10\x00PN" + (len(encoded) + len(encoded) % 2).to_bytes(2, "little") + encoded
        assert element in one.data


@pytest.mark.parametrize(
    ("keyword", "raw"), [("PatientID", b"12\\345"), ("PatientID", b"\\12 "), ("AccessionNumber", b"A\\B "), ("PatientName", b"DOE^A\\")]
)
def test_an_identifier_of_two_values_is_that_of_its_source(keyword: str, raw: bytes, tmp_path: Path) -> None:
    """With its backslash, byte for byte: an archive that has the images under it would give results with another one to another patient."""
    files = made.series(tmp_path)
    for path in files:
        made.with_bytes(path, keyword, raw, [])
    element = pydicom.DataElement(keyword, pydicom.datadict.dictionary_VR(keyword), None)
    sent = element.tag.to_bytes(4, "little")[2:] + element.tag.to_bytes(4, "little")[:2] + element.VR.encode()
    for one in encode(made.encoding(files, made.one_segment(made.AXIAL))):
        assert sent + (len(raw) + len(raw) % 2).to_bytes(2, "little") + raw in one.data


def test_cyrillic_and_greek_texts_are_intact(tmp_path: Path) -> None:
    """ISO_IR 144 and 126, in a description and an issuer."""
    files = made.series(tmp_path)
    for path in files:
        made.with_bytes(path, "StudyDescription", "КТ головы".encode("iso8859-5"), ["ISO_IR 144"])
    for dataset in read(encode(made.encoding(files, made.one_segment(made.AXIAL)))):
        assert dataset.StudyDescription == "КТ головы"


def test_absent_type_2_attributes_are_empty_not_fatal(tmp_path: Path) -> None:
    """What nobody sent is there without a value (PS3.5 7.4.3), and the objects are made."""
    absent = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"]
    absent += ["AccessionNumber", "ReferringPhysicianName", "SliceThickness", "FrameOfReferenceUID", "PositionReferenceIndicator"]
    files = made.series(tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        for keyword in absent:
            delattr(dataset, keyword)
        dataset.save_as(path)
    objects = read(encode(made.encoding(files, made.one_segment(made.AXIAL))))
    assert len(objects) == 3
    for made_one in objects:
        for keyword in absent[:9]:
            assert keyword in made_one
            assert not made_one[keyword].value
    thickness = objects[0].SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness
    assert float(thickness) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("keyword", "sent", "kept"),
    [
        ("StudyDate", "2024.01.02", "20240102"),
        ("StudyDate", "yesterday", ""),
        ("StudyTime", "10:11:12", "101112"),
        ("PatientSex", "female", ""),
        ("PatientWeight", "71.2345678901234567890", "71.2345678901235"),
        ("PatientAge", "42", None),
        ("IssuerOfPatientID", "HOSPITAL A", "HOSPITAL A"),
        ("StudyDescription", "a text of more than sixty-four characters, which LO does not allow, but it is theirs", ...),
        ("OtherPatientIDs", "private matters", None),
    ],
)
def test_malformed_values_are_mended_or_left_out(keyword: str, sent: str, kept: object, tmp_path: Path) -> None:
    """Dates and times of older writers are rewritten, what is no value of its kind is dropped, identifiers are never cut."""
    files = made.series(tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert tag is not None
        dataset[keyword] = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(tag), pydicom.datadict.dictionary_VR(tag), len(sent), sent.encode(), 0, False, True
        )
        dataset.save_as(path)
    for made_one in read(encode(made.encoding(files, made.one_segment(made.AXIAL)))):
        if kept is None:
            assert keyword not in made_one
        else:
            assert str(made_one.get(keyword) or "") == (sent if kept is ... else kept)


def test_every_result_is_marked_as_what_it_is(tmp_path: Path) -> None:
    """Equipment as IHE AIR asks, qualification, new series, patient and study kept whole, in segmentation, report and page alike."""
    files = made.series(tmp_path)
    source = pydicom.dcmread(files[0])
    encoding = made.encoding(files, made.one_segment(made.AXIAL))
    objects = read(encode(encoding))
    for dataset in objects:
        equipment = dataset.ContributingEquipmentSequence[0]
        purpose = equipment.PurposeOfReferenceCodeSequence[0]
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109102", "DCM")
        assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("hilum", "mr-brain")
        assert equipment.DeviceUID == encoding.device_uid
        assert equipment.SoftwareVersions[0] == "mr-brain 1.2.3"
        assert dataset.ContentQualification == "RESEARCH"
        assert "mr-brain 1.2.3" in dataset.SeriesDescription
        assert dataset.SeriesInstanceUID != source.SeriesInstanceUID
        assert 40000 < dataset.SeriesNumber < 50000
        for keyword in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "StudyDescription", "StudyDate", "StudyTime", "StudyID"):
            assert dataset[keyword].value == source[keyword].value
        assert dataset.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert all(is_uid(dataset[keyword].value) for keyword in ("SOPInstanceUID", "SeriesInstanceUID"))
    assert len({dataset.SeriesInstanceUID for dataset in objects}) == len({dataset.SeriesNumber for dataset in objects}) == 3


def test_all_times_come_from_the_journal(tmp_path: Path) -> None:
    """23:30:15 UTC on 4 March: in UTC where the source states no zone, and every DT says its offset."""
    for dataset in read(encode(made.encoding(made.series(tmp_path), made.one_segment(made.AXIAL)))):
        for stem in ("InstanceCreation", "Series", "Content"):
            assert (dataset[f"{stem}Date"].value, dataset[f"{stem}Time"].value) == ("20250304", "233015.123456")
        assert dataset.ContributingEquipmentSequence[0].ContributionDateTime == "20250304233015.123456+0000"
        # the study's own times stand in a zone that nobody stated: none may be claimed for them
        assert "TimezoneOffsetFromUTC" not in dataset
        assert (dataset.StudyDate, dataset.StudyTime) == ("20240102", "101112")


def test_a_zone_that_the_source_states_holds_for_the_whole_object(tmp_path: Path) -> None:
    """TimezoneOffsetFromUTC is about every DA and TM: the study's stay, the result's own are written in that zone (the next day)."""
    files = made.series(tmp_path, TimezoneOffsetFromUTC="+0530")
    for dataset in read(encode(made.encoding(files, made.one_segment(made.AXIAL)))):
        assert dataset.TimezoneOffsetFromUTC == "+0530"
        assert (dataset.SeriesDate, dataset.SeriesTime) == ("20250305", "050015.123456")
        assert dataset.StudyTime == "101112"
        assert dataset.ContributingEquipmentSequence[0].ContributionDateTime == "20250305050015.123456+0530"


_AGAIN = """
import hashlib, sys
from pathlib import Path
from node.results.encode import encode
from node.results.identity import series_number
from tests.results import made
files = sorted(Path(sys.argv[1]).glob("*.dcm"))
for one in encode(made.encoding(files, made.one_segment(made.AXIAL))):
    print(one.sop_instance_uid, hashlib.sha256(one.data).hexdigest())
"""


@pytest.mark.slow
def test_another_process_at_another_time_writes_the_same_bytes(tmp_path: Path) -> None:
    """Another process, hash seed, time zone, locale and moment: not one byte differs."""
    files = made.series(tmp_path)
    here = [
        f"{one.sop_instance_uid} {hashlib.sha256(one.data).hexdigest()}"
        for one in encode(made.encoding(files, made.one_segment(made.AXIAL)))
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", _AGAIN, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split("\n")[:-1] == here


@pytest.mark.slow
def test_equal_uids_mean_equal_bytes(tmp_path: Path) -> None:
    """Whatever changes, the moment of the analysis too: no UID comes twice with other bytes, and the same bytes come under the same UID."""
    encoding = made.encoding(made.series(tmp_path), made.one_segment(made.AXIAL))
    changes: list[dict[str, Any]] = [{}, {}, {"at": made.AT + timedelta(days=1)}, {"predecessors": (made.PREDECESSOR,)}]
    changes += [{name: "f" * 64} for name in ("input_digest", "model_digest", "findings_digest", "parameters")]
    changes += [{"application": made.application(version="1.2.4")}, {"application": made.application(name="mr-head")}]
    bytes_of: dict[str, set[str]] = {}
    named: dict[str, set[str]] = {}
    for change in changes:
        for one in encode(replace(encoding, **change)):
            digest = hashlib.sha256(one.data).hexdigest()
            for uid in (one.sop_instance_uid, one.series_instance_uid):
                bytes_of.setdefault(uid, set()).add(digest)
                named.setdefault(digest, set()).add(uid)
    assert {len(digests) for digests in bytes_of.values()} == {1}
    assert {len(uids) for uids in named.values()} == {2}
    # three objects; all others at another time, of another model, application or version; a report that replaces another is another
    assert len(bytes_of) > 2 * 3 * 5


def test_tracking_stays_when_the_moment_changes(tmp_path: Path) -> None:
    """What was found is the same thing under whatever objects speak of it: its UID follows from the inputs, model and findings alone."""
    encoding = made.encoding(made.series(tmp_path), made.one_segment(made.AXIAL))
    first, later = (read(encode(replace(encoding, at=at)))[0] for at in (made.AT, made.AT + timedelta(days=1)))
    assert first.SegmentSequence[0].TrackingUID == later.SegmentSequence[0].TrackingUID
    assert (
        first.DimensionOrganizationSequence[0].DimensionOrganizationUID == later.DimensionOrganizationSequence[0].DimensionOrganizationUID
    )
    assert first.SOPInstanceUID != later.SOPInstanceUID


def test_a_product_is_marked_as_one(tmp_path: Path) -> None:
    """The manifest's qualification is the objects'."""
    encoding = made.encoding(made.series(tmp_path), made.one_segment(made.AXIAL), application=made.application(qualification="PRODUCT"))
    assert {dataset.ContentQualification for dataset in read(encode(encoding))} == {"PRODUCT"}


def test_lossy_sources_leave_their_mark(tmp_path: Path) -> None:
    """PS3.3 C.7.6.1.1.5: once lossy, for ever lossy, with ratio and method; in segmentation and page."""
    lossy: dict[str, Any] = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    seg, _, page = read(encode(made.encoding(made.series(tmp_path, **lossy), made.one_segment(made.AXIAL))))
    for dataset in (seg, page):
        assert (dataset.LossyImageCompression, float(dataset.LossyImageCompressionRatio)) == ("01", 12.5)
        assert dataset.LossyImageCompressionMethod == "ISO_10918_1"


def test_a_source_that_the_meta_information_alone_names_is_found(tmp_path: Path) -> None:
    """Careless de-identification empties SOPInstanceUID in the data set: the assembling room goes by the file meta information."""
    files = made.series(tmp_path)
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in files]
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = ""
        dataset.save_as(path)
    seg = read(encode(made.encoding(files, made.one_segment(made.AXIAL))))[0]
    assert [item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence] == uids


def test_headers_and_volume_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """A header is absent; a slice lies elsewhere; the study has no UID: a named error, no object."""
    files = made.series(tmp_path)
    encoding = made.encoding(files, made.one_segment(made.AXIAL))
    with pytest.raises(SourcesUnfit, match="1 source instances have no header"):
        encode(replace(encoding, sources=encoding.sources[1:]))
    moved = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    moved[3].ImagePositionPatient = [0, 0, 0]
    with pytest.raises(SourcesUnfit, match="slice 3 of the volume elsewhere"):
        encode(replace(encoding, sources=moved))
    with pytest.raises(SourcesUnfit, match="no study"):
        encode(replace(encoding, subject=replace(encoding.volume, study_instance_uid="")))


@pytest.mark.parametrize(
    ("source", "meant"),
    [("4", 40102), ("0", 102), ("", 102), ("214747", 2147470102), ("214748", 2147480102), ("999999", 102), ("1000000", 102)],
)
def test_a_series_number_stands_beside_its_source(source: str, meant: int, tmp_path: Path) -> None:
    """Source, two digits of the application, two of the kind; never beyond the 2147483647 that an IS holds."""
    sources = read_sources(made.encoding(made.series(tmp_path), made.one_segment(made.AXIAL)))
    sources.first.SeriesNumber = source
    assert series_number(sources, application=1, kind=2) == meant
