"""A configuration's text as it may be kept and shown: without values that may be secret, which come back from the file of now."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from node.domain.errors import ConfigError
from node.settings.source import parse

NOT_KEPT = "(not kept)"
"""What stands in the place of such a value."""
_LOGIN = re.compile(r"(?<=://)[^/?#\s]*(?=@)")
_SECRET_PLACES = (("notify", "webhook", "url"), ("observe", "traces", "otlp"))
"""Addresses of which any part may be a token."""
_ADDRESS = re.compile(r"""(["']?)[A-Za-z][A-Za-z0-9+.-]*://[^\s"'#,}\]]*\1""")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")


class ValueNotKept(ConfigError):
    """A text is to stand in the file of which a value may be secret, so that it was not kept or shown; the file of now has none there."""

    code = "HLM-2108"
    remedy = "Put the value into the configuration file where the text has `(not kept)`, then roll back, or save, again."


def kept(data: bytes, path: Path) -> str:
    """What the file at `path` holds, with NOT_KEPT for each value that may be secret, and for logins of addresses in comments."""
    text, tree = data.decode("utf-8-sig"), parse(data, path)
    secret = {id(_at(tree, where)) for where in _SECRET_PLACES}
    spans = {_span(one, text) for _, one in _scalars(tree) if id(one) in secret or _LOGIN.search(one.value)}
    # where values stood no login is left: what is found now stands in a comment
    return without_logins(_with(text, [(begin, end, f'"{NOT_KEPT}"') for begin, end in spans]))


def without_logins(text: str) -> str:
    """A text with NOT_KEPT for each login that stands in an address."""
    return _LOGIN.sub(NOT_KEPT, text)


def compared(text: str, now: bytes, path: Path) -> tuple[str, str]:
    """A kept text and that of the file `now`, both without what may be secret. Which addresses may be cannot be told in a file that is no
    YAML: beside such a one neither text has any."""
    try:
        return text, kept(now, path)
    except ConfigError:
        return _without_addresses(text), _without_addresses(now.decode("utf-8-sig", "replace"))


def filled(text: str, now: bytes, path: Path, in_force: Sequence[bytes] = ()) -> bytes:
    """A kept text with what the file `now` has where a value was not kept, or, where that is no YAML, with what nodes have in force.

    Raises
    ------
    ValueNotKept
        There is none there.
    """
    values = _values(now, in_force, path)
    put: dict[tuple[int, int], str] = {}
    for where, one in _scalars(parse(text.encode(), path)):
        if one.value != NOT_KEPT:
            continue
        # where aliases repeat it each place has it already: none of them leads a value to another one
        if where not in values or put.setdefault(_span(one, text), values[where]) != values[where]:
            raise ValueNotKept(f"{path}: `{'.'.join(where)}` may be secret and was not kept, and the file has no value there now")
    return _with(text, [(*span, value) for span, value in put.items()]).encode()


def said(text: str, path: Path) -> dict[tuple[str, ...], str | None]:
    """What a kept text says: each single value by the keys that lead to it, None where those lead to an empty mapping or list. Neither
    comments nor the way of writing are in it, nor what was not kept."""
    return {where: node.value if isinstance(node, ScalarNode) else None for where, node in _leaves(parse(text.encode(), path))}


def _values(now: bytes, in_force: Sequence[bytes], path: Path) -> dict[tuple[str, ...], str]:
    """What stands where in the first of these texts that is YAML."""
    for data in (now, *in_force):
        with contextlib.suppress(ConfigError):
            text, tree = data.decode("utf-8-sig"), parse(data, path)
            return {where: text[slice(*_span(one, text))] for where, one in _scalars(tree)}
    return {}


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub(f'"{NOT_KEPT}"', text)


def _at(tree: Node, where: tuple[str, ...]) -> Node | None:
    """What stands there, by an alias too."""
    node: Node | None = tree
    for name in where:
        found = node.value if isinstance(node, MappingNode) else ()
        node = next((value for key, value in found if key.value == name), None)
    return node


def _scalars(tree: Node) -> Iterator[tuple[tuple[str, ...], ScalarNode]]:
    """The single values of a tree with the keys that lead to them."""
    return ((where, node) for where, node in _leaves(tree) if isinstance(node, ScalarNode))


def _leaves(tree: Node) -> Iterator[tuple[tuple[str, ...], Node]]:
    """The same, and empty mappings and lists; what aliases repeat, by each way (`parse` bounds how many)."""
    waiting: list[tuple[tuple[str, ...], Node]] = [((), tree)]
    while waiting:
        where, node = waiting.pop()
        if isinstance(node, MappingNode) and node.value:
            waiting.extend(((*where, str(key.value)), value) for key, value in node.value)
        elif isinstance(node, SequenceNode) and node.value:
            waiting.extend(((*where, str(number)), value) for number, value in enumerate(node.value))
        else:
            yield where, node


def _span(one: ScalarNode, text: str) -> tuple[int, int]:
    """Where the value stands, behind its anchor."""
    begin, end = one.start_mark.index, one.end_mark.index
    found = _PROPERTIES.match(text, begin, end)
    return (found.end() if found else begin), end


def _with(text: str, put: list[tuple[int, int, str]]) -> str:
    for begin, end, value in sorted(put, reverse=True):
        text = text[:begin] + value + text[end:]
    return text
