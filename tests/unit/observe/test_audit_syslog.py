"""To an audit repository: RFC 5424 over TLS (RFC 5425), whatever the repository does meanwhile; and over UDP."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.observe.audit import codes
from node.observe.audit.forwarding import AuditForwarder, Connection, RepositoryAddress, RepositoryAway, Tls
from node.observe.audit.message import Action, EventOutcome, Message, Participant, Source, xml
from node.observe.audit.trail import AuditFiles
from tests.lab.audit import Repository, valid
from tests.lab.certificates import Authority
from tests.lab.program import wait_until

pytestmark = pytest.mark.peers
SOURCE = Source(name="HILUM@here")
KEEP = timedelta(days=400)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs both sides."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def repository(authority: Authority) -> Iterator[Repository]:
    """A repository that asks for a client certificate."""
    own = authority.signs("arr")
    with Repository(certificate=own.certificate, key=own.key, client_ca=authority.certificate) as made:
        yield made


@pytest.fixture
def tls(authority: Authority) -> Tls:
    """What the node has."""
    own = authority.signs("node")
    return Tls(ca=authority.certificate, cert=own.certificate, key=own.key)


def _line(number: int, outcome: EventOutcome = EventOutcome.SUCCESS) -> bytes:
    who = (Participant(user_id=f"user {number} ü"),)
    return xml(Message(event=codes.EXPORT, action=Action.READ, at=datetime.now(UTC), participants=who, outcome=outcome), SOURCE)


def test_messages_arrive_as_the_standard_frames_them(repository: Repository, tls: Tls, tmp_path: Path) -> None:
    """PRI 85 for what went well and 84 for what did not (A.6), the message id, UTF-8, valid XML, in order; nothing goes twice."""
    AuditFiles(tmp_path).append([_line(0), _line(1, EventOutcome.SERIOUS), b"<AuditMessage cut sh", _line(2)], datetime.now(UTC))
    sender = AuditForwarder(tmp_path, keep=KEEP, address=RepositoryAddress(host="127.0.0.1", port=repository.port), tls=tls)
    assert sender.turn() == 3
    assert sender.turn() == 0
    wait_until(lambda: len(repository.bodies()) == 3, 30, "the repository has read them")
    assert [one.priority for one in repository.received] == [85, 84, 85]
    assert {one.msgid for one in repository.received} == {"DICOM+RFC3881"}
    names = [[who.get("UserID") for who in valid(body).iter("ActiveParticipant")] for body in repository.bodies()]
    assert names == [["user 0 ü"], ["user 1 ü"], ["user 2 ü"]]
    sender.disconnect()
    (day,) = tmp_path.glob("audit-*.xml")
    stands = json.loads((tmp_path / "sent.json").read_text())
    assert stands == {"file": day.name, "offset": day.stat().st_size}, "JSON that people can read says how far the repository has it"


def _user(message: bytes) -> str | None:
    participant = valid(message).find("ActiveParticipant")
    assert participant is not None
    return participant.get("UserID")


def test_a_repository_that_is_away_loses_nothing(repository: Repository, tls: Tls, tmp_path: Path) -> None:
    """Messages wait in the files while it is down, over midnight too, and arrive in order after it returned: none is missing."""
    files = AuditFiles(tmp_path)
    sender = AuditForwarder(tmp_path, keep=KEEP, address=RepositoryAddress(host="127.0.0.1", port=repository.port), tls=tls)
    files.append([_line(0)], datetime.now(UTC) - timedelta(days=1))
    sender.start()
    wait_until(lambda: len(repository.bodies()) == 1, 30, "the first arrived")
    repository.stop()
    for number in range(1, 501):
        files.append([_line(number)], datetime.now(UTC))
    repository.start()
    wait_until(lambda: len(repository.bodies()) >= 501, 120, "all arrived")
    sender.stop()
    seen = {_user(body) for body in repository.bodies()}
    assert seen == {f"user {number} ü" for number in range(501)}


def test_a_clock_that_went_back_over_midnight_hides_nothing(repository: Repository, tls: Tls, tmp_path: Path) -> None:
    """The sender is through with yesterday's file; what is told when it is yesterday again goes out too."""
    files, now = AuditFiles(tmp_path), datetime.now(UTC)
    files.append([_line(0)], now - timedelta(days=1))
    files.append([_line(1)], now)
    sender = AuditForwarder(tmp_path, keep=KEEP, address=RepositoryAddress(host="127.0.0.1", port=repository.port), tls=tls)
    assert sender.turn() == 2
    files.append([_line(2)], now - timedelta(days=1))
    assert sender.turn() == 1
    files.append([_line(3)], now + timedelta(days=1))
    assert sender.turn() == 1
    assert len(files.days()) == 3
    wait_until(lambda: len(repository.bodies()) == 4, 30, "the repository has read them")


def test_a_stranger_gets_nothing(repository: Repository, tls: Tls, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A repository whose certificate nobody here trusts, and a node that the repository does not know: neither is told anything."""
    files = AuditFiles(tmp_path)
    files.append([_line(0)], datetime.now(UTC))
    others = Authority(tmp_path_factory.mktemp("others"), "Somebody else")
    address = RepositoryAddress(host="127.0.0.1", port=repository.port)
    with pytest.raises(RepositoryAway, match="not trusted"):
        AuditForwarder(tmp_path, keep=KEEP, address=address, tls=Tls(ca=others.certificate)).turn()
    assert repository.bodies() == []
    stranger = AuditForwarder(tmp_path / "second", keep=KEEP, address=address, tls=Tls(ca=tls.ca))
    (tmp_path / "second").mkdir()
    AuditFiles(tmp_path / "second").append([_line(0)], datetime.now(UTC))

    def refused() -> bool:
        try:
            stranger.turn()
        except RepositoryAway:
            return True
        (tmp_path / "second" / "sent.json").unlink()  # TLS 1.3 tells a client that it is refused only after it has sent something
        return False

    wait_until(refused, 60, "the repository refuses it")
    assert repository.bodies() == []


def test_datagrams(tmp_path: Path) -> None:
    """RFC 5426: one message a datagram, without a length."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(30)
        connection = Connection(RepositoryAddress(host="127.0.0.1", port=there.getsockname()[1], secure=False), Tls())
        line = _line(7)
        connection.send([line])
        got = there.recv(65_535)
        connection.close()
    assert got.startswith(b"<85>1 ")
    assert got.endswith(line)
