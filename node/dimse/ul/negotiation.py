"""The A-ASSOCIATE-RQ and -AC, written and read (PS3.8 9.3.2 and 9.3.3, PS3.7 D): pynetdicom's codecs and its rules, once an association."""

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    ServiceParameter,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, build_role, negotiate_as_acceptor

from node.dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.requestor_identity import APPLICATION_CONTEXT, UserIdentity
from node.dimse.ul.pdu import Malformed, PduType
from node.dimse.ul.request_repair import repaired
from node.domain import context

_WITHOUT_LIMIT: Final = 0
_ACCEPTED: Final = 0
_UNBOUNDED: Final = 1 << 20
"""For a peer that sets no limit; longer PDUs gain nothing."""
_LEAST: Final = 512
"""No implementation offers less than some KiB; a length of a few bytes would make millions of PDUs of an image."""


class AcceptedContext(NamedTuple):
    """One presentation context that was accepted."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ. `most_bytes` is how long the PDVs of one P-DATA-TF to the requestor may be, 0 without a limit. `titled`: what it
    calls and is called are AE titles."""

    called: str
    calling: str
    titled: bool
    application_context: str
    identity: UserIdentity | None
    version_1: bool
    most_bytes: int
    contexts: Sequence[PresentationContext]
    roles: Mapping[UID, tuple[bool, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What a peer accepted: contexts with their numbers, and how long a P-DATA-TF may be, without its head (PS3.8 D.1)."""

    contexts: dict[context.Context, int]
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateAccept:
    """The A-ASSOCIATE-AC of this node, and what it accepts by presentation context ID."""

    pdu: bytes
    contexts: Mapping[int, AcceptedContext]
    rejected: int


# ---- as the acceptor
def read_request(body: bytes) -> AssociateRequest:
    """Decode an A-ASSOCIATE-RQ, whose head is cut off.

    Items of types that the standard does not have are skipped, as PS3.8 9.3.1 asks, and values that are none are repaired.

    Raises
    ------
    Malformed
        Its lengths do not add up.
    """
    made = repaired(body)
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
    except Exception as bad:  # a codec that was not made for bytes of strangers: whatever it stumbles over, these are no request
        raise Malformed(f"the A-ASSOCIATE-RQ cannot be decoded ({type(bad).__name__})") from bad
    return AssociateRequest(
        called=made.called,
        calling=made.calling,
        titled=made.titled,
        application_context=str(primitive.application_context_name or ""),
        identity=identity,
        version_1=made.version_1,
        most_bytes=_WITHOUT_LIMIT if length is None else int(length.maximum_length_received or 0),
        contexts=contexts,
        roles=roles,
    )


def accept(request: AssociateRequest, supported: Sequence[PresentationContext], *, most_bytes: int, confirms_user: bool) -> AssociateAccept:
    """Answer a request by pynetdicom's rules; `most_bytes` is the longest P-DATA-TF that is taken."""
    results, roles = negotiate_as_acceptor(list(request.contexts), list(supported), dict(request.roles))
    answer = A_ASSOCIATE()
    answer.application_context_name = UID(APPLICATION_CONTEXT)
    answer.calling_ae_title, answer.called_ae_title = request.calling, request.called
    answer.result, answer.result_source = 0x00, 0x01
    taken = [context for context in results if context.result == 0x00]
    others = [context for context in results if context.result != 0x00]
    answer.presentation_context_definition_results_list = taken + others
    answer.user_information = [*_ours(most_bytes), *([confirmed_user()] if confirms_user else []), *roles]
    return AssociateAccept(
        pdu=bytes(A_ASSOCIATE_AC(answer).encode()),
        contexts={
            int(context.context_id): AcceptedContext(str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in taken
        },
        rejected=len(others),
    )


def confirmed_user() -> UserIdentityNegotiation:
    """The answer to a username, with or without a passcode, that was recognised: an empty server response (PS3.7 table D.3-15)."""
    item = UserIdentityNegotiation()
    item.server_response = b""
    return item


# ---- as the requestor
def request(
    *,
    calling: str,
    called: str,
    contexts: Sequence[context.Context],
    most_bytes: int,
    identity: UserIdentity | None = None,
    provides: Collection[str] = (),
) -> bytes:
    """An A-ASSOCIATE-RQ; the contexts have the numbers 1, 3, 5, … in their order. Of the SOP classes that it `provides` this node proposes
    to be the provider, and not the user (PS3.7 D.3.3.4).

    Raises
    ------
    ValueError
        A title is no AE title.
    """
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(APPLICATION_CONTEXT)
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    proposed = []
    for number, one in enumerate(contexts):
        proposed.append(build_context(one.sop_class_uid, one.transfer_syntax_uid))
        proposed[-1].context_id = number * 2 + 1
    primitive.presentation_context_definition_list = proposed
    primitive.user_information = _ours(most_bytes)
    primitive.user_information += [build_role(UID(sop_class), scu_role=False, scp_role=True) for sop_class in provides]
    if identity is not None:
        primitive.user_information.append(_negotiated(identity))
    made = A_ASSOCIATE_RQ()
    made.from_primitive(primitive)
    encoded: bytes = made.encode()
    return encoded


def _negotiated(identity: UserIdentity) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type = identity.kind
    item.positive_response_requested = identity.wants_response
    item.primary_field = identity.username.encode("utf-8")
    item.secondary_field = identity.passcode
    return item


def accepted(body: bytes, contexts: Sequence[context.Context]) -> Agreed:
    """What an A-ASSOCIATE-AC, without its head, says of the contexts that were requested.

    Raises
    ------
    Malformed
        It cannot be read, or offers to take no P-DATA-TF of a useful length.
    """
    answer = A_ASSOCIATE_AC()
    try:
        # the codec counts from the head on
        answer.decode(bytes((2, 0)) + struct.pack(">L", len(body)) + body)
        results = [(int(item.presentation_context_id), int(item.result), item.transfer_syntax) for item in answer.presentation_context]
        information = answer.user_information
        length = int(information.maximum_length or 0) if information is not None else _WITHOUT_LIMIT
    # what the codec raises at garbage is whatever comes first
    except (
        AssertionError,
        AttributeError,
        IndexError,
        KeyError,
        LookupError,
        NotImplementedError,
        TypeError,
        ValueError,
        struct.error,
    ) as wrong:
        raise Malformed(f"an A-ASSOCIATE-AC that cannot be read: {type(wrong).__name__}") from wrong
    if 0 < length < _LEAST:
        raise Malformed(f"a maximum length of {length} bytes: no data set fits")
    taken: dict[context.Context, int] = {}
    for number, result, syntax in results:
        index, odd = divmod(number, 2)
        # each was offered with one syntax alone; what was not offered cannot be accepted (PS3.8 9.3.3.2)
        if result == _ACCEPTED and odd and index < len(contexts) and str(syntax) == contexts[index].transfer_syntax_uid:
            taken[contexts[index]] = number
    return Agreed(contexts=taken, most_bytes=min(length or _UNBOUNDED, _UNBOUNDED))


def _ours(most_bytes: int) -> list[ServiceParameter]:
    """What either role says of this node: the longest P-DATA-TF that it takes, and which implementation it is."""
    length, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = most_bytes
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version.implementation_version_name = IMPLEMENTATION_VERSION
    return [length, implementation, version]
