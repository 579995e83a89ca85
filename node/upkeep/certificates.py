"""Watches the certificates that associations depend on: an alarm every day from a month before one expires, and a metric."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from node.dimse.validity import Validity, validities
from node.observe import metrics
from node.observe.events import alarm
from node.observe.instruments import Sample
from node.settings.config import Config

SOON_S: Final = 30 * 86400.0
_LOOK_EVERY_S = 3600.0
_TELL_EVERY_S = 86400.0


class Certificates:
    """Looks every hour. `turn` is called by the supervisor's loop."""

    def __init__(
        self, config: Config, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._now = now
        self._seconds = seconds
        self._look_at = 0.0
        self._tell_at = 0.0
        self._found: list[Validity] = []

    def turn(self) -> None:
        """Look, and tell, when it is time."""
        if (at := self._seconds()) < self._look_at:
            return
        self._look_at = at + _LOOK_EVERY_S
        self._found = validities(self._config)
        if at < self._tell_at:
            return
        self._tell_at = at + _TELL_EVERY_S
        for one in self._found:
            if one.until is None:
                alarm("certificate.unusable", file=str(one.path), use=one.use.value, reason=one.why)
            elif (left_s := one.left_s(self._now())) < SOON_S:
                alarm(
                    "certificate.expires", file=str(one.path), use=one.use.value, until=one.until.isoformat(), days=round(left_s / 86400, 1)
                )

    def samples(self) -> list[Sample]:
        """How long each file is good, for whoever watches the node."""
        return [
            metrics.CERTIFICATE.of(one.left_s(self._now()), file=one.path.name, use=one.use.value)
            for one in self._found
            if one.until is not None
        ]
