"""The audit trail of one process: hand a message over and go on; a thread brings it to disk."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from node.observe.audit.files import AuditFiles
from node.observe.audit.message import Message, Source, xml
from node.observe.events import alarm, event

_MOST_WAITING = 10_000
_TRY_AGAIN_S = 1.0
_TO_CLOSE_S = 10.0


@dataclass(slots=True)
class _Asked:
    """Somebody waits until everything before this is on disk."""

    done: threading.Event


class Trail:
    """Messages on their way to the files.

    `tell` costs the caller a queue's lock and never waits: of 10,000 messages that the disk has not taken the next is dropped, and
    counted. `write` returns once the messages are on disk.

    Parameters
    ----------
    clock
        Aware UTC now.
    """

    def __init__(self, folder: Path, source: Source, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.source = source
        self._files = AuditFiles(folder)
        self._clock = clock
        self._waiting: queue.Queue[Message | _Asked | None] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._failing = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def files(self) -> AuditFiles:
        """Where it is kept."""
        return self._files

    def tell(self, message: Message) -> None:
        """Hand a message over; it is on disk a moment later."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._dropped += 1

    def write(self, messages: Sequence[Message]) -> None:
        """Bring messages to disk before going on. OSError when the disk does not take them: none of them is there then."""
        if messages:
            self._files.make()
            self._files.append([xml(message, self.source) for message in messages], self._clock())

    def flush(self, timeout_s: float) -> bool:
        """Whether everything that was told before is on disk within so long."""
        asked = _Asked(done=threading.Event())
        try:
            self._waiting.put(asked, timeout=timeout_s)
        except queue.Full:
            return False
        return asked.done.wait(timeout_s)

    def close(self) -> None:
        """Bring what waits to disk, and end; a disk that takes nothing is waited for ten seconds."""
        self._closing.set()
        try:
            self._waiting.put(None, timeout=_TO_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(_TO_CLOSE_S)

    def _run(self) -> None:
        ending = False
        while not ending:
            batch: list[Message | _Asked | None] = [self._waiting.get()]
            while len(batch) < _MOST_WAITING:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            ending = None in batch
            self._keep([one for one in batch if isinstance(one, Message)])
            for one in batch:
                if isinstance(one, _Asked):
                    one.done.set()

    def _keep(self, messages: list[Message]) -> None:
        """Write until the disk takes it: what was told is lost only with the process."""
        while messages:
            try:
                self.write(messages)
            except OSError as failed:
                if not self._failing:
                    alarm("audit.failed", reason=str(failed.strerror), messages=len(messages))
                self._failing = True
                if self._closing.is_set():
                    return
                time.sleep(_TRY_AGAIN_S)
            else:
                messages = []
                if self._failing:
                    self._failing = False
                    event("audit.written", dropped=self._dropped)
                    self._dropped = 0
