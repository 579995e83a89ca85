"""A request from its command set to its answer: what is stored, what is echoed, and what this node does not do."""

from typing import Final, Protocol

from node.dimse.visit import Storing
from node.dimse.wire import command
from node.dimse.wire.command import Command, Field

_UNRECOGNIZED_OPERATION: Final = 0x0211


class Exchange(Protocol):
    """One request that is being received; `reply` is the command set of its answer."""

    def write(self, *fragments: memoryview) -> None: ...

    def reply(self) -> bytes: ...

    def answered(self) -> None: ...

    def abandon(self) -> None: ...


class StoreExchange:
    """A C-STORE."""

    __slots__ = ("_asked", "_message_id", "_storing", "abandon", "answered", "write")

    def __init__(self, asked: Command, message_id: int, storing: Storing) -> None:
        self._asked = asked
        self._message_id = message_id
        self._storing = storing
        self.write = storing.write
        self.abandon = storing.abandon
        self.answered = storing.answered

    def reply(self) -> bytes:
        """Keep it, or say why not."""
        status, comment = self._storing.answer()
        asked = self._asked
        return command.store_response(
            self._message_id, sop_class_uid=asked.sop_class_uid, sop_instance_uid=asked.sop_instance_uid, status=status, comment=comment
        )


class OtherExchange:
    """A C-ECHO, or what this node does not do in such a presentation context (PS3.7 C.5.23: unrecognized operation)."""

    __slots__ = ("_asked", "_message_id")

    def __init__(self, asked: Command, message_id: int) -> None:
        self._asked = asked
        self._message_id = message_id

    def write(self, *fragments: memoryview) -> None:
        """A data set that nobody asked for is read and dropped."""

    def answered(self) -> None:
        """Nothing follows from it."""

    def abandon(self) -> None:
        """Nothing was begun."""

    def reply(self) -> bytes:
        if self._asked.field == Field.C_ECHO_RQ:
            return command.echo_response(self._message_id)
        return command.response(
            self._asked.field | 0x8000,
            self._message_id,
            sop_class_uid=self._asked.sop_class_uid or self._asked.requested_class_uid,
            sop_instance_uid=self._asked.sop_instance_uid or self._asked.requested_instance_uid,
            status=_UNRECOGNIZED_OPERATION,
        )
