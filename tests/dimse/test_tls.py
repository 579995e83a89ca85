"""TLS by the profiles of PS3.15 B.12 and B.13, with openssl's own client and chains that openssl made."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from queue import Queue
from typing import TypeAlias

import pytest
from structlog.testing import capture_logs

from node.dimse import tls
from node.dimse.requestor_identity import Certificate
from node.dimse.tls import PeerUntrusted, TlsUnusable
from node.observe.security import Refusals
from node.settings.secrets import NotPrivate
from node.settings.tls import ClientCertificate, PeerTls, TlsListener, TlsProfile
from tests.lab.certificates import Authority, Identity, openssl
from tests.lab.needs import program

pytestmark = pytest.mark.peers

RSA_1024 = ("-newkey", "rsa:1024")
RSA_2048 = ("-newkey", "rsa:2048")
_WAIT_S = 60.0


class Acceptor:
    """Accepts with TLS and says who came: a certificate, or None where there was no TLS with them."""

    def __init__(self, settings: TlsListener, *, timeout_s: float = _WAIT_S) -> None:
        self._settings = settings
        self.timeout_s = timeout_s
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.came: Queue[tuple[bool, Certificate | None]] = Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        secured = tls.accept(connection, self._settings, timeout_s=self.timeout_s, address="127.0.0.1", refusals=Refusals())
        self.came.put((secured is not None, tls.certificate_of(secured)))
        if secured is not None:
            with contextlib.suppress(OSError):
                secured.sendall(b"hello")
                secured.unwrap()
            secured.close()

    def admitted(self) -> bool:
        """Whether there was TLS with the next that came."""
        return self.came.get(timeout=_WAIT_S)[0]

    def close(self) -> None:
        self._socket.close()


Accept: TypeAlias = Callable[..., Acceptor]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A hospital's authority: a root, and one below it that signs."""
    root = Authority(tmp_path_factory.mktemp("root"))
    return Authority(tmp_path_factory.mktemp("signing"), "Hospital Devices CA", below=root)


@pytest.fixture(scope="module")
def trusted(authority: Authority) -> Path:
    """The root alone: what signs devices comes with their certificates."""
    above = authority.above
    assert above is not None
    return above.certificate


@pytest.fixture(scope="module")
def own(authority: Authority) -> Identity:
    return authority.signs("hilum")


@pytest.fixture(scope="module")
def scanner(authority: Authority) -> Identity:
    return authority.signs("ct1", alternative="DNS:CT1.hospital.example,IP:10.0.0.21,URI:urn:ct1,email:ct1@hospital.example")


@pytest.fixture
def settings(own: Identity, trusted: Path) -> TlsListener:
    return TlsListener(host="127.0.0.1", port=0, certificate=own.certificate, key=own.key, authorities=trusted)


@pytest.fixture
def accept() -> Iterator[Accept]:
    """Start an acceptor."""
    with contextlib.ExitStack() as stack:

        def start(settings: TlsListener, **more: float) -> Acceptor:
            made = Acceptor(settings, **more)
            stack.callback(made.close)
            return made

        yield start


def _s_client(port: int, trusted: Path, who: Identity | None, *options: str) -> str:
    """What `openssl s_client` says of a connection, errors included."""
    shown = ["-cert", str(who.certificate), "-cert_chain", str(who.certificate), "-key", str(who.key)] if who else []
    command = [str(program("openssl", "openssl")), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(trusted), *shown, *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_WAIT_S, check=False)
    return done.stdout.decode("utf-8", "replace")


def _reasons(events: list[dict[str, object]]) -> list[object]:
    return [one["reason"] for one in events if one["event"] == "association.tls_refused"]


def test_a_certificate_is_told_as_openssl_tells_it(
    accept: Accept, settings: TlsListener, scanner: Identity, trusted: Path, authority: Authority
) -> None:
    """Subject and issuer by RFC 4514, the SHA-256 fingerprint, and alternative names with their kind."""
    running = accept(settings)
    _s_client(running.port, trusted, scanner)
    _, shown = running.came.get(timeout=_WAIT_S)
    assert shown is not None
    assert shown.subject == scanner.subject() == "CN=ct1,O=Hospital"
    assert shown.issuer == "CN=Hospital Devices CA,O=Hospital"
    assert shown.fingerprint == scanner.fingerprint().replace(":", "").lower()
    assert set(shown.alternative_names) == {"DNS:ct1.hospital.example", "IP:10.0.0.21", "URI:urn:ct1", "EMAIL:ct1@hospital.example"}


