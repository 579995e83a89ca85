"""The routes of the configuration file, as the console edits them: read and checked where they stand, what would change line by line,
written whole or not at all.
"""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from node.console.editing import Checked, DiffLine, EditedRoutesRefused, Problem, Progress, Reload, RoutesInFile, Saved, Sign
from node.console.trials import Trials
from node.domain.config_revision import ConfigRevision
from node.domain.errors import ConfigError
from node.domain.route import conditions_in
from node.observe.security import RoutesSaved, tell
from node.settings.config import Config
from node.settings.kept_text import compared
from node.settings.rewriting import ChangedMeanwhile, RoutesPart, replaced, routes_part
from node.settings.source import ConfigSyntax, read
from node.store.in_force import (
    ComingBack,
    Loads,
    NoAnswer,
    ReloadAsked,
    Serving,
    answer_of,
    coming_back,
    refuse_keys,
    serving,
)

_AROUND = 3
_MOST = 4_000
"""Lines on one side of which a difference is looked for: of more, which no route has, all are taken out and put in."""


def differences(before: str, after: str, first: int) -> tuple[tuple[DiffLine, ...], ...]:
    """The places in which `after` differs from `before`, a block whose first line is number `first` of its file."""
    old, new = _lines(before), _lines(after)
    if old == new:
        return ()
    if max(len(old), len(new)) > _MOST:
        return ((*_taken(old, first), *_added(new, first)),)
    groups = SequenceMatcher(None, old, new).get_grouped_opcodes(_AROUND)
    return tuple(tuple(line for step in group for line in _of(step, old, new, first)) for group in groups)


def _of(step: tuple[str, int, int, int, int], old: list[str], new: list[str], first: int) -> Iterator[DiffLine]:
    kind, i, i_end, j, j_end = step
    if kind == "equal":
        yield from (DiffLine(sign=Sign.KEPT, line=first + at, text=new[at]) for at in range(j, j_end))
    else:
        yield from _taken(old[i:i_end], first + i)
        yield from _added(new[j:j_end], first + j)


def _taken(lines: list[str], first: int) -> Iterator[DiffLine]:
    return (DiffLine(sign=Sign.TAKEN, line=at, text=text) for at, text in enumerate(lines, first))


def _added(lines: list[str], first: int) -> Iterator[DiffLine]:
    return (DiffLine(sign=Sign.ADDED, line=at, text=text) for at, text in enumerate(lines, first))


def _lines(text: str) -> list[str]:
    """Without regard to how lines end, and to blank ones at the end: browsers and files have their own ways."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    return plain.split("\n") if plain else []


_PATIENCE_S = 30.0
_PLACE = re.compile(r":(\d+):(\d+): ")


class MayNotLast(ConfigError):
    """The configuration file was written, and the system could not promise to keep it."""

    code = "HLM-2107"
    remedy = "The disk fails, mostly: look at the system's log. Then run `hilum config reload` to put what stands in the file in force."


class EditedRoutes:
    """What the console may do with the file that `config` was read from.

    Parameters
    ----------
    in_force
        Where the configuration in force lies; None: no supervisor runs, and what was read holds.
    load
        How this hilum reads it.
    demand
        Refuses what the start of a node refuses of a file that can be read.
    waiting
        The keys that wait for a restart and differ in two configurations.
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
        self._load = load
        self._demand = demand
        self._waiting = waiting
        self._config = config
        self._in_force = in_force
        self._trials = trials
        self._guard = threading.Lock()

    def shown(self) -> RoutesInFile:
        """The block as it stands in the file now."""
        data = read(self._config.path)
        part = routes_part(data, self._config.path)
        revision, problems = self._revision(part, data)
        return RoutesInFile(
            path=str(self._config.path),
            text=part.text,
            line=part.line,
            file_digest=_digest(data),
            revision=revision,
            in_force=self._going_by(),
            obstacle=_obstacle(self._config.path),
            problems=problems,
            example=_example(self._config),
        )

    def checked(self, text: str) -> Checked:
        """What is wrong with `text` in the place of the block."""
        data = read(self._config.path)
        part = routes_part(data, self._config.path)
        try:
            loaded, _ = self._loaded(part, text)
        except EditedRoutesRefused as wrong:
            return Checked(file_digest=_digest(data), line=part.line, revision="", routes=0, problems=wrong.problems)
        return Checked(
            file_digest=_digest(data),
            line=part.line,
            revision=loaded.digest,
            routes=len(loaded.routes),
            problems=(),
            differences=differences(part.text, text, part.line),
        )

    def asks_of(self, text: str) -> frozenset[str]:
        """The DICOM keywords that these routes ask for."""
        routes = self._loaded(self._part(), text)[0].routes
        return frozenset(keyword for one in routes for condition in conditions_in(one.asked) for keyword in condition.reads)

    def explained(self, text: str, study: str) -> dict[str, Any]:
        """What they would decide about a study that was received."""
        return self._trials.explained(self._loaded(self._part(), text)[1], study)

    def replay(self, text: str, since: datetime, by: str) -> Progress:
        """Begin to replay them."""
        loaded, whole = self._loaded(self._part(), text)
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
            written, kept = back.write(), ""
            if written is not None:
                self._tell_saved(by, address, self._called(back.before), back.config, kept := str(written.kept))
                if written.doubt:
                    raise MayNotLast(written.doubt)
        line = routes_part(back.whole, self._config.path).line
        return self._taken_up(line, back.whole, back.config, kept, ReloadAsked(by=by, reason=reason))

    def _called(self, data: bytes) -> str:
        """The digest of the routes of a file; empty where it is no good."""
        try:
            return self._load(self._config.path, text=data).digest
        except ConfigError:
            return ""

    def _back(self, one: ConfigRevision) -> ComingBack:
        return coming_back(self._config.path, one, self._load, self._demand, serving(self._config))

    def saved(self, text: str, file_digest: str, by: str, address: str = "", reason: str = "") -> Saved:
        """Write them into the file, and have the supervisors of this host take them up.

        Raises
        ------
        ConfigError
            They are no good, or the file is another one meanwhile, or cannot be written; then nothing was written.
        MayNotLast
            They stand in the file, and may be lost with the power; nobody was asked to take them up.
        NeedsRestart
            The file differs from what the node was started with in keys that wait for a restart: the reload would be refused.
        """
        path = self._config.path
        with self._guard:
            data = read(path)
            if _digest(data) != file_digest:
                raise ChangedMeanwhile(f"{path}: somebody else changed the file since it was shown here")
            part = routes_part(data, path)
            fresh, whole = self._loaded(part, text)
            refuse_keys(self._waiting(self._config, fresh), str(path))
            kept = ""
            if whole != data:
                before = self._revision(part, data)[0]
                written = replaced(path, data, whole)
                kept = str(written.kept)
                self._tell_saved(by, address, before, fresh, kept)
                if written.doubt:
                    raise MayNotLast(written.doubt)
        return self._taken_up(part.line, whole, fresh, kept, ReloadAsked(by=by, reason=reason))

    def _tell_saved(self, by: str, address: str, before: str, fresh: Config, kept: str) -> None:
        path = str(self._config.path)
        tell(RoutesSaved(by=by, address=address, path=path, before=before, config_digest=fresh.digest, kept=kept))

    def _taken_up(self, line: int, whole: bytes, fresh: Config, kept: str, asked: ReloadAsked) -> Saved:
        """What stands in the file now, and what the supervisors of this host say to it."""
        return Saved(
            path=str(self._config.path),
            line=line,
            file_digest=_digest(whole),
            revision=fresh.digest,
            kept=kept,
            reloads=tuple(_asked(one, asked) for one in serving(self._config)),
        )

    def _part(self) -> RoutesPart:
        return routes_part(read(self._config.path), self._config.path)

    def _loaded(self, part: RoutesPart, text: str) -> tuple[Config, bytes]:
        """The file with `text` in the block's place: what it says, and its bytes.

        Raises
        ------
        EditedRoutesRefused
            It is no good.
        """
        try:
            whole = part.replaced(text)
            loaded = self._load(part.path, text=whole)
            self._demand(loaded)
            return loaded, whole
        except ConfigError as wrong:
            raise EditedRoutesRefused(_problems(wrong, part, part.last_of(text))) from wrong

    def _revision(self, part: RoutesPart, data: bytes) -> tuple[str, tuple[Problem, ...]]:
        """What the routes of the file are called, or what is wrong with it."""
        try:
            return self._load(part.path, text=data).digest, ()
        except ConfigError as wrong:
            return "", _problems(wrong, part, part.last)

    def _going_by(self) -> str:
        """The digest of the routes in force."""
        if self._in_force is None:
            return self._config.digest
        try:
            return self._load(self._config.path, text=self._in_force.read_bytes()).digest
        except (OSError, ConfigError):
            return self._config.digest


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _problems(wrong: ConfigError, part: RoutesPart, last: int) -> tuple[Problem, ...]:
    return tuple(_problem(one, part, last) for one in getattr(wrong, "problems", (wrong,)))


