"""The console's listener: HTTP/1.1 with or without TLS, until told to stop.

Its connections are bounded before anything of a request is known: TLS, the header, the body and the answer each have their time, and who
has said nothing whole yet makes room for the next. uvicorn's own bound counts such connections like any other, and answers 503.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from node.console.access import LONGEST_FORM
from node.console.app import build
from node.console.context import ConsoleContext
from node.console.errors import ConsoleCannotListen
from node.dimse.tls import TlsUnusable, web_context
from node.domain.places import Places, address_group
from node.observe.events import alarm
from node.observe.pulse import turned, turning
from node.settings.console import Console
from node.settings.kinds import TrustedProxies
from node.settings.secrets import NotPrivate

MOST_ENDED: Final = 512
"""Connections that may be ended to make room: no whole request has come, the answer is not read, or they are kept for another one."""
MOST_OF_ONE: Final = 64
"""Of these, those of one address."""
MOST_AT_ONCE: Final = 768
"""Connections in all; above it, requests are answered with 503."""
MOST_HEADER: Final = 32_768
"""Bytes of a request's line and header."""
_BODIES = ("POST", "PUT")


class Phase(Enum):
    """Where a connection stands, and for how many seconds it may: not from its last byte on, but from the first of the phase."""

    HEADER = auto()  # also the handshake of TLS before it
    BODY = auto()
    ANSWER = auto()
    UNREAD = auto()  # so much of an answer waits to be read that no more is written
    IDLE = auto()
    ENDING = auto()


LASTS_S: Final[Mapping[Phase, float]] = {Phase.HEADER: 10.0, Phase.BODY: 30.0, Phase.UNREAD: 20.0, Phase.IDLE: 10.0, Phase.ENDING: 10.0}


class Bounds:
    """What the connections of one listener share: places, who is a proxy, TLS (`context` None: without), how long a phase lasts."""

    def __init__(
        self,
        proxies: TrustedProxies,
        context: Callable[[], ssl.SSLContext] | None = None,
        *,
        lasts_s: Mapping[Phase, float] = LASTS_S,
    ) -> None:
        self.proxies = proxies
        self.context = context
        self.lasts_s = lasts_s
        self.places: Places[BoundedHttp] = Places(MOST_ENDED, of_one=MOST_OF_ONE)


