"""The demo's archive: keeps what it is sent as files named after their SOP Instance UID."""

import os
from pathlib import Path

from node.blobs.inbox import part10
from node.dimse.port import Reception


class ArchiveFolder:
    """An `Intake` that writes Part 10 files into `folder`/archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "archive"
        self._folder.mkdir(parents=True, exist_ok=True)

    def keep(self, reception: Reception) -> None:
        """Write, flush, rename: the same promise as a real archive's."""
        path = self._folder / f"{reception.sop_instance_uid}.dcm"
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            file.write(part10(reception))
            file.write(reception.dataset)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
