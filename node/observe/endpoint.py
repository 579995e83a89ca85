"""A small HTTP server for pages that programs read: GET and HEAD only; standard library.

One thread does all reading and writing and waits for nobody; each page is made by a thread of its own, once for all who wait for it. So
neither a thousand connections that say nothing nor a page that takes long keeps another page from being answered.
"""

import contextlib
import json
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from inference.errors import HilumError
from node.domain.places import Places, address_group
from node.observe.events import alarm, trace

_MOST_HALF = 128
"""Connections of which no whole request has come."""
MOST_ANSWERED = 128
"""Connections that wait for an answer, or that it goes out to."""
ANSWER_S = 15.0
"""Within which the page is made and taken, once a whole request has come; then the connection is ended."""
_LINGER_S = 1.0
_REQUEST_BYTES = 16_384
_PIECE = 65_536
_ACCEPTS = 64
_LOOK_S = 0.25
_BACKLOG = 1024
_NO_DESCRIPTOR_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPage:
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


def as_json(status: HTTPStatus, content: Mapping[str, Any]) -> EndpointPage:
    """An answer in JSON."""
    return EndpointPage(status=status, content_type="application/json", body=json.dumps(content, indent=1).encode() + b"\n")


class _Phase(Enum):
    REQUEST = auto()
    PAGE = auto()
    ANSWER = auto()
    LINGER = auto()
    """All is sent; what still comes is dropped for a moment, as closing at once would take the answer back (RFC 9112 9.6)."""


@dataclass(slots=True, eq=False)
class PageVisitor:
    """A connection, what has come over it and what goes out; `until` is when it is ended, on the monotonic clock."""

    connection: socket.socket
    group: str
    until: float
    phase: _Phase = _Phase.REQUEST
    received: bytearray = field(default_factory=bytearray)
    to_send: memoryview = field(default_factory=lambda: memoryview(b""))
    body: bool = True


