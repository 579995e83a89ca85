"""The small HTTP server, met by visitors as they come: impatient, silent, many, and wrong."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from statistics import median

import pytest
from structlog.testing import capture_logs

from node.domain.errors import JournalError
from node.observe.endpoint import ANSWER_S, MOST_ANSWERED, Endpoint, EndpointPage, PageMaker, PageVisitor, as_json
from tests.lab.half_requests import HALVES, REFUSED, addresses, answer, half_requests
from tests.lab.program import wait_until


def _broken() -> EndpointPage:
    raise JournalError("it is away")


def _defect() -> EndpointPage:
    raise ZeroDivisionError


_GET_SLOW = b"GET /slow HTTP/1.1\r\n\r\n"
_SLOW, _MADE = threading.Event(), list[int]()


def _slow() -> EndpointPage:
    _MADE.append(1)
    _SLOW.wait(60)
    return as_json(HTTPStatus.OK, {"b": 2})


_PAGES = {"/good": lambda: as_json(HTTPStatus.OK, {"a": 1}), "/broken": _broken, "/defect": _defect, "/slow": _slow}


@pytest.fixture
def served() -> Iterator[Endpoint]:
    """An endpoint on a free port."""
    one = Endpoint("127.0.0.1", 0, _PAGES)
    yield one
    one.close()


def _ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
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


def test_eight_silent_visitors_keep_nobody_out() -> None:
    """The ninth is answered at once, while the eight are still there."""
    with contextlib.closing(Endpoint("127.0.0.1", 0, _PAGES, request_s=60.0)) as served:
        silent = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(8)]
        began = time.monotonic()
        assert _ask(served.port, "/good")[0] == 200
        assert time.monotonic() - began < 60, "before the eight were ended"
        for one in silent:
            one.close()


def test_a_thousand_half_requests_keep_nobody_out(served: Endpoint) -> None:
    """Of all kinds, from a thousand addresses, opened again whenever they are closed: every one of twenty visitors is answered."""
    took = []
    with half_requests(served.port, HALVES, addresses(1000)) as crowd:
        for _ in range(20):
            began = time.monotonic()
            assert _ask(served.port, "/good")[0] == 200
            took.append(time.monotonic() - began)
        assert crowd.opened == 1000
    print(f"median {median(took):.3f} s, longest {max(took):.3f} s, {crowd.ended} were ended")


def test_a_page_that_takes_long_keeps_no_other_from_being_answered(served: Endpoint) -> None:
    """Who asks for the slow one, hundreds of times, waits for it; it is made a few times only, and the other is there meanwhile."""
    _SLOW.clear()
    asking = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(50)]
    first, *others = asking
    first.sendall(_GET_SLOW)
    wait_until(lambda: _MADE, 30, "it is being made")
    for one in others:
        one.sendall(_GET_SLOW)
    assert _ask(served.port, "/good")[0] == 200
    _SLOW.set()
    answers = [one.recv(100) for one in asking]
    assert all(one.startswith(b"HTTP/1.1 200 OK\r\n") for one in answers)
    assert len(_MADE) <= 3, "once for the first, once for all who came meanwhile"
    for one in asking:
        one.close()


def test_a_page_that_is_never_made_keeps_nobody_who_gave_up() -> None:
    """A probe asks every few seconds, for months: what is kept of it does not grow."""
    begun, go_on = threading.Event(), threading.Event()

    def never() -> EndpointPage:
        begun.set()
        go_on.wait()
        return as_json(HTTPStatus.OK, {})

    maker = PageMaker("/never", never, lambda _visitors, _page: None)
    for _ in range(1000):
        with socket.socket() as connection:
            maker.wanted(PageVisitor(connection=connection, group="10.0.0.5", until=0.0))
        assert begun.wait(10)
    assert maker.waiting <= 2 * MOST_ANSWERED
    maker.close()
    go_on.set()


def test_a_visitor_who_has_said_all_is_answered(served: Endpoint) -> None:
    """One that closes its own direction after the request, as `nc` does, gets the page."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as visitor:
        visitor.sendall(b"GET /good HTTP/1.0\n\n")
        visitor.shutdown(socket.SHUT_WR)
        assert visitor.makefile("rb").read().endswith(b'{\n "a": 1\n}\n')


def test_a_visitor_who_drips_is_ended() -> None:
    """A byte now and then keeps no place for ever."""

    def drip(visitor: socket.socket) -> None:
        while True:
            visitor.sendall(b"G")

    with (
        contextlib.closing(Endpoint("127.0.0.1", 0, _PAGES, request_s=0.2)) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=60) as visitor,
        pytest.raises(ConnectionError),
    ):
        drip(visitor)


def test_a_line_without_end_is_refused(served: Endpoint) -> None:
    """No visitor decides how much memory a request takes."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as visitor:
        visitor.sendall(b"GET /" + b"a" * 70_000)
        assert visitor.recv(100).split(b"\r\n")[0].endswith(b"414 Request-URI Too Long")


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_refused(served: Endpoint, request_: bytes) -> None:
    """By a status or by closing, at once; the next is served."""
    found = answer(served.port, request_, timeout_s=ANSWER_S)
    assert not found or int(found.split(b" ")[1]) >= 400
    assert _ask(served.port, "/good")[0] == 200


def test_a_taken_port_is_an_error_at_once() -> None:
    """What the supervisor then does is its own affair."""
    first = Endpoint("127.0.0.1", 0, _PAGES)
    with pytest.raises(OSError):
        Endpoint("127.0.0.1", first.port, _PAGES)
    first.close()
