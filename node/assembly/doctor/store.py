"""The store as it is now: disk, spool, bucket and journal."""

import contextlib
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from node.domain.health import Area, DoctorFinding
from node.records.revisions import SILENT, revisions_apart, running
from node.settings.config import Config
from node.settings.kinds import sizes
from node.settings.store import CROWDED

if TYPE_CHECKING:
    from node.journal.journal import Journal


_LONG_S = 60.0


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
        yield DoctorFinding(
            area=Area.PARKED, subject="set aside", level="warning", detail=f"{count} received files lie in {aside}", fix=fix
        )


def _room(config: Config, subject: str, folder: Path) -> Iterator[DoctorFinding]:
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    least = config.store.min_free_bytes
    free, total, mark = sizes(usage.free, usage.total, least)
    detail = f"{free} free of {total} at {folder}, min_free is {mark}"
    if usage.free < least:
        fix = "Free space or lower `store: {min_free: …}`: senders are answered 0xA700 and keep their instances until then."
        yield DoctorFinding(area=Area.DISK, subject=subject, level="bad", detail=detail, fix=fix)
    elif usage.free < CROWDED * least:
        fix = "Free space or lower `store: {min_free: …}`: no association is admitted until then; senders try again."
        yield DoctorFinding(area=Area.DISK, subject=subject, level="bad", detail=detail, fix=fix)
    elif usage.free < 2 * least:
        yield DoctorFinding(
            area=Area.DISK, subject=subject, level="warning", detail=detail, fix="Free space soon, or shorten `store: {keep: …}`."
        )
    else:
        yield DoctorFinding(area=Area.DISK, subject=subject, level="good", detail=detail)


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
            yield DoctorFinding(area=Area.DISK, subject="spool", level="warning", detail=detail, fix=fix)
            return
    if waiting > config.store.most_waiting:
        fix = "No association is admitted until they are journaled: see whether the node runs, and the journal (and the bucket) answers."
        yield DoctorFinding(area=Area.DISK, subject="spool", level="bad", detail=detail, fix=fix)
        return
    fix = "They go on by themselves once the journal (and the bucket, or the shared folder) is there; keep this host's disk until then."
    # on its way to a place that others read, what waits is on this host alone, however short
    late = oldest_s > _LONG_S or bool(waiting and (config.store.bucket is not None or config.store.spool is not None))
    yield DoctorFinding(area=Area.DISK, subject="spool", level="warning" if late else "good", detail=detail, fix=fix if late else "")


_CLOCK_OFF_S = 1.0
_WENT_BACK = timedelta(minutes=1)


