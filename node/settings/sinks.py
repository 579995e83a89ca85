"""`sinks:` where results go: the keys that every sink has. What a kind of sink is told beside them it declares itself (node/sinks), and
whoever composes the node hands the declarations in: sinks stand above settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from node.domain.commitment import Commitment
from node.domain.profile import Profile
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.config import Destination, SinkSettings
from node.settings.errors import BadValue
from node.settings.kinds import DURATION, Choice
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


@dataclass(frozen=True, kw_only=True, eq=False)
class DeclaredSink:
    """A kind of sink as far as the configuration goes.

    Attributes
    ----------
    name
        What `kind:` has for it.
    says
        What such a sink does, as the end of a sentence that begins with its name.
    keys
        Those that this kind alone has; `required` is asked of sinks of this kind.
    destination
        Makes what the sink is told from the values of `keys`.
    commits
        Whether `commitment` may be asked of it.
    """

    name: str
    says: str
    keys: tuple[Key, ...]
    destination: Callable[..., Destination]
    commits: bool = False


def sinks_of(kinds: Sequence[DeclaredSink], profile: Block[Profile]) -> Named[SinkSettings]:
    """The block `sinks:` for these kinds, each key of which belongs to one kind; `profile` has the keys of a profile.

    Raises
    ------
    ValueError
        Two of them are called the same, or have a key of the same name.
    """
    by_name = {kind.name: kind for kind in kinds}
    committing = " or ".join(kind.name for kind in kinds if kind.commits)
    which = Key(
        name="kind",
        kind=Choice(of=tuple(by_name)),
        required=True,
        says=f"{'; '.join(f'`{kind.name}` {kind.says}' for kind in kinds)}.",
    )
    own = (replace(key, required=False, says=f"Kind {kind.name}: {key.says}") for kind in kinds for key in kind.keys)
    keys = (which, *own, *_of_all(committing, profile))
    if len(by_name) < len(kinds) or len({key.name for key in keys}) < len(keys):
        raise ValueError(f"kinds of sinks that share a name, or the name of a key: {', '.join(key.name for key in keys)}")

    def build(
        *,
        name: str,
        kind: str,
        profile: Profile,
        retry: Retry,
        commitment: Commitment,
        commitment_wait: timedelta,
        **own: Any,
    ) -> SinkSettings:
        chosen = by_name[kind]
        return SinkSettings(
            name=name,
            destination=chosen.destination(**{key.name: own[key.name] for key in chosen.keys}),
            profile=profile,
            retry_first=retry.first,
            retry_most=retry.most,
            give_up=retry.give_up,
            commitment=commitment,
            commitment_wait=commitment_wait,
        )

    def check(values: Values, nodes: Nodes, here: Here) -> None:
        chosen = by_name[values["kind"]]
        for kind in kinds:
            for key in kind.keys:
                if kind is chosen and key.required and values[key.name] is None:
                    raise here.refuse(BadValue, nodes["kind"], f'a sink of kind {kind.name} needs the key "{key.name}"')
                if kind is not chosen and key.name in nodes:
                    what = f'a sink of kind {chosen.name} has no "{key.name}"; that belongs to kind {kind.name}'
                    raise here.refuse(BadValue, nodes[key.name], what)
        if not chosen.commits and values["commitment"] is not Commitment.NO:
            what = f"a sink of kind {chosen.name} commits to nothing; only a peer (kind {committing}) can"
            raise here.refuse(BadValue, nodes["commitment"], what)
        if values["commitment"] is not Commitment.NO and values["commitment_wait"] > values["retry"].give_up:
            at = nodes.get("commitment_wait") or nodes["retry"]
            raise here.refuse(BadValue, at, "commitment_wait is longer than give_up: nobody would be asked a second time")

    return Named(
        noun="sink",
        of=Block(
            build=build,
            check=check,
            moved={"summary": "write `profile: {like: viewer, summary: false}`, or leave it out to send the page"},
            keys=keys,
        ),
    )


def _of_all(committing: str, profile: Block[Profile]) -> tuple[Key, ...]:
    """The keys that every sink has; `committing` names the kinds that commit."""
    return (
        Key(name="profile", kind=ChosenProfile(profile), default="viewer", says="What it gets of the results, and in which form."),
        Key(name="retry", kind=RETRY, default="{}", says="How long to wait between attempts, and when to give up."),
        Key(
            name="commitment",
            kind=Choice(of=Commitment),
            default="no",
            says=f"Kind {committing}: whether the peer is asked to commit to what it accepted (storage commitment). `required`: the "
            "delivery ends, and pixels may go, when it has; `wanted`: so too, but a peer without this service is good enough.",
        ),
        Key(
            name="commitment_wait",
            kind=DURATION,
            default="30m",
            says="How long the peer may take to report on a commitment. Then it is asked again, after twice as long each time.",
        ),
    )
