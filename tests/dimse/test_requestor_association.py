"""The sending path against acceptors that do what PS3.8 allows, and what it does not: limits, endings, time-outs, outcomes."""

import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from node.dimse.port import NotAFile, StoreStatus
from node.dimse.requestor.opening import Timeouts
from node.dimse.requestor.outgoing import Ready, outgoing, window
from node.dimse.requestor.peer import PeerRequestor
from node.domain.errors import DeliveryError
from node.settings.peers import May, Peer
from tests.dimse.conftest import Listen, data_set_of, instance
from tests.lab.acceptor import PATIENCE_S, Conversation, Stored, accepting
from tests.lab.program import wait_until

ABORT, RELEASE_RQ, RELEASE_RP = 7, 5, 6


def _requestor(
    port: int,
    *,
    idle_s: float = 0.0,
    dimse_s: float = PATIENCE_S,
    may: frozenset[May] = frozenset(),
    called: str = "ARCHIVE",
    calling: str = "HILUM",
) -> PeerRequestor:
    peer = Peer(name="archive", ae_title=called, host="127.0.0.1", port=port, may=may)
    timeouts = Timeouts(connect_s=PATIENCE_S, acse_s=PATIENCE_S, dimse_s=dimse_s)
    return PeerRequestor(peer, calling_ae=calling, timeouts=timeouts, idle_s=idle_s)


def _files(folder: Path, count: int, *, sop_class: str = MRImageStorage, pixels: bytes = b"\1\2" * 64) -> list[str]:
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(count):
        paths.append(folder / f"{sop_class}-{number}.dcm")
        dataset = instance(sop_class=sop_class)
        dataset.PixelData = pixels
        dataset.save_as(paths[-1], enforce_file_format=True)
    return [str(path) for path in paths]


def _data(files: list[str]) -> list[bytes]:
    return [data_set_of(Path(file).read_bytes()) for file in files]


def _takes(count: int, kept: list[Stored], *, max_pdu: int = 16384, syntax: str | None = None) -> Callable[[Conversation], None]:
    """A script that answers so many C-STOREs, and the release behind them."""

    def script(one: Conversation) -> None:
        one.associate(max_pdu=max_pdu, syntax=syntax)
        for _ in range(count):
            stored = one.stored()
            assert stored is not None, f"{count} instances come"
            kept.append(stored)
            one.answer(stored)
        one.release()

    return script


# ---- PDUs


@pytest.mark.parametrize("max_pdu", [512, 4096, 4097, 16383, 131072, 0, 2**32 - 1])
def test_no_pdu_is_longer_than_the_peer_takes(tmp_path: Path, max_pdu: int) -> None:
    """PS3.8 D.1: the length that is told counts all that follows the head; 0 sets no limit. Every byte arrives, in even fragments."""
    files = _files(tmp_path, 2, pixels=bytes(range(256)) * 600)
    kept: list[Stored] = []
    with accepting(_takes(2, kept, max_pdu=max_pdu)) as acceptor:
        statuses = _requestor(acceptor.port).store(files)
    assert [one.status for one in statuses] == [0x0000, 0x0000]
    assert [one.data for one in kept] == _data(files)
    assert all(length <= (max_pdu or 2**32) for one in kept for length in one.lengths)
    if 0 < max_pdu <= 131072:
        # as large as is allowed: but for the command and the last fragment every PDU is full
        assert all(length in (max_pdu, max_pdu - 1) for one in kept for length in one.lengths[1:-1])


def test_a_peer_that_takes_next_to_nothing_is_left(tmp_path: Path) -> None:
    """A maximum length of eight bytes would make a hundred thousand PDUs of an image."""

    def script(one: Conversation) -> None:
        one.associate(max_pdu=8)
        last = one.ends()
        assert last is not None
        assert last[0] == ABORT

    with accepting(script) as acceptor, pytest.raises(DeliveryError, match="maximum length of 8"):
        _requestor(acceptor.port).store(_files(tmp_path, 1))


