"""An A-ASSOCIATE-RQ as a codec can take it: what is wrong with one part of it costs that part, not the association.

pynetdicom's codecs raise at any value that is none. Here lengths are checked, which have to add up (PS3.8 9.3.2), and values that cannot be
what they should be are put so that negotiation answers them: an abstract syntax that is no UID is not supported (result 3), a presentation
context without a usable transfer syntax has none that is supported (result 4), PS3.8 9.3.3.2.
"""

import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from node.dicom.uid import derive_uid
from node.dimse.ul.pdu import Malformed

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
# PS3.5 6.2, AE: the default repertoire without control characters and backslash
_TITLE = re.compile(rb"[ -\[\]-~]{16}").fullmatch
_NAME = re.compile(rb"[ -~]{1,16}").fullmatch
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
    """The items from `at` on, by type, without their heads.

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
        at += _ITEM.size
        if at + length > len(data):
            raise Malformed(f"an item of type {kind:02X} claims {length} bytes, {len(data) - at} are there")
        found.append((kind, data[at : at + length]))
        at += length
    return found
