"""`sinks:` where results go."""

from datetime import timedelta
from pathlib import Path

from node.domain.commitment import Commitment
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


def _sink(
    *,
    name: str,
    kind: SinkKind,
    peer: str | None,
    path: Path | None,
    profile: Profile,
    retry: Retry,
    commitment: Commitment,
    commitment_wait: timedelta,
) -> Sink:
    return Sink(
        name=name,
        kind=kind,
        peer=peer,
        path=path,
        profile=profile,
        retry_first=retry.first,
        retry_most=retry.most,
        give_up=retry.give_up,
        commitment=commitment,
        commitment_wait=commitment_wait,
    )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    kind = values["kind"]
    for other, key in _NEEDS.items():
        if other is kind and values[key] is None:
            raise here.refuse(BadValue, nodes["kind"], f'a sink of kind {kind} needs the key "{key}"')
        if other is not kind and key in nodes:
            raise here.refuse(BadValue, nodes[key], f'a sink of kind {kind} has no "{key}"; that belongs to kind {other}')
    if kind is not SinkKind.DIMSE and values["commitment"] is not Commitment.NO:
        raise here.refuse(BadValue, nodes["commitment"], f"a sink of kind {kind} commits to nothing; only a peer (kind dimse) can")
    if values["commitment"] is not Commitment.NO and values["commitment_wait"] > values["retry"].give_up:
        at = nodes.get("commitment_wait") or nodes["retry"]
        raise here.refuse(BadValue, at, "commitment_wait is longer than give_up: nobody would be asked a second time")


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
            Key(
                name="commitment",
                kind=Choice(of=Commitment),
                default="no",
                says="Kind dimse: whether the peer is asked to commit to what it accepted (storage commitment). `required`: the delivery "
                "ends, and pixels may go, when it has; `wanted`: so too, but a peer without this service is good enough.",
            ),
            Key(
                name="commitment_wait",
                kind=DURATION,
                default="30m",
                says="How long the peer may take to report on a commitment. Then it is asked again, after twice as long each time.",
            ),
        ),
    ),
)
