"""Reloading the configuration of a node that runs: the file is checked whole, and taken whole, or refused with the reason. What came into
force is kept in the journal."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from inference.errors import HilumError
from node.assembly.compose import open_journal
from node.assembly.configuration import changed_blocks, load, waiting_keys
from node.domain.config_revision import ConfigRevision
from node.domain.errors import ConfigError
from node.observe.events import alarm, event
from node.observe.security import ConfigReloaded, ReloadRefused, tell
from node.settings.config import Config
from node.settings.kept_text import kept
from node.store.in_force import Adopts, InForce, ReloadAsked, Reloaded, refuse_keys

_SIGNAL = ReloadAsked(by="SIGHUP")
START = ReloadAsked(by="hilum serve", reason="the node was started")
_KEEP_AGAIN_S = 5.0
_KEEP_AGAIN_MOST_S = 60.0
"""Nobody waits for it, and who asks a server that is away waits for seconds: the supervisor has its processes to watch."""


def checked(config: Config, demand: Callable[[Config], None]) -> Config:
    """The configuration that the file of `config` holds now, where it differs in what a running node takes up; `demand` refuses
    what a start would refuse.

    Raises
    ------
    ConfigError
        There is something wrong with the file.
    NeedsRestart
        It differs in keys that wait for a restart.
    """
    fresh = load(config.path)
    refuse_keys(waiting_keys(config, fresh), str(config.path))
    demand(fresh)
    return fresh


class KeptRevisions:
    """Keeps in the journal what came into force; while that is away, until it is there again."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._waiting: list[ConfigRevision] = []
        self._newest: int | None = None
        self._again_at = 0.0
        self._again_in_s = _KEEP_AGAIN_S

    def came(self, config: Config, asked: ReloadAsked) -> int | None:
        """`config` has come into force: the number of its revision; None where it is kept when the journal is there again."""
        one = ConfigRevision(
            at=datetime.now(UTC),
            author=asked.by,
            reason=asked.reason,
            host=socket.gethostname(),
            path=str(config.path),
            digest=config.digest,
            text=kept(config.text, config.path),
        )
        self._waiting.append(one)
        self.turn()
        return None if self._waiting else self._newest

    def turn(self) -> None:
        """Keep what is not kept yet."""
        if not self._waiting or time.monotonic() < self._again_at:
            return
        try:
            with contextlib.closing(open_journal(self._config)) as journal:
                while self._waiting:
                    one = self._waiting[0]
                    number = journal.config_revisions.add(replace(one, at=journal.at(one.at.timestamp()))).number
                    self._newest = number
                    event("config.kept", revision=number, by=one.author, config_digest=one.digest)
                    del self._waiting[0]
        except HilumError as away:  # a half restored store is no JournalError
            self._again_at = time.monotonic() + self._again_in_s
            alarm("config.not_kept", code=away.code, reason=str(away), again_in_s=self._again_in_s)
            self._again_in_s = min(2 * self._again_in_s, _KEEP_AGAIN_MOST_S)
        else:
            self._again_in_s = _KEEP_AGAIN_S


class Reloading:
    """What the supervisor does when it is told or asked to reload.

    Parameters
    ----------
    demand
        Refuses what a start would refuse of a file that says nothing wrong by itself.
    those
        What of the supervisor goes by the configuration.
    """

    def __init__(
        self, config: Config, in_force: InForce, demand: Callable[[Config], None], those: Sequence[Adopts], revisions: KeptRevisions
    ) -> None:
        self._config = config
        self._in_force = in_force
        self._demand = demand
        self._those = those
        self._revisions = revisions
        self._told = False  # a plain name: an Event that a signal handler sets can meet its own lock

    def tell(self) -> None:
        """Reload at the next turn; safe to call from a signal handler."""
        self._told = True

    def turn(self) -> None:
        """Reload where somebody wants it; all who ask at once get one answer."""
        self._revisions.turn()
        asking = self._in_force.asked()
        if not self._told and not asking:
            return
        told, self._told = self._told, False
        came = self.reload(_together([*asking.values(), *([_SIGNAL] if told else [])]))
        for token in asking:
            self._in_force.answer(token, came.text())

    def reload(self, asked: ReloadAsked = _SIGNAL) -> Reloaded:
        """Put what the file says in force, or leave what is."""
        before, by = self._config.digest, asked.by
        try:
            fresh = checked(self._config, self._demand)
            self._in_force.take(fresh)
        except ConfigError as refused:
            code, reason, routes = refused.code, str(refused), len(self._config.routes)
            path = str(self._config.path)
            tell(ReloadRefused(by=by, path=path, code=code, reason=reason, config_digest=before))
            return Reloaded(path=path, digest=before, before=before, routes=routes, code=code, reason=reason)
        changed = changed_blocks(self._config, fresh)
        self._config = fresh
        for one in self._those:
            one.adopt(fresh)
        revision = self._revisions.came(fresh, asked)
        since = {"before": before, "config_digest": fresh.digest}
        tell(ConfigReloaded(by=by, path=str(fresh.path), blocks=changed, revision=revision, routes=len(fresh.routes), **since))
        return Reloaded(path=str(fresh.path), digest=fresh.digest, before=before, routes=len(fresh.routes), changed=changed)


def _together(asking: list[ReloadAsked]) -> ReloadAsked:
    by, reasons = dict.fromkeys(one.by for one in asking), dict.fromkeys(one.reason for one in asking if one.reason)
    return ReloadAsked(by=", ".join(by), reason="; ".join(reasons))
