"""The fast path and stock pynetdicom are told the same bytes: they answer alike and keep the same.

Where pynetdicom is wrong by the standard the fast path follows the standard; those differences stand at the end of this file, each with
its clause.
"""

import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet, Verification

from node.dimse.wire import command, pdu
from node.dimse.wire.pdu import AbortSource
from node.settings.config import Node, Receiver
from tests.dimse.conftest import PACS, Listening, data_set, data_set_of, instance, listening
from tests.dimse.wire.talk import ECHO, RELEASE, STORE, cancel, echo, request, store, stored, talk
from tests.lab.program import wait_until

_WITH_LISTENERS = settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _small() -> tuple[str, bytes]:
    dataset = instance(pixels=b"\1\2" * 64)
    return str(dataset.SOPInstanceUID), data_set(dataset)


_ONE, _TWO = _small(), _small()
_RQ = request()


@dataclass(kw_only=True)
class _Both:
    """A listener of each kind."""

    fast: Listening
    stock: Listening

    def tell(self, steps: list[bytes], *, last: bytes = b"", sizes: Sequence[int] = (1 << 20,)) -> tuple[list[object], list[object]]:
        """What each answered; and each has kept the same."""
        said = [_told(one, steps, last=last, sizes=sizes) for one in (self.fast, self.stock)]
        assert said[0][1] == said[1][1], "they keep the same"
        return said[0][0], said[1][0]

    def alike(self, steps: list[bytes], *, sizes: Sequence[int] = (1 << 20,)) -> list[object]:
        """What both answered, which is the same."""
        fast, stock = self.tell(steps, sizes=sizes)
        assert fast == stock
        return fast


def _told(
    running: Listening, steps: list[bytes], *, last: bytes = b"", sizes: Sequence[int] = (1 << 20,)
) -> tuple[list[object], list[bytes]]:
    before = set(running.kept())
    said = talk(running.port, steps, last=last, sizes=sizes)
    wait_until(lambda: not any(one.name.startswith("connection ") for one in threading.enumerate()), 60, "nobody is served", every_s=0.002)
    new = [path for path in running.kept() if path not in before]
    kept = [data_set_of(path.read_bytes()) for path in new]
    for path in new:
        path.unlink()
    return said, kept


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Both]:
    """Two nodes that differ in nothing but `receiver`."""
    folder: Path = tmp_path_factory.mktemp("oracle")

    def node(receiver: Receiver) -> Node:
        return Node(port=0, receiver=receiver, acse_timeout=timedelta(seconds=2))

    with (
        listening(folder / "fast", node=node(Receiver.FAST), peers=(PACS,), min_free_bytes=0, intake=None) as fast,
        listening(folder / "stock", node=node(Receiver.STOCK), peers=(PACS,), min_free_bytes=0, intake=None) as stock,
    ):
        yield _Both(fast=fast, stock=stock)


def _dialogue() -> list[bytes]:
    """Two instances and an echo, then a release: PDU by PDU."""
    return [_RQ, store(1, *_ONE), echo(2), store(3, *_TWO), RELEASE]


def test_a_whole_dialogue(both: _Both) -> None:
    """The A-ASSOCIATE-AC is the same byte for byte, so are the answers."""
    said = both.alike(_dialogue())
    assert said[1:] == [(0x8001, 1, 0), (0x8030, 2, 0), (0x8001, 3, 0), pdu.pack_release_reply()]


@_WITH_LISTENERS
@given(sizes=st.lists(st.integers(11, 900), min_size=1, max_size=12), one=st.integers(9, 400), two=st.integers(9, 400))
def test_any_split_of_the_stream_and_of_the_messages(both: _Both, sizes: list[int], one: int, two: int) -> None:
    """Where the network cuts the stream, and where the sender cuts its data sets, changes nothing."""
    said = both.alike([_RQ, store(1, *_ONE, fragment=one), echo(2), store(3, *_TWO, fragment=two), RELEASE], sizes=sizes)
    assert list(said[1:-1]) == [(0x8001, 1, 0), (0x8030, 2, 0), (0x8001, 3, 0)]


