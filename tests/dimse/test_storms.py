"""Storms on the wire: C-CANCELs by the thousand, fragments of one byte and of none, associations that end as soon as they begin."""

import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psutil
import pytest
from pydicom.uid import MRImageStorage
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from node.dimse.ul import command, pdu
from tests.dimse.conftest import Listen, Listening, instance, offer
from tests.dimse.ul.talk import RELEASE, STORE, cancel, echo, next_pdu, request, store, stored, talk, understood
from tests.lab.program import wait_until
from tests.lab.wire import Offer, Sender

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

_RQ = request()
_ABORT = pdu.pack_abort(pdu.AbortSource.USER)
_CANCELS = 3000
_ENDS = 150
_GROWTH_BYTES = 32 << 20
_PATIENCE_S = 60


def _served(running: Listening) -> bool:
    one = offer()
    with Sender(running.port, [one]) as sender:
        return sender.store(one) == 0x0000


def _one() -> tuple[Offer, tuple[str, bytes]]:
    made = offer(instance(pixels=b"\1\2" * 8))
    return made, (made.sop_instance_uid, made.data_set)


def _connect(running: Listening) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=_PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _threads_as_before(before: int) -> None:
    wait_until(lambda: threading.active_count() <= before, _PATIENCE_S, "no thread is left of it")


def test_cancels_by_the_thousand_get_no_answer_and_leave_nothing(listen: Listen) -> None:
    """PS3.7 9.3.2.3: for requests that never were, that were answered long ago, and for one that comes behind them: no answer, no memory,
    no thread; the next C-STORE is answered as ever."""
    running = listen()
    _, kept = _one()
    threads = threading.active_count()
    with closing(_connect(running)) as connection:
        connection.sendall(_RQ)
        assert next_pdu(connection)[0] == 0x02
        connection.sendall(echo(1))
        assert understood(next_pdu(connection)) == [(0x8030, 1, 0)]
        before = psutil.Process().memory_info().rss
        standing = threading.active_count()
        connection.sendall(b"".join(cancel(number % 65536) for number in range(_CANCELS)))
        connection.sendall(store(7, *kept))
        assert understood(next_pdu(connection)) == [(0x8001, 7, 0)]
        assert threading.active_count() <= standing
        assert psutil.Process().memory_info().rss - before < _GROWTH_BYTES
        connection.sendall(RELEASE)
        assert next_pdu(connection)[0] == 0x06
    assert len(running.kept()) == 1
    _threads_as_before(threads)


def test_a_cancel_behind_a_store_does_not_undo_it(listen: Listen) -> None:
    """C-STORE cannot be cancelled (PS3.7 9.1.1): one for its own message ID, right behind its data set, changes nothing."""
    running = listen()
    _, kept = _one()
    said = talk(running.port, [_RQ, store(1, *kept) + cancel(1), echo(2), RELEASE])
    assert said[1:3] == [(0x8001, 1, 0), (0x8030, 2, 0)]
    assert len(running.kept()) == 1


def test_a_cancel_within_a_data_set_keeps_nothing_half(listen: Listen) -> None:
    """No message may begin before the last fragment of another (PS3.7 6.3.1): either the association ends, and nothing is kept, or it goes
    on as if the C-CANCEL were not there, and all is kept."""
    running = listen()
    made, kept = _one()
    parts = stored(1, *kept)
    said = talk(running.port, [_RQ, b"".join([*parts[:2], cancel(1), *parts[2:]])], last=_ABORT)
    wait_until(lambda: bool(running.said("association.ended")), _PATIENCE_S, "it ended")
    if said[1:] == [(0x8001, 1, 0)]:
        (entry,) = running.kept()
        assert entry.read_bytes().endswith(made.data_set)
    else:
        assert said[1:] == [] or said[1][0] == "abort"  # type: ignore[index]
        assert running.left() == []
    assert _served(running)


def test_a_find_that_nobody_serves_and_its_cancels_end_one_association(listen: Listen) -> None:
    """The context of C-FIND is refused; who sends the request all the same, and C-CANCELs behind it, ends its own association."""
    running = listen()
    classes = (MRImageStorage, Verification, StudyRootQueryRetrieveInformationModelFind)
    find = _command(0x0020, StudyRootQueryRetrieveInformationModelFind)
    with closing(_connect(running)) as connection:
        connection.sendall(request(classes=classes))
        assert next_pdu(connection)[0] == 0x02
        asked = pdu.pack_data(5, find, command=True, last=True) + pdu.pack_data(5, bytes(8), command=False, last=True)
        connection.sendall(asked + b"".join(cancel(5) for _ in range(500)))
        assert next_pdu(connection)[:1] in (b"", b"\x07")
    assert _served(running)


