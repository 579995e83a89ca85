"""Who came, and what became of it: the associations of the last hours, a JSON line each in two files of bounded size.

The receive process writes them, which knows no database; any other process of the host reads them. They are for people: nothing is decided
by them, a full disk leaves lines out, and a kill those of the last moment at most. The longest flood fills them no faster than the log.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from node.observe.events import without_patients
from node.observe.security import AssociationAccepted, AssociationFinished, ConnectionRefused, RefusalsLeftOut, SecurityEvent

BEGAN: Final = "receiver.began"
"""The line by which a receiver begins: what stood in the same file before it, and has no end, ended with its predecessor."""
_HEARD = (AssociationAccepted, AssociationFinished, ConnectionRefused, RefusalsLeftOut)
_MOST_BYTES: Final = 2 * 2**20
"""Of each of the two files: all of them are read at every look."""
_OLDER: Final = ".1"
_SUFFIX: Final = ".jsonl"


class AssociationLog:
    """Writes what one receive process tells of associations; `hear` is what `node.observe.security.listen_to_lines` takes.

    Parameters
    ----------
    folder
        Where the files of all receive processes of the host lie; it is there.
    row
        Which of them this is: its successor goes on in the same file.
    """

    def __init__(
        self, folder: Path, row: int, *, most_bytes: int = _MOST_BYTES, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._path = folder / f"{row}{_SUFFIX}"
        self._most_bytes = most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._write({"event": BEGAN})

    def hear(self, one: SecurityEvent) -> None:
        """Write it, where it is about an association."""
        if isinstance(one, _HEARD):
            self._write({"event": one.line, **{each.name: getattr(one, each.name) for each in fields(one)}})

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            self._close()

    def _write(self, said: Mapping[str, Any]) -> None:
        line = json.dumps({"at": self._clock().isoformat(), **without_patients(said)}, ensure_ascii=False)
        # whoever tells it serves a sender, or refuses one: neither waits for, nor fails by, a line that no disk takes
        with self._lock, contextlib.suppress(OSError):
            data = line.encode("utf-8", "backslashreplace") + b"\n"
            if self._opened().write(data) < len(data):
                self._close()  # the disk took a part: the next one that is opened ends that line

    def _opened(self) -> IO[bytes]:
        if self._file is not None and self._file.tell() >= self._most_bytes:
            self._close()
            self._path.replace(self._path.with_name(self._path.name + _OLDER))
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # not buffered: who looks sees what stands, and a kill takes no line
            with contextlib.ExitStack() as failed:
                file = failed.enter_context(self._path.open("a+b", buffering=0))
                _end_line(file)
                failed.pop_all()
            self._file = file
        return self._file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _end_line(file: IO[bytes]) -> None:
    """End a line that was cut off, so that the next one is whole; the file stands at its end."""
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def kept_lines(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """What is kept of each receive process of this host, in the order in which it was told. A line that is cut off, or none of ours, is
    left out, and so is what the disk does not give back; whose the files are, where they may not be read, is an error."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        lines: list[dict[str, Any]] = []
        for each in (path.with_name(path.name + _OLDER), path):
            try:
                with each.open("rb") as file:
                    lines += [read for line in file if (read := _line(line)) is not None]
            except PermissionError:
                raise
            except OSError:
                continue
        yield lines


def _line(written: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, RecursionError):
        read = json.loads(written)
        if isinstance(read, dict) and {"at", "event"} <= read.keys():
            return read
    return None
