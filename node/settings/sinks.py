"""`sinks:` where results go."""

from datetime import timedelta
from pathlib import Path

from node.domain.profile import Profile
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.config import Sink, SinkKind
from node.settings.errors import BadValue
from node.settings.kinds import DURATION, Choice, FilePath, Reference
from node.settings.profiles import ChosenProfile
from node.settings.source import Here


class Retry:
    """The three durations of `retry`, as they were read."""

    def __init__(self, *, first: timedelta, most: timedelta, give_up: timedelta) -> None:
        self.first, self.most, self.give_up = first, most, give_up


def _in_order(values: Values, nodes: Nodes, here: Here) -> None:
    for shorter, longer in (("first", "most"), ("most", "give_up")):
        if values[shorter] > values[longer]:
            at = nodes.get(longer) or nodes[shorter]
            raise here.refuse(BadValue, at, f"{longer} is shorter than {shorter}")


RETRY = Block(
    build=Retry,
    check=_in_order,
    keys=(
        Key(name="first", kind=DURATION, default="5s", says="The wait after the first failure; it doubles each time."),
        Key(name="most", kind=DURATION, default="10m", says="The longest wait between two attempts."),
        Key(name="give_up", kind=DURATION, default="7d", says="After so long the delivery is parked for a person to decide."),
    ),
)

_NEEDS = {SinkKind.DIMSE: "peer", SinkKind.FOLDER: "path"}


def _sink(*, name: str, kind: SinkKind, peer: str | None, path: Path | None, profile: Profile, retry: Retry) -> Sink:
    return Sink(
        name=name,
        kind=kind,
        peer=peer,
        path=path,
        profile=profile,
        retry_first=retry.first,
        retry_most=retry.most,
        give_up=retry.give_up,
    )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    kind = values["kind"]
    for other, key in _NEEDS.items():
        if other is kind and values[key] is None:
            raise here.refuse(BadValue, nodes["kind"], f'a sink of kind {kind} needs the key "{key}"')
        if other is not kind and key in nodes:
            raise here.refuse(BadValue, nodes[key], f'a sink of kind {kind} has no "{key}"; that belongs to kind {other}')


SINKS = Named(
    noun="sink",
    of=Block(
        build=_sink,
        check=_check,
        moved={"summary": "write `profile: {like: viewer, summary: false}`, or leave it out to send the page"},
        keys=(
            Key(
                name="kind",
                kind=Choice(of=SinkKind),
                required=True,
                says="`dimse` sends by C-STORE to a peer; `folder` writes files.",
            ),
            Key(name="peer", kind=Reference(to="peers", noun="peer"), says="Kind dimse: the peer that the objects are sent to."),
            Key(name="path", kind=FilePath(), says="Kind folder: the folder that the objects are written into."),
            Key(name="profile", kind=ChosenProfile(), default="viewer", says="What it gets of the results, and in which form."),
            Key(name="retry", kind=RETRY, default="{}", says="How long to wait between attempts, and when to give up."),
        ),
    ),
)
