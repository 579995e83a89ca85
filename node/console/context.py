"""What every view has at hand: journal, settings, pictures, routes, health, and how often an account tried what costs the node."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.console.access_audit import StudyAccessAudit
from node.console.editing import Editing
from node.console.health import Health, SharedLook
from node.console.images.gallery import Gallery
from node.console.own_receiver import OwnReceiver
from node.journal.journal import Journal
from node.journal.port import Pausable
from node.settings.console import Console
from node.settings.peers import Peer

TRIES, TRIES_WINDOW_S = 20, 60.0  # each may load a whole configuration, which takes seconds
_MOST_KNOWN = 10_000


class RateLimit:
    """How often an account tried something in a window that slides."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most: int = TRIES, window_s: float = TRIES_WINDOW_S) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._guard = threading.Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, who: str) -> float:
        """Count it before it is done: what is counted afterwards is done many times at once. How long to wait instead; 0: do it."""
        with self._guard:
            times, now = self._of(who), self._clock()
            if len(times) >= self._most:
                return times[0] + self._window_s - now
            times.append(now)
            while len(self._times) > _MOST_KNOWN:
                self._times.popitem(last=False)
            return 0.0

    def _of(self, who: str) -> deque[float]:
        times = self._times.setdefault(who, deque(maxlen=self._most))
        self._times.move_to_end(who)
        while times and times[0] <= self._clock() - self._window_s:
            times.popleft()
        return times


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleContext:
    """Shared by all requests; the journal is safe in many threads. `models` is the folder of the model repository, `peers` are those of the
    configuration by name; `pausable` tells the names that may be paused now; `make_room` deletes the oldest pixels that nothing needs, and
    says of how many instances; `associations` are the lines that the receivers of this host keep of who called; `sinks_of` are those at a
    peer; `receiver` is the node's own, which one sends test files to while `uploading` is held."""

    journal: Journal
    settings: Console
    gallery: Gallery
    accesses: StudyAccessAudit
    health: Health
    senders: SharedLook[list[dict[str, Any]]]
    models: Path
    editing: Editing
    peers: Mapping[str, Peer]
    make_room: Callable[[], int]
    associations: SharedLook[list[list[dict[str, Any]]]]
    sinks_of: Callable[[str], Sequence[str]]
    pausable: Callable[[], Mapping[Pausable, Sequence[str]]]
    receiver: OwnReceiver
    tries: RateLimit = field(default_factory=RateLimit)
    uploading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over TLS, so that cookies need not go any other way."""
        return self.settings.cert is not None or bool(self.settings.trusted_proxies)
