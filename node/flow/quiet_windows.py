"""Quiet windows in force: the configured one of a sender, or the one that its last studies teach, where the operator uses that."""

from datetime import datetime, timedelta

from node.domain.quiet_window import LAST_ARRIVALS, by_study, learn
from node.domain.stage import Clock
from node.journal.journal import Journal
from node.observe import metrics
from node.settings.config import Config
from node.settings.peers import Settle

_LEARN_EVERY = timedelta(minutes=1)


class QuietWindows:
    """How long arrivals of each peer wait without a new instance. What is learned is read from the journal once a minute, and by every
    process for itself: it is the same for all, and after a restart."""

    def __init__(self, journal: Journal, config: Config, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._learned: dict[str, tuple[datetime, timedelta]] = {}
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Go by how peers settle from now on."""
        self._config = config
        self._learned.clear()
        for name, peer in config.peers.items():
            if not peer.settle.learned.use:
                metrics.SETTLE_WINDOW.set(peer.settle.quiet.total_seconds(), peer=name)

    def of(self, peer: str | None) -> timedelta:
        """The window of a peer; a stranger's is the default."""
        rule = self._config.settle_of(peer)
        if peer is None or not rule.learned.use:
            return rule.quiet
        now, known = self._clock(), self._learned.get(peer)
        if known is None or not timedelta(0) <= now - known[0] < _LEARN_EVERY:
            known = self._learned[peer] = (now, self._read(peer, rule))
            metrics.SETTLE_WINDOW.set(known[1].total_seconds(), peer=peer)
        return known[1]

    def _read(self, peer: str, rule: Settle) -> timedelta:
        learned = learn(by_study(self._journal.gaps.last_of(peer, LAST_ARRIVALS), rule.bounds), rule.bounds)
        return rule.quiet if learned.window is None else learned.window
