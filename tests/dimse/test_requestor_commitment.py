"""Storage commitment as the requester, against a pynetdicom peer: what is asked and reported, and what every answer means."""

import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from node.dimse.commitment_data import (
    CommitmentFailed,
    NoCommitment,
    ReportNotTaken,
    TooMuchToCommit,
    decoded,
    encoded,
    report_of,
    reporting,
)
from node.dimse.port import PeerAway
from node.dimse.requestor.commitment import CONTEXTS, PeerCommitment
from node.dimse.requestor.opening import Called, Timeouts
from node.dimse.ul import command, pdu
from node.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, AskedCommitment, InstanceReference, Report, Request
from node.domain.errors import DeliveryError
from node.spool.room import NoRoom
from tests.lab.acceptor import PATIENCE_S, Conversation, accepting
from tests.lab.committing import CommittingPeer, event_information

CT = "1.2.840.10008.5.1.4.1.1.2"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
REFERENCES = tuple(InstanceReference(sop_class_uid=CT, sop_instance_uid=str(generate_uid())) for _ in range(3))
UIDS = tuple(one.sop_instance_uid for one in REFERENCES)
ASKED = AskedCommitment(transaction_uid=str(generate_uid()), references=REFERENCES)


@pytest.fixture
def peer() -> Iterator[CommittingPeer]:
    """It commits."""
    with CommittingPeer("ARCHIVE") as running:
        yield running


def _asking(peer: CommittingPeer) -> PeerCommitment:
    return _asking_at(peer.port, peer.aet)


def _asking_at(port: int, called_ae: str) -> PeerCommitment:
    timeouts = Timeouts(connect_s=30, acse_s=30, dimse_s=30)
    called = Called(who="the archive", host="127.0.0.1", port=port, called=called_ae, calling="HILUM", timeouts=timeouts)
    return PeerCommitment("archive", called, lambda: NOW)


def test_a_request_names_its_transaction_and_every_instance(peer: CommittingPeer) -> None:
    """As pynetdicom reads it."""
    reports: list[Report] = []
    _asking(peer).ask(ASKED, reports.append)
    (asked,) = peer.asked
    assert asked.transaction_uid == ASKED.transaction_uid
    assert asked.references == tuple((CT, uid) for uid in UIDS)
    assert reports == []


@pytest.mark.slow
def test_a_request_of_many_instances_goes_in_many_fragments(peer: CommittingPeer) -> None:
    """5,000 instances are about half a megabyte; the peer takes 128 KiB at once."""
    many = tuple(InstanceReference(sop_class_uid=CT, sop_instance_uid=f"2.25.{10**37 + number}") for number in range(5000))
    _asking(peer).ask(AskedCommitment(transaction_uid="2.25.1", references=many), lambda _: None)
    assert peer.asked[0].references == tuple((CT, one.sop_instance_uid) for one in many)


def test_a_report_on_the_same_association_is_kept_before_it_is_answered(peer: CommittingPeer) -> None:
    """It overtakes the answer to the request (PS3.4 J.3.3.1.2 allows it); both are right."""
    reports: list[Report] = []
    peer.report_at_once = lambda asked: event_information(asked.transaction_uid, asked.references, {UIDS[1]: 0x0112})
    _asking(peer).ask(ASKED, reports.append)
    assert reports == [
        Report(
            peer="archive",
            transaction_uid=ASKED.transaction_uid,
            committed=(UIDS[0], UIDS[2]),
            failed=((UIDS[1], 0x0112),),
            received_at=NOW,
        )
    ]
    assert peer.statuses == [0x0000]


def test_a_report_that_cannot_be_kept_is_refused(peer: CommittingPeer) -> None:
    """The peer keeps it, and reports again; the request itself was taken."""

    def full(report: Report) -> None:
        raise NoRoom(f"no room for {report.transaction_uid}")

    peer.report_at_once = lambda asked: event_information(asked.transaction_uid, asked.references, {})
    _asking(peer).ask(ASKED, full)
    assert peer.statuses == [0x0213]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_names_more_than_any_study_has_is_refused_unread(syntax: str) -> None:
    """An item without elements has eight bytes and takes as long to read as an instance: two million of them fit into 16 MiB, and held the
    receiver for half a minute and a gigabyte."""
    _, one = reporting(ASKED.transaction_uid, [(REFERENCES[0], 0)])
    content = encoded(one, syntax)
    assert report_of(decoded(content, syntax), peer="archive", received_at=NOW).committed == UIDS[:1]
    with pytest.raises(TooMuchToCommit, match="50001 items"):
        decoded(content + b"\xfe\xff\x00\xe0\0\0\0\0" * 50_000, syntax)
    with pytest.raises(TooMuchToCommit, match="8388609 bytes"):
        decoded(bytes((8 << 20) + 1), syntax)


