"""The small HTTP server, met by visitors as they come: impatient, silent, many, and wrong."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from structlog.testing import capture_logs

from node.domain.errors import JournalError
from node.observe import endpoint
from node.observe.endpoint import Endpoint, Page, as_json
from tests.lab.program import wait_until


def _broken() -> Page:
    raise JournalError("it is away")


def _defect() -> Page:
    raise ZeroDivisionError


_PAGES = {"/good": lambda: as_json(HTTPStatus.OK, {"a": 1}), "/broken": _broken, "/defect": _defect}


@pytest.fixture
def served() -> Iterator[Endpoint]:
    """An endpoint on a free port."""
    one = Endpoint("127.0.0.1", 0, _PAGES)
    yield one
    one.close()


def _ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_pages_and_what_is_no_page(served: Endpoint) -> None:
    """GET and HEAD of what there is; a query changes nothing; no other method, no other path."""
    assert _ask(served.port, "/good") == (200, b'{\n "a": 1\n}\n')
    assert _ask(served.port, "/good?x=1")[0] == 200
    assert _ask(served.port, "/good", "HEAD") == (200, b"")
    assert _ask(served.port, "/")[0] == 404
    assert _ask(served.port, "/good/../good")[0] == 404
    assert _ask(served.port, "/good", "POST")[0] == 501


def test_a_page_that_fails_is_said_and_the_next_visitor_is_served(served: Endpoint) -> None:
    """503 for what may pass; a defect ends its connection and is an event with its place."""
    with capture_logs() as events:
        assert _ask(served.port, "/broken")[0] == 503
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            _ask(served.port, "/defect")
        assert _ask(served.port, "/good")[0] == 200
    assert [(one["event"], one.get("code"), one.get("error")) for one in events] == [
        ("metrics.failed", "HLM-7000", None),
        ("metrics.defect", None, "ZeroDivisionError"),
    ]


def test_many_silent_visitors_are_turned_away_and_then_forgotten(served: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight connections that say nothing take every place; the ninth is closed; those that dawdle are ended, and the next is served."""
    with monkeypatch.context() as hasty:
        hasty.setattr(endpoint, "_LONGEST_S", 0.3)
        silent = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(12)]
        assert all(one.recv(1) == b"" for one in silent), "closed by the server, at once or in time"

    def answered() -> bool:
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            return _ask(served.port, "/good")[0] == 200
        return False

    wait_until(answered, 10, "a place is free again")


def test_a_visitor_who_drips_is_ended(served: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps no place for ever, whatever the time-out of a single read."""
    monkeypatch.setattr(endpoint, "_LONGEST_S", 0.2)

    def drip(visitor: socket.socket) -> None:
        while True:
            visitor.sendall(b"G")

    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as visitor, pytest.raises(ConnectionError):
        drip(visitor)


def test_a_line_without_end_is_refused(served: Endpoint) -> None:
    """No visitor decides how much memory a request takes."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as visitor:
        visitor.sendall(b"GET /" + b"a" * 70_000)
        assert visitor.recv(100).split(b"\r\n")[0].endswith(b"414 Request-URI Too Long")


def test_a_taken_port_is_an_error_at_once() -> None:
    """What the supervisor then does is its own affair."""
    first = Endpoint("127.0.0.1", 0, _PAGES)
    with pytest.raises(OSError):
        Endpoint("127.0.0.1", first.port, _PAGES)
    first.close()
