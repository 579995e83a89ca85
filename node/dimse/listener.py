"""The listener: accepts connections and associations under the node's AE titles, each served in a thread of its own.

What an association says is understood in node.dimse.acceptor; what is done for it stands in node.dimse.services.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from node.dimse import tls
from node.dimse.acceptor.accepted import Associations
from node.dimse.acceptor.association import AcceptorAssociation, AcceptorDeadlines
from node.dimse.addresses import NoHeader, Whose, read_source
from node.dimse.association_policy import AssociationPolicy
from node.dimse.port import CommitmentIntake, Intake, ShortfallIntake
from node.dimse.services.kinds import Services
from node.dimse.services.port import ListenerParts
from node.dimse.shared_limits import SharedLimits
from node.dimse.sockets import Sockets, bind
from node.dimse.ul.connection import set_options
from node.observe import metrics
from node.observe.events import alarm, trace
from node.observe.pulse import turned, turning
from node.observe.security import ProxyHeaderMissing, TooManyConnections, UnknownAddress
from node.settings.config import Config

_AGAIN_S: Final = 0.05
_TO_DRAIN_S: Final = 0.02


class Served(Protocol):
    """A connection that is being served; `stop` is called from another thread."""

    @property
    def established(self) -> bool: ...

    def stop(self) -> None: ...


class Caller:
    """One connection, from the moment that it was accepted until it is closed.

    `behind_proxy`: `address` is a trusted proxy's, which has not told (yet) from where the sender called it.
    """

    def __init__(self, server: "ConnectionServer", connection: socket.socket, *, address: str, secure: bool, whose: Whose) -> None:
        self.connection = connection
        self.address = address
        self.secure = secure
        self.behind_proxy = whose is Whose.PROXY
        self._server = server
        self._lock = threading.Lock()
        self._displaced = False
        self._lingers = False

    def secured(self, connection: socket.socket) -> None:
        """TLS has taken the descriptor over."""
        with self._lock:
            self.connection = connection
            if self._displaced:
                _shut_down(connection)

    def displace(self) -> None:
        """Another connection has its seat now: end this one, whatever its thread waits for. Called from another thread."""
        with self._lock:
            self._displaced = True
            _shut_down(self.connection)

    def comes_through(self, timeout_s: float) -> bool:
        """Take the sender's own address from what the proxy says first; False: the connection is over, and was told of."""
        policy = self._server.policy
        try:
            source = read_source(self.connection, timeout_s=timeout_s)
        except NoHeader as missing:
            policy.refusals.tell(ProxyHeaderMissing(address=self.address, reason=str(missing)))
            metrics.CONNECTIONS_CLOSED.add(reason="no_proxy_header")
            return False
        self.behind_proxy = False
        if source is None:
            return True  # of the proxy itself
        self.address = source
        policy.disconnect(self)
        return self._server.seated(self)

    def admitted(self) -> None:
        """It is an association now, or has been one, and counts no more for its address."""
        self._server.policy.disconnect(self)

    def lingers(self) -> bool:
        """Its association is over, and the peer is to close it: whether there is room to wait for that."""
        self.admitted()
        self._lingers = self._server.policy.linger()
        return self._lingers

    def served_by(self, served: Served) -> None:
        """Who is to be told when the node stops."""
        self._server.tell(self, served)

    def close(self) -> None:
        """Its thread has ended."""
        self.admitted()
        if self._lingers:
            self._server.policy.lingered()
        self.connection.close()


