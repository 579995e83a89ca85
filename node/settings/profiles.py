"""`profiles:` what sinks get of the results, and in which form; and the `profile` of a sink, which is a name of one or keys of its own."""

from dataclasses import replace
from enum import StrEnum
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node

from node.domain.profile import SHIPPED, VIEWER, Compression, Form, Kind, Language, Masks, NotTaken, Profile
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.errors import BadValue
from node.settings.kinds import SWITCH, Choice, Reference, Schema, Several
from node.settings.source import Here, Refused, entries


class Like(StrEnum):
    """The shipped profiles."""

    VIEWER = "viewer"
    PACS = "pacs"
    ARCHIVE = "archive"


SWITCHES = {
    "reports": (Kind.SR, "Measurements and evaluations, as Structured Reports."),
    "detections": (Kind.DETECTIONS, "Boxes, points and lengths, as a Structured Report that viewers draw on the images."),
    "summary": (Kind.SC, "The summary page, an RGB Secondary Capture, for viewers that show nothing else."),
    "overlays": (Kind.OVERLAY, "Maps drawn over the images, as Secondary Capture."),
    "maps": (Kind.MAP, "Maps as Parametric Map."),
    "derived": (Kind.DERIVED, "Derived images, of their source's SOP class."),
    "registrations": (Kind.REGISTRATION, "Spatial Registrations."),
    "narratives": (Kind.NARRATIVE, "A narrative report, as Enhanced SR."),
    "pdf": (Kind.PDF, "The narrative report, as Encapsulated PDF."),
    "explanations": (
        Kind.EXPLANATION,
        "What moved a classifier's answer, drawn beside the image, as Secondary Capture; no location, in no shipped profile.",
    ),
    "statements": (
        Kind.STATEMENT,
        "Where an application that was asked gave no result of a study: a note that says so, and why, as Enhanced SR.",
    ),
    "withdrawals": (
        Kind.WITHDRAWAL,
        "Withdraws what a later result replaces, once the sink has that, by a Key Object Selection (IHE IOCM); in no shipped profile.",
    ),
    "explanation_maps": (Kind.EXPLANATION_MAP, "The same as Parametric Map."),
}
"""Switch → the kind that it turns on, and what it is."""


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    """Refuse a compression that the masks cannot have."""
    made = _profile(name="", **values)
    asked = made.masks if made.compression is Compression.NONE else f"{made.masks}+{made.compression}"
    if made.masks is Masks.NONE or asked in set(Form):
        return
    at = nodes.get("compression") or nodes.get("masks") or nodes["like"]
    possible = [one.value for one in Compression if one is Compression.NONE or f"{made.masks}+{one}" in set(Form)]
    raise here.refuse(BadValue, at, f"{made.masks} masks are not compressed by {made.compression}; possible: {', '.join(possible)}")


def _profile(*, name: str, like: Like, **said: Any) -> Profile:
    """The shipped profile, with what is said otherwise."""
    shipped = SHIPPED[like]
    kinds = set(shipped.kinds)
    for switch, (kind, _) in SWITCHES.items():
        wanted = said.pop(switch)
        if wanted is not None:
            kinds = kinds | {kind} if wanted else kinds - {kind}
    changes = {key: value for key, value in said.items() if value is not None}
    if "masks" in changes and "compression" not in changes and f"{changes['masks']}+{shipped.compression}" not in set(Form):
        changes["compression"] = Compression.NONE  # that of other masks
    return replace(shipped, name=name, kinds=frozenset(kinds), **changes)


_KEYS = (
    Key(
        name="like",
        kind=Choice(of=Like),
        default="viewer",
        says="The shipped profile that holds for every key that is not here.",
    ),
    Key(name="masks", kind=Choice(of=Masks), says="The form of segmentations. A sink that does not take it gets `binary` ones."),
    Key(
        name="compression",
        kind=Choice(of=Compression),
        says="How segmentations are compressed, without loss: `binary` by `deflate`, `labelmap` by any.",
    ),
    Key(name="empty_masks", kind=SWITCH, says="A segmentation without a voxel when nothing was found; the report says so in any case."),
    *(Key(name=switch, kind=SWITCH, says=says) for switch, (_, says) in SWITCHES.items()),
    Key(name="languages", kind=Several(of=Choice(of=Language), least=1), says="Of narratives and PDFs."),
    Key(
        name="not_taken",
        kind=Choice(of=NotTaken),
        says="What becomes of objects whose SOP class the sink takes in no form: `park` has a person decide, `leave-out` is content with "
        "the others, and says so.",
    ),
)

PROFILE: Block[Profile] = Block(build=_profile, check=_check, keys=_KEYS)

PROFILES: Named[Profile] = Named(noun="profile", of=PROFILE, reserved=tuple(SHIPPED))


class ChosenProfile:
    """The profile of a sink: a name under `profiles:`, a shipped one, or the keys of a profile for this sink alone."""

    wants = f"{', '.join(f'`{name}`' for name in SHIPPED)}, a name under `profiles`, or a mapping with the keys of a profile"

    def read(self, at: Node, here: Here) -> Profile:
        if isinstance(at, MappingNode):
            return PROFILE.read(at, here, name="of its own")
        name = Reference(to="profiles", noun="profile").read(at, here)
        return here.profiles[name]

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string"}, PROFILE.schema()]}


def profiles_of(at: Node | None, here: Here) -> dict[str, Profile]:
    """Every profile that a sink may name; one that is wrong still counts: what is wrong is told when the whole file is read."""
    quiet = Here(file=here.file, folder=here.folder)
    own: dict[str, Profile] = {}
    for key, node in entries(at) if at is not None else ():
        try:
            own[str(key.value)] = PROFILE.read(node, quiet, name=str(key.value))
        except Refused:
            own[str(key.value)] = VIEWER
    return {**own, **SHIPPED}
