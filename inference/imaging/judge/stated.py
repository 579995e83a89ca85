"""What headers state of the part of the body and of the view, against what an application expects: words and letters, no pixels.

A part is typed, and one in seven wrong (Güld and others 2002): of slices, what pixels can tell declines, and the word is told; unless what
was ordered or scanned, which is typed by others, names another part as well, and nothing names the right one. Of a single image there is
nothing but its header that says which joint it shows.
"""

import re
from collections.abc import Iterable, Mapping

from inference.imaging.judge.expects import BodyPart, View

_PARTS: Mapping[BodyPart, tuple[str, ...]] = {
    BodyPart.HEAD: ("HEAD", "BRAIN", "SKULL", "NEURO", "CRANI", "KOPF", "HIRN", "SCHAED", "TETE", "CABE", "CEREB", "ENCEF", "NECK", "FACE"),
    BodyPart.CHEST: ("CHEST", "THORA", "TORA", "LUNG", "POUMON", "PULMO", "BODY", "ABDOM", "TRUNK", "TAP", "CAP", "HEART"),
    BodyPart.HIPPOCAMPUS: ("HEAD", "BRAIN", "SKULL", "NEURO", "HIPPOCAMP", "KOPF", "HIRN", "TETE", "CABE", "CEREB", "ENCEF"),
}
"""Words, one of which stands in what a header says of the part: the defined terms (PS3.16 Annex L), and what is typed instead."""
_OF_THE_BODY = ("KNEE", "ANKLE", "SHOULDER", "PROSTAT", "PELVI")
_OF_THE_TRUNK = ("CHEST", "THORA", "LUNG", "ABDOM")
_OF_THE_HEAD = ("HEAD(?! ?FIRST)", "BRAIN", "SKULL", "KOPF", "SCHAED", "HIRN", "GEHIRN", "CEREB")
_ELSEWHERE: Mapping[BodyPart, re.Pattern[str]] = {
    part: re.compile(rf"(?<![A-Z])(?:{'|'.join(words)})")
    for part, words in {
        BodyPart.HEAD: (*_OF_THE_BODY, *_OF_THE_TRUNK),
        BodyPart.HIPPOCAMPUS: (*_OF_THE_BODY, *_OF_THE_TRUNK),
        BodyPart.CHEST: (*_OF_THE_BODY, *_OF_THE_HEAD),
    }.items()
}
"""Words that leave no doubt of another part; the neck, the spine and the whole body are beside or around."""
_NAMED: Mapping[BodyPart, re.Pattern[str]] = {
    part: re.compile(rf"(?<![A-Z])(?:{'|'.join(words)})")
    for part, words in {
        BodyPart.HEAD: _OF_THE_HEAD,
        BodyPart.HIPPOCAMPUS: _OF_THE_HEAD,
        BodyPart.CHEST: ("CHEST", "THORA", "LUNG"),
    }.items()
}
"""Words that leave no doubt of the part itself."""
DESCRIBED: Mapping[str, int] = {"StudyDescription": 0x00081030, "ProtocolName": 0x00181030, "SeriesDescription": 0x0008103E}
"""Where a part is named as well, by those who order and those who scan."""
_SHOWN: Mapping[View, tuple[str, ...]] = {
    View.FRONTAL_CHEST: ("CHEST", "THORA", "TORAX", "TÓRAX", "TORAC", "LUNG", "PULMO", "POUMON", "KLATK", "ГРУД", "胸"),
}
"""The same of a view of single images, which alone are asked whether they show it."""
_POSITIONS: Mapping[View, frozenset[str]] = {View.FRONTAL_CHEST: frozenset({"PA", "AP", ""})}
"""View Position (0018,5101); "" where it is not stated."""
_BESIDE = frozenset({"L", "R", "B", "ERECT", "SUPINE", "SITTING", "PORTABLE"})
"""What is typed beside a projection: a side, and how the patient was or the film was taken."""


PRESENTATION_INTENT = 0x00080068
_RAW_CLASSES = frozenset({f"1.2.840.10008.5.1.4.1.1.1.{one}.1" for one in (1, 2, 3)})
"""Digital, mammography and intra-oral X-ray images for processing."""


def for_processing(intents: Iterable[str], sop_classes: Iterable[str]) -> str:
    """Why projection images are not for looking at, for people, by PresentationIntentType (PS3.3 C.8.11.1.1.1) or SOP class; "" where one
    of them may be."""
    said = [(intent.strip().upper(), uid) for intent, uid in zip(intents, sop_classes, strict=True)]
    raw = bool(said) and all(intent == "FOR PROCESSING" or (not intent and uid in _RAW_CLASSES) for intent, uid in said)
    return "the images are for processing, not for presentation (PresentationIntentType)" if raw else ""


def other_parts(part: BodyPart, said: Iterable[str]) -> list[str]:
    """Those of the words that name another part of the body."""
    # a code string is ASCII (PS3.5 6.2): of what is typed in another script nobody can say here what it means
    return [each for each in said if each.isascii() and not any(word in each.upper() for word in _PARTS[part])]


def elsewhere(part: BodyPart, parts: Iterable[str], described: Mapping[str, Iterable[str]]) -> str:
    """What says twice that another part was imaged, for people; "" where one says the right one, or only one says another.

    Parameters
    ----------
    parts
        What the images say as BodyPartExamined.
    described
        What they say as each of `DESCRIBED`.
    """
    typed = list(parts)
    said = {keyword: [one.upper() for one in values if one] for keyword, values in described.items()}
    own = any(word in one for values in said.values() for one in values for word in _PARTS[part])
    if own or not typed or len(other_parts(part, typed)) < len(typed) or not all(_ELSEWHERE[part].search(one.upper()) for one in typed):
        return ""
    keyword = next((keyword for keyword, values in said.items() if any(_ELSEWHERE[part].search(one) for one in values)), "")
    return f"BodyPartExamined is {typed[0]}, and {keyword} says so too: that is not the {part.value}" if keyword else ""


def named_twice(part: BodyPart, parts: Iterable[str], described: Mapping[str, Iterable[str]]) -> bool:
    """Whether what is typed as BodyPartExamined names the part, whatever stands there, and what was ordered or scanned does too."""
    typed = [one.upper() for one in parts]
    said = [one.upper() for values in described.values() for one in values]
    named = _NAMED[part]
    return bool(typed) and all(map(named.search, typed)) and any(map(named.search, said)) and not any(map(_ELSEWHERE[part].search, said))


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
