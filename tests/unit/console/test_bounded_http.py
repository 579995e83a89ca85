"""The console's own listener, on real sockets, plain and over TLS: half requests by the thousand, and requests that are none."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from node.assembly.console import trials_of
from node.console import server
from node.console.server import Bounds, Phase, serve
from node.domain.places import Places
from node.settings.console import Console
from node.settings.kinds import TrustedProxies
from tests.lab.certificates import Authority, Identity
from tests.lab.half_requests import (
    COSTLY,
    HALF_HELLO,
    HALVES,
    REFUSED,
    SLOW_BODY,
    SLOW_HEADER,
    UNREAD,
    Half,
    addresses,
    answer,
    half_requests,
)
from tests.lab.program import wait_until
from tests.unit.cli.conftest import Hospital
from tests.unit.console.conftest import context_of

_PATIENCE_S = 60
_SENDERS = addresses(1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A console that listens; `trusted` is what its certificate is checked with, None without TLS."""

    port: int
    trusted: ssl.SSLContext | None
    authority: Path | None = None

    def get(self, path: str = "/login") -> int:
        """Ask for a page as a browser does, over a new connection; the status of the answer."""
        if self.trusted is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        else:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=_PATIENCE_S, context=self.trusted)
        try:
            connection.request("GET", path)
            found = connection.getresponse()
            found.read()
            return found.status
        finally:
            connection.close()

    def patiently(self) -> int:
        """The same as a browser does it, which tries a few times where its connection is ended before an answer."""
        for _ in range(2):
            with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError):
                return self.get()
        return self.get()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates browsers trust."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    """The console's certificate."""
    return authority.signs("console")


@pytest.fixture(params=["plain", "tls"])
def served(request: pytest.FixtureRequest, hospital: Hospital, authority: Authority, identity: Identity) -> Iterator[Served]:
    """A console without TLS, and one with it."""
    secure = request.param == "tls"
    settings = Console(host="127.0.0.1", port=0, cert=identity.certificate if secure else None, key=identity.key if secure else None)
    trusted = ssl.create_default_context(cafile=str(authority.certificate)) if secure else None
    for one in listening(hospital, settings, trusted):
        yield replace(one, authority=authority.certificate if secure else None)


def listening(hospital: Hospital, settings: Console, trusted: ssl.SSLContext | None) -> Iterator[Served]:
    """A console that listens in a thread."""
    trials, stop, ports = trials_of(hospital.config), threading.Event(), list[int]()
    context = context_of(hospital, trials, settings=settings)
    thread = threading.Thread(target=serve, args=(context, stop), kwargs={"ready": lambda *, port: ports.append(port)}, daemon=True)
    thread.start()
    wait_until(lambda: bool(ports) or not thread.is_alive(), _PATIENCE_S, "the console listens")
    yield Served(port=ports[0], trusted=trusted)
    stop.set()
    thread.join(_PATIENCE_S)
    trials.close()


