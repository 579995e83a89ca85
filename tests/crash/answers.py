"""Which C-STORE responses stand in a P-DATA-TF, read by pynetdicom and pydicom: what left the node, past the code under test."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.pdu import P_DATA_TF

_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_COMMAND = 0x01  # bit 0 of the message control header: a command, not a data set (PS3.8 E.2)


@dataclass(frozen=True, slots=True)
class Answer:
    """One C-STORE-RSP (PS3.7 9.3.1.2)."""

    sop_instance_uid: str
    status: int


def answers(sent: bytes) -> Iterator[Answer]:
    """The C-STORE responses in what was given to one send."""
    for command in _commands(sent):
        if command.get("CommandField") == _C_STORE_RSP:
            yield Answer(str(command.get("AffectedSOPInstanceUID", "")), int(command.Status))


def requests(sent: bytes) -> Iterator[str]:
    """The SOP Instance UIDs of the C-STORE requests in it."""
    for command in _commands(sent):
        if command.get("CommandField") == _C_STORE_RQ:
            yield str(command.get("AffectedSOPInstanceUID", ""))


def _commands(sent: bytes) -> Iterator[Dataset]:
    """The command sets in it; that of a C-STORE fits one PDV."""
    while len(sent) >= 6 and sent[0] == 0x04:
        length = 6 + int.from_bytes(sent[2:6], "big")
        if len(sent) < length:
            return
        pdu = P_DATA_TF()
        pdu.decode(sent[:length])
        sent = sent[length:]
        for item in pdu.presentation_data_value_items:
            value = item.presentation_data_value
            if value[0] & _COMMAND:
                yield read_dataset(BytesIO(value[1:]), is_implicit_VR=True, is_little_endian=True)
