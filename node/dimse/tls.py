"""TLS for associations, in and out, and for browsers: contexts by the profiles of PS3.15 B.12 and B.13, handshakes, and who the other side
proved to be.

Files are read again when they change: a renewed certificate needs no restart, and one that was renewed by halves is not used. Nor is a
context kept for longer than a minute, and with it the sessions that a client might resume without showing its certificate again.
"""

import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from socket import socket
from typing import Any

from node.dimse.requestor_identity import Certificate
from node.domain.errors import ConfigError, DeliveryError
from node.observe.security import HandshakeFailed, Refusals, TlsNotOffered, TlsNotRenewed, TlsRenewed, tell
from node.settings.secrets import NotPrivate, demand_private
from node.settings.tls import ClientCertificate, PeerTls, TlsListener, TlsProfile

_RFC_9325 = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256")
_SUITES = {
    # RFC 9325 4.2: the recommended suites of TLS 1.2
    TlsProfile.BCP195: _RFC_9325,
    # PS3.15 B.13 names these beside them, and suites with Camellia in GCM that OpenSSL does not have
    TlsProfile.MODIFIED: (
        *_RFC_9325,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES256-CCM8",
        "ECDHE-ECDSA-AES128-CCM",
        "ECDHE-ECDSA-AES128-CCM8",
    ),
}
# RSA keys of 2048 bits and elliptic curves of 224 at least, no signature with SHA-1, in any certificate of a chain (RFC 9325 4.5)
_STRENGTH = "@SECLEVEL=2"
SESSION_GOOD_FOR_S = 60.0
"""For so long a session is resumed without its certificate: Python cannot turn OpenSSL's cache off; it goes with its context."""
_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_KINDS = {"DNS": "DNS", "IP Address": "IP", "URI": "URI", "email": "EMAIL"}


_WRITE = {
    "certificate": "write this node's certificate into it, then those between it and its authority (PEM)",
    "key": "write the private key of the certificate into it (PEM, without a password), and `chmod 600` it",
    "authorities": "write the certificates of the authorities into it that sign those of others (PEM)",
    "revocations": "write the revocation lists of the authorities into it (PEM), or leave the key out",
}
"""What belongs into a file that is not there."""


class TlsUnusable(ConfigError):
    """A certificate, key or list of authorities cannot be read, or does not fit."""

    code = "HLM-2071"
    remedy = "Look at the file that is named, with `openssl x509 -in FILE -noout -text`; keys are PEM without a password."


class PeerUntrusted(DeliveryError):
    """There is no TLS with the peer: its certificate is not trusted, or it does not trust this node's."""

    code = "HLM-6005"
    remedy = "Compare the peer's certificate with `peers: {…: {tls: …}}`, and let its administrator trust this node's; hilum tries again."


def server_context(settings: TlsListener) -> ssl.SSLContext:
    """The context in which associations are accepted, made anew when one of its files has changed.

    Raises
    ------
    NotPrivate, TlsUnusable
        It cannot be made, and never could since the process began.
    """
    return _kept(settings, _of_server, (settings.certificate, settings.key, settings.authorities, settings.revocations)).context()


def client_context(settings: PeerTls) -> ssl.SSLContext:
    """The context in which one peer is called, made anew when one of its files has changed.

    Raises
    ------
    NotPrivate, TlsUnusable
        It cannot be made, and never could since the process began.
    """
    return _kept(settings, _of_client, (settings.certificate, settings.key, settings.authorities, settings.revocations)).context()


