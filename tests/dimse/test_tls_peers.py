"""Associations over TLS, in and out, against DCMTK, Orthanc and pynetdicom."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from node.dicom.header import read_header
from node.dimse.port import PeerRejected
from node.dimse.requestor.peer import PeerRequestor
from node.dimse.tls import PeerUntrusted
from node.domain.errors import DeliveryError
from node.settings.node import Node
from node.settings.peers import Peer
from node.settings.tls import CertificateRule, ClientCertificate, PeerTls, TlsListener, User
from tests.dimse.conftest import PACS, Listen, Listening, data_set_of, instance
from tests.lab import dcmtk
from tests.lab.certificates import Authority, Identity
from tests.lab.loopback import free_port, loopback_only
from tests.lab.needs import program
from tests.lab.orthanc import Orthanc
from tests.lab.program import Program, wait_until
from tests.lab.rejection import associate, rejection

pytestmark = [pytest.mark.peers]

_PATIENCE_S = 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pacs(authority: Authority) -> Identity:
    """The archive's certificate."""
    return authority.signs("pacs", alternative="DNS:localhost,IP:127.0.0.1,DNS:pacs.hospital.example")


@pytest.fixture(scope="module")
def hilum(authority: Authority) -> Identity:
    """This node's."""
    return authority.signs("hilum")


@pytest.fixture
def node(authority: Authority, hilum: Identity) -> Node:
    """A node that listens with TLS and without."""
    listener = TlsListener(host="127.0.0.1", port=0, certificate=hilum.certificate, key=hilum.key, authorities=authority.certificate)
    return Node(port=0, tls=listener)


@pytest.fixture
def proved(pacs: Identity) -> Peer:
    """The peer PACS, which must show its own certificate."""
    return replace(PACS, certificate=CertificateRule(fingerprints=(pacs.fingerprint().replace(":", "").lower(),)))


