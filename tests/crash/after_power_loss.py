"""What a disk holds after the power failed: built from the log of disk.c, at any line of it, in every way that a file system may choose.

A write is durable when a flush of its file that began after it has succeeded; a name when a flush of its folder has. Whatever is not
durable may be there or not, each for itself, and the last sector of a file torn. What a failed flush was to bring to the disk never comes:
the kernel has marked it clean. A rename is one act, in whichever of its two folders it was flushed.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath

from tests.crash.disk import Kind, Line

_SECTOR = 512
_MEMORY = "-shm"
"""SQLite's shared memory: it is rebuilt at the first opening, and no flush ever promises it."""


class Loss(Enum):
    """Which of what is not durable is gone."""

    ALL = "nothing that was not flushed"
    DATA = "every name, no data that was not flushed"
    NAMES = "all data, no name that was not flushed"
    PREFIX = "a prefix of names and of each file's writes, the last one torn"
    SCATTERED = "each name and each sector by chance"
    NONE = "everything (as after SIGKILL)"


@dataclass(slots=True)
class _Change:
    """A write (`data`), or a new length (`data` None), of a file."""

    at: int
    offset: int
    length: int
    data: bytes | None
    durable: bool = False
    lost: bool = False


@dataclass(slots=True)
class _File:
    changes: list[_Change] = field(default_factory=list)


@dataclass(slots=True)
class _Naming:
    """A name that came, went, or both. `file` None: a folder, or one that is only taken away."""

    at: int
    gone: str
    come: str
    file: _File | None
    durable: bool = False

    @property
    def folders(self) -> set[str]:
        return {str(PurePosixPath(path).parent) for path in (self.gone, self.come) if path}


