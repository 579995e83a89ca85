"""Reloading the routes of a node that runs: the file is checked whole, and its routes are taken whole, or refused with the reason."""

from collections.abc import Callable

from node.assembly.compose import demand_own_series_numbers
from node.assembly.configuration import load
from node.domain.errors import ConfigError
from node.observe.security import ReloadRefused, RoutesReloaded, tell
from node.settings.config import Config
from node.store.in_force import InForce
from node.store.reloading import NeedsRestart, Reloaded, other_blocks

_SIGNAL = "SIGHUP"


def checked(config: Config) -> Config:
    """The configuration that the file of `config` holds now, where it differs in its routes alone.

    Raises
    ------
    ConfigError
        There is something wrong with the file.
    NeedsRestart
        It says something else than `config` that is not about routes.
    """
    fresh = load(config.path)
    if differs := other_blocks(config, fresh):
        raise NeedsRestart(f"{config.path}: {', '.join(f'`{one}:`' for one in differs)} changed too, which needs a restart")
    # as the start does, which would refuse these routes
    demand_own_series_numbers(fresh)
    return fresh


class Reloading:
    """What the supervisor does when it is told or asked to reload.

    Parameters
    ----------
    adopt
        Called with a configuration that has just come into force.
    """

    def __init__(self, config: Config, in_force: InForce, adopt: Callable[[Config], None]) -> None:
        self._config = config
        self._in_force = in_force
        self._adopt = adopt
        self._told = False  # a plain name: an Event that a signal handler sets can meet its own lock

    def tell(self) -> None:
        """Reload at the next turn; safe to call from a signal handler."""
        self._told = True

    def turn(self) -> None:
        """Reload where somebody wants it; all who ask at once get one answer."""
        asking = self._in_force.asked()
        if not self._told and not asking:
            return
        told, self._told = self._told, False
        came = self.reload(by=", ".join(dict.fromkeys([*asking.values(), *([_SIGNAL] if told else [])])))
        for token in asking:
            self._in_force.answer(token, came.text())

    def reload(self, *, by: str = _SIGNAL) -> Reloaded:
        """Put the routes of the file in force, or leave those that are; `by` is who asked."""
        before = self._config.digest
        try:
            fresh = checked(self._config)
            self._in_force.take(fresh)
        except ConfigError as refused:
            code, reason, routes = refused.code, str(refused), len(self._config.routes)
            path = str(self._config.path)
            tell(ReloadRefused(by=by, path=path, code=code, reason=reason, config_digest=before))
            return Reloaded(path=path, digest=before, before=before, routes=routes, code=code, reason=reason)
        self._config = fresh
        self._adopt(fresh)
        tell(RoutesReloaded(by=by, path=str(fresh.path), config_digest=fresh.digest, before=before, routes=len(fresh.routes)))
        return Reloaded(path=str(fresh.path), digest=fresh.digest, before=before, routes=len(fresh.routes))