def _series(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        instance(pixels=bytes([number]) * 200_000).save_as(path, enforce_file_format=True)
    return paths


def _options(authority: Authority, who: Identity) -> tuple[str, ...]:
    """DCMTK's options for TLS with a certificate of its own."""
    return ("+tls", str(who.key), str(who.certificate), "+cf", str(authority.certificate))


def _same(running: Listening, paths: list[Path]) -> bool:
    return {data_set_of(path.read_bytes()) for path in running.kept()} == {data_set_of(path.read_bytes()) for path in paths}


def test_dcmtk_sends_over_tls_byte_for_byte(
    listen: Listen, node: Node, proved: Peer, authority: Authority, pacs: Identity, tmp_path: Path
) -> None:
    """storescu with its certificate: what lies in the files lies in the inbox, also where nothing listens without TLS."""
    running = listen(node=replace(node, plain=False), peers=(proved,))
    paths = _series(tmp_path / "series", 5)
    said = dcmtk.storescu(running.listener.tls_port, *paths, options=_options(authority, pacs))
    assert said.code == 0, said.text
    assert _same(running, paths)
    assert "port" not in running.listener.ports


def test_the_certificate_of_another_peer_is_rejected_and_told(
    listen: Listen, node: Node, proved: Peer, authority: Authority, tmp_path: Path
) -> None:
    """The authority vouches for the scanner, but it is not the PACS that it says to be; nor is PACS itself without TLS."""
    scanner = authority.signs("ct1")
    ct1 = Peer(name="ct1", ae_title="CT1", host="127.0.0.1", port=0, certificate=CertificateRule(subjects=(scanner.subject(),)))
    running = listen(node=node, peers=(proved, ct1))
    paths = _series(tmp_path / "series", 1)
    said = dcmtk.storescu(running.listener.tls_port, *paths, options=_options(authority, scanner))
    assert said.code != 0
    assert "Calling AE Title Not Recognized" in said.text
    (told,) = running.said("association.rejected")
    assert 'which is peer "ct1"\'s' in str(told["reason"])
    assert "Calling AE Title Not Recognized" in dcmtk.storescu(running.port, *paths).text
    assert running.left() == []
    assert dcmtk.storescu(running.listener.tls_port, *paths, calling="CT1", options=_options(authority, scanner)).code == 0


def test_peers_of_one_title_and_address_are_told_apart_in_what_is_kept(
    listen: Listen, node: Node, proved: Peer, authority: Authority, pacs: Identity, tmp_path: Path
) -> None:
    """What the certificate decided at the door is in the file, for settling and routing to go by."""
    moved = authority.signs("pacs of the other site")
    other = replace(PACS, name="pacs-2", certificate=CertificateRule(subjects=(moved.subject(),)))
    running = listen(node=node, peers=(proved, other))
    paths = _series(tmp_path / "series", 2)
    for path, who in zip(paths, (moved, pacs), strict=True):
        assert dcmtk.storescu(running.listener.tls_port, path, options=_options(authority, who)).code == 0
    came = {data_set_of(path.read_bytes()): read_header(path)[0].peer for path in running.kept()}
    assert [came[data_set_of(path.read_bytes())] for path in paths] == ["pacs-2", "pacs"]


def test_who_shows_no_certificate_or_a_wrong_one_gets_no_association(
    listen: Listen, node: Node, proved: Peer, authority: Authority, pacs: Identity, tmp_path: Path
) -> None:
    """DCMTK anonymously, with another authority's certificate, and without TLS at the port for it: nothing is stored, each is told,
    and one who is known is served after each of them."""
    running = listen(node=node, peers=(proved,))
    port = running.listener.tls_port
    paths = _series(tmp_path / "series", 1)
    stranger = Authority(tmp_path / "other", "Somebody's CA").signs("pacs")
    for options in (
        ("+tla", "-ic"),
        ("+tls", str(stranger.key), str(stranger.certificate), "-ic"),
        (),
    ):
        assert dcmtk.storescu(port, *paths, options=options).code != 0
        assert running.left() == []
        assert dcmtk.echoscu(running.port, calling="WRONG").code != 0
    wait_until(lambda: len(running.said("association.tls_refused")) == 3, _PATIENCE_S, "three are told")
    assert dcmtk.storescu(port, *paths, options=_options(authority, pacs)).code == 0


def test_tls_within_tls_is_told_as_what_it_is(listen: Listen, node: Node, authority: Authority, pacs: Identity) -> None:
    """A proxy that adds TLS to a sender's own: the port has TLS, and nobody is told that it has none."""
    running = listen(node=node)
    with (
        socket.create_connection(("127.0.0.1", running.listener.tls_port), timeout=_PATIENCE_S) as plain,
        _context(authority, pacs).wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as secured,
    ):
        secured.do_handshake()
        secured.sendall(bytes.fromhex("16 03 01 02 00 01 00 01 fc 03 03"))
        assert secured.recv(1) == b"\x07"
    (told,) = running.said("association.not_requested")
    assert str(told["reason"]).startswith("TLS was begun within TLS")


@pytest.mark.parametrize("begins", [b"", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["silent", "half a ClientHello"])
def test_one_silent_tls_client_holds_up_neither_port(
    listen: Listen, node: Node, authority: Authority, pacs: Identity, tmp_path: Path, begins: bytes
) -> None:
    """Whoever connects for TLS and goes no further may stand for five minutes: an honest peer is served meanwhile, with TLS and without,
    again and again, and the silent one stands still at the end."""
    running = listen(node=replace(node, acse_timeout=timedelta(minutes=5)))
    paths = _series(tmp_path / "series", 2)
    with socket.create_connection(("127.0.0.1", running.listener.tls_port), timeout=_PATIENCE_S) as silent:
        silent.sendall(begins)
        for path in paths:
            for port, options in ((running.listener.tls_port, _options(authority, pacs)), (running.port, ())):
                said = dcmtk.storescu(port, path, options=options)
                assert said.code == 0, said.text
                assert dcmtk.echoscu(port, options=options).code == 0
        assert running.said("association.tls_refused") == []
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.recv(1)
    assert len(running.kept()) == 4
    assert _same(running, paths)


@pytest.mark.slow
def test_silence_at_the_port_for_tls_holds_nobody_up(
    listen: Listen, node: Node, proved: Peer, authority: Authority, pacs: Identity, tmp_path: Path
) -> None:
    """Twenty silent connections and twenty that speak without TLS stand while a peer is served; none of them outlives its time-out."""
    running = listen(node=replace(node, acse_timeout=timedelta(seconds=5)), peers=(proved,))
    port = running.listener.tls_port
    paths = _series(tmp_path / "series", 2)
    standing = [socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) for _ in range(40)]
    for one in standing[20:]:
        one.sendall(b"\x01\x00\x00\x00")
    said = dcmtk.storescu(port, *paths, options=_options(authority, pacs))
    assert said.code == 0, said.text
    assert _same(running, paths)
    for one in standing:
        with one, contextlib.suppress(ConnectionResetError):
            while one.recv(4096):  # an alert, mostly, before the end
                pass
    assert len(running.said("association.tls_refused")) == 10, "the first of one address are written, the others counted"


@pytest.fixture
def archive(authority: Authority, pacs: Identity, tmp_path: Path) -> Iterator[dcmtk.StoreScp]:
    """storescp over TLS, which asks for a certificate that the authority signed."""
    with loopback_only():
        receiver = dcmtk.StoreScp(tmp_path / "archive", options=_options(authority, pacs))
        command = [
            program("storescp", "dcmtk"),
            "-v",
            "-aet",
            "ARCHIVE",
            "-od",
            receiver.folder,
            "+xa",
            *receiver._options,
            str(receiver.port),
        ]
        running = Program(command, tmp_path / "storescp.log", environment={"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"})
        try:
            echo = (*_options(authority, pacs),)
            wait_until(lambda: dcmtk.run("echoscu", *echo, "-aec", "ARCHIVE", "127.0.0.1", str(receiver.port)).code == 0, 30, "it answers")
            yield receiver
        finally:
            running.kill()


def _called(receiver: dcmtk.StoreScp, authority: Authority, who: Identity | None, **more: object) -> Peer:
    outgoing = PeerTls(
        authorities=authority.certificate,
        server_name="localhost",
        certificate=who.certificate if who else None,
        key=who.key if who else None,
    )
    return Peer(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=receiver.port, tls=replace(outgoing, **more))  # type: ignore[arg-type]


def test_the_node_sends_to_dcmtk_over_tls(archive: dcmtk.StoreScp, authority: Authority, hilum: Identity, tmp_path: Path) -> None:
    """C-ECHO and C-STORE to storescp, both sides with certificates."""
    paths = _series(tmp_path / "series", 5)
    requestor = PeerRequestor(_called(archive, authority, hilum), calling_ae="HILUM")
    assert requestor.echo() > 0
    assert [one.status for one in requestor.store([str(path) for path in paths])] == [0x0000] * 5
    assert {data_set_of(path.read_bytes()) for path in archive.received()} == {data_set_of(path.read_bytes()) for path in paths}


@pytest.mark.parametrize("fault", ["no certificate", "another authority's certificate", "another name", "authorities that do not know it"])
def test_an_archive_and_a_node_that_do_not_trust_each_other_exchange_nothing(
    archive: dcmtk.StoreScp, authority: Authority, hilum: Identity, tmp_path: Path, fault: str
) -> None:
    """Whichever side refuses, the delivery is tried again (a renewal mends it), and no object has left."""
    stranger = Authority(tmp_path / "other", "Somebody's CA")
    peer = {
        "no certificate": lambda: _called(archive, authority, None),
        "another authority's certificate": lambda: _called(archive, authority, stranger.signs("hilum")),
        "another name": lambda: _called(archive, authority, hilum, server_name="elsewhere.hospital.example"),
        "authorities that do not know it": lambda: _called(archive, authority, hilum, authorities=stranger.certificate),
    }[fault]()
    (path,) = _series(tmp_path / "series", 1)
    with pytest.raises(DeliveryError) as refused:
        PeerRequestor(peer, calling_ae="HILUM").store([str(path)])
    assert refused.value.retry
    if fault in ("another name", "authorities that do not know it"):
        assert isinstance(refused.value, PeerUntrusted)
    assert archive.received() == []


def test_orthanc_over_tls_both_ways(
    listen: Listen, node: Node, authority: Authority, pacs: Identity, hilum: Identity, tmp_path: Path
) -> None:
    """A PACS sends to the node over TLS with its certificate, and takes what the node sends over TLS."""
    sent, back = _series(tmp_path / "series", 3), _series(tmp_path / "back", 2)
    with loopback_only():
        running = listen(node=node, peers=(replace(PACS, certificate=CertificateRule(names=("DNS:pacs.hospital.example",))),))
        port = running.listener.tls_port
        options: dict[str, object] = {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(pacs.certificate),
            "DicomTlsPrivateKey": str(pacs.key),
            "DicomTlsTrustedCertificates": str(authority.certificate),
            "DicomAlwaysAllowStore": True,
            "DicomModalities": {"NODE": {"AET": "HILUM", "Host": "127.0.0.1", "Port": port, "UseDicomTls": True, "Timeout": 60}},
        }
        with Orthanc(tmp_path / "orthanc", node_port=port, options=options) as archive:
            archive.echo()
            archive.send(*[archive.post_instance(path.read_bytes()) for path in sent])
            assert _same(running, sent)
            outgoing = PeerTls(authorities=authority.certificate, server_name="127.0.0.1", certificate=hilum.certificate, key=hilum.key)
            peer = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=archive.dicom_port, tls=outgoing)
            statuses = PeerRequestor(peer, calling_ae="HILUM").store([str(path) for path in back])
            assert [one.status for one in statuses] == [0x0000] * 2
            assert len(archive.get("/instances")) == 5
        running.listener.stop(5)


