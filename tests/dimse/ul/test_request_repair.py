"""Requests for an association, and an answer, with something wrong in them, packed by hand: what is wrong costs that part alone.

What a presentation context is answered is read off the wire here (PS3.8 table 9-18), not by the codec of either side.
"""

import socket
import struct
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.dicom.transfer_syntax import Context
from node.dimse.ul import pdu
from node.dimse.ul.negotiation import accepted, read_request
from node.settings.node import Node
from tests.dimse.conftest import Listen, Listening
from tests.dimse.ul.talk import RELEASE, talk

_VERIFICATION, _MR = b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.1.4"
_IMPLICIT, _EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"
_DICOM = b"1.2.840.10008.3.1.1.1"
_ACCEPTED, _NO_ABSTRACT, _NO_TRANSFER = 0, 3, 4


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _context(
    number: int, abstracts: Iterable[bytes] = (_VERIFICATION,), transfers: Iterable[bytes] = (_IMPLICIT,), *, more: bytes = b""
) -> bytes:
    syntaxes = [*(_item(0x30, one) for one in abstracts), *(_item(0x40, one) for one in transfers)]
    return _item(0x20, bytes((number, 0, 0, 0)) + b"".join(syntaxes) + more)


_LENGTH = _item(0x51, struct.pack(">L", 16384))
_USER = _LENGTH + _item(0x52, b"1.2.3")


def _request(
    *contexts: bytes,
    user: bytes = _USER,
    called: bytes = b"HILUM".ljust(16),
    calling: bytes = b"PACS".ljust(16),
    application: bytes = _item(0x10, _DICOM),
) -> bytes:
    body = b"\0\1\0\0" + called + calling + bytes(32) + application + b"".join(contexts) + _item(0x50, user)
    return struct.pack(">BxL", 1, len(body)) + body


def _echo(context: int) -> bytes:
    values = (
        struct.pack("<HHL", 0, 0x0002, 18) + _VERIFICATION + b"\0",
        struct.pack("<HHLH", 0, 0x0100, 2, 0x0030),
        struct.pack("<HHLH", 0, 0x0110, 2, 7),
        struct.pack("<HHLH", 0, 0x0800, 2, 0x0101),
    )
    body = b"".join(values)
    return pdu.pack_data(context, struct.pack("<HHLL", 0, 0, 4, len(body)) + body, command=True, last=True)


def _results(accepted: object) -> dict[int, int]:
    """Result by presentation context ID of an A-ASSOCIATE-AC."""
    assert isinstance(accepted, bytes)
    assert accepted[0] == 2, accepted
    found, at = {}, 6 + 68
    while at < len(accepted):
        kind, length = struct.unpack_from(">BxH", accepted, at)
        if kind == 0x21:
            number, result = accepted[at + 4], accepted[at + 6]
            assert number not in found
            found[number] = result
        at += 4 + length
    return found


_SOUND = _context(1)


