"""The console's listener: HTTP/1.1 with or without TLS, until told to stop."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import uvicorn

from node.console.access import LONGEST_FORM
from node.console.app import build
from node.console.bounded_http import MOST_AT_ONCE, MOST_HEADER, Bounds, WholeBody, bounded
from node.console.context import ConsoleContext
from node.console.errors import ConsoleCannotListen
from node.dimse.tls import TlsUnusable, web_context
from node.observe.pulse import turned, turning
from node.settings.console import Console

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
