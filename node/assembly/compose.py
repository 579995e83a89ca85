"""Chooses the plug-ins: which journal, blobs, sinks and engines a configuration means. Heavy ones are imported when asked for."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from node.observe.events import event
from node.settings.config import Bucket, Config, EngineKind, EngineSettings, Peer, Sink, SinkKind

if TYPE_CHECKING:
    from inference.applications.port import Application
    from inference.engines.choosing import Fallback
    from inference.engines.jail.model import Limits
    from inference.engines.port import Engine
    from inference.engines.triton.control import Control
    from inference.engines.triton.engine import TritonEngine
    from node.assembly.bell import Bell
    from node.assembly.identity import Meant
    from node.blobs.bucket import BucketBlobs
    from node.blobs.folder import FolderBlobs
    from node.blobs.inbox import FolderInbox
    from node.blobs.owed import FolderOwed
    from node.blobs.sealing.blobs import SealedBlobs
    from node.blobs.sealing.sealing import Sealing
    from node.blobs.slips import FolderSlips
    from node.dimse.committing import PeerCommitment
    from node.dimse.requestor import PeerRequestor
    from node.flow.port import Clock
    from node.journal.bell import AnyBell
    from node.journal.sql import SqlJournal
    from node.sinks.port import Sink as SinkPort


_IDLE_S = 3.0  # a job's next parcel, or the next job's, comes sooner; most archives end an idle association after 10 to 60 s


def local_bell(config: Config, name: str) -> "Bell":
    """The bell at which the processes of stage `name` ("index", "flow", "work") of this host wait; ringing needs nothing but this host."""
    from node.assembly import hosts
    from node.assembly.bell import Bell

    return Bell(hosts.run_folder(config), f"{name}.bell")


def bell(config: Config, name: str) -> "AnyBell":
    """The bell at which the processes of stage `name` wait, on every host that shares the journal."""
    from node.assembly.roles import shares_journal

    local = local_bell(config, name)
    if not shares_journal(config):
        return local
    from node.journal.bell import PostgresBell

    return PostgresBell(config.store.journal, name, local=local)


def open_journal(config: Config, meant: "Meant | None" = None) -> "SqlJournal":
    """The journal, brought to the present schema if need be; created only where there was no store, or where `meant` says so.

    Raises
    ------
    JournalLost
        There is none, and blobs are there that had one.
    StoresMixed
        On a server there is another store's.
    """
    from node.assembly.identity import NOTHING, refuse_another_journal, refuse_unless_new
    from node.assembly.restoring import refuse_half_restored
    from node.journal.sql import SqlJournal

    refuse_half_restored(config)
    journal = SqlJournal.open(config.store.journal, lambda: refuse_unless_new(config, meant or NOTHING))
    try:
        refuse_another_journal(config, journal, meant or NOTHING)
    except BaseException:
        journal.close()
        raise
    return journal


def open_blobs(config: Config) -> "FolderBlobs | BucketBlobs | SealedBlobs":
    """Instance, findings and result bytes; encrypted where the configuration says so."""
    from node.assembly.sealing import open_sealing

    sealing = open_sealing(config)
    if sealing is None:
        return open_bare_blobs(config)
    from node.blobs.sealing.blobs import SealedBlobs

    return SealedBlobs(open_bare_blobs(config), sealing)


def open_bare_blobs(config: Config) -> "FolderBlobs | BucketBlobs":
    """The bytes as they lie there, encrypted or not: for questions about names alone."""
    store = config.store
    if store.bucket is None:
        from node.blobs.folder import FolderBlobs

        return FolderBlobs(store.blobs)
    from node.blobs.bucket import BucketBlobs
    from node.blobs.cache import Cache

    cache = Cache(store.blobs, most_bytes=store.bucket.cache_bytes, min_free_bytes=store.min_free_bytes)
    return BucketBlobs(store.bucket, cache)


def ask_bucket(bucket: Bucket) -> str:
    """Whether a bucket answers and lets the node in, as a sentence; touches nothing on this host.

    Raises
    ------
    BucketAway, BucketRefused
        It cannot be used.
    """
    from node.blobs.objects import Objects

    return Objects(bucket).check()


def open_intake(config: Config, *, kept: Callable[[], None] = lambda: None) -> "FolderInbox":
    """Where the receiver keeps instances; needs nothing but this host's disk. `kept` is called when some became entries."""
    from node.assembly.places import places_of
    from node.assembly.sealing import open_sealing

    beside = [path for path in places_of(config).values() if path.exists()]
    return _intake(config, open_sealing(config), kept=kept, beside=beside)


def _intake(
    config: Config, sealing: "Sealing | None", *, kept: Callable[[], None] = lambda: None, beside: Sequence[Path] = ()
) -> "FolderInbox":
    from node.blobs.inbox import FolderInbox

    store = config.store
    return FolderInbox(
        store.spool or store.blobs,
        min_free_bytes=store.min_free_bytes,
        most_waiting=store.most_waiting,
        durability=store.durability,
        ahead_bytes=store.written_ahead_bytes,
        kept=kept,
        sealing=sealing,
        beside=beside,
    )


def open_inbox(config: Config, blobs: "FolderBlobs | BucketBlobs | SealedBlobs") -> "FolderInbox":
    """What the receiver has kept, as the index empties it: in the folder of the blobs, where indexing moves nothing, or on its way to blobs
    that hosts share."""
    sealing = sealing_of(blobs)
    if config.store.bucket is None and config.store.spool is None:
        return _intake(config, sealing)
    from node.blobs.spool import Spool

    return Spool(config.store.spool or config.store.blobs, blobs, min_free_bytes=config.store.min_free_bytes, sealing=sealing)


