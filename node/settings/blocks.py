"""Mappings: a block with declared keys, and names that each hold a block. Unknown, duplicate and missing keys are told here.

A setting is declared once, at the field of the noun that holds it: its key, kind, default and what it does (`setting`, `needed`). Reading,
JSON Schema, the reference page and the noun's own defaults are taken from there.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from node.domain.errors import ConfigError
from node.settings.kinds import Schema, ValueKind
from node.settings.source import (
    BadValue,
    DuplicateKey,
    DuplicateName,
    Here,
    MissingKey,
    Refused,
    UnknownKey,
    UnknownName,
    WrongType,
    child,
    is_empty,
    kind_of,
    parse,
    read,
    snippet,
    suggestion,
)

T = TypeVar("T")
Values = Mapping[str, Any]
Nodes = Mapping[str, Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a block: what it holds, what it does (a sentence for the reference and for editors), its default as YAML text."""

    name: str
    kind: ValueKind[Any]
    says: str
    default: str | None = None
    required: bool = False
    field: str | None = None
    """The name that `Block.build` gets it under, where that is not the key's own."""
    restart: bool = False
    """Whether it, and all below it, waits for a restart of the node; else a reload takes it up."""


def setting(kind: ValueKind[Any], *, says: str, default: str | None = None, name: str = "", of: Callable[[Any], Any] | None = None) -> Any:
    """A field with a default that is the key of its name (or `name`); `of` makes the field's value from the key's.

    Parameters
    ----------
    default
        YAML text, which the field's default is read from; None: the key may be left out, and the value is then None.
    """
    return part(Key(name=name, kind=kind, says=says, default=default), of)


def part(key: Key, of: Callable[[Any], Any] | None = None) -> Any:
    """A field with a default that is `key`, or one of several that are made from its value."""
    value = None if key.default is None else key.kind.read(snippet(key.default), Here(file="", folder=Path()))
    return field(default=value if of is None else of(value), metadata=declared(key, of))


def needed(kind: ValueKind[Any], *, says: str, default: str | None = None, name: str = "") -> Mapping[str, Any]:
    """The metadata of a field without a default: its key is required, or has a default that counts from the file it stands in."""
    return declared(Key(name=name, kind=kind, says=says, default=default, required=default is None))


def declared(key: Key, of: Callable[[Any], Any] | None = None) -> Mapping[str, Any]:
    """The metadata of a field that is made from the value of `key`."""
    return {_DECLARED: (key, of)}


def placed(*keys: str) -> Any:
    """A field `place`: where the first of `keys` that is there stands in the file, as a message begins. Nouns are equal wherever it is."""
    return field(default="", compare=False, repr=False, metadata={_PLACED: keys})


def placed_each() -> Any:
    """A field `places`: where each key that is there stands in the file, by its name, as a message begins."""
    return field(default_factory=dict, compare=False, repr=False, metadata={_EACH_PLACED: True})


_DECLARED, _PLACED, _EACH_PLACED = "hilum setting", "hilum place", "hilum places"


def keys_of(noun: Any) -> tuple[Key, ...]:
    """The keys that the fields of a dataclass declare, in their order."""
    return tuple({key.name: key for key, _, _ in _declarations(noun)}.values())


def differing_keys(one: Any, other: Any) -> list[str]:
    """The keys in which two nouns of one class differ, in their order."""
    differs = [key.name for key, _, name in _declarations(one) if getattr(one, name) != getattr(other, name)]
    return list(dict.fromkeys(differs))


def _declarations(noun: Any) -> list[tuple[Key, Callable[[Any], Any] | None, str]]:
    found = [(one.metadata[_DECLARED], one.name) for one in fields(noun) if _DECLARED in one.metadata]
    return [(key if key.name else replace(key, name=name), of, name) for (key, of), name in found]


def block(
    noun: type[Any],
    *,
    build: Callable[..., T],
    check: "Callable[[Values, Nodes, Here], None] | None" = None,
    wants: str = "a mapping",
    moved: Mapping[str, str] = MappingProxyType({}),
) -> "Block[T]":
    """The block whose keys the fields of `noun` declare; `build` gets the fields by name: `noun` itself, mostly."""
    declarations = _declarations(noun)
    names = {key.name for key, _, _ in declarations}
    places = next((one.metadata[_PLACED] for one in fields(noun) if _PLACED in one.metadata), ())

    def made(**given: Any) -> T:
        values = {name: given[key.name] if of is None else of(given[key.name]) for key, of, name in declarations}
        return build(**values, **{name: value for name, value in given.items() if name not in names})

    each = any(_EACH_PLACED in one.metadata for one in fields(noun))
    return Block(keys=keys_of(noun), build=made, check=check, wants=wants, moved=moved, placed=places, each_placed=each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Generic[T]):
    """A mapping with known keys. `build` gets a value for every key, by name; `check` may refuse what only several keys together show."""

    keys: tuple[Key, ...]
    build: Callable[..., T]
    check: Callable[[Values, Nodes, Here], None] | None = None
    wants: str = "a mapping"
    moved: Mapping[str, str] = field(default_factory=dict)
    """Keys of earlier releases, and what to write instead."""
    placed: Sequence[str] = ()
    """Keys of which `build` gets, as `place`, where the first that is there stands."""
    each_placed: bool = False
    """Whether `build` gets, as `places`, where each key that is there stands."""

    def read(self, at: Node, here: Here, **more: Any) -> T:
        found, sound = pairs(at, here, known=[key.name for key in self.keys], moved=self.moved)
        nodes = {name: value for name, (_, value) in found.items()}
        values: dict[str, Any] = {}
        for key in self.keys:
            try:
                values[key.name] = self._value(key, nodes.get(key.name), at, here)
            except Refused:
                sound = False
        if not sound:
            raise Refused
        if self.check is not None:
            self.check(values, nodes, here)
        if self.placed:
            name = next((name for name in self.placed if name in nodes), None)
            more["place"] = here.place(at) if name is None else here.about(name).place(nodes[name])
        if self.each_placed:
            more["places"] = {name: here.about(name).place(node) for name, node in nodes.items()}
        return self.build(**{key.field or key.name: values[key.name] for key in self.keys}, **more)

    def _value(self, key: Key, node: Node | None, at: Node, here: Here) -> Any:
        if node is not None:
            inner = here.about(key.name)
            return key.kind.read(node, inner)
        if key.required:
            raise here.refuse(MissingKey, at, f'needs the key "{key.name}": {key.kind.wants}')
        return None if key.default is None else key.kind.read(snippet(key.default), here)

    def schema(self) -> Schema:
        form: Schema = {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {key.name: {**key.kind.schema(), "description": _described(key)} for key in self.keys},
        }
        required = [key.name for key in self.keys if key.required]
        return {**form, "required": required} if required else form


