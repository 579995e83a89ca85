"""The routes of the configuration file, as the console edits them: read and checked where they stand, written whole or not at all."""

import contextlib
import hashlib
import os
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from node.assembly.compose import demand_own_series_numbers
from node.assembly.configuration import load
from node.assembly.reload import NeedsRestart, NoAnswer, answer_of, other_blocks
from node.assembly.trials import Trials
from node.console.editing import Checked, EditedRoutesRefused, Problem, Progress, Reload, RoutesInFile, Saved
from node.domain.errors import ConfigError
from node.observe.security import RoutesSaved, tell
from node.settings.config import Config
from node.settings.errors import ConfigSyntax
from node.settings.routes_part import RoutesPart, routes_part
from node.settings.source import read
from node.store.in_force import Serving, serving

_PATIENCE_S = 30.0
_PLACE = re.compile(r":(\d+):(\d+): ")
_KEPT = ".before"


class ChangedMeanwhile(ConfigError):
    """The configuration file is not the one any more that was edited."""

    code = "HLM-2104"
    remedy = "Copy your edit, load the page again, and make it in the file as it is now."


class CannotWrite(ConfigError):
    """The console may not, or cannot, write the configuration file."""

    code = "HLM-2105"
    remedy = "Put the text into the file on the node and run `hilum routes reload`; or let the node's user write the file's folder."


class MayNotLast(ConfigError):
    """The configuration file was written, and the system could not promise to keep it."""

    code = "HLM-2107"
    remedy = "The disk fails, mostly: look at the system's log. Then run `hilum routes reload` to put what stands in the file in force."


