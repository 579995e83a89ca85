"""Two peers of storage commitment: an archive that keeps every copy and commits as it pleases, and a modality that has the node commit."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from pynetdicom.events import Event

from tests.crash.sender import CALLING
from tests.lab.committing import Asked, CommittingPeer, event_information
from tests.lab.loopback import free_port


class Manner(Enum):
    """How an archive reports."""

    LATER = "on an association of its own, a moment later"
    TWICE = "the same report twice"
    SECOND = "nothing on the first request, on the next one"
    LOST = "first that it has lost one object, then success"
    SILENT = "not at all"


class Archive(CommittingPeer):
    """Keeps each copy of what comes as a file of its own in `folder`; what it has once reported as committed is in `committed`."""

    def __init__(self, folder: Path, node_port: Callable[[], int]) -> None:
        self.folder = folder
        self.manner, self.draw = Manner.LATER, random.Random(0)
        self._node_port = node_port
        self.committed: set[str] = set()
        self._first: set[tuple[str, ...]] = set()
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(aet="ARCHIVE", port=free_port(), on_ask=self._answer)

    def received(self) -> list[Path]:
        """The files that it keeps."""
        return sorted(self.folder.iterdir())

    def _store(self, asked: Event) -> int:
        name = f"{asked.request.AffectedSOPInstanceUID}.{uuid.uuid4().hex}"
        partial = self.folder.with_name("archive.part")
        partial.mkdir(exist_ok=True)
        (partial / name).write_bytes(asked.encoded_dataset())
        (partial / name).rename(self.folder / name)
        return super()._store(asked)

    def _answer(self, asked: Asked) -> int:
        first = tuple(sorted(asked.uids)) not in self._first
        self._first.add(tuple(sorted(asked.uids)))
        if self.manner is not Manner.SILENT and not (self.manner is Manner.SECOND and first):
            failed = {self.draw.choice(asked.uids): 0x0112} if self.manner is Manner.LOST and first else {}
            times = 2 if self.manner is Manner.TWICE else 1
            threading.Thread(target=self._report, args=(asked, failed, times, self.draw.uniform(0, 0.4)), daemon=True).start()
        return 0x0000

    def _report(self, asked: Asked, failed: dict[str, int], times: int, after_s: float) -> None:
        time.sleep(after_s)  # as archives take theirs
        # before it leaves: the node may have it from now on
        self.committed |= set(asked.uids) - set(failed)
        for _ in range(times):
            self.report(self._node_port(), event_information(asked.transaction_uid, asked.references, failed))


class Modality(CommittingPeer):
    """The scanner as a requester of storage commitment; reports come to its port."""

    def __init__(self) -> None:
        super().__init__(aet=CALLING, port=free_port())
