"""Command sets as bytes, against pynetdicom's messages (which go through pydicom) and against bytes written down by hand from PS3.7."""

import struct
from dataclasses import fields
from io import BytesIO
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_CANCEL_RQ, C_ECHO_RQ, C_ECHO_RSP, C_FIND_RQ, C_STORE_RQ, C_STORE_RSP, N_ACTION_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_STORE, N_ACTION
from pynetdicom.dsutils import decode as read_dataset
from pynetdicom.dsutils import encode as write_dataset

from node.dimse.ul import command, pdu
from node.dimse.ul.command import Command, Field
from node.dimse.ul.pdu import Malformed
from tests.dimse.ul.talk import cancel

_UIDS = st.from_regex(r"[12](\.(0|[1-9][0-9]{0,8})){1,6}", fullmatch=True)
_NUMBERS = st.integers(0, 65535)
_ENDS = st.sampled_from(ascii_letters + digits)
_INNER = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=62)
_TITLES = st.from_regex(r"[A-Z][A-Z0-9_]{0,15}", fullmatch=True)


def _theirs(message: DIMSEMessage, primitive: object) -> bytes:
    """The command set as pynetdicom encodes it."""
    message.primitive_to_message(primitive)
    encoded: bytes | None = write_dataset(message.command_set, True, True)
    assert encoded is not None, "pynetdicom can encode its own message"
    return encoded


def _store(message_id: int, uid: str) -> C_STORE:
    request = C_STORE()
    request.MessageID, request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = message_id, CTImageStorage, uid
    request.Priority = 1
    request.DataSet = BytesIO(b"\0")
    return request


@pytest.mark.slow
@given(_NUMBERS, _UIDS, _TITLES, _NUMBERS)
def test_a_store_request_is_pynetdicoms_byte_for_byte(message_id: int, uid: str, originator: str, moved: int) -> None:
    """Written alike, and read back."""
    theirs = _store(message_id, uid)
    ours = command.store_request(message_id, sop_class_uid=CTImageStorage, sop_instance_uid=uid, priority=1)
    assert ours == _theirs(C_STORE_RQ(), theirs)
    read = command.decode(ours)
    assert read == Command(
        field=Field.C_STORE_RQ, data_set_follows=True, message_id=message_id, sop_class_uid=CTImageStorage, sop_instance_uid=uid, priority=1
    )
    theirs.MoveOriginatorApplicationEntityTitle, theirs.MoveOriginatorMessageID = originator, moved
    ours = command.store_request(message_id, sop_class_uid=CTImageStorage, sop_instance_uid=uid, priority=1, originator=(originator, moved))
    assert ours == _theirs(C_STORE_RQ(), theirs)
    assert (command.decode(ours).originator_ae, command.decode(ours).originator_message_id) == (originator, moved)


@given(
    _NUMBERS,
    _UIDS,
    st.sampled_from([0x0000, 0xA700, 0xB000, 0xC000, 0x0110]),
    st.one_of(_ENDS, st.builds("{}{}{}".format, _ENDS, _INNER, _ENDS)),
)
def test_a_store_response_is_pynetdicoms_byte_for_byte(message_id: int, uid: str, status: int, comment: str) -> None:
    """With and without an error comment; what is not ASCII in one becomes a question mark, a backslash a slash."""
    comment = comment.encode("ascii", "replace").decode().replace("\\", "/")
    theirs = C_STORE()
    theirs.MessageIDBeingRespondedTo, theirs.AffectedSOPClassUID, theirs.AffectedSOPInstanceUID = message_id, CTImageStorage, uid
    theirs.Status = status
    ours = command.store_response(message_id, sop_class_uid=CTImageStorage, sop_instance_uid=uid, status=status)
    assert ours == _theirs(C_STORE_RSP(), theirs)
    read = command.decode(ours)
    assert (read.field, read.responded_to, read.status, read.is_response, read.data_set_follows) == (
        0x8001,
        message_id,
        status,
        True,
        False,
    )
    theirs.ErrorComment = comment
    ours = command.store_response(message_id, sop_class_uid=CTImageStorage, sop_instance_uid=uid, status=status, comment=comment)
    assert ours == _theirs(C_STORE_RSP(), theirs)
    assert command.decode(ours).comment == comment.strip()


