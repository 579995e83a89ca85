"""The same data set in another transfer syntax, or another one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from inference.imaging.compare import same_attributes
from inference.imaging.errors import NotDicom
from tests.lab import dcmtk

from .conftest import one_instance, save

VALUES = np.random.default_rng(4).integers(0, 4096, (64, 80)).astype("u2")


def data_set(syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    """An instance with text, numbers, nested items and private elements."""
    dataset = one_instance(VALUES, BitsStored=12, syntax=ExplicitVRLittleEndian if syntax.is_encapsulated else syntax)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Müller^Änne"
    dataset.SmallestImagePixelValue, dataset.RescaleSlope, dataset.RescaleIntercept, dataset.EchoTime = 3, 1, 0, "2.50"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "12738006", "SCT", "Brain"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "69536005", "SCT", "Head"
    region.AnatomicRegionModifierSequence = Sequence([code])
    dataset.AnatomicRegionSequence = Sequence([region])
    private = dataset.private_block(0x0009, "MAKER 1.0", create=True)
    private.add_new(0x01, "LO", "kept by the maker")
    private.add_new(0x02, "LO", "")
    private.add_new(0x03, "DS", "1.50")
    nested = Dataset()
    nested.add(DataElement(0x00091101, "LO", "of an item"))
    private.add_new(0x04, "SQ", Sequence([nested]))
    return dataset


def stored(dataset: Dataset, syntax: UID, path: Path) -> Path:
    """Write it in another transfer syntax."""
    if syntax.is_encapsulated:
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = VALUES.byteswap().tobytes()
    return save(dataset, path)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """In explicit VR little endian."""
    return save(data_set(), tmp_path / "original.dcm")


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless],
    ids=lambda syntax: syntax.name,
)
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
def test_another_encoding_says_the_same(original: Path, syntax: UID, undefined: bool, tmp_path: Path) -> None:
    """Value representations, lengths of sequences and compression are no attribute."""
    dataset = data_set(syntax)
    for sequence in (dataset["AnatomicRegionSequence"], dataset[0x00091004]):
        sequence.is_undefined_length = undefined
    again = stored(dataset, syntax, tmp_path / "again.dcm")
    assert same_attributes(original, again)
    assert same_attributes(again, original)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda syntax: syntax.name)
def test_where_it_cannot_be_shown_they_are_two(original: Path, syntax: UID, tmp_path: Path) -> None:
    """Big-endian values are other bytes; a deflated file may be a bomb."""
    assert not same_attributes(original, stored(data_set(syntax), syntax, tmp_path / "again.dcm"))


def test_text_that_cannot_be_decoded_is_compared_as_it_is(tmp_path: Path) -> None:
    """Müller and Mäller in Latin-1, where the data set says UTF-8: a reader puts the same mark in the place of both letters."""
    paths: list[Path] = []
    for syntax, letter in ((ExplicitVRLittleEndian, b"\xfc"), (ImplicitVRLittleEndian, b"\xfc"), (ImplicitVRLittleEndian, b"\xe4")):
        dataset = data_set(syntax)
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 192", "M?ller"
        path = stored(dataset, syntax, tmp_path / f"{len(paths)}.dcm")
        path.write_bytes(path.read_bytes().replace(b"M?ller", b"M" + letter + b"ller"))
        paths.append(path)
    assert same_attributes(paths[0], paths[1])
    assert not same_attributes(paths[0], paths[2])


def test_drawings_in_the_bits_beside_the_pixels_are_not_passed_over(tmp_path: Path) -> None:
    """An overlay of before 2004 lies in bit 12 of the pixels (PS3.5 8.1.2), which are compared without it."""
    paths: list[Path] = []
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        dataset = data_set(syntax)
        dataset.add_new(0x60000100, "US", 16)
        dataset.add_new(0x60000102, "US", 12)
        paths.append(stored(dataset, syntax, tmp_path / f"{len(paths)}.dcm"))
    assert not same_attributes(*paths)


def test_numbers_of_two_kinds_are_two_numbers(tmp_path: Path) -> None:
    """63536 and -2000 are the same two bytes; in implicit VR, Pixel Representation says which of them is meant."""
    one, other = data_set(), data_set(RLELossless)
    one.add_new(0x00280120, "US", 63536)
    other.add_new(0x00280120, "SS", -2000)
    assert not same_attributes(save(one, tmp_path / "one.dcm"), stored(other, RLELossless, tmp_path / "other.dcm"))


@pytest.mark.parametrize(
    ("syntax", "alike"), [(ExplicitVRLittleEndian, False), (RLELossless, True)], ids=lambda value: getattr(value, "name", "")
)
def test_how_it_was_derived_counts_where_nothing_was_compressed(original: Path, syntax: UID, alike: bool, tmp_path: Path) -> None:
    """Encoders write there what they did."""
    dataset = data_set(syntax)
    dataset.DerivationDescription = "Lossless compression"
    assert same_attributes(original, stored(dataset, syntax, tmp_path / "again.dcm")) is alike


def _rename(dataset: Dataset) -> None:
    dataset.PatientName = "Müller^Anne"


def _rename_deep(dataset: Dataset) -> None:
    dataset.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].CodeMeaning = "Skull"


def _add(dataset: Dataset) -> None:
    dataset.StudyID = "7"


def _add_item(dataset: Dataset) -> None:
    dataset.AnatomicRegionSequence.append(Dataset())


def _take_away(dataset: Dataset) -> None:
    del dataset.EchoTime


def _empty(dataset: Dataset) -> None:
    dataset.EchoTime = None


def _make_private(dataset: Dataset) -> None:
    dataset[0x00091001].value = "kept by another"


def _make_private_deep(dataset: Dataset) -> None:
    dataset[0x00091004].value[0][0x00091101].value = "of an itom"


def _slope(dataset: Dataset) -> None:
    dataset.SmallestImagePixelValue = 4


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("change", [_rename, _rename_deep, _add, _add_item, _take_away, _empty, _make_private, _make_private_deep, _slope])
def test_one_other_attribute_is_another_data_set(original: Path, syntax: UID, change: Callable[[Dataset], None], tmp_path: Path) -> None:
    """At any depth, the maker's own too."""
    dataset = data_set(syntax)
    change(dataset)
    other = stored(dataset, syntax, tmp_path / "other.dcm")
    assert not same_attributes(original, other)
    assert not same_attributes(other, original)


