"""Codes of the structures that bundles name: by the words of a name, or as the operator says; what is not known is nobody's code.

The structures themselves stand in `anatomy`.
"""

import colorsys
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from inference import codes
from inference.applications.bundle.anatomy import ALIASES, STRUCTURES, UNPAIRED, Coded
from inference.applications.bundle.answering import AnswerChannel
from inference.applications.bundle.detecting import TOLD, DetectedClass
from inference.applications.bundle.errors import UncodedStructure
from inference.applications.bundle.structures import Structure

BACKGROUND = frozenset({"background", "bg", "other", "everything else", "unlabeled", "unlabelled"})

_SIDES = {"left": codes.LEFT, "right": codes.RIGHT}
_SPELLED = {"l": "left", "r": "right", "lt": "left", "rt": "right"}
_LEVEL = re.compile(r"[ctls]\d{1,2}")
"""Of a vertebra."""
_LABEL = 64
"""Characters of an LO element (PS3.5 6.2)."""


def words_of(name: str) -> list[str]:
    """A name's words, sides spelled out."""
    return [_SPELLED.get(word, word) for word in re.split(r"[\s_\-/]+", name.strip().lower()) if word]


def known(name: str) -> Coded | None:
    """What a structure's name stands for; None for a name that is not known whole.

    "left kidney", "kidney_left" and "Kidney-L" are one; "kidney tumor" is no kidney, and "left portal vein", a branch, is no portal vein.
    """
    words = words_of(name)
    sides = [word for word in words if word in _SIDES]
    rest = [word for word in words if word not in _SIDES]
    if len(sides) > 1:
        return None
    levels = [word for word in rest if _LEVEL.fullmatch(word)]
    # "S1" alone is a segment of the liver or a lung, "T2" a stage of a tumour, as well
    if levels and set(rest) - set(levels) in ({"vertebra"}, {"vertebrae"}):
        rest = ["vertebra", *levels]
    # of one side alone, as an atrium is, or one of a pair
    for phrase, side in ((" ".join([*sides, *rest]), None), (" ".join(rest), _SIDES[sides[0]] if sides else None)):
        structure = ALIASES.get(phrase, phrase)
        row = STRUCTURES.get(structure)
        if row is not None:
            return None if side is not None and structure in UNPAIRED else row.on(side)
    return None


def similar(name: str, most: int = 3) -> tuple[str, ...]:
    """Codes of SNOMED CT, as DICOM uses it, that have the words of a name in theirs: for people to choose from, shortest first."""
    from pydicom.sr.codedict import codes as dicom

    words = [word for word in re.split(r"[^a-z]+", name.lower()) if len(word) > 3 and word not in _SIDES]
    found = {keyword for word in words for keyword in dicom.SCT.dir(word.removesuffix("s"))}
    wanted = sorted(found, key=lambda keyword: (-sum(word[:4] in keyword.lower() for word in words), len(keyword), keyword))
    listed = [getattr(dicom.SCT, keyword) for keyword in wanted[:most]]
    return tuple(f"SCT:{each.value}:{each.meaning}" for each in listed)


def is_background(name: str) -> bool:
    """Whether a channel of this name is no structure."""
    return name.strip().lower() in BACKGROUND


def structures(
    channels: Mapping[int, str], given: Mapping[int, Coded | None], listed: Mapping[str, Coded | None] = MappingProxyType({})
) -> tuple[Structure, ...]:
    """The segments of an output's channels, by number.

    Parameters
    ----------
    channels
        Names of the channels that may become segments; "" where nothing is said.
    given
        What the operator says of channels; None leaves one out.
    listed
        What a file of codes says, by `words_of` of its names, joined; it goes before what is known here, also where it says nothing (None).

    Raises
    ------
    UncodedStructure
        All channels for which there is no code; or a code for a channel that is not there.
    """
    return tuple(
        Structure(
            channel=channel,
            label=_label(name or _sided(coded)),
            type=coded.type,
            category=coded.category,
            laterality=coded.laterality,
            site=coded.site,
            rgb=coded.rgb or colour(place),
        )
        for place, channel, name, coded in _coded(channels, given, listed, known)
    )


