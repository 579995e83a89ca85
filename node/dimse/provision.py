"""What is looked at before the node starts: certificates, keys and authorities that no handshake could succeed with."""

from datetime import UTC, datetime

from node.dimse.tls import client_context, server_context
from node.dimse.tls_errors import TlsExpired, TlsUnusable
from node.dimse.validity import validities_of
from node.settings.config import Config


def demand_usable_tls(config: Config) -> None:
    """Refuse a configuration whose TLS would fail at the first handshake.

    A peer's certificates that have expired are told (`certificate.expires`) and refuse nothing: one sink must not keep everybody else's
    studies out. The listener's do: nobody could reach it.

    Raises
    ------
    NotPrivate, TlsUnusable
        A file cannot be read, is not what it should be, or is not for its user alone.
    TlsExpired
        Nobody who calls this node would, or could, trust it.
    """
    for peer in config.peers.values():
        if peer.tls is not None:
            try:
                client_context(peer.tls)
            except TlsUnusable as unfit:
                raise TlsUnusable(f'peer "{peer.name}": {unfit}') from unfit
    if config.node.tls is None:
        return
    server_context(config.node.tls)
    now = datetime.now(UTC)
    for one in validities_of(config.node.tls):
        if one.until is None:
            raise TlsUnusable(one.why)
        if one.left_s(now) <= 0:
            raise TlsExpired(f"{one.path} ({one.use.value} of `node: {{tls: …}}`) expired on {one.until:%Y-%m-%d %H:%M} UTC")
