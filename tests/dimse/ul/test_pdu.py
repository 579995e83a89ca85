"""PDUs as bytes, against pynetdicom's encoders and decoders and against bytes written down by hand from PS3.8 9.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ, A_RELEASE_RP, A_RELEASE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from node.dimse.ul import pdu
from node.dimse.ul.pdu import AbortReason, AbortSource, Malformed, Pdv

_ODD = st.integers(0, 127).map(lambda number: 2 * number + 1)
_VALUES = st.lists(st.tuples(_ODD, st.booleans(), st.booleans(), st.binary(max_size=300)), min_size=1, max_size=6)


def _theirs(values: list[tuple[int, bool, bool, bytes]]) -> bytes:
    """A P-DATA-TF as pynetdicom writes it."""
    primitive = P_DATA()
    primitive.presentation_data_value_list = [
        [context, bytes([command | last << 1]) + fragment] for context, command, last, fragment in values
    ]
    return bytes(P_DATA_TF(primitive).encode())


@given(_VALUES)
def test_values_are_read_as_pynetdicom_writes_them(values: list[tuple[int, bool, bool, bytes]]) -> None:
    """Any number of values of any contexts in one PDU."""
    sent = _theirs(values)
    assert pdu.head(sent) == (0x04, len(sent) - 6)
    assert [(one.context_id, one.is_command, one.is_last, bytes(one.fragment)) for one in pdu.pdvs(sent[6:])] == values


@given(_ODD, st.booleans(), st.booleans(), st.binary(max_size=300))
def test_a_value_is_written_as_pynetdicom_writes_it(context: int, command: bool, last: bool, fragment: bytes) -> None:
    """Byte for byte."""
    assert pdu.pack_data(context, fragment, command=command, last=last) == _theirs([(context, command, last, fragment)])


def test_only_two_bits_of_the_control_header_mean_something() -> None:
    """PS3.8 E.2: bits 2 to 7 are not tested."""
    (value,) = pdu.pdvs(bytes.fromhex("00000004 05 fe 4142"))
    assert value == Pdv(5, False, True, memoryview(b"AB"))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "00",
        "0000000301",
        "00000001 01",
        "00000000 0102",
        "00000003 0103",
        "00000002 0103 00",
        "00000002 0103 ffffffff 0103",
        "ffffffff 0103 00",
    ],
)
def test_values_that_do_not_fill_their_pdu_are_malformed(body: str) -> None:
    """Cut off, shorter than their own head, longer than the PDU, or none at all."""
    with pytest.raises(Malformed) as bad:
        list(pdu.pdvs(bytes.fromhex(body)))
    assert bad.value.reason == AbortReason.INVALID_PARAMETER


@given(st.binary(max_size=64))
def test_any_bytes_are_values_or_malformed(body: bytes) -> None:
    """Nothing else is raised, and what is given fills the PDU exactly."""
    try:
        values = list(pdu.pdvs(body))
    except Malformed:
        return
    assert sum(len(one.fragment) + 6 for one in values) == len(body)


@given(st.binary(max_size=8))
def test_any_bytes_have_a_head_or_none(data: bytes) -> None:
    """Six bytes are a head, whatever they say."""
    try:
        kind, length = pdu.head(data)
    except Malformed:
        assert len(data) < 6
        return
    assert (kind, length) == (data[0], int.from_bytes(data[2:6], "big"))


def test_small_pdus_are_those_of_the_standard() -> None:
    """Bytes by hand from PS3.8 tables 9-21 to 9-26; pynetdicom reads the same numbers from them."""
    assert pdu.pack_release_request() == bytes.fromhex("05 00 00000004 00000000") == bytes(A_RELEASE_RQ().encode())
    assert pdu.pack_release_reply() == bytes.fromhex("06 00 00000004 00000000") == bytes(A_RELEASE_RP().encode())
    abort = pdu.pack_abort(AbortSource.PROVIDER, AbortReason.UNEXPECTED_PDU)
    assert abort == bytes.fromhex("07 00 00000004 0000 02 02")
    theirs = A_ABORT_RQ()
    theirs.decode(abort)
    assert (theirs.source, theirs.reason_diagnostic) == (2, 2) == pdu.abort(abort[6:])
    assert pdu.pack_abort(AbortSource.USER) == bytes.fromhex("07 00 00000004 0000 00 00")
    reject = pdu.pack_reject(2, 3, 1)
    assert reject == bytes.fromhex("03 00 00000004 00 02 03 01")
    refused = A_ASSOCIATE_RJ()
    refused.decode(reject)
    assert (refused.result, refused.source, refused.reason_diagnostic) == (2, 3, 1) == pdu.reject(reject[6:])


@pytest.mark.parametrize("length", [0, 3, 5])
def test_small_pdus_have_four_bytes(length: int) -> None:
    """PS3.8 9.3.4 and 9.3.8."""
    for read in (pdu.abort, pdu.reject):
        with pytest.raises(Malformed):
            read(b"\1" * length)