def _described(key: Key) -> str:
    return key.says if key.default is None else f"{key.says} Default: {key.default}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Named(Generic[T]):
    """A mapping of names that the operator chooses to blocks. `of.build` gets `name`; `known` restricts names (a key of `Here.names`);
    those in `reserved` are taken."""

    noun: str
    of: Block[T]
    known: str | None = None
    reserved: Collection[str] = ()

    @property
    def wants(self) -> str:
        return f"a mapping: the name of each {self.noun}, and its keys"

    def read(self, at: Node, here: Here) -> dict[str, T]:
        nodes, sound = pairs(at, here, known=None)
        found: dict[str, T] = {}
        for name, (key, node) in nodes.items():
            inner = here.on(f'{self.noun} "{name}"')
            try:
                self._admit(name, key, inner)
                found[name] = self.of.read(node, inner, name=name)
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return found

    def _admit(self, name: str, at: Node, here: Here) -> None:
        if self.known is not None and name not in here.names[self.known]:
            raise here.on("").refuse(UnknownName, at, f'unknown {self.noun} "{name}"{suggestion(name, here.names[self.known])}')
        if name in self.reserved:
            raise here.refuse(DuplicateName, at, f"hilum comes with a {self.noun} of this name; choose another")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise here.refuse(BadValue, at, "a name has letters, digits, dots, hyphens and underscores")

    def schema(self) -> Schema:
        return {"type": ["object", "null"], "additionalProperties": self.of.schema()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Items(Generic[T]):
    """A list of blocks, each named by its key `name`."""

    noun: str
    of: Block[T]

    @property
    def wants(self) -> str:
        return f"a list of {self.noun}s"

    def read(self, at: Node, here: Here) -> tuple[T, ...]:
        if is_empty(at):
            return ()
        if not isinstance(at, SequenceNode):
            raise here.refuse(WrongType, at, f"{kind_of(at)}, where {self.wants} belongs; begin each with a hyphen")
        found: list[T] = []
        sound = True
        for number, item in enumerate(at.value, start=1):
            try:
                found.append(self.of.read(item, here.on(f"{self.noun} {_title(item, number)}")))
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return tuple(found)

    def schema(self) -> Schema:
        return {"type": ["array", "null"], "items": self.of.schema()}


def _title(item: Node, number: int) -> str:
    name = child(item, "name")
    return f'"{name.value}"' if isinstance(name, ScalarNode) and name.value else str(number)


def pairs(
    at: Node, here: Here, *, known: list[str] | None, moved: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, tuple[ScalarNode, Node]], bool]:
    """The entries (key, value) of a mapping by key, and whether nothing was wrong with the keys."""
    if is_empty(at):
        return {}, True  # a key that stands there with nothing under it, as in a file whose entries are commented out
    if not isinstance(at, MappingNode):
        raise here.refuse(WrongType, at, f"{kind_of(at)}, where a mapping (key: value) belongs")
    found: dict[str, tuple[ScalarNode, Node]] = {}
    sound = True
    for key, value in at.value:
        if not isinstance(key, ScalarNode):
            here.refuse(WrongType, key, f"{kind_of(key)} as a key")
            sound = False
            continue
        name = str(key.value)
        if name in moved:
            here.refuse(UnknownKey, key, f'the key "{name}" has moved: {moved[name]}')
            sound = False
        elif known is not None and name not in known:
            here.refuse(UnknownKey, key, f'unknown key "{name}"{suggestion(name, known)}')
            sound = False
        elif name in found:
            here.refuse(
                DuplicateKey, key, f'the key "{name}" stands here a second time; the first is in line {found[name][0].start_mark.line + 1}'
            )
            sound = False
        else:
            if is_empty(value):
                value.start_mark = key.start_mark  # ruamel puts an absent value where the next thing begins, lines below
            found[name] = (key, value)
    return found, sound


def read_file(whole: Block[T], path: Path, wrong: Callable[[Sequence[ConfigError]], ConfigError]) -> T:
    """What a file says that is one block; all that is wrong in it, in the order of the file, is raised as `wrong` has it.

    Raises
    ------
    ConfigMissing, ConfigSyntax
    """
    here = Here(file=str(path), folder=path.parent)
    try:
        return whole.read(parse(read(path), path), here)
    except Refused as refused:
        raise wrong([problem for _, _, problem in sorted(here.problems, key=lambda found: found[:2])]) from refused