def test_an_instance_larger_than_memory_is_lent(tmp_path: Path) -> None:
    """Sixty-four MiB go through a few of them, byte for byte."""
    (file,) = _files(tmp_path, 1, pixels=bytes(range(256)) * (64 << 12))
    kept: list[Stored] = []

    def script(one: Conversation) -> None:
        one.associate(max_pdu=131072)
        size, context, last = 0, 0, False
        while not last:
            said = one.pdu()
            assert said is not None, "it comes to its end"
            context = said[1][4]
            size += len(said[1]) - 6
            last = said[1][5] == 2
        kept.append(Stored(1, context, "", b"", [size]))
        one.answer(kept[0])
        one.release()

    with accepting(script) as acceptor:
        tracemalloc.start()
        try:
            (status,) = _requestor(acceptor.port).store([file])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert status.status == 0x0000
    assert kept[0].lengths[0] > 64 << 20
    assert peak < 16 << 20


def test_an_answer_comes_in_pieces_and_with_others(tmp_path: Path) -> None:
    """Byte by byte, in two fragments, and in one segment with the PDU that follows it."""
    files = _files(tmp_path, 3)

    def script(one: Conversation) -> None:
        one.associate()
        first = one.stored()
        assert first is not None
        for byte in one.answer_pdu(first):
            one.send(bytes((byte,)))
        second = one.stored()
        assert second is not None
        command = one.answer_pdu(second, 0xB000)[12:]
        for fragment, control in ((command[:7], 1), (command[7:], 3)):
            one.send(struct.pack(">BxLLBB", 4, len(fragment) + 6, len(fragment) + 2, second.context, control) + fragment)
        third = one.stored()
        assert third is not None
        one.send(one.answer_pdu(third) + struct.pack(">BxLL", RELEASE_RQ, 4, 0))
        said = [one.pdu(), one.pdu()]
        assert [each and each[0] for each in said] == [RELEASE_RQ, RELEASE_RP], "it asks, and answers before it is answered"
        one.send(struct.pack(">BxLL", RELEASE_RP, 4, 0))

    with accepting(script) as acceptor:
        assert [one.status for one in _requestor(acceptor.port).store(files)] == [0x0000, 0xB000, 0x0000]


# ---- endings


def _one_answer_then(
    tmp_path: Path, end: Callable[[Conversation, Stored], None], *, dimse_s: float = PATIENCE_S
) -> tuple[list[StoreStatus], tuple[int, bytes] | None]:
    """Three instances: the first is answered, at the second `end` happens; the statuses, and what this side said last."""
    last: list[tuple[int, bytes] | None] = []

    def script(one: Conversation) -> None:
        one.associate()
        first = one.stored()
        assert first is not None
        one.answer(first)
        second = one.stored()
        assert second is not None
        end(one, second)
        last.append(one.ends())

    with accepting(script) as acceptor:
        statuses = _requestor(acceptor.port, dimse_s=dimse_s).store(_files(tmp_path, 3))
    assert [one.status for one in statuses] == [0x0000, None, None]
    assert [one.unknown for one in statuses] == [False, True, False], "one may be there, the other never went out"
    assert "may have" in statuses[1].detail
    assert statuses[2].detail.startswith("not sent")
    return statuses, last[0]


def _close(one: Conversation, _: Stored) -> None:
    one.connection.close()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(struct.pack(">BxLHBB", ABORT, 4, 0, 2, 0), None, id="abort"),
        pytest.param(struct.pack(">BxLL", RELEASE_RQ, 4, 0), (RELEASE_RP, None), id="the peer releases"),
        pytest.param(struct.pack(">BxLL", 0x42, 4, 0), (ABORT, b"\0\0\2\1"), id="a PDU that nobody knows: unrecognised"),
        pytest.param(struct.pack(">BxLL", 0x02, 4, 0), (ABORT, b"\0\0\2\2"), id="an A-ASSOCIATE-AC: unexpected"),
        pytest.param(struct.pack(">BxL", 4, 1 << 30), (ABORT, b"\0\0\2\6"), id="a gigabyte is claimed"),
        pytest.param(struct.pack(">BxLL", 4, 4, 99), (ABORT, b"\0\0\2\6"), id="a PDV beyond its PDU"),
        pytest.param(struct.pack(">BxL", 4, 0), (ABORT, b"\0\0\2\6"), id="no PDV at all"),
        pytest.param(struct.pack(">BxLLBB", 4, 6, 2, 1, 2), (ABORT, b"\0\0\2\5"), id="a data set where an answer belongs"),
        pytest.param(struct.pack(">BxLLBBL", 4, 10, 6, 1, 3, 7), (ABORT, b"\0\0\2\6"), id="no command set"),
    ],
)
def test_what_ends_an_association_in_the_middle(tmp_path: Path, said: bytes, expected: tuple[int, bytes | None] | None) -> None:
    """The instance under way is unknown, never sent and never refused; the peer is told by PS3.8 9.2 what was wrong."""
    _, last = _one_answer_then(tmp_path, lambda one, _: one.send(said))
    if expected is None:
        assert last is None, "an abort is not answered"
    else:
        assert last is not None
        assert last[0] == expected[0]
        assert expected[1] is None or last[1] == expected[1]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"message": 77}, id="to another message"),
        pytest.param({"field_": 0x8030}, id="to a C-ECHO"),
        pytest.param({"field_": 0x0001}, id="a request"),
    ],
)
def test_an_answer_to_something_else_is_no_answer(tmp_path: Path, other: dict[str, int]) -> None:
    """Whatever it says, this instance's outcome is not in it."""
    _, last = _one_answer_then(tmp_path, lambda one, stored: one.send(one.answer_pdu(stored, 0x0000, **other)))
    assert last is not None
    assert last[0] == ABORT


