"""Store watch: tells whether the places of a store are what they were: the journal's file, the folders of blobs and spool.

While one is not, nothing is taken in and nothing is written: each process looks by itself (node.journal.place, node.blobs.files). This look
is what readiness and people are told, and what starts the processes again where a place came back as another file of the same store:
restored, or mounted anew.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from inference.errors import HilumError
from node.blobs.files import Place
from node.domain.notice import About, Item
from node.observe.events import alarm, event

_EVERY_S = 1.0
_SILENT_S = 10.0
_REMEDY = "Mount or move back what belongs there; work goes on by itself then. Senders are refused meanwhile and keep their instances."


class WatchedStore(Protocol):
    """The store that is watched."""

    def places(self) -> dict[str, Place]:
        """What lies at its places now, by what they are; OSError while one is not there yet."""
        ...

    def known(self) -> str | None:
        """Its identity, as this host remembers it."""
        ...

    def compare(self, identity: str | None) -> None:
        """Refuse what lies there now where it is not of this store (`HilumError`, `OSError`)."""
        ...


class StoreWatch:
    """Looks every second, from a thread of its own, so that a file system that does not answer keeps nothing waiting.

    `begin` is called once the places are known to be right.
    """

    def __init__(self, store: WatchedStore, tell: Callable[[Item], None]) -> None:
        self._store = store
        self._tell = tell
        self._places: dict[str, Place] = {}
        self._looked = time.monotonic()
        self._why = ""
        self._anew = threading.Event()
        self._told: Item | None = None
        self._identity: str | None = None

    def begin(self) -> None:
        """From now on the places are what lies there."""
        self.look()
        threading.Thread(target=self._look_on, name="places", daemon=True).start()

    def why(self) -> str:
        """Why nothing is taken in; "" while every place is what it was. A look that takes too long is a place that is away."""
        if self._places and time.monotonic() - self._looked > _SILENT_S:
            return f"a file system of the store does not answer: {', '.join(str(one.path) for one in self._places.values())}"
        return self._why

    def stood_since(self, moment: float) -> bool:
        """Whether every place was what it was when they were looked at last, after this moment of the monotonic clock."""
        return self._looked >= moment and not self.why()

    def came_anew(self) -> bool:
        """Whether a place came back as another file or folder of the same store, said once: what holds the old one must begin again."""
        if not self._anew.is_set():
            return False
        self._anew.clear()
        return True

    def look(self) -> None:
        """Look once, and say what is new; the first time, and until every place is there, take them for what they are to stay."""
        began = time.monotonic()
        self._compare()
        self._looked = began

    def _look_on(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            self.look()

    def _take(self) -> None:
        # a folder that the receiver makes at its first start is looked at once it is there
        with suppress(OSError):
            self._places = self._store.places()

    def _compare(self) -> None:
        self._identity = self._identity or self._store.known()
        if not self._places:
            self._take()
            return
        why = "; ".join(f"{name}: {said}" for name, one in self._places.items() if (said := one.why()))
        if why and all(one.taken() for one in self._places.values() if one.why()):
            why = self._compared()
            if not why:
                self._take()
                self._anew.set()
        self._say(why)

    def _compared(self) -> str:
        """Why what lies there now is not of this store; "" where it is."""
        try:
            self._store.compare(self._identity)
        except HilumError as other:  # a half restored store is no JournalError, and the look goes on as well
            return f"{other} [{other.code}]"
        except OSError as failed:
            return f"the store cannot be looked at: {failed.strerror}"
        return ""

    def _say(self, why: str) -> None:
        if why == self._why:
            return
        if why:
            alarm("store.lost", reason=why)
            self._say_to_people(Item(about=About.DISK, says=f"The store is not where it was: {why}.", remedy=_REMEDY))
        else:
            event("store.back")
            if self._told is not None:
                self._say_to_people(replace(self._told, says=f"No more: {self._told.says}", remedy="", over=True))
        self._why = why

    def _say_to_people(self, item: Item) -> None:
        self._told = None if item.over else item
        self._tell(item)
