"""A backup of a running node, in an order that makes it whole: the spool, then the journal, then the bytes that its rows name.

An instance leaves the spool only after its row is committed: what was acknowledged before the backup began is in the copy of the spool
or has its row in the copy of the journal. Bytes that retention deletes meanwhile are named in the manifest, which is written last.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from node.backup.journal_copy import Copied, copy_journal
from node.backup.manifest import BLOBS, CONFIG, MANIFEST, MARKS, ROUTE_CASES, SPOOL, BackedUpFile, Manifest, NoBackup, checksum, read
from node.backup.models import ModelFolders, route_cases
from node.blobs.encryption.encrypted_file import DecryptionFailed, key_id_of
from node.blobs.folder import ASIDE, COMMITMENT, INBOX, RECEIVING
from node.journal.journal import Journal
from node.settings.config import Config
from node.spool.entries import ACKNOWLEDGED, acknowledged
from node.spool.inbox import recover

PARTIAL = ".part"
SPOOLED = (INBOX, COMMITMENT, ASIDE)
_MARKS = "marks"
_ROUNDS = 3
_ON_ITS_WAY_S = 15.0
_LOOK_AGAIN_S = 0.2


@dataclass(slots=True)
class MadeBackup:
    """A backup that was made. `linked` files share their bytes with the store or an earlier backup; `same_disk`: with the store. `sealed`:
    the ids of the keys that files of it are encrypted with."""

    folder: Path
    files: int = 0
    models: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    linked: int = 0
    bytes_copied: int = 0
    same_disk: bool = False
    sealed: tuple[str, ...] = ()
    left_out: list[str] = field(default_factory=list)


def backups(target: Path) -> list[Path]:
    """The whole backups in a folder, the oldest first."""
    return sorted(path.parent for path in target.glob(f"*/{MANIFEST}") if not path.parent.name.endswith(PARTIAL))


def back_up(config: Config, target: Path, open_journal: Callable[[], Journal], agree: Callable[[Journal], object]) -> MadeBackup:
    """Make a backup in a new folder below `target`; bytes that an earlier one there has are not copied again.

    Parameters
    ----------
    open_journal
        Opens the journal of the store.
    agree
        Refuses blobs in a folder that are not this journal's.

    Raises
    ------
    NoBackup
        It cannot be made. Nothing that counts as a backup is left.
    """
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(target):
            return _Making(config, target).make(open_journal, agree)
    except OSError as failed:
        raise NoBackup(f"{failed.filename or target}: {failed.strerror}") from failed


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    with (target / ".lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoBackup(f"another backup into {target} is under way") from None
        yield


class _Making:
    """One backup while it is made."""

    def __init__(self, config: Config, target: Path) -> None:
        self._config = config
        self._store = config.store
        self._target = target
        earlier = backups(target)
        self._earlier = earlier[-1] if earlier else None
        last = None if self._earlier is None else read(self._earlier)
        self._before = {} if last is None else dict(last.files)
        self._sealed = set() if last is None else set(last.sealed)
        self._files: dict[str, BackedUpFile] = {}
        self._began = datetime.now(UTC)
        self._name = self._began.strftime("%Y-%m-%dT%H%M%S.%fZ")
        self._folder = target / f"{self._name}{PARTIAL}"
        self._taken = MadeBackup(folder=target / self._name)

    def make(self, open_journal: Callable[[], Journal], agree: Callable[[Journal], object]) -> MadeBackup:
        for left in self._target.glob(f"*{PARTIAL}"):
            shutil.rmtree(left)  # of a call that was killed
        self._folder.mkdir(mode=0o700)
        self._copy_spool()
        with contextlib.closing(open_journal()) as journal:
            if self._store.bucket is None:  # a journal without its blobs restores nothing; those in a bucket are not in a backup
                agree(journal)
            copied, absent = self._copy_rows_and_bytes(journal)
        if self._store.bucket is None:
            self._list_marks()
        self._copy_models()
        self._copy_file(self._config.path, CONFIG)
        if route_cases(self._config).is_file():
            self._copy_file(route_cases(self._config), ROUTE_CASES)
        manifest = Manifest(
            taken_at=self._began.isoformat(),
            hilum=version("hilum"),
            schema=copied.schema,
            journal="sqlite" if self._store.journal.startswith("sqlite:") else "postgresql",
            bucket=None if self._store.bucket is None else self._store.bucket.url,
            files=self._files,
            absent=tuple(absent),
            sealed=tuple(sorted(self._sealed)),
        )
        manifest.write(self._folder)
        os.sync()
        self._folder.rename(self._target / self._name)
        os.sync()
        self._taken.files = len(self._files)
        self._taken.models, self._taken.applications = manifest.models, manifest.applications
        self._taken.sealed = manifest.sealed
        self._taken.same_disk = self._target.stat().st_dev == self._store.blobs.stat().st_dev if self._store.blobs.exists() else False
        if self._store.bucket is not None:
            self._taken.left_out.append(f"blobs in {self._store.bucket.url}: use the bucket's versions or its replica")
        if self._store.spool is not None or self._store.bucket is not None:
            self._taken.left_out.append("spools of other hosts: what they have acknowledged and not journaled is theirs alone")
        return self._taken

    def _copy_spool(self) -> None:
        root = self._store.spooled
        self._wait_for_names(root)
        for name in SPOOLED:
            for path in sorted((root / name).glob("*")):
                if path.is_file() and not path.name.startswith(".") and path.suffix in (".dcm", ".txt", ".json", ACKNOWLEDGED):
                    with contextlib.suppress(FileNotFoundError):  # it left the spool: its row is committed
                        self._take(path, f"{SPOOL}/{name}/{path.name}")

    def _wait_for_names(self, root: Path) -> None:
        """What was acknowledged before now becomes an entry: a live receiver names its own soon, a dead one's are taken up here."""
        if not (root / RECEIVING).is_dir():
            return
        recover(root / RECEIVING, root / INBOX, root / ASIDE)
        owing = acknowledged(root / RECEIVING)
        until = time.monotonic() + _ON_ITS_WAY_S
        while (left := [path for path in owing if path.exists()]) and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN_S)
            recover(root / RECEIVING, root / INBOX, root / ASIDE)
        if left:
            self._taken.left_out.append(f"{len(left)} acknowledged instances that the disk does not let be named: see `hilum doctor`")

    def _copy_rows_and_bytes(self, journal: Journal) -> tuple[Copied, list[str]]:
        for _ in range(_ROUNDS):
            copied = copy_journal(self._store.journal, self._folder)
            if self._store.bucket is not None:
                self._enter(copied.name)
                return copied, []
            missing = self._copy_bytes(copied)
            kept = journal.retention.kept_blobs(missing)
            gone = [name for name in missing if kept.get(name) is False]
            if len(gone) == len(missing):
                self._enter(copied.name)
                return copied, gone
            # rows were erased while their bytes were copied: what is in the backup must not outlive them unnamed
        raise NoBackup(f"{len(missing)} blobs that the journal names are not there, such as {missing[0]}")

    def _copy_bytes(self, copied: Copied) -> list[str]:
        """Take what the rows name; the names of what is not there."""
        missing = [name for name in copied.blobs if not self._take_blob(name)]
        until = time.monotonic() + _ON_ITS_WAY_S
        while missing and time.monotonic() < until:
            # a row is committed before its file has its name
            time.sleep(_LOOK_AGAIN_S)
            missing = [name for name in missing if not self._take_blob(name)]
        return missing

    def _copy_models(self) -> None:
        """Never a link to what lies there: cards and the list of versions are replaced, and an author may write into a file."""
        folders = ModelFolders.of(self._config)
        with folders.alone():
            for name, source in (*folders.files(), *folders.notes()):
                if not source.is_file():
                    self._taken.left_out.append(f"{source}: no file")
                elif not (self._unchanged(name, source) and self._take_again(name)):
                    self._copy_file(source, name)

    def _unchanged(self, inside: str, source: Path) -> bool:
        """Whether a file is what the earlier backup has; it is read only where its size says that it may be."""
        entry = self._before.get(inside)
        return entry is not None and source.stat().st_size == entry.size and checksum(source) == entry.sha256

    def _take_blob(self, name: str) -> bool:
        inside = f"{BLOBS}/{name}"
        if inside in self._files:
            return True
        if self._take_again(inside):
            return True
        try:
            self._take(self._store.blobs.joinpath(*PurePosixPath(name).parts), inside)
        except FileNotFoundError:
            return False
        return True

    def _take_again(self, inside: str) -> bool:
        """Whether an earlier backup has it; it is linked then. A blob's bytes never change."""
        entry = self._before.get(inside)
        if entry is None or self._earlier is None:
            return False
        source = self._earlier / inside
        try:
            if source.stat().st_size != entry.size:
                return False
            os.link(source, self._made(inside))
        except OSError:
            return False
        self._files[inside] = entry
        self._taken.linked += 1
        return True

    def _take(self, source: Path, inside: str) -> None:
        target = self._made(inside)
        try:
            os.link(source, target)
            self._taken.linked += 1
        except OSError as other:
            if other.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            self._copy_file(source, inside)
            return
        self._enter(inside)

    def _copy_file(self, source: Path, inside: str) -> None:
        target = self._made(inside)
        shutil.copyfile(source, target)
        target.chmod(0o600)
        self._taken.bytes_copied += target.stat().st_size
        self._enter(inside)

    def _made(self, inside: str) -> Path:
        target = self._folder.joinpath(*PurePosixPath(inside).parts)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return target

    def _enter(self, inside: str) -> None:
        path = self._folder / inside
        self._files[inside] = BackedUpFile(size=path.stat().st_size, sha256=checksum(path))
        with contextlib.suppress(DecryptionFailed):  # it is kept as it is
            if key_id := key_id_of(path):
                self._sealed.add(key_id.hex())

    def _list_marks(self) -> None:
        """What was delivered is marked beside the blobs: taken last, so that a restored node sends as little again as can be."""
        root = self._store.blobs
        names = sorted(path.relative_to(root).as_posix() for path in (root / _MARKS).rglob("*") if path.is_file())
        (self._folder / MARKS).write_text("".join(f"{name}\n" for name in names), encoding="ascii")
        (self._folder / MARKS).chmod(0o600)
        self._enter(MARKS)
