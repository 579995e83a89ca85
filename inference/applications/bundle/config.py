"""A bundle's inference configuration as data: references (`@`) followed, expressions (`$`) read; what is code refused or handed over.

Only what serving needs is looked at. A `$`-expression for the data list or for the trainer's device is never met, and so refuses nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

from inference.applications.bundle import expressions
from inference.applications.bundle.errors import CodeRefused, HostileBundle, UnreadableBundle

Evaluate = Callable[[str], Any]
"""The value of what stands at an id ("preprocessing::transforms::3::pixdim"), by its author's code; NO_DATA for a function."""

Load = Callable[[str], Any]
"""The values of a file of the bundle, by the path that the configuration gives it."""

_SEPARATOR = "::"
_DEEPEST = 64
_MOST_NODES = 100_000
_MOST_VALUES = 1_000_000
_MOST_PLACED_BYTES = 1 << 20
"""Of a file whose lines are named: those that people write are far smaller."""


def parse(name: str, content: bytes) -> dict[str, Any]:
    """A JSON or YAML file as a mapping; YAML's tags make nothing but plain values.

    Raises
    ------
    UnreadableBundle, HostileBundle
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if name.endswith(".json"):
            read = json.loads(content)
        else:
            _refuse_larger(name, YAML(typ="safe", pure=True).compose(BytesIO(content)))
            read = YAML(typ="safe", pure=True).load(BytesIO(content))
    except (ValueError, YAMLError, RecursionError) as broken:
        raise UnreadableBundle(f"{name} cannot be read: {broken}") from broken
    if not isinstance(read, dict):
        raise UnreadableBundle(f"{name} is no mapping")
    return read


class Document:
    """A file of a bundle, and in which line of it what stands; ids are those of `Config`."""

    def __init__(self, name: str, text: bytes) -> None:
        self.name = name
        self._text = text

    def at(self, id: str) -> str:
        """File, line and id, for messages; the line of the nearest that stands around what is not there."""
        node, line = self._root, 1
        for part in id.replace("#", _SEPARATOR).split(_SEPARATOR):
            inner = _within(node, part)
            if inner is None:
                break
            node, line = inner
        return f"{self.name}:{line}: {id}"

    @cached_property
    def _root(self) -> Any:
        """The file's nodes, which know their lines; None of a file that is too large or does not read so."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        if len(self._text) > _MOST_PLACED_BYTES:
            return None
        try:
            # JSON is YAML but for tabs between its words
            return YAML(typ="safe", pure=True).compose(BytesIO(self._text.replace(b"\t", b" ")))
        except (YAMLError, RecursionError):
            return None


def _within(node: Any, part: str) -> tuple[Any, int] | None:
    """What stands at a key or a place of another node, and its line."""
    if node is None or node.id == "scalar":
        return None
    if node.id == "mapping":
        entries = ((value, key.start_mark.line + 1) for key, value in reversed(node.value) if key.id == "scalar" and str(key.value) == part)
        return next(entries, None)
    if not part.isdecimal() or int(part) >= len(node.value):
        return None
    inner = node.value[int(part)]
    return inner, inner.start_mark.line + 1


