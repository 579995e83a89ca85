"""The state table against the matrix: at which call of the journal each transition happens, and the faults that begin there.

A transition that no row meets has its reason in `REASONS`; tests/crash/test_matrix.py holds both to the table.
"""

import errno
import functools
import random
from collections.abc import Callable
from itertools import product

from node.domain.state import ArrivalState, DeliveryState, JobState
from tests.crash.disk import Mode, Operation
from tests.crash.node_under_test import NodeUnderTest
from tests.crash.rows import Round, Row

TRANSITIONS: dict[tuple[str, object, object], tuple[str, str]] = {
    ("arrival", None, ArrivalState.RECEIVED): ("instances.record", "flow"),
    ("arrival", ArrivalState.RECEIVED, ArrivalState.COMPLETE): ("arrivals.complete", "flow"),
    ("arrival", ArrivalState.COMPLETE, ArrivalState.ROUTED): ("routing.route", "flow"),
    ("job", None, JobState.QUEUED): ("routing.route", "flow"),
    ("job", JobState.QUEUED, JobState.INFERRED): ("jobs.inferred", "work"),
    ("job", JobState.INFERRED, JobState.ENCODED): ("jobs.encoded", "work"),
    ("job", JobState.ENCODED, JobState.DONE): ("deliveries.delivered", "flow"),
    ("delivery", DeliveryState.WAITING, DeliveryState.DELIVERED): ("deliveries.delivered", "flow"),
}
"""(table, before, after) of every transition of a study that meets no obstacle: the call of the journal that makes it, and the process
that calls."""

OBSTACLES: dict[tuple[str, object, object], tuple[str, str]] = {
    ("job", JobState.QUEUED, JobState.PARKED): ("routing.route", "flow"),
    ("job", JobState.PARKED, JobState.SUPERSEDED): ("routing.route", "flow"),
    ("job", JobState.PARKED, JobState.CANCELLED): ("jobs.end", "cancel"),
    ("job", JobState.CANCELLED, JobState.QUEUED): ("jobs.revive", "retry"),
    ("job", JobState.PARKED, JobState.QUEUED): ("jobs.revive", "retry"),
    ("job", JobState.DONE, JobState.ENCODED): ("deliveries.resend", "resend"),
    ("delivery", DeliveryState.DELIVERED, DeliveryState.WAITING): ("deliveries.resend", "resend"),
    ("delivery", DeliveryState.DELIVERED, DeliveryState.COMMITTED): ("commitments.apply", "flow"),
}
"""Transitions of a part of a study, of the operator's commands, and of an archive that has lost something; the rows are in kills.py
and commitment.py. The process of an operator's command is named by its word."""

_BY_THE_SAME = (
    "made by a call that a row meets on another transition, in one statement of the same transaction (node/journal/transitions.py)"
)
_SIMULATED = "needs an archive that refuses for good: the simulation's schedules go through it, with kills before and after"
_POISON = "needs an arrival over which flow dies again and again: tests/node/test_poison.py has one, and puts it back"
REASONS: dict[tuple[str, object, object], str] = {
    ("arrival", ArrivalState.COMPLETE, ArrivalState.PARKED): _POISON,
    ("arrival", ArrivalState.PARKED, ArrivalState.COMPLETE): _POISON,
    ("arrival", ArrivalState.PARKED, ArrivalState.ROUTED): _BY_THE_SAME,
    ("job", JobState.QUEUED, JobState.FAILED): _BY_THE_SAME,
    ("job", JobState.QUEUED, JobState.NOT_APPLICABLE): _BY_THE_SAME,
    ("job", JobState.NOT_APPLICABLE, JobState.QUEUED): _BY_THE_SAME,
    ("job", JobState.NOT_APPLICABLE, JobState.CANCELLED): _BY_THE_SAME,
    ("job", JobState.NOT_APPLICABLE, JobState.SUPERSEDED): _BY_THE_SAME,
    ("job", JobState.QUEUED, JobState.CANCELLED): _BY_THE_SAME,
    ("job", JobState.QUEUED, JobState.SUPERSEDED): _BY_THE_SAME,
    ("job", JobState.INFERRED, JobState.PARKED): _BY_THE_SAME,
    ("job", JobState.INFERRED, JobState.FAILED): _BY_THE_SAME,
    ("job", JobState.INFERRED, JobState.CANCELLED): _BY_THE_SAME,
    ("job", JobState.INFERRED, JobState.SUPERSEDED): _BY_THE_SAME,
    ("job", JobState.ENCODED, JobState.CANCELLED): _BY_THE_SAME,
    ("job", JobState.ENCODED, JobState.SUPERSEDED): _BY_THE_SAME,
    ("job", JobState.DONE, JobState.SUPERSEDED): _BY_THE_SAME,
    ("job", JobState.PARKED, JobState.INFERRED): _BY_THE_SAME,
    ("job", JobState.FAILED, JobState.QUEUED): _BY_THE_SAME,
    ("job", JobState.FAILED, JobState.INFERRED): _BY_THE_SAME,
    ("job", JobState.FAILED, JobState.CANCELLED): _BY_THE_SAME,
    ("job", JobState.FAILED, JobState.SUPERSEDED): _BY_THE_SAME,
    ("job", JobState.CANCELLED, JobState.INFERRED): _BY_THE_SAME,
    ("job", JobState.CANCELLED, JobState.ENCODED): _BY_THE_SAME,
    ("delivery", DeliveryState.WAITING, DeliveryState.PARKED): _SIMULATED,
    ("delivery", DeliveryState.COMMITTED, DeliveryState.WAITING): _BY_THE_SAME,
    ("delivery", DeliveryState.WAITING, DeliveryState.CANCELLED): _BY_THE_SAME,
    (
        "delivery",
        DeliveryState.DELIVERED,
        DeliveryState.PARKED,
    ): "an archive that never commits: tests/node/test_commitment.py, with its kills",
    ("delivery", DeliveryState.PARKED, DeliveryState.WAITING): _SIMULATED,
    ("delivery", DeliveryState.PARKED, DeliveryState.CANCELLED): _BY_THE_SAME,
    ("delivery", DeliveryState.CANCELLED, DeliveryState.WAITING): _BY_THE_SAME,
}
"""Transitions of the table without a row."""