def sealing_of(blobs: "FolderBlobs | BucketBlobs | SealedBlobs") -> "Sealing | None":
    """What these blobs are encrypted with."""
    from node.blobs.sealing.blobs import SealedBlobs

    return blobs.sealing if isinstance(blobs, SealedBlobs) else None


def open_owed(config: Config, *, kept: "Callable[[], None]" = lambda: None) -> "FolderOwed":
    """Where the receiver keeps what series lack that came; needs nothing but this host's disk."""
    from node.blobs.owed import FolderOwed

    return FolderOwed(config.store.spool or config.store.blobs, kept=kept)


def open_slips(config: Config) -> "FolderSlips":
    """Where the receiver keeps what peers say of storage commitment; needs nothing but this host's disk."""
    from node.blobs.slips import FolderSlips

    return FolderSlips(config.store.spool or config.store.blobs)


def committer(config: Config, peer: str, clock: "Clock") -> "PeerCommitment":
    """Storage commitment with a peer, by its name."""
    from node.dimse.committing import PeerCommitment

    return PeerCommitment(peer, requestor(config, config.peers[peer]).called, clock)


def requestor(config: Config, peer: Peer, *, brisk: bool = False, idle_s: float = 0.0) -> "PeerRequestor":
    """What asks `peer` for things, calling under the node's first AE title; `brisk` gives up soon, for questions that may go unanswered;
    with `idle_s` an association for C-STORE stays open so long for the next one."""
    from node.dimse.requestor import PeerRequestor, Timeouts

    timeouts = Timeouts(connect_s=3.0, acse_s=3.0, dimse_s=5.0) if brisk else Timeouts()
    return PeerRequestor(peer, calling_ae=config.node.ae_titles[0], timeouts=timeouts, idle_s=idle_s)


def open_sink(config: Config, sink: Sink) -> "SinkPort":
    """The plug-in behind one entry of `sinks:`."""
    if sink.kind is SinkKind.FOLDER:
        from node.sinks.folder import FolderSink

        assert sink.path is not None, "settings refuse a folder sink without a path"
        return FolderSink(sink.path)
    from node.sinks.dimse import DimseSink

    assert sink.peer is not None, "settings refuse a DIMSE sink without a peer"
    return DimseSink(sink, requestor(config, config.peers[sink.peer], idle_s=_IDLE_S))


def open_engine(config: Config, name: str) -> "Engine":
    """The engine that `engines:` calls `name`; "default" is the embedded one even when the configuration says nothing."""
    settings = config.engines.get(name)
    if settings is not None and settings.kind is EngineKind.TRITON:
        return open_triton(config, settings)
    from inference.engines.embedded import EmbeddedEngine

    threads = settings.threads if settings else None
    return EmbeddedEngine(config.models, threads=threads, workers=config.node.workers, limits=model_limits(config, name), tell=_fallback)


def model_limits(config: Config, name: str = "default") -> "Limits":
    """What the process of one model may take on an engine of kind embedded."""
    from inference.engines.jail.model import Limits

    settings = config.engines.get(name) or EngineSettings(name=name)
    return Limits.usual(config.node.workers, memory=settings.memory, allow_code=settings.allow_code)


def _fallback(fallback: "Fallback") -> None:
    event(
        "engine.fallback",
        model=fallback.model.name,
        version=fallback.model.version,
        wanted=str(fallback.wanted),
        used=str(fallback.used),
        reason=fallback.reason,
    )


def engine_kind(config: Config, name: str) -> EngineKind:
    """Of which kind an engine is."""
    settings = config.engines.get(name)
    return settings.kind if settings is not None else EngineKind.EMBEDDED


def open_triton(config: Config, settings: EngineSettings) -> "TritonEngine":
    """An engine of kind triton; nothing is sent yet, the server may be away."""
    from inference.engines.triton.channel import Tls
    from inference.engines.triton.engine import TritonEngine

    return TritonEngine(
        settings.url,
        config.models,
        shared_memory=settings.shared_memory.value,
        tls=Tls(ca=settings.tls.ca, cert=settings.tls.cert, key=settings.tls.key),
        load=settings.load,
        limit=settings.shared_memory_limit,
    )


def open_control(config: Config, name: str) -> "Control":
    """What loads and unloads models on the server behind an engine of kind triton.

    Raises
    ------
    NotATriton
        The engine computes in this process, or the configuration has none of this name.
    """
    from inference.engines.errors import NotATriton
    from inference.engines.triton.channel import Tls
    from inference.engines.triton.control import Control

    settings = config.engines.get(name)
    if settings is None or settings.kind is not EngineKind.TRITON:
        there = ", ".join(sorted(each for each, of in config.engines.items() if of.kind is EngineKind.TRITON)) or "none"
        raise NotATriton(f'engine "{name}" is no Triton server in {config.path} (there: {there})')
    return Control(settings.url, tls=Tls(ca=settings.tls.ca, cert=settings.tls.cert, key=settings.tls.key))


@lru_cache(maxsize=64)
def _application(name: str, folders: tuple[Path, ...], state: object) -> "Application":
    from inference.applications.catalog import load

    return load(name, folders)


def application(config: Config, name: str) -> "Application":
    """The application called `name`, with the models' versions that the repository serves now; loaded again only when these change."""
    from inference.applications.serving import as_served

    return as_served(manifest(config, name), config.models)


def manifest(config: Config, name: str) -> "Application":
    """The application called `name` as it declares itself, whatever the repository serves."""
    from inference.applications.catalog import state

    return _application(name, config.application_folders, state(name, config.application_folders))


def engine_of(config: Config, application_name: str) -> str:
    """The engine that runs an application here."""
    settings = config.applications.get(application_name)
    return settings.engine if settings else "default"
