"""Storage commitment as its provider, and reports that come: each on an association of its own and beside the images, on either path."""

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import build_role
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from node.dimse.commitment_data import MOST_BYTES, encoded
from node.dimse.services import commitment
from node.dimse.services.port import MemoryBudget
from node.dimse.ul import command, pdu
from node.domain.commitment import Commitment, Report, Request
from node.settings.config import SinkSettings
from node.settings.node import Node
from node.settings.peers import May
from node.sinks.dimse import Dimse
from tests.dimse.conftest import PACS, Listen, Listening, data_set, instance
from tests.dimse.ul.talk import COMMIT, ECHO, MIXED, RELEASE, action, echo, next_pdu, report, request, store, talk, understood
from tests.lab.committing import action_information, event_information
from tests.lab.program import wait_until

_ASKS = replace(PACS, may=PACS.may | {May.COMMIT})
_ARCHIVE = SinkSettings(name="archive", destination=Dimse(peer="pacs"), commitment=Commitment.WANTED)
_ONE = instance()
_UID = str(_ONE.SOPInstanceUID)
_BYTES = data_set(_ONE)


def _content(dataset: object) -> bytes:
    return encoded(dataset, ExplicitVRLittleEndian)  # type: ignore[arg-type]


def _commitments(running: Listening) -> list[Request | Report]:
    return [read[0] for path in running.commitments.waiting(100) if (read := running.commitments.read(path)) is not None]


def _answers(running: Listening, steps: Sequence[bytes], asked: bytes | None = None) -> list[object]:
    said = talk(running.port, [asked or request(classes=MIXED), *steps, RELEASE])
    assert said[-1] == pdu.pack_release_reply()
    return said[1:-1]


def test_images_and_the_request_for_them_on_one_association(listen: Listen) -> None:
    """As modalities do: they store, ask to commit, store on and ask again; the images are kept as on any other association."""
    running = listen(peers=(_ASKS,))
    other = instance()
    asked = [_content(action_information(f"2.25.{number}", [(MRImageStorage, _UID)])) for number in (1, 2)]
    steps = [
        store(1, _UID, _BYTES),
        action(2, asked[0]),
        echo(3),
        store(4, str(other.SOPInstanceUID), data_set(other)),
        action(5, asked[1]),
    ]
    said = _answers(running, steps)
    assert said == [(0x8001, 1, 0), (0x8130, 2, 0), (0x8030, 3, 0), (0x8001, 4, 0), (0x8130, 5, 0)]
    assert len(running.kept()) == 2
    kept = _commitments(running)
    assert [(one.peer, one.transaction_uid) for one in kept] == [("pacs", "2.25.1"), ("pacs", "2.25.2")]
    assert isinstance(kept[0], Request)
    assert [(one.sop_class_uid, one.sop_instance_uid) for one in kept[0].references] == [(MRImageStorage, _UID)]


@pytest.mark.parametrize("most", [47, 48, 101])
def test_fragments_of_answers_are_even(listen: Listen, most: int) -> None:
    """Whatever length the requestor takes (PS3.8 annex E), of command sets too; pynetdicom reads the same answers from them."""
    running = listen(peers=(_ASKS,))
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        connection.sendall(request(classes=MIXED, most=most))
        next_pdu(connection)
        connection.sendall(store(1, _UID, _BYTES))
        heard = [next_pdu(connection)]
        while not heard[-1][11] & pdu.LAST:
            heard.append(next_pdu(connection))
        connection.sendall(RELEASE)
        assert next_pdu(connection) == pdu.pack_release_reply()
    assert understood(b"".join(heard)) == [(0x8001, 1, 0)]
    assert len(heard) > 1
    assert all(len(one) - 6 <= most and len(one) % 2 == 0 for one in heard)
    assert {len(one) - 6 for one in heard[:-1]} == {most // 2 * 2}, "as large as is allowed"


def test_a_report_of_an_archive(listen: Listen) -> None:
    """It proposes to be the provider (PS3.7 D.3.3.4); what it says is kept and answered with success."""
    running = listen(sinks=(_ARCHIVE,))
    role = build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    content = _content(event_information("2.25.7", [(MRImageStorage, _UID), (MRImageStorage, "2.25.8")], {"2.25.8": 0x0112}))
    assert _answers(running, [report(1, content, event=2)], request(classes=MIXED, items=[role])) == [(0x8100, 1, 0)]
    (kept,) = _commitments(running)
    assert isinstance(kept, Report)
    assert (kept.transaction_uid, kept.committed, kept.failed) == ("2.25.7", (_UID,), (("2.25.8", 0x0112),))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(action(1, _content(action_information("2.25.1", []))), 0x0115, id="names nothing"),
        pytest.param(action(1, _content(action_information("", [(MRImageStorage, _UID)]))), 0x0115, id="no transaction"),
        pytest.param(action(1, None), 0x0115, id="no data set"),
        pytest.param(action(1, b"no data set at all"), 0x0115, id="junk"),
        pytest.param(action(1, b"x", instance="1.2.3"), 0x0112, id="another instance"),
        pytest.param(action(1, b"x", action=2), 0x0123, id="another action"),
        pytest.param(report(1, b"x"), 0x0211, id="a report of nobody who was asked"),
        pytest.param(action(1, b"\0" * (MOST_BYTES + 2)), 0x0213, id="more than anybody can mean"),
    ],
)
def test_what_is_refused_has_its_status_and_the_association_goes_on(listen: Listen, asked: bytes, status: int) -> None:
    """PS3.7 10.1; nothing is kept of it, and what follows is served."""
    running = listen(peers=(_ASKS,))
    first, second = _answers(running, [asked, echo(2)])
    assert first[2] == status  # type: ignore[index]
    assert second == (0x8030, 2, 0)
    assert _commitments(running) == []