def _took(served: Served, times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.monotonic()
        assert served.patiently() == 200
        took.append(time.monotonic() - began)
    return took


@pytest.mark.slow
@pytest.mark.parametrize("costly", [False, True], ids=["half", "partly whole"])
def test_a_thousand_half_requests_keep_no_browser_out(served: Served, costly: bool) -> None:
    """Of all kinds, from a thousand addresses, opened again whenever they are closed: each of ten pages is there. A hundred of those whose
    requests are whole in part: each of them costs a page."""
    cheap = [one for one in (*HALVES, *([HALF_HELLO] if served.trusted else [])) if one not in COSTLY]
    halves, senders = (COSTLY, _SENDERS[:100]) if costly else (cheap, _SENDERS)
    with half_requests(served.port, halves, senders, authority=served.authority) as crowd:
        took = _took(served, 10)
        assert crowd.opened == len(senders)
    print(f"median {median(took):.3f} s, longest {max(took):.3f} s, {crowd.ended} were ended")


class _CountedPlaces(Places[Any]):
    """Tells how many it has given: one that is free again at once is seen by nobody who looks."""

    given = 0

    def take(self, one: Any, group: str | None) -> Any:
        self.given += 1
        return super().take(one, group)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[_CountedPlaces]:
    """Consoles from now on give each phase that has a bound a second, or a fifth of one; the places of their connections."""
    made: list[_CountedPlaces] = []

    def bounds(*given: Any) -> Bounds:
        # what has no bound gets none here
        lasts_s = {phase: 0.2 if phase in (Phase.BODY, Phase.UNREAD) else 1.0 for phase in server.LASTS_S}
        bounds = Bounds(*given, lasts_s=lasts_s)
        made.append(_CountedPlaces(server.MOST_ENDED, of_one=server.MOST_OF_ONE))
        bounds.places = made[-1]
        return bounds

    monkeypatch.setattr(server, "Bounds", bounds)
    return made


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("half", [SLOW_HEADER, SLOW_BODY, HALF_HELLO], ids=lambda half: half.name)
def test_a_half_request_has_its_time(served: Served, half: Half) -> None:
    """However often a byte of it comes: with nobody else there, too, each connection is ended."""
    with half_requests(served.port, [half], _SENDERS[:3], authority=served.authority, again=False) as crowd:
        wait_until(lambda: crowd.ended == 3, _PATIENCE_S, "each was ended")
    assert served.get() == 200


@pytest.mark.parametrize("half", [SLOW_BODY, UNREAD], ids=lambda half: half.name)
def test_what_is_not_sent_on_or_not_read_has_its_time(hospital: Hospital, short: list[_CountedPlaces], half: Half) -> None:
    """A body that never ends, answers that are never read: the connection is ended although nobody else wants its place."""
    for served in listening(hospital, Console(host="127.0.0.1", port=0), None):
        (places,) = short
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(half.begin)
            wait_until(lambda places=places: places.given == 1 and len(places) == 0, _PATIENCE_S, "it had its place, and was ended")  # type: ignore[misc]
        assert served.get() == 200


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_refused(served: Served, request_: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """By a status or by closing; the next is served, and nobody fills the log."""
    found = answer(served.port, request_, trusted=served.trusted)
    assert not found or 400 <= int(found.split(b" ")[1]) < 500
    assert served.get() == 200
    assert capfd.readouterr().err == ""


def test_one_address_ends_its_own(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """More half requests than one address may have end the oldest of its own; those of a proxy end none, while there is room. None is
    ended by its time."""
    monkeypatch.setattr(server, "Bounds", partial(Bounds, lasts_s=dict.fromkeys(server.LASTS_S, 600.0)))
    for proxies, ended in (("192.0.2.1/32", 36), (f"{_SENDERS[0]}/32", 0)):
        settings = Console(host="127.0.0.1", port=0, trusted_proxies=TrustedProxies(networks=(ip_network(proxies),)))
        for served in listening(hospital, settings, None):
            with half_requests(served.port, [SLOW_HEADER], [_SENDERS[0]] * (server.MOST_OF_ONE + 36), again=False) as crowd:
                wait_until(lambda crowd=crowd, ended=ended: crowd.ended >= ended, _PATIENCE_S, "the oldest were ended")  # type: ignore[misc]
                assert served.get() == 200
                assert crowd.ended == ended


def test_old_versions_and_suites_are_refused(hospital: Hospital, authority: Authority, identity: Identity) -> None:
    """TLS 1.2 with CBC or without forward secrecy, and TLS 1.1: no handshake (RFC 8996, RFC 9325); TLS 1.2 with GCM, and 1.3: one."""
    settings = Console(host="127.0.0.1", port=0, cert=identity.certificate, key=identity.key)
    for served in listening(hospital, settings, None):
        for version, suites, good in (
            (
                ssl.TLSVersion.TLSv1_2,
                "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA",
                False,
            ),
            (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384:AES128-SHA", False),
            (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", True),
            (ssl.TLSVersion.TLSv1_1, "DEFAULT:@SECLEVEL=0", False),
            (ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
        ):
            context = ssl.create_default_context(cafile=str(authority.certificate))
            context.set_ciphers(suites)
            context.minimum_version = context.maximum_version = version
            told = Served(port=served.port, trusted=context)
            if good:
                assert told.get() == 200, (version, suites)
            else:
                with pytest.raises(OSError):
                    told.get()


def test_a_renewed_certificate_is_shown_without_a_restart(hospital: Hospital, authority: Authority, tmp_path: Path) -> None:
    """From the next connection on."""
    first, second = authority.signs("console"), authority.signs("console2")
    cert, key = tmp_path / "console.pem", tmp_path / "console.key"

    def place(one: Identity) -> None:
        cert.write_bytes(one.certificate.read_bytes())
        key.write_bytes(one.key.read_bytes())
        key.chmod(0o600)

    def shown(port: int) -> str:
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=_PATIENCE_S)

    place(first)
    for served in listening(hospital, Console(host="127.0.0.1", port=0, cert=cert, key=key), None):
        before = shown(served.port)
        place(second)
        assert shown(served.port) != before
