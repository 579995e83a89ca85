"""The configuration in force: what a supervisor was started with, or accepted since, as its processes read it; and what a supervisor
answers to whoever asks it for a reload.

It lies in a folder of the supervisor's own, not where the operator edits: a process that dies and is started again finds what the others go
by, whatever the file says by then.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from inference.errors import HilumError
from node.domain.config_revision import ConfigRevision
from node.domain.errors import ConfigError
from node.domain.stage import Stage
from node.observe.events import alarm, event
from node.settings.config import Config
from node.settings.kept_text import filled
from node.settings.rewriting import Written, replaced
from node.settings.source import read
from node.store.hosts import make_run_folder, run_folder

_READ_AGAIN_S = 1.0
_SUPERVISOR = "supervisor."
_LOCK = "lock"
_TEXT = "hilum.yaml"
_ASKED = "asked."
_ANSWER = "answer."
_LONGEST_NAME = 100
_LONGEST_REASON = 500


class NotKept(ConfigError):
    """The folder beside the blobs did not take the configuration that is to be in force."""

    code = "HLM-2101"
    remedy = "Look at the disk and at whose that folder is (`hilum doctor`), then reload again; what was in force still is."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadAsked:
    """Who wants the file taken up, and why, in their words."""

    by: str
    reason: str = ""

    def text(self) -> bytes:
        """For the supervisor."""
        return json.dumps({"by": self.by, "reason": self.reason}).encode()

    @classmethod
    def of(cls, text: bytes) -> "ReloadAsked":
        """What `text` said."""
        said = json.loads(text)
        return cls(by=_short(said["by"], _LONGEST_NAME), reason=_short(said["reason"], _LONGEST_REASON))


class InForce:
    """What the supervisor keeps: the accepted text, and what others ask of it. The folder is locked as long as this lives."""

    def __init__(self, config: Config) -> None:
        _sweep(config)
        name = f"{_SUPERVISOR}{os.getpid()}.{secrets.token_hex(3)}"
        made = make_run_folder(config) / f".{name}"
        made.mkdir(mode=0o700)
        self._lock = (made / _LOCK).open("w", encoding="ascii")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # under its name once it is locked: nobody takes it for a dead supervisor's
        self._folder = made.rename(made.with_name(name))
        self.take(config)

    @property
    def path(self) -> Path:
        """Where processes read it."""
        return self._folder / _TEXT

    def provided(self) -> Path:
        """The same for a process that begins now; put there again where somebody tidied it away."""
        if not self.path.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _put(self.path, self._text)
        return self.path

    def take(self, config: Config) -> None:
        """Put this configuration in force: whole, or after a crash in between not at all.

        Raises
        ------
        NotKept
            The disk did not take it.
        """
        try:
            _put(self.path, config.text)
        except OSError as failed:
            raise NotKept(f"{self._folder}: {failed.strerror}") from failed
        self._text = config.text

    def asked(self) -> dict[str, ReloadAsked]:
        """Who asks for a reload, by the tokens of their answers; each once."""
        asking = {}
        for one in sorted(self._folder.glob(f"{_ASKED}*")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # half of one, of a disk that was full
                said = one.read_bytes()
                one.unlink()
                asking[one.name.removeprefix(_ASKED)] = ReloadAsked.of(said)
        return asking

    def answer(self, token: str, said: str) -> None:
        """Tell who asked what came of it; on a full disk the events alone do."""
        with contextlib.suppress(OSError):
            _put(self._folder / f"{_ANSWER}{token}", said.encode())

    def close(self) -> None:
        """The node ends."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


class Serving:
    """A supervisor that serves now, as whoever asks it for a reload sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pid = int(folder.name.split(".")[1])

    def ask(self, asked: ReloadAsked) -> str:
        """Ask for a reload; the token of the answer."""
        token = secrets.token_hex(6)
        _put(self._folder / f"{_ASKED}{token}", asked.text())
        return token

    def answered(self, token: str) -> str | None:
        """What came of it; None: not yet."""
        path = self._folder / f"{_ANSWER}{token}"
        try:
            said = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return said

    def text(self) -> bytes:
        """The configuration that it has in force."""
        return (self._folder / _TEXT).read_bytes()

    @property
    def serves(self) -> bool:
        """Whether it still does."""
        return _locked(self._folder)


def serving(config: Config) -> list[Serving]:
    """The supervisors of this host that serve the store now."""
    return [Serving(folder) for folder in _folders(config) if _locked(folder)]


class Adopts(Protocol):
    """What goes by the configuration; `adopt` is called between its steps, in the thread that steps it."""

    def adopt(self, config: Config) -> None: ...


class Loads(Protocol):
    """What decodes the text of a configuration file."""

    def __call__(self, path: Path, *, text: bytes) -> Config: ...


class Present:
    """The configuration that a process goes by now, for what asks at each use. Adopted by one thread, read by many."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def adopt(self, config: Config) -> None:
        """Go by this one."""
        self.config = config


