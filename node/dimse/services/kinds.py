"""The services that hilum has for peers, each by the record that its own file exports. A new one is named here and nowhere else."""

from collections.abc import Sequence
from typing import Final

from pynetdicom.presentation import PresentationContext

from node.dimse.association_policy import Admitted
from node.dimse.services import commitment, echo, store
from node.dimse.services.port import Exchange, ListenerParts, Service, ServiceKind, ServiceRequest
from node.dimse.ul import command
from node.dimse.ul.command import Command
from node.settings.config import Config

KINDS: tuple[ServiceKind, ...] = (store.KIND, echo.KIND, commitment.KIND)
"""In the order in which their presentation contexts are negotiated, and the reference names them."""

_UNRECOGNIZED_OPERATION: Final = 0x0211


class Services:
    """The services of one listener. Called from many threads at once."""

    def __init__(self, parts: ListenerParts, kinds: Sequence[ServiceKind] = KINDS) -> None:
        self._services: list[Service] = []
        self._in_any_context: dict[int, Service] = {}
        self._in_context: dict[tuple[int, str], Service] = {}
        for kind in kinds:
            service = kind.open(parts)
            if service is None:
                continue
            self._services.append(service)
            if kind.in_any_context:
                self._in_any_context |= dict.fromkeys(map(int, kind.operations), service)
            else:
                self._in_context |= {(int(field), uid): service for field in kind.operations for uid in kind.sop_classes()}

    def adopt(self, config: Config) -> None:
        """Know the peers and sinks of this configuration from now on."""
        for service in self._services:
            service.adopt(config)

    def contexts(self, admitted: Admitted) -> Sequence[PresentationContext]:
        """The presentation contexts that such a requestor may negotiate."""
        return [context for service in self._services for context in service.contexts(admitted)]

    def begin(self, request: ServiceRequest) -> Exchange:
        """Take a request whose command set has come."""
        field = request.command.field
        service = self._in_any_context.get(field) or self._in_context.get((field, request.abstract_syntax))
        return UnrecognizedExchange(request.command, request.message_id) if service is None else service.begin(request)


class UnrecognizedExchange:
    """An operation that this node does not do in such a presentation context (PS3.7 C.5.23)."""

    __slots__ = ("_asked", "_message_id")

    def __init__(self, asked: Command, message_id: int) -> None:
        self._asked = asked
        self._message_id = message_id

    def write(self, *fragments: memoryview) -> None:
        """A data set of it is read and dropped."""

    def replies(self) -> tuple[tuple[bytes, bytes]]:
        """So it is said."""
        answer = command.response(
            self._asked.field | 0x8000,
            self._message_id,
            sop_class_uid=self._asked.sop_class_uid or self._asked.requested_class_uid,
            sop_instance_uid=self._asked.sop_instance_uid or self._asked.requested_instance_uid,
            status=_UNRECOGNIZED_OPERATION,
        )
        return ((answer, b""),)

    def answered(self) -> None:
        """Nothing follows from it."""

    def abandon(self) -> None:
        """Nothing was begun."""
