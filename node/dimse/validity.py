"""Until when certificates and revocation lists are good: read from the PEM files that the configuration names (RFC 5280 4.1.2.5). An alarm
every day from a month before one expires, and a metric.
"""

import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from node.dimse.tls import TlsUnusable, client_context, server_context
from node.domain.errors import ConfigError
from node.observe import metrics
from node.observe.events import alarm
from node.observe.instruments import Sample
from node.settings.config import Config
from node.settings.secrets import NotPrivate, demand_private
from node.settings.tls import PeerTls, TlsListener

_BLOCK = re.compile(r"-----BEGIN (CERTIFICATE|X509 CRL)-----.*?-----END \1-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


class TlsExpired(ConfigError):
    """The listener's certificate, authorities or revocation list is no good any more: every handshake would fail."""

    code = "HLM-2076"
    remedy = "Renew the file that is named, or take `node: {tls: …}` out until you have."


class Use(StrEnum):
    """What a file is for."""

    CERTIFICATE = "certificate"
    AUTHORITIES = "authorities"
    REVOCATIONS = "revocations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Until when one file is good. `why` says what is wrong with it where that cannot be told, and `until` is None then."""

    path: Path
    use: Use
    until: datetime | None
    why: str = ""

    def left_s(self, now: datetime) -> float:
        """Seconds until it is no good any more; negative afterwards."""
        return (self.until - now).total_seconds() if self.until is not None else 0.0


def demand_usable_tls(config: Config) -> None:
    """Refuse a configuration whose TLS would fail at the first handshake.

    A peer's certificates that have expired are told (`certificate.expires`) and refuse nothing: one sink must not keep everybody else's
    studies out. The listener's do: nobody could reach it.

    Raises
    ------
    NotPrivate, TlsUnusable
        A file cannot be read, is not what it should be, or is not for its user alone.
    TlsExpired
        Nobody who calls this node would, or could, trust it.
    """
    demand_usable_peers(config)
    if config.node.tls is None:
        return
    server_context(config.node.tls)
    now = datetime.now(UTC)
    for one in validities_of(config.node.tls):
        if one.until is None:
            raise TlsUnusable(one.why)
        if one.left_s(now) <= 0:
            raise TlsExpired(f"{one.path} ({one.use.value} of `node: {{tls: …}}`) expired on {one.until:%Y-%m-%d %H:%M} UTC")


def demand_usable_peers(config: Config) -> None:
    """Refuse a configuration whose peers could not be called with the TLS that it gives them.

    Raises
    ------
    NotPrivate, TlsUnusable
        A file cannot be read, is not what it should be, or is not for its user alone.
    """
    for peer in config.peers.values():
        if peer.tls is not None:
            client_context(peer.tls)


def validities(config: Config) -> list[Validity]:
    """Of every certificate, list of authorities and revocation list that peers and browsers depend on; and whether keys are private."""
    used = (config.node.tls, *(peer.tls for peer in config.peers.values()))
    found = validities_of(*(one for one in used if one is not None))
    if config.console is not None and config.console.cert is not None and config.console.key is not None:
        found += [_validity(config.console.cert, Use.CERTIFICATE), *_open_keys([config.console.key])]
    return found


def validities_of(*used: TlsListener | PeerTls) -> list[Validity]:
    """The same of these."""
    files: dict[tuple[Path, Use], None] = {}
    keys: dict[Path, None] = {}
    for settings in used:
        named = ((settings.certificate, Use.CERTIFICATE), (settings.authorities, Use.AUTHORITIES), (settings.revocations, Use.REVOCATIONS))
        files |= {(path, use): None for path, use in named if path is not None}
        if settings.key is not None:
            keys[settings.key] = None
    return [*(_validity(path, use) for path, use in files), *_open_keys(keys)]


def _open_keys(keys: Iterable[Path]) -> Iterator[Validity]:
    for key in keys:
        try:
            demand_private(key)
        except NotPrivate as wrong:
            yield Validity(path=key, use=Use.CERTIFICATE, until=None, why=str(wrong))
        except OSError as absent:
            yield Validity(path=key, use=Use.CERTIFICATE, until=None, why=f"{key}: {absent.strerror}")


def _validity(path: Path, use: Use) -> Validity:
    try:
        until = [_until(der, revocations=kind != "CERTIFICATE") for kind, der in _blocks(path)]
    except TlsUnusable as wrong:
        return Validity(path=path, use=use, until=None, why=f"{path}: {str(wrong).removeprefix(f'{path}: ')}")
    # a chain is as good as its weakest part; of authorities one that has expired may stand beside its successor
    return Validity(path=path, use=use, until=max(until) if use is Use.AUTHORITIES else min(until))


def _blocks(path: Path) -> list[tuple[str, bytes]]:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as absent:
        raise TlsUnusable(f"{path}: {absent.strerror}") from absent
    found = []
    for block in _BLOCK.finditer(text):
        body = block[0].replace("X509 CRL", "CERTIFICATE")
        try:
            found.append((block[1], ssl.PEM_cert_to_DER_cert(body)))
        except ValueError as unfit:
            raise TlsUnusable("a block is no PEM") from unfit
    if not found:
        raise TlsUnusable("there is no PEM certificate in it")
    return found


def _until(der: bytes, *, revocations: bool) -> datetime:
    """The end of the validity of a certificate, or of a revocation list (its next update)."""
    try:
        fields = list(_children(der, _within(der, _within(der, (0, len(der))))))
        kinds = [kind for kind, _, _ in fields]
        if revocations:
            times = [field for field in fields if field[0] in (_UTC_TIME, _GENERALIZED_TIME)]
            kind, start, end = times[-1]
            return datetime.max.replace(tzinfo=UTC) if len(times) < 2 else _time(kind, der[start:end])
        # version (where there is one), serial number, signature, issuer, validity
        _, start, end = fields[4 if kinds[0] == _VERSION else 3]
        kind, start, end = list(_children(der, (start, end)))[1]
        return _time(kind, der[start:end])
    except (IndexError, ValueError, UnicodeDecodeError) as unfit:
        raise TlsUnusable("a block is no certificate and no revocation list") from unfit


def _within(der: bytes, place: tuple[int, int]) -> tuple[int, int]:
    """The content of the sequence that begins there."""
    kind, start, end = next(_children(der, place), (0, 0, 0))
    if kind != _SEQUENCE:
        raise ValueError("no sequence")
    return start, end


def _children(der: bytes, place: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """The elements between two places: their tag, where the content begins, and where it ends (X.690 8.1)."""
    at, stop = place
    while at < stop:
        kind, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(der[at : at + count], "big")
            at += count
        if at + length > stop:
            raise ValueError("an element is longer than what it is in")
        yield kind, at, at + length
        at += length


def _time(kind: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if kind == _UTC_TIME:
        # RFC 5280 4.1.2.5.1: 50 to 99 are of the 20th century
        text = f"{'19' if int(text[:2]) >= 50 else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


SOON_S: Final = 30 * 86400.0
_LOOK_EVERY_S = 3600.0
_TELL_EVERY_S = 86400.0


class Certificates:
    """Looks every hour. `turn` is called by the supervisor's loop."""

    def __init__(
        self, config: Config, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._now = now
        self._seconds = seconds
        self._look_at = 0.0
        self._tell_at = 0.0
        self._found: list[Validity] = []

    def adopt(self, config: Config) -> None:
        """Look at the files of this configuration at the next turn."""
        self._config = config
        self._look_at = 0.0

    def turn(self) -> None:
        """Look, and tell, when it is time."""
        if (at := self._seconds()) < self._look_at:
            return
        self._look_at = at + _LOOK_EVERY_S
        self._found = validities(self._config)
        if at < self._tell_at:
            return
        self._tell_at = at + _TELL_EVERY_S
        for one in self._found:
            if one.until is None:
                alarm("certificate.unusable", file=str(one.path), use=one.use.value, reason=one.why)
            elif (left_s := one.left_s(self._now())) < SOON_S:
                alarm(
                    "certificate.expires", file=str(one.path), use=one.use.value, until=one.until.isoformat(), days=round(left_s / 86400, 1)
                )

    def samples(self) -> list[Sample]:
        """How long each file is good, for whoever watches the node."""
        return [
            metrics.CERTIFICATE.of(one.left_s(self._now()), file=one.path.name, use=one.use.value)
            for one in self._found
            if one.until is not None
        ]