def look_at_bucket(config: Config) -> Iterator[DoctorFinding]:
    """Whether the bucket answers, and lets the node in."""
    from inference.errors import HilumError
    from node.assembly.compose import ask_bucket

    if config.store.bucket is not None:
        try:
            detail = ask_bucket(config.store.bucket)
        except HilumError as broken:
            yield DoctorFinding(area=Area.JOURNAL, subject="bucket", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        else:
            yield DoctorFinding(area=Area.JOURNAL, subject="bucket", level="good", detail=detail)


def look_at_journal(config: Config) -> Iterator[DoctorFinding]:
    """Whether the journal is this store's, and what it says of the node and of its work."""
    from inference.errors import HilumError
    from node.assembly.compose import open_journal
    from node.store.identity import refuse_other_places

    try:
        refuse_other_places(config)
    except HilumError as broken:
        yield DoctorFinding(area=Area.JOURNAL, subject="store", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        return  # a journal that is opened where a disk is not mounted would be made there
    try:
        with contextlib.closing(open_journal(config)) as journal:
            yield from of_journal(config, journal)
    except HilumError as broken:
        yield DoctorFinding(area=Area.JOURNAL, subject="journal", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)


def _clock(journal: "Journal") -> Iterator[DoctorFinding]:
    """This host's clock against the database's, and the one that work goes by against what the journal knows."""
    from node.records.words import lasting

    if abs(ahead_s := journal.ahead_s()) > _CLOCK_OFF_S:
        detail = f"this host's clock is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's"
        yield DoctorFinding(
            area=Area.CLOCK,
            subject="clock",
            level="warning",
            detail=detail,
            fix="Work goes by the database's; let NTP set this host's, for its logs.",
        )
    newest, now = journal.processes.newest(), journal.now()
    if newest is not None and newest - now > _WENT_BACK:
        whose = "the database's clock" if journal.database.shared else "this host's clock"
        late = lasting((newest - now).total_seconds())
        detail = (
            f"{whose} shows {now:%Y-%m-%d %H:%M} UTC, {late} before the newest that the journal has: it was set back, or was ahead then"
        )
        fix = (
            "Have NTP set it (`timedatectl`). If it is right now, it was ahead before: what came then bears a later time, results say that "
            "time, and it is kept for as much longer. The node goes on meanwhile."
        )
        yield DoctorFinding(area=Area.CLOCK, subject="clock", level="warning", detail=detail, fix=fix)


def of_journal(config: Config, journal: "Journal") -> Iterator[DoctorFinding]:
    """What the journal itself says of its node, of its senders and of what waits for a person."""
    from node.assembly.roles import node_runs
    from node.domain.state import ArrivalState, DeliveryState, JobState
    from node.records.associations import sender_records
    from node.records.words import lasting

    yield DoctorFinding(area=Area.JOURNAL, subject="journal", level="good", detail=journal.name)
    yield from _clock(journal)
    if node_runs(config):
        now, beats = journal.now(), journal.processes.beats()
        if apart := revisions_apart(running(journal, beats, now), now):
            yield DoctorFinding(
                area=Area.PROCESSES,
                subject="configuration",
                level="bad",
                detail=apart,
                fix="Bring the same file to each, and run `hilum config reload` there: `hilum config history` says who goes by which.",
            )
        silent = [name for name, (at, _) in beats.items() if now - at > SILENT]
        fix = "Look at its events; the supervisor starts it again when it dies." if silent else ""
        detail = f"running; no sign of life from {', '.join(silent)}" if silent else "running"
        yield DoctorFinding(area=Area.PROCESSES, subject="node", level="warning" if silent else "good", detail=detail, fix=fix)
    else:
        yield DoctorFinding(
            area=Area.PROCESSES, subject="node", level="warning", detail="not running on this store", fix="Start it with `hilum serve`."
        )
    for sender in sender_records(journal, [peer.name for peer in config.peers.values()]):
        if sender["silent"]:
            detail = f"nothing came for {lasting(sender['quiet_s'])}; on {sender['days_sent']} of {sender['days']} days it had"
            fix = f"Is {sender['name']} running? Does it still send here? `hilum associations --refused` says who was turned away."
            name = sender["name"]
            yield DoctorFinding(area=Area.SENDERS, subject=f"sender {name}", name=name, level="warning", detail=detail, fix=fix)
    for kind, name, since in journal.pauses.find():
        fix = f"`hilum resume {kind} {name}` when it may go on."
        yield DoctorFinding(
            area=Area.PAUSED, subject=f"{kind} {name}", level="warning", detail=f"paused since {since:%Y-%m-%d %H:%M} UTC", fix=fix
        )
    stuck = journal.jobs.find(states=(JobState.PARKED, JobState.FAILED))
    if stuck:
        fix = "`hilum jobs list --state parked`, then `hilum jobs show JOB` says what each needs."
        yield DoctorFinding(area=Area.PARKED, subject="jobs", level="warning", detail=f"{len(stuck)} parked or failed", fix=fix)
    unrouted = list(dict.fromkeys(one.study_instance_uid for one in journal.arrivals.find(states=(ArrivalState.PARKED,), newest=True)))
    if unrouted:
        fix = "`hilum studies show STUDY` says why; `hilum studies retry STUDY` routes it again. `hilum studies list` has their states."
        detail = f"{len(unrouted)} parked: they could not be routed, such as {unrouted[0]}"
        yield DoctorFinding(area=Area.PARKED, subject="studies", level="warning", detail=detail, fix=fix)
    conflicts = journal.instances.conflicts()
    if conflicts:
        studies = len({one.study_instance_uid for one in conflicts})
        fix = "`hilum studies show STUDY` names them and their sender: two different images bear one UID. The first is used."
        yield DoctorFinding(
            area=Area.HELD, subject="conflicts", level="warning", detail=f"{len(conflicts)} kept, studies concerned: {studies}", fix=fix
        )
    held = journal.held.by_series()
    if held:
        studies = len({one.study_instance_uid for one in held})
        fix = (
            "`hilum studies list`, then `hilum studies show STUDY` says why; `hilum studies accept-held STUDY` lets them "
            "count, `hilum studies refuse-held STUDY` does not. What the first sender sent was analysed without them."
        )
        detail = f"{sum(one.instances for one in held)} instances wait for a person, studies concerned: {studies}"
        yield DoctorFinding(area=Area.HELD, subject="held instances", level="warning", detail=detail, fix=fix)
    refused = journal.deliveries.find(states=(DeliveryState.PARKED,))
    if refused:
        fix = "`hilum jobs show JOB` names the sink and its status; then `hilum jobs resend JOB`."
        yield DoctorFinding(
            area=Area.PARKED, subject="deliveries", level="warning", detail=f"{len(refused)} refused by their sink", fix=fix
        )
