"""A block of the configuration file, as the console edits it: read and checked where it stands, what would change line by line, written
whole or not at all. A value that may be secret is not shown, and stays as the file has it.
"""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from node.console.editing import BlockInFile, Checked, EditRefused, LiveBlock, Problem, Reload, Saved
from node.console.file_differences import differences
from node.domain.errors import ConfigError
from node.observe.security import ConfigSaved, tell
from node.settings.config import Config
from node.settings.kept_text import NOT_KEPT, filled, kept, without_logins
from node.settings.peers import Peer
from node.settings.rewriting import BlockPart, ChangedMeanwhile, block_part, replaced
from node.settings.source import ConfigSyntax, NotBlockAlone, read
from node.store.in_force import Loads, NoAnswer, ReloadAsked, Serving, answer_of, refuse_keys, serving

_PATIENCE_S = 30.0
_PLACE = re.compile(r":(\d+):(\d+): ")


class MayNotLast(ConfigError):
    """The configuration file was written, and the system could not promise to keep it."""

    code = "HLM-2107"
    remedy = "The disk fails, mostly: look at the system's log. Then run `hilum config reload` to put what stands in the file in force."


class PasscodeElsewhere(ConfigError):
    """Edited peers would have the node tell a passcode to somebody else than now: whoever edits could be there, and read it."""

    code = "HLM-2115"
    remedy = "Write the peer into the configuration file on the node, then run `hilum config reload`; without `login` it is edited here."


class EditedBlock:
    """What the console may do with one block of the file that `config` was read from.

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
    guard
        Held while the file is written: one for all blocks of it.
    """

    def __init__(
        self,
        config: Config,
        in_force: Path | None,
        block: LiveBlock,
        *,
        load: Loads,
        demand: Callable[[Config], None],
        waiting: Callable[[Config, Config], list[str]],
        guard: threading.Lock,
    ) -> None:
        self._load = load
        self._demand = demand
        self._waiting = waiting
        self._config = config
        self._in_force = in_force
        self._block = block
        self._guard = guard

    def shown(self) -> BlockInFile:
        """The block as it stands in the file now."""
        data = read(self._config.path)
        part = self._part(data)
        revision, problems = self._revision(part, data)
        return BlockInFile(
            block=self._block,
            path=str(self._config.path),
            text=self._open(part),
            line=part.line,
            file_digest=_digest(data),
            revision=revision,
            in_force=self._going_by(),
            obstacle=_obstacle(self._config.path),
            problems=problems,
            example=_EXAMPLES[self._block](self._config),
        )

    def checked(self, text: str) -> Checked:
        """What is wrong with `text` in the place of the block."""
        data = read(self._config.path)
        part = self._part(data)
        try:
            loaded, whole = self._loaded(part, text)
        except EditRefused as wrong:
            return Checked(file_digest=_digest(data), line=part.line, revision="", entries=0, problems=wrong.problems)
        return Checked(
            file_digest=_digest(data),
            line=part.line,
            revision=self._named(loaded, whole),
            entries=len(getattr(loaded, self._block)),
            problems=(),
            differences=differences(self._open(part), text, part.line),
        )

    def saved(self, text: str, file_digest: str, by: str, address: str = "", reason: str = "") -> Saved:
        """Write it into the file, and have the supervisors of this host take it up.

        Raises
        ------
        ConfigError
            It is no good, or the file is another one meanwhile, or cannot be written; then nothing was written.
        MayNotLast
            It stands in the file, and may be lost with the power; nobody was asked to take it up.
        NeedsRestart
            The file differs from what the node was started with in keys that wait for a restart: the reload would be refused.
        """
        path = self._config.path
        with self._guard:
            data = read(path)
            if _digest(data) != file_digest:
                raise ChangedMeanwhile(f"{path}: somebody else changed the file since it was shown here")
            part = self._part(data)
            fresh, whole = self._loaded(part, text)
            refuse_keys(self._waiting(self._config, fresh), str(path))
            beside = ""
            if whole != data:
                before = self._revision(part, data)[0]
                written = replaced(path, data, whole)
                beside = str(written.kept)
                self._tell_saved(by, address, self._block, before, self._named(fresh, whole), beside)
                if written.doubt:
                    raise MayNotLast(written.doubt)
        return self._taken_up(part.line, whole, fresh, beside, ReloadAsked(by=by, reason=reason))

    def _tell_saved(self, by: str, address: str, block: str, before: str, after: str, beside: str) -> None:
        path = str(self._config.path)
        tell(ConfigSaved(block=block, by=by, address=address, path=path, before=before, config_digest=after, kept=beside))

    def _taken_up(self, line: int, whole: bytes, fresh: Config, beside: str, asked: ReloadAsked) -> Saved:
        """What stands in the file now, and what the supervisors of this host say to it."""
        return Saved(
            path=str(self._config.path),
            line=line,
            file_digest=_digest(whole),
            revision=self._named(fresh, whole),
            kept=beside,
            reloads=tuple(_asked(one, asked) for one in serving(self._config)),
        )

    def _part(self, data: bytes) -> BlockPart:
        return block_part(data, self._config.path, self._block)

    def _open(self, part: BlockPart) -> str:
        """The block's text as it may be shown. Routes have no secrets, and are shown as they stand."""
        if self._block is LiveBlock.ROUTES or not part.text:
            return part.text
        try:
            return kept(part.text.encode(), part.path)
        except ConfigError as leaning:  # the file is YAML
            raise NotBlockAlone(f"{part.path}:{part.line}:1: `{part.key}:` uses an anchor that stands in another block") from leaning

    def _loaded(self, part: BlockPart, text: str) -> tuple[Config, bytes]:
        """The file with `text` in the block's place, what was not shown filled in: what it says, and its bytes.

        Raises
        ------
        EditRefused
            It is no good.
        """
        try:
            whole = part.replaced(text)
            if self._block is not LiveBlock.ROUTES and NOT_KEPT in text:
                same = text.splitlines() == self._open(part).splitlines()  # then logins in comments stay as well
                whole = part.replaced(part.text if same else filled(text, part.text.encode(), part.path).decode())
            loaded = self._load(part.path, text=whole)
            self._demand(loaded)
            if self._block is LiveBlock.PEERS:
                self._refuse_passcodes_elsewhere(part, loaded)
            return loaded, whole
        except ConfigError as wrong:
            raise EditRefused(_problems(wrong, part, part.last_of(text))) from wrong

    def _refuse_passcodes_elsewhere(self, part: BlockPart, fresh: Config) -> None:
        try:
            held = self._load(part.path, text=(part.before + part.text + part.behind).encode()).peers
        except ConfigError:  # what is edited mends the file
            held = self._config.peers
        told = set(map(_told_to, held.values()))
        for peer in fresh.peers.values():
            if peer.login is not None and peer.login.has_passcode and _told_to(peer) not in told:
                raise PasscodeElsewhere(f"{peer.login.place}the passcode would go to {peer.host}:{peer.port} as it goes to nobody now")

    def _named(self, loaded: Config, whole: bytes) -> str:
        """What the block of a good file is called."""
        if self._block is LiveBlock.ROUTES:
            return loaded.digest
        return hashlib.sha256(self._open(self._part(whole)).strip().encode()).hexdigest()

    def _revision(self, part: BlockPart, data: bytes) -> tuple[str, tuple[Problem, ...]]:
        """What the block of the file is called, or what is wrong with the file."""
        try:
            return self._named(self._load(part.path, text=data), data), ()
        except ConfigError as wrong:
            return "", _problems(wrong, part, part.last)

    def _going_by(self) -> str:
        """What the block in force is called."""
        try:
            text = self._config.text if self._in_force is None else self._in_force.read_bytes()
            return self._named(self._load(self._config.path, text=text), text)
        except (OSError, ConfigError):
            return self._config.digest if self._block is LiveBlock.ROUTES else ""