class DiskAtPowerLoss:
    """Takes the lines of a log one after another; `after` says what the disk may hold if the power fails now."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._files: dict[int, _File] = {}
        self._folders: set[int] = set()
        self._names: list[_Naming] = []
        self._begun: dict[int, tuple[int, int, str]] = {}
        self._at = 0

    def take(self, line: Line) -> None:
        """The next line."""
        self._at += 1
        match line.kind:
            case Kind.CREATE:
                self._created(line)
            case Kind.MAKE:
                self._folders.add(line.inode)
                self._files.pop(line.inode, None)
                self._named("", line.path, None)
            case Kind.RENAME:
                self._named(line.path, line.other, self._files.get(line.inode))
            case Kind.LINK:
                self._named("", line.path, self._files.get(line.inode))
            case Kind.UNLINK | Kind.RMDIR:
                self._named(line.path, "", None)
            case Kind.WRITE:
                self._changed(line, line.data)
            case Kind.TRUNCATE:
                self._changed(line, None)
            case Kind.BEGIN:
                self._begun[line.offset] = (self._at, line.inode, line.path)
            case Kind.END | Kind.FAILED | Kind.EVERYTHING:
                self._flushed(line)
            case Kind.SEND:
                pass

    def _created(self, line: Line) -> None:
        standing = next((one for one in reversed(self._names) if line.path and line.path in (one.come, one.gone)), None)
        if standing is not None and standing.come == line.path and standing.file is self._files.get(line.inode) is not None:
            return  # two processes saw it absent, one made it
        file = self._files[line.inode] = _File()
        if line.path:
            self._named("", line.path, file)

    def _named(self, gone: str, come: str, file: _File | None) -> None:
        self._names.append(_Naming(at=self._at, gone=gone, come=come, file=file))

    def _changed(self, line: Line, data: bytes | None) -> None:
        file = self._files.setdefault(line.inode, _File())
        file.changes.append(_Change(at=self._at, offset=line.offset, length=line.length, data=data))

    def _flushed(self, line: Line) -> None:
        began, inode, folder = self._begun.pop(line.offset)
        everything = line.kind is Kind.EVERYTHING
        for file in self._files.values() if everything else filter(None, [self._files.get(inode)]):
            for change in file.changes:
                if change.at < began and not change.durable and not change.lost:
                    change.durable, change.lost = line.kind is not Kind.FAILED, line.kind is Kind.FAILED
        if line.kind is not Kind.FAILED:
            for name in self._names:
                name.durable |= name.at < began and (everything or folder in name.folders)

    # ---- after the loss
    def after(self, loss: Loss, draw: random.Random) -> dict[str, bytes | None]:
        """Path relative to the root → the file's bytes, None for a folder."""
        kept_names = self._kept_names(loss, draw)
        tree: dict[str, _File | None] = {}
        for name in kept_names:
            if name.gone:
                tree.pop(name.gone, None)
            if name.come:
                tree[name.come] = name.file
        built: dict[str, bytes | None] = {}
        contents: dict[int, bytes] = {}
        for path in sorted(tree):
            inside = path.removeprefix(self._root).lstrip("/")
            parent = str(PurePosixPath(inside).parent)
            if inside.endswith(_MEMORY) or (parent != "." and built.get(parent, b"") is not None):
                continue  # its folder is gone
            file = tree[path]
            if file is not None and id(file) not in contents:
                contents[id(file)] = _content(self._kept_changes(file, loss, draw))
            built[inside] = None if file is None else contents[id(file)]
        return built

    def _kept_names(self, loss: Loss, draw: random.Random) -> Iterable[_Naming]:
        if loss in (Loss.NONE, Loss.DATA):
            return self._names
        if loss in (Loss.ALL, Loss.NAMES):
            return [name for name in self._names if name.durable]
        if loss is Loss.SCATTERED:
            return [name for name in self._names if name.durable or draw.random() < 0.5]
        pending = [name.at for name in self._names if not name.durable]
        until = draw.choice([0, *pending])
        return [name for name in self._names if name.durable or name.at <= until]

    def _kept_changes(self, file: _File, loss: Loss, draw: random.Random) -> Iterator[_Change]:
        alive = [change for change in file.changes if not change.lost or loss is Loss.NONE]
        if loss in (Loss.NONE, Loss.NAMES):
            yield from alive
        elif loss in (Loss.ALL, Loss.DATA):
            yield from (change for change in alive if change.durable)
        elif loss is Loss.SCATTERED:
            for change in alive:
                yield from [change] if change.durable else _some_sectors(change, draw)
        else:
            yield from self._prefix(alive, draw)

    @staticmethod
    def _prefix(changes: Sequence[_Change], draw: random.Random) -> Iterator[_Change]:
        pending = [change.at for change in changes if not change.durable]
        last = draw.choice([0, *pending])
        for change in changes:
            if change.durable or change.at < last:
                yield change
            elif change.at == last:
                yield _torn(change, draw)


def _torn(change: _Change, draw: random.Random) -> _Change:
    if change.data is None:
        return change
    kept = change.data[: draw.randrange(len(change.data) // _SECTOR + 1) * _SECTOR]
    return _Change(at=change.at, offset=change.offset, length=len(kept), data=kept)


def _some_sectors(change: _Change, draw: random.Random) -> Iterator[_Change]:
    if change.data is None:
        if draw.random() < 0.5:
            yield change
        return
    for at in range(0, len(change.data), _SECTOR):
        if draw.random() < 0.5:
            part = change.data[at : at + _SECTOR]
            yield _Change(at=change.at, offset=change.offset + at, length=len(part), data=part)


def _content(changes: Iterable[_Change]) -> bytes:
    content = bytearray()
    for change in changes:
        if change.data is None:
            if change.length < len(content):
                del content[change.length :]
            else:
                content.extend(bytes(change.length - len(content)))
            continue
        if change.offset > len(content):
            content.extend(bytes(change.offset - len(content)))
        content[change.offset : change.offset + len(change.data)] = change.data
    return bytes(content)


def build(tree: dict[str, bytes | None], folder: Path) -> None:
    """Write what `DiskAtPowerLoss.after` gave."""
    folder.mkdir(parents=True)
    for path, content in sorted(tree.items()):
        if content is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).write_bytes(content)
            (folder / path).chmod(0o600)