class BoundedHttp(H11Protocol):
    """One connection of a browser or a program, over TCP or TLS."""

    def __init__(self, *, bounds: Bounds, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._bounds = bounds
        self._tcp: asyncio.Transport | None = None
        self._group: str | None = None
        self._phase: Phase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._speaks_http = False
        self._early = bytearray()
        self._unread = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection was accepted."""
        self._tcp = transport
        address = str((transport.get_extra_info("peername") or ("",))[0])
        self._group = None if address in self._bounds.proxies else address_group(address)
        self._enter(Phase.HEADER)
        if self._bounds.context is None:
            self._speak(transport)
        else:
            transport.pause_reading()  # what comes is for TLS
            self._handshake = self.loop.create_task(self._secure(transport, self._bounds.context))

    async def _secure(self, tcp: asyncio.Transport, context: Callable[[], ssl.SSLContext]) -> None:
        """Shake hands, and go on over TLS."""
        try:
            secured = await self.loop.start_tls(
                tcp,
                self,
                context(),
                server_side=True,
                ssl_handshake_timeout=self._bounds.lasts_s[Phase.HEADER],
                ssl_shutdown_timeout=self._bounds.lasts_s[Phase.ENDING],
            )
        except (NotPrivate, TlsUnusable) as unusable:
            alarm("console.tls_unusable", code=unusable.code, reason=str(unusable))
            secured = None
        except OSError:
            secured = None  # what came is no TLS, or not ours
        self._handshake = None
        if secured is None or self._phase is None:
            tcp.abort()
            self._gone()
            return
        self._speak(secured)
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            self.data_received(early)

    def _speak(self, transport: asyncio.Transport) -> None:
        self._speaks_http = True
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Some of a request, or of several."""
        if not self._speaks_http:
            self._early += data  # it came with the last of the handshake; no more is read before that is over
            return
        try:
            super().data_received(data)
        except h11.LocalProtocolError:
            # what is no HTTP came after its request was answered: there is no second answer to it
            self.transport.abort()
        self._look()

    def on_response_complete(self) -> None:
        """An answer is written."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """More is written than is read."""
        super().pause_writing()
        self._unread = True
        self._look()

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        self._unread = False
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended."""
        self._gone()
        if self._speaks_http:
            super().connection_lost(exc)

    def end(self) -> None:
        """End it now, whatever it is about."""
        self._gone()
        if self._tcp is not None:
            self._tcp.abort()

    def _gone(self) -> None:
        self._phase = None
        self._bounds.places.free(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Follow where the connection stands now."""
        if self._phase is not None:
            self._enter(self._stands())

    def _stands(self) -> Phase:
        if self.transport.is_closing():
            return Phase.ENDING
        if self._unread:
            return Phase.UNREAD
        their = self.conn.their_state
        if their is h11.SEND_BODY:
            return Phase.BODY
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.ANSWER
        return Phase.HEADER if self.cycle is None or self.conn.trailing_data[0] else Phase.IDLE

    def _enter(self, phase: Phase) -> None:
        if phase is self._phase:
            return
        before, self._phase = self._phase, phase
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (lasts_s := self._bounds.lasts_s.get(phase)) is not None:
            self._timer = self.loop.call_later(lasts_s, self.end)
        if phase is Phase.ANSWER:
            self._bounds.places.free(self)
        elif before in (None, Phase.ANSWER):
            crowded = self._bounds.places.take(self, self._group)
            if crowded is not None:
                crowded.end()


def bounded(bounds: Bounds) -> Any:
    """What uvicorn makes for each connection."""

    def make(**of_uvicorn: Any) -> BoundedHttp:
        return BoundedHttp(bounds=bounds, **of_uvicorn)

    return make


class WholeBody:
    """Calls the application when the body is there; never, where the connection ends before.

    Parameters
    ----------
    most
        Bytes that are kept for that; of a longer body the application reads the rest itself, and refuses it.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _BODIES:
            await self._app(scope, receive, send)
            return
        found, more = bytearray(), True
        while more and len(found) <= self._most:
            message = await receive()
            if message["type"] != "http.request":
                return  # who asked has left, or was ended
            found += message.get("body", b"")
            more = message.get("more_body", False)
        first: list[Message] = [{"type": "http.request", "body": bytes(found), "more_body": more}]

        async def again() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, again, send)


_DRAIN_S = 5
_LOOK_S = 0.2
_ACCEPTS = 16
"""Connections that are accepted between two looks at those that are there: who has sent its request is read before others push it out."""
_BACKLOG = 1024


def serve(context: ConsoleContext, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Answer until `stop`; `ready` is told the port.

    Raises
    ------
    ConsoleCannotListen
        The address is taken, or the certificate is none.
    NotPrivate
        Others may read the key.
    """
    settings = context.settings
    ending = threading.Event()
    config = uvicorn.Config(
        WholeBody(build(context, ending), most=LONGEST_FORM),
        http=bounded(_bounds(settings)),
        ws="none",
        log_config=None,
        log_level=logging.CRITICAL,  # a line for each request that is none would let anybody fill the log; defects are events
        access_log=False,  # addresses of pages hold what people searched for
        server_header=False,
        lifespan="off",
        limit_concurrency=MOST_AT_ONCE,
        backlog=_ACCEPTS,
        h11_max_incomplete_event_size=MOST_HEADER,
        timeout_graceful_shutdown=_DRAIN_S,
        proxy_headers=False,  # `Forwarded` reads them, of those that are trusted
    )
    with contextlib.closing(_listening(settings)) as listener:
        server = _Server(config)
        answering = threading.Thread(target=server.answer, args=(listener,), name="console", daemon=True)
        answering.start()
        while not server.started and answering.is_alive():
            time.sleep(0.01)
        listener.listen(_BACKLOG)  # asyncio has one number for what the kernel holds and what it accepts at a time
        ready(port=listener.getsockname()[1])
        while answering.is_alive() and not stop.wait(_LOOK_S):
            pass
        ending.set()
        server.should_exit = True
        answering.join(2 * _DRAIN_S)


class _Server(uvicorn.Server):
    """Uvicorn's loop of events, as one whose standstill matters."""

    def answer(self, listener: socket.socket) -> None:
        """Answer until told to stop."""
        with turning("console"):
            self.run(sockets=[listener])

    async def on_tick(self, counter: int) -> bool:
        """Called by the loop ten times a second."""
        turned()
        return await super().on_tick(counter)


def _bounds(settings: Console) -> Bounds:
    if settings.cert is None or settings.key is None:
        return Bounds(settings.trusted_proxies)
    secure = partial(web_context, settings.cert, settings.key)
    try:
        secure()
    except TlsUnusable as unfit:
        raise ConsoleCannotListen(str(unfit)) from unfit
    return Bounds(settings.trusted_proxies, secure)


def _listening(settings: Console) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as taken:
        listener.close()
        raise ConsoleCannotListen(f"{settings.host}:{settings.port}: {taken.strerror}") from taken
    return listener
