"""The A-ASSOCIATE-RQ and its answer (PS3.8 9.3.2 and 9.3.3, PS3.7 D): pynetdicom's codecs and its rules, once an association."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor
from pynetdicom.sop_class import Verification

from node.dimse.claim import APPLICATION_CONTEXT, UserIdentity
from node.dimse.contexts import storage_classes
from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.wire.mending import NOTHING, mended
from node.dimse.wire.pdu import Malformed, PduType

_WITHOUT_LIMIT: Final = 0


class Context(NamedTuple):
    """One presentation context that was accepted."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An A-ASSOCIATE-RQ. `pdu` is it as a whole, as a codec can take it; `most_bytes` is how long the PDVs of one P-DATA-TF to the
    requestor may be, 0 without a limit. `titled`: what it calls and is called are AE titles."""

    called: str
    calling: str
    titled: bool
    application_context: str
    identity: UserIdentity | None
    version_1: bool
    most_bytes: int
    contexts: Sequence[PresentationContext]
    roles: Mapping[UID, tuple[bool, bool]]
    pdu: bytes

    @property
    def only_stores(self) -> bool:
        """Whether Verification and Storage are all that is proposed, and the requestor is to be the SCU of each."""
        known = _served()
        return all(context.abstract_syntax in known for context in self.contexts) and not any(scp for _, scp in self.roles.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The A-ASSOCIATE-AC, and what it accepts by presentation context ID."""

    pdu: bytes
    contexts: Mapping[int, Context]
    rejected: int


@cache
def _served() -> frozenset[str]:
    # a context that is no context is answered by whoever answers the others
    return frozenset({*storage_classes(), Verification, NOTHING.decode()})


def read_request(body: bytes) -> Request:
    """Decode an A-ASSOCIATE-RQ, whose head is cut off.

    Items of types that the standard does not have are skipped, as PS3.8 9.3.1 asks, and values that are none are mended.

    Raises
    ------
    Malformed
        Its lengths do not add up.
    """
    made = mended(body)
    whole = struct.pack(">BxL", PduType.ASSOCIATE_RQ, len(made.body)) + made.body
    decoded = A_ASSOCIATE_RQ()
    try:
        decoded.decode(whole)
        primitive = decoded.to_primitive()
        named: dict[type, Any] = {type(item): item for item in primitive.user_information}
        roles = {
            item.sop_class_uid: (bool(item.scu_role), bool(item.scp_role))
            for item in primitive.user_information
            if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
        }
        identity = UserIdentity.of(named.get(UserIdentityNegotiation))
        length = named.get(MaximumLengthNotification)
        contexts = primitive.presentation_context_definition_list
    except Exception as bad:
        # a codec that was not made for bytes of strangers: whatever it stumbles over, these are no request
        raise Malformed(f"the A-ASSOCIATE-RQ cannot be decoded ({type(bad).__name__})") from bad
    return Request(
        called=made.called,
        calling=made.calling,
        titled=made.titled,
        application_context=str(primitive.application_context_name or ""),
        identity=identity,
        version_1=made.version_1,
        most_bytes=_WITHOUT_LIMIT if length is None else int(length.maximum_length_received or 0),
        contexts=contexts,
        roles=roles,
        pdu=whole,
    )


def accept(request: Request, supported: Sequence[PresentationContext], *, most_bytes: int, confirms_user: bool) -> Accepted:
    """Answer a request by pynetdicom's rules; `most_bytes` is the longest P-DATA-TF that is taken."""
    results, roles = negotiate_as_acceptor(list(request.contexts), list(supported), dict(request.roles))
    answer = A_ASSOCIATE()
    answer.application_context_name = UID(APPLICATION_CONTEXT)
    answer.calling_ae_title, answer.called_ae_title = request.calling, request.called
    answer.result, answer.result_source = 0x00, 0x01
    taken = [context for context in results if context.result == 0x00]
    others = [context for context in results if context.result != 0x00]
    answer.presentation_context_definition_results_list = taken + others
    length, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = most_bytes
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version.implementation_version_name = IMPLEMENTATION_VERSION
    answer.user_information = [length, implementation, version, *([confirmed_user()] if confirms_user else []), *roles]
    return Accepted(
        pdu=bytes(A_ASSOCIATE_AC(answer).encode()),
        contexts={int(context.context_id): Context(str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in taken},
        rejected=len(others),
    )


def confirmed_user() -> UserIdentityNegotiation:
    """The answer to a username, with or without a passcode, that was recognised: an empty server response (PS3.7 table D.3-15)."""
    item = UserIdentityNegotiation()
    item.server_response = b""
    return item
