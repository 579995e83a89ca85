"""The look at a data set: whole ones pass whatever they hold, ones that were cut off do not, wherever the cut is."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.errors import InvalidDicomError

from node.dicom.peek import NotADataset, Peek
from node.domain.errors import RefusedError
from tests.dimse.conftest import data_set, data_set_of, instance

_SAMPLES = Path(str(get_testdata_file("CT_small.dcm"))).parent.parent
_EXPLICIT = "1.2.840.10008.1.2.1"


def check(dataset: memoryview, *, syntax: str, sop_class: str, sop_instance: str) -> None:
    """Look at a data set that comes in pieces; raises what `Peek` raises."""
    peek = Peek(syntax=syntax, sop_class=sop_class, sop_instance=sop_instance)
    for at in range(0, len(dataset), 333):
        peek.feed(dataset[at : at + 333])
    peek.end()


def _readable() -> list[Path]:
    found = []
    # those that come with pydicom: its own functions would also fetch others over the network
    for path in sorted([*_SAMPLES.glob("test_files/*.dcm"), *_SAMPLES.glob("charset_files/*.dcm")]):
        content = path.read_bytes()
        # pydicom's own samples of truncated and otherwise damaged files are named so
        if content[128:132] != b"DICM" or any(word in path.name.lower() for word in ("trunc", "bad", "invalid", "no_meta", "error")):
            continue
        try:
            dataset = dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, AttributeError, NotImplementedError, ValueError):
            continue
        # a composite instance names its class and itself; some samples are fragments
        if "SOPInstanceUID" in dataset and {"TransferSyntaxUID", "FileMetaInformationGroupLength"} <= set(dataset.file_meta.dir()):
            found.append(path)
    return found


@pytest.mark.parametrize("path", _readable(), ids=lambda path: path.name)
def test_files_of_many_makers_pass(path: Path) -> None:
    """Every sample of pydicom (dozens of devices, all syntaxes) that is a whole file passes as it would come over the wire."""
    content = path.read_bytes()
    meta = dcmread(path, stop_before_pixels=True)
    check(
        memoryview(data_set_of(content)),
        syntax=str(meta.file_meta.TransferSyntaxUID),
        sop_class=str(meta.get("SOPClassUID", "")),
        sop_instance=str(meta.get("SOPInstanceUID", "")),
    )


_WHOLE = instance()
_BYTES = data_set(_WHOLE)


@given(st.integers(min_value=1, max_value=len(_BYTES) - 2))
@settings(max_examples=200, deadline=None)
def test_a_cut_inside_a_value_is_found(at: int) -> None:
    """Cut anywhere: refused, unless the cut falls between two elements or into the eight bytes that a head takes."""
    cut = memoryview(_BYTES)[:at]
    boundaries = _boundaries()
    # one byte less may be padding that was not written
    near = any(-1 <= at - boundary < 12 for boundary in boundaries)
    try:
        check(cut, syntax=_EXPLICIT, sop_class=str(_WHOLE.SOPClassUID), sop_instance=str(_WHOLE.SOPInstanceUID))
    except RefusedError:
        return
    assert near, f"cut at {at} passed"


def _boundaries() -> list[int]:
    """Where elements begin, by pydicom's own reading (file_tell is where the value begins; explicit heads have 8 or 12 bytes)."""
    from io import BytesIO

    dataset = dcmread(BytesIO(_BYTES), force=True)
    ends = []
    for raw in dataset._dict.values():
        start: int = getattr(raw, "value_tell", 0) or getattr(raw, "file_tell", 0)
        length: int = getattr(raw, "length", 0)
        ends.append(start + length + length % 2)
    return [0, *ends]


@given(st.binary(max_size=300), st.sampled_from([_EXPLICIT, "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_judged(garbage: bytes, syntax: str) -> None:
    """Whatever comes: a refusal or none, never another exception, never an endless walk."""
    try:
        check(memoryview(garbage), syntax=syntax, sop_class="1.2", sop_instance="1.2")
    except RefusedError:
        return


def test_one_missing_byte_of_padding_passes() -> None:
    """Some writers count the padding and do not write it."""
    check(memoryview(_BYTES)[:-1], syntax=_EXPLICIT, sop_class=str(_WHOLE.SOPClassUID), sop_instance=str(_WHOLE.SOPInstanceUID))
    with pytest.raises(NotADataset, match="7FE0,0010"):
        check(memoryview(_BYTES)[:-2], syntax=_EXPLICIT, sop_class=str(_WHOLE.SOPClassUID), sop_instance=str(_WHOLE.SOPInstanceUID))
