"""`measure:` of app.yaml: the words of measurements, each alone or with its number, and the measures that they are of the segments.

What each word measures stands in `inference.imaging.measures`; volumes are the network's application's own, as of every application.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, Node

from inference.applications.bundle.structures import Structure
from inference.codes import LEFT, RIGHT, Code
from inference.imaging.measures.composition import LEVELS
from inference.imaging.measures.measure import Kind, Measure
from inference.imaging.measures.measuring import KINDS, tells
from node.settings.app_values import number_between
from node.settings.blocks import pairs
from node.settings.kinds import Schema, Several
from node.settings.source import BadValue, Here, Refused, UnknownName, scalar_text, suggestion

VOLUME = "volume"
_LEVEL = "a vertebra such as L3"
_ALL = "C1 to C7, T1 to T12, L1 to L5"
_LIMIT = number_between(-9999, 99999, "a number from -9999 to 99999")
_LEVELLED = tuple(word for word, kind in KINDS.items() if kind.tissue)
_PLAIN = tuple(word for word, kind in KINDS.items() if not (kind.limit or kind.pairs or kind.tissue))
_PAIRED = tuple(word for word, kind in KINDS.items() if kind.pairs)
_LIMITED = tuple(word for word, kind in KINDS.items() if kind.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One entry of `measure:`; `limit` is None of a word that takes no number, `level` "" of one that takes no vertebra."""

    word: str
    limit: float | None = None
    level: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A word (`mean`), a word with its number (`{share_below: -950}`), or one with its vertebra (`{muscle_area: L3}`)."""

    plain: Sequence[str]
    levelled: Sequence[str] = ()

    @property
    def wants(self) -> str:
        numbered, levelled = (f"`{{{word}: NUMBER}}`" for word in _LIMITED), (f"`{{{word}: L3}}`" for word in self.levelled)
        return " or ".join([*(f"`{word}`" for word in self.plain), *numbered, *levelled])

    def read(self, at: Node, here: Here) -> Asked:
        if not isinstance(at, MappingNode):
            word = scalar_text(at, here, self.wants)
            if word in _LIMITED:
                raise here.refuse(BadValue, at, f'"{word}" needs its number, {KINDS[word].limit}: {{{word}: NUMBER}}')
            if word in self.levelled:
                raise here.refuse(BadValue, at, f'"{word}" needs its vertebra: {{{word}: L3}}')
            if word not in self.plain:
                possible = [*self.plain, *_LIMITED, *self.levelled]
                raise here.refuse(UnknownName, at, f'"{word}" is nothing that is measured{suggestion(word, possible)}')
            return Asked(word=word)
        found, sound = pairs(at, here, known=[*_LIMITED, *self.levelled])
        if not sound:
            raise Refused
        if len(found) != 1:
            raise here.refuse(BadValue, at, "one word and its number stand in braces; begin a pair of braces for each")
        ((word, (_, value)),) = found.items()
        if word in self.levelled:
            level = scalar_text(value, here.about(word), _LEVEL)
            if level not in LEVELS:
                raise here.about(word).refuse(UnknownName, value, f'"{level}" is no vertebra from {_ALL}')
            return Asked(word=word, level=level)
        limit = _LIMIT.read(value, here.about(word))
        if limit != round(limit, 2):
            raise here.about(word).refuse(BadValue, value, f"{limit} has more than two decimals")
        return Asked(word=word, limit=limit)

    def schema(self) -> Schema:
        limited: list[Schema] = [
            {
                "type": "object",
                "properties": {word: _LIMIT.schema() | {"description": KINDS[word].says}},
                "required": [word],
                "additionalProperties": False,
            }
            for word in _LIMITED
        ]
        levelled: list[Schema] = [
            {
                "type": "object",
                "properties": {word: {"enum": [*LEVELS], "description": KINDS[word].says}},
                "required": [word],
                "additionalProperties": False,
            }
            for word in self.levelled
        ]
        return {"anyOf": [{"enum": [*self.plain]}, *limited, *levelled]}


OF_EVERY = Several(of=_Entry(plain=(VOLUME, *_PLAIN, *_PAIRED), levelled=_LEVELLED))
"""What is measured of every segment."""
OF_ONE = Several(of=_Entry(plain=_PLAIN))
"""What is measured of one: volumes are those of all, or of none, sides are two, and what is muscle codes tell."""


def sides(structures: Sequence[Structure]) -> list[tuple[str, str]]:
    """The labels of each structure's left and right segment, where it has one of each."""
    found: dict[tuple[Code, Code | None], dict[Code, list[str]]] = {}
    for one in structures:
        if one.laterality is not None:
            found.setdefault((one.type, one.site), {}).setdefault(one.laterality, []).append(one.label)
    both = [(each.get(LEFT, []), each.get(RIGHT, [])) for each in found.values()]
    return [(left[0], right[0]) for left, right in both if len(left) == len(right) == 1]