def _told_to(peer: Peer) -> tuple[object, ...]:
    """Whom the node tells which passcode, and how it is known."""
    login = peer.login
    return (peer.host, peer.port, peer.tls, *(() if login is None else (login.passcode_file, login.passcode_variable)))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _problems(wrong: ConfigError, part: BlockPart, last: int) -> tuple[Problem, ...]:
    return tuple(_problem(one, part, last) for one in getattr(wrong, "problems", (wrong,)))


def _problem(one: ConfigError, part: BlockPart, last: int) -> Problem:
    """A mistake at its line. Outside the block it is not quoted: passwords and addresses stand there."""
    said = str(one).removeprefix(str(part.path))
    place = _PLACE.match(said)
    line, column = (int(place[1]), int(place[2])) if place else (part.line, 1)
    syntax = isinstance(one, ConfigSyntax)  # the file as it stands is YAML: what broke it stands in the block, wherever it was noticed
    outside = not syntax and not part.line <= line <= last
    line = max(part.line, min(line, last)) if syntax else line
    words = without_logins(said[place.end() :] if place else said)  # which a mistake may quote
    return Problem(line=line, column=column, code=one.code, words="" if outside else words, remedy=one.remedy, outside=outside)


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


def _route(config: Config) -> str:
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


def _peer(_config: Config) -> str:
    """A modality that only sends."""
    return """\
  # the name that routes and pages call it by
  new-scanner:
    ae_title: SCANNER
    address: "10.0.0.21:0"    # the port at which it is called; 0: it only calls
    may: [store, echo]
    # settle: {scope: study, quiet: 20s}    # complete when nothing new came for so long
"""


def _sink(config: Config) -> str:
    """An archive among the file's peers."""
    return f"""\
  # the name that routes send to
  new-archive:
    kind: dimse
    peer: {next(iter(config.peers), "NAME")}
"""


_EXAMPLES: Mapping[LiveBlock, Callable[[Config], str]] = {LiveBlock.ROUTES: _route, LiveBlock.PEERS: _peer, LiveBlock.SINKS: _sink}
