"""The listener: C-ECHO and C-STORE; bytes go to the intake as they came, and 0x0000 is answered once they are kept.

Associations that only store take the fast path (node.dimse.wire), others pynetdicom (node.dimse.stock), on the same port; what both do is
in node.dimse.visit.
"""

from collections.abc import Callable

from node.dimse import tls
from node.dimse.admission import Admission
from node.dimse.commitment import CommitmentProvider, Slips
from node.dimse.contexts import accepted_contexts
from node.dimse.port import Intake, Owed
from node.dimse.server import Caller, Server
from node.dimse.sockets import Sockets, bind
from node.dimse.standing import Standing
from node.dimse.stock import Stock, StockAssociation
from node.dimse.visit import Visits
from node.dimse.wire.association import FastAssociation
from node.dimse.wire.outcome import HandOver
from node.dimse.wire.patience import Patience
from node.settings.config import Config, May, Receiver


class Listener:
    """Listens under the AE titles of `config.node` and hands every instance to `intake`.

    `sockets` and `standing` are what the receive processes of one node share; without them this process is the only one, and binds its own.
    `slips` keeps requests and reports of storage commitment, and `on_slip` is called after each; without it there is none. `owed`
    keeps what series lack that came.
    """

    def __init__(
        self,
        config: Config,
        intake: Intake,
        *,
        sockets: Sockets | None = None,
        standing: Standing | None = None,
        slips: Slips | None = None,
        owed: Owed | None = None,
        on_slip: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._sockets = sockets
        self._patience = Patience.of(config.node)
        self._admission = Admission(config, crowded=intake.crowded, standing=standing)
        self._visits = Visits(self._admission, intake, peers=config.peers, owed=owed)
        commitment = None if slips is None else CommitmentProvider(config, slips, flush=intake.ended, on_kept=on_slip)
        self._stock = Stock(config.node, self._visits, commitment)
        self._server: Server | None = None

    def start(self) -> None:
        """Bind, unless the sockets were given, and accept associations; returns at once. OSError when a port is taken."""
        for peer in self._config.peers.values():  # the first association of each would wait for it
            accepted_contexts(store=May.STORE in peer.may, echo=May.ECHO in peer.may, syntaxes=peer.limits.syntaxes)
        if self._sockets is None:
            self._sockets = bind(self._config.node)
        self._server = Server(self._sockets, self._admission, self._serve)
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
        if node.proxy_protocol and caller.behind_proxy and not caller.comes_through(self._patience.acse_s):
            return
        certificate = None
        if caller.secure:
            assert node.tls is not None, "what is accepted with TLS is configured"
            secured = tls.accept(
                caller.connection,
                node.tls,
                timeout_s=self._patience.acse_s,
                address=caller.address,
                refusals=self._admission.refusals,
                wrapped=caller.secured,
            )
            if secured is None:
                return
            certificate = tls.certificate_of(secured)
        fast = FastAssociation(
            caller.connection,
            self._visits,
            self._patience,
            caller=caller,
            certificate=certificate,
            serves=node.receiver is Receiver.FAST,
        )
        caller.served_by(fast)
        try:
            fast.serve()
        except HandOver as over:
            stock = StockAssociation(self._stock, caller, certificate=certificate, received=over.received)
            caller.served_by(stock)
            stock.serve()
