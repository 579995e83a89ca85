"""Kill rows: SIGKILL to one process, to the supervisor, or to the whole family, at every transition of the state table and in between."""

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
from tests.crash.house import House
from tests.crash.rows import Round, Row
from tests.crash.sender import Study
from tests.lab.program import wait_until

_VICTIMS = ("self", "supervisor", "family")
_WHEN = ("before", "inside", "after")
_DEATHS = (
    ("before", "self"), ("inside", "self"), ("after", "self"), ("before", "family"), ("inside", "supervisor"), ("after", "family"),
    ("before", "supervisor"), ("inside", "family"), ("after", "supervisor"),
)  # fmt: skip
"""When and who, in the order in which a row of few rounds takes them."""


def _journal(call: str, stage: str, when: str, victim: str, house: House, draw: random.Random) -> bool:
    """Killed at a call of the journal: before it, with everything written and nothing committed, or once it is committed."""
    study = house.study()
    house.plan(call, when, stage=stage, victim=victim)
    house.send_until_acknowledged(study)
    house.until_done(study)
    return house.taken()


def _journal_ways(call: str, stage: str) -> list[Round]:
    return [functools.partial(_journal, call, stage, when, victim) for when, victim in _DEATHS]


def _on_disk(operation: Operation, path: str, stage: str, most: int, mode: Mode, victim: Victim, house: House, draw: random.Random) -> bool:
    """Killed at an operation on a file, before or after it: the n-th, of `most`."""
    study = house.study()
    house.disk.fail(operation, mode=mode, victim=victim, skip=draw.randrange(most), count=1, path=path, process=f" {stage}")
    house.send_until_acknowledged(study)
    house.until_done(study)
    fired = house.disk.fired > 0
    house.disk.heal()
    return fired


def _disk_ways(operation: Operation, path: str, stage: str, most: int) -> list[Round]:
    return [
        functools.partial(_on_disk, operation, path, stage, most, mode, victim)
        for victim, mode in product(Victim, (Mode.KILL, Mode.KILL_AFTER))
    ]


def _late(when: str, victim: str, house: House, draw: random.Random) -> bool:
    """A study of which one slice comes when the rest was settled: its first job, parked, is superseded, and the node dies there."""
    study = house.study()
    _send_a_part(house, study)
    house.plan("route", when, stage="flow", victim=victim)
    house.send_until_acknowledged(study)
    house.until_done(study)
    return house.taken()


def _part(when: str, victim: str, house: House, draw: random.Random) -> bool:
    """The same; the node dies where the part is routed, and its job parked."""
    study = house.study()
    house.plan("route", when, stage="flow", victim=victim)
    _send_a_part(house, study)
    house.send_until_acknowledged(study)
    house.until_done(study)
    return house.taken()


def _send_a_part(house: House, study: Study) -> None:
    while len(study.acknowledged) < SLICES - 1:
        house.send(study, most=SLICES - 1 - len(study.acknowledged))

    def settled() -> bool:
        house.up()
        return house.settled(study)

    wait_until(settled, 120, "the part was settled")


def _operated(word: str, call: str, state: JobState, when: str, house: House, draw: random.Random) -> bool:
    """The operator's command is killed, and given again: what was parked is tried again, what was cancelled too, and cancelled."""
    study = house.study()
    _send_a_part(house, study)
    if state is JobState.CANCELLED:
        house.operate("cancel", study, JobState.PARKED)
    house.plan(call, when, stage=word, victim="self")
    house.operate(word, study, state)
    taken = house.taken()
    house.send_until_acknowledged(study)
    house.until_done(study)
    return taken


def _resent(stage: str, call: str, when: str, victim: str, house: House, draw: random.Random) -> bool:
    """The operator sends the frozen objects again (DONE → ENCODED, COMMITTED → WAITING), and the command dies over it, or the node when
    they have arrived."""
    study = house.study()
    house.send_until_acknowledged(study)
    house.until_done(study)
    house.plan(call, when, stage=stage, victim=victim)
    house.operate("resend", study, JobState.DONE)
    wait_until(lambda: house.taken_now() or house.is_done(study), 60, "they were sent again, or the node died over it", every_s=0.02)
    house.until_done(study)
    return house.taken()


def _random(stages: Sequence[str], house: House, draw: random.Random) -> bool:
    """One member, or all, at any moment while a study comes in and is worked on."""
    study = house.study()
    stage = draw.choice(stages)
    moment_s = draw.choice([0.2, 1.0, 3.0]) * draw.random()
    house.up()
    waiting = _sending(house, study)
    time.sleep(moment_s)  # the random moment
    with contextlib.suppress(psutil.NoSuchProcess):
        if stage == "family":
            os.killpg(house.node.pid, signal.SIGKILL)
        elif (process := house.process(stage)) is not None:
            process.kill()
    waiting.join()
    house.send_until_acknowledged(study)
    house.until_done(study)
    return True


def _sending(house: House, study: Study) -> threading.Thread:
    sending = threading.Thread(target=house.send, args=(study,))
    sending.start()
    return sending


def rows() -> list[Row]:
    """All of them; each way is taken by the process itself, its supervisor, and the family."""
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
        Row(name="index: → received", ways=_journal_ways("record", "flow"), weight=1.5),
        Row(
            name="index: rows committed, files moved one by one",
            ways=_disk_ways(Operation.RENAME, "/instances", "flow", SLICES),
            weight=1.5,
        ),
        Row(name="settle: received → complete", ways=_journal_ways("complete", "flow"), weight=1.5),
        Row(name="route: complete → routed, → queued", ways=_journal_ways("route", "flow"), weight=1.5),
        Row(name="work: a job claimed", ways=_journal_ways("claim_job", "work")),
        Row(
            name="work: findings and objects being written",
            ways=_disk_ways(Operation.FDATASYNC | Operation.LINK, "/", "work", 30),
            weight=1.5,
        ),
        Row(name="work: queued → inferred", ways=_journal_ways("inferred", "work"), weight=1.5),
        Row(name="work: inferred → encoded", ways=_journal_ways("encoded", "work"), weight=1.5),
        Row(name="deliver: a delivery claimed", ways=_journal_ways("claim_delivery", "flow")),
        Row(name="deliver: objects on their way", ways=_disk_ways(Operation.SEND, "", "flow", 12), weight=1.5),
        Row(name="deliver: a receipt noted", ways=_journal_ways("receipt", "flow")),
        Row(name="deliver: waiting → delivered → committed, encoded → done", ways=_journal_ways("delivered", "flow"), weight=1.5),
        Row(
            name="late instances: parked → superseded, a revision routed",
            ways=[functools.partial(_late, when, victim) for when, victim in _DEATHS],
        ),
        Row(
            name="late instances: queued → parked",
            ways=[functools.partial(_part, when, victim) for when, victim in _DEATHS],
            weight=0.7,
        ),
        Row(
            name="operator: done → encoded, committed → waiting (resend)",
            ways=[
                functools.partial(_resent, stage, call, when, victim)
                for (stage, call, victim), when in product(
                    (("resend", "resend", "self"), *(("flow", "delivered", victim) for victim in _VICTIMS)), _WHEN
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
                        ("retry", "revive_job", JobState.PARKED),
                        ("cancel", "end_job", JobState.PARKED),
                        ("retry", "revive_job", JobState.CANCELLED),
                    ),
                )
            ],
        ),
        Row(
            name="any moment, any process",
            ways=[functools.partial(_random, ("receive", "flow", "work", "supervisor", "family"))],
            weight=3,
        ),
    ]
