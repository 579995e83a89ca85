"""A configuration file in the place of the one before: whole or not at all, with its owner and rights; the one before is kept."""

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from node.domain.errors import ConfigError

_KEPT = ".before"


class ChangedMeanwhile(ConfigError):
    """The configuration file is not the one any more that was edited."""

    code = "HLM-2104"
    remedy = "Copy your edit, load the page again, and make it in the file as it is now."


class CannotWrite(ConfigError):
    """The console may not, or cannot, write the configuration file."""

    code = "HLM-2105"
    remedy = "Put the text into the file on the node and run `hilum routes reload`; or let the node's user write the file's folder."


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
                raise ChangedMeanwhile(f"{path}: somebody else changed the file while the routes were checked")
            before.rename(kept)
            after.rename(target)
        except OSError as refused:
            raise CannotWrite(f"{target}: {refused.strerror}; the file is as it was") from refused
        try:
            os.fsync(folder)
        except OSError as refused:
            return Written(
                kept=kept, doubt=f"{target}: the routes stand in it, but the system could not flush its folder: {refused.strerror}"
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
