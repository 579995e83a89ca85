"""The listener: accepts associations under the node's AE titles, each served in a thread of its own.

What an association says is understood in node.dimse.acceptor; what is done for it stands in node.dimse.services.
"""

from collections.abc import Callable

from node.dimse import tls
from node.dimse.acceptor.accepted import Associations
from node.dimse.acceptor.association import AcceptorAssociation, AcceptorDeadlines
from node.dimse.association_policy import AssociationPolicy
from node.dimse.port import CommitmentIntake, Intake, ShortfallIntake
from node.dimse.server import Caller, ConnectionServer
from node.dimse.services.kinds import Services
from node.dimse.services.port import ListenerParts
from node.dimse.shared_limits import SharedLimits
from node.dimse.sockets import Sockets, bind
from node.settings.config import Config


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
        self._server: ConnectionServer | None = None

    def start(self) -> None:
        """Bind, unless the sockets were given, and accept associations; returns at once. OSError when a port is taken."""
        self._services = Services(self._parts)
        if self._sockets is None:
            self._sockets = bind(self._config.node)
        self._server = ConnectionServer(self._sockets, self._policy, self._serve)
        self._server.start()

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

    def stop(self, drain_s: float) -> None:
        """Accept nothing new, let open associations end for `drain_s`, then abort them."""
        server, self._server = self._server, None
        if server is not None:
            server.stop(drain_s)

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
