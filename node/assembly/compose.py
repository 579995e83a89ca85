"""Chooses the plug-ins: which journal, blobs, sinks and engines a configuration means. Heavy ones are imported when asked for."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from node.settings.config import Config, EngineKind, EngineSettings, Peer, Sink, SinkKind

if TYPE_CHECKING:
    from inference.applications.port import Application
    from inference.engines.port import Engine
    from inference.engines.triton.engine import TritonEngine
    from node.assembly.bell import Bell
    from node.blobs.folder import FolderBlobs
    from node.blobs.inbox import FolderInbox
    from node.dimse.requestor import PeerRequestor
    from node.journal.sql import SqlJournal
    from node.sinks.port import Sink as SinkPort


def run_folder(config: Config) -> Path:
    """Where the processes of one node leave their bells and their lock."""
    return config.store.blobs.with_name(config.store.blobs.name + ".run")


def bell(config: Config, name: str) -> "Bell":
    """The bell at which the processes of stage `name` ("flow", "work") wait."""
    from node.assembly.bell import Bell

    return Bell(run_folder(config), f"{name}.bell")


def open_journal(config: Config) -> "SqlJournal":
    """The journal, created or brought to the present schema if need be."""
    from node.journal.sql import SqlJournal

    return SqlJournal.open(config.store.journal)


def open_blobs(config: Config) -> "FolderBlobs":
    """Instance, findings and result bytes."""
    from node.blobs.folder import FolderBlobs

    return FolderBlobs(config.store.blobs)


def open_inbox(config: Config) -> "FolderInbox":
    """The receiver's spool, on the same file system as the blobs, so that indexing moves nothing."""
    from node.blobs.inbox import FolderInbox

    return FolderInbox(config.store.blobs, min_free_bytes=config.store.min_free_bytes)


def requestor(config: Config, peer: Peer, *, brisk: bool = False) -> "PeerRequestor":
    """What asks `peer` for things, calling under the node's first AE title; `brisk` gives up soon, for questions that may go unanswered."""
    from node.dimse.requestor import PeerRequestor, Timeouts

    timeouts = Timeouts(connect_s=3.0, acse_s=3.0, dimse_s=5.0) if brisk else Timeouts()
    return PeerRequestor(peer, calling_ae=config.node.ae_titles[0], timeouts=timeouts)


def open_sink(config: Config, sink: Sink) -> "SinkPort":
    """The plug-in behind one entry of `sinks:`."""
    if sink.kind is SinkKind.FOLDER:
        from node.sinks.folder import FolderSink

        assert sink.path is not None, "settings refuse a folder sink without a path"
        return FolderSink(sink.path)
    from node.sinks.dimse import DimseSink

    assert sink.peer is not None, "settings refuse a DIMSE sink without a peer"
    return DimseSink(sink, requestor(config, config.peers[sink.peer]))


def open_engine(config: Config, name: str) -> "Engine":
    """The engine that `engines:` calls `name`; "default" is the embedded one even when the configuration says nothing."""
    settings = config.engines.get(name)
    if settings is not None and settings.kind is EngineKind.TRITON:
        return open_triton(config, settings)
    from inference.engines.embedded import EmbeddedEngine

    return EmbeddedEngine(config.models, threads=settings.threads if settings else None)


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


@cache
def _application(name: str, folders: tuple[Path, ...]) -> "Application":
    from inference.applications.catalog import load

    return load(name, folders)


def application(config: Config, name: str) -> "Application":
    """The application called `name`; loaded once a process."""
    return _application(name, config.application_folders)


def engine_of(config: Config, application_name: str) -> str:
    """The engine that runs an application here."""
    settings = config.applications.get(application_name)
    return settings.engine if settings else "default"
