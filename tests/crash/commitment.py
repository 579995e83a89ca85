"""Rows of storage commitment: the node asks the archive to commit to results, and commits to what a modality sent; killed at every step.

What must be true besides the count: no delivery is COMMITTED unless the archive has reported so for each of its objects; a request that was
answered with success is reported on, every instance exactly once, what was acknowledged before it as committed, what never came as 0112;
every report of a transaction says the same; and retention takes nothing before a commitment, and nothing of a promise before its time.
"""

import functools
import random
import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import product

from pydicom.uid import CTImageStorage

from node.assembly import compose
from node.assembly.configuration import load
from node.domain.state import DeliveryState
from node.upkeep.retention import Retention
from tests.crash.archive import Manner
from tests.crash.disk import Mode, Operation, Victim
from tests.crash.node_under_test import PATIENCE_S, NodeUnderTest
from tests.crash.rows import Round, Row
from tests.crash.sender import Study
from tests.lab.committing import Told, action_information
from tests.lab.program import wait_until

_WHEN = ("before", "inside", "after")
_VICTIMS = ("self", "self", "node", "self", "supervisor")
"""In turns: who is killed at which call changes from one to the next."""
_NO_SUCH_INSTANCE = 0x0112
_INBOX = "/slips"


# ---- the node asks