def answers(
    channels: Mapping[int, str], given: Mapping[int, Coded | None], limit: float, listed: Mapping[str, Coded | None] = MappingProxyType({})
) -> tuple[AnswerChannel, ...]:
    """The statements of an output's channels, by number; a class's name alone is nobody's code.

    Parameters
    ----------
    limit
        The probability from which on a finding is present, where limits decide.
    channels, given, listed
        As of `structures`.

    Raises
    ------
    UncodedStructure
        As of `structures`; or a side, which a finding here does not have, or one code twice.
    """
    made: list[AnswerChannel] = []
    for _, channel, name, coded in _coded(channels, given, listed, lambda _: None):
        if coded.laterality is not None:
            raise UncodedStructure(f'channel {channel} ("{name}") has a side, and findings have none here: give the code without it')
        if any(one.finding == coded.type for one in made):
            raise UncodedStructure(f"{coded.type.meaning} is the code of several channels: each class needs its own")
        made.append(AnswerChannel(channel=channel, finding=coded.type, present=limit, absent=limit, site=coded.site))
    return tuple(made)


def detected_classes(
    classes: Mapping[int, str], given: Mapping[int, Coded | None], listed: Mapping[str, Coded | None] = MappingProxyType({})
) -> tuple[DetectedClass, ...]:
    """What a detector's classes find, by number; a class's name alone is nobody's code.

    Parameters
    ----------
    classes, given, listed
        As of `structures`.

    Raises
    ------
    UncodedStructure
        As of `structures`; or two classes would be called alike.
    """
    made: list[DetectedClass] = []
    for _, channel, name, coded in _coded(classes, given, listed, lambda _: None):
        # what it finds is numbered behind it, and fits an element of text all the same
        label = _label(name or _sided(coded).lower())[: _LABEL - len(f" {TOLD}")].strip()
        if any(one.label == label for one in made):
            raise UncodedStructure(f'several classes are called "{label}": each needs its own name')
        made.append(DetectedClass(channel=channel, label=label, finding=coded.type, site=coded.site, laterality=coded.laterality))
    return tuple(made)


def _coded(
    channels: Mapping[int, str],
    given: Mapping[int, Coded | None],
    listed: Mapping[str, Coded | None],
    known: Callable[[str], Coded | None],
) -> list[tuple[int, int, str, Coded]]:
    """Of each channel that is reported its place among the channels, its number, its name and its code."""
    absent = sorted(set(given) - set(channels))
    if absent:
        raise UncodedStructure(f"codes are given for the channels {_listed(absent)}, which the bundle does not have")
    made: list[tuple[int, int, str, Coded]] = []
    uncoded = []
    for place, (channel, name) in enumerate(sorted(channels.items())):
        words = " ".join(words_of(name))
        coded = given[channel] if channel in given else listed[words] if words in listed else known(name)
        if coded is not None:
            made.append((place, channel, name, coded))
        elif channel not in given:
            uncoded.append(f'{channel} ("{name}")' if name else f"{channel} (without a name)")
    if uncoded:
        raise UncodedStructure(f"no code is known for channel {', '.join(uncoded)}")
    if not made:
        raise UncodedStructure("no channel is left that could be reported")
    return made


def _sided(coded: Coded) -> str:
    """What to call a structure that nobody named."""
    return coded.type.meaning if coded.laterality is None else f"{coded.laterality.meaning} {coded.type.meaning}"


def _label(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("\\", " ").split())[:_LABEL]


def colour(place: int) -> tuple[int, int, int]:
    """Hues by the golden ratio: neighbours in the list are far apart."""
    red, green, blue = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.6, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
