"""An association that stays open between one call and the next, for a short time, so that parcel after parcel needs no new one."""

import atexit
import threading
import weakref
from collections.abc import Sequence
from typing import Final

from node.dimse.requestor.association import Association
from node.dimse.requestor.opening import Called
from node.dimse.requestor.outgoing import MOST_CONTEXTS
from node.domain.context import Context


class IdleAssociation:
    """At most one idle association to a peer. Safe to use from several threads: an association is with one of them, or idle here.

    Parameters
    ----------
    idle_s
        How long one may stand idle before it is released; 0: not at all.
    """

    def __init__(self, peer: Called, *, idle_s: float) -> None:
        self._peer = peer
        self._idle_s = idle_s
        self._guard = threading.Lock()
        self._idle: Association | None = None
        self._alarm: threading.Timer | None = None
        self._taken: dict[Context, None] = {}
        if idle_s:
            _release_at_exit(self)

    def take(self, contexts: Sequence[Context]) -> tuple[Association, bool]:
        """An association that was asked for these contexts; whether it has stood idle.

        Raises
        ------
        PeerAway, PeerRejected, PeerRefuses
            As `Association.requested`.
        """
        idle = self._out()
        if idle is not None and idle.offered.issuperset(contexts) and idle.stands():
            return idle, True
        if idle is not None:
            idle.release()
        # what the peer took before goes along, so that the next parcel finds its context; what it did not take is asked for by itself
        with self._guard:
            asked = list(dict.fromkeys([*contexts, *self._taken]))[:MOST_CONTEXTS] if self._idle_s else list(contexts)
        made = Association.requested(self._peer, asked)
        with self._guard:
            self._taken = dict.fromkeys([one for one in asked if one in made.contexts])
        return made, False

    def give(self, association: Association) -> None:
        """Back, to stand idle for a while."""
        if not association.open:
            return
        with self._guard:
            if self._idle_s and self._idle is None:
                self._idle = association
                self._alarm = threading.Timer(self._idle_s, self._release, args=[association])
                self._alarm.daemon = True
                self._alarm.start()
                return
        association.release()

    def close(self) -> None:
        """Release what stands idle."""
        idle = self._out()
        if idle is not None:
            idle.release()

    def _out(self) -> Association | None:
        with self._guard:
            idle, self._idle = self._idle, None
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            return idle

    def _release(self, association: Association) -> None:
        with self._guard:
            if self._idle is not association:
                return
            self._idle = None
        association.release()


_all: Final["weakref.WeakSet[IdleAssociation]"] = weakref.WeakSet()


def _release_at_exit(idle: IdleAssociation) -> None:
    if not _all:
        atexit.register(_close_all)
    _all.add(idle)


def _close_all() -> None:
    for idle in list(_all):
        idle.close()
