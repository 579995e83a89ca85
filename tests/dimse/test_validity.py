"""Until when certificates are good, told ahead: by `hilum doctor`, by an alarm a day, and as a metric."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.assembly.doctor.peers import look_at_certificates
from node.dimse.validity import Certificates, Use, Validity, validities
from node.settings.config import Config
from node.settings.console import Console
from node.settings.node import Node
from node.settings.peers import Peer
from node.settings.store import Store
from node.settings.tls import PeerTls, TlsListener
from tests.lab.certificates import Authority, Identity, openssl

pytestmark = pytest.mark.peers


def _config(listener: TlsListener | None, *peers: Peer) -> Config:
    folder = Path()
    named = {peer.name: peer for peer in peers}
    return Config(path=folder, digest="", node=Node(tls=listener), store=Store(journal="", blobs=folder), models=folder, peers=named)


def _listener(own: Identity, authorities: Path, revocations: Path | None = None) -> TlsListener:
    return TlsListener(
        host="127.0.0.1", port=2762, certificate=own.certificate, key=own.key, authorities=authorities, revocations=revocations
    )


def _until(path: Path) -> datetime:
    """The end of validity as openssl prints it: `notAfter=Dec  1 20:12:00 2026 GMT`."""
    said = openssl("x509", "-in", path, "-noout", "-enddate").partition("=")[2].strip()
    return datetime.strptime(said, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)


def test_the_end_of_validity_is_what_openssl_says(tmp_path: Path) -> None:
    """Of certificates and authorities, in this century's short form and in the long one from 2050 on (RFC 5280 4.1.2.5)."""
    authority = Authority(tmp_path)
    for days in (2.0, 365.0, 30 * 365.0):
        own = authority.signs("hilum", days=(-1, days))
        found = {one.use: one for one in validities(_config(_listener(own, authority.certificate)))}
        assert found[Use.CERTIFICATE].until == _until(own.certificate)
        assert found[Use.AUTHORITIES].until == _until(authority.certificate)


def test_a_chain_is_as_good_as_its_weakest_part_and_authorities_as_their_best(tmp_path: Path) -> None:
    """An intermediate certificate that expires ends the chain; an old authority beside its successor ends nothing."""
    root = Authority(tmp_path / "root")
    signing = Authority(tmp_path / "signing", "Devices", below=root)
    own = signing.signs("hilum", days=(-1, 400))
    old, new = root.signs("old", days=(-10, -1)), root.signs("new", days=(-1, 300))
    both = tmp_path / "both.pem"
    both.write_bytes(old.certificate.read_bytes() + new.certificate.read_bytes())
    found = {one.use: one for one in validities(_config(_listener(own, both)))}
    assert found[Use.CERTIFICATE].until == _until(signing.certificate), "it lives 30 days, its own certificate 400"
    assert found[Use.AUTHORITIES].until == _until(new.certificate)


def test_a_revocation_list_has_a_next_update(tmp_path: Path) -> None:
    """When it is due, every certificate of its authority is refused: it is told ahead like any expiry."""
    authority = Authority(tmp_path)
    own = authority.signs("hilum")
    listed = authority.revokes(authority.signs("stolen"))
    (found,) = [one for one in validities(_config(_listener(own, authority.certificate, listed))) if one.use is Use.REVOCATIONS]
    said = openssl("crl", "-in", listed, "-noout", "-nextupdate").partition("=")[2].strip()
    assert found.until == datetime.strptime(said, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIICMIIC/////w==\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_file_that_is_no_certificate_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    """Never an exception in the supervisor's loop, whatever somebody put there."""
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    peer = Peer(name="pacs", ae_title="PACS", host="pacs", port=2762, tls=PeerTls(authorities=path, server_name="pacs"))
    (found,) = validities(_config(None, peer))
    assert found.until is None
    assert found.why.startswith(f"{path}: ")
    (told,) = look_at_certificates(_config(None, peer))
    assert told.level == "bad"


def test_doctor_says_how_long_each_is_good_and_what_to_do(tmp_path: Path) -> None:
    """Good, soon to expire, expired; a key that others may read is bad."""
    authority = Authority(tmp_path)
    levels = {}
    for name, days in (("good", (-1.0, 400.0)), ("soon", (-1.0, 20.0)), ("expired", (-10.0, -2.0))):
        own = authority.signs("hilum", days=days)
        told = {one.subject: one for one in look_at_certificates(_config(_listener(own, authority.certificate)))}
        levels[name] = told[f"certificate {own.certificate.name}"].level
    assert levels == {"good": "good", "soon": "warning", "expired": "bad"}
    own = authority.signs("hilum")
    own.key.chmod(0o644)
    bad = [one for one in look_at_certificates(_config(_listener(own, authority.certificate))) if one.level == "bad"]
    assert {one.subject for one in bad} == {"tls", f"certificate {own.key.name}"}
    assert all("may be read by others" in one.detail for one in bad)


def test_an_expiry_is_told_once_a_day_from_a_month_ahead(tmp_path: Path) -> None:
    """60 days by a fake clock that is looked at every ten minutes: silence for 30, then an alarm a day, also after the end."""
    authority = Authority(tmp_path)
    own = authority.signs("hilum", days=(-1, 60))
    clock = {"s": 5.0}
    began = datetime.now(UTC)
    certificates = Certificates(
        _config(_listener(own, own.certificate)), now=lambda: began + timedelta(seconds=clock["s"]), seconds=lambda: clock["s"]
    )
    told: list[float] = []
    while clock["s"] < 63 * 86400:
        with capture_logs() as events:
            certificates.turn()
        told += [clock["s"] / 86400 for one in events if one["event"] == "certificate.expires" and one["use"] == "certificate"]
        clock["s"] += 600
    assert 30 <= told[0] < 31.1
    assert len(told) in (32, 33)
    assert all(0.9 < later - earlier < 1.1 for earlier, later in itertools.pairwise(told))
    assert {sample.name for sample in certificates.samples()} == {"hilum_certificate_expires_seconds"}
    assert all(sample.values[0] < 0 for sample in certificates.samples())


def test_what_is_unusable_is_no_metric() -> None:
    """A file that is gone has no expiry; the alarm says so."""
    gone = Validity(path=Path("gone.pem"), use=Use.CERTIFICATE, until=None, why="gone.pem: No such file or directory")
    assert gone.left_s(datetime.now(UTC)) == 0


def test_doctor_looks_at_the_consoles_certificate_too(tmp_path: Path) -> None:
    """How long it is good, and a key that others may read, for which browsers would be turned away."""
    own = Authority(tmp_path).signs("localhost", days=(-1.0, 20.0))
    console = Console(host="127.0.0.1", port=8443, cert=own.certificate, key=own.key)
    config = replace(_config(None), console=console)
    assert [(one.subject, one.level) for one in look_at_certificates(config)] == [(f"certificate {own.certificate.name}", "warning")]
    own.key.chmod(0o444)
    (_, bad) = look_at_certificates(config)
    assert (bad.level, bad.detail) == ("bad", f"{own.key} (mode 0444) may be read by others")
