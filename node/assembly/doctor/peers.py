"""What the node talks to: senders, certificates, peers by C-ECHO, sinks and engines by their own word; each by itself, so that none waits
for another.

And what else is asked of them before anything is sent: what a sink may get and takes, whether it commits, whether TLS can work.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.errors import HilumError
from node.assembly import compose
from node.dicom.transfer_syntax import Context, name_of
from node.domain.commitment import Commitment
from node.domain.health import Answer, Area, Dependency, DependencyKind, DoctorFinding
from node.domain.profile import NotTaken, Profile
from node.records.words import plural
from node.settings.config import Config, SinkSettings
from node.settings.kinds import is_loopback
from node.settings.peers import May, Peer
from node.settings.tls import TlsListener

if TYPE_CHECKING:
    from node.results.selection import Emitted
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
            words=f"profile {', '.join(profile.name for profile in config.profiles_to(sink))}",
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


def emitted_to(config: Config, sink: SinkSettings, profile: Profile) -> "list[Emitted]":
    """What the applications of the routes that send to a sink by this profile may emit; one that cannot be loaded counts for nothing."""
    from node.results.selection import emitted

    found: dict[Emitted, None] = {}
    routes = [route for route in config.routes if sink.name in route.send and (route.profile or sink.profile) == profile]
    for name in dict.fromkeys(name for route in routes for name in route.run):
        with contextlib.suppress(HilumError):
            found |= dict.fromkeys(emitted(compose.application(config, name), profile))
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


_CALLERS = timedelta(hours=1)
_MOST_CALLERS = 5


def look_at_sinks(config: Config) -> Iterator[DoctorFinding]:
    """A finding on each sink's health; of peers that answer, what they take, what goes in another form, and what cannot go at all."""
    from inference.errors import HilumError
    from node.assembly.compose import negotiates, open_sink

    for sink in config.sinks.values():
        opened = open_sink(config, sink)
        ready, detail = opened.health()
        fix = "" if ready else SINK_FIX
        yield DoctorFinding(area=Area.SINKS, subject=f"sink {sink.name}", level="good" if ready else "bad", detail=detail, fix=fix)
        if not ready or not negotiates(sink):
            continue
        emitted = {profile: emitted_to(config, sink, profile) for profile in config.profiles_to(sink)}
        try:
            taken = opened.accepts({context for wanted in emitted.values() for one in wanted for context in one.contexts})
        except HilumError as away:
            yield DoctorFinding(area=Area.SINKS, subject=f"sink {sink.name}", level="bad", detail=f"{away} [{away.code}]", fix=away.remedy)
            continue
        for profile, wanted in emitted.items():
            yield from judge(sink.name, profile, wanted, taken)
        yield from _commitment(sink, opened)


def _commitment(sink: SinkSettings, opened: "Sink") -> Iterator[DoctorFinding]:
    """Whether a sink that is to commit offers storage commitment to this node."""
    from inference.errors import HilumError

    if sink.commitment is Commitment.NO:
        return
    subject = f"sink {sink.name}"
    try:
        offered = offers_commitment(opened)
    except HilumError as away:
        yield DoctorFinding(area=Area.SINKS, subject=subject, level="bad", detail=f"{away} [{away.code}]", fix=away.remedy)
        return
    if offered:
        yield DoctorFinding(area=Area.SINKS, subject=subject, level="good", detail="it offers storage commitment")
        return
    required = sink.commitment is Commitment.REQUIRED
    fix = "Ask its administrator to allow storage commitment (Storage Commitment Push Model) for this node's AE title" + (
        "; or give the sink `commitment: wanted`: until then its deliveries are parked." if required else "."
    )
    yield DoctorFinding(
        area=Area.SINKS, subject=subject, level="bad" if required else "warning", detail="it offers no storage commitment", fix=fix
    )


def judge(name: str, profile: Profile, wanted: "list[Emitted]", taken: frozenset[Context]) -> Iterator[DoctorFinding]:
    """What a sink with this profile takes of what it may be sent."""
    subject = f"sink {name}"
    as_wanted = sorted({f"{one.wanted}" for one in wanted if one.wanted in taken})
    if as_wanted:
        yield DoctorFinding(
            area=Area.SINKS, subject=subject, level="good", detail=f"profile {profile.name}; it takes {', '.join(as_wanted)}"
        )
    for one in wanted:
        if one.wanted in taken:
            continue
        lacking = f"takes no {one.wanted}"
        ask = f"Ask its administrator to accept {name_of(one.wanted.sop_class_uid)} ({one.wanted.sop_class_uid})"
        if going := next((context for context in one.decompressed if context in taken), None):
            detail = f"{lacking}: objects of kind {one.kind} go in {name_of(going.transfer_syntax_uid)}"
            # an uncompressed object in the other uncompressed syntax is the same, and nothing that anybody need mend
            compressed = one.wanted not in one.decompressed
            fix = f"{ask} in {name_of(one.wanted.transfer_syntax_uid)}." if compressed else ""
            yield DoctorFinding(area=Area.SINKS, subject=subject, level="warning" if compressed else "good", detail=detail, fix=fix)
        elif any(context in taken for context in one.instead):
            fix = f"{ask}; or have `masks: binary` in its profile."
            yield DoctorFinding(
                area=Area.SINKS, subject=subject, level="warning", detail=f"{lacking}: binary masks and their report go instead", fix=fix
            )
        elif profile.not_taken is NotTaken.LEAVE_OUT:
            fix = f"{ask}; or turn this kind off in its profile."
            yield DoctorFinding(
                area=Area.SINKS, subject=subject, level="warning", detail=f"{lacking}: objects of kind {one.kind} are left out", fix=fix
            )
        else:
            fix = f"{ask}; or turn this kind off in its profile, or have `not_taken: leave-out` there."
            yield DoctorFinding(
                area=Area.SINKS,
                subject=subject,
                level="bad",
                detail=f"{lacking}: deliveries with objects of kind {one.kind} are parked",
                fix=fix,
            )


