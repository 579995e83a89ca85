"""What every view has at hand: the journal, the settings, the pictures, the routes, and who was asked how he is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.console.accesses import Accesses
from node.console.editing import Editing
from node.console.health import Health
from node.console.images.gallery import Gallery
from node.console.limits import Recent
from node.journal.port import Journal
from node.settings.config import Console, Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Shared by all requests; the journal is safe in many threads. `models` is the folder of the model repository, `peers` are those of the
    configuration by name."""

    journal: Journal
    settings: Console
    gallery: Gallery
    accesses: Accesses
    health: Health
    models: Path
    editing: Editing
    peers: Mapping[str, Peer]
    tries: Recent = field(default_factory=Recent)

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over TLS, so that cookies need not go any other way."""
        return self.settings.cert is not None or bool(self.settings.trusted_proxies)