def mixed(structures: Sequence[Structure]) -> str:
    """Why what is said of both sides would be said of two structures at once; "" where it would not."""
    types = {one.label: one.type for one in structures}
    summed = [types[left] for left, _ in sides(structures)]
    shared = next((one for one in summed if summed.count(one) > 1), None)
    return "" if shared is None else f'two pairs of segments have the code of "{shared.meaning}": what is said of both sides would mix them'


def misfit(asked: Asked, structures: Sequence[Structure]) -> str:
    """Why such structures have no measurement of that kind, "no structure is …"; "" where they have."""
    kind = KINDS.get(asked.word)
    if kind is None:
        return ""
    if kind.pairs:
        return mixed(structures) if sides(structures) else "no segments are the left and the right side of one structure"
    if not kind.tissue:
        return ""
    if _vertebra(asked.level, structures) is None:
        return f"no segment is the vertebra {asked.level} (SCT:{LEVELS[asked.level]})"
    if not _of_tissue(kind, structures):
        return f"no segment has a code of its tissue ({', '.join(f'SCT:{value}' for value in sorted(kind.tissue))})"
    return ""


def _vertebra(level: str, structures: Sequence[Structure]) -> str | None:
    """The label of the vertebra of a level."""
    return next((one.label for one in structures if (one.type.scheme, one.type.value) == ("SCT", LEVELS[level])), None)


def _of_tissue(kind: Kind, structures: Sequence[Structure]) -> tuple[str, ...]:
    """The labels of the structures that are of a tissue."""
    return tuple(one.label for one in structures if one.type.scheme == "SCT" and one.type.value in kind.tissue)


def asked_for(text: str) -> Asked:
    """What a word at the command line asks for: "mean", "share_below=-950", "muscle_area=L3".

    Raises
    ------
    ValueError
        It is nothing that is measured, lacks its number or has one in vain.
    """
    word, _, number = text.partition("=")
    if word == VOLUME:
        raise ValueError(f'"{VOLUME}" is measured anyway')
    if word not in KINDS:
        raise ValueError(f'"{word}" is nothing that is measured{suggestion(word, KINDS)}')
    if KINDS[word].tissue:
        if number not in LEVELS:
            raise ValueError(f'"{word}" needs its vertebra, one from {_ALL}: {word}=L3')
        return Asked(word=word, level=number)
    if not KINDS[word].limit:
        if number:
            raise ValueError(f'"{word}" takes no number')
        return Asked(word=word)
    if not number:
        raise ValueError(f'"{word}" needs its number, {KINDS[word].limit}: {word}=NUMBER')
    limit = _LIMIT.parse(number)
    if limit != round(limit, 2):
        raise ValueError(f"{number} has more than two decimals")
    return Asked(word=word, limit=limit)


def applies(asked: Asked, modality: Sequence[str]) -> bool:
    """Whether what is asked for is measured of images of these modalities."""
    return asked.word == VOLUME or tells(_made(asked, ("", ""), ""), modality)


def _made(asked: Asked, segments: tuple[str, ...], vertebra: str) -> Measure:
    at = {"vertebra": vertebra, "level": asked.level} if asked.level else {}
    made: Measure = KINDS[asked.word].make(segments=segments, **({} if asked.limit is None else {"limit": asked.limit}), **at)
    return made


def measures(of_every: Sequence[Asked], of_one: Mapping[str, Sequence[Asked]], structures: Sequence[Structure]) -> tuple[Measure, ...]:
    """The measures of segments, but for their volumes; none is a `misfit` of the structures.

    Parameters
    ----------
    of_one
        By the label of each segment: what is measured of it besides.
    """
    labels: dict[Asked, list[str]] = {}
    for label, said in of_one.items():
        for each in dict.fromkeys((*of_every, *said)):
            labels.setdefault(each, []).append(label)
    alone = [_made(each, tuple(named), "") for each, named in labels.items() if each.word not in (VOLUME, *_PAIRED, *_LEVELLED)]
    at_vertebrae = [
        _made(each, _of_tissue(KINDS[each.word], structures), vertebra)
        for each in of_every
        if each.level and (vertebra := _vertebra(each.level, structures)) is not None
    ]
    of_sides = [_made(each, pair, "") for each in of_every if each.word in _PAIRED for pair in sides(structures)]
    return (*alone, *of_sides, *at_vertebrae)
