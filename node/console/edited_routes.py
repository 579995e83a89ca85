"""The routes of the configuration file, as the console edits them: as any block, and tried out before; and all of the file, where a
revision comes back.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from node.console.edited_block import EditedBlock, MayNotLast
from node.console.editing import LiveBlock, Progress, Saved
from node.console.trials import Trials
from node.domain.config_revision import ConfigRevision
from node.domain.errors import ConfigError
from node.domain.route import conditions_in
from node.settings.config import Config
from node.settings.kept_text import compared
from node.settings.source import read
from node.store.in_force import ComingBack, Loads, ReloadAsked, coming_back, refuse_keys, serving


class EditedRoutes(EditedBlock):
    """What the console may do with the routes of the file that `config` was read from, and with the file as a whole.

    Parameters
    ----------
    trials
        What tries routes out.
    """

    def __init__(
        self,
        config: Config,
        in_force: Path | None,
        trials: Trials,
        *,
        load: Loads,
        demand: Callable[[Config], None],
        waiting: Callable[[Config, Config], list[str]],
    ) -> None:
        guard = threading.Lock()

        def edited(block: LiveBlock) -> EditedBlock:
            return EditedBlock(config, in_force, block, load=load, demand=demand, waiting=waiting, guard=guard)

        super().__init__(config, in_force, LiveBlock.ROUTES, load=load, demand=demand, waiting=waiting, guard=guard)
        self._trials = trials
        self._others = {block: edited(block) for block in LiveBlock if block is not LiveBlock.ROUTES}

    def of(self, block: LiveBlock) -> EditedBlock:
        """A block of the same file."""
        return self if block is LiveBlock.ROUTES else self._others[block]

    def asks_of(self, text: str) -> frozenset[str]:
        """The DICOM keywords that these routes ask for."""
        routes = self._loaded(self._part(read(self._config.path)), text)[0].routes
        return frozenset(keyword for one in routes for condition in conditions_in(one.asked) for keyword in condition.reads)

    def explained(self, text: str, study: str) -> dict[str, Any]:
        """What they would decide about a study that was received."""
        return self._trials.explained(self._loaded(self._part(read(self._config.path)), text)[1], study)

    def replay(self, text: str, since: datetime, by: str) -> Progress:
        """Begin to replay them."""
        loaded, whole = self._loaded(self._part(read(self._config.path)), text)
        return self._trials.replay(whole, loaded.digest, since, by)

    def progress(self, number: int) -> Progress | None:
        """How far it is."""
        return self._trials.progress(number)

    def stop(self, number: int) -> None:
        """End a replay."""
        self._trials.stop(number)

    def file_and(self, one: ConfigRevision) -> tuple[str, str]:
        """The text of a revision and that of the file now."""
        path = self._config.path
        return compared(one.text, read(path), path)

    def replay_back(self, one: ConfigRevision, since: datetime, by: str) -> Progress:
        """Begin to replay a revision's routes."""
        back = self._back(one)
        return self._trials.replay(back.whole, back.config.digest, since, by)

    def rolled_back(self, one: ConfigRevision, by: str, address: str, reason: str) -> Saved:
        """Write a revision into the file, and have the supervisors of this host take it up.

        Raises
        ------
        RevisionUnusable, ValueNotKept, NeedsRestart, ChangedMeanwhile, CannotWrite
            It cannot come back; then nothing was written.
        MayNotLast
            It stands in the file, and may be lost with the power; nobody was asked to take it up.
        """
        with self._guard:
            back = self._back(one)
            refuse_keys(self._waiting(self._config, back.config), f"from what the node was started with to revision {one.number}")
            written, beside = back.write(), ""
            if written is not None:
                beside = str(written.kept)
                self._tell_saved(by, address, "file", self._called(back.before), back.config.digest, beside)
                if written.doubt:
                    raise MayNotLast(written.doubt)
        line = self._part(back.whole).line
        return self._taken_up(line, back.whole, back.config, beside, ReloadAsked(by=by, reason=reason))

    def _called(self, data: bytes) -> str:
        """The digest of the routes of a file; empty where it is no good."""
        try:
            return self._load(self._config.path, text=data).digest
        except ConfigError:
            return ""

    def _back(self, one: ConfigRevision) -> ComingBack:
        return coming_back(self._config.path, one, self._load, self._demand, serving(self._config))
