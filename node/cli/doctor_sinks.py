"""What `hilum doctor` says of sinks: whether they answer, and what they take of all that the routes may have them sent."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from node.cli.finding import Finding
from node.domain.commitment import Commitment
from node.domain.context import Context, name_of
from node.domain.profile import NotTaken, Profile
from node.settings.config import Config, Sink, SinkKind

if TYPE_CHECKING:
    from node.results.emitted import Emitted
    from node.sinks.port import Sink as SinkPort


def look_at_sinks(config: Config) -> Iterator[Finding]:
    """A finding on each sink's health; of peers that answer, what they take, what goes in another form, and what cannot go at all."""
    from inference.errors import HilumError
    from node.assembly.compose import open_sink

    for sink in config.sinks.values():
        opened = open_sink(config, sink)
        ready, detail = opened.health()
        fix = "" if ready else "Results wait in the journal and leave by themselves when the sink is back."
        yield Finding(subject=f"sink {sink.name}", level="good" if ready else "bad", detail=detail, fix=fix)
        if not ready or sink.kind is not SinkKind.DIMSE:
            continue
        wanted = _wanted(config, sink)
        try:
            taken = opened.accepts({context for one in wanted for context in one.contexts})
        except HilumError as away:
            yield Finding(subject=f"sink {sink.name}", level="bad", detail=f"{away} [{away.code}]", fix=away.remedy)
            continue
        yield from judge(sink.name, sink.profile, wanted, taken)
        yield from _commitment(sink, opened)


def _commitment(sink: Sink, opened: "SinkPort") -> Iterator[Finding]:
    """Whether a sink that is to commit offers storage commitment to this node."""
    from inference.errors import HilumError
    from node.dimse.committing import CONTEXTS

    if sink.commitment is Commitment.NO:
        return
    subject = f"sink {sink.name}"
    try:
        offered = bool(opened.accepts(CONTEXTS))
    except HilumError as away:
        yield Finding(subject=subject, level="bad", detail=f"{away} [{away.code}]", fix=away.remedy)
        return
    if offered:
        yield Finding(subject=subject, level="good", detail="it offers storage commitment")
        return
    required = sink.commitment is Commitment.REQUIRED
    fix = "Ask its administrator to allow storage commitment (Storage Commitment Push Model) for this node's AE title" + (
        "; or give the sink `commitment: wanted`: until then its deliveries are parked." if required else "."
    )
    yield Finding(subject=subject, level="bad" if required else "warning", detail="it offers no storage commitment", fix=fix)


def judge(name: str, profile: Profile, wanted: "list[Emitted]", taken: frozenset[Context]) -> Iterator[Finding]:
    """What a sink with this profile takes of what it may be sent."""
    subject = f"sink {name}"
    as_wanted = sorted({f"{one.wanted}" for one in wanted if one.wanted in taken})
    if as_wanted:
        yield Finding(subject=subject, level="good", detail=f"profile {profile.name}; it takes {', '.join(as_wanted)}")
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
            yield Finding(subject=subject, level="warning" if compressed else "good", detail=detail, fix=fix)
        elif any(context in taken for context in one.instead):
            fix = f"{ask}; or have `masks: binary` in its profile."
            yield Finding(subject=subject, level="warning", detail=f"{lacking}: binary masks and their report go instead", fix=fix)
        elif profile.not_taken is NotTaken.LEAVE_OUT:
            fix = f"{ask}; or turn this kind off in its profile."
            yield Finding(subject=subject, level="warning", detail=f"{lacking}: objects of kind {one.kind} are left out", fix=fix)
        else:
            fix = f"{ask}; or turn this kind off in its profile, or have `not_taken: leave-out` there."
            yield Finding(subject=subject, level="bad", detail=f"{lacking}: deliveries with objects of kind {one.kind} are parked", fix=fix)


def _wanted(config: Config, sink: Sink) -> "list[Emitted]":
    """What the applications of the routes to this sink may emit for its profile; one that cannot be loaded is spoken of elsewhere."""
    from inference.errors import HilumError
    from node.assembly.compose import application
    from node.results.emitted import emitted

    found: dict[Emitted, None] = {}
    for name in dict.fromkeys(name for route in config.routes if sink.name in route.send for name in route.run):
        try:
            found |= dict.fromkeys(emitted(application(config, name), sink.profile))
        except HilumError:
            continue
    return list(found)
