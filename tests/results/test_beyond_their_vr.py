"""What results copy of a header whose values are beyond their VR: words that fit, identifiers as they are, no sequence that is none."""

import io
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import dictionary_VR

from node.domain.profile import Kind, Profile
from node.results.encode import encode
from node.results.normalise import KEPT
from node.results.port import Encoded
from tests.lab.elements import put
from tests.lab.validators import dciodvfy
from tests.results import made

_LONG = {"SH": 300, "LO": 300, "ST": 2000, "LT": 20_000, "UT": 20_000, "PN": 200, "UC": 200}
_IDENTIFIERS = ("PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "PatientName", "ReferringPhysicianName")
_NAMED = ("ID", "Name", "Accession", "Issuer", "Identifier", "Physician", "Person")
_PLAIN = Profile(name="plain", kinds=frozenset({Kind.SR}))


def _encoded(files: list[Path]) -> list[Encoded]:
    return encode(made.encoding(files, made.one_segment(made.AXIAL), profiles=(_PLAIN,)))


@pytest.fixture(name="files")
def _files(tmp_path: Path) -> list[Path]:
    return made.series(tmp_path / "series")


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_words_are_cut_where_their_vr_ends_and_identifiers_are_not(files: list[Path]) -> None:
    """Each text of the Patient and Study entities is longer than allowed: an independent validator finds no such value, but among what
    archives match on, which is as it was sent."""
    lengths = {keyword: size for keyword in KEPT if (size := _LONG.get(dictionary_VR(keyword)))}
    lengths |= dict.fromkeys((keyword for keyword in lengths if any(word in keyword for word in _NAMED)), 200)
    for path in files:
        for keyword, size in lengths.items():
            put(path, keyword, b"x" * size)
    for one in _encoded(files):
        dataset = pydicom.dcmread(io.BytesIO(one.data))
        assert [str(dataset[keyword].value) for keyword in _IDENTIFIERS] == ["x" * lengths[keyword] for keyword in _IDENTIFIERS]
        assert dataset.StudyDescription == "x" * 64
        assert len(dataset.PatientComments) == 10_240
        (path := files[0].parent / f"{one.kind}.dcm").write_bytes(one.data)
        wrong = [fault for fault in dciodvfy(path) if "ength invalid" in fault or "Value invalid for this VR" in fault]
        assert [fault for fault in wrong if not any(word in fault for word in _NAMED)] == []
        assert wrong, "the validator does see such lengths"


@pytest.mark.filterwarnings("ignore")
def test_what_is_longer_than_any_name_is_left_out(files: list[Path]) -> None:
    """10,000 characters name nobody: the attribute is empty, and the result is there."""
    for path in files:
        for keyword in ("AccessionNumber", "PatientName", "ReferringPhysicianName", "StudyID"):
            put(path, keyword, b"x" * 10_000)
    for one in _encoded(files):
        dataset = pydicom.dcmread(io.BytesIO(one.data))
        said = [dataset[keyword].value for keyword in ("AccessionNumber", "PatientName", "ReferringPhysicianName", "StudyID")]
        assert not any(said)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("vr", "raw"), [("UN", b"xxxx"), ("LO", b"text"), ("OB", b"\xfe\xff\x00\xe0")])
def test_a_sequence_that_is_none_is_left_out(files: list[Path], vr: str, raw: bytes) -> None:
    """Of another VR, or of bytes that are no items: the result is made without it, and not parked behind the inference."""
    sequences = [keyword for keyword in KEPT if dictionary_VR(keyword) == "SQ"]
    for path in files:
        for keyword in (*sequences, "AnatomicRegionSequence", "DetectorInformationSequence"):
            put(path, keyword, raw, vr)
    for one in _encoded(files):
        assert not any(keyword in pydicom.dcmread(io.BytesIO(one.data)) for keyword in sequences)
