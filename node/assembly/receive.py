"""The receive process: bytes to disk, nothing else; it shares no interpreter with inference or encoding."""

import contextlib
import gc
import resource
import threading
from collections.abc import Callable
from dataclasses import dataclass

from node.assembly import compose
from node.assembly.identity import refuse_other_places
from node.dimse.sockets import Sockets
from node.dimse.standing import Standing
from node.settings.config import Config

_DRAIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """Descriptors that a receive process inherits (node.assembly.entrance), and which of the receive processes it is."""

    plain: int | None
    secure: int | None
    standing: int
    row: int


def receive(config: Config, lent: Lent | None, stop: threading.Event, *, ready: Callable[..., None]) -> None:
    """Listen until `stop`, then let open associations finish for a while; `lent` None: alone, on sockets of its own."""
    from node.dimse.listener import Listener

    _may_open_all()
    refuse_other_places(config)
    bell = compose.local_bell(config, "index")  # who empties the spool is on this host, and needs no database to be woken
    inbox = compose.open_intake(config, kept=bell.ring)
    # adopted last: what fails before is tried again, and a socket belongs to whoever adopts it first
    sockets = None if lent is None else Sockets.adopt(plain=lent.plain, secure=lent.secure)
    standing = None if lent is None else Standing.attach(lent.standing, lent.row)
    listener = Listener(
        config,
        inbox,
        sockets=sockets,
        standing=standing,
        slips=compose.open_slips(config),
        owed=compose.open_owed(config, kept=bell.ring),
        on_slip=bell.ring,
    )
    inbox.write_ahead()
    # modules and settings stay as long as the process: the collector need not walk over all of them again while instances come in
    gc.collect()
    gc.freeze()
    listener.start()
    ready(**listener.ports)
    stop.wait()
    listener.stop(_DRAIN_S)
    inbox.close()


def _may_open_all() -> None:
    """As many open files as the system lets this process have: an association holds two, and what is not flushed yet one each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # "no limit" is one to some systems
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
