"""The configuration as frozen nouns: all of hilum.yaml, its engines and sinks. Other blocks stand with their keys beside this file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from inference.engines.kind import Options
from inference.engines.kinds import DEFAULT
from node.domain.commitment import Commitment
from node.domain.profile import VIEWER, Profile
from node.domain.route import Asked, Route
from node.settings.applications import ApplicationSettings
from node.settings.audit import Audit
from node.settings.console import Console
from node.settings.node import Node
from node.settings.notify import Notify
from node.settings.peers import Peer, Settle
from node.settings.schedule import Schedule
from node.settings.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What runs models; `options` are what its kind is told (`inference.engines.kinds`)."""

    name: str
    options: Options = field(default_factory=DEFAULT.options)


class Destination(Protocol):
    """Where a sink's objects go: what the keys of its kind say. Each kind has a frozen class of its own, beside its sink (node/sinks)."""

    @property
    def kind(self) -> str:
        """The kind's name, as `kind:` has it."""
        ...

    @property
    def peer(self) -> str | None:
        """The name of the peer that the objects are sent to; None where no DICOM peer takes them."""
        ...

    @property
    def words(self) -> str:
        """What people are shown of it, such as `peer pacs`."""
        ...

    @property
    def identity(self) -> tuple[str, ...]:
        """What the configuration's digest has of it: as many texts for every destination of one kind."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings:
    """Where results go; `profile` says what of them, and in which form. `retry` bounds the back-off between attempts; `give_up` parks
    after so long. `commitment_wait` is how long a peer may take to report on a commitment."""

    name: str
    destination: Destination
    profile: Profile = VIEWER
    retry_first: timedelta = timedelta(seconds=5)
    retry_most: timedelta = timedelta(minutes=10)
    give_up: timedelta = timedelta(days=7)
    commitment: Commitment = Commitment.NO
    commitment_wait: timedelta = timedelta(minutes=30)

    @property
    def peer(self) -> str | None:
        """The name of the peer that the objects are sent to; None where no DICOM peer takes them."""
        return self.destination.peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of hilum.yaml. `digest` is SHA-256 (hex) of its meaning: equal digests route equally. `text` is what stood in the file."""

    path: Path
    digest: str
    node: Node
    store: Store
    models: Path
    peers: Mapping[str, Peer] = field(default_factory=dict)
    engines: Mapping[str, EngineSettings] = field(default_factory=dict)
    sinks: Mapping[str, SinkSettings] = field(default_factory=dict)
    applications: Mapping[str, ApplicationSettings] = field(default_factory=dict)
    definitions: Mapping[str, tuple[Asked, ...]] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    application_folders: tuple[Path, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    audit: Audit = field(default_factory=Audit)
    console: Console | None = None
    notify: Notify = field(default_factory=Notify)
    text: bytes = field(default=b"", repr=False, compare=False)

    def settle_of(self, peer: str | None) -> Settle:
        """How what a peer sends settles; a stranger's as everything does by default."""
        known = self.peers.get(peer or "")
        return Settle() if known is None else known.settle