class ConfigInForce:
    """Has those of a process that go by the configuration adopt the one in force as soon as there is another.

    Parameters
    ----------
    path
        Where the configuration in force lies; None: there is nobody who would change it.
    load
        How this hilum reads it.
    seconds
        A clock that only goes forward.
    """

    def __init__(
        self,
        config: Config,
        path: Path | None,
        those: Sequence[Adopts],
        *,
        load: Loads,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._path = path
        self._those = those
        self._load = load
        self._seconds = seconds
        self._seen: tuple[int, ...] = ()
        self._again_at: float | None = None

    def look(self) -> None:
        """Adopt another one, if there is one; what could not be read is tried again."""
        if self._path is None or (self._again_at is not None and self._seconds() < self._again_at):
            return
        seen = _mark(self._path)
        if seen == self._seen:
            return
        try:
            text = self._path.read_bytes()
            config = self._config if text == self._config.text else self._load(self._config.path, text=text)
        except (OSError, HilumError) as unread:
            # it was checked before it lay there; the configuration that is known goes on
            if self._again_at is None:
                alarm("config.not_adopted", config_digest=self._config.digest, reason=str(unread))
            self._again_at = self._seconds() + _READ_AGAIN_S
            return
        self._seen, self._again_at = seen, None
        if config is self._config:
            return
        for one in self._those:
            one.adopt(config)
        event("config.adopted", config_digest=config.digest, before=self._config.digest)
        self._config = config


class AdoptingStage:
    """A stage before each of whose steps its process adopts the configuration in force: what another process has done by a newer one is
    never gone on with by an older one."""

    def __init__(self, stage: Stage, followed: ConfigInForce) -> None:
        self.name = stage.name
        self._stage = stage
        self._followed = followed

    def step(self) -> int:
        """Look, then step the stage."""
        self._followed.look()
        return self._stage.step()


class RebuiltStage:
    """A stage that is made anew at its next step when its process goes by another configuration; for stages that remember nothing, on a
    clock of their own."""

    def __init__(self, present: Present, build: Callable[[Config], Stage]) -> None:
        self._present = present
        self._build = build
        self._built_by = present.config
        self._stage = build(self._built_by)
        self.name = self._stage.name

    def step(self) -> int:
        """Step the stage of the configuration of now."""
        if (config := self._present.config) is not self._built_by:
            self._stage, self._built_by = self._build(config), config
        return self._stage.step()


def _short(words: str, most: int) -> str:
    return words[:most]


def _mark(path: Path) -> tuple[int, ...]:
    """What changes when the file is replaced, or goes."""
    try:
        found = path.stat()
    except OSError as gone:
        return (gone.errno or 0,)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _put(path: Path, content: bytes) -> None:
    """Whole under its name, or not there."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(3)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    made.rename(path)


def _folders(config: Config) -> Iterator[Path]:
    yield from sorted(run_folder(config).glob(f"{_SUPERVISOR}*"))


def _locked(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _sweep(config: Config) -> None:
    """Forget supervisors that are dead."""
    for folder in _folders(config):
        if not _locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


class NeedsRestart(ConfigError):
    """The file differs from what the node was started with in keys that wait for a restart."""

    code = "HLM-2100"
    remedy = (
        "Restart `hilum serve` to put all of the file in force, or take back what it names and reload again; for a rollback stop it, roll "
        "back, and start it."
    )


def refuse_keys(waiting: Sequence[str], where: str) -> None:
    """Refuse what would change keys that wait for a restart.

    Raises
    ------
    NeedsRestart
        There are any in `waiting`.
    """
    if waiting:
        names = ", ".join(f"`{one}`" for one in waiting)
        raise NeedsRestart(f"{where}: {names} changed, which needs a restart; nothing was taken up")


class RevisionUnusable(ConfigError):
    """A configuration that was in force once would be refused now: an application, a file or a key of it is gone."""

    code = "HLM-2109"
    remedy = "Put back what the sentence names, or take over by hand what you want of it (`hilum config diff`). Nothing was changed."


class NoAnswer(ConfigError):
    """A running node was asked something, and did not answer in time."""

    code = "HLM-2067"
    remedy = "Look at its events, and ask again; `hilum health` says whether it still turns."


_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What came of a reload. `digest` names what is in force now, `before` that until then; `changed` are the
    blocks that differ; `code` and `reason` say why it was
    refused, and are empty otherwise."""

    path: str
    digest: str
    before: str
    routes: int
    changed: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""

    def text(self) -> str:
        """For whoever asked, in another process."""
        return json.dumps({field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def of(cls, text: str) -> "Reloaded":
        """What `text` said."""
        said: dict[str, Any] = json.loads(text)
        return cls(**{**said, "changed": tuple(said["changed"])})


def answer_of(supervisor: Serving, token: str, patience_s: float) -> Reloaded:
    """What a supervisor says to a reload that it was asked for; it looks a few times a second.

    Raises
    ------
    NoAnswer
        It ended before, or takes too long.
    """
    until = time.monotonic() + patience_s
    while (said := supervisor.answered(token)) is None:
        if not supervisor.serves:
            raise NoAnswer(f"the node (process {supervisor.pid}) ended before it answered")
        if time.monotonic() > until:
            raise NoAnswer(f"the node (process {supervisor.pid}) did not answer within {patience_s:.0f} s")
        time.sleep(_LOOK_EVERY_S)
    return Reloaded.of(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComingBack:
    """A revision that may come back: what the file holds now, and what it would hold and say."""

    before: bytes
    whole: bytes
    config: Config

    def write(self) -> Written | None:
        """Put it into the file, if that is still what it was; None where it holds that already."""
        return None if self.whole == self.before else replaced(self.config.path, self.before, self.whole)


def coming_back(
    path: Path, revision: ConfigRevision, load: Loads, demand: Callable[[Config], None], nodes: Sequence[Serving] = ()
) -> ComingBack:
    """What the file at `path` would hold with a revision in it, checked as a start checks it. The file may be broken: values that were not
    kept come from what `nodes` have in force then.

    Raises
    ------
    RevisionUnusable, ValueNotKept
        It cannot come back.
    """
    before = read(path)
    whole = filled(revision.text, before, path, [one.text() for one in nodes])
    try:
        config = load(path, text=whole)
        demand(config)
    except ConfigError as refused:
        raise RevisionUnusable(f"revision {revision.number} cannot come back: {refused} [{refused.code}]") from refused
    return ComingBack(before=before, whole=whole, config=config)