class Fault:
    """What begins to go wrong at a transition; `arm` gives what under_test.plan needs."""

    def __init__(self, name: str, arm: Callable[[NodeUnderTest, str], dict[str, object]]) -> None:
        self.name = name
        self.arm = arm


def _failing(operations: Operation, error: int, count: int, mode: Mode = Mode.FAIL) -> Callable[[NodeUnderTest, str], dict[str, object]]:
    def arm(under_test: NodeUnderTest, stage: str) -> dict[str, object]:
        under_test.disk.fail(operations, error=error, mode=mode, count=count, process=f" {stage}", at_once=False)
        offset, content = under_test.disk.begins()
        return {"poke": [str(under_test.disk.control), offset, content.hex()]}

    return arm


def _turning(ahead_s: float) -> Callable[[NodeUnderTest, str], dict[str, object]]:
    def arm(under_test: NodeUnderTest, stage: str) -> dict[str, object]:
        offset, content = under_test.disk.turns(ahead_s)
        return {"poke": [str(under_test.disk.control), offset, content.hex()]}

    return arm


def _locking(under_test: NodeUnderTest, stage: str) -> dict[str, object]:
    return {"lock": [str(under_test.store / "hilum.db"), 1.5]}


_CHANGES = Operation.CHANGE | Operation.FLUSH | Operation.UNLINK
FAULTS = (
    Fault("ENOSPC", _failing(Operation.WRITE | Operation.OPEN | Operation.TRUNCATE, errno.ENOSPC, 4)),
    Fault("EIO", _failing(Operation.WRITE, errno.EIO, 2)),
    Fault("short write", _failing(Operation.WRITE, 0, 3, Mode.SHORT)),
    Fault("fsync failure", _failing(Operation.FLUSH, errno.EIO, 2)),
    Fault("read-only disk", _failing(_CHANGES, errno.EROFS, 6)),
    Fault("clock jump", _turning(3600.0)),
    Fault("clock jump back", _turning(-3600.0)),
    Fault("database locked", _locking),
)
"""Every fault that the matrix knows, besides SIGKILL."""


def _at(call: str, stage: str, when: str, fault: Fault, under_test: NodeUnderTest, draw: random.Random) -> bool:
    """The fault begins when a process comes to this call, before it or with everything written and nothing committed."""
    study = under_test.study()
    under_test.up()
    under_test.plan(call, when, stage=stage, **fault.arm(under_test, stage))
    try:
        under_test.send_until_acknowledged(study)
        under_test.until_done(study)
    finally:
        under_test.disk.heal()
        under_test.disk.turn_clock(0)
    return under_test.taken()


def ways(fault: Fault) -> list[Round]:
    """One fault at every transition; a lock cannot begin within somebody's transaction."""
    calls = sorted({*TRANSITIONS.values(), ("jobs.claim", "work"), ("deliveries.claim", "flow"), ("deliveries.receipt", "flow")})
    moments = ("before",) if fault.arm is _locking else ("inside", "before")
    return [functools.partial(_at, call, stage, when, fault) for when, (call, stage) in product(moments, calls)]


def rows() -> list[Row]:
    """One row a fault."""
    return [Row(name=f"{fault.name} from a transition on, each in turn", ways=ways(fault), weight=4) for fault in FAULTS]
