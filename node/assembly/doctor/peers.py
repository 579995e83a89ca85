"""What the node talks to: senders, certificates, peers, sinks and what they take."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from node.domain.commitment import Commitment
from node.domain.context import Context, name_of
from node.domain.health import Area, DoctorFinding
from node.domain.profile import NotTaken, Profile
from node.records.words import plural
from node.settings.config import Config, SinkSettings
from node.settings.kinds import is_loopback

if TYPE_CHECKING:
    from node.results.emitted import Emitted
    from node.sinks.port import Sink


_CALLERS = timedelta(hours=1)
_MOST_CALLERS = 5


def look_at_sinks(config: Config) -> Iterator[DoctorFinding]:
    """A finding on each sink's health; of peers that answer, what they take, what goes in another form, and what cannot go at all."""
    from inference.errors import HilumError
    from node.assembly.compose import negotiates, open_sink
    from node.assembly.health import SINK_FIX, emitted_to

    for sink in config.sinks.values():
        opened = open_sink(config, sink)
        ready, detail = opened.health()
        fix = "" if ready else SINK_FIX
        yield DoctorFinding(area=Area.SINKS, subject=f"sink {sink.name}", level="good" if ready else "bad", detail=detail, fix=fix)
        if not ready or not negotiates(sink):
            continue
        wanted = emitted_to(config, sink)
        try:
            taken = opened.accepts({context for one in wanted for context in one.contexts})
        except HilumError as away:
            yield DoctorFinding(area=Area.SINKS, subject=f"sink {sink.name}", level="bad", detail=f"{away} [{away.code}]", fix=away.remedy)
            continue
        yield from judge(sink.name, sink.profile, wanted, taken)
        yield from _commitment(sink, opened)


def _commitment(sink: SinkSettings, opened: "Sink") -> Iterator[DoctorFinding]:
    """Whether a sink that is to commit offers storage commitment to this node."""
    from inference.errors import HilumError
    from node.assembly.health import offers_commitment

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
    from node.assembly.health import demand_listener_tls
    from node.dimse.validity import validities
    from node.upkeep.certificates import SOON_S

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
    from node.assembly.health import ask_peer, peer_fix

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
