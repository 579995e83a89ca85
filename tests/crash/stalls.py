"""Whether the machine stood still: a round that broke meanwhile says nothing of the node, whose time-outs went by with nobody running."""

import threading
import time

_EVERY_S = 1.0
_STANDING_S = 10.0


class Stalls:
    """Counts, from a thread of its own, how often nothing of this machine ran for ten seconds or more."""

    def __init__(self) -> None:
        self.count = 0
        threading.Thread(target=self._watch, name="stalls", daemon=True).start()

    def _watch(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(_EVERY_S)
            now = time.monotonic()
            self.count += now - before > _STANDING_S
            before = now