@_WITH_LISTENERS
@given(size=st.integers(1, 60), last_alone=st.booleans())
def test_any_split_of_a_command_set(both: _Both, size: int, last_alone: bool) -> None:
    """Command sets may come in fragments too, the last of them empty (PS3.8 E.1)."""
    asked = command.store_request(7, sop_class_uid=MRImageStorage, sop_instance_uid=_ONE[0])
    parts = [asked[at : at + size] for at in range(0, len(asked), size)] + ([b""] if last_alone else [])
    sent = [pdu.pack_data(STORE, part, command=True, last=number == len(parts) - 1) for number, part in enumerate(parts)]
    said = both.alike([_RQ, b"".join([*sent, *stored(7, *_ONE)[1:]]), RELEASE])
    assert said[1] == (0x8001, 7, 0)


def _until(end: int) -> tuple[list[bytes], bytes, int]:
    """The dialogue's whole steps before `end`, what is left of it, and how many instances are whole by then."""
    steps, dialogue = [], _dialogue()
    for step in dialogue:
        if end < len(step):
            break
        steps.append(step)
        end -= len(step)
    rest = dialogue[len(steps)][:end] if len(steps) < len(dialogue) else b""
    return steps, rest, sum(one in steps for one in (dialogue[1], dialogue[3]))


_WHOLE = sum(len(step) for step in _dialogue())


@pytest.mark.parametrize("end", range(0, _WHOLE, 211))
def test_cut_off_anywhere(both: _Both, end: int) -> None:
    """The peer hangs up in the middle: what was whole by then is kept, nothing else is, on either path."""
    steps, rest, whole = _until(end)
    fast, stock = both.tell(steps, last=rest)
    assert fast == stock
    assert sum(one[0] == 0x8001 for one in fast[1:]) == whole  # type: ignore[index]


@pytest.mark.slow
def test_aborted_in_the_middle_of_anything(both: _Both) -> None:
    """An A-ABORT at every third byte of a dialogue: the fast path keeps what was whole by then, nothing else, and
    serves whoever comes next."""
    for end in range(0, _WHOLE, 3):
        steps, rest, whole = _until(end)
        abort = pdu.pack_abort(AbortSource.USER)
        if rest and len(rest) + len(abort) >= len(_dialogue()[len(steps)]):
            continue  # its bytes would be the last of the data set
        _, kept = _told(both.fast, steps, last=rest + abort)
        assert len(kept) == whole, end
    assert both.fast.left() == []


def _role(uid: str, *, scu: bool, scp: bool) -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid, item.scu_role, item.scp_role = uid, scu, scp
    return item


def _window() -> AsynchronousOperationsWindowNegotiation:
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked, item.maximum_number_operations_performed = 5, 5
    return item


def _extended() -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = MRImageStorage, b"\2\0\0\0\0\0"
    return item


def _user() -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field, item.positive_response_requested = 1, b"somebody", True
    return item


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(items=[_role(MRImageStorage, scu=True, scp=False)]), id="role of an SCU"),
        pytest.param(request(items=[_role(MRImageStorage, scu=True, scp=True)]), id="both roles"),
        pytest.param(request(items=[_window()]), id="asynchronous operations"),
        pytest.param(request(items=[_extended()]), id="extended negotiation"),
        pytest.param(request(items=[_user()]), id="a user"),
        pytest.param(request(classes=[MRImageStorage, Verification, "1.2.3.4"]), id="a private class"),
        pytest.param(request(classes=[MRImageStorage, Verification, StudyRootQueryRetrieveInformationModelGet]), id="C-GET"),
        pytest.param(request(classes=[MRImageStorage, Verification, *[CTImageStorage] * 120]), id="many contexts"),
        pytest.param(request(most=0), id="PDUs without limit"),
        pytest.param(request(most=64), id="very short PDUs"),
        pytest.param(request(calling="NOBODY"), id="a stranger"),
    ],
)
def test_negotiation(both: _Both, asked: bytes) -> None:
    """The same A-ASSOCIATE-AC or -RJ, byte for byte, and an instance is stored under it."""
    said = both.alike([asked, store(1, *_ONE), RELEASE])
    assert said[0][0] in (0x02, 0x03)  # type: ignore[index]


