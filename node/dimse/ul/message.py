"""One message of a peer, put together from the fragments in which it comes (PS3.7 6.3, PS3.8 annex E); no sockets."""

from typing import Final

from node.dimse.ul import command, pdu
from node.dimse.ul.pdu import AbortReason, Malformed

_MOST_DATA_BYTES: Final = 1 << 20
"""Of the data set behind an answer: a match of a C-FIND has some hundred bytes."""


class MessageReader:
    """The message that comes next: its command set first, then, if the command says so, its data set."""

    def __init__(self) -> None:
        self._fragments: list[bytes] = []
        self._size = 0
        self._command: command.Command | None = None
        self._context = 0

    @property
    def context_id(self) -> int:
        """The presentation context that the message came in, once its first fragment is here."""
        return self._context

    def take(self, body: bytes) -> tuple[command.Command, bytes] | None:
        """Take in a P-DATA-TF without its head; the message, with this one it is whole, and nothing may follow in the same P-DATA-TF.

        Raises
        ------
        Malformed
            It is none, or has what does not belong here, or more than an answer has.
        """
        whole: tuple[command.Command, bytes] | None = None
        for one in pdu.pdvs(body):
            if whole is not None or one.is_command is not (self._command is None) or (self._fragments and one.context_id != self._context):
                raise Malformed("fragments that belong to no answer", AbortReason.UNEXPECTED_PARAMETER)
            self._context = one.context_id
            self._fragments.append(bytes(one.fragment))
            self._size += len(one.fragment)
            if self._size > (command.MOST_BYTES if self._command is None else _MOST_DATA_BYTES):
                raise Malformed(f"an answer of more than {self._size} bytes")
            if one.is_last:
                whole = self._closed()
        return whole

    def _closed(self) -> tuple[command.Command, bytes] | None:
        content = b"".join(self._fragments)
        self._fragments.clear()
        self._size = 0
        if self._command is None:
            self._command = command.decode(content)
            return None if self._command.data_set_follows else (self._command, b"")
        return self._command, content
