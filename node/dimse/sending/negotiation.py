"""The A-ASSOCIATE of an association that this node requests: what it offers, and what the peer made of it (PS3.8 9.3.2 and 9.3.3)."""

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.uid import UID
from pynetdicom import pdu as codecs
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context, build_role

from node.dimse.claim import UserIdentity
from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.dimse.wire.pdu import Malformed
from node.domain.context import Context

_APPLICATION_CONTEXT: Final = UID("1.2.840.10008.3.1.1.1")
_ACCEPTED: Final = 0
_UNBOUNDED: Final = 1 << 20
"""For a peer that sets no limit; longer PDUs gain nothing."""
_LEAST: Final = 512
"""No implementation offers less than some KiB; a length of a few bytes would make millions of PDUs of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What the peer accepted: contexts with their numbers, and how long a P-DATA-TF may be, without its head (PS3.8 D.1)."""

    contexts: dict[Context, int]
    most_bytes: int


def request(
    *,
    calling: str,
    called: str,
    contexts: Sequence[Context],
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
    primitive.application_context_name = _APPLICATION_CONTEXT
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    proposed = []
    for number, context in enumerate(contexts):
        proposed.append(build_context(context.sop_class_uid, context.transfer_syntax_uid))
        proposed[-1].context_id = number * 2 + 1
    primitive.presentation_context_definition_list = proposed
    length, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = most_bytes
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version.implementation_version_name = IMPLEMENTATION_VERSION
    primitive.user_information = [length, implementation, version]
    primitive.user_information += [build_role(UID(sop_class), scu_role=False, scp_role=True) for sop_class in provides]
    if identity is not None:
        primitive.user_information.append(_negotiated(identity))
    made = codecs.A_ASSOCIATE_RQ()
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


def accepted(body: bytes, contexts: Sequence[Context]) -> Agreed:
    """What an A-ASSOCIATE-AC, without its head, says of the contexts that were requested.

    Raises
    ------
    Malformed
        It cannot be read, or offers to take no P-DATA-TF of a useful length.
    """
    answer = codecs.A_ASSOCIATE_AC()
    try:
        # the codec counts from the head on
        answer.decode(bytes((2, 0)) + struct.pack(">L", len(body)) + body)
        results = [(int(item.presentation_context_id), int(item.result), item.transfer_syntax) for item in answer.presentation_context]
        information = answer.user_information
        length = int(information.maximum_length or 0) if information is not None else 0
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
    taken: dict[Context, int] = {}
    for number, result, syntax in results:
        index, odd = divmod(number, 2)
        # each was offered with one syntax alone; what was not offered cannot be accepted (PS3.8 9.3.3.2)
        if result == _ACCEPTED and odd and index < len(contexts) and str(syntax) == contexts[index].transfer_syntax_uid:
            taken[contexts[index]] = number
    return Agreed(contexts=taken, most_bytes=min(length or _UNBOUNDED, _UNBOUNDED))