def web_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The context in which browsers are answered (BCP 195, as B.12 has it), made anew when one of its files has changed.

    Raises
    ------
    NotPrivate, TlsUnusable
        It cannot be made, and never could since the process began.
    """
    return _kept((certificate, key), _of_web, (certificate, key)).context()


def accept(
    connection: socket,
    settings: TlsListener,
    *,
    timeout_s: float,
    address: str,
    refusals: Refusals,
    wrapped: Callable[[ssl.SSLSocket], None] = lambda _: None,
) -> ssl.SSLSocket | None:
    """Shake hands with who connected, within `timeout_s` in all; None (told, and closed) when there is no TLS with them.

    `wrapped` is called before the handshake with what has taken the descriptor over: who is to end it needs that one.
    """
    try:
        secured = server_context(settings).wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    except (OSError, NotPrivate, TlsUnusable) as unusable:
        refusals.tell(TlsNotOffered(address=address, reason=str(unusable)))
        connection.close()
        return None
    wrapped(secured)
    try:
        secured.settimeout(timeout_s)  # of the whole handshake: a byte now and then does not prolong it
        secured.do_handshake()
    except (OSError, ValueError) as refused:
        refusals.tell(HandshakeFailed(address=address, reason=words_of(refused)))
        secured.close()
        return None
    return secured


def connect(connection: socket, settings: PeerTls, *, timeout_s: float, who: str) -> ssl.SSLSocket:
    """Shake hands with a peer that was connected to, within `timeout_s` in all.

    Raises
    ------
    PeerUntrusted
        There is no TLS with it; the connection is closed.
    NotPrivate, TlsUnusable
        This node's own certificate, key or authorities cannot be used.
    """
    context = client_context(settings)
    secured: socket = connection
    try:
        secured = context.wrap_socket(connection, do_handshake_on_connect=False, server_hostname=settings.server_name)
        secured.settimeout(timeout_s)
        secured.do_handshake()
    except (OSError, ValueError) as refused:
        secured.close()
        raise PeerUntrusted(f"no TLS with {who}: {words_of(refused)}") from refused
    return secured


def certificate_of(connection: Any) -> Certificate | None:
    """What the other side of a connection proved to be; None without TLS, or where it showed no certificate."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    der, told = connection.getpeercert(binary_form=True), connection.getpeercert()
    if not der or not told:
        return None
    return described(der, told)


def described(der: bytes, told: Any) -> Certificate:
    """A verified certificate from its DER form and what `SSLSocket.getpeercert` tells of it."""
    from hashlib import sha256

    return Certificate(
        subject=_distinguished(told.get("subject", ())),
        alternative_names=tuple(
            f"{_KINDS[kind]}:{_canonical(kind, name)}" for kind, name in told.get("subjectAltName", ()) if kind in _KINDS
        ),
        issuer=_distinguished(told.get("issuer", ())),
        fingerprint=sha256(der).hexdigest(),
    )


def words_of(refused: Exception) -> str:
    """Why a handshake failed, in words for an operator; OpenSSL's own where there are no better ones."""
    if isinstance(refused, ssl.SSLCertVerificationError):
        return f"the certificate that was shown is not trusted: {refused.verify_message}"
    if isinstance(refused, TimeoutError):
        return "the handshake was not finished in time"
    reason = getattr(refused, "reason", None) or ""
    known = {
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate was shown",
        "WRONG_VERSION_NUMBER": "what came is no TLS: an association without it, mostly",
        "HTTP_REQUEST": "what came is no TLS but HTTP",
        "UNSUPPORTED_PROTOCOL": "TLS 1.2 or 1.3 is needed",
        "NO_SHARED_CIPHER": "none of the cipher suites that are offered is in the profile",
        "NO_SHARED_SIGNATURE_ALGORITHMS": "none of the signature algorithms that are offered is strong enough",
        "TLSV1_ALERT_UNKNOWN_CA": "the other side does not trust this node's certificate",
        "SSLV3_ALERT_BAD_CERTIFICATE": "the other side refuses this node's certificate",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other side refuses this node's certificate",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the other side finds this node's certificate expired",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the other side asks for a certificate, and none was shown",
        "TLSV1_ALERT_PROTOCOL_VERSION": "the other side refuses TLS 1.2 and 1.3",
        "SSLV3_ALERT_HANDSHAKE_FAILURE": "the other side accepts none of the profile's cipher suites, or not this node's certificate",
    }.get(reason)
    return known or reason.lower().replace("_", " ") or str(refused) or type(refused).__name__


def _of_server(settings: TlsListener) -> ssl.SSLContext:
    context = _profiled(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings.profile)
    optional = settings.client_certificate is ClientCertificate.OPTIONAL
    context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    # a session that is resumed by a ticket would not look at the certificate again, nor at the authorities
    context.num_tickets = 0
    _load(context, settings)
    return context


def _of_web(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = _profiled(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), TlsProfile.BCP195)
    context.set_alpn_protocols(["http/1.1"])
    _load_identity(context, *files, {})
    return context


def _of_client(settings: PeerTls) -> ssl.SSLContext:
    context = _profiled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings.profile)  # verifies chain and name
    _load(context, settings)
    return context