@pytest.mark.parametrize("max_pdu", [512, 513, 16383])
def test_fragments_of_a_request_are_even(max_pdu: int) -> None:
    """Whatever length the peer takes (PS3.8 annex E): one of an odd length would hold an odd fragment. Every byte arrives."""
    many = tuple(InstanceReference(sop_class_uid=CT, sop_instance_uid=f"2.25.{10**37 + number}") for number in range(400))
    came: list[bytes] = []

    def script(one: Conversation) -> None:
        one.associate(max_pdu=max_pdu)
        assert one.pdu() is not None, "the command set of the request"
        last = False
        while not last:
            said = one.pdu()
            assert said is not None
            assert len(said[1]) <= max_pdu
            assert len(said[1]) % 2 == 0
            came.append(said[1][6:])
            last = bool(said[1][5] & 2)
        one.send(pdu.pack_data(1, command.response(command.Field.N_ACTION_RSP, 1, status=0), command=True, last=True))
        one.release()

    with accepting(script) as acceptor:
        _asking_at(acceptor.port, "ARCHIVE").ask(AskedCommitment(transaction_uid="2.25.1", references=many), lambda _: None)
    asked = decoded(b"".join(came), CONTEXTS[0].transfer_syntax_uid)
    assert [str(one.ReferencedSOPInstanceUID) for one in asked.ReferencedSOPSequence] == [one.sop_instance_uid for one in many]
    assert len(came) > 1


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_peer_that_goes_before_its_report_is_answered(answered_first: bool) -> None:
    """The report is kept. A request that was answered before was taken; one that was not is asked again."""
    kept, gone = threading.Event(), threading.Event()

    def script(one: Conversation) -> None:
        one.associate()
        assert one.pdu() is not None, "the command set of the request"
        assert one.pdu() is not None, "its references"
        event_type, dataset = reporting(ASKED.transaction_uid, [(reference, 0) for reference in REFERENCES])
        syntax = CONTEXTS[0].transfer_syntax_uid
        report = command.event_report_request(7, sop_class_uid=PUSH_MODEL, sop_instance_uid=PUSH_MODEL_INSTANCE, event_type=event_type)
        if answered_first:
            one.send(pdu.pack_data(1, command.response(command.Field.N_ACTION_RSP, 1, status=0), command=True, last=True))
        one.send(pdu.pack_data(1, report, command=True, last=True))
        one.send(pdu.pack_data(1, encoded(dataset, syntax), command=False, last=True))
        assert kept.wait(PATIENCE_S)
        one.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.connection.close()
        gone.set()

    def keep(_: Report) -> None:
        kept.set()
        assert gone.wait(PATIENCE_S)

    with accepting(script) as acceptor:
        asking = _asking_at(acceptor.port, "ARCHIVE")
        if answered_first:
            asking.ask(ASKED, keep)
        else:
            with pytest.raises(CommitmentFailed):
                asking.ask(ASKED, keep)
    assert kept.is_set()


@pytest.mark.parametrize("status", [0x0110, 0x0210, 0x0213, 0xC000])
def test_a_failure_that_may_pass(peer: CommittingPeer, status: int) -> None:
    """Processing failure, duplicate invocation, resource limitation, and what the standard does not know."""
    peer.on_ask = lambda _: status
    with pytest.raises(CommitmentFailed, match=f"{status:04X}") as failed:
        _asking(peer).ask(ASKED, lambda _: None)
    assert failed.value.retry


@pytest.mark.parametrize("status", [0x0112, 0x0118, 0x0122, 0x0123, 0x0124, 0x0211])
def test_a_failure_for_good(peer: CommittingPeer, status: int) -> None:
    """No such instance, class or action, not authorised, not recognised: asking again cannot help."""
    peer.on_ask = lambda _: status
    with pytest.raises(NoCommitment, match=f"{status:04X}"):
        _asking(peer).ask(ASKED, lambda _: None)


def test_a_peer_without_the_service() -> None:
    """It accepts the association and not the context."""
    with CommittingPeer("ARCHIVE", commits=False) as peer, pytest.raises(NoCommitment):
        _asking(peer).ask(ASKED, lambda _: None)


def test_a_peer_that_is_away() -> None:
    """An error that is tried again."""
    with CommittingPeer("ARCHIVE") as peer:
        pass
    with pytest.raises(PeerAway):
        _asking(peer).ask(ASKED, lambda _: None)


def test_a_report_says_what_was_judged(peer: CommittingPeer) -> None:
    """Event type 1 where all is committed to, 2 with the reasons where not; as pynetdicom reads it."""
    request = Request(peer="archive", transaction_uid="2.25.7", references=REFERENCES, received_at=NOW)
    _asking(peer).report(request, [(one, 0) for one in REFERENCES])
    _asking(peer).report(request, list(zip(REFERENCES, (0, 0x0119, 0x0112), strict=True)))
    first, second = peer.told
    assert (first.event_type, first.transaction_uid, first.committed, first.failed) == (1, "2.25.7", UIDS, {})
    assert (second.event_type, second.committed, second.failed) == (2, UIDS[:1], {UIDS[1]: 0x0119, UIDS[2]: 0x0112})


def test_a_report_that_is_not_taken_is_tried_again(peer: CommittingPeer) -> None:
    """Whatever the status."""
    peer.takes = lambda _: 0x0110
    request = Request(peer="archive", transaction_uid="2.25.7", references=REFERENCES, received_at=NOW)
    with pytest.raises(ReportNotTaken) as failed:
        _asking(peer).report(request, [(one, 0) for one in REFERENCES])
    assert isinstance(failed.value, DeliveryError)
    assert failed.value.retry
