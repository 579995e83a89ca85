"""`hilum doctor`: is everything there that the configuration relies on? Each finding says what to do.

Here too is what it asks of encryption (do the keys open what lies there, and does nothing decrypted reach a disk?), and, with `--deep`, of
every row and every blob of the store.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.assembly.doctor.logins import look_at_logins
from node.assembly.doctor.peers import look_at_callers, look_at_certificates, look_at_peers, look_at_senders, look_at_sinks
from node.assembly.doctor.store import look_at_bucket, look_at_disk, look_at_journal
from node.assembly.libraries import half_installed
from node.cli.doctor.containers import look_at_containers
from node.cli.doctor.models import look_at_models
from node.cli.doctor.routes import look_at_acceptances, look_at_definitions, look_at_terms
from node.cli.opened import ConfigOption, JsonOption
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


_LOOKED_AT = 200
"""Files: enough to meet what is wrong with all of them."""


def look_at_encryption(config: Config) -> Iterator[DoctorFinding]:
    """The keys, a sample of what lies in the store, and the place in memory."""
    from inference.errors import HilumError
    from node.store.encryption import files_of, keys_of, why_not_opened

    try:
        keys = keys_of(config)
    except HilumError as wrong:
        yield DoctorFinding(area=Area.DISK, subject="encryption", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
        return
    if keys is None:
        return
    plain, broken = 0, []
    for path in islice((path for root in config.store.folders for path in files_of(root)), _LOOKED_AT):
        with contextlib.suppress(OSError):  # it went, or others may not look
            why = why_not_opened(path, keys)
            plain += why is None
            broken += [why] if why else []
    written = f"instances, findings and results are encrypted with the key {keys.first.id.hex()}"
    if broken:
        fix = "Add the key that is missing; what is damaged comes from a backup, or from its sender once more."
        yield DoctorFinding(
            area=Area.DISK, subject="encryption", level="bad", detail=f"{len(broken)} files cannot be opened: {broken[0]}", fix=fix
        )
    elif plain:
        fix = "They were written before encryption was turned on, and go with `store: {keep: …}`; nothing is to be done."
        yield DoctorFinding(
            area=Area.DISK, subject="encryption", level="warning", detail=f"{written}; {plain} of those looked at are not", fix=fix
        )
    else:
        yield DoctorFinding(area=Area.DISK, subject="encryption", level="good", detail=f"{written}; the journal is not")
    yield from _memory(config)


def _memory(config: Config) -> Iterator[DoctorFinding]:
    from node.store.encryption import left_behind, memory_place

    given = config.store.encryption
    assert given is not None, "there is encryption"
    place = memory_place(config.store, given)
    folder = place.folder
    if not given.on_disk and not place.in_memory:
        fix = "Name a folder on a tmpfs: `store: {encryption: {folder: …}}`."
        yield DoctorFinding(area=Area.DISK, subject="opened files", level="bad", detail=f"{folder} lies on a disk", fix=fix)
    elif place.size_bytes < given.memory_bytes:
        room, wanted = sizes(place.size_bytes, given.memory_bytes)
        detail = f"{folder} has room for {room}, `memory` is {wanted}"
        yield DoctorFinding(
            area=Area.DISK,
            subject="opened files",
            level="bad",
            detail=detail,
            fix="Make the tmpfs larger (`--shm-size`), or `memory` smaller.",
        )
    elif place.swaps:
        fix = "Turn swap off or encrypt it: what is decrypted in memory may be written there when memory runs short."
        yield DoctorFinding(
            area=Area.DISK,
            subject="opened files",
            level="warning",
            detail=f"in memory, and the system swaps to {', '.join(place.swaps)}",
            fix=fix,
        )
    else:
        where = "on a disk, as the configuration says" if given.on_disk else "in memory, and nothing is swapped to a disk"
        yield DoctorFinding(area=Area.DISK, subject="opened files", level="good", detail=f"{folder}: {where}")
    if left := left_behind(config.store, given):
        detail = f"decrypted, of nodes that were killed: {', '.join(map(str, left))}"
        fix = "Start such a node again, which empties its folder; where it will not run again, delete the folder (`rm -r`)."
        yield DoctorFinding(area=Area.DISK, subject="left in memory", level="warning", detail=detail, fix=fix)


def doctor(
    *,
    config: ConfigOption = None,
    deep: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: JsonOption = False,
) -> int:
    """Look at disk, journal, node, peers, sinks, engines and models; say what is wrong and what to do.

    Exit code 1 when something is bad, 0 otherwise (warnings included).

    Parameters
    ----------
    deep
        Read the whole store as well: the journal's database and every row, every blob against the digest that its row says (from a bucket
        each is fetched), what lies there without a row, and whether journal and blobs are of one store. Beside a running node too.
    as_json
        One JSON object with the list of findings instead of a table.
    """
    from node.assembly.configuration import load
    from node.settings.load import find_config

    loaded = load(find_config(config))
    findings = list(_look(loaded))
    if deep and not any(finding.subject == "store" for finding in findings):  # what is not this store is not read
        findings += look_deep(loaded)
    bad = any(finding.level == "bad" for finding in findings)
    if as_json:
        print(json.dumps({"good": not bad, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        show(findings)
    return 1 if bad else 0


def _look(config: Config) -> Iterator[DoctorFinding]:
    yield DoctorFinding(area=Area.CONFIGURATION, subject="configuration", level="good", detail=f"{config.path} ({config.digest[:12]})")
    for half in half_installed():
        yield DoctorFinding(area=Area.CONFIGURATION, subject="libraries", level="bad", detail=f"{half} [{half.code}]", fix=half.remedy)
    looks: list[Callable[[Config], Iterator[DoctorFinding]]] = [
        look_at_disk,
        look_at_encryption,
        look_at_bucket,
        look_at_journal,
        look_at_certificates,
        look_at_senders,
        look_at_callers,
        look_at_terms,
        look_at_acceptances,
        look_at_definitions,
        look_at_logins,
        look_at_peers,
        look_at_sinks,
        look_at_models,
        look_at_containers,
    ]
    for look in looks:
        yield from look(config)


def show(findings: list[DoctorFinding]) -> None:
    """Print them as a table, each with what to do."""
    from rich.table import Table
    from rich.text import Text

    from node.cli import screen

    marks = {"good": Text("✓", style="green"), "warning": Text("!", style="yellow"), "bad": Text("✗", style="red")}
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        fix = f"\n→ {finding.fix}" if finding.fix else ""
        table.add_row(marks[finding.level], finding.subject, Text.assemble(finding.detail, (fix, "dim")))
    screen.out().print(table)
