"""The node and pynetdicom's own acceptor are told the same bytes: they answer alike and keep the same.

Where pynetdicom is wrong by the standard the node follows the standard; those differences stand at the end of this file, each with
its clause.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import StorageCommitmentPushModel, StudyRootQueryRetrieveInformationModelGet, Verification
from pynetdicom.transport import ThreadedAssociationServer

from node.dimse.commitment_data import encoded
from node.dimse.services.commitment import CommitmentProvider
from node.dimse.ul import command, pdu
from node.dimse.ul.pdu import AbortSource
from node.domain.commitment import Commitment
from node.settings.config import Config, SinkSettings
from node.settings.node import Node
from node.settings.peers import May
from node.settings.store import Store
from node.sinks.dimse import Dimse
from tests.dimse.conftest import PACS, Listening, data_set, data_set_of, instance, listening
from tests.dimse.ul.plain import PlainAcceptor, plain_acceptor
from tests.dimse.ul.talk import ECHO, MIXED, RELEASE, STORE, action, cancel, echo, next_pdu, report, request, store, stored, talk
from tests.lab.committing import action_information, event_information
from tests.lab.program import wait_until

_WITH_LISTENERS = settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


_PEER = replace(PACS, may=PACS.may | {May.COMMIT})
_SINK = SinkSettings(name="archive", destination=Dimse(peer="pacs"), commitment=Commitment.WANTED)


def _small() -> tuple[str, bytes]:
    dataset = instance(pixels=b"\1\2" * 64)
    return str(dataset.SOPInstanceUID), data_set(dataset)


_ONE, _TWO = _small(), _small()
_WHOLE_STEPS = (1 << 20,)
_Told: TypeAlias = tuple[list[object], list[bytes]]
"""What was answered, and the data sets that were kept."""
_RQ = request()


@dataclass(kw_only=True)
class _Both:
    """The node, and pynetdicom's own acceptor."""

    node: Listening
    plain: PlainAcceptor
    server: ThreadedAssociationServer

    def node_is_told(self, steps: list[bytes], *, last: bytes = b"", sizes: Sequence[int] = _WHOLE_STEPS) -> _Told:
        """What the node answered, and the data sets that it has kept."""
        said, new = _told(self.node.port, self.node.kept, self._node_is_calm, steps, last=last, sizes=sizes)
        return said, [data_set_of(one) for one in new]

    def plain_is_told(self, steps: list[bytes], *, last: bytes = b"", sizes: Sequence[int] = _WHOLE_STEPS) -> _Told:
        """The same of pynetdicom."""
        said, new = _told(self.server.server_address[1], self.plain.kept, self._plain_is_calm, steps, last=last, sizes=sizes)
        return said, [data_set_of(one) for one in new]

    def tell(self, steps: list[bytes], *, last: bytes = b"", sizes: Sequence[int] = _WHOLE_STEPS) -> tuple[list[object], list[object]]:
        """What each answered; and each has kept the same."""
        node, plain = self.node_is_told(steps, last=last, sizes=sizes), self.plain_is_told(steps, last=last, sizes=sizes)
        assert node[1] == plain[1], "they keep the same"
        return node[0], plain[0]

    def alike(self, steps: list[bytes], *, sizes: Sequence[int] = _WHOLE_STEPS) -> list[object]:
        """What both answered, which is the same."""
        node, plain = self.tell(steps, sizes=sizes)
        assert node == plain
        return node

    def _node_is_calm(self) -> bool:
        return not any(one.name.startswith("connection ") for one in threading.enumerate())

    def _plain_is_calm(self) -> bool:
        return not self.server.active_associations


def _told(
    port: int, kept: Callable[[], list[Path]], calm: Callable[[], bool], steps: list[bytes], *, last: bytes, sizes: Sequence[int]
) -> _Told:
    before = set(kept())
    said = talk(port, steps, last=last, sizes=sizes)
    wait_until(calm, 60, "nobody is served", every_s=0.002)
    new = [path for path in kept() if path not in before]
    content = [path.read_bytes() for path in new]
    for path in new:
        path.unlink()
    return said, content


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Both]:
    """The node and pynetdicom, with the same peer."""
    folder: Path = tmp_path_factory.mktemp("oracle")
    settings = Node(port=0, acse_timeout=timedelta(seconds=10))
    with listening(folder / "node", node=settings, peers=(_PEER,), min_free_bytes=0, intake=None, sinks=(_SINK,)) as node:
        config = Config(
            path=folder,
            digest="",
            node=settings,
            store=Store(journal="", blobs=folder),
            models=folder,
            peers={"pacs": _PEER},
            sinks={"archive": _SINK},
        )
        provider = CommitmentProvider(config, node.commitments, flush=lambda _: True, on_kept=lambda: None)
        with plain_acceptor(folder / "plain", _PEER, provider) as (plain, server):
            yield _Both(node=node, plain=plain, server=server)


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
    """The peer hangs up in the middle: what was whole by then is kept, nothing else is, by either."""
    steps, rest, whole = _until(end)
    node, plain = both.tell(steps, last=rest)
    assert node == plain
    assert sum(one[0] == 0x8001 for one in node[1:]) == whole  # type: ignore[index]


