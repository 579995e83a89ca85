"""What headers state of the part of the body and of the view, against what an application expects: words and letters, no pixels.

A part is typed, and one in seven wrong (Güld and others 2002): of slices, what pixels can tell declines, and the word is told. Of a single
image there is nothing but its header that says which joint it shows.
"""

from collections.abc import Iterable, Mapping

from inference.imaging.judge.expects import BodyPart, View

_PARTS: Mapping[BodyPart, tuple[str, ...]] = {
    BodyPart.HEAD: ("HEAD", "BRAIN", "SKULL", "NEURO", "CRANI", "KOPF", "HIRN", "SCHAED", "TETE", "CABE", "CEREB", "ENCEF", "NECK", "FACE"),
    BodyPart.CHEST: ("CHEST", "THORA", "TORA", "LUNG", "POUMON", "PULMO", "BODY", "ABDOM", "TRUNK", "TAP", "CAP", "HEART"),
    BodyPart.HIPPOCAMPUS: ("HEAD", "BRAIN", "SKULL", "NEURO", "HIPPOCAMP", "KOPF", "HIRN", "TETE", "CABE", "CEREB", "ENCEF"),
}
"""Words, one of which stands in what a header says of the part: the defined terms (PS3.16 Annex L), and what is typed instead."""
_SHOWN: Mapping[View, tuple[str, ...]] = {
    View.FRONTAL_CHEST: ("CHEST", "THORA", "TORAX", "TÓRAX", "TORAC", "LUNG", "PULMO", "POUMON", "KLATK", "ГРУД", "胸"),
}
"""The same of a view of single images, which alone are asked whether they show it."""
_POSITIONS: Mapping[View, frozenset[str]] = {View.FRONTAL_CHEST: frozenset({"PA", "AP", ""})}
"""View Position (0018,5101); "" where it is not stated."""
_BESIDE = frozenset({"L", "R", "B", "ERECT", "SUPINE", "SITTING", "PORTABLE"})
"""What is typed beside a projection: a side, and how the patient was or the film was taken."""


def other_parts(part: BodyPart, said: Iterable[str]) -> list[str]:
    """Those of the words that name another part of the body."""
    # a code string is ASCII (PS3.5 6.2): of what is typed in another script nobody can say here what it means
    return [each for each in said if each.isascii() and not any(word in each.upper() for word in _PARTS[part])]


def may_show(view: View, said: Iterable[str]) -> bool:
    """Whether what is said of the part names what the view shows; nothing said may be anything."""
    parts = [each.upper() for each in said]
    return not parts or any(word in part for part in parts for word in _SHOWN[view])


def position(stated: str) -> str:
    """The projection without what is typed beside it: "PA"."""
    return " ".join(part for part in stated.upper().split() if part not in _BESIDE)


def may_be(view: View, stated: str) -> bool:
    """Whether an image of this projection, with or without a side ("L LL"), may be the view."""
    return position(stated) in _POSITIONS[view]
