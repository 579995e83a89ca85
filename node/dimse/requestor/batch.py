"""A batch of instances over one association: the next one is made ready while the answer to the last is awaited, a status for each."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from inference.errors import quoted
from node.dimse.errors import NotAFile
from node.dimse.port import SOP_CLASS_NOT_SUPPORTED, StoreStatus
from node.dimse.requestor.association import Association, AssociationEnded
from node.dimse.requestor.outgoing import Outgoing, Ready, contexts_for, window
from node.domain.context import name_of

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
