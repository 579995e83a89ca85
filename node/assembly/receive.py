"""The receive process: bytes to disk, nothing else; it shares no interpreter with inference or encoding."""

import contextlib
import errno
import resource
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.assembly import compose
from node.assembly.configuration import load
from node.dimse.shared_limits import SharedLimits
from node.dimse.sockets import Sockets, bind
from node.domain.errors import ConfigError
from node.observe.association_log import AssociationLog
from node.observe.security import listen_to_lines
from node.settings.config import Config
from node.store.hosts import association_folder
from node.store.identity import refuse_other_places
from node.store.in_force import ConfigInForce

_DRAIN_S = 20.0
_LOOK_EVERY_S = 0.2


class NotReady(ConfigError):
    """The listener did not come up: the port is taken, or the process died."""

    code = "HLM-2091"
    remedy = "See the events above, and whether the address is one of this machine's (`node: {listen: …}`)."


class PortNotAllowed(NotReady):
    """The port is below 1024, and this user may not listen there."""

    code = "HLM-2113"
    remedy = (
        'Listen on a port from 1024 on (`node: {listen: "0.0.0.0:11112"}`) and tell the senders; or allow it: systemd\'s unit has '
        "`AmbientCapabilities=CAP_NET_BIND_SERVICE`, a container `--cap-add NET_BIND_SERVICE`."
    )


class PortTaken(NotReady):
    """Another program listens on the port."""

    code = "HLM-2114"
    remedy = "`ss -ltnp` says which program it is, another hilum mostly: end that one, or listen on another port (`node: {listen: …}`)."


class ListeningSockets:
    """The supervisor's: bound before the first receive process starts, and inherited by each. One that dies refuses nobody.

    Raises
    ------
    NotReady
        A port is taken (`PortTaken`), or none for this user (`PortNotAllowed`).
    """

    def __init__(self, config: Config) -> None:
        node = config.node
        try:
            self.sockets = bind(node)
        except PermissionError as refused:
            low = [port for port in (node.port if node.plain else 0, node.tls.port if node.tls else 0) if 0 < port < 1024]
            raise PortNotAllowed(f"this user may not listen on port {' or '.join(map(str, low)) or node.port}") from refused
        except OSError as failed:
            error = PortTaken if failed.errno == errno.EADDRINUSE else NotReady
            raise error(f"the listener on {node.host}:{node.port} cannot be bound: {failed.strerror or failed}") from failed
        self.standing = SharedLimits.make(config, rows=node.receivers)

    @property
    def own_port(self) -> int:
        """The port that this machine's own test files go to: the one without TLS where there is one."""
        ports = self.sockets.ports
        return ports.get("port") or ports["tls_port"]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a receive process inherits."""
        return (*(one.fileno() for one in self.sockets.all), self.standing.descriptor)

    def arguments(self, row: int) -> Iterator[str]:
        """How it is told so; `row` is the number of the receive process."""
        if self.sockets.plain is not None:
            yield from ("--listen", str(self.sockets.plain.fileno()))
        if self.sockets.secure is not None:
            yield from ("--listen-tls", str(self.sockets.secure.fileno()))
        yield from ("--standing", str(self.standing.descriptor), "--row", str(row))

    def close(self) -> None:
        """Refuse connections from now on, as soon as the receive processes do so too."""
        self.sockets.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedSockets:
    """Descriptors that a receive process inherits (`ListeningSockets`), and which of the receive processes it is."""

    plain: int | None
    secure: int | None
    standing: int
    row: int


def receive(
    config: Config, inherited: InheritedSockets | None, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None
) -> None:
    """Listen until `stop`, then let open associations finish for a while; by the peers that `in_force` holds, where it changes.

    `inherited` None: alone, on sockets of its own.
    """
    from node.dimse.listener import Listener

    _may_open_all()
    refuse_other_places(config)
    index = compose.local_wake_up(config, "index")  # who empties the spool is on this host, and needs no database to be woken
    inbox = compose.open_intake(config, kept=index.ring)
    # adopted last: what fails before is tried again, and a socket belongs to whoever adopts it first
    sockets = None if inherited is None else Sockets.adopt(plain=inherited.plain, secure=inherited.secure)
    shared = None if inherited is None else SharedLimits.attach(inherited.standing, inherited.row)
    listener = Listener(
        config,
        inbox,
        sockets=sockets,
        shared=shared,
        commitments=compose.open_commitment_inbox(config),
        shortfalls=compose.open_shortfalls(config, kept=index.ring),
        on_commitment=index.ring,
    )
    associations = AssociationLog(association_folder(config), 0 if inherited is None else inherited.row)
    listen_to_lines(associations.hear)
    listener.start()
    ready(**listener.ports)
    followed = ConfigInForce(config, in_force, [listener], load=load)
    while not stop.wait(_LOOK_EVERY_S):
        followed.look()
    listener.stop(_DRAIN_S)
    inbox.close()
    associations.close()


def _may_open_all() -> None:
    """As many open files as the system lets this process have: an association holds two, and what is not flushed yet one each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # "no limit" is one to some systems
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
