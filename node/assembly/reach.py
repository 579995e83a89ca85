"""Who can be asked how he is: peers by C-ECHO, sinks and engines by their own health; each by itself, so that none waits for another."""

import contextlib
from collections.abc import Iterator
from functools import partial

from inference.errors import HilumError
from node.assembly import compose
from node.domain.health import Answer, Subject, SubjectKind
from node.settings.config import Config, EngineKind, EngineSettings, May, Peer, Sink, SinkKind


def subjects(config: Config) -> Iterator[Subject]:
    """Every peer, every sink, and every engine that is configured or that a route's application runs on."""
    for peer in config.peers.values():
        words = f"{peer.ae_title}, {'TLS' if peer.tls is not None else 'plain'}; may {', '.join(sorted(peer.may))}"
        where = f"{peer.host}:{peer.port}" if peer.port else peer.host
        ask = partial(ask_peer, config, peer) if peer.port else None
        yield Subject(kind=SubjectKind.PEER, name=peer.name, where=where, words=words, ask=ask)
    for sink in config.sinks.values():
        where = f"peer {sink.peer}" if sink.kind is SinkKind.DIMSE else f"folder {sink.path}"
        yield Subject(
            kind=SubjectKind.SINK, name=sink.name, where=where, words=f"profile {sink.profile.name}", ask=partial(_sink, config, sink)
        )
    wanted = sorted({name for route in config.routes for name in route.run})
    for name in sorted({*config.engines, *(compose.engine_of(config, each) for each in wanted)}):
        settings = config.engines.get(name)
        runs = ", ".join(each for each in wanted if compose.engine_of(config, each) == name) or "no application of a route"
        triton = settings is not None and settings.kind is EngineKind.TRITON
        where = settings.url if settings is not None and triton else "in the work processes"
        yield Subject(
            kind=SubjectKind.ENGINE,
            name=name,
            where=where,
            words=f"runs {runs}",
            ask=partial(_engine, config, name, settings if triton else None),
        )


def ask_peer(config: Config, peer: Peer) -> Answer:
    """Whether a peer answers C-ECHO, within the seconds that somebody looks at a screen."""
    try:
        took_s = compose.requestor(config, peer, brisk=True).echo()
    except HilumError as away:
        allowed = "" if May.ECHO in peer.may else " (it may refuse C-ECHO)"
        return Answer(ready=False, detail=f"{away} [{away.code}]{allowed}")
    return Answer(ready=True, detail=f"answered C-ECHO in {took_s * 1000:.0f} ms")


def _sink(config: Config, sink: Sink) -> Answer:
    try:
        ready, detail = compose.open_sink(config, sink).health()
    except HilumError as away:
        return Answer(ready=False, detail=f"{away} [{away.code}]")
    return Answer(ready=ready, detail=detail)


def _engine(config: Config, name: str, triton: EngineSettings | None) -> Answer:
    if triton is None:
        with contextlib.closing(compose.open_engine(config, name)) as engine:
            health = engine.health()
        return Answer(ready=health.ready, detail=health.detail)
    with compose.open_triton(config, triton) as server:
        health = server.health()
    return Answer(ready=health.ready, detail=health.detail)