@pytest.mark.parametrize("profile", list(TlsProfile))
@pytest.mark.parametrize(("option", "spoken"), [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(
    accept: Accept, settings: TlsListener, scanner: Identity, trusted: Path, profile: TlsProfile, option: str, spoken: bool
) -> None:
    """RFC 8996 (PS3.15 B.12, B.13): TLS 1.0 and 1.1 must not be negotiated, whatever the client would take."""
    running = accept(replace(settings, profile=profile))
    with capture_logs() as events:
        _s_client(running.port, trusted, scanner, option, "-cipher", "ALL:@SECLEVEL=0")
        assert running.admitted() is spoken
    assert _reasons(list(map(dict, events))) == ([] if spoken else ["TLS 1.2 or 1.3 is needed"])


def test_tls_1_3_is_preferred_where_both_have_it(accept: Accept, settings: TlsListener, scanner: Identity, trusted: Path) -> None:
    """PS3.15 B.12: servers prefer TLS 1.3."""
    running = accept(settings)
    assert "New, TLSv1.3" in _s_client(running.port, trusted, scanner)
    assert running.admitted()


def _suites() -> list[str]:
    listed = openssl("ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0").strip().split(":")
    return [suite for suite in listed if not suite.startswith("TLS_")]


# RFC 9325 4.2, and what PS3.15 B.13 names beside them, as far as OpenSSL has them (it has no Camellia in GCM)
_RECOMMENDED = {f"ECDHE-{kind}-AES{size}" for kind in ("RSA", "ECDSA") for size in ("128-GCM-SHA256", "256-GCM-SHA384")}
_MODIFIED = (
    _RECOMMENDED
    | {f"ECDHE-{kind}-CHACHA20-POLY1305" for kind in ("RSA", "ECDSA")}
    | {f"ECDHE-ECDSA-AES{size}-CCM{tag}" for size in (128, 256) for tag in ("", "8")}
)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "permitted"), [(TlsProfile.BCP195, _RECOMMENDED), (TlsProfile.MODIFIED, _MODIFIED)])
def test_each_suite_of_tls_1_2_is_taken_or_refused_as_its_profile_says(
    accept: Accept, settings: TlsListener, authority: Authority, trusted: Path, profile: TlsProfile, permitted: set[str]
) -> None:
    """Every suite that openssl can offer, one by one, to a node with an RSA and to one with an elliptic-curve certificate."""
    suites = _suites()
    assert len(suites) > 50, "openssl offers old suites to try"
    taken: set[str] = set()
    for key in (RSA_2048, ()):
        node = authority.signs("hilum", key=key) if key else authority.signs("hilum")
        optional = ClientCertificate.OPTIONAL
        running = accept(replace(settings, profile=profile, certificate=node.certificate, key=node.key, client_certificate=optional))
        with capture_logs():
            for suite in suites:
                said = _s_client(running.port, trusted, None, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
                if running.admitted():
                    assert f"Cipher is {suite}" in said
                    taken.add(suite)
    assert taken == permitted


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("nobody", "no certificate was shown"),
        ("another authority's", "the certificate that was shown is not trusted: unable to get local issuer certificate"),
        ("expired", "the certificate that was shown is not trusted: certificate has expired"),
        ("of tomorrow", "the certificate that was shown is not trusted: certificate is not yet valid"),
        ("weak key", "the certificate that was shown is not trusted: EE certificate key too weak"),
        ("weak digest", "the certificate that was shown is not trusted: CA signature digest algorithm too weak"),
    ],
)
def test_who_is_not_trusted_is_not_spoken_to_and_the_operator_is_told_why(
    accept: Accept, settings: TlsListener, authority: Authority, trusted: Path, tmp_path: Path, who: str, reason: str
) -> None:
    """Chain, validity, and the strength that RFC 9325 4.5 asks for: RSA of 2048 bits, SHA-256."""
    identities: dict[str, Callable[[], Identity | None]] = {
        "nobody": lambda: None,
        "another authority's": lambda: Authority(tmp_path, "Somebody's CA").signs("ct1"),
        "expired": lambda: authority.signs("ct1", days=(-10, -1)),
        "of tomorrow": lambda: authority.signs("ct1", days=(1, 10)),
        "weak key": lambda: authority.signs("ct1", key=RSA_1024),
        "weak digest": lambda: authority.signs("ct1", digest="sha1"),
    }
    shown = identities[who]()
    running = accept(settings)
    with capture_logs() as events:
        _s_client(running.port, trusted, shown, "-cipher", "ALL:@SECLEVEL=0")
        assert not running.admitted()
    assert _reasons(list(map(dict, events))) == [reason]


