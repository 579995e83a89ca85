"""Health of what the node depends on: peers by C-ECHO, sinks and engines by their own word; each by itself, so that none waits for another.

And what else is asked of them before anything is sent: what a sink may get, whether it commits, whether TLS can work.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from inference.errors import HilumError
from node.assembly import compose
from node.domain.health import Answer, Dependency, DependencyKind
from node.settings.config import Config, SinkSettings
from node.settings.peers import May, Peer
from node.settings.tls import TlsListener

if TYPE_CHECKING:
    from node.results.emitted import Emitted
    from node.sinks.port import Sink


SINK_FIX = "Results wait in the journal and leave by themselves when the sink is back."


def peer_fix(peer: Peer) -> str:
    """What to do about a peer that does not answer."""
    return f"Is {peer.ae_title} running at {peer.host}:{peer.port}, and does it know the node's AE title?"


def subjects(config: Config) -> Iterator[Dependency]:
    """Every peer, every sink, and every engine that is configured or that a route's application runs on."""
    for peer in config.peers.values():
        words = f"{peer.ae_title}, {'TLS' if peer.tls is not None else 'plain'}; may {', '.join(sorted(peer.may))}"
        where = f"{peer.host}:{peer.port}" if peer.port else peer.host
        ask = partial(ask_peer, config, peer) if peer.port else None
        yield Dependency(kind=DependencyKind.PEER, name=peer.name, where=where, words=words, fix=peer_fix(peer), ask=ask)
    for sink in config.sinks.values():
        yield Dependency(
            kind=DependencyKind.SINK,
            name=sink.name,
            where=sink.destination.words,
            words=f"profile {sink.profile.name}",
            fix=SINK_FIX,
            ask=partial(_sink, config, sink),
        )
    wanted = sorted({name for route in config.routes for name in route.run})
    for name in sorted({*config.engines, *(compose.engine_of(config, each) for each in wanted)}):
        settings = compose.engine_settings(config, name)
        runs = ", ".join(each for each in wanted if compose.engine_of(config, each) == name) or "no application of a route"
        yield Dependency(
            kind=DependencyKind.ENGINE,
            name=name,
            where=compose.engine_kind(config, name).where(settings.options),
            words=f"runs {runs}",
            fix=compose.engine_kind(config, name).mend(settings.options),
            ask=partial(_engine, config, name),
        )


def ask_peer(config: Config, peer: Peer) -> Answer:
    """Whether a peer answers C-ECHO, within the seconds that somebody looks at a screen."""
    try:
        took_s = compose.requestor(config, peer, brisk=True).echo()
    except HilumError as away:
        allowed = "" if May.ECHO in peer.may else " (it may refuse C-ECHO)"
        return Answer(ready=False, detail=f"{away} [{away.code}]{allowed}")
    return Answer(ready=True, detail=f"answered C-ECHO in {took_s * 1000:.0f} ms")


def _sink(config: Config, sink: SinkSettings) -> Answer:
    try:
        ready, detail = compose.open_sink(config, sink).health()
    except HilumError as away:
        return Answer(ready=False, detail=f"{away} [{away.code}]")
    return Answer(ready=ready, detail=detail)


def _engine(config: Config, name: str) -> Answer:
    with contextlib.closing(compose.open_engine(config, name)) as engine:
        health = engine.health()
    return Answer(ready=health.ready, detail=health.detail)


def emitted_to(config: Config, sink: SinkSettings) -> "list[Emitted]":
    """What the applications of the routes to a sink may emit for its profile; one that cannot be loaded counts for nothing."""
    from node.results.emitted import emitted

    found: dict[Emitted, None] = {}
    for name in dict.fromkeys(name for route in config.routes if sink.name in route.send for name in route.run):
        with contextlib.suppress(HilumError):
            found |= dict.fromkeys(emitted(compose.application(config, name), sink.profile))
    return list(found)


def offers_commitment(sink: "Sink") -> bool:
    """Whether a sink offers storage commitment to this node."""
    from node.dimse.requestor.commitment import CONTEXTS

    return bool(sink.accepts(CONTEXTS))


def demand_listener_tls(listener: TlsListener) -> None:
    """Refuse a certificate, a key or an authority that no association could be accepted with.

    Raises
    ------
    ConfigError
        Says which.
    """
    from node.dimse.tls import server_context

    server_context(listener)