def _refuse_larger(name: str, root: Any) -> None:
    """Refuse a file that is small and becomes large: parts that refer to parts, each of them several times, or to themselves."""
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        inner = [] if node is None or node.id == "scalar" else node.value
        count += len(inner)
        if count > _MOST_VALUES:
            raise HostileBundle(f"{name} becomes more than {_MOST_VALUES} values: its anchors (&, *) refer to each other without end")
        waiting += [value for _, value in inner] if node is not None and node.id == "mapping" else inner


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What builds or calls something, by an expression of one call or by `_target_`.

    Attributes
    ----------
    name
        What is called, as it is written ("monai.networks.nets.resnet.resnet50", "@detector.set_target_keys").
    id
        Where it stands.
    arguments
        As they are written, by their names, those without one by their place ("0"); `Config.value_of` reads one.
    """

    name: str
    id: str
    arguments: Mapping[str, str]

    @property
    def short(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]


class Config:
    """Looks values up in a configuration.

    Parameters
    ----------
    evaluate
        What computes expressions that cannot be read, where the operator allowed it; None refuses them.
    document
        The file that it was read from.
    load
        What reads a file of values beside it; None refuses expressions that name one.
    """

    def __init__(
        self,
        content: Mapping[str, Any],
        evaluate: Evaluate | None = None,
        document: Document | None = None,
        load: Load | None = None,
    ) -> None:
        self._content = content
        self._load = load
        self._evaluate = evaluate
        self._document = document
        self._visited = 0
        self._depth = 0
        self.evaluated: list[str] = []
        """The expressions that were computed, each with its id."""

    def raw(self, id: str) -> Any:
        """What stands at an id, references at the way's end followed; None where nothing is.

        Raises
        ------
        CodeRefused, UnreadableBundle
        """
        return self._follow(self._at(id), id)[0]

    def at(self, id: str) -> str:
        """An id for messages, with the file and line where it stands."""
        return id if self._document is None else self._document.at(id)

    def place(self, id: str) -> str:
        """The id at which what `id` refers to really stands."""
        return self._follow(self._at(id), id)[1]

    def value(self, id: str) -> Any:
        """What stands at an id, whole, as plain data.

        Raises
        ------
        CodeRefused
            It holds an expression that is code, a macro or something to be built.
        UnreadableBundle, HostileBundle
        """
        return self._resolved(self._at(id), id, 0)

    def called(self, id: str) -> Called | None:
        """The call that stands at an id, or at a reference ("@backbone"); None where something else, or nothing, does.

        Raises
        ------
        CodeRefused, UnreadableBundle, HostileBundle
        """
        id = (expressions.reference(id) or id).removeprefix("@")
        if self._at(id) is None:
            return None
        node, place = self._follow(f"@{id}", id)
        if isinstance(node, Mapping) and isinstance(node.get("_target_"), str):
            inner = {str(key): f"@{place}{_SEPARATOR}{key}" for key in node if key not in ("_target_", "_desc_")}
            return Called(name=node["_target_"], id=place, arguments=inner)
        written = expressions.written_call(node) if isinstance(node, str) else None
        return None if written is None else Called(name=written.name, id=place, arguments=written.arguments)

    def value_of(self, called: Called, argument: str) -> Any:
        """The value of an argument of a call, as `value`; None of one that is not there."""
        written = called.arguments.get(argument)
        return None if written is None else self._resolved(written, called.id, 0)

    def _at(self, id: str) -> Any:
        node: Any = self._content
        for part in id.replace("#", _SEPARATOR).split(_SEPARATOR):
            if isinstance(node, str):
                node = self._follow(node, id)[0]
            if isinstance(node, Mapping):
                node = node.get(part)
            elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            else:
                return None
        return node

    def _follow(self, node: Any, id: str) -> tuple[Any, str]:
        """A node and where it stands, after references; what is no reference stays."""
        self._visited += 1
        self._depth += 1
        if self._depth > _DEEPEST or self._visited > _MOST_NODES:
            raise HostileBundle(f"{self.at(id)} is nested, or refers to itself, without end")
        try:
            if isinstance(node, str) and node.startswith("$"):
                node = expressions.reference(node) or node
            if not isinstance(node, str) or not node.startswith("@"):
                return node, id
            target = node[1:].replace("#", _SEPARATOR)
            found = self._at(target)
            if found is None:
                raise UnreadableBundle(f"{self.at(id)} refers to {node}, which the configuration does not have")
            return self._follow(found, target)
        finally:
            self._depth -= 1

    def _resolved(self, node: Any, id: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise HostileBundle(f"{self.at(id)} is nested without end")
        node, id = self._follow(node, id)
        if isinstance(node, Mapping):
            if "_target_" in node:
                return self._computed(id, f"it builds {node['_target_']}")
            return {str(key): self._resolved(each, f"{id}{_SEPARATOR}{key}", depth + 1) for key, each in node.items()}
        if isinstance(node, list):
            return [self._resolved(each, f"{id}{_SEPARATOR}{place}", depth + 1) for place, each in enumerate(node)]
        if isinstance(node, str) and node.startswith("$"):
            try:
                return expressions.read(node, lambda referred: self._resolved(f"@{referred}", id, depth + 1), self._load)
            except expressions.Unread:
                return self._computed(id, f"it is the expression {node!r}")
        if isinstance(node, str) and node.startswith("%"):
            raise CodeRefused(f"{self.at(id)} is the macro {node!r}, which takes a part of another file in; write that part out")
        return node

    def _computed(self, id: str, why: str) -> Any:
        if self._evaluate is None:
            raise CodeRefused(f"{self.at(id)} asks to run code: {why}")
        value = self._evaluate(id)
        if value is NO_DATA:
            raise CodeRefused(f"{self.at(id)} gives a function or an object, not data, and cannot be kept in application.json: {why}")
        if (said := f"{id}: {why}") not in self.evaluated:
            self.evaluated.append(said)
        return value


NO_DATA = object()
"""Stands for a computed value that is a function or an object."""


def plain(value: Any) -> Any:
    """A computed value as JSON would hold it; NO_DATA where it does not."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        items = [plain(each) for each in value]
        return NO_DATA if any(each is NO_DATA for each in items) else items
    if isinstance(value, Mapping):
        entries = {str(key): plain(each) for key, each in value.items()}
        return NO_DATA if any(each is NO_DATA for each in entries.values()) else entries
    return NO_DATA
