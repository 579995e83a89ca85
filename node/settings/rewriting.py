"""A configuration file with another block: all around it stays, byte for byte, and the file is replaced whole or not at all."""

import contextlib
import itertools
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node

from node.domain.errors import ConfigError
from node.settings.source import NotBlockAlone, parse

_BREAK = re.compile(r"\r\n|\r|\n")  # YAML 1.2, b-break


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPart:
    """A configuration's text around one of its blocks, comments in it included.

    Attributes
    ----------
    key
        What the block is called.
    line
        The first line of the block in the file, from 1; where none stands there, the line on which it would begin.
    keys
        The blocks of the file, in its order.
    """

    path: Path
    key: str
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
        NotBlockAlone
            It is something else than the one block.
        """
        made = self._fitted(text)
        whole = (self.before + made + self.behind).encode()
        tree = parse(whole, self.path)
        found = _keys(tree)
        if found != (*self.keys, *(() if self.key in self.keys else (self.key,))):
            raise NotBlockAlone(f"{self.path}:{self.line}:1: {self._otherwise(found)}")
        try:
            parse(made.encode(), self.path)
        except ConfigError as leaning:  # the whole is good: this leans on an anchor of another block
            raise NotBlockAlone(f"{self.path}:{self.line}:1: `{self.key}:` uses an anchor that stands in another block") from leaning
        return whole

    def _otherwise(self, found: tuple[str, ...]) -> str:
        if self.key not in found:
            return f"the block `{self.key}:` is gone; one without entries is `{self.key}: {'[]' if self.key == 'routes' else '{}'}`"
        strange = [name for name in found if name not in self.keys and name != self.key]
        return f"`{strange[0]}:` stands beside `{self.key}:`" if strange else "the blocks of the file would be others, or stand twice"

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


def block_part(data: bytes, path: Path, key: str) -> BlockPart:
    """The block of this key in what was read at `path`; an empty one behind the others where there is none.

    Raises
    ------
    ConfigSyntax
        It is no YAML.
    NotBlockAlone
        It is no mapping of blocks, or one in braces without this one.
    """
    tree = parse(data, path)
    if not isinstance(tree, MappingNode):
        raise NotBlockAlone(f"{path}:1:1: this is no configuration: no blocks stand in it")
    mark = "\ufeff" if data.startswith(b"\xef\xbb\xbf") else ""
    text = data.decode("utf-8-sig")
    for number, (name, value) in enumerate(tree.value):
        if name.value == key:
            begin, line = name.start_mark.index, name.start_mark.line + 1
            if tree.flow_style:
                end = value.end_mark.index
            else:
                end = tree.value[number + 1][0].start_mark.index if number + 1 < len(tree.value) else tree.end_mark.index
                end = begin + len(_without_what_follows(text[begin:end]))
            break
    else:
        if tree.flow_style:
            raise NotBlockAlone(f"{path}:1:1: the file stands in braces and has no `{key}:`")
        begin = end = tree.end_mark.index
        line = tree.end_mark.line + (2 if _leans(text[:begin]) else 1)
    return BlockPart(
        path=path,
        key=key,
        before=mark + text[:begin],
        text=text[begin:end],
        behind=text[end:],
        line=line,
        keys=_keys(tree),
    )


def block_alone(data: bytes, name: str) -> bytes | None:
    """The lines of one block of a file that need be no YAML as a whole: from its key to the next one at the beginning of a line. None where
    no line begins with the key."""
    found: list[str] | None = None
    for line in data.decode("utf-8-sig", "replace").splitlines(keepends=True):
        if re.match(rf"{name}\s*:(\s|$)", line):
            found = [line]
        elif found is not None and not line[0].isspace() and not line.startswith(("#", "-", "}", "]")):
            break
        elif found is not None:
            found.append(line)
    return None if found is None else "".join(found).encode()


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


_KEPT = ".before"


class ChangedMeanwhile(ConfigError):
    """The configuration file is not the one any more that was edited."""

    code = "HLM-2104"
    remedy = "Look at the file as it is now (in the console: copy your edit, load the page again), and change that."


class CannotWrite(ConfigError):
    """The console, or who rolls back, may not or cannot write the configuration file."""

    code = "HLM-2105"
    remedy = "Put the text into the file on the node and run `hilum config reload`; or let the node's user write the file's folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that was replaced; `kept` is where the one before lies. `doubt` says why it may not outlive a loss of power; mostly empty."""

    kept: Path
    doubt: str


def replaced(path: Path, data: bytes, whole: bytes) -> Written:
    """Put `whole` in the place of the file that holds `data`; a crash leaves one or the other.

    Raises
    ------
    CannotWrite
        The system refuses. The file is as it was.
    ChangedMeanwhile
        It holds something else than `data` by now. It stays so.
    """
    target = path.resolve()  # a link stays a link
    kept = target.with_name(f"{target.name}{_KEPT}")
    with contextlib.ExitStack() as made:
        try:
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
            made.callback(os.close, folder)
            found = target.stat()
            before, after = _beside(kept, data, found, made), _beside(target, whole, found, made)
            if target.read_bytes() != data:  # loading what was edited may have taken seconds
                raise ChangedMeanwhile(f"{path}: somebody else changed the file meanwhile")
            before.rename(kept)
            after.rename(target)
        except OSError as refused:
            raise CannotWrite(f"{target}: {refused.strerror}; the file is as it was") from refused
        try:
            os.fsync(folder)
        except OSError as refused:
            return Written(
                kept=kept, doubt=f"{target}: what was edited stands in it, but the system could not flush its folder: {refused.strerror}"
            )
    return Written(kept=kept, doubt="")


def _beside(path: Path, content: bytes, like: os.stat_result, made: contextlib.ExitStack) -> Path:
    """A file beside `path`, on disk, with the rights of `like` as far as they may be given; gone with `made`, unless it is renamed."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(3)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    made.callback(_gone, fresh)
    with open(descriptor, "wb") as file:
        file.write(content)
        with contextlib.suppress(PermissionError):  # a group that the node's user is not of
            os.fchown(descriptor, -1, like.st_gid)
        with contextlib.suppress(PermissionError):  # only root gives files away
            os.fchown(descriptor, like.st_uid, -1)
        os.fchmod(descriptor, like.st_mode & 0o777)
        file.flush()
        os.fsync(descriptor)
    return fresh


def _gone(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
