"""Kill rows: SIGKILL to one process, to the supervisor, or to the whole node, at every transition of the state table and in between."""

import contextlib
import functools
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from itertools import product

import psutil

from node.domain.state import JobState
from tests.crash.applications.crash_threshold import SLICES
from tests.crash.disk import Mode, Operation, Victim
from tests.crash.node_under_test import NodeUnderTest
from tests.crash.rows import Round, Row
from tests.crash.sender import Study
from tests.lab.program import wait_until

_VICTIMS = ("self", "supervisor", "node")
_WHEN = ("before", "inside", "after")
_DEATHS = (
    ("before", "self"), ("inside", "self"), ("after", "self"), ("before", "node"), ("inside", "supervisor"), ("after", "node"),
    ("before", "supervisor"), ("inside", "node"), ("after", "supervisor"),
)  # fmt: skip
"""When and who, in the order in which a row of few rounds takes them."""


def _journal(call: str, stage: str, when: str, victim: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """Killed at a call of the journal: before it, with everything written and nothing committed, or once it is committed."""
    study = under_test.study()
    under_test.plan(call, when, stage=stage, victim=victim)
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return under_test.taken()


def _journal_ways(call: str, stage: str) -> list[Round]:
    return [functools.partial(_journal, call, stage, when, victim) for when, victim in _DEATHS]


def _on_disk(
    operation: Operation, path: str, stage: str, most: int, mode: Mode, victim: Victim, under_test: NodeUnderTest, draw: random.Random
) -> bool:
    """Killed at an operation on a file, before or after it: the n-th, of `most`."""
    study = under_test.study()
    under_test.disk.fail(operation, mode=mode, victim=victim, skip=draw.randrange(most), count=1, path=path, process=f" {stage}")
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    fired = under_test.disk.fired > 0
    under_test.disk.heal()
    return fired


def _disk_ways(operation: Operation, path: str, stage: str, most: int) -> list[Round]:
    return [
        functools.partial(_on_disk, operation, path, stage, most, mode, victim)
        for victim, mode in product(Victim, (Mode.KILL, Mode.KILL_AFTER))
    ]


def late(when: str, victim: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """A study of which one slice comes when the rest was settled: its first job, parked, is superseded, and the node dies there."""
    study = under_test.study()
    _send_a_part(under_test, study)
    under_test.plan("routing.route", when, stage="flow", victim=victim)
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return under_test.taken()


def part(when: str, victim: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The same; the node dies where the part is routed, and its job parked."""
    study = under_test.study()
    under_test.plan("routing.route", when, stage="flow", victim=victim)
    _send_a_part(under_test, study)
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return under_test.taken()


def _send_a_part(under_test: NodeUnderTest, study: Study) -> None:
    while len(study.acknowledged) < SLICES - 1:
        under_test.send(study, most=SLICES - 1 - len(study.acknowledged))

    def settled() -> bool:
        under_test.up()
        return under_test.settled(study)

    wait_until(settled, 120, "the part was settled")


def _operated(word: str, call: str, state: JobState, when: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The operator's command is killed, and given again: what was parked is tried again, what was cancelled too, and cancelled."""
    study = under_test.study()
    _send_a_part(under_test, study)
    if state is JobState.CANCELLED:
        under_test.operate("cancel", study, JobState.PARKED)
    under_test.plan(call, when, stage=word, victim="self")
    under_test.operate(word, study, state)
    taken = under_test.taken()
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return taken


def _resent(stage: str, call: str, when: str, victim: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The operator sends the frozen objects again (DONE → ENCODED, DELIVERED → WAITING), and the command dies over it, or the node when
    they have arrived."""
    study = under_test.study()
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    under_test.plan(call, when, stage=stage, victim=victim)
    under_test.operate("resend", study, JobState.DONE)
    wait_until(
        lambda: under_test.taken_now() or under_test.is_done(study), 60, "they were sent again, or the node died over it", every_s=0.02
    )
    under_test.until_done(study)
    return under_test.taken()


def _random(stages: Sequence[str], under_test: NodeUnderTest, draw: random.Random) -> bool:
    """One member, or all, at any moment while a study comes in and is worked on."""
    study = under_test.study()
    stage = draw.choice(stages)
    moment_s = draw.choice([0.2, 1.0, 3.0]) * draw.random()
    under_test.up()
    waiting = _sending(under_test, study)
    time.sleep(moment_s)  # the random moment
    with contextlib.suppress(psutil.NoSuchProcess):
        if stage == "node":
            os.killpg(under_test.node.pid, signal.SIGKILL)
        elif (process := under_test.process(stage)) is not None:
            process.kill()
    waiting.join()
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    return True


def _sending(under_test: NodeUnderTest, study: Study) -> threading.Thread:
    sending = threading.Thread(target=under_test.send, args=(study,))
    sending.start()
    return sending


def rows() -> list[Row]:
    """All of them; each way is taken by the process itself, its supervisor, and the node."""
    blobs = "/blobs/"
    return [
        Row(
            name="receive: an instance half written, written, flushed, renamed, its folder flushed",
            ways=[
                way
                for operation, most in (
                    (Operation.WRITE, 2 * SLICES),
                    (Operation.FDATASYNC, SLICES),
                    (Operation.RENAME | Operation.LINK, SLICES),
                    (Operation.FSYNC, SLICES),
                )
                for way in _disk_ways(operation, blobs, "receive", most)
            ],
            weight=2.5,
        ),
        Row(name="receive: 0x0000 about to leave, and left", ways=_disk_ways(Operation.SEND, "", "receive", SLICES), weight=2),
        Row(name="index: → received", ways=_journal_ways("instances.record", "flow"), weight=1.5),
        Row(
            name="index: rows committed, files moved one by one",
            ways=_disk_ways(Operation.RENAME, "/instances", "flow", SLICES),
            weight=1.5,
        ),
        Row(name="settle: received → complete", ways=_journal_ways("arrivals.complete", "flow"), weight=1.5),
        Row(name="route: complete → routed, → queued", ways=_journal_ways("routing.route", "flow"), weight=1.5),
        Row(name="work: a job claimed", ways=_journal_ways("jobs.claim", "work")),
        Row(
            name="work: findings and objects being written",
            ways=_disk_ways(Operation.FDATASYNC | Operation.LINK, "/", "work", 30),
            weight=1.5,
        ),
        Row(name="work: queued → inferred", ways=_journal_ways("jobs.inferred", "work"), weight=1.5),
        Row(name="work: inferred → encoded", ways=_journal_ways("jobs.encoded", "work"), weight=1.5),
        Row(name="deliver: a delivery claimed", ways=_journal_ways("deliveries.claim", "flow")),
        Row(name="deliver: objects on their way", ways=_disk_ways(Operation.SEND, "", "flow", 12), weight=1.5),
        Row(name="deliver: a receipt noted", ways=_journal_ways("deliveries.receipt", "flow")),
        Row(name="deliver: waiting → delivered, encoded → done", ways=_journal_ways("deliveries.delivered", "flow"), weight=1.5),
        Row(
            name="late instances: parked → superseded, a revision routed",
            ways=[functools.partial(late, when, victim) for when, victim in _DEATHS],
        ),
        Row(
            name="late instances: queued → parked",
            ways=[functools.partial(part, when, victim) for when, victim in _DEATHS],
            weight=0.7,
        ),
        Row(
            name="operator: done → encoded, delivered → waiting (resend)",
            ways=[
                functools.partial(_resent, stage, call, when, victim)
                for (stage, call, victim), when in product(
                    (("resend", "deliveries.resend", "self"), *(("flow", "deliveries.delivered", victim) for victim in _VICTIMS)), _WHEN
                )
            ],
        ),
        Row(
            name="operator: parked → queued → parked (retry), parked → cancelled (cancel), cancelled → queued (retry)",
            ways=[
                functools.partial(_operated, word, call, state, when)
                for when, (word, call, state) in product(
                    _WHEN,
                    (
                        ("retry", "jobs.revive", JobState.PARKED),
                        ("cancel", "jobs.end", JobState.PARKED),
                        ("retry", "jobs.revive", JobState.CANCELLED),
                    ),
                )
            ],
        ),
        Row(
            name="any moment, any process",
            ways=[functools.partial(_random, ("receive", "flow", "work", "supervisor", "node"))],
            weight=3,
        ),
    ]
