"""Which responses and reports stand in P-DATA-TFs, read by pynetdicom and pydicom: what left the node, past the code under test."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.pdu import P_DATA_TF

_C_STORE_RQ, _C_STORE_RSP, _N_EVENT_REPORT_RQ = 0x0001, 0x8001, 0x0100
_COMMAND, _LAST = 0x01, 0x02  # bits of the message control header: a command, not a data set; its last fragment (PS3.8 E.2)


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


class Reports:
    """Reads the N-EVENT-REPORTs (PS3.4 J.3.3) that one association sends, send by send; their data sets in Explicit VR Little Endian."""

    def __init__(self) -> None:
        self._data: bytes | None = None

    def take(self, sent: bytes) -> Iterator[str]:
        """The SOP Instance UIDs of what is committed to in reports whose last byte is in this send."""
        for value in _values(sent):
            if value[0] & _COMMAND:
                command = read_dataset(BytesIO(value[1:]), is_implicit_VR=True, is_little_endian=True)
                self._data = b"" if command.get("CommandField") == _N_EVENT_REPORT_RQ else None
            elif self._data is not None:
                self._data += value[1:]
                if value[0] & _LAST:
                    report, self._data = read_dataset(BytesIO(self._data), is_implicit_VR=False, is_little_endian=True), None
                    yield from (str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence") or ())


def _commands(sent: bytes) -> Iterator[Dataset]:
    """The command sets in it; that of a C-STORE fits one PDV."""
    for value in _values(sent):
        if value[0] & _COMMAND:
            yield read_dataset(BytesIO(value[1:]), is_implicit_VR=True, is_little_endian=True)


def _values(sent: bytes) -> Iterator[bytes]:
    """The presentation data values in it."""
    while len(sent) >= 6 and sent[0] == 0x04:
        length = 6 + int.from_bytes(sent[2:6], "big")
        if len(sent) < length:
            return
        pdu = P_DATA_TF()
        pdu.decode(sent[:length])
        sent = sent[length:]
        yield from (item.presentation_data_value for item in pdu.presentation_data_value_items)
