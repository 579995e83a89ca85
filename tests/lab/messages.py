"""Where messages arrive: a mail server that asks for STARTTLS and a login, and a web server that takes a webhook's posts."""

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.lab.certificates import Identity

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, LoginPassword, Session


class Mailbox:
    """What came, and what the server says to it; `refusing` is an answer such as "450 later", `unknown` are addresses without a mailbox."""

    def __init__(self) -> None:
        self.came: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.refusing = ""
        self.unknown: set[str] = set()
        self.port = 0

    async def handle_RCPT(self, server: "SMTP", session: "Session", envelope: "Envelope", address: str, options: list[str]) -> str:
        """One recipient."""
        if address in self.unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 taken"

    async def handle_DATA(self, server: "SMTP", session: "Session", envelope: "Envelope") -> str:
        """One message."""
        if self.refusing:
            return self.refusing
        assert isinstance(envelope.content, bytes)
        self.came.append(message_from_bytes(envelope.content, policy=policy.default))
        self.to.append(list(envelope.rcpt_tos))
        return "250 taken"


@contextlib.contextmanager
def mail_server(identity: Identity, name: str, passcode: str) -> Iterator[Mailbox]:
    """A server on this machine that takes mail after STARTTLS from this login alone."""
    from aiosmtpd.smtp import SMTP, AuthResult

    def knows(server: SMTP, session: "Session", envelope: "Envelope", mechanism: str, given: "LoginPassword") -> AuthResult:
        right = (given.login, given.password) == (name.encode(), passcode.encode())
        return AuthResult(success=right, handled=False)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    box, loop = Mailbox(), asyncio.new_event_loop()

    def connected() -> SMTP:
        return SMTP(box, tls_context=context, require_starttls=True, authenticator=knows, auth_required=True, loop=loop)

    # not aiosmtpd's own controller: it calls the server at the port that it was given, which is 0
    server = loop.run_until_complete(loop.create_server(connected, "127.0.0.1", 0))
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


class Posts:
    """What was posted, with its headers; `status` is the answer."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.asked = 0
        self.port = 0

    @property
    def content(self) -> list[Any]:
        """The bodies of what was taken."""
        return [json.loads(body) for _, body in self.came]


@contextlib.contextmanager
def webhook_server(identity: Identity | None = None) -> Iterator[Posts]:
    """A web server on this machine, with TLS where it has a certificate."""
    posts = Posts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.asked += 1
            if posts.status == 200:
                posts.came.append((dict(self.headers), body))
            self.send_response(posts.status)
            if posts.status == 307:
                self.send_header("Location", f"http://127.0.0.1:{posts.port}/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    posts.port = server.server_address[1]
    if identity is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield posts
    finally:
        server.shutdown()
        server.server_close()
