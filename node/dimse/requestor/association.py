"""One association that this node requests: opened, used by one thread at a time for C-STORE and C-ECHO, released or aborted (PS3.8).

Of a batch of instances the next one is made ready while the answer to the last is awaited; there is a status for each.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, Self, TypeAlias

from inference.errors import quoted
from node.dicom.transfer_syntax import Context, name_of
from node.dimse.port import SOP_CLASS_NOT_SUPPORTED, NotAFile, PeerRefuses, StoreStatus
from node.dimse.requestor.opening import MOST_BYTES, Called, Timeouts, last_word, opened
from node.dimse.requestor.outgoing import Outgoing, Ready, contexts_for, window
from node.dimse.ul import command, pdu
from node.dimse.ul.command import MessageReader
from node.dimse.ul.connection import ConnectionLost, Pdu, PduConnection, TooLong
from node.dimse.ul.negotiation import Agreed
from node.dimse.ul.pdu import AbortReason, AbortSource, Malformed, PduType

_SUCCESS: Final = 0x0000
_PENDING: Final = (0xFF00, 0xFF01)
_MOST_MATCHES: Final = 100_000
MOST_MATCHED_BYTES: Final = 64 << 20
"""Of all matches of one question: twice what so many instances with their UIDs take."""
_KNOWN: Final = frozenset(int(kind) for kind in PduType)


class AssociationEnded(Exception):
    """The association has ended; says how. `late`: no answer came in time, and this side aborted."""

    def __init__(self, how: str, *, late: bool = False) -> None:
        super().__init__(how)
        self.late = late


class Association:
    """An established association. Every error ends it; `open` tells whether it still stands."""

    def __init__(self, connection: PduConnection, offered: Sequence[Context], agreed: Agreed, timeouts: Timeouts) -> None:
        self.offered = frozenset(offered)
        self.contexts = agreed.contexts
        self.most_bytes = agreed.most_bytes
        self.open = True
        self._connection = connection
        self._timeouts = timeouts
        self._number = 0

    @classmethod
    def requested(cls, peer: Called, contexts: Sequence[Context], *, provides: Collection[str] = ()) -> Self:
        """Connect and negotiate; at least one context was accepted. Of the SOP classes that it `provides` this node is to be the provider.

        Raises
        ------
        PeerAway, PeerRejected
            There is no association.
        PeerRefuses
            The peer accepts none of the contexts; the association was released.
        """
        connection, agreed = opened(peer, contexts, provides=provides)
        made = cls(connection, contexts, agreed, peer.timeouts)
        if not agreed.contexts:
            made.release()
            raise PeerRefuses(f"{peer.who} accepts no presentation context")
        return made

    def echo(self, context_id: int) -> int | None:
        """The status of a C-ECHO.

        Raises
        ------
        Ended
        """
        number = self._next()
        try:
            self._send([pdu.pack_data(context_id, command.echo_request(number), command=True, last=True)])
        except ConnectionLost as lost:
            raise self._over(str(lost)) from lost
        return self._answer(number, command.Field.C_ECHO_RSP).status

    def store(self, ready: Ready) -> int:
        """Send a C-STORE; the number to ask `stored` for. With it, the peer has all bytes, or none of the last one's.

        Raises
        ------
        Ended
            The peer cannot have the whole instance.
        OSError
            The file cannot be read to its end; the association was aborted, and the peer cannot have the whole instance.
        """
        number = self._next()
        instance = ready.instance
        asked = command.store_request(number, sop_class_uid=instance.sop_class_uid, sop_instance_uid=instance.sop_instance_uid)
        ahead: list[bytes | memoryview] = [pdu.pack_data(ready.context_id, asked, command=True, last=True)]
        try:
            for pieces in ready.fragments(self.most_bytes):
                self._send(ahead + pieces)
                ahead = []
        except ConnectionLost as lost:
            raise self._over(self._said() or str(lost)) from lost
        except OSError:
            self.abort()
            raise
        return number

    def stored(self, number: int) -> command.Command:
        """The answer to the C-STORE of this number, which was the last one sent.

        Raises
        ------
        Ended
            There is none, and the outcome is unknown: the peer may have the instance.
        """
        return self._answer(number, command.Field.C_STORE_RSP)

    def find(self, context_id: int, sop_class_uid: str, identifier: bytes) -> list[bytes] | None:
        """The identifiers of all matches of a C-FIND; None when it did not end with success.

        Raises
        ------
        Ended
            There is no answer, or more matches than anybody can mean.
        """
        number = self._next()
        asked = command.find_request(number, sop_class_uid=sop_class_uid)
        try:
            self._send(
                [
                    pdu.pack_data(context_id, asked, command=True, last=True),
                    pdu.pack_data(context_id, identifier, command=False, last=True),
                ]
            )
        except ConnectionLost as lost:
            raise self._over(str(lost)) from lost
        matches: list[bytes] = []
        size = 0
        while True:
            answer, match = self._message(number, command.Field.C_FIND_RSP)
            if answer.status not in _PENDING:
                return matches if answer.status == _SUCCESS else None
            matches.append(match)
            size += len(match)
            if len(matches) > _MOST_MATCHES or size > MOST_MATCHED_BYTES:
                self.abort()
                raise AssociationEnded(f"answers with more than {_MOST_MATCHES} matches, or {MOST_MATCHED_BYTES >> 20} MiB of them")

    def stands(self) -> bool:
        """Whether the peer has neither closed, aborted nor asked to release since it was last heard; nothing may be under way."""
        if not self.open:
            return False
        try:
            said = self._connection.waiting(most_bytes=MOST_BYTES)
        except (ConnectionLost, TooLong):
            self._close()
            return False
        if said is not None:
            self._not_an_answer(said)
        return self.open

    def release(self) -> None:
        """End it in order (PS3.8 7.2); a peer that does not answer is left."""
        if not self.open:
            return
        until = time.monotonic() + self._timeouts.acse_s
        # once it has ended nobody waits for anything more of it
        with contextlib.suppress(TimeoutError, ConnectionLost, TooLong):
            self._connection.send([pdu.pack_release_request()], stall_s=self._timeouts.acse_s)
            while True:
                said = self._connection.receive(until=until, most_bytes=MOST_BYTES)
                if said.kind == PduType.RELEASE_RQ:
                    # a collision: whoever requested the association answers first (PS3.8 9.2.2, Sta 7 to 11)
                    self._connection.send([pdu.pack_release_reply()], stall_s=self._timeouts.acse_s)
                elif said.kind != PduType.P_DATA:
                    break
        self._close()

    def abort(self, source: AbortSource = AbortSource.USER, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """End it at once (PS3.8 7.3)."""
        if not self.open:
            return
        last_word(self._connection, pdu.pack_abort(source, reason))
        self._close()

    # ---- what comes back

    def _answer(self, number: int, field: command.Field) -> command.Command:
        answer, data_set = self._message(number, field)
        if data_set:
            self.abort()
            raise AssociationEnded("answered something else than was asked")
        return answer

    def _message(self, number: int, field: command.Field) -> tuple[command.Command, bytes]:
        """The next message, which must be a response of this kind to the request of this number, and the data set behind its command."""
        until = time.monotonic() + self._timeouts.dimse_s
        incoming = MessageReader()
        while True:
            said = self._received(until)
            if said.kind != PduType.P_DATA:
                raise self._not_an_answer(said)
            try:
                whole = incoming.take(said.body)
            except Malformed as malformed:
                self.abort(AbortSource.PROVIDER, malformed.reason)
                raise AssociationEnded(f"answered what cannot be understood: {malformed}") from malformed
            if whole is None:
                continue
            answer, data_set = whole
            if answer.field != field or answer.responded_to != number or answer.status is None:
                self.abort()
                raise AssociationEnded("answered something else than was asked")
            return answer, data_set

    def _received(self, until: float) -> Pdu:
        try:
            return self._connection.receive(until=until, most_bytes=MOST_BYTES)
        except TimeoutError as late:
            # an answer that came after this would be taken for the next one's
            self.abort()
            raise AssociationEnded(f"did not answer within {self._timeouts.dimse_s:g} s", late=True) from late
        except ConnectionLost as lost:
            raise self._over(str(lost)) from lost
        except TooLong as wrong:
            self.abort(AbortSource.PROVIDER, AbortReason.INVALID_PARAMETER)
            raise AssociationEnded(f"sent {wrong}") from wrong

    def _not_an_answer(self, said: Pdu) -> AssociationEnded:
        """Do what PS3.8 9.2 has for a PDU that is no P-DATA-TF while data is transferred (Sta 6); the association ends."""
        if said.kind == PduType.ABORT:
            return self._over("aborted the association")
        if said.kind == PduType.RELEASE_RQ:
            last_word(self._connection, pdu.pack_release_reply())
            return self._over("released the association")
        self.abort(AbortSource.PROVIDER, AbortReason.UNEXPECTED_PDU if said.kind in _KNOWN else AbortReason.UNRECOGNIZED_PDU)
        return AssociationEnded(f"sent a PDU of type {said.kind:02X}, which has no place here")

    def _said(self) -> str:
        """What the peer said before it stopped listening."""
        try:
            said = self._connection.waiting(most_bytes=MOST_BYTES)
        except (ConnectionLost, TooLong):
            return ""
        return "" if said is None else str(self._not_an_answer(said))

    def _send(self, pieces: Sequence[bytes | memoryview]) -> None:
        try:
            self._connection.send(pieces, stall_s=self._timeouts.dimse_s)
        except TimeoutError as stalled:
            self._close()
            raise AssociationEnded(f"took nothing for {self._timeouts.dimse_s:g} s", late=True) from stalled

    def _next(self) -> int:
        self._number = self._number % 65535 + 1
        return self._number

    def _over(self, how: str) -> AssociationEnded:
        self._close()
        return AssociationEnded(how)

    def _close(self) -> None:
        self.open = False
        self._connection.close()


Numbered: TypeAlias = tuple[int, Outgoing]


class StoreStatuses:
    """Collects statuses by the number of their file and passes them on."""

    def __init__(self, on_status: Callable[[StoreStatus], None]) -> None:
        self.statuses: dict[int, StoreStatus] = {}
        self.any_sent = False
        self._on_status = on_status

    def __call__(self, number: int, instance: Outgoing, status: int | None, detail: str, *, unknown: bool = False) -> None:
        self.file(number, StoreStatus(sop_instance_uid=instance.sop_instance_uid, status=status, detail=detail, unknown=unknown))

    def file(self, number: int, status: StoreStatus) -> None:
        """The status of a file of which it is not known whose instance it holds."""
        self.statuses[number] = status
        self._on_status(status)

    def leave(self, pending: Sequence[Numbered], status: int | None, detail: str) -> None:
        """One status for all that were not reached."""
        for number, instance in pending:
            self(number, instance, status, detail)


class StoreBatch:
    """Instances on their way over one association."""

    def __init__(self, association: Association, who: str, pending: Sequence[Numbered], told: StoreStatuses) -> None:
        self._association = association
        self._who = who
        self._pending = deque(pending)
        self._told = told
        self._window = window()
        self._not_sent: list[tuple[Numbered, int | None, str]] = []

    def send(self, *, stood_idle: bool) -> list[Numbered]:
        """Send all; what is left for another association.

        That is: everything, where the association had stood idle and the peer ended it before it answered anything (it may have closed it
        before the first byte came, and an instance that it has already is harmless); and what comes behind a file that broke off.
        """
        try:
            left = self._send(stood_idle)
        except BaseException:  # raised again: the peer is not left waiting for the rest of a message
            self._association.abort()
            raise
        self._refuse()
        return left

    def _send(self, stood_idle: bool) -> list[Numbered]:
        answered = not stood_idle
        following = self._ahead()
        while following is not None:
            numbered, ready = following
            try:
                message = self._association.store(ready)
            except AssociationEnded as ended:
                if not answered and not ended.late:
                    return [numbered, *self._pending]
                self._told.leave([numbered, *self._pending], None, f"not sent: {self._who} {ended}")
                return []
            except OSError as unreadable:
                self._told(*numbered, None, f"not sent: {numbered[1].path}: {unreadable.strerror}")
                return list(self._pending)
            finally:
                ready.close()
            self._told.any_sent = True
            following = self._ahead()
            try:
                answer = self._association.stored(message)
            except AssociationEnded as ended:
                rest = [*([following[0]] if following else []), *self._pending]
                self._drop(following)
                if not answered and not ended.late:
                    return [numbered, *rest]
                self._told(*numbered, None, f"{self._who} {ended}: it may have the instance", unknown=True)
                self._told.leave(rest, None, f"not sent: {self._who} {ended}")
                return []
            answered = True
            # what a peer writes may be about a patient: the log leaves it out
            said = quoted(answer.comment) if answer.comment else ""
            if not said and ready.syntax != numbered[1].transfer_syntax_uid:
                said = f"sent in {name_of(ready.syntax)}"
            self._told(*numbered, answer.status, said)
            self._refuse()
        return []

    def _ahead(self) -> tuple[Numbered, Ready] | None:
        """The next instance that can be sent, made ready; what cannot is told when its turn has come."""
        while self._pending:
            numbered = self._pending.popleft()
            instance = numbered[1]
            taken = [context for context in contexts_for(instance) if context in self._association.contexts]
            if not taken:
                refused = f"not sent: {self._who} takes no {name_of(instance.sop_class_uid)} in {name_of(instance.transfer_syntax_uid)}"
                self._not_sent.append((numbered, SOP_CLASS_NOT_SUPPORTED, refused))
                continue
            try:
                return numbered, Ready(
                    instance,
                    context_id=self._association.contexts[taken[0]],
                    syntax=taken[0].transfer_syntax_uid,
                    window=self._window,
                )
            except NotAFile as unreadable:
                self._not_sent.append((numbered, None, f"not sent: {unreadable}"))
        return None

    def _refuse(self) -> None:
        for numbered, status, detail in self._not_sent:
            self._told(*numbered, status, detail)
        self._not_sent.clear()

    @staticmethod
    def _drop(following: tuple[Numbered, Ready] | None) -> None:
        if following is not None:
            following[1].close()