@given(_NUMBERS)
def test_echo_and_cancel_are_pynetdicoms_byte_for_byte(message_id: int) -> None:
    """C-ECHO-RQ, C-ECHO-RSP, C-CANCEL-RQ."""
    asked, answered, cancelled = C_ECHO(), C_ECHO(), C_CANCEL()
    asked.MessageID, asked.AffectedSOPClassUID = message_id, "1.2.840.10008.1.1"
    answered.MessageIDBeingRespondedTo, answered.AffectedSOPClassUID, answered.Status = message_id, "1.2.840.10008.1.1", 0
    cancelled.MessageIDBeingRespondedTo = message_id
    assert command.echo_request(message_id) == _theirs(C_ECHO_RQ(), asked)
    assert command.echo_response(message_id) == _theirs(C_ECHO_RSP(), answered)
    assert cancel(message_id)[pdu.HEAD_BYTES + pdu.PDV_HEAD_BYTES :] == _theirs(C_CANCEL_RQ(), cancelled)
    assert command.decode(_theirs(C_CANCEL_RQ(), cancelled)) == Command(
        field=Field.C_CANCEL_RQ, data_set_follows=False, responded_to=message_id
    )


def test_other_commands_are_told_by_their_field() -> None:
    """A C-FIND-RQ and an N-ACTION-RQ as pynetdicom writes them."""
    find = C_FIND()
    find.MessageID, find.AffectedSOPClassUID, find.Priority, find.Identifier = 9, "1.2.840.10008.5.1.4.1.2.2.1", 2, BytesIO(b"\0")
    read = command.decode(_theirs(C_FIND_RQ(), find))
    assert (read.field, read.message_id, read.data_set_follows) == (Field.C_FIND_RQ, 9, True)
    action = N_ACTION()
    action.MessageID, action.ActionTypeID = 10, 1
    action.RequestedSOPClassUID, action.RequestedSOPInstanceUID = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
    read = command.decode(_theirs(N_ACTION_RQ(), action))
    assert (read.field, read.requested_class_uid, read.requested_instance_uid) == (
        Field.N_ACTION_RQ,
        "1.2.840.10008.1.20.1",
        "1.2.840.10008.1.20.1.1",
    )


def test_a_command_set_by_hand() -> None:
    """PS3.7 9.3.5.1, the elements written down one by one; the odd UID has its NUL."""
    by_hand = bytes.fromhex(
        "0000 0000 04000000 38000000"
        "0000 0200 12000000 312e322e3834302e31303030382e312e3100"
        "0000 0001 02000000 3000"
        "0000 1001 02000000 0700"
        "0000 0008 02000000 0101"
    )
    assert command.echo_request(7) == by_hand
    assert read_dataset(BytesIO(by_hand), True, True).MessageID == 7


def _element(number: int, value: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHL", group, number, len(value)) + value


_LEAST = _element(0x0100, b"\x30\0") + _element(0x0800, b"\1\1")


def test_what_senders_do_to_command_sets_is_borne() -> None:
    """Empty elements, no group length, a wrong one, any order, retired elements, blanks for padding, a few bytes behind the last."""
    odd = (
        _element(0x0800, b"\1\1")
        + _element(0x0000, b"\xff\xff\xff\xff")
        + _element(0x1031, b"")
        + _element(0x1030, b"")
        + _element(0x0001, b"\0\0\0\0")
        + _element(0x0100, b"\1\0")
        + _element(0x1000, b"1.2.3 \0")
        + b"\0\0"
    )
    assert command.decode(odd) == Command(field=1, data_set_follows=False, sop_instance_uid="1.2.3")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(_element(0x0100, b"\1\0"), id="no data set type"),
        pytest.param(_element(0x0800, b"\1\0"), id="no field"),
        pytest.param(_element(0x0100, b"") + _element(0x0800, b"\1\0"), id="empty field"),
        pytest.param(_LEAST + _element(0x0110, b"\1\0\0\0"), id="a number of four bytes"),
        pytest.param(_LEAST + struct.pack("<HHL", 0, 0x1000, 100) + b"1.2", id="beyond the end"),
        pytest.param(_LEAST + struct.pack("<HHL", 0, 0x1000, 0xFFFFFFFF), id="undefined length"),
        pytest.param(_LEAST + _element(0x1000, b"1" * 70_000), id="endless"),
    ],
)
def test_malformed_command_sets(data: bytes) -> None:
    """One class of error, whatever is wrong."""
    with pytest.raises(Malformed):
        command.decode(data)


@given(
    st.binary(max_size=200)
    | st.lists(st.tuples(_NUMBERS, st.binary(max_size=8)), max_size=12).map(lambda them: _LEAST + b"".join(_element(*one) for one in them))
)
def test_any_bytes_are_a_command_set_or_malformed(data: bytes) -> None:
    """Nothing else is raised; views and byte arrays are read as bytes are."""
    try:
        read = command.decode(data)
    except Malformed:
        return
    assert command.decode(memoryview(data)) == read == command.decode(bytearray(data))
    assert all(getattr(read, one.name) is None or isinstance(getattr(read, one.name), int | str) for one in fields(read))