def test_a_certificate_may_be_left_out_where_the_listener_says_so_but_not_be_a_wrong_one(
    accept: Accept, settings: TlsListener, scanner: Identity, trusted: Path, tmp_path: Path
) -> None:
    """`client_certificate: optional`: none is fine, one that is shown is verified."""
    running = accept(replace(settings, client_certificate=ClientCertificate.OPTIONAL))
    _s_client(running.port, trusted, None)
    assert running.came.get(timeout=_WAIT_S) == (True, None)
    _s_client(running.port, trusted, Authority(tmp_path, "Somebody's CA").signs("ct1"))
    assert not running.admitted()
    _s_client(running.port, trusted, scanner)
    assert running.admitted()


def test_a_revoked_certificate_is_refused(accept: Accept, settings: TlsListener, tmp_path: Path) -> None:
    """The authority's list says which of its certificates are void."""
    authority = Authority(tmp_path)
    good, stolen, own = authority.signs("ct1"), authority.signs("ct1"), authority.signs("hilum")
    listed = authority.revokes(stolen)
    running = accept(
        replace(settings, certificate=own.certificate, key=own.key, authorities=authority.certificate, revocations=listed),
    )
    _s_client(running.port, authority.certificate, good)
    assert running.admitted()
    with capture_logs() as events:
        _s_client(running.port, authority.certificate, stolen)
        assert not running.admitted()
    assert _reasons(list(map(dict, events))) == ["the certificate that was shown is not trusted: certificate revoked"]