def _command(field: int, *, message_id: int | None = 5, uid: str = MRImageStorage) -> bytes:
    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHL", 0, number, len(value)) + value

    body = element(0x0002, uid.encode() + b"\0" * (len(uid) % 2)) + element(0x0100, struct.pack("<H", field))
    if message_id is not None:
        body += element(0x0110, struct.pack("<H", message_id))
    return body + element(0x0800, b"\1\1")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(pdu.pack_data(STORE, b"what?", command=True, last=True), id="a command that is none"),
        pytest.param(pdu.pack_data(STORE, _command(0x8001), command=True, last=True), id="an answer that nobody waits for"),
        pytest.param(pdu.pack_data(99, _command(0x0030), command=True, last=True), id="a context that was not accepted"),
        pytest.param(pdu.pack_data(STORE, b"data", command=False, last=True), id="a data set without a command"),
        pytest.param(struct.pack(">BxL", 0x04, 5) + b"\0\0\0\1\1", id="a value shorter than its head"),
        pytest.param(struct.pack(">BxL", 0x04, 8) + b"\0\0\xff\xff\1\3ab", id="a value longer than its PDU"),
        pytest.param(struct.pack(">BxL", 0x66, 4) + b"\0" * 4, id="an unknown PDU"),
        pytest.param(pdu.pack_release_reply(), id="an unexpected A-RELEASE-RP"),
        pytest.param(_RQ, id="a second A-ASSOCIATE-RQ"),
        pytest.param(pdu.pack_reject(1, 1, 1), id="an A-ASSOCIATE-RJ"),
        pytest.param(struct.pack(">BxL", 0x04, 1 << 30), id="a PDU of a gigabyte"),
    ],
)
def test_what_is_no_message_aborts(both: _Both, sent: bytes) -> None:
    """Both abort, keep nothing of it, and what was kept before stays (PS3.8 9.2: AA-8). Only the reason is given more exactly here."""
    fast, stock = both.tell([_RQ, store(1, *_ONE), sent])
    assert fast[:2] == stock[:2]
    assert fast[1] == (0x8001, 1, 0)
    assert fast[2][0] == "abort"  # type: ignore[index]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x04\0\0\0\0\4abcd",
        b"\x05\0\0\0\0\4\0\0\0\0",
        b"\x09\0\0\0\0\4abcd",
        pytest.param(_RQ[:74], marks=pytest.mark.slow),  # the rest is waited for
        b"\1\0\0\0\0\4abcd",
    ],
)
def test_what_is_no_request_aborts(both: _Both, sent: bytes) -> None:
    """PS3.8 Sta2: AA-1 for what is no A-ASSOCIATE-RQ; half a request and a closed connection are nothing."""
    both.alike([sent])


@_WITH_LISTENERS
@given(junk=st.binary(max_size=400), after=st.integers(0, 4))
def test_junk_anywhere(both: _Both, junk: bytes, after: int) -> None:
    """Junk behind a whole PDU: nothing that came before is lost, nothing comes of the junk, nobody falls over."""
    fast, stock = both.tell(_dialogue()[:after], last=junk)
    assert fast == stock
    assert both.fast.left() == both.stock.left() == []


# ---- where they differ, and why


def test_messages_that_share_a_pdu_are_all_served(both: _Both) -> None:
    """PS3.8 9.3.5: a P-DATA-TF has one or more values; nothing says of one message. pynetdicom drops what follows a message."""
    one, two = stored(1, *_ONE, fragment=10_000), stored(2, *_TWO, fragment=10_000)
    values = b"".join(part[6:] for part in (*one, *two, echo(3)))
    # one PDU that is answered with three
    said, kept = _told(both.fast, [_RQ, struct.pack(">BxL", 0x04, len(values)) + values, b"", b"", RELEASE])
    assert said[1:] == [(0x8001, 1, 0), (0x8001, 2, 0), (0x8030, 3, 0), pdu.pack_release_reply()]
    assert kept == [_ONE[1], _TWO[1]]


