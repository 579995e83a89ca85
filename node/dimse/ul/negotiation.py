"""The A-ASSOCIATE-RQ and -AC, written and read (PS3.8 9.3.2 and 9.3.3, PS3.7 D): pynetdicom's codecs and its rules, once an association.

What is wrong with one part of a request costs that part, not the association. pynetdicom's codecs raise at any value that is none. Here
lengths are checked, which have to add up (PS3.8 9.3.2), and values that cannot be what they should be are put so that negotiation answers
them: an abstract syntax that is no UID is not supported (result 3), a presentation context without a usable transfer syntax has none that
is supported (result 4), PS3.8 9.3.3.2.
"""

import re
import struct
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

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

from node.dicom.transfer_syntax import Context
from node.dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION, derive_uid
from node.dimse.requestor_identity import APPLICATION_CONTEXT, UserIdentity
from node.dimse.ul.pdu import Malformed, PduType

FIXED_BYTES: Final = 68
"""Protocol version, titles and reserved bytes, before the items (PS3.8 table 9-11)."""
_MOST_ITEMS: Final = 8192
"""128 presentation contexts with every transfer syntax there is have fewer, and each costs microseconds before anybody is known."""
NOTHING: Final = derive_uid("hilum", "no syntax").encode()
"""Stands for a UID that is none: nobody supports it."""
_NAMELESS: Final = b"?".ljust(16)
_CALLED, _CALLING = slice(4, 20), slice(20, 36)
_APPLICATION, _CONTEXT, _USER_INFORMATION = 0x10, 0x20, 0x50
_ABSTRACT, _TRANSFER = 0x30, 0x40
_LENGTH, _CLASS, _ROLE, _VERSION, _USER = 0x51, 0x52, 0x54, 0x55, 0x58
_ONCE: Final = frozenset({_LENGTH, _CLASS, _VERSION, _USER})
"""Sub-items of the user information of which the first counts. Others that the standard has are not negotiated here, and left out."""
_ITEM = struct.Struct(">BxH")
_UID = re.compile(rb"[0-9.]{1,64}").fullmatch
# PS3.5 6.2, AE: the default repertoire without control characters and backslash; pynetdicom's codec asks the same of a version's name
_TITLE = re.compile(rb"[ -\[\]-~]{16}").fullmatch
_NAME = re.compile(rb"[ -\[\]-~]{1,16}").fullmatch
_Items: TypeAlias = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairedRequest:
    """The body of an A-ASSOCIATE-RQ that any codec can take. `called` and `calling` are what stood there, bytes beyond ASCII escaped;
    `titled`: both are AE titles. `version_1`: the first version of the protocol is among those that are offered."""

    body: bytes
    called: str
    calling: str
    titled: bool
    version_1: bool


def repaired(body: bytes) -> RepairedRequest:
    """Read an A-ASSOCIATE-RQ, whose head is cut off.

    Raises
    ------
    Malformed
        Lengths do not add up, or there is no end of items.
    """
    if len(body) < FIXED_BYTES:
        raise Malformed(f"an A-ASSOCIATE-RQ of {len(body)} bytes")
    tops = _items(body, FIXED_BYTES)
    count = len(tops)
    kept: list[bytes] = []
    contexts: list[tuple[int, _Items]] = []
    user: _Items | None = None
    for kind, content in tops:
        if kind == _APPLICATION:
            kept.append(_item(kind, content if _is_uid(content) else NOTHING))
        elif kind == _CONTEXT:
            if len(content) < 4:
                raise Malformed(f"a presentation context of {len(content)} bytes")
            inner = _items(content, 4)
            count += len(inner)
            contexts.append((content[0], inner))
        elif kind == _USER_INFORMATION:
            inner = _items(content, 0)
            count += len(inner)
            user = inner if user is None else user
        if count > _MOST_ITEMS:
            raise Malformed(f"an A-ASSOCIATE-RQ with more than {_MOST_ITEMS} items")
    kept += _contexts(contexts)
    kept.append(_item(_USER_INFORMATION, b"".join(_user(user or []))))
    fixed = bytearray(body[:FIXED_BYTES])
    version_1 = bool(fixed[1] & 1)
    if version_1:
        fixed[:2] = b"\0\1"  # PS3.8 table 9-11: one bit for each version, of which only bit 0 is tested; codecs compare the number
    titles = [bytes(fixed[part]) for part in (_CALLED, _CALLING)]
    for part, title in zip((_CALLED, _CALLING), titles, strict=True):
        if not _is_title(title):
            fixed[part] = _NAMELESS
    called, calling = (title.decode("ascii", "backslashreplace").strip() for title in titles)
    titled = all(map(_is_title, titles))
    return RepairedRequest(body=b"".join((fixed, *kept)), called=called, calling=calling, titled=titled, version_1=version_1)


