"""Codes of a header: those of its sequences, one level deep, and of the requests; as pydicom reads them, whatever a sender wrote."""

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from inference.errors import InputError
from node.dicom.header import read_header
from node.dicom.values import LONGEST_CODED, REQUESTED
from node.dicom.vr import CODED
from tests.lab import needs
from tests.unit.flow.files import BIG, DEFLATED, LITTLE, part10, slice_of


def code(value: str, scheme: str = "LN", *, keyword: str = "CodeValue", meaning: str = "CT Head WO contrast") -> Dataset:
    item = Dataset()
    setattr(item, keyword, value)
    item.CodingSchemeDesignator, item.CodeMeaning = scheme, meaning
    return item


def requested() -> Dataset:
    """An image with a procedure, two requests, and a code whose own item has codes below it."""
    dataset = slice_of(1)
    dataset.ProcedureCodeSequence = Sequence([code("24627-2"), code("P5-08000", "SRT")])
    first, second = Dataset(), Dataset()
    first.RequestedProcedureDescription, first.ScheduledProcedureStepDescription = "CT Schädel", "Schädel nativ"
    first.RequestedProcedureCodeSequence = Sequence([code("24725-4")])
    first.ScheduledProtocolCodeSequence = Sequence([code("CTHEAD", "99RIS")])
    second.RequestedProcedureDescription = "CT Thorax"
    second.RequestedProcedureCodeSequence = Sequence([code("24627-2"), code("24725-4")])
    dataset.RequestAttributesSequence = Sequence([first, second])
    region = code("69536005", "SCT")
    region.AnatomicRegionModifierSequence = Sequence([code("7771000", "SCT")])
    dataset.AnatomicRegionSequence = Sequence([region])
    dataset.ViewCodeSequence = Sequence([code("1" * 40, "99X", keyword="LongCodeValue"), code("urn:x", "99U", keyword="URNCodeValue")])
    dataset.SpecificCharacterSet = "ISO_IR 100"
    return dataset


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [*LITTLE, BIG, DEFLATED])
def test_codes_are_scheme_and_value(syntax: str, undefined: bool) -> None:
    """One level deep, requests among them, each once; in every syntax, with lengths and without."""
    dataset = requested()
    for part in (dataset, dataset.RequestAttributesSequence[0]):
        for element in part:
            if element.VR == "SQ":
                element.is_undefined_length = undefined
                for item in element.value:
                    item.is_undefined_length_sequence_item = undefined
    _, header = read_header(part10(dataset, syntax))
    assert {keyword: header[keyword] for keyword in sorted((CODED | REQUESTED) & header.keys())} == {
        "AnatomicRegionSequence": ("SCT:69536005",),
        "ProcedureCodeSequence": ("LN:24627-2", "SRT:P5-08000"),
        "RequestedProcedureCodeSequence": ("LN:24725-4", "LN:24627-2"),
        "RequestedProcedureDescription": ("CT Schädel", "CT Thorax"),
        "ScheduledProcedureStepDescription": ("Schädel nativ",),
        "ScheduledProtocolCodeSequence": ("99RIS:CTHEAD",),
        "ViewCodeSequence": ("99X:" + "1" * 40, "99U:urn:x"),
    }


def test_what_the_data_set_says_comes_before_its_requests() -> None:
    """A description of its own stays alone; codes of its own stand first."""
    dataset = requested()
    dataset.RequestedProcedureDescription = "CT head, stat"
    dataset.RequestedProcedureCodeSequence = Sequence([code("1-8")])
    _, header = read_header(part10(dataset))
    assert header["RequestedProcedureDescription"] == ("CT head, stat",)
    assert set(header["RequestedProcedureCodeSequence"]) == {"LN:1-8", "LN:24725-4", "LN:24627-2"}


def test_an_item_that_is_no_code_says_nothing() -> None:
    """Without a scheme, without a value, or empty; a sequence without one code has no value."""
    dataset = slice_of(1)
    dataset.ProcedureCodeSequence = Sequence([Dataset(), code("1", ""), code("", "LN")])
    dataset.ViewCodeSequence = Sequence([])
    _, header = read_header(part10(dataset))
    assert (header["ProcedureCodeSequence"], header["ViewCodeSequence"]) == ((), ())


def test_what_is_too_much_is_left_out() -> None:
    """Twenty codes of a sequence, and none of one that is longer than any list of codes."""
    dataset = slice_of(1)
    dataset.ProcedureCodeSequence = Sequence([code(str(number)) for number in range(50)])
    dataset.ViewCodeSequence = Sequence([code("1", meaning="x" * LONGEST_CODED)])
    _, header = read_header(part10(dataset))
    assert header["ProcedureCodeSequence"] == tuple(f"LN:{number}" for number in range(20))
    assert "ViewCodeSequence" not in header


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 700), put=st.binary(max_size=8), cut=st.integers(0, 8))
def test_damaged_bytes_are_read_or_refused(at: int, put: bytes, cut: int) -> None:
    """Whatever stands between the preamble and the pixels, the reader ends with a header or its own error."""
    content = part10(requested())
    at += 132
    try:
        _, header = read_header(content[:at] + put + content[at + cut :])
    except InputError:
        return
    assert all(isinstance(value, str) and "\0" not in value for keyword in CODED & header.keys() for value in header[keyword])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_codes_of_real_files_are_what_pydicom_reads() -> None:
    """Every sequence of every real file that stands at the top."""
    found = 0
    for path in sorted(one for one in needs.data("dicom").rglob("*") if one.is_file() and one.suffix != ".zip"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        for keyword in CODED & {element.keyword for element in dataset}:
            said = [
                f"{item.CodingSchemeDesignator}:{item.CodeValue}"
                for item in dataset[keyword].value
                if item.get("CodeValue") and item.get("CodingSchemeDesignator")
            ]
            header = read_header(path)[1]
            assert header[keyword][: len(said)] == tuple(dict.fromkeys(said)), path
            found += len(said)
    assert found > 3