def _profiled(context: ssl.SSLContext, profile: TlsProfile) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996; TLS 1.3 is preferred where both have it (PS3.15 B.12)
    context.set_ciphers(":".join((*_SUITES[profile], _STRENGTH)))
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _load(context: ssl.SSLContext, settings: TlsListener | PeerTls) -> None:
    for name, path in (("authorities", settings.authorities), ("revocations", settings.revocations)):
        if path is None:
            continue
        place = settings.places.get(name, "")
        try:
            context.load_verify_locations(path)
        except FileNotFoundError as absent:
            raise TlsUnusable(f"{place}{path} is not there; {_WRITE[name]}") from absent
        except (OSError, ValueError) as unfit:
            raise TlsUnusable(f"{place}{path}: {_of_file(unfit)}") from unfit
    if settings.revocations is not None:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if settings.certificate is not None and settings.key is not None:
        _load_identity(context, settings.certificate, settings.key, settings.places)


def _load_identity(context: ssl.SSLContext, certificate: Path, key: Path, places: Mapping[str, str]) -> None:
    of_certificate, of_key = places.get("certificate", ""), places.get("key", "")
    try:
        demand_private(key)
    except FileNotFoundError as absent:
        raise TlsUnusable(f"{of_key}{key} is not there; {_WRITE['key']}") from absent
    except OSError as unreadable:
        raise TlsUnusable(f"{of_key}{key}: {unreadable.strerror}") from unreadable
    except NotPrivate as refused:
        raise NotPrivate(f"{of_key}{refused}") from refused
    try:
        if b"ENCRYPTED" in key.read_bytes():
            raise TlsUnusable(f"{of_key}{key}: the key has a password")
        # should there be a password after all, it is not asked for at a terminal that nobody sits at
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except FileNotFoundError as absent:
        raise TlsUnusable(f"{of_certificate}{certificate} is not there; {_WRITE['certificate']}") from absent
    except (OSError, ValueError) as unfit:
        raise TlsUnusable(f"{of_certificate}{certificate} with {key}: {_of_file(unfit)}") from unfit


def _of_file(unfit: Exception) -> str:
    if isinstance(unfit, ssl.SSLError):
        if unfit.reason == "KEY_VALUES_MISMATCH":
            return "the key belongs to another certificate"
        return f"no usable PEM ({(unfit.reason or 'unreadable').lower().replace('_', ' ')})"
    return (unfit.strerror if isinstance(unfit, OSError) else None) or str(unfit)


class _Kept:
    """The context of one entry of the configuration, for a minute or until its files change."""

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> None:
        self._make = make
        self._files = files
        self._lock = threading.Lock()
        self._made: ssl.SSLContext | None = None
        self._of: tuple[object, ...] = ()
        self._made_at = 0.0

    def context(self) -> ssl.SSLContext:
        with self._lock:
            found = tuple(_stamp(path) for path in self._files)
            renewed = found != self._of
            if self._made is not None and not renewed and time.monotonic() - self._made_at < SESSION_GOOD_FOR_S:
                return self._made
            try:
                made = self._make()
            except (NotPrivate, TlsUnusable) as unfit:
                if self._made is None:
                    raise
                # between the writing of a new certificate and of its key, or a mistake: what was good stays in use
                if renewed:
                    tell(TlsNotRenewed(code=unfit.code, reason=str(unfit)))
                made = self._made
            else:
                if renewed and self._made is not None:
                    tell(TlsRenewed(files=[str(path) for path in self._files]))
            self._made, self._of, self._made_at = made, found, time.monotonic()
            return made


@cache
def _kept(settings: Any, make: Callable[[Any], ssl.SSLContext], files: tuple[Path | None, ...]) -> _Kept:
    return _Kept(lambda: make(settings), [path for path in files if path is not None])


def _stamp(path: Path) -> object:
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino, about.st_mode, about.st_uid


def _distinguished(names: Any) -> str:
    """RFC 4514 2.1: the last part of the name first."""
    return ",".join("+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part) for part in reversed(names))


def _escaped(value: str) -> str:
    text = "".join(f"\\{one}" if one in ',+"\\<>;' else one for one in value)
    text = f"\\{text}" if text[:1] in ("#", " ") else text
    return f"{text[:-1]}\\ " if len(text) > 1 and text.endswith(" ") and not text.endswith("\\ ") else text


def _canonical(kind: str, name: str) -> str:
    if kind == "IP Address":
        return str(ip_address(name))
    return name.lower() if kind == "DNS" else name
