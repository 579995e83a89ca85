"""pynetdicom's requestor without its race: an answer goes to who waits for it, and not to the association's own thread.

Before `send_c_store` and its like, and before a release, pynetdicom holds the association's thread, its reactor, at a checkpoint: clears an
event, and looks at a flag that the reactor sets *before* it looks at the event. A reactor that has seen the event still set, and has not
gone on yet, counts as held: it takes the answer off the queue ("Received unexpected C-STORE service message") and the requestor waits until
its timer ends the association. On a loaded machine that is one association in some hundred.
"""

import threading
import time
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary, ref

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

PATIENCE_S = 120.0
"""pynetdicom's timers, unless a test sets its own: they keep it from waiting for ever, and say nothing of how fast the machine is."""
_LONGEST_S = 5.0
"""A handler of requests is the reactor's own code: while it runs nothing is taken, and somebody else may send."""


class Checkpoint:
    """Where the reactor is held, in the place of pynetdicom's event: shut only once the reactor stands there, or is no more."""

    def __init__(self, reactor: threading.Thread) -> None:
        self._reactor = ref(reactor)  # it is looked up by the reactor: neither may keep the other
        self._changed = threading.Condition()
        self._open, self._held = True, False

    def set(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Shut it, and come back when nothing passes any more."""
        until = time.monotonic() + _LONGEST_S
        reactor = self._reactor()
        with self._changed:
            self._open = False
            while not (self._held or self._open or threading.current_thread() is reactor or time.monotonic() > until):
                if reactor is None or not reactor.is_alive():
                    break
                self._changed.wait(0.05)

    def wait(self) -> None:
        """The reactor's: stand here while it is shut."""
        with self._changed:
            while not self._open:
                self._held = True
                self._changed.notify_all()
                self._changed.wait()
            self._held = False


_CHECKPOINTS: WeakKeyDictionary[Association, Checkpoint] = WeakKeyDictionary()


def checkpoint(association: Association) -> Checkpoint:
    """Where its reactor is held."""
    return _CHECKPOINTS[association]


def hold_still() -> None:
    """From here on every association of this process has such a checkpoint, and pynetdicom's entities are patient."""
    made, entity_made = Association.__init__, ApplicationEntity.__init__

    @wraps(made)
    def with_checkpoint(self: Association, *args: Any, **given: Any) -> None:
        made(self, *args, **given)
        self._reactor_checkpoint = _CHECKPOINTS[self] = Checkpoint(self)

    @wraps(entity_made)
    def patient(self: ApplicationEntity, *args: Any, **given: Any) -> None:
        entity_made(self, *args, **given)
        self.acse_timeout = self.dimse_timeout = self.network_timeout = PATIENCE_S

    Association.__init__, ApplicationEntity.__init__ = with_checkpoint, patient
