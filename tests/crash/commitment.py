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
from node.domain.state import DeliveryState
from node.flow.retention import Retention
from node.settings.load import load
from tests.crash.archive import Manner
from tests.crash.disk import Mode, Operation, Victim
from tests.crash.house import PATIENCE_S, House
from tests.crash.rows import Round, Row
from tests.crash.sender import Study
from tests.lab.committing import Told, action_information
from tests.lab.program import wait_until

_WHEN = ("before", "inside", "after")
_VICTIMS = ("self", "self", "family", "self", "supervisor")
"""In turns: who is killed at which call changes from one to the next."""
_NO_SUCH_INSTANCE = 0x0112
_SLIPS = "/slips"


# ---- the node asks


def _requested(call: str, when: str, victim: str, manner: Manner, house: House, draw: random.Random) -> bool:
    """Killed at a call of the journal on the way of a commitment to results."""
    study = _reports(house, manner, draw)
    house.plan(call, when, stage="flow", victim=victim)
    house.send_until_acknowledged(study)
    house.until_done(study)
    _is_committed(house, study)
    return house.taken()


def _reported(operation: Operation, path: str, mode: Mode, victim: Victim, house: House, draw: random.Random) -> bool:
    """Killed where the archive's report becomes durable, or over the answer to it."""
    study = _reports(house, draw.choice([Manner.LATER, Manner.TWICE]), draw)
    house.send_until_acknowledged(study)
    house.disk.fail(operation, mode=mode, victim=victim, skip=draw.randrange(2), count=1, path=path, process=" receive")
    house.until_done(study)
    _is_committed(house, study)
    fired = house.disk.fired > 0
    house.disk.heal()
    return fired


def _kept_for_the_archive(call: str, when: str, house: House, draw: random.Random) -> bool:
    """Killed while the archive says nothing; ten years later retention has taken nothing of the study or its results. Once the archive has
    committed, it takes all of it."""
    study = _reports(house, Manner.SILENT, draw)
    assert house.archive is not None
    before = len(house.archive.asked)
    house.plan(call, when, stage="flow", victim="family")
    house.send_until_acknowledged(study)

    def dead() -> bool:
        return house.taken_now() and not house.node.running

    wait_until(dead, PATIENCE_S, "the node died over it")
    house.up()
    house.hasten()

    def asked() -> bool:
        return len(house.archive.asked) > before  # type: ignore[union-attr]

    wait_until(asked, PATIENCE_S, "the archive is asked")
    house.kill()
    _retain(house, timedelta(days=3653))
    held = house.counting.count([study])
    assert not held.lost, f"retention took what the archive has not committed to: {held.lost}"
    with house.asked() as journal:
        blobs = [one.blob for job in journal.jobs(study=study.uid) for one in journal.objects(job.id)]
        assert len(blobs) == 3, f"{len(blobs)} results"
    assert all((house.store / "blobs" / blob).exists() for blob in blobs), "a result went before its commitment"
    house.archive.manner = Manner.LATER
    house.until_done(study)
    _is_committed(house, study)
    house.kill()
    held = house.counting.count([study])
    assert not held.lost, f"lost before retention came: {held.lost}"
    assert not held.doubled, "not exactly one set of results"
    _retain(house, timedelta(days=3653))
    left = [path.name for path in (house.store / "blobs" / "instances").rglob("*.dcm")]
    assert not left, f"retention left {left}"
    house.studies.clear()  # nothing is to be counted any more
    return house.taken()


def _reports(house: House, manner: Manner, draw: random.Random) -> Study:
    assert house.archive is not None
    house.archive.manner, house.archive.draw = manner, draw
    return house.study()


def _is_committed(house: House, study: Study) -> None:
    assert house.archive is not None
    with house.asked() as journal:
        for job in journal.jobs(study=study.uid):
            for delivery in journal.deliveries(job=job.id):
                if delivery.state is DeliveryState.COMMITTED:
                    strange = {one.sop_instance_uid for one in journal.objects(job.id)} - house.archive.committed
                    assert not strange, f"committed without the archive's word: {strange}"


# ---- the modality asks


def _asked(prepare: Round, house: House, draw: random.Random) -> bool:
    """A study comes, the modality asks the node to commit to it and to one that never came, something happens on the way to the report."""
    study = house.study()
    if draw.random() < 0.5:
        house.send_until_acknowledged(study)
        prepare(house, draw)
    else:
        # the request overtakes the index
        prepare(house, draw)
        house.send_until_acknowledged(study)
    ask(house, study, draw)
    house.until_done(study)
    fired = house.disk.fired > 0
    house.disk.heal()
    return house.taken() or fired


def ask(house: House, study: Study, draw: random.Random) -> None:
    """Ask until the node has answered with success, and wait for its report."""
    modality = house.modality
    assert modality is not None
    never = [f"2.25.{uuid.UUID(int=draw.getrandbits(128)).int}"] if draw.random() < 0.5 else []
    wanted = [(str(CTImageStorage), uid) for uid in [*study.files, *never]]
    transaction = f"2.25.{uuid.UUID(int=draw.getrandbits(128)).int}"

    def taken() -> bool:
        house.up()
        try:
            return modality.ask(house.node.port, action_information(transaction, wanted)) == 0x0000
        except RuntimeError:  # the association is gone
            return False

    wait_until(taken, PATIENCE_S, "the request is taken", every_s=0.2)

    def told() -> list[Told]:
        house.up()
        return [one for one in modality.told if one.transaction_uid == transaction]

    wait_until(told, PATIENCE_S, "the request is reported on", every_s=0.1)
    for report in told():
        assert sorted(report.committed) == sorted(study.files), f"of {len(study.files)} acknowledged instances it commits to {report}"
        assert report.failed == dict.fromkeys(never, _NO_SUCH_INSTANCE), report
        assert report.event_type == (2 if never else 1), report


