"""A peer that says bytes and notes what it is told: PDUs as pynetdicom decodes them, whatever the receiver."""

import contextlib
import socket
import struct
from collections.abc import Iterable, Sequence
from io import BytesIO
from itertools import cycle

from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom.dimse_messages import N_ACTION_RQ, N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import decode as read_dataset
from pynetdicom.pdu import A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    ServiceParameter,
)
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

from node.dimse.ul import command, pdu

STORE, ECHO, COMMIT = 1, 3, 5
"""Presentation contexts: MR images in explicit VR little endian and Verification, which `request` proposes, and the third of `MIXED`."""
MIXED = (MRImageStorage, Verification, StorageCommitmentPushModel)
"""What modalities propose: images, verification and storage commitment."""
RELEASE = pdu.pack_release_request()
_LONGEST_WAIT_S = 120.0


def request(
    *,
    classes: Iterable[str] = (MRImageStorage, Verification),
    calling: str = "PACS",
    items: Iterable[ServiceParameter] = (),
    most: int = 16384,
) -> bytes:
    """An A-ASSOCIATE-RQ to HILUM; presentation contexts are 1, 3, 5 … for each of `classes`."""
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = calling, "HILUM"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = most, "1.2.3"
    asked.user_information = [length, implementation, *items]
    contexts = [build_context(one, [ExplicitVRLittleEndian]) for one in classes]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    asked.presentation_context_definition_list = contexts
    return bytes(A_ASSOCIATE_RQ(asked).encode())


def store(message_id: int, uid: str, data_set: bytes, *, context: int = STORE, fragment: int = 100) -> bytes:
    """A C-STORE-RQ as P-DATA-TFs, the data set in fragments of so many bytes."""
    return b"".join(stored(message_id, uid, data_set, context=context, fragment=fragment))


def stored(message_id: int, uid: str, data_set: bytes, *, context: int = STORE, fragment: int = 100) -> list[bytes]:
    """The same, PDU by PDU."""
    asked = command.store_request(message_id, sop_class_uid=MRImageStorage, sop_instance_uid=uid)
    parts = [data_set[at : at + fragment] for at in range(0, len(data_set), fragment)]
    return [
        pdu.pack_data(context, asked, command=True, last=True),
        *(pdu.pack_data(context, part, command=False, last=number == len(parts) - 1) for number, part in enumerate(parts)),
    ]


def echo(message_id: int) -> bytes:
    """A C-ECHO-RQ."""
    return pdu.pack_data(ECHO, command.echo_request(message_id), command=True, last=True)


def cancel(message_id: int) -> bytes:
    """A C-CANCEL-RQ for the request of that message ID (PS3.7 9.3.2.3), packed by hand."""
    values = ((0x0100, 0x0FFF), (0x0120, message_id), (0x0800, 0x0101))
    body = b"".join(struct.pack("<HHLH", 0, number, 2, value) for number, value in values)
    return pdu.pack_data(STORE, struct.pack("<HHLL", 0, 0, 4, len(body)) + body, command=True, last=True)


def action(message_id: int, content: bytes | None, *, instance: str = StorageCommitmentPushModelInstance, action: int = 1) -> bytes:
    """An N-ACTION-RQ as pynetdicom packs it."""
    asked = N_ACTION()
    asked.MessageID = message_id
    asked.RequestedSOPClassUID, asked.RequestedSOPInstanceUID = StorageCommitmentPushModel, instance
    asked.ActionTypeID = action
    message = N_ACTION_RQ()
    message.primitive_to_message(asked)
    return _message(message, content)


def report(message_id: int, content: bytes, *, event: int = 1) -> bytes:
    """An N-EVENT-REPORT-RQ as pynetdicom packs it."""
    told = N_EVENT_REPORT()
    told.MessageID = message_id
    told.AffectedSOPClassUID, told.AffectedSOPInstanceUID = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    told.EventTypeID = event
    message = N_EVENT_REPORT_RQ()
    message.primitive_to_message(told)
    return _message(message, content)


def _message(message: N_ACTION_RQ | N_EVENT_REPORT_RQ, content: bytes | None, *, fragment: int = 16000) -> bytes:
    message.command_set.CommandDataSetType = 0x0101 if content is None else 0x0001
    (one,) = message.encode_msg(COMMIT, 0)
    ((_, value),) = one.presentation_data_value_list
    parts = [] if content is None else [content[at : at + fragment] for at in range(0, len(content), fragment)]
    return pdu.pack_data(COMMIT, value[1:], command=True, last=True) + b"".join(
        pdu.pack_data(COMMIT, part, command=False, last=number == len(parts) - 1) for number, part in enumerate(parts)
    )


def talk(port: int, steps: Sequence[bytes], *, last: bytes = b"", sizes: Sequence[int] = (1 << 20,)) -> list[object]:
    """Send each step in pieces of these sizes, in turns, and wait for one PDU after it; then send `last` and hang up. What came back."""
    heard = b""
    turns = cycle(sizes)
    with socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_WAIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # it may have hung up first
            for step in steps:
                at = 0
                while at < len(step):
                    size = next(turns)
                    connection.sendall(step[at : at + size])
                    at += size
                answer = next_pdu(connection)
                heard += answer
                if answer[:1] in (b"", b"\x03", b"\x06", b"\x07"):
                    return understood(heard)
            connection.sendall(last)
    return understood(heard)


def next_pdu(connection: socket.socket) -> bytes:
    """One PDU; empty when the other side hung up."""
    whole = b""
    while len(whole) < 6 or len(whole) < 6 + int.from_bytes(whole[2:6], "big"):
        wanted = 6 - len(whole) if len(whole) < 6 else 6 + int.from_bytes(whole[2:6], "big") - len(whole)
        more = connection.recv(wanted)
        if not more:
            return b""
        whole += more
    return whole


def understood(heard: bytes) -> list[object]:
    """What PDUs say: an A-ASSOCIATE-AC as its bytes, answers as (field, message ID, status), an abort by its source."""
    said: list[object] = []
    at, held = 0, b""
    while at + 6 <= len(heard):
        kind, length = heard[at], int.from_bytes(heard[at + 2 : at + 6], "big")
        whole = heard[at : at + 6 + length]
        at += 6 + length
        if kind == 0x04:
            data = P_DATA_TF()
            data.decode(whole)
            for item in data.presentation_data_value_items:
                held += item.presentation_data_value[1:]
                if not item.presentation_data_value[0] & pdu.LAST:
                    continue
                answer, held = read_dataset(BytesIO(held), True, True), b""
                said.append((answer.CommandField, answer.MessageIDBeingRespondedTo, answer.Status))
        elif kind == 0x07:
            said.append(("abort", whole[8]))
        else:
            said.append(whole)
    return said
