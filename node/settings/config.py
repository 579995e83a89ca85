"""The configuration as frozen nouns: all of hilum.yaml, its engines, sinks, applications and models. Other blocks stand with their keys
beside this file.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from inference.engines.kind import Options
from inference.engines.kinds import DEFAULT
from node.domain.commitment import Commitment
from node.domain.job import Job, JobKind
from node.domain.private_name import PrivateName, private_of
from node.domain.profile import VIEWER, Profile
from node.domain.route import Asked, Route, conditions_in
from node.settings.audit import Audit
from node.settings.blocks import Key, Named, block, declared, needed, setting
from node.settings.console import Console
from node.settings.kinds import DURATION, Choice, FilePath, Reference, Scalar, Several, whole
from node.settings.node import Node
from node.settings.notify import Notify
from node.settings.observe import Observe
from node.settings.peers import Peer, Settle
from node.settings.schedule import Schedule
from node.settings.store import Store

DEFAULT_ENGINE = "default"
"""The engine that is there whether the configuration names it or not."""
_ENGINE = Key(name="engine", kind=Reference(to="engines", noun="engine"), default=DEFAULT_ENGINE, says="The engine that runs its models.")
REPOSITORY = "models"
"""The repository's folder where none is named, beside the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """How one application runs here. `attempts` claims before a job fails. `parts` in place of what its manifest says."""

    name: str
    engine: str = field(default=DEFAULT_ENGINE, metadata=declared(_ENGINE))
    attempts: int = setting(
        whole(1, 100), default="3", says="How often a job is begun before it is parked; an engine that is away does not count."
    )
    timeout: timedelta = setting(DURATION, default="15m", says="How long one analysis may take.")
    parts: str | None = setting(
        Choice(of=("refuse", "each", "b0")),
        says="What it takes of a series that holds several volumes of one place, or several loops: none of them (`refuse`), `each` on its "
        "own, or of a diffusion series the volume at b = 0 (`b0`). Without it, what the application's manifest says.",
    )


APPLICATIONS = Named(noun="application", known="applications", of=block(ApplicationSettings, build=ApplicationSettings))


def _public_key(text: str) -> bytes:
    try:
        told = base64.b64decode(text, validate=True)
    except binascii.Error:
        told = b""
    if len(told) != len(_ED25519) + _KEY_BYTES or not told.startswith(_ED25519):
        raise ValueError(f'"{text}" is no public key of Ed25519; write the line between BEGIN and END of `openssl pkey -in KEY -pubout`')
    return told.removeprefix(_ED25519)


_ED25519, _KEY_BYTES = bytes.fromhex("302a300506032b6570032100"), 32
"""How a public key begins that says it is one of Ed25519 (RFC 8410 4), and the bytes of the key itself, which follow."""
PUBLIC_KEY = Scalar(
    wants="a public key of Ed25519, in base64",
    parse=_public_key,
    form={"type": "string", "pattern": "^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnList:
    """A hospital's own list of published models; `public_key` has to have signed it."""

    path: Path = field(
        metadata=needed(FilePath(), name="list", says="The list, in YAML; its models go before those of hilum that have the same name.")
    )
    public_key: bytes | None = setting(
        PUBLIC_KEY,
        says="Who has to have signed it: the line between BEGIN and END of `openssl pkey -in KEY -pubout`. The signature is beside the "
        "list, its name ends in `.sig`; a list without one, or with another one, is refused.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The model repository, folders of applications besides those that come with hilum, and how published models come here."""

    repository: Path = field(
        metadata=needed(FilePath(), default=REPOSITORY, says="The model repository, in Triton's layout. `hilum models import` fills it.")
    )
    applications: tuple[Path, ...] = setting(
        Several(of=FilePath()),
        default="[]",
        says="Folders with applications of your own, besides those that come with hilum and those of installed packages.",
    )

    fetched: Path | None = setting(
        FilePath(),
        says="Where `hilum models fetch` keeps files until they are imported, private to its user; without it, beside the repository.",
    )
    catalogue: OwnList | None = setting(
        block(OwnList, build=OwnList), says="A list of published models of your own, besides the one that comes with hilum."
    )

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where applications are looked for: imported bundles lie in the model repository itself."""
        return *self.applications, self.repository


MODELS = block(Models, build=Models)


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
    fetched: Path | None = None
    catalogue: OwnList | None = None
    schedule: Schedule = field(default_factory=Schedule)
    audit: Audit = field(default_factory=Audit)
    console: Console | None = None
    notify: Notify = field(default_factory=Notify)
    observe: Observe = field(default_factory=Observe)
    text: bytes = field(default=b"", repr=False, compare=False)

    def settle_of(self, peer: str | None) -> Settle:
        """How what a peer sends settles; a stranger's as everything does by default."""
        known = self.peers.get(peer or "")
        return Settle() if known is None else known.settle

    def counting_peer(self, peer: str | None) -> Peer | None:
        """Who is asked how much there is of what a peer sends: the peer itself, else the archive that its `settle` names; None: nobody."""
        sender = self.peers.get(peer or "")
        if sender is None or sender.counts:
            return sender
        return self.peers.get(sender.settle.count_at or "")

    @property
    def private_elements(self) -> frozenset[PrivateName]:
        """The private elements that routes ask for: those that are kept of headers."""
        return private_of(keyword for route in self.routes for one in conditions_in(route.asked) for keyword in one.reads)

    def profile_of(self, sink: str, job: Job) -> Profile:
        """What a sink gets of a job: as the first route says that asked for it and sends there, else by the sink's own profile. Notes that
        there is no result, and withdrawals, go by the sink's own."""
        asked = job.routes if job.kind is JobKind.ANALYSIS else ()
        said = next((route.profile for route in self.routes if route.name in asked and sink in route.send), None)
        return said or self.sinks[sink].profile

    def profiles_of(self, job: Job) -> list[Profile]:
        """What the job's sinks want, each profile once; a sink that left the configuration wants nothing."""
        return list(dict.fromkeys(self.profile_of(name, job) for name in job.sinks if name in self.sinks))

    def profiles_to(self, sink: SinkSettings) -> tuple[Profile, ...]:
        """Every profile by which a sink gets something: its own, and those of routes that send there."""
        return tuple(dict.fromkeys([sink.profile, *(one.profile for one in self.routes if one.profile and sink.name in one.send)]))