def test_a_connection_that_breaks_in_the_middle(tmp_path: Path) -> None:
    """Closed without a word."""

    def script(one: Conversation) -> None:
        one.associate()
        one.stored()
        one.connection.close()

    with accepting(script) as acceptor:
        statuses = _requestor(acceptor.port).store(_files(tmp_path, 2))
    assert [(one.status, one.unknown) for one in statuses] == [(None, True), (None, False)]


def test_an_answer_that_comes_too_late_counts_for_nothing(tmp_path: Path) -> None:
    """The time-out aborts the association; an answer behind it is no other instance's answer."""
    said: list[tuple[int, bytes] | None] = []

    def script(one: Conversation) -> None:
        one.associate()
        first = one.stored()
        assert first is not None
        said.append(one.pdu())
        one.answer(first)

    with accepting(script) as acceptor:
        statuses = _requestor(acceptor.port, dimse_s=0.2).store(_files(tmp_path, 2))
    assert [(one.status, one.unknown) for one in statuses] == [(None, True), (None, False)]
    assert said[0] is not None
    assert said[0][0] == ABORT


def test_a_peer_that_stops_reading_is_left(tmp_path: Path) -> None:
    """It cannot have an instance that was not sent to its end: not sent, and not unknown."""
    over = threading.Event()

    def script(one: Conversation) -> None:
        one.associate()
        over.wait(PATIENCE_S)

    with accepting(script) as acceptor:
        statuses = _requestor(acceptor.port, dimse_s=0.2).store(_files(tmp_path, 2, pixels=bytes(1 << 25)))
        over.set()
    assert [(one.status, one.unknown) for one in statuses] == [(None, False), (None, False)]
    assert "took nothing" in statuses[0].detail


def test_both_sides_release_at_once(tmp_path: Path) -> None:
    """PS3.8 9.2.2, Sta7: the requestor answers the other's release, then waits for the answer to its own."""
    order: list[int] = []

    def script(one: Conversation) -> None:
        one.associate()
        stored = one.stored()
        assert stored is not None
        one.answer(stored)
        said = one.pdu()
        assert said is not None
        order.append(said[0])
        one.send(struct.pack(">BxLL", RELEASE_RQ, 4, 0))
        said = one.pdu()
        assert said is not None
        order.append(said[0])
        one.send(struct.pack(">BxLL", RELEASE_RP, 4, 0))
        assert one.ends() is None

    with accepting(script) as acceptor:
        assert [one.status for one in _requestor(acceptor.port).store(_files(tmp_path, 1))] == [0x0000]
    assert order == [RELEASE_RQ, RELEASE_RP]


def test_a_file_that_becomes_shorter_while_it_is_sent(tmp_path: Path) -> None:
    """It was not sent; the association, in the middle of a message, is aborted, and the others go over another."""
    files = _files(tmp_path, 1, pixels=bytes(24 << 20)) + _files(tmp_path, 2, sop_class=CTImageStorage)
    kept: list[Stored] = []

    def cut(one: Conversation) -> None:
        one.associate()
        assert one.pdu() is not None
        with Path(files[0]).open("r+b") as file:
            file.truncate(1 << 20)
        last = one.ends()
        assert last is None or last[0] in (4, ABORT)

    with accepting(cut, _takes(2, kept)) as acceptor:
        statuses = _requestor(acceptor.port).store(files)
    assert [(one.status, one.unknown) for one in statuses] == [(None, False), (0x0000, False), (0x0000, False)]
    assert [one.data for one in kept] == _data(files[1:])


