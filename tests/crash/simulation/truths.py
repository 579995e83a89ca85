"""What must be true at the end of a schedule, whatever happened on the way."""

import hashlib
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

from node.domain.state import JobState
from node.upkeep.orphans import Orphans
from tests.crash.simulation.world import KINDS, SINKS, World


class Wrong(AssertionError):
    """Something that must be true is not."""


def check(world: World) -> None:
    """Everything of it; the processes are dead, and nothing was under way.

    Raises
    ------
    Wrong
        Says what is not so.
    """
    _nothing_is_orphaned(world)
    _nothing_is_lost(world)
    for study in sorted(world.memory.studies):
        for sink in SINKS:
            _one_set(world, study, sink)


def _nothing_is_lost(world: World) -> None:
    journal, blobs = world.journal, world.blobs()
    for uid, digest in world.memory.acknowledged.items():
        rows = journal.instances.by_uid(uid)
        if not any(row.digest == digest and digest_of(blobs.path(row.blob)) == digest for row in rows):
            raise Wrong(f"{uid} was acknowledged and is lost: {rows}")


def _nothing_is_orphaned(world: World) -> None:
    """After the sweep for orphans, as it is two days later, nothing is left that no row wants."""
    blobs, inbox = world.blobs(), world.inbox()
    orphans = Orphans(world.journal, inbox, blobs, lambda: world.clock() + timedelta(days=400))
    while orphans.step():
        pass
    buried = world.journal.retention.purged_blobs()
    for blob in buried.values():
        blobs.delete(blob)
    world.journal.retention.swept(buried)
    if inbox.waiting(1):
        raise Wrong("an instance had no row and was taken back")
    root = world.config.store.blobs
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    kept = world.journal.retention.kept_blobs(names)
    left = [name for name in names if not kept.get(name) and not name.startswith("marks/") and not name.endswith(".life")]
    if left:
        raise Wrong(f"orphans: {left}")


def _one_set(world: World, study: str, sink: str) -> None:
    journal = world.journal
    by_inputs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for uid, copies in world.memory.got[sink].items():
        if copies[0][0] != study:
            continue
        if len({data for _, data in copies}) != 1:
            raise Wrong(f"{sink} got different bytes under {uid}: {copies}")
        _, kind, inputs, _, _ = copies[0][1].decode().split("|")
        by_inputs[inputs][kind].add(uid)
    live = [job for job in journal.jobs.find(study=study) if job.state is JobState.DONE]
    if len(live) != 1:
        raise Wrong(f"{study} has {len(live)} live jobs: {journal.jobs.find(study=study)}")
    for inputs, kinds in by_inputs.items():
        if any(len(uids) != 1 for uids in kinds.values()):
            raise Wrong(f"{sink} has results of {study} twice: {dict(kinds)}")
        if inputs == live[0].input_digest and set(kinds) != set(KINDS):
            raise Wrong(f"{sink} has not all results of {study}: {dict(kinds)}")
    if live[0].input_digest not in by_inputs:
        raise Wrong(f"{sink} has no results of {study}")
    if len(live[0].input_digest) and len(by_inputs) > len(journal.arrivals.find(study=study)):
        raise Wrong(f"{sink} has {len(by_inputs)} sets of {study}, which came in {len(journal.arrivals.find(study=study))} revisions")
    wanted = {uid for uid in world.memory.acknowledged if uid.split(".")[3] == study.rsplit(".", 1)[1]}
    held = {row.sop_instance_uid for row in journal.instances.of_job(live[0].id)}
    if wanted != held:
        raise Wrong(f"the results of {study} are of {len(held)} of its {len(wanted)} instances")


def digest_of(path: Path) -> str:
    """SHA-256 of the data set; empty when there is no such file."""
    if not path.exists():
        return ""
    raw = path.read_bytes()
    return hashlib.sha256(raw[144 + int.from_bytes(raw[140:144], "little") :]).hexdigest()
