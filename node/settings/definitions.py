"""`define:` conditions by a name, which routes and other definitions ask for by `is`. They are unfolded when the file is read."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from node.domain.route import Asked
from node.settings.blocks import pairs
from node.settings.conditions import DEFINED, Conditions, is_word
from node.settings.kinds import Schema
from node.settings.source import BadValue, DuplicateName, Here, MissingKey, Refused, entries

_DEEPEST = 4
"""Definitions in definitions."""


class Definitions:
    """The mapping of what the operator calls several conditions to these."""

    wants = "a mapping: what you call several conditions, and these"

    def read(self, at: Node, here: Here) -> dict[str, tuple[Asked, ...]]:
        found, sound = pairs(at, here, known=None)
        asks = _asks({name: value for name, (_, value) in found.items()})
        levels = _levels(asks)
        circles = {circle[0]: circle for circle in _circles(asks, levels)}
        made: dict[str, tuple[Asked, ...]] = {}
        for name, (key, value) in found.items():
            inner = here.on(f'definition "{name}"')
            try:
                if is_word(name):
                    raise inner.refuse(DuplicateName, key, "DICOM, or this file, calls something else so; choose another name")
                if name in circles:
                    raise inner.refuse(BadValue, key, f"is defined by itself: {' → '.join([*circles[name], name])}")
                if levels.get(name) == _DEEPEST + 1:  # what is deeper still asks for this one
                    raise inner.refuse(BadValue, key, f"definitions in definitions, {_DEEPEST + 1} deep, where {_DEEPEST} are the most")
                if not (conditions := Conditions().read(value, inner)):
                    raise inner.refuse(MissingKey, key, "no conditions; it would always hold")
                made[name] = conditions
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return made

    def schema(self) -> Schema:
        return {"type": ["object", "null"], "additionalProperties": Conditions().schema()}


DEFINITIONS = Definitions()


def definitions_of(at: Node | None, here: Here) -> dict[str, tuple[Asked, ...] | None]:
    """Every definition that a route may ask for; None for one that is wrong: what is wrong is told when the whole file is read."""
    found = {str(key.value): node for key, node in entries(at)} if at is not None else {}
    made: dict[str, tuple[Asked, ...] | None] = dict.fromkeys(found)
    quiet = Here(file=here.file, folder=here.folder, definitions=made)
    for name, level in _levels(_asks(found)).items():
        if level <= _DEEPEST:
            with contextlib.suppress(Refused):
                made[name] = Conditions().read(found[name], quiet) or None
    return made


def _asks(found: Mapping[str, Node]) -> dict[str, list[str]]:
    """The definitions that each asks for."""
    return {name: [one for one in dict.fromkeys(_asked_for(node)) if one in found] for name, node in found.items()}


def _asked_for(node: Node) -> Iterator[str]:
    """The names behind `is`, at whatever depth."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == DEFINED:
                yield from (str(one.value) for one in (value.value if isinstance(value, SequenceNode) else [value]))
            else:
                yield from _asked_for(value)
    elif isinstance(node, SequenceNode):
        for one in node.value:
            yield from _asked_for(one)


def _levels(asks: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How deep each definition is, 1 for one that asks for no other; without those that come back to themselves, or ask for such."""
    asked_by: dict[str, list[str]] = {name: [] for name in asks}
    for name, others in asks.items():
        for other in others:
            asked_by[other].append(name)
    left = {name: len(others) for name, others in asks.items()}
    levels: dict[str, int] = {}
    ready = [name for name, number in left.items() if not number]
    for name in ready:
        levels[name] = 1 + max((levels[other] for other in asks[name]), default=0)
        for other in asked_by[name]:
            left[other] -= 1
            if not left[other]:
                ready.append(other)
    return levels


def _circles(asks: Mapping[str, Sequence[str]], levels: Mapping[str, int]) -> Iterator[list[str]]:
    """The definitions that come back to themselves, each circle once."""
    seen: set[str] = set()
    for name in [one for one in asks if one not in levels]:
        way: list[str] = []
        while name not in seen:
            seen.add(name)
            way.append(name)
            name = next(other for other in asks[name] if other not in levels)
        if name in way:
            yield way[way.index(name) :]