@pytest.mark.parametrize(
    ("contexts", "expected"),
    [
        pytest.param([_context(3, [b"1.2.abc"])], {3: _NO_ABSTRACT}, id="abstract syntax of letters"),
        pytest.param([_context(3, [b""])], {3: _NO_ABSTRACT}, id="empty abstract syntax"),
        pytest.param([_context(3, [])], {3: _NO_ABSTRACT}, id="no abstract syntax"),
        pytest.param([_context(3, [_MR, _VERIFICATION])], {3: _NO_ABSTRACT}, id="two abstract syntaxes"),
        pytest.param([_context(3, [b"1." * 40 + b"1"])], {3: _NO_ABSTRACT}, id="long abstract syntax"),
        pytest.param([_context(3, [b"1.2.\xff\xfe"])], {3: _NO_ABSTRACT}, id="abstract syntax beyond ASCII"),
        pytest.param([_context(3, [b"1.2.3.4"], [b"x"])], {3: _NO_ABSTRACT}, id="nothing known at all"),
        pytest.param([_context(3, [_MR], [])], {3: _NO_TRANSFER}, id="no transfer syntax"),
        pytest.param([_context(3, [_MR], [b""])], {3: _NO_TRANSFER}, id="empty transfer syntax"),
        pytest.param([_context(3, [_MR], [b"abc", b"1.2\xff", b"1" * 65])], {3: _NO_TRANSFER}, id="transfer syntaxes that are none"),
        pytest.param([_context(3, [_MR], [b"1.2.3.4"])], {3: _NO_TRANSFER}, id="unknown transfer syntax"),
        pytest.param([_context(3, [_MR], [b"\xff", _EXPLICIT])], {3: _ACCEPTED}, id="one transfer syntax of two"),
        pytest.param([_context(3, [_MR + b"\0"], [_EXPLICIT + b" "])], {3: _ACCEPTED}, id="padded"),
        pytest.param([_context(3, more=_item(0x77, b"what?"))], {3: _ACCEPTED}, id="a sub-item to come"),
        pytest.param([_context(2), _context(0), _context(3)], {3: _ACCEPTED}, id="even numbers"),
        pytest.param([_context(3, [_MR]), _context(3)], {3: _NO_ABSTRACT}, id="one number twice"),
        pytest.param([_context(3, [b"?"]), _context(5, [b"??"]), _context(7, [])], dict.fromkeys((3, 5, 7), _NO_ABSTRACT), id="several"),
    ],
)
def test_one_malformed_context_costs_itself_alone(listen: Listen, contexts: list[bytes], expected: dict[int, int]) -> None:
    """PS3.8 9.3.3.2: 3 where the abstract syntax is none, 4 where no transfer syntax is one; the sound context beside it is served."""
    said = talk(listen().port, [_request(_SOUND, *contexts), _echo(1), RELEASE])
    assert _results(said[0]) == {1: _ACCEPTED, **expected}
    assert said[1:] == [(0x8030, 7, 0), pdu.pack_release_reply()]


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(_LENGTH, id="no implementation class"),
        pytest.param(_LENGTH + _item(0x52, b"who?"), id="implementation class that is no UID"),
        pytest.param(_USER + _item(0x55, b"a name of too many characters"), id="long version name"),
        pytest.param(_USER + _item(0x55, b"\xff\xfe"), id="version name beyond ASCII"),
        pytest.param(_USER + _item(0x54, struct.pack(">H", 3) + b"abc\1\0"), id="role of no class"),
        pytest.param(_USER + _item(0x54, struct.pack(">H", 17) + _VERIFICATION + b"\5\7"), id="role that is none"),
        pytest.param(_USER + _item(0x53, b"\0"), id="half a window"),
        pytest.param(_USER + _item(0x57, b"\0\x20"), id="half a common extended negotiation"),
        pytest.param(_USER + _item(0x58, b"\x09\0\0\1a\0\0"), id="user of an unknown kind"),
        pytest.param(_USER + _item(0x58, b"\1\0\0\1\xff\0\0"), id="username that is no UTF-8"),
        pytest.param(_USER + _item(0x59, b"\0\0"), id="answer to a user"),
        pytest.param(_USER + _USER, id="everything twice"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_user_information_that_is_none_is_left_out(listen: Listen, user: bytes) -> None:
    """What is proposed there may be declined: an item without a value is one that was not sent."""
    said = talk(listen().port, [_request(_SOUND, user=user), _echo(1), RELEASE])
    assert _results(said[0]) == {1: _ACCEPTED}
    assert said[1:] == [(0x8030, 7, 0), pdu.pack_release_reply()]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(_request(_SOUND, _item(0x20, b"\3\0")), id="context of two bytes"),
        pytest.param(_request(_SOUND, _item(0x20, b"\3\0\0\0\x30\0\0\x40" + _MR)), id="abstract syntax that reaches beyond its context"),
        pytest.param(_request(_SOUND, b"\x20\0\xff\xff\3\0\0\0"), id="context that reaches beyond the request"),
        pytest.param(_request(_SOUND, b"\x20\0"), id="half the head of an item"),
        pytest.param(_request(_SOUND, user=_item(0x51, b"\0\1")), id="maximum length of two bytes"),
        pytest.param(
            _request(_SOUND, user=_USER + _item(0x54, struct.pack(">H", 30) + b"1.2.3\1\0")), id="role of a class that is cut off"
        ),
        pytest.param(_request(_SOUND, user=_USER + _item(0x58, b"\1\0\0\x64a\0\0")), id="user that is cut off"),
        pytest.param(struct.pack(">BxL", 1, 20) + b"\0\1\0\0" + b"HILUM".ljust(16), id="request without titles"),
    ],
)
def test_lengths_that_do_not_add_up_abort(listen: Listen, asked: bytes) -> None:
    """PS3.8 9.3.8: by the service provider, reason 6 (invalid PDU parameter value), and nothing else does."""
    with_abort = listen()
    assert _raw(with_abort, asked) == pdu.pack_abort(pdu.AbortSource.PROVIDER, pdu.AbortReason.INVALID_PARAMETER)
    assert with_abort.said("association.failed") == []


