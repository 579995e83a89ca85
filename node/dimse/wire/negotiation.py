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
from node.dimse.wire.pdu import Malformed, PduType

_FIXED_BYTES: Final = 68
"""Protocol version, titles and reserved bytes, before the items (PS3.8 table 9-11)."""
_MOST_ITEMS: Final = 8192
"""128 presentation contexts with every transfer syntax there is have fewer, and each costs microseconds before anybody is known."""
_TOP_ITEMS: Final = frozenset({0x10, 0x20, 0x50})
_USER_ITEMS: Final = frozenset({*range(0x51, 0x5A)})
_CONTEXT, _USER_INFORMATION = 0x20, 0x50
_ITEM = struct.Struct(">BxH")
_WITHOUT_LIMIT: Final = 0


class Context(NamedTuple):
    """One presentation context that was accepted."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An A-ASSOCIATE-RQ. `pdu` is it as a whole, without items that the standard does not know; `most_bytes` is how long the PDVs of one
    P-DATA-TF to the requestor may be, 0 without a limit."""

    called: str
    calling: str
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
    return frozenset({*storage_classes(), Verification})


def read_request(body: bytes) -> Request:
    """Decode an A-ASSOCIATE-RQ, whose head is cut off.

    Items of types that the standard does not have are skipped, as PS3.8 9.3.1 asks; pynetdicom would take them for an error.

    Raises
    ------
    Malformed
        It is none.
    """
    cleaned = _without_unknown(body)
    whole = struct.pack(">BxL", PduType.ASSOCIATE_RQ, len(cleaned)) + cleaned
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
    if not all(context.abstract_syntax and context.transfer_syntax for context in contexts):
        # PS3.8 9.3.2.2: one abstract syntax and one transfer syntax at least; pynetdicom would fail when it answers
        raise Malformed("a presentation context without an abstract or a transfer syntax")
    return Request(
        called=primitive.called_ae_title.strip(),
        calling=primitive.calling_ae_title.strip(),
        application_context=str(primitive.application_context_name or ""),
        identity=identity,
        # PS3.8 table 9-11: one bit for each version; only bit 0 is tested
        version_1=bool(decoded.protocol_version & 1),
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


def _without_unknown(body: bytes) -> bytes:
    if len(body) < _FIXED_BYTES:
        raise Malformed(f"an A-ASSOCIATE-RQ of {len(body)} bytes")
    kept, count = [body[:_FIXED_BYTES]], 0
    for kind, item in _items(body, _FIXED_BYTES):
        count += 1
        if kind not in _TOP_ITEMS:
            continue
        if kind == _USER_INFORMATION:
            inner = [(one, sub) for one, sub in _items(item, 4)]
            count += len(inner)
            item = b"".join(sub for one, sub in inner if one in _USER_ITEMS)
            item = _ITEM.pack(kind, len(item)) + item
        elif kind == _CONTEXT:
            count += sum(1 for _ in _items(item, 8))
        if count > _MOST_ITEMS:
            raise Malformed(f"an A-ASSOCIATE-RQ with more than {_MOST_ITEMS} items")
        kept.append(item)
    return b"".join(kept)


def _items(data: bytes, at: int) -> list[tuple[int, bytes]]:
    """The items from `at` on, by type, with their heads.

    Raises
    ------
    Malformed
        One reaches beyond the end.
    """
    found = []
    while at < len(data):
        if at + _ITEM.size > len(data):
            raise Malformed("an item of the A-ASSOCIATE-RQ is cut off")
        kind, length = _ITEM.unpack_from(data, at)
        end = at + _ITEM.size + length
        if end > len(data):
            raise Malformed(f"an item of type {kind:02X} claims {length} bytes, {len(data) - at - _ITEM.size} are there")
        found.append((kind, data[at:end]))
        at = end
    return found
