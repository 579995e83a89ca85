"""Checkpoints that survive a kill: written aside, brought to the disk, then renamed; read as data, never as code."""

import errno
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from training.errors import BrokenRun, FullDisk

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What is written inside may find the disk full.

    Raises
    ------
    FullDisk
    """
    try:
        yield
    except (OSError, RuntimeError) as failed:
        # torch says of what its file refused that it "failed writing file", and why in what came before
        cause = failed if isinstance(failed, OSError) else failed.__cause__ or failed.__context__
        if not isinstance(cause, OSError) or cause.errno not in _NO_ROOM:
            raise
        raise FullDisk(f"{path} could not be written: {cause.strerror}; what lay there before is whole") from failed


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace a checkpoint; whoever is killed meanwhile finds the one before."""
    # here, for whoever keeps no weights of torch: the server of a federated training
    import torch

    replace(path, lambda file: torch.save(state, file))


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint; None where there is none.

    Raises
    ------
    BrokenRun
        The file is no checkpoint of weights and numbers alone.
    """
    if not path.is_file():
        return None
    import torch

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as broken:
        raise BrokenRun(f"{path} is not a checkpoint: {str(broken).strip().splitlines()[:1]}") from broken
    return state


def save_json(path: Path, value: Any) -> None:
    """Replace a JSON file in the same way."""
    replace(path, lambda file: file.write((json.dumps(value, indent=2) + "\n").encode()))


def replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place, both on the disk when this returns.

    Raises
    ------
    FullDisk
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # the name itself has to be on the disk, too
        os.fsync(folder)
    finally:
        os.close(folder)