def _context(authority: Authority, who: Identity) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    context.load_cert_chain(who.certificate, who.key)
    return context


def _associate(running: Listening, context: ssl.SSLContext | None, item: UserIdentityNegotiation | None = None) -> Association:
    entity = AE(ae_title="PACS")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _PATIENCE_S
    contexts = [build_context(Verification), build_context(MRImageStorage)]
    tls = None if context is None else (context, "localhost")
    port = running.port if context is None else running.listener.tls_port
    return associate(entity, port, contexts=contexts, tls_args=tls, ext_neg=[item] if item else [])


def test_pynetdicom_stores_over_tls_large_and_small(listen: Listen, node: Node, proved: Peer, authority: Authority, pacs: Identity) -> None:
    """Objects of one byte of pixels and of 20 MB over one association: what TLS holds back in its own buffer is read too."""
    running = listen(node=node, peers=(proved,))
    association = _associate(running, _context(authority, pacs))
    assert association.is_established
    for size in (16, 20_000_000, 32, 1_000_000):
        large = instance()
        large.PixelData = bytes(size)
        assert association.send_c_store(large).Status == 0x0000
    assert association.send_c_echo().Status == 0x0000
    association.release()
    assert len(running.kept()) == 4


def _user(name: bytes, passcode: bytes) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.positive_response_requested = 2, True
    item.primary_field, item.secondary_field = name, passcode
    return item


