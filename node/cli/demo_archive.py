"""The demo's archive: keeps what it is sent as files named after their SOP Instance UID."""

import os
from pathlib import Path

from node.blobs.inbox import part10
from node.dimse.port import Incoming, Reception


class ArchiveFolder:
    """An `Intake` that writes Part 10 files into `folder`/archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "archive"
        self._folder.mkdir(parents=True, exist_ok=True)

    def crowded(self) -> str | None:
        """Never: the demo sends little."""
        return None

    def begin(self, reception: Reception) -> Incoming:
        """Open a file beside where it will lie."""
        return _File(self._folder / f"{reception.sop_instance_uid}.dcm", part10(reception))

    def expect(self, association: str) -> None:
        """Nothing is made before it is needed."""

    def ended(self, association: str) -> bool:
        """Every instance was flushed before it was answered."""
        return True


class _File:
    """Write, flush, rename: the same promise as a real archive's."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._path = path
        self._partial = path.with_suffix(".part")
        self._file = self._partial.open("wb")
        self._file.write(head)

    def write(self, *fragments: bytes | memoryview) -> None:
        """Append them."""
        self._file.writelines(fragments)

    def keep(self) -> None:
        """Flush and rename; again does nothing."""
        if self._file.closed:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)

    def abandon(self) -> None:
        """Close and delete; again, or after `keep`, does nothing."""
        if not self._file.closed:
            self._file.close()
            self._partial.unlink(missing_ok=True)