def test_a_session_is_resumed_for_a_minute_at_most(
    accept: Accept, settings: TlsListener, scanner: Identity, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection shows its certificate anew, but for TLS 1.2 within a minute: one that has expired meanwhile does not come back."""
    running = accept(settings)
    assert "Reused, " not in _s_client(running.port, trusted, scanner, "-tls1_3", "-reconnect")
    assert "Reused, " in _s_client(running.port, trusted, scanner, "-tls1_2", "-reconnect")
    monkeypatch.setattr(tls, "SESSION_GOOD_FOR_S", 0.0)
    assert "Reused, " not in _s_client(running.port, trusted, scanner, "-tls1_2", "-reconnect")


@pytest.mark.parametrize("sends", [b"", b"\x01\x00\x00\x00\x00\xcd\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_who_speaks_no_tls_is_let_go_in_time(accept: Accept, settings: TlsListener, scanner: Identity, trusted: Path, sends: bytes) -> None:
    """Silence, an association without TLS, HTTP, half a ClientHello: each ends by the time-out, and nobody else waits for it."""
    running = accept(settings, timeout_s=0.5)
    with capture_logs() as events, socket.create_connection(("127.0.0.1", running.port), timeout=_WAIT_S) as stalled:
        stalled.sendall(sends)
        assert not running.admitted()
    assert len(_reasons(list(map(dict, events)))) == 1
    running.timeout_s = _WAIT_S  # a busy machine takes its time for a whole handshake
    _s_client(running.port, trusted, scanner)
    assert running.admitted()


def test_a_handshake_byte_by_byte_ends_by_the_same_time_out(accept: Accept, settings: TlsListener) -> None:
    """The time-out is of the whole handshake: a byte now and then does not prolong it."""
    running = accept(settings, timeout_s=0.5)
    began = time.monotonic()
    with capture_logs() as events, socket.create_connection(("127.0.0.1", running.port), timeout=_WAIT_S) as dripping:
        dripping.sendall(b"\x16\x03\x01\x02\x00")
        with contextlib.suppress(OSError):
            while running.came.empty() and time.monotonic() - began < _WAIT_S:
                dripping.sendall(b"\x01")
                threading.Event().wait(0.05)
        assert not running.admitted()
    assert _reasons(list(map(dict, events))) == ["the handshake was not finished in time"]


def _put(identity: Identity, folder: Path) -> Identity:
    """Copies, as a renewal writes them over the old ones; the key only its owner's."""
    shutil.copyfile(identity.certificate, folder / "node.pem")
    shutil.copyfile(identity.key, folder / "node.key")
    (folder / "node.key").chmod(0o600)
    return Identity(certificate=folder / "node.pem", key=folder / "node.key")


def _served(port: int, trusted: Path, who: Identity) -> str:
    """The fingerprint of the certificate that the listener shows."""
    context = ssl.create_default_context(cafile=trusted)
    context.load_cert_chain(who.certificate, who.key)
    plain = socket.create_connection(("127.0.0.1", port), timeout=_WAIT_S)
    with context.wrap_socket(plain, server_hostname="localhost") as secured:
        der = secured.getpeercert(binary_form=True)
        assert der is not None
        return sha256(der).hexdigest()


def test_a_renewed_certificate_is_used_without_a_restart_and_half_a_renewal_is_not(
    accept: Accept, settings: TlsListener, authority: Authority, scanner: Identity, trusted: Path, tmp_path: Path
) -> None:
    """Between the writing of a new certificate and of its key the old pair stays in use; the operator is told."""
    old, new = authority.signs("hilum"), authority.signs("hilum")
    placed = _put(old, tmp_path)
    running = accept(replace(settings, certificate=placed.certificate, key=placed.key))
    seen = {name: one.fingerprint().replace(":", "").lower() for name, one in (("old", old), ("new", new))}
    assert _served(running.port, trusted, scanner) == seen["old"]
    with capture_logs() as events:
        shutil.copyfile(new.certificate, placed.certificate)
        assert _served(running.port, trusted, scanner) == seen["old"]
        assert _served(running.port, trusted, scanner) == seen["old"]
        shutil.copyfile(new.key, placed.key)
        assert _served(running.port, trusted, scanner) == seen["new"]
    assert [one["event"] for one in events] == ["tls.not_renewed", "tls.renewed"], "once each, not at every connection"
    assert "the key belongs to another certificate" in str(events[0]["reason"])


@pytest.mark.parametrize(("mode", "good"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o660, False), (0o666, False)])
def test_a_key_that_others_may_read_is_refused(own: Identity, settings: TlsListener, tmp_path: Path, mode: int, good: bool) -> None:
    """The remedy is in the message; a group may read it only where root owns the file."""
    placed = _put(own, tmp_path)
    placed.key.chmod(mode)
    asked = replace(settings, certificate=placed.certificate, key=placed.key)
    if good or (mode == 0o640 and placed.key.stat().st_uid == 0):
        assert tls.server_context(asked)
        return
    with pytest.raises(NotPrivate, match=f"node.key \\(mode {mode:04o}\\) may be read by others"):
        tls.server_context(asked)


def test_files_that_do_not_fit_are_refused_by_name(own: Identity, settings: TlsListener, authority: Authority, tmp_path: Path) -> None:
    """A key with a password (nobody is asked for it), another's key, a missing file, a file that is no PEM."""
    locked = tmp_path / "locked.key"
    openssl("ec", "-in", own.key, "-aes256", "-passout", "pass:tell-tale", "-out", locked)
    locked.chmod(0o600)
    wrong: list[tuple[dict[str, Path], str]] = [
        ({"key": locked}, "locked.key: the key has a password"),
        ({"key": authority.signs("other").key}, "the key belongs to another certificate"),
        ({"authorities": tmp_path / "nowhere.pem"}, "nowhere.pem is not there; write the certificates of the authorities"),
        ({"authorities": own.key}, "no usable PEM"),
        ({"certificate": tmp_path / "nowhere.pem"}, "nowhere.pem is not there; write this node's certificate"),
        ({"key": tmp_path / "nowhere.key"}, "nowhere.key is not there; write the private key"),
    ]
    for other, words in wrong:
        with pytest.raises(TlsUnusable, match=words) as refused:
            tls.server_context(replace(settings, **other))  # type: ignore[arg-type]
        assert "tell-tale" not in str(refused.value)


