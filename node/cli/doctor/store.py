"""`hilum doctor` on the store: disk, spool, bucket and journal; with `--deep` every row and every blob."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from node.cli.doctor.report import DoctorFinding
from node.domain.sizes import sizes
from node.settings.config import Config

if TYPE_CHECKING:
    from node.backup.examination import StoreExamination
    from node.journal.journal import Journal


_LONG_S = 60.0
_SAY_EVERY_S = 1.0


def look_at_disk(config: Config) -> Iterator[DoctorFinding]:
    """The disks of the store, and what waits in this host's spool; nothing is opened: whoever asks may be another user than the node's."""
    yield from _room(config, "disk", config.store.blobs)
    if config.store.spool is not None:
        yield from _room(config, "disk of the spool", config.store.spool)
    yield from _spool(config, config.store.spooled)
    yield from _asides(config.store.spooled)


def _asides(folder: Path) -> Iterator[DoctorFinding]:
    from node.spool.backlog import set_aside

    aside, count = set_aside(folder)
    if count:
        fix = "`hilum studies list` says why, and from whom. What could not be read goes on once it is moved back (HLM-3086)."
        yield DoctorFinding(subject="set aside", level="warning", detail=f"{count} received files lie in {aside}", fix=fix)


def _room(config: Config, subject: str, folder: Path) -> Iterator[DoctorFinding]:
    from node.spool.room import CROWDED

    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    least = config.store.min_free_bytes
    free, total, mark = sizes(usage.free, usage.total, least)
    detail = f"{free} free of {total} at {folder}, min_free is {mark}"
    if usage.free < least:
        fix = "Free space or lower `store: {min_free: …}`: senders are answered 0xA700 and keep their instances until then."
        yield DoctorFinding(subject=subject, level="bad", detail=detail, fix=fix)
    elif usage.free < CROWDED * least:
        fix = "Free space or lower `store: {min_free: …}`: no association is admitted until then; senders try again."
        yield DoctorFinding(subject=subject, level="bad", detail=detail, fix=fix)
    elif usage.free < 2 * least:
        yield DoctorFinding(subject=subject, level="warning", detail=detail, fix="Free space soon, or shorten `store: {keep: …}`.")
    else:
        yield DoctorFinding(subject=subject, level="good", detail=detail)


def _spool(config: Config, folder: Path) -> Iterator[DoctorFinding]:
    from node.spool.backlog import spool_state

    state = spool_state(folder)
    if state is None:
        return
    waiting, oldest_s = state.waiting, state.oldest_s
    detail = (
        f"{waiting} instances wait in this host's spool, the oldest for {oldest_s:.0f} s"
        if waiting
        else "nothing waits in this host's spool"
    )
    if state.owing:
        detail += f", {state.owing} acknowledged ones are no entries of it yet, the oldest for {state.owing_s:.0f} s"
        if state.owing_s > _LONG_S:
            fix = "They are named within seconds by a receiver that runs, on a disk that works: see whether the node runs, and its events."
            yield DoctorFinding(subject="spool", level="warning", detail=detail, fix=fix)
            return
    if waiting > config.store.most_waiting:
        fix = "No association is admitted until they are journaled: see whether the node runs, and the journal (and the bucket) answers."
        yield DoctorFinding(subject="spool", level="bad", detail=detail, fix=fix)
        return
    fix = "They go on by themselves once the journal (and the bucket, or the shared folder) is there; keep this host's disk until then."
    # on its way to a place that others read, what waits is on this host alone, however short
    late = oldest_s > _LONG_S or bool(waiting and (config.store.bucket is not None or config.store.spool is not None))
    yield DoctorFinding(subject="spool", level="warning" if late else "good", detail=detail, fix=fix if late else "")


def look_deep(config: Config) -> Iterator[DoctorFinding]:
    """The journal's database, blobs and rows against each other, and the store's identity; how far it is goes to stderr."""
    from inference.errors import HilumError
    from node.assembly.compose import open_blobs, open_journal
    from node.backup.examination import examine

    try:
        with contextlib.closing(open_journal(config)) as journal, _progress() as turn:
            found = examine(journal, open_blobs(config), turn=turn)
    except HilumError as broken:
        yield DoctorFinding(subject="whole store", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        return
    yield from _told(found)


def _told(found: "StoreExamination") -> Iterator[DoctorFinding]:
    from node.assembly.identity import BlobsLost, StoresMixed
    from node.journal.errors import JournalCorrupt

    if found.one_store:
        yield DoctorFinding(subject="store", level="good", detail=f"journal and blobs are those of {found.identity}")
    elif not found.identity and not found.borne:
        fix = "The next `hilum serve` lets them know each other."
        yield DoctorFinding(subject="store", level="warning", detail="journal and blobs have no identity yet", fix=fix)
    else:
        error = StoresMixed if found.identity and found.borne else BlobsLost
        detail = f"the journal is of {found.identity or 'no store'}, the blobs of {', '.join(found.borne) or 'none'} [{error.code}]"
        yield DoctorFinding(subject="store", level="bad", detail=detail, fix=error.remedy)
    if found.journal:
        more = f", and {len(found.journal) - 1} more" if len(found.journal) > 1 else ""
        detail = f"{found.journal[0]}{more} [{JournalCorrupt.code}]"
        yield DoctorFinding(subject="whole journal", level="bad", detail=detail, fix=JournalCorrupt.remedy)
    else:
        yield DoctorFinding(subject="whole journal", level="good", detail="the database is whole, and every row can be read")
    (size,) = sizes(found.size_bytes)
    if found.missing_count:
        fix = "Mount what belongs there or restore it from a backup; an instance comes again from its sender."
        detail = f"{found.missing_count} that rows want are not there, such as {found.missing[0]}"
        yield DoctorFinding(subject="missing blobs", level="bad", detail=detail, fix=fix)
    if found.changed_count:
        fix = "Restore them from a backup, and check the disk: what is read of them is not what was written."
        detail = f"{found.changed_count} of {found.blobs} are not what was put there, such as {found.changed[0]}"
        yield DoctorFinding(subject="changed blobs", level="bad", detail=detail, fix=fix)
    if not found.missing_count and not found.changed_count:
        yield DoctorFinding(subject="blobs", level="good", detail=f"{found.blobs} read ({size}), each with the digest that its row says")
    if found.unnamed_count:
        fix = "A running node takes instances back and deletes the rest within a day; nothing is to be done."
        detail = f"{found.unnamed_count} that no row wants, such as {found.unnamed[0]}"
        yield DoctorFinding(subject="blobs without a row", level="warning", detail=detail, fix=fix)


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


_SILENT = timedelta(seconds=60)


_CLOCK_OFF_S = 1.0


def look_at_bucket(config: Config) -> Iterator[DoctorFinding]:
    """Whether the bucket answers, and lets the node in."""
    from inference.errors import HilumError
    from node.assembly.compose import ask_bucket

    if config.store.bucket is not None:
        try:
            detail = ask_bucket(config.store.bucket)
        except HilumError as broken:
            yield DoctorFinding(subject="bucket", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        else:
            yield DoctorFinding(subject="bucket", level="good", detail=detail)


def look_at_journal(config: Config) -> Iterator[DoctorFinding]:
    """Whether the journal is this store's, and what it says of the node and of its work."""
    from inference.errors import HilumError
    from node.assembly.compose import open_journal
    from node.assembly.identity import refuse_other_places

    try:
        refuse_other_places(config)
    except HilumError as broken:
        yield DoctorFinding(subject="store", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        return  # a journal that is opened where a disk is not mounted would be made there
    try:
        with contextlib.closing(open_journal(config)) as journal:
            yield from _of_journal(config, journal)
    except HilumError as broken:
        yield DoctorFinding(subject="journal", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)


def _of_journal(config: Config, journal: "Journal") -> Iterator[DoctorFinding]:
    """What the journal itself says of its node."""
    from node.assembly.roles import node_runs
    from node.domain.state import ArrivalState, DeliveryState, JobState

    yield DoctorFinding(subject="journal", level="good", detail=journal.name)
    if abs(ahead_s := journal.ahead_s()) > _CLOCK_OFF_S:
        detail = f"this host's clock is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's"
        yield DoctorFinding(
            subject="clock", level="warning", detail=detail, fix="Work goes by the database's; let NTP set this host's, for its logs."
        )
    if node_runs(config):
        silent = [name for name, (at, _) in journal.processes.beats().items() if journal.now() - at > _SILENT]
        fix = "Look at its events; the supervisor starts it again when it dies." if silent else ""
        detail = f"running; no sign of life from {', '.join(silent)}" if silent else "running"
        yield DoctorFinding(subject="node", level="warning" if silent else "good", detail=detail, fix=fix)
    else:
        yield DoctorFinding(subject="node", level="warning", detail="not running on this store", fix="Start it with `hilum serve`.")
    for kind, name, since in journal.pauses.find():
        fix = f"`hilum resume {kind} {name}` when it may go on."
        yield DoctorFinding(subject=f"{kind} {name}", level="warning", detail=f"paused since {since:%Y-%m-%d %H:%M} UTC", fix=fix)
    stuck = journal.jobs.find(states=(JobState.PARKED, JobState.FAILED))
    if stuck:
        fix = "`hilum jobs list --state parked`, then `hilum jobs show JOB` says what each needs."
        yield DoctorFinding(subject="jobs", level="warning", detail=f"{len(stuck)} parked or failed", fix=fix)
    unrouted = list(dict.fromkeys(one.study_instance_uid for one in journal.arrivals.find(states=(ArrivalState.PARKED,), newest=True)))
    if unrouted:
        fix = "`hilum studies show STUDY` says why; `hilum studies retry STUDY` routes it again. `hilum studies list` has their states."
        detail = f"{len(unrouted)} parked: they could not be routed, such as {unrouted[0]}"
        yield DoctorFinding(subject="studies", level="warning", detail=detail, fix=fix)
    conflicts = journal.instances.conflicts()
    if conflicts:
        studies = len({one.study_instance_uid for one in conflicts})
        fix = "`hilum studies show STUDY` names them and their sender: two different images bear one UID. The first is used."
        yield DoctorFinding(subject="conflicts", level="warning", detail=f"{len(conflicts)} kept, studies concerned: {studies}", fix=fix)
    held = journal.held.by_series()
    if held:
        studies = len({one.study_instance_uid for one in held})
        fix = (
            "`hilum studies list`, then `hilum studies show STUDY` says why; `hilum studies accept-held STUDY` lets them "
            "count, `hilum studies refuse-held STUDY` does not. What the first sender sent was analysed without them."
        )
        detail = f"{sum(one.instances for one in held)} instances wait for a person, studies concerned: {studies}"
        yield DoctorFinding(subject="held instances", level="warning", detail=detail, fix=fix)
    refused = journal.deliveries.find(states=(DeliveryState.PARKED,))
    if refused:
        fix = "`hilum jobs show JOB` names the sink and its status; then `hilum jobs resend JOB`."
        yield DoctorFinding(subject="deliveries", level="warning", detail=f"{len(refused)} refused by their sink", fix=fix)