def _problem(one: ConfigError, part: RoutesPart, last: int) -> Problem:
    """A mistake at its line. Outside the block it is not quoted: passwords and addresses stand there."""
    said = str(one).removeprefix(str(part.path))
    place = _PLACE.match(said)
    line, column = (int(place[1]), int(place[2])) if place else (part.line, 1)
    syntax = isinstance(one, ConfigSyntax)  # the file as it stands is YAML: what broke it stands in the block, wherever it was noticed
    outside = not syntax and not part.line <= line <= last
    line = max(part.line, min(line, last)) if syntax else line
    words = said[place.end() :] if place else said
    return Problem(line=line, column=column, code=one.code, words="" if outside else words, remedy=one.remedy, outside=outside)


def _example(config: Config) -> str:
    """A route of names that the file has, so that what is put into it is good as it stands; of what it has none, NAME."""
    run = next(iter(config.applications), None) or next((each for one in config.routes for each in one.run), "NAME")
    return f"""\
  - name: new route
    # from: [{", ".join(config.peers) or "NAME"}]    # of these senders; without it, of all
    when:    # all must hold; keys are DICOM keywords
      Modality: CT
      ImageType: {{not: LOCALIZER}}
      # BodyPartExamined: {{in: [CHEST, THORAX]}}
      # SliceThickness: {{max: 5}}
      # SeriesDescription: {{matches: "(?i)portal|venous"}}
    run: [{run}]
    priority: routine    # urgent | routine | offpeak
    send: [{next(iter(config.sinks), "NAME")}]
"""


def _obstacle(path: Path) -> str:
    target = path.resolve()
    if not os.access(target.parent, os.W_OK):
        return f"the node's user may not write into {target.parent}"
    return f"{target} is a mount of its own, which cannot be replaced" if os.path.ismount(target) else ""


def _asked(supervisor: Serving, asked: ReloadAsked) -> Reload:
    """What a supervisor says to the reload."""
    try:
        one = answer_of(supervisor, supervisor.ask(asked), _PATIENCE_S)
    except NoAnswer as silent:
        return Reload(pid=supervisor.pid, digest="", before="", code=silent.code, reason=str(silent))
    except OSError as gone:
        return Reload(pid=supervisor.pid, digest="", before="", code=NoAnswer.code, reason=f"the node could not be asked: {gone.strerror}")
    return Reload(pid=supervisor.pid, digest=one.digest, before=one.before, code=one.code, reason=one.reason)
