"""Between rows and nouns: times, optional texts, and one function for each noun."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from node.domain.arrival import Arrival, Completeness
from node.domain.instance import Header, HeldFor, Instance, Standing
from node.domain.job import RANKS, Delivery, Demand, Job, JobKind, ResultObject, WhenExcluded
from node.domain.route import Decision, Junction, Tried, Withheld
from node.domain.shortage import Lack, Shortage
from node.domain.state import ArrivalState, DeliveryState, JobState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
PRIORITIES = {rank: priority for priority, rank in RANKS.items()}


def micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC; a naive datetime is a defect of the caller and raises TypeError."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The aware UTC time of a column."""
    return _EPOCH + value * _MICROSECOND


def _moment_or_none(value: int | None) -> datetime | None:
    return None if value is None else moment(value)


def to_instance(row: Row[Any], header: Header) -> Instance:
    """An instance; its header comes from node.journal.instances."""
    return Instance(
        id=row.id,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        blob=row.blob,
        size=row.size,
        digest=row.digest,
        calling_ae=row.calling_ae,
        called_ae=row.called_ae,
        address=row.address,
        peer=row.peer or None,
        received_at=moment(row.received_at),
        header=header,
        standing=Standing(row.standing),
        held_for=None if row.held_for is None else HeldFor(row.held_for),
        association=row.association,
    )


def to_arrival(row: Row[Any]) -> Arrival:
    """An arrival."""
    return Arrival(
        id=row.id,
        peer=row.peer or None,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid or None,
        called_ae=row.called_ae,
        state=ArrivalState(row.state),
        revision=row.revision,
        supersedes=row.supersedes,
        opened_at=moment(row.opened_at),
        last_instance_at=moment(row.last_instance_at),
        due_at=moment(row.due_at),
        completed_at=_moment_or_none(row.completed_at),
        completed_by=None if row.completed_by is None else Completeness(row.completed_by),
        instances=row.instances,
        counted=row.counted_last == row.last_instance_at,
        waits=row.waits_last == row.last_instance_at,
        waits_for=(row.waits_for or "") if row.waits_last == row.last_instance_at else "",
        attempts=row.attempts,
        code=row.code,
        reason=row.reason,
    )


def to_demand(row: Row[Any]) -> Demand:
    """What a route of a job asked."""
    return Demand(version=row.version, accepted=row.accepted)


def to_job(row: Row[Any], asked: Mapping[str, Demand], sinks: Mapping[int, tuple[str, ...]]) -> Job:
    """A job; its routes, with what they `asked`, and its sinks lie in tables of their own."""
    return Job(
        id=row.id,
        arrival=row.arrival_id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        application=row.application,
        application_version=row.application_version,
        engine=row.engine,
        routes=tuple(asked),
        sinks=sinks.get(row.id, ()),
        priority=PRIORITIES[row.rank],
        state=JobState(row.state),
        attempts=row.attempts,
        lease=row.lease,
        lease_until=_moment_or_none(row.lease_until),
        due_at=moment(row.due_at),
        created_at=moment(row.created_at),
        input_digest=row.input_digest,
        predecessor=row.predecessor,
        findings_blob=row.findings_blob,
        inferred_at=_moment_or_none(row.inferred_at),
        model_digest=row.model_digest,
        code=row.code,
        reason=row.reason,
        deadline_at=_moment_or_none(row.deadline_at),
        shortage=None if row.lack is None else Shortage(lack=Lack(row.lack), came=row.came, expected=row.expected),
        marked=bool(row.marked),
        kind=JobKind(row.kind),
        declined=row.declined,
        findings_version=row.findings_version,
        engines_lost=row.engines_lost,
        delivered_before=row.delivered_before,
        when_excluded=WhenExcluded(row.when_excluded),
        done_at=_moment_or_none(row.done_at),
        demands={route: demand for route, demand in asked.items() if not demand.none},
    )


def to_object(row: Row[Any]) -> ResultObject:
    """A result object."""
    return ResultObject(
        id=row.id,
        job=row.job_id,
        kind=row.kind,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        series_instance_uid=row.series_instance_uid,
        description=row.description,
        blob=row.blob,
        size=row.size,
        digest=row.digest,
        form=row.form,
        part=row.part,
        one_cine=row.one_cine,
    )


def to_delivery(row: Row[Any]) -> Delivery:
    """A delivery."""
    return Delivery(
        id=row.id,
        job=row.job_id,
        sink=row.sink,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        lease=row.lease,
        due_at=moment(row.due_at),
        code=row.code,
        reason=row.reason,
        waiting_since=moment(row.waiting_since),
        form=row.form,
        delivered_at=_moment_or_none(row.delivered_at),
        awaits_commitment=row.awaits_commitment,
    )


def tried_text(decision: Decision) -> str:
    """The conditions of a decision as JSON."""
    return json.dumps([_packed(one) for one in decision.tried], ensure_ascii=False)


def _packed(one: Tried) -> list[Any]:
    """A list, of a length that tells what it is: 4 of a condition of the route, 5 of an application's, 6 of a block."""
    told = [one.key, one.expected, one.found, one.held]
    if one.junction is not None:
        return [*told, one.junction.value, [[_packed(each) for each in entry] for entry in one.entries]]
    return [*told, one.application] if one.application else told


def _unpacked(told: list[Any]) -> Tried:
    key, expected, found, held, *more = told
    tried = Tried(key=key, expected=expected, found=found, held=held)
    match more:
        case [application]:
            return replace(tried, application=application)
        case [junction, entries]:
            inner = tuple(tuple(_unpacked(each) for each in entry) for entry in entries)
            return replace(tried, junction=Junction(junction), entries=inner)
    return tried


@lru_cache(maxsize=4096)
def _tried(text: str) -> tuple[Tried, ...]:
    """Remembered: the same routes say the same of many series."""
    return tuple(map(_unpacked, json.loads(text)))


@lru_cache(maxsize=1024)
def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def to_decision(row: Row[Any]) -> Decision:
    """A decision with its conditions."""
    return Decision(
        route=row.route,
        series_instance_uid=row.series_instance_uid,
        matched=row.matched,
        chosen=row.chosen,
        tried=_tried(row.tried),
        reason=row.reason,
        compares=_names(row.compares),
        withheld=None if row.withheld is None else Withheld(row.withheld),
        lacks=row.lacks,
        untaken=_names(row.untaken),
    )