def _contexts(proposed: Sequence[tuple[int, _Items]]) -> list[bytes]:
    """One item for each presentation context ID that can be answered: odd, from 1 to 255 (PS3.8 9.3.2.2)."""
    times = Counter(number for number, _ in proposed)
    made: dict[int, bytes] = {}
    for number, items in proposed:
        if number % 2 == 0 or number in made:
            continue
        abstracts = [content for kind, content in items if kind == _ABSTRACT]
        transfers = [content for kind, content in items if kind == _TRANSFER and _is_uid(content)]
        # of two with one ID nobody could say which was accepted
        sound = times[number] == 1 and len(abstracts) == 1 and _is_uid(abstracts[0])
        syntaxes = (_item(_ABSTRACT, abstracts[0] if sound else NOTHING), *(_item(_TRANSFER, one) for one in transfers or (NOTHING,)))
        made[number] = _item(_CONTEXT, b"".join((bytes((number, 0, 0, 0)), *syntaxes)))
    return list(made.values())


def _user(items: _Items) -> list[bytes]:
    kept: list[bytes] = []
    seen: set[int] = set()
    if not any(kind == _LENGTH for kind, _ in items):
        kept.append(_item(_LENGTH, bytes(4)))  # without a limit, which is what its absence means
    for kind, content in items:
        if kind in seen or not _is_negotiated(kind, content):
            continue
        if kind in _ONCE:
            seen.add(kind)
        kept.append(_item(kind, content))
    return kept


def _is_negotiated(kind: int, content: bytes) -> bool:
    """Whether a sub-item of the user information (PS3.7 D.3.3, PS3.8 D.1) is one that is looked at, and has a value."""
    if kind == _LENGTH:
        if len(content) != 4:
            raise Malformed(f"a maximum length of {len(content)} bytes, where 4 belong")
        return True
    if kind == _CLASS:
        return _is_uid(content)
    if kind == _VERSION:
        return bool(_NAME(content)) and not content.isspace()
    if kind == _ROLE:
        end = _end(content, 0, more=2)
        return _is_uid(content[2:end]) and content[end] <= 1 and content[end + 1] <= 1
    if kind == _USER:
        _end(content, 2, more=2, again=True)
        return 1 <= content[0] <= 5
    return False


def _end(content: bytes, at: int, *, more: int, again: bool = False) -> int:
    """Where a field ends that has its length in two bytes at `at`, with so many bytes behind it, which are, with `again`, the length of
    another that is the last."""
    if at + 2 > len(content):
        raise Malformed("a sub-item of the user information is cut off")
    end = at + 2 + int.from_bytes(content[at : at + 2], "big")
    last = end + more
    if again and last <= len(content):
        last += int.from_bytes(content[end:last], "big")
    if last != len(content):
        raise Malformed(f"a sub-item of the user information of {len(content)} bytes, whose fields have {last}")
    return end


def _is_uid(value: bytes) -> bool:
    """Digits and dots; leading zeros break PS3.5 9.1, but old devices write them, and some pad with a null or a space."""
    return bool(_UID(value.rstrip(b"\0 ")))


def _is_title(value: bytes) -> bool:
    return bool(_TITLE(value)) and not value.isspace()


def _item(kind: int, content: bytes) -> bytes:
    return _ITEM.pack(kind, len(content)) + content


def _items(data: bytes, at: int) -> _Items:
    """The items of a PDU or of an item from `at` on, by type, without their heads.

    Raises
    ------
    Malformed
        One reaches beyond the end.
    """
    found = []
    while at < len(data):
        if at + _ITEM.size > len(data):
            raise Malformed("an item is cut off")
        kind, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        if at + length > len(data):
            raise Malformed(f"an item of type {kind:02X} claims {length} bytes, {len(data) - at} are there")
        found.append((kind, data[at : at + length]))
        at += length
    return found


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

    contexts: dict[Context, int]
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


def accepted(body: bytes, contexts: Sequence[Context]) -> Agreed:
    """What an A-ASSOCIATE-AC, without its head, says of the contexts that were requested.

    Raises
    ------
    Malformed
        It cannot be read, or offers to take no P-DATA-TF of a useful length.
    """
    answer = A_ASSOCIATE_AC()
    try:
        # the codec counts from the head on
        wanted = _without_names(body)
        answer.decode(bytes((2, 0)) + struct.pack(">L", len(wanted)) + wanted)
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
    taken: dict[Context, int] = {}
    for number, result, syntax in results:
        index, odd = divmod(number, 2)
        # each was offered with one syntax alone; what was not offered cannot be accepted (PS3.8 9.3.3.2)
        if result == _ACCEPTED and odd and index < len(contexts) and str(syntax) == contexts[index].transfer_syntax_uid:
            taken[contexts[index]] = number
    return Agreed(contexts=taken, most_bytes=min(length or _UNBOUNDED, _UNBOUNDED))


def _without_names(body: bytes) -> bytes:
    """The body of an A-ASSOCIATE-AC with the one sub-item of its user information that is looked at. Codecs raise at the names that some
    implementations give themselves, of which nothing here depends."""
    kept = []
    for kind, content in _items(body, FIXED_BYTES):
        if kind == _USER_INFORMATION:
            content = b"".join(_item(_LENGTH, value) for part, value in _items(content, 0) if part == _LENGTH)
        kept.append(_item(kind, content))
    return body[:FIXED_BYTES] + b"".join(kept)


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