@pytest.mark.slow
def test_aborted_in_the_middle_of_anything(both: _Both) -> None:
    """An A-ABORT at every third byte of a dialogue: the node keeps what was whole by then, nothing else, and
    serves whoever comes next."""
    for end in range(0, _WHOLE, 3):
        steps, rest, whole = _until(end)
        abort = pdu.pack_abort(AbortSource.USER)
        if rest and len(rest) + len(abort) >= len(_dialogue()[len(steps)]):
            continue  # its bytes would be the last of the data set
        _, kept = both.node_is_told(steps, last=rest + abort)
        assert len(kept) == whole, end
    assert both.node.left() == []


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
        pytest.param(request(classes=MIXED), id="storage commitment"),
        pytest.param(request(classes=MIXED, items=[_role(StorageCommitmentPushModel, scu=False, scp=True)]), id="a report of commitment"),
        pytest.param(request(classes=MIXED, items=[_role(StorageCommitmentPushModel, scu=True, scp=True)]), id="both of commitment"),
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


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(action(2, encoded(action_information("2.25.1", [(MRImageStorage, "2.25.9")]), ExplicitVRLittleEndian)), id="asked"),
        pytest.param(action(2, None), id="asked for nothing"),
        pytest.param(action(2, b"junk", action=2), id="another action"),
        pytest.param(action(2, b"junk", instance="1.2.3"), id="another instance"),
        pytest.param(report(2, encoded(event_information("2.25.1", [(MRImageStorage, "2.25.9")], {}), ExplicitVRLittleEndian)), id="told"),
        pytest.param(report(2, b"junk", event=3), id="another event"),
    ],
)
def test_storage_commitment(both: _Both, asked: bytes) -> None:
    """The answer to an N-ACTION and an N-EVENT-REPORT is the same byte for byte, between two instances of the same association."""
    role = _role(StorageCommitmentPushModel, scu=True, scp=True)
    heard = []
    for port, kept in ((both.node.port, both.node.kept), (both.server.server_address[1], both.plain.kept)):
        before = set(kept())
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(request(classes=MIXED, items=[role]))
            said = [next_pdu(connection)]
            for step in (store(1, *_ONE), asked, store(3, *_TWO), RELEASE):
                connection.sendall(step)
                said.append(next_pdu(connection))
            heard.append(said)
        new = set(kept()) - before
        assert {data_set_of(path.read_bytes()) for path in new} == {_ONE[1], _TWO[1]}
        for path in new:
            path.unlink()
    assert heard[0] == heard[1]
    assert [one[0] for one in heard[0]] == [2, 4, 4, 4, 6]


def _command(field: int, *, message_id: int | None = 5, uid: str = MRImageStorage) -> bytes:
    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHL", 0, number, len(value)) + value

    body = element(0x0002, uid.encode() + b"\0" * (len(uid) % 2)) + element(0x0100, struct.pack("<H", field))
    if message_id is not None:
        body += element(0x0110, struct.pack("<H", message_id))
    return body + element(0x0800, b"\1\1")


@pytest.mark.parametrize("sent", [b"\x04\0\0\0\0\4abcd", b"\x05\0\0\0\0\4\0\0\0\0"])
def test_what_is_no_request_aborts(both: _Both, sent: bytes) -> None:
    """PS3.8 Sta2: AA-1 for what is no A-ASSOCIATE-RQ."""
    both.alike([sent])


@pytest.mark.slow  # the rest is waited for
def test_half_a_request_ends_with_the_acse_timeout(both: _Both) -> None:
    """PS3.8 Sta2: ARTIM expires and the connection is closed without a word. pynetdicom reads on for ever: the node is asked alone."""
    assert both.node_is_told([_RQ[:74]]) == ([], [])


@_WITH_LISTENERS
@given(junk=st.binary(max_size=400), after=st.integers(0, 4))
def test_junk_anywhere(both: _Both, junk: bytes, after: int) -> None:
    """Junk behind a whole PDU: nothing that came before is lost, nothing comes of the junk, nobody falls over."""
    node, plain = both.tell(_dialogue()[:after], last=junk)
    assert node == plain
    assert both.node.left() == []


# ---- where they differ, and why


def test_a_pdu_that_is_longer_than_negotiated_aborts(both: _Both) -> None:
    """PS3.8 D.1: the acceptor says how long a P-DATA-TF may be; pynetdicom waits for a gigabyte as it waits for anything."""
    said, kept = both.node_is_told([_RQ, store(1, *_ONE), struct.pack(">BxL", 0x04, 1 << 30)])
    assert said[1:] == [(0x8001, 1, 0), ("abort", 2)]
    assert kept == [_ONE[1]]


