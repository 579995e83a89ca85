"""`hilum doctor --deep`: every row and every blob of the store."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from node.domain.health import Area, DoctorFinding
from node.settings.config import Config
from node.settings.kinds import sizes

if TYPE_CHECKING:
    from node.backup.examination import StoreExamination

_SAY_EVERY_S = 1.0


def look_deep(config: Config) -> Iterator[DoctorFinding]:
    """The journal's database, blobs and rows against each other, and the store's identity; how far it is goes to stderr."""
    from inference.errors import HilumError
    from node.assembly.compose import open_blobs, open_journal
    from node.backup.examination import examine

    try:
        with contextlib.closing(open_journal(config)) as journal, _progress() as turn:
            found = examine(journal, open_blobs(config), turn=turn)
    except HilumError as broken:
        yield DoctorFinding(area=Area.JOURNAL, subject="whole store", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        return
    yield from _told(found)


def _told(found: "StoreExamination") -> Iterator[DoctorFinding]:
    from node.journal.errors import JournalCorrupt
    from node.store.identity import BlobsLost, StoresMixed

    if found.one_store:
        yield DoctorFinding(area=Area.JOURNAL, subject="store", level="good", detail=f"journal and blobs are those of {found.identity}")
    elif not found.identity and not found.borne:
        fix = "The next `hilum serve` lets them know each other."
        yield DoctorFinding(area=Area.JOURNAL, subject="store", level="warning", detail="journal and blobs have no identity yet", fix=fix)
    else:
        error = StoresMixed if found.identity and found.borne else BlobsLost
        detail = f"the journal is of {found.identity or 'no store'}, the blobs of {', '.join(found.borne) or 'none'} [{error.code}]"
        yield DoctorFinding(area=Area.JOURNAL, subject="store", level="bad", detail=detail, fix=error.remedy)
    if found.journal:
        more = f", and {len(found.journal) - 1} more" if len(found.journal) > 1 else ""
        detail = f"{found.journal[0]}{more} [{JournalCorrupt.code}]"
        yield DoctorFinding(area=Area.JOURNAL, subject="whole journal", level="bad", detail=detail, fix=JournalCorrupt.remedy)
    else:
        yield DoctorFinding(
            area=Area.JOURNAL, subject="whole journal", level="good", detail="the database is whole, and every row can be read"
        )
    (size,) = sizes(found.size_bytes)
    if found.missing_count:
        fix = "Mount what belongs there or restore it from a backup; an instance comes again from its sender."
        detail = f"{found.missing_count} that rows want are not there, such as {found.missing[0]}"
        yield DoctorFinding(area=Area.JOURNAL, subject="missing blobs", level="bad", detail=detail, fix=fix)
    if found.changed_count:
        fix = "Restore them from a backup, and check the disk: what is read of them is not what was written."
        detail = f"{found.changed_count} of {found.blobs} are not what was put there, such as {found.changed[0]}"
        yield DoctorFinding(area=Area.JOURNAL, subject="changed blobs", level="bad", detail=detail, fix=fix)
    if not found.missing_count and not found.changed_count:
        yield DoctorFinding(
            area=Area.JOURNAL, subject="blobs", level="good", detail=f"{found.blobs} read ({size}), each with the digest that its row says"
        )
    if found.unnamed_count:
        fix = "A running node takes instances back and deletes the rest within a day; nothing is to be done."
        detail = f"{found.unnamed_count} that no row wants, such as {found.unnamed[0]}"
        yield DoctorFinding(area=Area.JOURNAL, subject="blobs without a row", level="warning", detail=detail, fix=fix)


@contextlib.contextmanager
def _progress() -> "Iterator[Callable[[str, StoreExamination], None]]":
    """A line on stderr, where that is a terminal: a store takes as long as its disk takes to read it."""
    told = [0.0]

    def turn(what: str, so_far: "StoreExamination") -> None:
        if time.monotonic() - told[0] >= _SAY_EVERY_S:
            told[0] = time.monotonic()
            (size,) = sizes(so_far.size_bytes)
            print(f"\r{what}: {so_far.blobs} read, {size} \033[K", end="", file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        yield lambda _what, _so_far: None
        return
    try:
        yield turn
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