class Endpoint:
    """Serves `pages` by path from threads of its own.

    Who connects cannot hold it up: silence ends a connection, and so does a request or an answer that takes long. Where no place is free,
    the oldest connection of the address that has the most of them is ended.

    Parameters
    ----------
    request_s
        Within which a whole request comes, or the connection is ended.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], EndpointPage]], *, request_s: float = 5.0) -> None:
        self._request_s = request_s
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((host, port))
            self._listener.listen(_BACKLOG)
        except OSError:
            self._listener.close()
            raise
        self.port = int(self._listener.getsockname()[1])
        """The port that it listens on, also when the system chose it."""
        self._listener.setblocking(False)
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._visitors: dict[socket.socket, PageVisitor] = {}
        self._half: Places[PageVisitor] = Places(_MOST_HALF)
        self._answered: Places[PageVisitor] = Places(MOST_ANSWERED)
        self._made: deque[tuple[list[PageVisitor], EndpointPage | None]] = deque()
        self._pages = {path: PageMaker(path, make, self._is_made) for path, make in pages.items()}
        self._looked_at = 0.0
        self._ending = False
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._ending = True
        self._wake()
        self._thread.join(ANSWER_S)
        for maker in self._pages.values():
            maker.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is woken already, or has ended
            self._waker.send(b"\0")

    def _is_made(self, visitors: list["PageVisitor"], page: EndpointPage | None) -> None:
        self._made.append((visitors, page))
        self._wake()

    # ---- what follows is done by the endpoint's thread alone

    def _serve(self) -> None:
        try:
            while not self._ending:
                for key, ready in self._selector.select(_LOOK_S):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._woken:
                        with contextlib.suppress(BlockingIOError):
                            self._woken.recv(_PIECE)
                    elif (visitor := self._visitors.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                        self._serve_one(visitor, ready)
                while self._made:
                    for visitor in (told := self._made.popleft())[0]:
                        self._answer(visitor, told[1])
                self._end_late()
        finally:
            for visitor in list(self._visitors.values()):
                self._end(visitor)
            for one in (self._listener, self._waker, self._woken):
                one.close()
            self._selector.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:
                # the process has no descriptor left: the listener stays readable, and the loop must not spin on it
                time.sleep(_NO_DESCRIPTOR_S)
                return
            connection.setblocking(False)
            visitor = PageVisitor(connection=connection, group=address_group(str(address[0])), until=time.monotonic() + self._request_s)
            self._visitors[connection] = visitor
            self._selector.register(connection, selectors.EVENT_READ)
            if (crowded := self._half.take(visitor, visitor.group)) is not None:
                self._end(crowded)
            self._serve_one(visitor, selectors.EVENT_READ)

    def _serve_one(self, visitor: PageVisitor, ready: int) -> None:
        try:
            if ready & selectors.EVENT_READ:
                self._read(visitor)
            elif visitor.phase is _Phase.ANSWER:
                self._write(visitor)
        except BlockingIOError:
            return
        except OSError:
            self._end(visitor)

    def _read(self, visitor: PageVisitor) -> None:
        piece = visitor.connection.recv(_PIECE)
        if not piece:
            self._end(visitor)
        if not piece or visitor.phase is not _Phase.REQUEST:
            return
        visitor.received += piece
        head, whole, _ = bytes(visitor.received).replace(b"\r\n", b"\n").partition(b"\n\n")
        if whole:
            self._asked(visitor, head)
        elif len(visitor.received) > _REQUEST_BYTES:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if b"\n" in visitor.received else HTTPStatus.REQUEST_URI_TOO_LONG
            self._known(visitor)
            self._answer(visitor, _refusal(status))

    def _asked(self, visitor: PageVisitor, head: bytes) -> None:
        """A whole request has come."""
        self._known(visitor)
        method, _, rest = head.partition(b"\n")[0].partition(b" ")
        target, _, version = rest.partition(b" ")
        maker = self._pages.get(target.partition(b"?")[0].decode("latin-1"))
        visitor.body = method != b"HEAD"
        if not version.startswith(b"HTTP/1."):
            self._answer(visitor, _refusal(HTTPStatus.BAD_REQUEST))
        elif method not in (b"GET", b"HEAD"):
            self._answer(visitor, _refusal(HTTPStatus.NOT_IMPLEMENTED))
        elif maker is None:
            self._answer(visitor, _refusal(HTTPStatus.NOT_FOUND))
        else:
            maker.wanted(visitor)

    def _known(self, visitor: PageVisitor) -> None:
        self._half.free(visitor)
        visitor.phase, visitor.until = _Phase.PAGE, time.monotonic() + ANSWER_S
        visitor.received.clear()
        self._selector.unregister(visitor.connection)  # until there is an answer nothing is read: who has said all may still listen
        if (crowded := self._answered.take(visitor, visitor.group)) is not None:
            self._end(crowded)

    def _answer(self, visitor: PageVisitor, page: EndpointPage | None) -> None:
        if visitor.phase is not _Phase.PAGE or visitor.connection not in self._visitors:
            return  # it left meanwhile
        if page is None:
            self._end(visitor)
            return
        lines = (
            f"HTTP/1.1 {page.status.value} {page.status.phrase}",
            "Server: hilum",
            f"Content-Type: {page.content_type}",
            f"Content-Length: {len(page.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        )
        head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
        visitor.to_send = memoryview(head + page.body if visitor.body else head)
        visitor.phase = _Phase.ANSWER
        self._selector.register(visitor.connection, selectors.EVENT_WRITE)
        self._serve_one(visitor, selectors.EVENT_WRITE)

    def _write(self, visitor: PageVisitor) -> None:
        sent = visitor.connection.send(visitor.to_send)
        visitor.to_send = visitor.to_send[sent:]
        if visitor.to_send:
            return
        visitor.phase, visitor.until = _Phase.LINGER, time.monotonic() + _LINGER_S
        self._selector.modify(visitor.connection, selectors.EVENT_READ)
        visitor.connection.shutdown(socket.SHUT_WR)

    def _end_late(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        for visitor in [one for one in self._visitors.values() if one.until <= now]:
            self._end(visitor)

    def _end(self, visitor: PageVisitor) -> None:
        if self._visitors.pop(visitor.connection, None) is None:
            return
        self._half.free(visitor)
        self._answered.free(visitor)
        if visitor.phase is not _Phase.PAGE:
            self._selector.unregister(visitor.connection)
        visitor.connection.close()


class PageMaker:
    """Makes one page, in a thread of its own, for all who wait for it at that moment."""

    def __init__(self, path: str, make: Callable[[], EndpointPage], made: Callable[[list[PageVisitor], EndpointPage | None], None]) -> None:
        self._make = make
        self._made = made
        self._waiting: list[PageVisitor] = []
        self._changed = threading.Condition()
        self._ending = False
        threading.Thread(target=self._run, name=f"page {path}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many it holds who wait for the page to be made; of those who gave up no more than of those whom the endpoint has room for."""
        return len(self._waiting)

    def wanted(self, visitor: PageVisitor) -> None:
        """Make it once more, for one who came just now."""
        with self._changed:
            if len(self._waiting) >= 2 * MOST_ANSWERED:
                # a page that is never made must not keep everybody who gave up
                self._waiting = [one for one in self._waiting if one.connection.fileno() >= 0]
            self._waiting.append(visitor)
            self._changed.notify()

    def close(self) -> None:
        """Make no more."""
        with self._changed:
            self._ending = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if self._ending:
                    return
                waiting, self._waiting = self._waiting, []
            self._made(waiting, self._page())

    def _page(self) -> EndpointPage | None:
        """The page; None where a defect kept it from being made, which ends the connections."""
        try:
            return self._make()
        except HilumError as failed:
            alarm("metrics.failed", code=failed.code, reason=str(failed))
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        except Exception as defect:  # noqa: BLE001  (the pages must survive a defect of one of them)
            alarm("metrics.defect", error=type(defect).__name__, trace=trace(defect))
            return None


def _refusal(status: HTTPStatus) -> EndpointPage:
    return EndpointPage(status=status, content_type="text/plain; charset=utf-8", body=f"{status.phrase.lower()}\n".encode())