def test_a_value_too_long_to_hold_is_not_compared(tmp_path: Path) -> None:
    """Two megabytes of a maker's own are not read while others wait to be indexed."""
    paths: list[Path] = []
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        dataset = data_set(syntax)
        dataset.private_block(0x0009, "MAKER 1.0").add_new(0x05, "OB", bytes(2**21))
        paths.append(stored(dataset, syntax, tmp_path / f"{len(paths)}.dcm"))
    assert not same_attributes(*paths)


def test_a_file_that_cannot_be_parsed_is_said(original: Path, tmp_path: Path) -> None:
    """Not taken for another data set, nor for the same."""
    (tmp_path / "x").write_bytes(b"no")
    with pytest.raises(NotDicom):
        same_attributes(original, tmp_path / "x")


@pytest.mark.peers
@pytest.mark.parametrize(
    "command", [["dcmconv", "+te", "-e"], ["dcmconv", "+ti"], ["dcmcjpls"], ["dcmcrle"], ["dcmcjpeg", "+e1"]], ids=" ".join
)
def test_what_another_program_has_transcoded_says_the_same(original: Path, command: list[str], tmp_path: Path) -> None:
    """DCMTK's conversions, until something is corrected."""
    again = tmp_path / "again.dcm"
    assert dcmtk.transcode(original, again, *command).code == 0
    assert same_attributes(original, again)
