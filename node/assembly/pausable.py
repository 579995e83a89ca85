"""Names that an operator may pause: pausing another would hold back nothing."""

from node.journal.port import Pausable
from node.settings.config import Config


def pausable(config: Config) -> dict[Pausable, list[str]]:
    """Routes, sinks and engines of a configuration, by name."""
    return {
        Pausable.ROUTE: [route.name for route in config.routes],
        Pausable.SINK: list(config.sinks),
        Pausable.ENGINE: sorted({*config.engines, "default"}),
    }
