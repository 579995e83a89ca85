"""The whole store looked at: the journal's database, every blob against its row, what lies there without a row, and whether they are one
store. Reads only; beside a running node or on a stopped one; memory does not grow with the store."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path

from inference.errors import HilumError
from node.blobs.port import Blobs
from node.dicom.header import read_header
from node.domain.errors import JournalError
from node.journal.journal import Journal
from node.journal.store import NamedBlob
from node.store.identity import identities

_CHUNK_BYTES = 1 << 20
_AT_ONCE = 500
_MOST = 20
_AGE = timedelta(hours=1)
"""What was put since may still wait for its row."""
_KINDS = ("instances/", "findings/", "results/")
_NAMED = re.compile(r"findings/[0-9]+-([0-9a-f]{64})\.bin")


@dataclass(slots=True, kw_only=True)
class StoreExamination:
    """What was found. Lists hold the first few; counts count all.

    Attributes
    ----------
    identity
        Of the journal; empty: it has none yet.
    borne
        The identities that the blobs bear.
    journal
        What of the journal is damaged.
    blobs, size_bytes
        How many blobs were read, and how much that is.
    missing, changed
        Blobs that a row wants and that are not there, or are not what was put there.
    unnamed
        Blobs that are older than an hour and that no row wants.
    """

    identity: str = ""
    borne: tuple[str, ...] = ()
    journal: list[str] = field(default_factory=list)
    blobs: int = 0
    size_bytes: int = 0
    missing_count: int = 0
    missing: list[str] = field(default_factory=list)
    changed_count: int = 0
    changed: list[str] = field(default_factory=list)
    unnamed_count: int = 0
    unnamed: list[str] = field(default_factory=list)

    @property
    def one_store(self) -> bool:
        """Whether journal and blobs know each other."""
        return bool(self.identity) and self.borne == (self.identity,)

    @property
    def whole(self) -> bool:
        """Whether nothing is lost, and nothing is other than it was written; a blob too many is no loss."""
        return self.one_store and not self.journal and not self.missing_count and not self.changed_count


def examine(
    journal: Journal, blobs: Blobs, *, turn: Callable[[str, StoreExamination], None] = lambda _what, _so_far: None
) -> StoreExamination:
    """Look at everything; `turn` is called now and then with what is looked at.

    Raises
    ------
    JournalError
        The blobs are away, or the journal; damage is what is looked for, and raises nothing.
    """
    found = StoreExamination()
    turn("database", found)
    try:
        known = journal.store.known()
        found.identity = "" if known is None else known.identity
        found.journal += islice(journal.store.damage(), _MOST)
        turn("rows", found)
        found.journal += islice(journal.store.unreadable(), _MOST)
    except JournalError as damaged:
        if damaged.retry:
            raise
        found.journal.append(f"{damaged} [{damaged.code}]")
    found.borne = tuple(identities(blobs))
    _look_at_named(journal, blobs, found, turn)
    _look_for_unnamed(journal, blobs, found, turn)
    return found


def _look_at_named(journal: Journal, blobs: Blobs, found: StoreExamination, turn: Callable[[str, StoreExamination], None]) -> None:
    absent: list[str] = []
    try:
        for named in journal.store.named_blobs():
            turn("blobs", found)
            with blobs.hold():
                why = _wrong(blobs, named, found)
            if why is None:
                absent.append(named.name)
                if len(absent) >= _AT_ONCE:
                    _still_wanted(journal, absent, found)
            elif why:
                found.changed_count += 1
                _enter(found.changed, f"{named.name}: {why}")
        _still_wanted(journal, absent, found)
    except JournalError as damaged:
        if damaged.retry:
            raise
        found.journal.append(f"{damaged} [{damaged.code}]")


def _still_wanted(journal: Journal, absent: list[str], found: StoreExamination) -> None:
    """Enter as missing what rows still want: retention may have deleted it since it was named."""
    kept = journal.retention.kept_blobs(absent)
    for name in absent:
        if kept.get(name, False):
            found.missing_count += 1
            _enter(found.missing, name)
    absent.clear()


def _wrong(blobs: Blobs, named: NamedBlob, found: StoreExamination) -> str | None:
    """Why a blob is not what was put there; "": it is; None: there is none."""
    try:
        path = blobs.path(named.name)
        size = path.stat().st_size
        found.blobs += 1
        found.size_bytes += size
        if named.size is not None and size != named.size:
            return f"{size} bytes instead of {named.size}"
        if named.digest is None:
            return _wrong_findings(path, named.name)
        start = read_header(path)[0].dataset_offset if named.of_data_set else 0
        return "" if _digest(path, start) == named.digest else "other bytes than were written"
    except FileNotFoundError:
        return None
    except OSError as failed:
        return f"it cannot be read: {failed.strerror}"
    except JournalError:
        raise
    except HilumError as damaged:
        return f"{damaged} [{damaged.code}]"


def _wrong_findings(path: Path, name: str) -> str:
    """Findings prove themselves: by the digest in their name, or by those of their arrays within."""
    told = _NAMED.fullmatch(name)
    if told is not None and _digest(path, 0) == told[1]:
        return ""
    from inference import findings_parts

    findings_parts.loads(path.read_bytes())
    return ""


def _digest(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        while part := file.read(_CHUNK_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _look_for_unnamed(journal: Journal, blobs: Blobs, found: StoreExamination, turn: Callable[[str, StoreExamination], None]) -> None:
    try:
        names = _old_names(journal, blobs)
        while batch := list(islice(names, _AT_ONCE)):
            turn("blobs without a row", found)
            kept = journal.retention.kept_blobs(batch)
            for name in batch:
                if not kept.get(name, False):
                    found.unnamed_count += 1
                    _enter(found.unnamed, name)
    except JournalError as damaged:
        if damaged.retry:
            raise
        found.journal.append(f"{damaged} [{damaged.code}]")


def _old_names(journal: Journal, blobs: Blobs) -> Iterator[str]:
    before = journal.now() - _AGE
    for kind in _KINDS:
        yield from blobs.names(kind, written_before=before)


def _enter(into: list[str], one: str) -> None:
    if len(into) < _MOST:
        into.append(one)
