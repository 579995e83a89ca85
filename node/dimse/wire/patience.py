"""How long an association waits for its peer."""

from dataclasses import dataclass

from node.settings.config import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited, in seconds: `acse` for the request and for the peer to close (ARTIM), `dimse` for a PDU and for what a message
    still lacks, `idle` between messages."""

    acse_s: float
    dimse_s: float
    idle_s: float

    @classmethod
    def of(cls, node: Node) -> "Patience":
        """What the configuration says."""
        return cls(
            acse_s=node.acse_timeout.total_seconds(), dimse_s=node.dimse_timeout.total_seconds(), idle_s=node.idle_timeout.total_seconds()
        )