@pytest.mark.parametrize("size", [1, 2], ids=["one byte", "two bytes"])
def test_a_message_in_fragments_of_a_byte_is_kept_whole(listen: Listen, size: int) -> None:
    """P-DATA-TFs of so many bytes each, command set and data set, and the same again as so many PDVs of one P-DATA-TF."""
    running = listen()
    many, in_one = _one(), _one()
    asked = [
        command.store_request(n, sop_class_uid=MRImageStorage, sop_instance_uid=kept[0]) for n, (_, kept) in enumerate((many, in_one), 1)
    ]
    apart = b"".join(
        _data(_pdv(part, is_command=is_command, last=last))
        for is_command, whole in ((True, asked[0]), (False, many[1][1]))
        for part, last in _parts(whole, size)
    )
    together = _data(
        b"".join(
            _pdv(part, is_command=is_command, last=last)
            for is_command, whole in ((True, asked[1]), (False, in_one[1][1]))
            for part, last in _parts(whole, size)
        )
    )
    said = talk(running.port, [_RQ, apart, together, RELEASE])
    assert said[1:3] == [(0x8001, 1, 0), (0x8001, 2, 0)]
    assert sorted(entry.read_bytes()[-40:] for entry in running.kept()) == sorted(made.data_set[-40:] for made, _ in (many, in_one))


def test_fragments_of_no_byte_cost_no_memory(listen: Listen) -> None:
    """Thousands of empty fragments of a data set that never ends: no memory grows, and the abort leaves nothing."""
    running = listen()
    _, kept = _one()
    parts = stored(1, *kept)
    empty = _data(_pdv(b"", is_command=False, last=False)) * 20_000
    with closing(_connect(running)) as connection:
        connection.sendall(_RQ)
        assert next_pdu(connection)[0] == 0x02
        connection.sendall(b"".join(parts[:2]))
        before = psutil.Process().memory_info().rss
        connection.sendall(empty)
        connection.sendall(_ABORT)
        wait_until(lambda: bool(running.said("association.ended")), _PATIENCE_S, "it ended")
        assert psutil.Process().memory_info().rss - before < _GROWTH_BYTES
    assert running.left() == []
    assert _served(running)


def _release(connection: socket.socket) -> None:
    connection.sendall(_RQ)
    next_pdu(connection)
    connection.sendall(RELEASE)
    next_pdu(connection)


def _abort(connection: socket.socket) -> None:
    connection.sendall(_RQ)
    next_pdu(connection)
    connection.sendall(_ABORT)


def _ask_and_go(connection: socket.socket) -> None:
    connection.sendall(_RQ)


def _ask_twice(connection: socket.socket) -> None:
    connection.sendall(_RQ + _RQ + RELEASE + RELEASE)
    next_pdu(connection)


@pytest.fixture
def without_collecting() -> Iterator[None]:
    """What refers to itself stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("ends", [_release, _abort, _ask_and_go, _ask_twice], ids=["release", "abort", "go", "ask twice"])
def test_associations_that_end_as_soon_as_they_begin_leave_nothing(
    listen: Listen, without_collecting: None, ends: Callable[[socket.socket], None]
) -> None:
    """A hundred and fifty, one after the other as fast as they go: no thread, no seat, no memory stays, and the next peer is served; also
    where Python does not look for what refers to itself, as it hardly ever does in a process that holds much."""
    running = listen()
    threads, before = threading.active_count(), psutil.Process().memory_info().rss
    for _ in range(_ENDS):
        with closing(_connect(running)) as connection:
            try:
                ends(connection)
            except OSError:
                continue  # closed by the node, which may be busy
    wait_until(lambda: _served(running), _PATIENCE_S, "the next peer is served", every_s=0.2)
    _threads_as_before(threads)
    assert psutil.Process().memory_info().rss - before < _GROWTH_BYTES
    assert len(running.kept()) == 1


def _parts(whole: bytes, size: int) -> list[tuple[bytes, bool]]:
    return [(whole[at : at + size], at + size >= len(whole)) for at in range(0, len(whole), size)]


def _pdv(part: bytes, *, is_command: bool, last: bool) -> bytes:
    return struct.pack(">LBB", len(part) + 2, STORE, int(is_command) | 2 * last) + part


def _data(items: bytes) -> bytes:
    return struct.pack(">BBL", 0x04, 0, len(items)) + items


def _command(field: int, sop_class_uid: str) -> bytes:
    """A request of any kind with a data set to follow (PS3.7 9.3), in implicit little endian."""
    uid = sop_class_uid.encode() + b"\0" * (len(sop_class_uid) % 2)
    body = struct.pack("<HHL", 0, 0x0002, len(uid)) + uid
    for number, value in ((0x0100, field), (0x0110, 5), (0x0700, 2), (0x0800, 1)):
        body += struct.pack("<HHLH", 0, number, 2, value)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body
