"""The configuration as frozen nouns, one class per block of hilum.yaml; decoding and its errors live beside this file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from node.domain.account import Role
from node.domain.commitment import Commitment
from node.domain.profile import VIEWER, Profile
from node.domain.route import Route
from node.domain.shortage import WhenShort
from node.domain.window import Window
from node.settings.messengers import Notify
from node.settings.security import CertificateRule, Encryption, PeerTls, TlsListener, User
from node.settings.trusted_proxies import TrustedProxies


class Scope(StrEnum):
    """What settles as one."""

    STUDY = "study"
    SERIES = "series"


class Durability(StrEnum):
    """When what was answered with 0x0000 is on disk: before the answer, or once its association ends and within a second."""

    EACH = "each"
    ASSOCIATION = "association"


class May(StrEnum):
    """What a peer may do here (store, echo, commit; correct what other peers sent), and what the node may ask of it (find)."""

    STORE = "store"
    ECHO = "echo"
    FIND = "find"
    COMMIT = "commit"
    CORRECT = "correct"


class Receiver(StrEnum):
    """Who serves associations that only store; pynetdicom serves every other."""

    FAST = "fast"
    STOCK = "stock"


class EngineKind(StrEnum):
    EMBEDDED = "embedded"
    TRITON = "triton"


class SharedMemory(StrEnum):
    """Which tensors go to a Triton server through shared memory."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class SinkKind(StrEnum):
    DIMSE = "dimse"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """When an arrival is complete: `quiet` without a new instance; `counted` once the sender's own count is reached (peers with
    find); after `growing` whatever still comes.

    `short` and `longest` say what is done with a series that is known to be short; None: what the priority of the route asks for.
    """

    scope: Scope = Scope.STUDY
    quiet: timedelta = timedelta(seconds=10)
    counted: timedelta = timedelta(seconds=2)
    growing: timedelta = timedelta(hours=2)
    short: WhenShort | None = None
    longest: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may take of the listener. `syntaxes` None accepts every standard transfer syntax (UIDs otherwise).

    Rates that are None are not limited. Associations above theirs are rejected for the moment; what comes faster than the others waits.
    """

    associations: int = 10
    max_pdu: int = 131072
    syntaxes: tuple[str, ...] | None = None
    associations_per_minute: int | None = None
    instances_per_second: int | None = None
    bytes_per_second: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A DICOM application entity that the node knows. `host` is checked at admission; `port` 0 means it does not listen.

    `certificate` and `user` are what it must show when it calls; `tls` is how the node calls it, and `login` what the node tells it then.
    Peers with one `archive` are one sender: what one of them sent, the others may add to and rewrite.
    """

    name: str
    ae_title: str
    host: str
    port: int
    may: frozenset[May] = frozenset({May.STORE, May.ECHO})
    settle: Settle = Settle()
    limits: Limits = Limits()
    tls: PeerTls | None = None
    certificate: CertificateRule | None = None
    user: User | None = None
    login: User | None = None
    archive: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The listener. `strangers` True admits calling AE titles that are no peer (a laboratory's setting; settle and limits default).

    `plain` False: nothing listens on host and port, TLS alone is accepted. `connections_per_address` bounds those of an address without a
    peer that are not admitted yet. Behind `trusted_proxies` many senders are one address; with `proxy_protocol` they say which each has.
    `receivers` is how many processes receive. `metrics_host` None: no page for Prometheus.
    """

    ae_titles: tuple[str, ...] = ("HILUM",)
    host: str = "127.0.0.1"
    port: int = 11112
    plain: bool = True
    tls: TlsListener | None = None
    strangers: bool = False
    max_associations: int = 40
    connections_per_address: int = 64
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    proxy_protocol: bool = False
    receiver: Receiver = Receiver.FAST
    receivers: int = 1
    acse_timeout: timedelta = timedelta(seconds=10)
    dimse_timeout: timedelta = timedelta(seconds=60)
    idle_timeout: timedelta = timedelta(seconds=60)
    workers: int = 1
    ahead_bytes: int = 2 * 2**30
    patient_data_in_logs: bool = False
    metrics_host: str | None = None
    metrics_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """An S3-compatible bucket. `credentials` None: from the environment, or the machine's role. `cache_bytes` bounds each host's copies."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    credentials: Path | None = None
    ca: Path | None = None
    cache_bytes: int = 20 * 2**30

    @property
    def url(self) -> str:
        """How an operator wrote it; holds no secret."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the node remembers. Paths are absolute (relative ones in the YAML count from the config file's folder).

    With `bucket` the folder `blobs` is this host's own and holds copies. `spool` is where this host's receiver keeps what is not yet in the
    journal; None: in `blobs`. `encryption` None: files lie there as they came.
    """

    journal: str
    blobs: Path
    bucket: Bucket | None = None
    spool: Path | None = None
    encryption: Encryption | None = None
    keep: timedelta = timedelta(days=14)
    keep_headers: timedelta = timedelta(days=400)
    durability: Durability = Durability.EACH
    written_ahead_bytes: int = 256 * 2**20
    min_free_bytes: int = 2 * 2**30
    most_waiting: int = 100_000
    high_water: float = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTls:
    """PEM files for a grpcs:// address; `ca` None trusts the authorities that gRPC comes with."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What runs models. `threads`, `memory` (bytes; None: a share of the machine's) and `allow_code` are of kind embedded; what stands
    below them of kind triton."""

    name: str
    kind: EngineKind = EngineKind.EMBEDDED
    threads: int | None = None
    memory: int | None = None
    allow_code: bool = False
    url: str = ""
    tls: EngineTls = EngineTls()
    shared_memory: SharedMemory = SharedMemory.AUTO
    shared_memory_limit: int = 4 * 2**30
    load: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where results go: a peer (kind dimse) or a folder; `profile` says what of them, and in which form. `retry` bounds the back-off
    between attempts; `give_up` parks after so long. `commitment_wait` is how long a peer may take to report on a commitment."""

    name: str
    kind: SinkKind
    peer: str | None = None
    path: Path | None = None
    profile: Profile = VIEWER
    retry_first: timedelta = timedelta(seconds=5)
    retry_most: timedelta = timedelta(minutes=10)
    give_up: timedelta = timedelta(days=7)
    commitment: Commitment = Commitment.NO
    commitment_wait: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """How one application runs here. `attempts` claims before a job fails."""

    name: str
    engine: str = "default"
    attempts: int = 3
    timeout: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When off-peak jobs may begin (None: at any time, after the others), and how long a job waits before it moves up one class."""

    offpeak: Window | None = None
    patience: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """An audit repository: syslog over TLS, or (`secure` False) over UDP."""

    host: str
    port: int
    secure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTls:
    """PEM files; `ca` None trusts what the system trusts."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The audit trail. `folder` None: there is none. `source` and `site` are the audit source's names; empty: the node's own, none."""

    folder: Path | None = None
    keep: timedelta = timedelta(days=400)
    send: Repository | None = None
    tls: AuditTls = AuditTls()
    source: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The operator's web pages. `cert` and `key` None: without TLS. `names` is the least role that sees whose a study is; None: nobody.
    `hosts` are names that it is reached by, beside those that it knows itself."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    hosts: tuple[str, ...] = ()
    names: Role | None = Role.OPERATOR
    session: timedelta = timedelta(hours=10)


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
    sinks: Mapping[str, Sink] = field(default_factory=dict)
    applications: Mapping[str, ApplicationSettings] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    application_folders: tuple[Path, ...] = ()
    schedule: Schedule = Schedule()
    audit: Audit = Audit()
    console: Console | None = None
    notify: Notify = field(default_factory=Notify)
    text: bytes = field(default=b"", repr=False, compare=False)

    def settle_of(self, peer: str | None) -> Settle:
        """How what a peer sends settles; a stranger's as everything does by default."""
        known = self.peers.get(peer or "")
        return Settle() if known is None else known.settle
