"""Wake-ups: how one process tells another on its host that there is work. A wake-up is a hint; the sweep every second is the guarantee."""

import contextlib
import os
import select
import threading
from pathlib import Path

from node.observe import metrics


class WakeUpPipe:
    """A named pipe that many may ring and one waits at; to ring where no process waits, or a pipe that was rung already, does nothing."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._path, 0o600)
        self._reader: int | None = None
        self._writer: int | None = None
        self._ringing = threading.Lock()

    def ring(self) -> None:
        """Wake whoever waits; never blocks."""
        with self._ringing:
            try:
                if self._writer is None:
                    self._writer = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(self._writer, b"!")
            except BlockingIOError:
                pass  # it was rung already
            except OSError:
                # nobody waits (any more), or it cannot be rung (too many open files): what there is to do is swept up all the same
                self._let_go()

    def wait(self, timeout_s: float) -> None:
        """Return at the next ring, or after `timeout_s`; rings that came since the last wait count."""
        ready, _, _ = select.select([self], [], [], timeout_s)
        metrics.WAKE_UPS.add(bell=self._path.stem, by="ring" if ready else "sweep")
        if ready:
            self.hush()

    def fileno(self) -> int:
        """What is readable once it was rung, for those who wait for something else too."""
        if self._reader is None:
            # read and write, so that the pipe never reports end-of-file while nobody rings
            self._reader = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        return self._reader

    def hush(self) -> None:
        """Forget the rings until now."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fileno(), 65536)

    def close(self) -> None:
        """Stop waiting here; the pipe itself stays for the next process."""
        if self._reader is not None:
            os.close(self._reader)
            self._reader = None
        with self._ringing:
            self._let_go()

    def _let_go(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None
