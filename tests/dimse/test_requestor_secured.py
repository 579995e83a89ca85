"""Sending with TLS and as a user, to pynetdicom and DCMTK: another implementation judges the handshake, the identity and the bytes."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from node.dimse.requestor.opening import Timeouts
from node.dimse.requestor.peer import PeerRequestor
from node.domain.errors import DeliveryError
from node.settings.peers import Peer
from node.settings.tls import PeerTls, User
from tests.dimse.conftest import data_set_of, instance
from tests.lab.certificates import Authority, Identity
from tests.lab.dcmtk import StoreScp
from tests.lab.loopback import loopback_only

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def _requestor(port: int, *, tls: PeerTls | None = None, login: User | None = None, called: str = "ARCHIVE") -> PeerRequestor:
    peer = Peer(name="archive", ae_title=called, host="127.0.0.1", port=port, tls=tls, login=login)
    return PeerRequestor(peer, calling_ae="HILUM", timeouts=Timeouts(connect_s=30, acse_s=30, dimse_s=30))


def _tls(authority: Authority, who: Identity | None) -> PeerTls:
    return PeerTls(
        authorities=authority.certificate,
        server_name="localhost",
        certificate=who.certificate if who else None,
        key=who.key if who else None,
    )


def _files(folder: Path) -> list[str]:
    paths = [folder / f"{number}.dcm" for number in range(3)]
    for path in paths:
        instance(pixels=bytes(range(256)) * 2000).save_as(path, enforce_file_format=True)
    return [str(path) for path in paths]


class _Archive:
    """A stock pynetdicom SCP, with TLS where there is a context; who it was asked by, and what it got."""

    def __init__(self, context: ssl.SSLContext | None = None, *, passcode: bytes = b"") -> None:
        self.users: list[tuple[int, bytes, bytes]] = []
        self.received: list[bytes] = []
        self._passcode = passcode
        entity = AE(ae_title="ARCHIVE")
        entity.add_supported_context(MRImageStorage, ExplicitVRLittleEndian)
        entity.add_supported_context(Verification)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._keep), (evt.EVT_USER_ID, self._known)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
        self.port = int(self.server.server_address[1])

    def _keep(self, asked: evt.Event) -> int:
        self.received.append(asked.request.DataSet.getvalue())
        return 0x0000

    def _known(self, asked: evt.Event) -> tuple[bool, None]:
        self.users.append((asked.user_id_type, asked.primary_field, asked.secondary_field))
        return asked.secondary_field == self._passcode, None


def _demanding(authority: Authority, own: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_sent_with_tls_byte_for_byte(authority: Authority, tmp_path: Path) -> None:
    """A peer that demands a certificate is shown one; several records make a PDU, and all bytes arrive."""
    archive = _Archive(_demanding(authority, authority.signs("archive")))
    files = _files(tmp_path)
    try:
        requestor = _requestor(archive.port, tls=_tls(authority, authority.signs("hilum")))
        assert requestor.echo() > 0
        assert [one.status for one in requestor.store(files)] == [0x0000] * 3
    finally:
        archive.server.shutdown()
    assert archive.received == [data_set_of(Path(file).read_bytes()) for file in files]


def test_a_peer_with_another_name_gets_nothing(authority: Authority, tmp_path: Path) -> None:
    """Its certificate is good, and somebody else's: no data set goes there."""
    archive = _Archive(_demanding(authority, authority.signs("other", alternative="DNS:other.hospital")))
    try:
        with pytest.raises(DeliveryError) as untrusted:
            _requestor(archive.port, tls=_tls(authority, authority.signs("hilum"))).store(_files(tmp_path))
    finally:
        archive.server.shutdown()
    assert (untrusted.value.code, untrusted.value.retry) == ("HLM-6005", True)
    assert archive.received == []


def test_a_key_that_is_gone_is_a_delivery_that_waits(authority: Authority, tmp_path: Path) -> None:
    """Files are looked at when a peer is called: results wait, the process goes on, and the message names the file."""
    who = authority.signs("hilum")
    who.key.chmod(0o644)
    archive = _Archive(_demanding(authority, authority.signs("archive")))
    try:
        with pytest.raises(DeliveryError, match=str(who.key)) as unusable:
            _requestor(archive.port, tls=_tls(authority, who)).store(_files(tmp_path))
    finally:
        archive.server.shutdown()
    assert unusable.value.retry


def test_storescp_takes_it_with_tls(authority: Authority, tmp_path: Path) -> None:
    """DCMTK's receiver with client certificates demanded (`+tls`, and its default, to require one)."""
    own = authority.signs("archive")
    options = ("+tls", str(own.key), str(own.certificate), "+cf", str(authority.certificate), "+B")
    files = _files(tmp_path)
    tls = _tls(authority, authority.signs("hilum"))

    def answers(port: int) -> bool:
        try:
            return _requestor(port, tls=tls).echo() > 0
        except DeliveryError:
            return False

    with loopback_only(), StoreScp(tmp_path / "received", options=options, answers=answers) as scp:
        assert all(one.accepted for one in _requestor(scp.port, tls=tls).store(files))
        received = {data_set_of(path.read_bytes()) for path in scp.received()}
    assert received == {data_set_of(Path(file).read_bytes()) for file in files}


@pytest.mark.parametrize(("passcode", "good"), [(b"sesame", True), (b"wrong", False)])
def test_a_user_and_passcode_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passcode: bytes, good: bool) -> None:
    """User identity negotiation, PS3.7 D.3.3.7, type 2; a peer that does not know the user rejects, and is asked again later."""
    monkeypatch.setenv("ARCHIVE_PASSCODE", "sesame")
    archive = _Archive(passcode=passcode)
    requestor = _requestor(archive.port, login=User(name="hilum", passcode_variable="ARCHIVE_PASSCODE"))
    try:
        if good:
            assert [one.status for one in requestor.store(_files(tmp_path))] == [0x0000] * 3
        else:
            with pytest.raises(DeliveryError) as rejected:
                requestor.store(_files(tmp_path))
            assert "sesame" not in str(rejected.value)
    finally:
        archive.server.shutdown()
    assert archive.users == [(2, b"hilum", b"sesame")]
