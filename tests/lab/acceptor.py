"""An acceptor without manners: accepts associations by pynetdicom's codecs, and then does what a test's script says, byte by byte."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

from tests.lab.command import answer_bytes, fields

PATIENCE_S = 120.0


@dataclass(slots=True)
class Stored:
    """One C-STORE-RQ as it came: message ID, presentation context, SOP instance, data set, and the lengths of its P-DATA-TFs."""

    message: int
    context: int
    sop_instance: str
    data: bytes
    lengths: list[int] = field(default_factory=list)


class Conversation:
    """One connection, from the acceptor's side. Every read waits for half a minute at most."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(PATIENCE_S)
        self.offered: list[tuple[int, str, str]] = []
        """Number, abstract syntax and transfer syntax of each context."""

    def pdu(self) -> tuple[int, bytes] | None:
        """Type and body of the next PDU; None when the requestor closed the connection."""
        head = self._exactly(6)
        if head is None:
            return None
        kind, length = struct.unpack(">BxL", head)
        body = self._exactly(length)
        return None if body is None else (kind, body)

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                came = self.connection.recv(count - len(data))
            except ConnectionError:
                return None
            if not came:
                return None
            data += came
        return data

    def associate(self, *, max_pdu: int = 16384, takes: Sequence[str] | None = None, syntax: str | None = None) -> None:
        """Accept what is asked for: every context, or those of these abstract syntaxes, or of this transfer syntax."""
        said = self.pdu()
        assert said is not None, "somebody asks for an association"
        assert said[0] == 1, "and for nothing else"
        request = A_ASSOCIATE_RQ()
        request.decode(struct.pack(">BxL", 1, len(said[1])) + said[1])
        asked = request.to_primitive()
        answer = A_ASSOCIATE()
        answer.application_context_name = asked.application_context_name
        answer.calling_ae_title, answer.called_ae_title = asked.calling_ae_title, asked.called_ae_title
        answer.result, answer.result_source = 0, 1
        contexts = asked.presentation_context_definition_list
        for context in contexts:
            self.offered.append((context.context_id, str(context.abstract_syntax), str(context.transfer_syntax[0])))
            known = takes is None or str(context.abstract_syntax) in takes
            context.result = 0 if known and syntax in (None, str(context.transfer_syntax[0])) else 3
        answer.presentation_context_definition_results_list = contexts
        length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
        length.maximum_length_received = max_pdu
        implementation.implementation_class_uid = "1.2.3"
        answer.user_information = [length, implementation]
        self.send(A_ASSOCIATE_AC(answer).encode())

    def stored(self) -> Stored | None:
        """The next C-STORE-RQ, whole; None when something else comes: it is in `other` then."""
        found: Stored | None = None
        self.other: tuple[int, bytes] | None = None
        while True:
            said = self.pdu()
            if said is None or said[0] != 4:
                self.other = said
                return None
            at = 0
            body = said[1]
            while at < len(body):
                length, context, control = struct.unpack_from(">LBB", body, at)
                fragment = body[at + 6 : at + 4 + length]
                at += 4 + length
                if control & 1:
                    said_fields = fields(fragment)
                    message = struct.unpack("<H", said_fields[0x0110])[0]
                    found = Stored(message, context, said_fields[0x1000].decode().strip("\0"), b"")
                else:
                    assert found is not None, "a command comes before its data set"
                    found.data += fragment
                    assert control & 2 or len(fragment) % 2 == 0, "PS3.8 annex E: fragments are even"
                if found is not None:
                    found.lengths.append(len(body))
                    if not control & 1 and control & 2:
                        return found

    def answer(self, stored: Stored, status: int = 0x0000, **other: Any) -> None:
        """A C-STORE-RSP."""
        self.send(self.answer_pdu(stored, status, **other))

    @staticmethod
    def answer_pdu(stored: Stored, status: int = 0x0000, *, message: int | None = None, field_: int = 0x8001, kind: int = 0x0101) -> bytes:
        """The bytes of a C-STORE-RSP, or of something like it."""
        command = answer_bytes(message=stored.message if message is None else message, status=status, field=field_, kind=kind)
        return struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, stored.context, 3) + command

    def send(self, data: bytes) -> None:
        """Say something."""
        with contextlib.suppress(ConnectionError):
            self.connection.sendall(data)

    def release(self) -> None:
        """Answer the release that comes."""
        said = self.pdu()
        assert said is not None, "the requestor says goodbye"
        assert said[0] == 5, "and nothing else"
        self.send(struct.pack(">BxLL", 6, 4, 0))

    def ends(self) -> tuple[int, bytes] | None:
        """The last PDU before the requestor closes the connection; None when there is none."""
        last = None
        while (said := self.pdu()) is not None:
            last = said
        return last


Script = Callable[[Conversation], None]


class Acceptor:
    """Listens on loopback; the n-th connection is served by the n-th script, in a thread of its own."""

    def __init__(self, *scripts: Script) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.conversations: list[Conversation] = []
        self.wrong: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept, args=[scripts], daemon=True)]
        self._threads[0].start()

    def _accept(self, scripts: Sequence[Script]) -> None:
        for script in scripts:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            one = Conversation(connection)
            self.conversations.append(one)
            self._threads.append(threading.Thread(target=self._serve, args=[script, one], daemon=True))
            self._threads[-1].start()

    def _serve(self, script: Script, one: Conversation) -> None:
        try:
            script(one)
        except BaseException as wrong:  # noqa: BLE001
            self.wrong.append(wrong)
        finally:
            one.connection.close()

    def done(self) -> None:
        """Wait until every script has ended; what went wrong in one is raised here."""
        for thread in list(self._threads):
            thread.join(PATIENCE_S)
        self._listening.close()
        if self.wrong:
            raise self.wrong[0]


@contextlib.contextmanager
def accepting(*scripts: Script) -> Iterator[Acceptor]:
    """An acceptor for as many connections as there are scripts; at the end all of them have been served."""
    acceptor = Acceptor(*scripts)
    try:
        yield acceptor
    except BaseException:
        acceptor._listening.close()
        raise
    acceptor.done()