class ConnectionServer:
    """Accepts connections, no more than admission has seats for, and gives each to `serve` in a thread of its own."""

    def __init__(self, sockets: Sockets, policy: AssociationPolicy, serve: Callable[[Caller], None]) -> None:
        self.policy = policy
        self._sockets = sockets
        self._serve = serve
        self._stopping = False
        self._lock = threading.Lock()
        self._served: dict[Caller, Served | None] = {}
        self._acceptors = [
            threading.Thread(target=self._accept, args=(one, one is sockets.secure), name="listener", daemon=True) for one in sockets.all
        ]

    def start(self) -> None:
        """Begin to accept; returns at once."""
        for one in self._acceptors:
            one.start()

    def stop(self, drain_s: float, abort_s: float = 2.0) -> None:
        """Accept nothing new, let open associations end for `drain_s`, then abort them, and wait for their ends for `abort_s`."""
        self._stopping = True
        for one in self._acceptors:
            one.join()
        self._sockets.close()
        deadline = time.monotonic() + drain_s
        while any(one is not None and one.established for one in self.standing()) and time.monotonic() < deadline:
            time.sleep(_TO_DRAIN_S)
        for caller, served in self._callers():
            with contextlib.suppress(OSError):
                if served is not None:
                    served.stop()
                else:
                    _shut_down(caller.connection)
        deadline = time.monotonic() + abort_s
        while self.standing() and time.monotonic() < deadline:
            time.sleep(_TO_DRAIN_S)
        self.policy.refusals.close()

    def tell(self, caller: Caller, served: Served) -> None:
        """Note who serves a connection."""
        with self._lock:
            self._served[caller] = served

    def _callers(self) -> list[tuple[Caller, Served | None]]:
        with self._lock:
            return list(self._served.items())

    def standing(self) -> list[Served | None]:
        """Who serves each connection that stands; None of one that nobody serves yet."""
        with self._lock:
            return list(self._served.values())

    def _accept(self, listening: socket.socket, secure: bool) -> None:
        with turning("listener"):
            self._accept_on(listening, secure)

    def _accept_on(self, listening: socket.socket, secure: bool) -> None:
        while not self._stopping:
            turned()
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                continue  # nobody came for a while
            except OSError as failed:
                if not self._stopping:
                    alarm("listener.cannot_accept", reason=failed.strerror)  # too many open files, mostly
                    time.sleep(_AGAIN_S)
                continue
            if _has_gone(connection):
                # no thread for it: thousands that connect and close would stand before an honest one in the queue
                connection.close()
                continue
            try:
                self._let_in(connection, str(address[0]), secure)
            except Exception as broken:  # noqa: BLE001  (one connection is lost; a thread that ended here would leave a node that lives and hears nobody)
                connection.close()
                alarm("listener.cannot_accept", reason=type(broken).__name__)

    def _let_in(self, connection: socket.socket, address: str, secure: bool) -> None:
        whose = self.policy.whose(address)
        caller = Caller(self, connection, address=address, secure=secure, whose=whose)
        try:
            if not self.seated(caller, whose):
                connection.close()
                return
            with self._lock:
                self._served[caller] = None
            threading.Thread(target=self._run, args=(caller,), name=f"connection {address}", daemon=True).start()
        except RuntimeError as failed:  # no more threads
            alarm("listener.cannot_accept", reason=str(failed))
            self._end(caller)
        except Exception:  # raised again: no thread would ever give its seat back
            self._end(caller)
            raise

    def seated(self, caller: Caller, whose: Whose | None = None) -> bool:
        """Find a seat for a half-open connection, by its address; False: there is none, which was told."""
        address = caller.address
        whose = whose or self.policy.whose(address)
        if whose is Whose.UNKNOWN:
            self.policy.refusals.tell(UnknownAddress(address=address))
            metrics.CONNECTIONS_CLOSED.add(reason="unknown_address")
            return False
        taken = self.policy.connect(caller, address, whose)
        if taken is None:
            self._too_many(address)
            return False
        if isinstance(taken.displaced, Caller):
            self._too_many(taken.displaced.address)
            taken.displaced.displace()
        return True

    def _too_many(self, address: str) -> None:
        self.policy.refusals.tell(TooManyConnections(address=address))
        metrics.CONNECTIONS_CLOSED.add(reason="too_many")

    def _run(self, caller: Caller) -> None:
        try:
            _set_options(caller.connection)
            self._serve(caller)
        except Exception as broken:  # noqa: BLE001  (one association is lost; its words may quote the patient, its place does not)
            alarm("association.failed", address=caller.address, error=type(broken).__name__, trace=trace(broken))
        finally:
            self._end(caller)

    def _end(self, caller: Caller) -> None:
        with self._lock:
            self._served.pop(caller, None)
        caller.close()


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # not the method of an SSLSocket, which would take TLS off
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _has_gone(connection: socket.socket) -> bool:
    """Whether who connected has closed it already, without a word: a health check, a port scan."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:  # it was reset
        return True


def _set_options(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        set_options(connection)


class Listener:
    """Listens under the AE titles of `config.node` and hands every instance to `intake`.

    `sockets` and `shared` are what the receive processes of one node share; without them this process is the only one, and binds its own.
    `commitments` keeps requests and reports of storage commitment, and `on_commitment` is called after each; without it there is none.
    `shortfalls` keeps what series lack that came.
    """

    def __init__(
        self,
        config: Config,
        intake: Intake,
        *,
        sockets: Sockets | None = None,
        shared: SharedLimits | None = None,
        commitments: CommitmentIntake | None = None,
        shortfalls: ShortfallIntake | None = None,
        on_commitment: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._sockets = sockets
        self._deadlines = AcceptorDeadlines.of(config.node)
        self._policy = AssociationPolicy(config, crowded=intake.crowded, shared=shared)
        self._associations = Associations(self._policy, intake, shortfalls=shortfalls)
        self._parts = ListenerParts(config=config, intake=intake, commitments=commitments, on_commitment=on_commitment)
        self._services: Services | None = None
        self.server: ConnectionServer | None = None
        """What accepts the connections, between `start` and `stop`."""

    def start(self) -> None:
        """Bind, unless the sockets were given, and accept associations; returns at once. OSError when a port is taken."""
        self._services = Services(self._parts)
        if self._sockets is None:
            self._sockets = bind(self._config.node)
        self.server = ConnectionServer(self._sockets, self._policy, self._serve)
        self.server.start()

    def adopt(self, config: Config) -> None:
        """Admit by these peers from the next association on; those that stand keep what they were admitted with."""
        self._policy.adopt(config)
        if self._services is not None:
            self._services.adopt(config)

    @property
    def ports(self) -> dict[str, int]:
        """Where it listens: `port` without TLS, `tls_port` with it."""
        assert self._sockets is not None, "it was started"
        return self._sockets.ports

    @property
    def port(self) -> int:
        """Where it listens without TLS."""
        return self.ports["port"]

    @property
    def tls_port(self) -> int:
        """Where it listens with TLS."""
        return self.ports["tls_port"]

    def stop(self, drain_s: float, abort_s: float = 2.0) -> None:
        """Accept nothing new, let open associations end for `drain_s`, then abort them, and wait for their ends for `abort_s`."""
        server, self.server = self.server, None
        if server is not None:
            server.stop(drain_s, abort_s)

    def _serve(self, caller: Caller) -> None:
        """One connection, in its own thread, from its first byte until it may be closed."""
        node = self._config.node
        if node.proxy_protocol and caller.behind_proxy and not caller.comes_through(self._deadlines.acse_s):
            return
        certificate = None
        if caller.secure:
            assert node.tls is not None, "what is accepted with TLS is configured"
            secured = tls.accept(
                caller.connection,
                node.tls,
                timeout_s=self._deadlines.acse_s,
                address=caller.address,
                refusals=self._policy.refusals,
                wrapped=caller.secured,
            )
            if secured is None:
                return
            certificate = tls.certificate_of(secured)
        assert self._services is not None, "it was started"
        served = AcceptorAssociation(
            caller.connection,
            self._associations,
            self._services,
            self._deadlines,
            caller=caller,
            certificate=certificate,
        )
        caller.served_by(served)
        served.serve()