def look_at_senders(config: Config) -> Iterator[DoctorFinding]:
    """Whom the listener admits, as far as the configuration alone says it."""
    node = config.node
    if node.strangers:
        hosts = [node.host] * node.plain + ([node.tls.host] if node.tls else [])
        if all(is_loopback(host) for host in hosts):
            yield DoctorFinding(
                area=Area.CONFIGURATION, subject="senders", level="good", detail="anyone on this machine may send (`strangers: true`)"
            )
        else:
            yield DoctorFinding(
                area=Area.CONFIGURATION,
                subject="senders",
                level="warning",
                detail="anyone who reaches the node may send, under any AE title (`strangers: true`)",
                fix="Name each sender under `peers:` with its AE title and address, then take `strangers` out.",
            )
    elif not config.peers:
        fix = "Name each sender under `peers:` with its AE title and address."
        yield DoctorFinding(
            area=Area.CONFIGURATION, subject="senders", level="warning", detail="no peers: nobody may send anything", fix=fix
        )
    else:
        yield DoctorFinding(
            area=Area.CONFIGURATION,
            subject="senders",
            level="good",
            detail="only peers may send, each from its own address; others are closed at once",
        )
    by_title = [peer.name for peer in config.peers.values() if peer.certificate is None and peer.user is None]
    if node.trusted_proxies and not node.proxy_protocol and by_title:
        where = ", ".join(str(one).removesuffix("/32").removesuffix("/128") for one in node.trusted_proxies.networks)
        yield DoctorFinding(
            area=Area.CONFIGURATION,
            subject="trusted proxies",
            level="warning",
            detail=f"whoever comes through {where} and claims their AE title is taken for: {', '.join(by_title)}",
            fix="Have the proxies say who is behind them (`proxy_protocol: true`), or name a `certificate` or a `user` in those entries.",
        )


def look_at_callers(config: Config) -> Iterator[DoctorFinding]:
    """Whom this host's receivers turned away within the last hour, each caller once."""
    from node.observe.association_log import kept_lines
    from node.records.associations import association_records
    from node.store.hosts import association_folder

    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in association_records(kept_lines(association_folder(config)), datetime.now(UTC) - _CALLERS):
        if one["outcome"] == "refused" and one["remedy"]:
            who = (one["calling"] or "", one["address"] or "", one["why"])
            known = found.setdefault(who, {**one, "count": 0})
            known["count"] += one["count"]
    for (calling, address, why), one in list(found.items())[-_MOST_CALLERS:]:
        subject = f"{calling}@{address}" if calling else address
        detail = f"turned away {plural(one['count'], 'time')} within the last hour: {why}"
        yield DoctorFinding(area=Area.REFUSED, subject=subject, level="warning", detail=detail, fix=one["remedy"])


def look_at_certificates(config: Config) -> Iterator[DoctorFinding]:
    """Certificates, authorities and revocation lists: whether they can be used, and for how long."""
    from inference.errors import HilumError
    from node.dimse.validity import SOON_S, validities

    if config.node.tls is not None:
        address = f"{config.node.tls.host}:{config.node.tls.port}"
        try:
            demand_listener_tls(config.node.tls)
        except HilumError as wrong:
            yield DoctorFinding(area=Area.CERTIFICATES, subject="tls", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
        else:
            plain = f"; without TLS on {config.node.host}:{config.node.port} too" if config.node.plain else ""
            yield DoctorFinding(
                area=Area.CERTIFICATES, subject="tls", level="good", detail=f"associations are accepted on {address}{plain}"
            )
    now = datetime.now(UTC)
    for one in validities(config):
        subject = f"{one.use.value} {one.path.name}"
        if one.until is None:
            yield DoctorFinding(
                area=Area.CERTIFICATES,
                subject=subject,
                level="bad",
                detail=one.why,
                fix="Put a good file there; it is read again by itself.",
            )
            continue
        left_s = one.left_s(now)
        day, days = f"{one.until:%Y-%m-%d}", abs(left_s) / 86400
        fix = f"Renew {one.path}; the node reads it again by itself."
        if left_s <= 0:
            yield DoctorFinding(
                area=Area.CERTIFICATES, subject=subject, level="bad", detail=f"expired on {day}, {days:.0f} days ago", fix=fix
            )
        else:
            soon = left_s < SOON_S
            yield DoctorFinding(
                area=Area.CERTIFICATES,
                subject=subject,
                level="warning" if soon else "good",
                detail=f"good until {day}, {days:.0f} days",
                fix=fix if soon else "",
            )


def look_at_peers(config: Config) -> Iterator[DoctorFinding]:
    """Whether each peer that listens answers C-ECHO."""
    for peer in config.peers.values():
        subject = f"peer {peer.name}"
        if not peer.port:
            yield DoctorFinding(area=Area.PEERS, subject=subject, level="good", detail=f"{peer.ae_title} only calls; nothing to ask")
            continue
        answer = ask_peer(config, peer)
        if answer.ready:
            yield DoctorFinding(area=Area.PEERS, subject=subject, level="good", detail=f"{peer.ae_title} {answer.detail}")
        else:
            yield DoctorFinding(area=Area.PEERS, subject=subject, level="bad", detail=answer.detail, fix=peer_fix(peer))