def test_who_may_not_ask_finds_no_context_for_it(listen: Listen) -> None:
    """The abstract syntax is not supported for such a peer (PS3.8 9.3.3.2, result 3); its images are taken."""
    running = listen()
    said = talk(running.port, [request(classes=MIXED), store(1, _UID, _BYTES), RELEASE])
    accepted = A_ASSOCIATE_AC()
    accepted.decode(said[0])
    assert [(item.presentation_context_id, item.result) for item in accepted.presentation_context] == [(1, 0), (3, 0), (COMMIT, 3)]
    assert said[1] == (0x8001, 1, 0)


def test_messages_of_all_associations_share_one_bound() -> None:
    """Two hold what there is; a third is refused until one gives back."""
    held = MemoryBudget(100)
    assert held.take(60)
    assert held.take(40)
    assert not held.take(1)
    held.give(40)
    assert held.take(40)


def test_requests_of_all_associations_share_one_bound(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of 3 MiB that stop in the middle, where 8 MiB may be held: two stay, the others are aborted; all is given back in the end."""
    held = MemoryBudget(8 << 20)
    monkeypatch.setattr(commitment, "MemoryBudget", lambda: held)
    running = listen(peers=(_ASKS,), node=Node(port=0, max_associations=8))
    begun = action(1, b"\0" * (3 << 20))[:-200]
    connections = [socket.create_connection(("127.0.0.1", running.port), timeout=60) for _ in range(4)]
    try:
        for one in connections:
            one.sendall(request(classes=MIXED))
            assert next_pdu(one)[:1] == b"\x02"
            with contextlib.suppress(OSError):  # it was aborted
                one.sendall(begun)
        wait_until(lambda: len(running.said("association.message_too_long")) == 2, 60, "the surplus is aborted")
        assert held.size_bytes <= 8 << 20
        assert _answers(running, [action(1, _content(action_information("2.25.1", [(MRImageStorage, _UID)])))]) == [(0x8130, 1, 0)]
    finally:
        for one in connections:
            one.close()
    wait_until(lambda: held.size_bytes == 0, 60, "all is given back")


@pytest.mark.parametrize("released", [False, True], ids=["what is no fragment", "a release"])
def test_what_a_request_holds_is_given_back_when_the_association_ends_within_it(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    """Its last fragment lies in the connection's buffer then, and belongs to nothing any more."""
    held = MemoryBudget(8 << 20)
    monkeypatch.setattr(commitment, "MemoryBudget", lambda: held)
    running = listen(peers=(_ASKS,))
    begun = action(1, b"\0" * (2 << 20))
    begun = begun[: -pdu.HEAD_BYTES - pdu.PDV_HEAD_BYTES - (2 << 20) % 16000]
    # of the item behind the fragment the length is too short for its own two bytes
    follows = RELEASE if released else pdu.pack_data(COMMIT, b"", command=False, last=False)[: pdu.HEAD_BYTES] + bytes(6)
    last = pdu.pack_data(COMMIT, b"\0" * 100, command=False, last=False) + follows
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
        connection.sendall(request(classes=MIXED))
        assert next_pdu(connection)[:1] == b"\x02"
        connection.sendall(begun)
        wait_until(lambda: held.size_bytes > 1 << 20, 60, "it is counted")
        connection.sendall(last)
        assert next_pdu(connection)[:1] == (b"\x06" if released else b"\x07")
    running.listener.stop(5)
    assert held.size_bytes == 0


@pytest.mark.parametrize(
    ("may", "sop_class", "context"), [(May.ECHO, Verification, ECHO), (May.COMMIT, StorageCommitmentPushModel, COMMIT)], ids=str
)
def test_who_may_not_store_does_not_store_in_another_context(listen: Listen, may: May, sop_class: str, context: int) -> None:
    """A C-STORE under the SOP class of a service without instances, which its presentation context was accepted for."""
    running = listen(peers=(replace(PACS, may=frozenset({may})),))
    one = instance(sop_class=sop_class)
    asked = command.store_request(1, sop_class_uid=sop_class, sop_instance_uid=str(one.SOPInstanceUID))
    message = pdu.pack_data(context, asked, command=True, last=True) + pdu.pack_data(context, data_set(one), command=False, last=True)
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
        connection.sendall(request(classes=MIXED))
        next_pdu(connection)
        connection.sendall(message)
        assert next_pdu(connection)[:1] in (b"\x04", b"\x07")
    running.listener.stop(5)
    assert running.left() == []