def _raw(running: Listening, asked: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection, connection.makefile("rb") as answer:
        connection.sendall(asked)
        return answer.read(10)


@pytest.mark.parametrize(
    ("titles", "rejection"),
    [
        ({"called": b" " * 16}, (1, 1, 7)),
        ({"called": bytes(16)}, (1, 1, 7)),
        ({"called": b"HIL\xff".ljust(16)}, (1, 1, 7)),
        ({"calling": b" " * 16}, (1, 1, 3)),
        ({"calling": b"A\\B".ljust(16)}, (1, 1, 3)),
        ({"calling": b"A\7B".ljust(16)}, (1, 1, 3)),
        ({"calling": b"\xff" * 16}, (1, 1, 3)),
        ({"application": _item(0x10, b"\xff\xfe")}, (1, 1, 2)),
        ({"application": _item(0x10, b"1" * 65)}, (1, 1, 2)),
        ({"application": b""}, (1, 1, 2)),
    ],
)
def test_titles_and_names_that_are_none_are_rejected(listen: Listen, titles: dict[str, bytes], rejection: tuple[int, int, int]) -> None:
    """PS3.8 table 9-21: not recognised (7, 3), application context not supported (2), also where strangers are admitted."""
    running = listen(node=Node(port=0, strangers=True))
    assert talk(running.port, [_request(_SOUND, **titles)]) == [pdu.pack_reject(*rejection)]
    assert len(running.said("association.rejected")) == 1


_ANY_CONTEXT = st.builds(
    _context,
    st.integers(0, 255),
    st.lists(st.one_of(st.binary(max_size=70), st.just(_MR)), max_size=3),
    st.lists(st.one_of(st.binary(max_size=70), st.just(_EXPLICIT)), max_size=3),
)


@settings(deadline=None, max_examples=300)
@given(
    contexts=st.lists(_ANY_CONTEXT, max_size=6),
    others=st.lists(st.builds(_item, st.sampled_from([0x52, 0x53, 0x55, 0x56, 0x57, 0x59, 0x60]), st.binary(max_size=70)), max_size=6),
    titles=st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
    application=st.binary(max_size=70),
)
@example(contexts=[], others=[_item(0x55, b"AB\\1")], titles=(bytes(16), bytes(16)), application=b"")
def test_any_values_of_which_the_lengths_add_up_are_read(
    contexts: list[bytes], others: list[bytes], titles: tuple[bytes, bytes], application: bytes
) -> None:
    """No value makes the codec stumble: `Malformed` is for lengths alone, and nothing else is ever raised."""
    asked = _request(*contexts, user=_LENGTH + b"".join(others), called=titles[0], calling=titles[1], application=_item(0x10, application))
    read = read_request(asked[6:])
    numbers = {one[4] for one in contexts if one[4] % 2}
    assert {context.context_id for context in read.contexts} == numbers


@pytest.mark.parametrize("name", [b"NAME_1", b"NAME\\1", b"NAME_1\0", b"N\xe4me", b"longer than sixteen bytes", b""])
def test_an_answer_is_read_whatever_the_implementation_calls_itself(name: bytes) -> None:
    """Codecs raise at some of these: nothing could be sent to an archive with such a name, for which nobody ever asks."""
    context = Context(sop_class_uid=_VERIFICATION.decode(), transfer_syntax_uid=_IMPLICIT.decode())
    user = _LENGTH + _item(0x52, b"1.2.3") + _item(0x55, name)
    answered = _item(0x21, bytes((1, 0, 0, 0)) + _item(0x40, _IMPLICIT))
    agreed = accepted(b"\0\1\0\0" + bytes(64) + _item(0x10, _DICOM) + answered + _item(0x50, user), [context])
    assert (agreed.contexts, agreed.most_bytes) == ({context: 1}, 16384)
