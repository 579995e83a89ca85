"""The console's listener: HTTP/1.1 with or without TLS, until told to stop."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable

import uvicorn

from node.console.app import build
from node.console.desk import Desk
from node.console.errors import ConsoleCannotListen
from node.settings.config import Console

_DRAIN_S = 5
_LOOK_S = 0.2
_AT_ONCE = 256


def serve(desk: Desk, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Answer until `stop`; `ready` is told the port.

    Raises
    ------
    ConsoleCannotListen
        The address is taken, or the certificate is none.
    """
    settings = desk.settings
    ending = threading.Event()
    config = uvicorn.Config(
        build(desk, ending),
        log_config=None,
        access_log=False,  # addresses of pages hold what people searched for
        server_header=False,
        lifespan="off",
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_DRAIN_S,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        ssl_certfile=settings.cert,
        ssl_keyfile=settings.key,
    )
    with contextlib.closing(_listening(settings)) as listener:
        try:
            config.load()
        except (OSError, ssl.SSLError) as unfit:
            raise ConsoleCannotListen(f"{settings.cert} and {settings.key} cannot be used: {unfit}") from unfit
        server = uvicorn.Server(config)
        answering = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="console", daemon=True)
        answering.start()
        while not server.started and answering.is_alive():
            time.sleep(0.01)
        ready(port=listener.getsockname()[1])
        while answering.is_alive() and not stop.wait(_LOOK_S):
            pass
        ending.set()
        server.should_exit = True
        answering.join(2 * _DRAIN_S)


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