@pytest.mark.parametrize("syntax", ["as it lies", "decoded"])
def test_a_file_that_another_takes_the_place_of(tmp_path: Path, syntax: str) -> None:
    """Another instance is written under its name after it was looked at: neither goes out under the name of the other."""
    first, second = (outgoing(Path(path)) for path in _files(tmp_path, 2))
    second.path.rename(first.path)
    target = first.transfer_syntax_uid if syntax == "as it lies" else str(ImplicitVRLittleEndian)
    with pytest.raises(NotAFile, match="another file"):
        Ready(first, context_id=1, syntax=target, window=window())
    again = outgoing(first.path)
    assert again.sop_instance_uid == second.sop_instance_uid
    Ready(again, context_id=1, syntax=target, window=window()).close()


@pytest.mark.parametrize("answered", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_what_was_passed_over_is_told_however_the_association_ends(tmp_path: Path, answered: int) -> None:
    """Instances of a class that the peer does not take, before the one with which it goes away: each has its status."""
    refused, files = _files(tmp_path, 2, sop_class=CTImageStorage), _files(tmp_path, 2, pixels=bytes(24 << 20))

    def script(one: Conversation) -> None:
        one.associate(takes=[MRImageStorage])
        for _ in range(answered):
            stored = one.stored()
            assert stored is not None
            one.answer(stored)

    with accepting(script) as acceptor:
        statuses = _requestor(acceptor.port).store([files[0], *refused, files[1]] if answered else [*refused, *files])
    assert sorted(one.status for one in statuses if one.status is not None) == [0x0000] * answered + [0x0122] * 2
    assert len(statuses) == 4


# ---- associations that stay


def test_parcel_after_parcel_over_one_association(listen: Listen, tmp_path: Path) -> None:
    """Three calls, one association; closing the requestor releases it."""
    running = listen()
    requestor = _requestor(running.port, idle_s=PATIENCE_S, called="HILUM", calling="PACS")
    for number in range(3):
        assert all(one.accepted for one in requestor.store(_files(tmp_path / str(number), 2)))
    assert len(running.said("association.accepted")) == 1
    requestor.close()
    wait_until(lambda: running.said("association.ended"), PATIENCE_S, "the association ends")
    assert [one["how"] for one in running.said("association.ended")] == ["released"]
    assert len(running.kept()) == 6


def test_other_contexts_need_another_association_once(tmp_path: Path) -> None:
    """Masks, then reports, then masks: the second association is asked for both, the third parcel needs none."""
    masks, reports = _files(tmp_path, 1), _files(tmp_path, 1, sop_class=CTImageStorage)
    first: list[Stored] = []
    second: list[Stored] = []
    with accepting(_takes(1, first), _takes(2, second)) as acceptor:
        requestor = _requestor(acceptor.port, idle_s=PATIENCE_S)
        for files in (masks, reports, masks):
            assert [one.status for one in requestor.store(files)] == [0x0000]
        requestor.close()
    assert {sop_class for _, sop_class, _ in acceptor.conversations[1].offered} == {MRImageStorage, CTImageStorage}


def test_a_peer_that_takes_one_uncompressed_syntax_alone_is_asked_once(tmp_path: Path) -> None:
    """Each delivery cost it two associations: what it had declined beside what it took was asked for by itself again and again."""
    masks, reports = _files(tmp_path, 1), _files(tmp_path, 1, sop_class=CTImageStorage)
    first: list[Stored] = []
    second: list[Stored] = []
    with accepting(_takes(1, first, syntax=ExplicitVRLittleEndian), _takes(5, second, syntax=ExplicitVRLittleEndian)) as acceptor:
        requestor = _requestor(acceptor.port, idle_s=PATIENCE_S)
        for files in (masks, reports) * 3:
            assert [one.status for one in requestor.store(files)] == [0x0000]
        requestor.close()
    assert (len(first), len(second)) == (1, 5)


def test_what_a_peer_took_once_is_not_asked_for_for_ever(tmp_path: Path) -> None:
    """It breaks off now at what it took before, before an update: the next attempt asks for what is to be sent, alone."""
    masks, reports = _files(tmp_path, 1), _files(tmp_path, 1, sop_class=CTImageStorage)
    kept: list[Stored] = []

    def breaks_off(one: Conversation) -> None:
        assert one.pdu() is not None

    with accepting(_takes(1, kept), breaks_off, _takes(0, kept), _takes(1, kept)) as acceptor:
        requestor = _requestor(acceptor.port, idle_s=PATIENCE_S)
        assert [one.status for one in requestor.store(masks)] == [0x0000]
        with pytest.raises(DeliveryError):
            requestor.store(reports)
        assert [one.status for one in requestor.store(reports)] == [0x0000]
        requestor.close()
    assert {sop_class for _, sop_class, _ in acceptor.conversations[-1].offered} == {CTImageStorage}


def test_an_idle_association_is_released_by_itself(tmp_path: Path) -> None:
    """After its time, without anybody asking for it."""
    kept: list[Stored] = []
    with accepting(_takes(1, kept)) as acceptor:
        _requestor(acceptor.port, idle_s=0.05).store(_files(tmp_path, 1))


@pytest.mark.parametrize("how", ["closes", "aborts", "releases"])
def test_a_peer_that_ends_an_idle_association_costs_nothing(tmp_path: Path, how: str) -> None:
    """The next parcel goes over a new one: each instance arrives once."""
    gone = threading.Event()
    again: list[Stored] = []

    def script(one: Conversation) -> None:
        one.associate()
        stored = one.stored()
        assert stored is not None
        one.answer(stored)
        if how == "aborts":
            one.send(struct.pack(">BxLHBB", ABORT, 4, 0, 2, 0))
        elif how == "releases":
            one.send(struct.pack(">BxLL", RELEASE_RQ, 4, 0))
        if how == "closes":
            one.connection.close()
        gone.set()
        if how == "releases":
            assert (said := one.pdu()) is not None
            assert said[0] in (RELEASE_RP, RELEASE_RQ)

    with accepting(script, _takes(1, again)) as acceptor:
        requestor = _requestor(acceptor.port, idle_s=PATIENCE_S)
        assert [one.status for one in requestor.store(_files(tmp_path / "1", 1))] == [0x0000]
        assert gone.wait(PATIENCE_S)
        assert [one.status for one in requestor.store(_files(tmp_path / "2", 1))] == [0x0000]
        requestor.close()
    assert len(again) == 1


def test_an_idle_association_that_ends_under_the_next_instance(tmp_path: Path) -> None:
    """The peer's time-out and the next parcel cross each other on the wire: sent again, over a new one, and answered there."""
    again: list[Stored] = []

    def script(one: Conversation) -> None:
        one.associate()
        stored = one.stored()
        assert stored is not None
        one.answer(stored)
        assert one.stored() is not None
        one.connection.close()

    files = _files(tmp_path / "2", 2)
    with accepting(script, _takes(2, again)) as acceptor:
        requestor = _requestor(acceptor.port, idle_s=PATIENCE_S)
        requestor.store(_files(tmp_path / "1", 1))
        assert [one.status for one in requestor.store(files)] == [0x0000, 0x0000]
        requestor.close()
    assert [one.data for one in again] == _data(files)


def test_a_new_association_that_ends_is_not_tried_for_ever(tmp_path: Path) -> None:
    """Only one that stood idle is given a second try in the same call."""

    def script(one: Conversation) -> None:
        one.associate()
        one.stored()
        one.connection.close()

    with accepting(script) as acceptor:
        (status,) = _requestor(acceptor.port, idle_s=PATIENCE_S).store(_files(tmp_path, 1))
    assert (status.status, status.unknown) == (None, True)


def test_a_process_that_ends_releases_what_stands_idle(listen: Listen, tmp_path: Path) -> None:
    """The flow process stops, or is told to: the archive sees a release, not a connection that broke."""
    running = listen()
    (file,) = _files(tmp_path, 1)
    program = (
        "import sys\n"
        "from node.dimse.requestor.peer import PeerRequestor\n"
        "from node.settings.peers import Peer\n"
        "peer = Peer(name='node', ae_title='HILUM', host='127.0.0.1', port=int(sys.argv[1]))\n"
        "print(PeerRequestor(peer, calling_ae='PACS', idle_s=60).store([sys.argv[2]])[0].status)\n"
    )
    said = subprocess.run([sys.executable, "-c", program, str(running.port), file], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "0"
    wait_until(lambda: running.said("association.ended"), PATIENCE_S, "the association ends")
    assert [one["how"] for one in running.said("association.ended")] == ["released"]
