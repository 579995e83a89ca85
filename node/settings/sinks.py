"""`sinks:` where results go, and `profiles:` what they get of the results, and in which form.

Here are the keys that every sink has. What a kind of sink is told beside them it declares itself (node/sinks); those declarations, the
kinds of results and their switches are handed in by whoever composes the node: sinks and results stand above settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol

from ruamel.yaml.nodes import MappingNode, Node

from node.domain.commitment import Commitment
from node.domain.profile import SHIPPED, VIEWER, Compression, Kind, Language, MaskEncoding, NotTaken, Profile, form_in
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.config import Destination, SinkSettings
from node.settings.kinds import DURATION, SWITCH, Choice, Reference, Schema, Several
from node.settings.source import BadValue, Here, Refused, entries


class Like(StrEnum):
    """The shipped profiles."""

    VIEWER = "viewer"
    PACS = "pacs"
    ARCHIVE = "archive"
    TRIAGE = "triage"


_FORMS = (
    Key(
        name="like",
        kind=Choice(of=Like),
        default="viewer",
        says="The shipped profile that holds for every key that is not here.",
    ),
    Key(
        name="masks",
        kind=Choice(of=MaskEncoding),
        says="The form of segmentations: `binary`, a bit a voxel; `whole-bytes`, the same, but a byte a voxel (FRACTIONAL, all or "
        "nothing) where rows times columns is no multiple of 8, which OHIF scatters in bits; `labelmap`. A sink that does not take "
        "it gets `binary` ones.",
    ),
    Key(
        name="compression",
        kind=Choice(of=Compression),
        says="How segmentations are compressed, without loss: `binary` by `deflate`, `labelmap` by any.",
    ),
    Key(name="empty_masks", kind=SWITCH, says="A segmentation without a voxel when nothing was found; the report says so in any case."),
    Key(
        name="cine_masks",
        kind=SWITCH,
        says="Segmentations of phases that came as single images of one series, or as a series each, and of photographs: OHIF lays that of "
        "one phase over others, and shows an empty page at that of a photograph; without this key such masks are left out (HLM-6186), and "
        "the report has what was measured in each phase and on each photograph.",
    ),
    Key(
        name="mask_reports",
        kind=SWITCH,
        says="Reports of what was measured of each segment; a sink that gets no segmentations gets one that refers to none. Without them "
        "the report of what was found, and of what was measured in all images, goes alone.",
    ),
)
_REST = (
    Key(
        name="languages",
        kind=Several(of=Choice(of=Language), least=1),
        says="Of narratives, PDFs and notes, which are written in each. The first one leads: series descriptions, conclusions and pages, "
        "which are made once, are in it where all sinks of a job have the same first one, else in English.",
    ),
    Key(
        name="not_taken",
        kind=Choice(of=NotTaken),
        says="What becomes of objects whose SOP class the sink takes in no form: `park` has a person decide, `leave-out` is content with "
        "the others, and says so.",
    ),
)


class DeclaredResults(Protocol):
    """A kind of results as far as the configuration goes: the key of a profile that turns it on, "" where none does, and what it is."""

    @property
    def kind(self) -> Kind: ...
    @property
    def switch(self) -> str: ...
    @property
    def says(self) -> str: ...


def profile_block(kinds: Sequence[DeclaredResults]) -> Block[Profile]:
    """The keys of a profile, with the switches of these kinds of results."""
    switched = [one for one in kinds if one.switch]

    def build(*, name: str, like: Like, **said: Any) -> Profile:
        """The shipped profile, with what is said otherwise."""
        shipped = SHIPPED[like]
        wanted = set(shipped.kinds)
        for one in switched:
            turned = said.pop(one.switch)
            if turned is not None:
                wanted = wanted | {one.kind} if turned else wanted - {one.kind}
        changes = {key: value for key, value in said.items() if value is not None}
        if "masks" in changes and "compression" not in changes and form_in(changes["masks"], shipped.compression) is None:
            changes["compression"] = Compression.NONE  # that of other masks
        if "compression" in changes and "masks" not in changes and shipped.masks is MaskEncoding.WHOLE_BYTES:
            changes["masks"] = MaskEncoding.BINARY  # whole bytes have no compression
        return replace(shipped, name=name, kinds=frozenset(wanted), **changes)

    def check(values: Values, nodes: Nodes, here: Here) -> None:
        """Refuse a compression that the masks cannot have."""
        made = build(name="", **values)
        if made.masks is MaskEncoding.NONE or form_in(made.masks, made.compression) is not None:
            return
        at = nodes.get("compression") or nodes.get("masks") or nodes["like"]
        possible = [one.value for one in Compression if form_in(made.masks, one) is not None]
        raise here.refuse(BadValue, at, f"{made.masks} masks are not compressed by {made.compression}; possible: {', '.join(possible)}")

    return Block(build=build, check=check, keys=(*_FORMS, *(Key(name=one.switch, kind=SWITCH, says=one.says) for one in switched), *_REST))


def profiles_block(profile: Block[Profile]) -> Named[Profile]:
    """`profiles:`, each with these keys."""
    return Named(noun="profile", of=profile, reserved=tuple(SHIPPED))


class NamedProfile:
    """A name under `profiles:`, or a shipped one."""

    wants = f"{', '.join(f'`{name}`' for name in SHIPPED)}, or a name under `profiles`"

    def read(self, at: Node, here: Here) -> Profile:
        return here.profiles[Reference(to="profiles", noun="profile").read(at, here)]

    def schema(self) -> Schema:
        return {"type": "string"}


class ChosenProfile:
    """The profile of a sink: a name under `profiles:`, a shipped one, or the keys of a profile for this sink alone."""

    wants = f"{', '.join(f'`{name}`' for name in SHIPPED)}, a name under `profiles`, or a mapping with the keys of a profile"

    def __init__(self, profile: Block[Profile]) -> None:
        self._profile = profile

    def read(self, at: Node, here: Here) -> Profile:
        if isinstance(at, MappingNode):
            return self._profile.read(at, here, name="of its own")
        return NamedProfile().read(at, here)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string"}, self._profile.schema()]}


def profiles_of(at: Node | None, here: Here, profile: Block[Profile]) -> dict[str, Profile]:
    """Every profile that a sink may name; one that is wrong still counts: what is wrong is told when the whole file is read."""
    quiet = Here(file=here.file, folder=here.folder)
    own: dict[str, Profile] = {}
    for key, node in entries(at) if at is not None else ():
        try:
            own[str(key.value)] = profile.read(node, quiet, name=str(key.value))
        except Refused:
            own[str(key.value)] = VIEWER
    return {**own, **SHIPPED}


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