@pytest.mark.parametrize(
    ("sent", "source"), [(b"\x09\0\0\0\0\4abcd", 0), (b"\1\0\0\0\0\4abcd", 2)], ids=["unknown", "a request of four bytes"]
)
def test_what_cannot_be_read_aborts_at_once(both: _Both, sent: bytes, source: int) -> None:
    """PS3.8 9.2.2, AA-1: no request has come. A request that cannot be decoded is aborted by the provider with its reason (table 9-26);
    pynetdicom gives none, and leaves who sends an unknown PDU to a time-out."""
    assert both.node_is_told([sent])[0] == [("abort", source)]


def test_messages_that_share_a_pdu_are_all_served(both: _Both) -> None:
    """PS3.8 9.3.5: a P-DATA-TF has one or more values; nothing says of one message. pynetdicom drops what follows a message."""
    one, two = stored(1, *_ONE, fragment=10_000), stored(2, *_TWO, fragment=10_000)
    values = b"".join(part[6:] for part in (*one, *two, echo(3)))
    # one PDU that is answered with three
    said, kept = both.node_is_told([_RQ, struct.pack(">BxL", 0x04, len(values)) + values, b"", b"", RELEASE])
    assert said[1:] == [(0x8001, 1, 0), (0x8001, 2, 0), (0x8030, 3, 0), pdu.pack_release_reply()]
    assert kept == [_ONE[1], _TWO[1]]


def test_another_operation_is_refused_and_the_association_goes_on(both: _Both) -> None:
    """PS3.7 C.5.23: 0x0211, unrecognized operation. pynetdicom stumbles over what it does not know in a storage context, and aborts."""
    for field in (0x0020, 0x0130, 0x7777):
        other = pdu.pack_data(STORE, _command(field), command=True, last=True)
        said, kept = both.node_is_told([_RQ, other, store(6, *_ONE), RELEASE])
        assert said[1:3] == [(field | 0x8000, 5, 0x0211), (0x8001, 6, 0)]
        assert kept == [_ONE[1]]
        assert (field | 0x8000, 5, 0x0211) not in both.plain_is_told([_RQ, other])[0]


def test_a_cancel_is_ignored(both: _Both) -> None:
    """PS3.7 9.3.2.3: there is nothing to cancel, and a C-CANCEL has no answer; both go on."""
    said = both.alike([_RQ, cancel(1) + store(2, *_ONE), RELEASE])
    assert said[1] == (0x8001, 2, 0)


def test_items_that_the_standard_does_not_know_are_skipped(both: _Both) -> None:
    """PS3.7 D.3.3 and PS3.8 9.3.1 leave room for items to come; pynetdicom takes the request for broken."""
    unknown = b"\x5f\0\0\4abcd"
    whole = _RQ.replace(b"\x50\0" + struct.pack(">H", 8 + 4 + 5), b"\x50\0" + struct.pack(">H", 8 + 4 + 5 + len(unknown))) + unknown
    whole = whole[:2] + struct.pack(">L", len(whole) - 6) + whole[6:]
    assert whole != _RQ
    assert both.node_is_told([whole, store(1, *_ONE), RELEASE])[0][1] == (0x8001, 1, 0)


def test_a_version_to_come_is_no_reason_to_reject(both: _Both) -> None:
    """PS3.8 table 9-11: one bit for each version, of which only bit 0 is tested; pynetdicom compares the number."""
    assert both.node_is_told([_RQ[:6] + b"\0\3" + _RQ[8:], store(1, *_ONE), RELEASE])[0][1] == (0x8001, 1, 0)
    assert both.node_is_told([_RQ[:6] + b"\0\2" + _RQ[8:]])[0] == [pdu.pack_reject(1, 2, 2)]


@pytest.mark.parametrize("name", [b"1.2.840.10008.3.1.1.2", b""], ids=["another", "none"])
@pytest.mark.parametrize("classes", [(MRImageStorage, Verification), (MRImageStorage, "1.2.3.4")], ids=["storage", "more than storage"])
def test_another_application_context_is_rejected_for_good(both: _Both, name: bytes, classes: Sequence[str]) -> None:
    """PS3.8 7.1.1.2 and table 9-21: result 1, source 1, reason 2; pynetdicom does not look."""
    asked = request(classes=classes)
    at, known = asked.index(b"\x10\0\0\x15"), b"1.2.840.10008.3.1.1.1"
    asked = asked[:at] + (b"\x10\0" + struct.pack(">H", len(name)) + name if name else b"") + asked[at + 4 + len(known) :]
    asked = asked[:2] + struct.pack(">L", len(asked) - 6) + asked[6:]
    assert both.node_is_told([asked])[0] == [pdu.pack_reject(1, 1, 2)]


def test_a_data_set_in_another_context_than_its_command_aborts(both: _Both) -> None:
    """PS3.7 6.3.1: a message is conveyed in one presentation context. pynetdicom takes it, in the transfer syntax of the command's."""
    head, whole = stored(1, *_ONE, fragment=10_000)
    moved = bytearray(whole)
    moved[10] = ECHO
    said, kept = both.node_is_told([_RQ, head + moved])
    assert said[1:] == [("abort", 2)]
    assert kept == []