def test_a_flood_at_a_listener_without_usable_files_is_no_flood_of_lines(settings: TlsListener, tmp_path: Path) -> None:
    """Ten lines in a minute, and how many followed; each is turned away, and counted, all the same."""
    refusals = Refusals()
    with capture_logs() as events:
        for _ in range(25):
            here, there = socket.socketpair()
            with there:
                spoilt = replace(settings, key=tmp_path / "nowhere.key")
                assert tls.accept(here, spoilt, timeout_s=_WAIT_S, address="10.0.0.9", refusals=refusals) is None
                assert there.recv(1) == b""
        refusals.close()
    assert [one["event"] for one in events] == ["tls.unusable"] * 10 + ["association.refusals_left_out"]
    assert (events[-1]["of"], events[-1]["address"], events[-1]["left_out"]) == ("tls.unusable", "10.0.0.9", 15)


def _call(port: int, settings: PeerTls) -> bytes:
    plain = socket.create_connection(("127.0.0.1", port), timeout=_WAIT_S)
    with tls.connect(plain, settings, timeout_s=_WAIT_S, who='peer "pacs"') as secured:
        return secured.recv(5)


def test_a_peer_is_called_with_the_nodes_certificate(
    accept: Accept, settings: TlsListener, own: Identity, scanner: Identity, trusted: Path
) -> None:
    """Both sides prove who they are; the peer's certificate bears the name that it is called by, or its address."""
    running = accept(settings)
    for name in ("localhost", "127.0.0.1"):
        outgoing = PeerTls(authorities=trusted, server_name=name, certificate=scanner.certificate, key=scanner.key)
        assert _call(running.port, outgoing) == b"hello"
        admitted, shown = running.came.get(timeout=_WAIT_S)
        assert admitted
        assert shown is not None
        assert shown.subject == "CN=ct1,O=Hospital"


@pytest.mark.parametrize("peer", ["another authority's", "of another name", "expired", "without TLS"])
def test_a_peer_that_is_not_who_it_should_be_gets_nothing(
    accept: Accept, settings: TlsListener, authority: Authority, trusted: Path, tmp_path: Path, peer: str
) -> None:
    """PeerUntrusted, which is tried again: a renewal mends it. No byte of an association has left."""
    words = {
        "another authority's": "self-signed certificate in certificate chain|unable to get local issuer certificate",
        "of another name": "IP address mismatch|not match",
        "expired": "certificate has expired",
        "without TLS": "what came is no TLS",
    }[peer]
    outgoing = PeerTls(authorities=trusted, server_name="127.0.0.1")
    if peer == "without TLS":
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def answer() -> None:
                connection, _ = listening.accept()
                connection.recv(1)
                connection.sendall(b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01")
                connection.close()

            threading.Thread(target=answer, daemon=True).start()
            with pytest.raises(PeerUntrusted, match=words):
                _call(listening.getsockname()[1], outgoing)
        return
    shown = {
        "another authority's": lambda: Authority(tmp_path, "Somebody's CA").signs("hilum"),
        "of another name": lambda: authority.signs("hilum", alternative="DNS:elsewhere.example,IP:192.0.2.1"),
        "expired": lambda: authority.signs("hilum", days=(-10, -1)),
    }[peer]()
    running = accept(replace(settings, certificate=shown.certificate, key=shown.key, client_certificate=ClientCertificate.OPTIONAL))
    with pytest.raises(PeerUntrusted, match=words) as refused:
        _call(running.port, outgoing)
    assert refused.value.retry
    assert not running.admitted()
