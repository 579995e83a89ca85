"""Where `routes:` stands in the text of a configuration, and that text with other routes: all around them stays, byte for byte."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node

from node.domain.errors import ConfigError
from node.settings.errors import NotRoutesAlone
from node.settings.source import parse

_KEY = "routes"
_BREAK = re.compile(r"\r\n|\r|\n")  # YAML 1.2, b-break


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesPart:
    """A configuration's text around its block `routes:`, comments in it included.

    Attributes
    ----------
    line
        The first line of the block in the file, from 1; where none stands there, the line on which it would begin.
    keys
        The blocks of the file, in its order.
    """

    path: Path
    before: str
    text: str
    behind: str
    line: int
    keys: tuple[str, ...]

    @property
    def last(self) -> int:
        """The last line of the block in the file; before `line` where none stands there."""
        return self._last(self.text)

    def last_of(self, text: str) -> int:
        """The last line of the file that is of the block when `text` stands in its place."""
        return self._last(self._fitted(text).removeprefix(self._lead()))

    def _last(self, block: str) -> int:
        lines = len(_BREAK.findall(block)) + (0 if not block or _BREAK.fullmatch(block[-1]) else 1)
        return self.line + lines - 1

    def replaced(self, text: str) -> bytes:
        """The whole file with `text` in the block's place.

        Raises
        ------
        ConfigSyntax
            It is no YAML there.
        NotRoutesAlone
            It is something else than one block of routes.
        """
        made = self._fitted(text)
        whole = (self.before + made + self.behind).encode()
        tree = parse(whole, self.path)
        found = _keys(tree)
        if found != (*self.keys, *(() if _KEY in self.keys else (_KEY,))):
            raise NotRoutesAlone(f"{self.path}:{self.line}:1: {_otherwise(found, self.keys)}")
        try:
            parse(made.encode(), self.path)
        except ConfigError as leaning:  # the whole is good: this leans on an anchor of another block
            raise NotRoutesAlone(f"{self.path}:{self.line}:1: `routes:` uses an anchor that stands in another block") from leaning
        return whole

    def _fitted(self, text: str) -> str:
        """With the line endings of the file (browsers send their own). Blank lines in front stay: mistakes are told at their lines."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
        wide = self._wide()
        flow = bool(self.text) and not self.text.endswith("\n") and bool(self.behind)
        return self._lead() + lines.replace("\n", wide) + ("" if flow else wide)

    def _wide(self) -> str:
        return "\r\n" if "\r\n" in self.before + self.text + self.behind else "\n"

    def _lead(self) -> str:
        """What ends the line in front of a block that is new."""
        return self._wide() if not self.text and _leans(self.before) else ""


def routes_part(data: bytes, path: Path) -> RoutesPart:
    """The block in what was read at `path`; an empty one behind the others where there is none.

    Raises
    ------
    ConfigSyntax
        It is no YAML.
    NotRoutesAlone
        It is no mapping of blocks, or one in braces without routes.
    """
    tree = parse(data, path)
    if not isinstance(tree, MappingNode):
        raise NotRoutesAlone(f"{path}:1:1: this is no configuration: no blocks stand in it")
    mark = "\ufeff" if data.startswith(b"\xef\xbb\xbf") else ""
    text = data.decode("utf-8-sig")
    for number, (key, value) in enumerate(tree.value):
        if key.value == _KEY:
            begin, line = key.start_mark.index, key.start_mark.line + 1
            if tree.flow_style:
                end = value.end_mark.index
            else:
                end = tree.value[number + 1][0].start_mark.index if number + 1 < len(tree.value) else tree.end_mark.index
                end = begin + len(_without_what_follows(text[begin:end]))
            break
    else:
        if tree.flow_style:
            raise NotRoutesAlone(f"{path}:1:1: the file stands in braces and has no `routes:`")
        begin = end = tree.end_mark.index
        line = tree.end_mark.line + (2 if _leans(text[:begin]) else 1)
    return RoutesPart(
        path=path,
        before=mark + text[:begin],
        text=text[begin:end],
        behind=text[end:],
        line=line,
        keys=_keys(tree),
    )


def _without_what_follows(block: str) -> str:
    """Without the blank lines and the comments at its end that begin a line: they are about the next block."""
    lines = block.splitlines(keepends=True)
    kept = itertools.dropwhile(lambda line: not line.strip() or line.startswith("#"), reversed(lines))
    return "".join(reversed(list(kept)))


def _leans(before: str) -> bool:
    """Whether what comes behind would stand on a line of `before`."""
    return bool(before.removeprefix("\ufeff")) and not before.endswith("\n")


def _keys(tree: Node) -> tuple[str, ...]:
    return tuple(str(key.value) for key, _ in tree.value) if isinstance(tree, MappingNode) else ()


def _otherwise(found: tuple[str, ...], known: tuple[str, ...]) -> str:
    if _KEY not in found:
        return "the block `routes:` is gone; a node without routes has `routes: []`"
    strange = [name for name in found if name not in known and name != _KEY]
    return f"`{strange[0]}:` stands beside `routes:`" if strange else "the blocks of the file would be others, or stand twice"