def _requested(call: str, when: str, victim: str, manner: Manner, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """Killed at a call of the journal on the way of a commitment to results."""
    study = _reports(under_test, manner, draw)
    under_test.plan(call, when, stage="flow", victim=victim)
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    _is_committed(under_test, study)
    return under_test.taken()


def _reported(operation: Operation, path: str, mode: Mode, victim: Victim, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """Killed where the archive's report becomes durable, or over the answer to it."""
    study = _reports(under_test, draw.choice([Manner.LATER, Manner.TWICE]), draw)
    under_test.send_until_acknowledged(study)
    under_test.disk.fail(operation, mode=mode, victim=victim, skip=draw.randrange(2), count=1, path=path, process=" receive")
    under_test.until_done(study)
    _is_committed(under_test, study)
    fired = under_test.disk.fired > 0
    under_test.disk.heal()
    return fired


def _kept_for_the_archive(call: str, when: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """Killed while the archive says nothing; ten years later retention has taken nothing of the study or its results. Once the archive has
    committed, it takes all of it."""
    study = _reports(under_test, Manner.SILENT, draw)
    assert under_test.archive is not None
    before = len(under_test.archive.asked)
    under_test.plan(call, when, stage="flow", victim="node")
    under_test.send_until_acknowledged(study)

    def dead() -> bool:
        return under_test.taken_now() and not under_test.node.running

    wait_until(dead, PATIENCE_S, "the node died over it")
    under_test.up()
    under_test.hasten()

    def asked() -> bool:
        return len(under_test.archive.asked) > before  # type: ignore[union-attr]

    wait_until(asked, PATIENCE_S, "the archive is asked")
    under_test.kill()
    _retain(under_test, timedelta(days=3653))
    held = under_test.counting.count([study])
    assert not held.lost, f"retention took what the archive has not committed to: {held.lost}"
    with under_test.asked() as journal:
        blobs = [one.blob for job in journal.jobs.find(study=study.uid) for one in journal.results.of_job(job.id)]
        assert len(blobs) == 3, f"{len(blobs)} results"
    assert all((under_test.store / "blobs" / blob).exists() for blob in blobs), "a result went before its commitment"
    under_test.archive.manner = Manner.LATER
    under_test.until_done(study)
    _is_committed(under_test, study)
    under_test.kill()
    held = under_test.counting.count([study])
    assert not held.lost, f"lost before retention came: {held.lost}"
    assert not held.doubled, "not exactly one set of results"
    _retain(under_test, timedelta(days=3653))
    left = [path.name for path in (under_test.store / "blobs" / "instances").rglob("*.dcm")]
    assert not left, f"retention left {left}"
    under_test.studies.clear()  # nothing is to be counted any more
    return under_test.taken()


def _reports(under_test: NodeUnderTest, manner: Manner, draw: random.Random) -> Study:
    assert under_test.archive is not None
    under_test.archive.manner, under_test.archive.draw = manner, draw
    return under_test.study()


def _is_committed(under_test: NodeUnderTest, study: Study) -> None:
    assert under_test.archive is not None
    with under_test.asked() as journal:
        for job in journal.jobs.find(study=study.uid):
            for delivery in journal.deliveries.find(job=job.id):
                if delivery.state is DeliveryState.COMMITTED:
                    strange = {one.sop_instance_uid for one in journal.results.of_job(job.id)} - under_test.archive.committed
                    assert not strange, f"committed without the archive's word: {strange}"


# ---- the modality asks


def _asked(prepare: Round, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """A study comes, the modality asks the node to commit to it and to one that never came, something happens on the way to the report."""
    study = under_test.study()
    if draw.random() < 0.5:
        under_test.send_until_acknowledged(study)
        prepare(under_test, draw)
    else:
        # the request overtakes the index
        prepare(under_test, draw)
        under_test.send_until_acknowledged(study)
    ask(under_test, study, draw)
    under_test.until_done(study)
    fired = under_test.disk.fired > 0
    under_test.disk.heal()
    return under_test.taken() or fired


def ask(under_test: NodeUnderTest, study: Study, draw: random.Random) -> None:
    """Ask until the node has answered with success, and wait for its report."""
    modality = under_test.modality
    assert modality is not None
    never = [f"2.25.{uuid.UUID(int=draw.getrandbits(128)).int}"] if draw.random() < 0.5 else []
    wanted = [(str(CTImageStorage), uid) for uid in [*study.files, *never]]
    transaction = f"2.25.{uuid.UUID(int=draw.getrandbits(128)).int}"

    def taken() -> bool:
        under_test.up()
        try:
            return modality.ask(under_test.node.port, action_information(transaction, wanted)) == 0x0000
        except RuntimeError:  # the association is gone
            return False

    wait_until(taken, PATIENCE_S, "the request is taken", every_s=0.2)

    def told() -> list[Told]:
        under_test.up()
        return [one for one in modality.told if one.transaction_uid == transaction]

    wait_until(told, PATIENCE_S, "the request is reported on", every_s=0.1)
    for report in told():
        assert sorted(report.committed) == sorted(study.files), f"of {len(study.files)} acknowledged instances it commits to {report}"
        assert report.failed == dict.fromkeys(never, _NO_SUCH_INSTANCE), report
        assert report.event_type == (2 if never else 1), report


def _at_call(call: str, when: str, victim: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    under_test.plan(call, when, stage="flow", victim=victim)
    return True


def _at_entry(operation: Operation, mode: Mode, victim: Victim, under_test: NodeUnderTest, draw: random.Random) -> bool:
    under_test.disk.fail(operation, mode=mode, victim=victim, skip=0, count=1, path=_INBOX, process=" receive")
    return True


def _at_report(mode: Mode, victim: Victim, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """One of the messages of flow: objects to the archive, the question to it, and the report to the modality."""
    under_test.disk.fail(Operation.SEND, mode=mode, victim=victim, skip=draw.randrange(6), count=1, process=" flow")
    return True


def _kept_for_the_modality(when: str, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """A promise is given, its process killed over it; retention, at the last moment at which the promise holds, leaves the study, which has
    been received for longer than `keep` by then; and takes it a day later."""
    study = under_test.study()
    under_test.send_until_acknowledged(study)
    under_test.until_done(study)
    under_test.plan("commitment_requests.judge", when, stage="flow", victim="node")
    ask(under_test, study, draw)
    taken = under_test.taken()
    under_test.until_done(study)
    under_test.kill()
    with under_test.asked() as journal:
        rows = journal.instances.of_study(study.uid)
        given = journal.commitment_requests.committed([row.id for row in rows])
    assert sorted(given) == sorted(row.id for row in rows), "not every instance that was reported as committed has a promise"
    keep = load(under_test.node.config).store.keep
    _retain_at(under_test, min(given.values()) + keep - timedelta(milliseconds=1))
    held = under_test.counting.count([study])
    assert not held.lost, f"retention broke a promise: {held.lost}"
    _retain_at(under_test, max(given.values()) + keep + timedelta(days=1))
    left = [row.blob for row in rows if (under_test.store / "blobs" / row.blob).exists()]
    assert not left, f"retention left {left}"
    under_test.studies.clear()
    return taken


# ---- retention, as it will be


def _retain(under_test: NodeUnderTest, later: timedelta) -> None:
    with under_test.asked() as journal:
        now = journal.now()
    _retain_at(under_test, now + later)


def _retain_at(under_test: NodeUnderTest, moment: datetime) -> None:
    """Retention as it will be then; the node is dead."""
    config = load(under_test.node.config)
    with closing(compose.open_journal(config)) as journal:
        retention = Retention(journal.retention, compose.open_blobs(config), config, lambda: moment)
        while retention.step():
            pass


def rows() -> list[Row]:
    """Both roles."""
    manners = list(Manner)[:-1]
    requested: Sequence[Round] = [
        functools.partial(_requested, call, when, _VICTIMS[number % len(_VICTIMS)], manners[number % len(manners)])
        for number, (when, call) in enumerate(
            2 * [*product(_WHEN, ("deliveries.delivered", "commitments.begin", "commitments.accepted", "commitments.apply"))]
        )
    ]
    return [
        Row(name="commitment asked for: → delivered, asked, answered, reported → committed or waiting", ways=requested, weight=3),
        Row(
            name="commitment asked for: the report written, flushed, renamed, answered",
            ways=[
                functools.partial(_reported, operation, path, mode, victim)
                for (operation, path), mode, victim in product(
                    ((Operation.WRITE, _INBOX), (Operation.FLUSH, _INBOX), (Operation.RENAME, _INBOX), (Operation.SEND, "")),
                    (Mode.KILL, Mode.KILL_AFTER),
                    Victim,
                )
            ],
            weight=2,
        ),
        *asked_rows(),
    ]


def retention_rows() -> list[Row]:
    """What they end with is that a study goes: they have a node of their own, and count there themselves."""
    return [
        Row(
            name="commitment asked for: retention ten years later, before the report and after it",
            ways=[
                functools.partial(_kept_for_the_archive, call, when)
                for call, when in product(("commitments.begin", "commitments.accepted"), ("inside", "after"))
            ],
        ),
        Row(
            name="commitment given: retention at the last moment of the promise, and a day later",
            ways=[functools.partial(_kept_for_the_modality, when) for when in _WHEN],
        ),
    ]


def asked_rows() -> list[Row]:
    """The node as the one that promises."""
    calls = [
        functools.partial(_asked, functools.partial(_at_call, call, when, _VICTIMS[number % len(_VICTIMS)]))
        for number, (when, call) in enumerate(
            2 * [*product(_WHEN, ("commitment_requests.receive", "commitment_requests.judge", "commitment_requests.end"))]
        )
    ]
    requests = [
        functools.partial(_asked, functools.partial(_at_entry, operation, mode, victim))
        for operation, mode, victim in product((Operation.WRITE, Operation.FLUSH, Operation.RENAME), (Mode.KILL, Mode.KILL_AFTER), Victim)
    ]
    sent = [
        functools.partial(_asked, functools.partial(_at_report, mode, victim))
        for mode, victim in product((Mode.KILL, Mode.KILL_AFTER), Victim)
    ]
    return [
        Row(name="commitment given: → received, judged, reported", ways=calls, weight=2.5),
        Row(name="commitment given: the request written, flushed, renamed", ways=requests, weight=1.5),
        Row(name="commitment given: the report about to leave, and left", ways=sent),
    ]
