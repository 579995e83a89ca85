"""The receive process: bytes to disk, nothing else; it shares no interpreter with inference or encoding."""

import threading
from collections.abc import Callable
from dataclasses import replace

from node.assembly import compose
from node.settings.config import Config

_DRAIN_S = 20.0


def receive(config: Config, port: int | None, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Listen until `stop`, then let open associations finish for a while; `port` overrides the configured one, for a restart."""
    from node.dimse.listener import Listener

    if port is not None:
        config = replace(config, node=replace(config.node, port=port))
    inbox = compose.open_intake(config)
    bell = compose.local_bell(config, "index")  # who empties the spool is on this host, and needs no database to be woken
    listener = Listener(config, inbox, on_kept=bell.ring)
    listener.start()
    ready(port=listener.port)
    stop.wait()
    listener.stop(_DRAIN_S)