def test_a_user_is_checked_on_the_wire_and_confirmed(
    listen: Listen, node: Node, authority: Authority, pacs: Identity, tmp_path: Path
) -> None:
    """PS3.7 D.3.3.7: the right passcode is admitted, and confirmed with an empty response; a wrong one and none are rejected,
    permanently, by the service provider (ACSE)."""
    passcode = tmp_path / "passcode"
    passcode.write_text("geheim")
    passcode.chmod(0o600)
    running = listen(node=node, peers=(replace(PACS, user=User(name="pacs", passcode_file=passcode)),))
    for context in (None, _context(authority, pacs)):
        association = _associate(running, context, _user(b"pacs", b"geheim"))
        assert association.is_established
        response = association.acceptor.user_identity
        assert response is not None
        assert response.server_response == b""
        association.release()
        for item in (_user(b"pacs", b"falsch"), None):
            assert rejection(_associate(running, context, item)) == (1, 2, 1)
    assert "geheim" not in repr(running.events)
    assert "falsch" not in repr(running.events)


def test_the_node_names_its_user_to_a_peer_that_asks_for_one(authority: Authority, pacs: Identity, hilum: Identity, tmp_path: Path) -> None:
    """pynetdicom as the peer, over TLS: it reads the node's certificate, username and passcode; with a wrong one it rejects, which is
    tried again."""
    heard: list[tuple[int, bytes, bytes]] = []

    def check(asked: evt.Event) -> tuple[bool, bytes | None]:
        heard.append((asked.user_id_type, asked.primary_field, asked.secondary_field))
        return asked.secondary_field == b"geheim", None

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pacs.certificate, pacs.key)
    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(Verification)
    port = free_port()
    server = entity.start_server(("127.0.0.1", port), block=False, ssl_context=context, evt_handlers=[(evt.EVT_USER_ID, check)])
    passcode = tmp_path / "passcode"
    outgoing = PeerTls(authorities=authority.certificate, server_name="localhost", certificate=hilum.certificate, key=hilum.key)
    peer = Peer(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port, tls=outgoing, login=User(name="hilum", passcode_file=passcode)
    )
    try:
        for text in ("geheim", "falsch"):
            passcode.write_text(text)
            passcode.chmod(0o600)
            requestor = PeerRequestor(peer, calling_ae="HILUM")
            if text == "geheim":
                assert requestor.echo() > 0
            else:
                with pytest.raises(PeerRejected) as refused:
                    requestor.echo()
                assert refused.value.retry
                assert "falsch" not in str(refused.value)
        assert heard == [(2, b"hilum", b"geheim"), (2, b"hilum", b"falsch")]
    finally:
        server.shutdown()


def test_a_certificate_is_not_asked_for_where_it_is_optional_unless_the_peer_has_one(
    listen: Listen, node: Node, proved: Peer, authority: Authority, pacs: Identity
) -> None:
    """`client_certificate: optional`: encryption for a modality without a certificate, proof for those that have one."""
    assert node.tls is not None
    optional = replace(node, tls=replace(node.tls, client_certificate=ClientCertificate.OPTIONAL))
    anonymous = ssl.create_default_context(cafile=authority.certificate)
    running = listen(node=optional, peers=(PACS, replace(proved, name="mr", ae_title="MR")))
    association = _associate(running, anonymous)
    assert association.is_established
    association.release()
    entity = AE(ae_title="MR")
    entity.add_requested_context(Verification)
    port = running.listener.tls_port
    assert rejection(associate(entity, port, tls_args=(anonymous, "localhost"))) == (1, 1, 3)
    association = associate(entity, port, tls_args=(_context(authority, pacs), "localhost"))
    assert association.is_established
    association.release()
