"""Verification as its provider (PS3.4 Annex A): a C-ECHO is answered with success."""

from collections.abc import Sequence
from functools import cache
from typing import Final

from pynetdicom.presentation import PresentationContext

from node.dimse.association_policy import Admitted
from node.dimse.contexts import DECODABLE, contexts_of
from node.dimse.services.port import ListenerParts, ServiceKind, ServiceRequest
from node.dimse.ul import command
from node.dimse.ul.command import Field
from node.settings.config import Config
from node.settings.peers import May

VERIFICATION: Final = "1.2.840.10008.1.1"


class VerificationProvider:
    """Answers each C-ECHO with success."""

    def __init__(self, parts: ListenerParts) -> None:
        """It needs nothing of the listener."""

    def contexts(self, admitted: Admitted) -> Sequence[PresentationContext]:
        """Verification, in the syntaxes that need no decoding."""
        return verification_contexts() if May.ECHO in admitted.may else ()

    def adopt(self, config: Config) -> None:
        """Nothing of it depends on the configuration."""

    def begin(self, request: ServiceRequest) -> "EchoExchange":
        """A C-ECHO."""
        return EchoExchange(request.message_id)


class EchoExchange:
    """One C-ECHO."""

    __slots__ = ("_message_id",)

    def __init__(self, message_id: int) -> None:
        self._message_id = message_id

    def write(self, *fragments: memoryview) -> None:
        """A data set has no place here: it is read and dropped."""

    def replies(self) -> tuple[tuple[bytes, bytes]]:
        """Success."""
        return ((command.echo_response(self._message_id), b""),)

    def answered(self) -> None:
        """Nothing follows from it."""

    def abandon(self) -> None:
        """Nothing was begun."""


@cache
def verification_contexts() -> Sequence[PresentationContext]:
    """The presentation context to accept."""
    return contexts_of([VERIFICATION], DECODABLE[:4])


KIND = ServiceKind(
    name="Verification",
    says="C-ECHO.",
    may=May.ECHO,
    sop_classes=lambda: (VERIFICATION,),
    operations=frozenset({Field.C_ECHO_RQ}),
    in_any_context=True,
    open=VerificationProvider,
)