class EditedRoutes:
    """What the console may do with the file that `config` was read from.

    Parameters
    ----------
    in_force
        Where the configuration in force lies; None: no supervisor runs, and what was read holds.
    """

    def __init__(self, config: Config, in_force: Path | None, trials: Trials) -> None:
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
        )

    def checked(self, text: str) -> Checked:
        """What is wrong with `text` in the place of the block."""
        part = self._part()
        try:
            loaded, _ = self._loaded(part, text)
        except EditedRoutesRefused as wrong:
            return Checked(line=part.line, revision="", routes=0, problems=wrong.problems)
        return Checked(line=part.line, revision=loaded.digest, routes=len(loaded.routes), problems=())

    def asks_of(self, text: str) -> frozenset[str]:
        """The DICOM keywords that these routes ask for."""
        routes = self._loaded(self._part(), text)[0].routes
        asked = [(*one.when, *one.any_series, *one.all_series) for one in routes]
        needed = [each.when for one in routes if one.needs is not None for each in one.needs.series]
        return frozenset(condition.keyword for conditions in (*asked, *needed) for condition in conditions)

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

    def saved(self, text: str, file_digest: str, by: str, address: str = "") -> Saved:
        """Write them into the file, and have the supervisors of this host take them up.

        Raises
        ------
        ConfigError
            They are no good, or the file is another one meanwhile, or cannot be written; then nothing was written.
        MayNotLast
            They stand in the file, and may be lost with the power; nobody was asked to take them up.
        NeedsRestart
            The file says something else than the node was started with that is not about routes: the reload would be refused.
        """
        path = self._config.path
        with self._guard:
            data = read(path)
            if _digest(data) != file_digest:
                raise ChangedMeanwhile(f"{path}: somebody else changed the file since it was shown here")
            part = routes_part(data, path)
            fresh, whole = self._loaded(part, text)
            if differs := other_blocks(self._config, fresh):
                raise NeedsRestart(f"{path}: {', '.join(f'`{one}:`' for one in differs)} differ from what the node was started with")
            kept = ""
            if whole != data:
                before = self._revision(part, data)[0]
                written = replaced(path, data, whole)
                kept = str(written.kept)
                tell(RoutesSaved(by=by, address=address, path=str(path), before=before, config_digest=fresh.digest, kept=kept))
                if written.doubt:
                    raise MayNotLast(written.doubt)
        return Saved(
            path=str(path),
            line=part.line,
            file_digest=_digest(whole),
            revision=fresh.digest,
            kept=kept,
            reloads=tuple(_asked(one, by) for one in serving(self._config)),
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
            loaded = load(part.path, text=whole)
            demand_own_series_numbers(loaded)
            return loaded, whole
        except ConfigError as wrong:
            raise EditedRoutesRefused(_problems(wrong, part, part.last_of(text))) from wrong

    def _revision(self, part: RoutesPart, data: bytes) -> tuple[str, tuple[Problem, ...]]:
        """What the routes of the file are called, or what is wrong with it."""
        try:
            return load(part.path, text=data).digest, ()
        except ConfigError as wrong:
            return "", _problems(wrong, part, part.last)

    def _going_by(self) -> str:
        """The digest of the routes in force."""
        if self._in_force is None:
            return self._config.digest
        try:
            return load(self._config.path, text=self._in_force.read_bytes()).digest
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


def _obstacle(path: Path) -> str:
    target = path.resolve()
    if not os.access(target.parent, os.W_OK):
        return f"the node's user may not write into {target.parent}"
    return f"{target} is a mount of its own, which cannot be replaced" if os.path.ismount(target) else ""


def _asked(supervisor: Serving, by: str) -> Reload:
    """What a supervisor says to the reload."""
    try:
        one = answer_of(supervisor, supervisor.ask(by), _PATIENCE_S)
    except NoAnswer as silent:
        return Reload(pid=supervisor.pid, digest="", before="", code=silent.code, reason=str(silent))
    except OSError as gone:
        return Reload(pid=supervisor.pid, digest="", before="", code=NoAnswer.code, reason=f"the node could not be asked: {gone.strerror}")
    return Reload(pid=supervisor.pid, digest=one.digest, before=one.before, code=one.code, reason=one.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that was replaced; `kept` is where the one before lies. `doubt` says why it may not outlive a loss of power; mostly empty."""

    kept: Path
    doubt: str


def replaced(path: Path, data: bytes, whole: bytes) -> Written:
    """Put `whole` in the place of the file that holds `data`; a crash leaves one or the other.

    Raises
    ------
    CannotWrite
        The system refuses. The file is as it was.
    ChangedMeanwhile
        It holds something else than `data` by now. It stays so.
    """
    target = path.resolve()  # a link stays a link
    kept = target.with_name(f"{target.name}{_KEPT}")
    with contextlib.ExitStack() as made:
        try:
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
            made.callback(os.close, folder)
            found = target.stat()
            before, after = _beside(kept, data, found, made), _beside(target, whole, found, made)
            if target.read_bytes() != data:  # loading what was edited may have taken seconds
                raise ChangedMeanwhile(f"{path}: somebody else changed the file while the routes were checked")
            before.rename(kept)
            after.rename(target)
        except OSError as refused:
            raise CannotWrite(f"{target}: {refused.strerror}; the file is as it was") from refused
        try:
            os.fsync(folder)
        except OSError as refused:
            return Written(
                kept=kept, doubt=f"{target}: the routes stand in it, but the system could not flush its folder: {refused.strerror}"
            )
    return Written(kept=kept, doubt="")


def _beside(path: Path, content: bytes, like: os.stat_result, made: contextlib.ExitStack) -> Path:
    """A file beside `path`, on disk, with the rights of `like` as far as they may be given; gone with `made`, unless it is renamed."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(3)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    made.callback(_gone, fresh)
    with open(descriptor, "wb") as file:
        file.write(content)
        with contextlib.suppress(PermissionError):  # a group that the node's user is not of
            os.fchown(descriptor, -1, like.st_gid)
        with contextlib.suppress(PermissionError):  # only root gives files away
            os.fchown(descriptor, like.st_uid, -1)
        os.fchmod(descriptor, like.st_mode & 0o777)
        file.flush()
        os.fsync(descriptor)
    return fresh


def _gone(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
