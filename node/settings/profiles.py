"""`profiles:` what sinks get of the results, and in which form; and the `profile` of a sink, which is a name of one or keys of its own.

The kinds of results and their switches are handed in by the composition root: results stand above settings.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol

from ruamel.yaml.nodes import MappingNode, Node

from node.domain.profile import SHIPPED, VIEWER, Compression, Kind, Language, MaskEncoding, NotTaken, Profile, form_in
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.errors import BadValue
from node.settings.kinds import SWITCH, Choice, Reference, Schema, Several
from node.settings.source import Here, Refused, entries


class Like(StrEnum):
    """The shipped profiles."""

    VIEWER = "viewer"
    PACS = "pacs"
    ARCHIVE = "archive"


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


class ChosenProfile:
    """The profile of a sink: a name under `profiles:`, a shipped one, or the keys of a profile for this sink alone."""

    wants = f"{', '.join(f'`{name}`' for name in SHIPPED)}, a name under `profiles`, or a mapping with the keys of a profile"

    def __init__(self, profile: Block[Profile]) -> None:
        self._profile = profile

    def read(self, at: Node, here: Here) -> Profile:
        if isinstance(at, MappingNode):
            return self._profile.read(at, here, name="of its own")
        name = Reference(to="profiles", noun="profile").read(at, here)
        return here.profiles[name]

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