def _at_call(call: str, when: str, victim: str, house: House, draw: random.Random) -> bool:
    house.plan(call, when, stage="flow", victim=victim)
    return True


def _at_slip(operation: Operation, mode: Mode, victim: Victim, house: House, draw: random.Random) -> bool:
    house.disk.fail(operation, mode=mode, victim=victim, skip=0, count=1, path=_SLIPS, process=" receive")
    return True


def _at_report(mode: Mode, victim: Victim, house: House, draw: random.Random) -> bool:
    """One of the messages of flow: objects to the archive, the question to it, and the report to the modality."""
    house.disk.fail(Operation.SEND, mode=mode, victim=victim, skip=draw.randrange(6), count=1, process=" flow")
    return True


def _kept_for_the_modality(when: str, house: House, draw: random.Random) -> bool:
    """A promise is given, its process killed over it; retention, at the last moment at which the promise holds, leaves the study, which has
    been received for longer than `keep` by then; and takes it a day later."""
    study = house.study()
    house.send_until_acknowledged(study)
    house.until_done(study)
    house.plan("judge", when, stage="flow", victim="family")
    ask(house, study, draw)
    taken = house.taken()
    house.until_done(study)
    house.kill()
    with house.asked() as journal:
        rows = journal.study_instances(study.uid)
        given = journal.promised([row.id for row in rows])
    assert sorted(given) == sorted(row.id for row in rows), "not every instance that was reported as committed has a promise"
    keep = load(house.node.config).store.keep
    _retain_at(house, min(given.values()) + keep - timedelta(milliseconds=1))
    held = house.counting.count([study])
    assert not held.lost, f"retention broke a promise: {held.lost}"
    _retain_at(house, max(given.values()) + keep + timedelta(days=1))
    left = [row.blob for row in rows if (house.store / "blobs" / row.blob).exists()]
    assert not left, f"retention left {left}"
    house.studies.clear()
    return taken


# ---- retention, as it will be


def _retain(house: House, later: timedelta) -> None:
    with house.asked() as journal:
        now = journal.now()
    _retain_at(house, now + later)


def _retain_at(house: House, moment: datetime) -> None:
    """Retention as it will be then; the node is dead."""
    config = load(house.node.config)
    with closing(compose.open_journal(config)) as journal:
        retention = Retention(journal, compose.open_blobs(config), config, lambda: moment)
        while retention.step():
            pass


def rows() -> list[Row]:
    """Both roles."""
    manners = list(Manner)[:-1]
    requested: Sequence[Round] = [
        functools.partial(_requested, call, when, _VICTIMS[number % len(_VICTIMS)], manners[number % len(manners)])
        for number, (when, call) in enumerate(
            2 * [*product(_WHEN, ("delivered", "begin_commitment", "commitment_accepted", "apply_report"))]
        )
    ]
    return [
        Row(name="commitment asked for: → delivered, asked, answered, reported → committed or waiting", ways=requested, weight=3),
        Row(
            name="commitment asked for: the report written, flushed, renamed, answered",
            ways=[
                functools.partial(_reported, operation, path, mode, victim)
                for (operation, path), mode, victim in product(
                    ((Operation.WRITE, _SLIPS), (Operation.FLUSH, _SLIPS), (Operation.RENAME, _SLIPS), (Operation.SEND, "")),
                    (Mode.KILL, Mode.KILL_AFTER),
                    Victim,
                )
            ],
            weight=2,
        ),
        *asked_rows(),
    ]


def retention_rows() -> list[Row]:
    """What they end with is that a study goes: they have a house of their own, and count in it themselves."""
    return [
        Row(
            name="commitment asked for: retention ten years later, before the report and after it",
            ways=[
                functools.partial(_kept_for_the_archive, call, when)
                for call, when in product(("begin_commitment", "commitment_accepted"), ("inside", "after"))
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
        for number, (when, call) in enumerate(2 * [*product(_WHEN, ("receive_request", "judge", "end_request"))])
    ]
    slips = [
        functools.partial(_asked, functools.partial(_at_slip, operation, mode, victim))
        for operation, mode, victim in product((Operation.WRITE, Operation.FLUSH, Operation.RENAME), (Mode.KILL, Mode.KILL_AFTER), Victim)
    ]
    sent = [
        functools.partial(_asked, functools.partial(_at_report, mode, victim))
        for mode, victim in product((Mode.KILL, Mode.KILL_AFTER), Victim)
    ]
    return [
        Row(name="commitment given: → received, judged, reported", ways=calls, weight=2.5),
        Row(name="commitment given: the request written, flushed, renamed", ways=slips, weight=1.5),
        Row(name="commitment given: the report about to leave, and left", ways=sent),
    ]