def test_another_operation_is_refused_and_the_association_goes_on(both: _Both) -> None:
    """PS3.7 C.5.23: 0x0211, unrecognized operation. pynetdicom stumbles over what it does not know in a storage context, and aborts."""
    for field in (0x0020, 0x0130, 0x7777):
        other = pdu.pack_data(STORE, _command(field), command=True, last=True)
        said, kept = _told(both.fast, [_RQ, other, store(6, *_ONE), RELEASE])
        assert said[1:3] == [(field | 0x8000, 5, 0x0211), (0x8001, 6, 0)]
        assert kept == [_ONE[1]]
        assert (field | 0x8000, 5, 0x0211) not in _told(both.stock, [_RQ, other])[0]


def test_a_cancel_is_ignored(both: _Both) -> None:
    """PS3.7 9.3.2.3: there is nothing to cancel, and a C-CANCEL has no answer; both paths go on."""
    said = both.alike([_RQ, cancel(1) + store(2, *_ONE), RELEASE])
    assert said[1] == (0x8001, 2, 0)


def test_items_that_the_standard_does_not_know_are_skipped(both: _Both) -> None:
    """PS3.7 D.3.3 and PS3.8 9.3.1 leave room for items to come; pynetdicom would take the association's request for broken, and gets it
    without them."""
    unknown = b"\x5f\0\0\4abcd"
    whole = _RQ.replace(b"\x50\0" + struct.pack(">H", 8 + 4 + 5), b"\x50\0" + struct.pack(">H", 8 + 4 + 5 + len(unknown))) + unknown
    whole = whole[:2] + struct.pack(">L", len(whole) - 6) + whole[6:]
    assert whole != _RQ
    assert both.alike([whole, store(1, *_ONE), RELEASE])[1] == (0x8001, 1, 0)


def test_a_version_to_come_is_no_reason_to_reject(both: _Both) -> None:
    """PS3.8 table 9-11: one bit for each version, of which only bit 0 is tested; pynetdicom, which compares the number, is told 1."""
    assert both.alike([_RQ[:6] + b"\0\3" + _RQ[8:], store(1, *_ONE), RELEASE])[1] == (0x8001, 1, 0)
    assert both.alike([_RQ[:6] + b"\0\2" + _RQ[8:]]) == [pdu.pack_reject(1, 2, 2)]


@pytest.mark.parametrize("name", [b"1.2.840.10008.3.1.1.2", b""], ids=["another", "none"])
@pytest.mark.parametrize("classes", [(MRImageStorage, Verification), (MRImageStorage, "1.2.3.4")], ids=["storage", "more than storage"])
def test_another_application_context_is_rejected_for_good(both: _Both, name: bytes, classes: Sequence[str]) -> None:
    """PS3.8 7.1.1.2 and table 9-21: result 1, source 1, reason 2, whichever path would serve it; pynetdicom alone does not look."""
    asked = request(classes=classes)
    at, known = asked.index(b"\x10\0\0\x15"), b"1.2.840.10008.3.1.1.1"
    asked = asked[:at] + (b"\x10\0" + struct.pack(">H", len(name)) + name if name else b"") + asked[at + 4 + len(known) :]
    asked = asked[:2] + struct.pack(">L", len(asked) - 6) + asked[6:]
    assert both.alike([asked]) == [pdu.pack_reject(1, 1, 2)]


def test_a_data_set_in_another_context_than_its_command_aborts(both: _Both) -> None:
    """PS3.7 6.3.1: a message is conveyed in one presentation context. pynetdicom takes it, in the transfer syntax of the command's."""
    head, whole = stored(1, *_ONE, fragment=10_000)
    moved = bytearray(whole)
    moved[10] = ECHO
    said, kept = _told(both.fast, [_RQ, head + moved])
    assert said[1:] == [("abort", 2)]
    assert kept == []
