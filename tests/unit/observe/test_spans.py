"""How spans are sent: a collector that leads elsewhere, refuses, drips or is silent is away, and what is said of it quotes no address."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from node.observe.spans import CollectorAway, OtlpExporter, TraceSpan
from tests.lab.collector import collector

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPANS = [TraceSpan(trace=b"1" * 16, id=b"2" * 8, parent=None, name="arrival", begin=_NOW, end=_NOW)]
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[tuple[int, threading.Event]]:
    """A server that answers each connection so, on a port of this machine; what it answers with ends when the event is set."""
    over = threading.Event()

    def turn() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while not over.is_set() and b"\r\n\r\n" not in connection.recv(65536):
                    pass
                answer(connection, over)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=turn)
        thread.start()
        try:
            yield port, over
        finally:
            over.set()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 60):
                pass
            thread.join()


def saying(answer: bytes) -> AbstractContextManager[tuple[int, threading.Event]]:
    """Says the same to whoever asks."""
    return answering(lambda connection, over: connection.sendall(answer))


def dripping(first: bytes) -> AbstractContextManager[tuple[int, threading.Event]]:
    """A byte now and then, each sooner than a read would give up."""

    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(0.05):
            connection.sendall(b"x")

    return answering(drip)


def exporter(port: int, *, login: str = "", path: str = "v1/traces", timeout_s: float = 30.0) -> OtlpExporter:
    """What a node sends to such a server with."""
    return OtlpExporter(f"http://{login}127.0.0.1:{port}/{path}", host="h", version="1", proxied=False, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: https://login/\r\nContent-Length: 0\r\n\r\n", "answers 302"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "answers 401"),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n", "answers 503"),
        (b"", "does not answer (ConnectionError)"),
    ],
)
def test_a_collector_that_does_not_take_spans_is_away_and_the_cause_is_said(answer: bytes, said: str) -> None:
    """One that leads to a page for logins, or to https, has not taken them. Neither a login nor a token of the address is said."""
    with saying(answer) as (port, _), pytest.raises(CollectorAway) as away:
        exporter(port, login="anna:pw@", path="T0KEN", timeout_s=5.0).send(SPANS)
    assert str(away.value) == f"the collector of traces at 127.0.0.1 {said}"


def test_an_answer_s_body_is_not_waited_for() -> None:
    """It says 200: it has them."""
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n") as (port, over):
        exporter(port).send(SPANS)
        assert not over.is_set()


def test_one_that_drips_holds_nobody() -> None:
    """A byte of a header now and then: no read ever times out. One request stands at most."""
    with dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ") as (port, over):
        slow = exporter(port, timeout_s=0.3)
        began = time.monotonic()
        with pytest.raises(CollectorAway, match="does not answer in time"):
            slow.send(SPANS)
        with pytest.raises(CollectorAway, match="has not come to the end of its last answer"):
            slow.send(SPANS)
        assert time.monotonic() - began < 30, "it drips for ever"
        slow.close()
        assert not over.is_set()


def test_what_the_library_lets_through_is_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some versions of it did: a defect would be told each second, and it would be asked as often."""

    def export(self: OTLPSpanExporter, spans: object) -> None:
        raise requests.exceptions.ConnectionError("http://anna:pw@tempo/")

    monkeypatch.setattr(OTLPSpanExporter, "export", export)
    with pytest.raises(CollectorAway, match=r"at 127.0.0.1 does not answer \(ConnectionError\)$"):
        exporter(1).send(SPANS)


@pytest.mark.parametrize("proxied", [False, True])
def test_the_proxy_of_the_environment_is_asked_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch, proxied: bool) -> None:
    """A collector on this machine is asked without it, as nobody else can reach that."""
    with saying(TAKEN) as (proxy, _), collector() as told:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        OtlpExporter(told.url, host="h", version="1", proxied=proxied).send(SPANS)
        assert len(told.spans()) == (0 if proxied else 1)
