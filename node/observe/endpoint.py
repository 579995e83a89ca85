"""A small HTTP server for pages that programs read: GET and HEAD only, a few at a time, none for long; standard library."""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, SHUT_RDWR, AddressFamily, socket
from typing import Any

from inference.errors import HilumError
from node.observe.events import alarm, trace

_AT_ONCE = 8
_SILENT_S = 5.0
_LONGEST_S = 15.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


def as_json(status: HTTPStatus, content: Mapping[str, Any]) -> Page:
    """An answer in JSON."""
    return Page(status=status, content_type="application/json", body=json.dumps(content, indent=1).encode() + b"\n")


class Endpoint:
    """Serves `pages` by path from threads of its own.

    Whoever connects cannot hold it up: more than a few connections are closed at once, silence ends a connection, and so does taking long.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._server = _Server(host, port, pages)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on, also when the system chose it."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a visitor who dawdles must not hold up the node's end
    request_queue_size = 16

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        self.address_family: AddressFamily = AF_INET6 if ":" in host else AF_INET
        self.pages = pages
        self._open: dict[socket, float] = {}
        self._guard = threading.Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of the own host's name, which may take seconds in a network without DNS."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a free place."""
        with self._guard:
            if len(self._open) >= _AT_ONCE:
                return False
            self._open[request] = time.monotonic()
        return True

    def shutdown_request(self, request: Any) -> None:
        """Give the place back."""
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Between connections: end those that take too long."""
        with self._guard:
            late = [one for one, since in self._open.items() if time.monotonic() - since > _LONGEST_S]
        for one in late:
            try:
                one.shutdown(SHUT_RDWR)
            except OSError:
                continue  # it ended meanwhile

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who leaves in the middle is no event; a defect of a page is one."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            alarm("metrics.defect", error=type(error).__name__, trace=trace(error))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENT_S
    server_version = "hilum"
    sys_version = ""

    def do_GET(self) -> None:
        """A page with its body."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """A page without it."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        made = self.server.pages.get(self.path.partition("?")[0])
        if made is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            page = made()
        except HilumError as failed:
            alarm("metrics.failed", code=failed.code, reason=str(failed))
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if body:
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Every scrape in the log would drown what matters."""
