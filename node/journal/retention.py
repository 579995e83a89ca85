"""Retention in the journal: which bytes nobody needs any more, and the tombstones that stand before these are deleted."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import takewhile

from sqlalchemy import ColumnElement, Connection, delete, exists, func, or_, select, update

from node.domain.instance import Instance, Standing
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.instances import forget, read_instances
from node.journal.port import PrunedPage
from node.journal.rows import micros
from node.journal.store import insert_tombstone, lock_tombstones
from node.journal.transitions import INSTANCE, move

_instance = schema.instance.c
_job = schema.job.c
_delivery = schema.delivery.c
_OF_A_JOB = re.compile(r"(?:results|findings)/([0-9]{1,18})-")
_AT_WORK = [JobState.QUEUED.value, JobState.INFERRED.value]


def _busy(parked: bool) -> ColumnElement[bool]:
    """Whether a job, or a delivery of it, still needs bytes; without `parked`, what a person may revive needs them too."""
    states = _AT_WORK if parked else [*_AT_WORK, JobState.PARKED.value, JobState.FAILED.value]
    stopped = [DeliveryState.WAITING.value] if parked else [DeliveryState.WAITING.value, DeliveryState.PARKED.value]
    on_its_way = or_(_delivery.state.in_(stopped), _delivery.awaits_commitment)
    return or_(_job.state.in_(states), exists().where(_delivery.job_id == _job.id, on_its_way))


def _free_to_go(parked: bool, promised_before: datetime | None) -> tuple[ColumnElement[bool], ...]:
    """Instances that have their bytes, and neither an unrouted arrival (theirs, or one of the same patient, which may take them for its
    prior) nor a busy job, nor a peer that relies on them still; without `parked`, what a person may put back is unrouted too, and what is
    held waits for a person."""
    manifest, used = schema.arrival_instance.c, schema.job_instance.c
    over = [ArrivalState.ROUTED.value, *([ArrivalState.PARKED.value] if parked else [])]
    unrouted = (
        select(manifest.instance_id)
        .join(schema.arrival, schema.arrival.c.id == manifest.arrival_id)
        .where(manifest.instance_id == _instance.id, schema.arrival.c.state.not_in(over))
    )
    needed = select(used.instance_id).join(schema.job, _job.id == used.job_id).where(used.instance_id == _instance.id, _busy(parked))
    stays = {Standing.PURGED} if parked else {Standing.PURGED, Standing.HELD}
    with_bytes = [standing.value for standing in Standing if standing not in stays]
    free = (_instance.standing.in_(with_bytes), ~unrouted.exists(), ~needed.exists(), ~_prior_of_what_is_under_way())
    if promised_before is None:
        return free
    promise = schema.promise.c
    return *free, ~exists().where(promise.instance_id == _instance.id, promise.at >= micros(promised_before))


def _prior_of_what_is_under_way() -> ColumnElement[bool]:
    mine, theirs, arrival = schema.patient_series.alias("mine").c, schema.patient_series.alias("theirs").c, schema.arrival.c
    return exists().where(
        mine.series_instance_uid == _instance.series_instance_uid,
        theirs.patient_id == mine.patient_id,
        theirs.issuer == mine.issuer,
        theirs.study_instance_uid != mine.study_instance_uid,
        arrival.study_instance_uid == theirs.study_instance_uid,
        arrival.state.not_in((ArrivalState.ROUTED.value, ArrivalState.PARKED.value)),
    )


class RetainedRows(JournalPart):
    """What is old enough to go, and which bytes no row wants."""

    def purgeable(
        self, received_before: datetime, limit: int = 500, *, parked: bool = False, promised_before: datetime | None = None
    ) -> list[Instance]:
        """Instances with pixels, oldest first, of arrivals that are ROUTED and whose jobs are all ended and delivered. With `parked`
        also those of jobs (and deliveries) that are PARKED or FAILED, and what is HELD: nobody decided for as long as pixels are kept. With
        `promised_before` none that this node committed to since: their sender may have deleted them."""
        statement = (
            select(schema.instance)
            .where(_instance.received_at < micros(received_before), *_free_to_go(parked, promised_before))
            .order_by(_instance.received_at, _instance.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return read_instances(connection, statement)

    @rerun
    def tombstone(self, instances: Iterable[int], now: datetime, *, parked: bool = False, promised_before: datetime | None = None) -> None:
        """Standing PURGED and a tombstone for the blob, committed before it is deleted; the row stays. Instances that something has
        come to need since `purgeable` was asked with the same `parked`, or that this node committed to since `promised_before`, are left
        alone."""
        wanted = _instance.id.in_(list(instances))
        with self._database.writing() as connection:
            # locked first, then looked at: whoever is about to need one of them waits, or is seen
            connection.execute(select(_instance.id).where(wanted).order_by(_instance.id).with_for_update()).all()
            free = select(_instance.id, _instance.standing, _instance.blob).where(wanted, *_free_to_go(parked, promised_before))
            for row in connection.execute(free).all():
                move(connection, INSTANCE, row.id, Standing.PURGED, now, row.blob, standing_kept=row.standing)
                insert_tombstone(connection, row.blob, now)

    @rerun
    def purge_results(self, moved_before: datetime, now: datetime, limit: int = 500) -> int:
        """Tombstone the objects and findings of jobs that ended (and were delivered) before; returns how many blobs. The rows stay."""
        made = schema.result_object.c
        # whoever has objects has findings, until both go: these are few, however many jobs there ever were
        old = (_job.findings_blob.is_not(None), _job.moved_at < micros(moved_before), ~_busy(parked=True))
        over = select(_job.id, _job.findings_blob).where(*old).order_by(_job.moved_at).limit(limit)
        with self._database.writing() as connection:
            tombstoned = 0
            for job in connection.execute(over).all():
                objects = select(made.id, made.blob).where(made.job_id == job.id, made.purged_at.is_(None))
                for row in connection.execute(objects).all():
                    connection.execute(update(schema.result_object).where(made.id == row.id).values(purged_at=micros(now)))
                    tombstoned += insert_tombstone(connection, row.blob, now)
                connection.execute(update(schema.job).where(_job.id == job.id).values(findings_blob=None))
                tombstoned += insert_tombstone(connection, job.findings_blob, now)
            return tombstoned

    @rerun
    def forget_headers(self, received_before: datetime, limit: int = 500) -> int:
        """Forget the headers of purged instances; returns of how many."""
        base = schema.series_header.c
        old = (
            _instance.standing == Standing.PURGED.value,
            _instance.received_at < micros(received_before),
            _instance.header_base.is_not(None),
        )
        with self._database.writing() as connection:
            columns = (_instance.id, _instance.header_base, _instance.series_instance_uid)
            rows = connection.execute(select(*columns).where(*old).limit(limit)).all()
            if not rows:
                return 0
            ids = [row.id for row in rows]
            connection.execute(update(schema.instance).where(_instance.id.in_(ids)).values(header_base=None, header_delta=None))
            unused = ~exists().where(_instance.header_base == base.id)
            connection.execute(delete(schema.series_header).where(base.id.in_({row.header_base for row in rows}), unused))
            forget(connection, {row.series_instance_uid for row in rows})
            return len(rows)

    @rerun
    def prune_history(
        self, before: datetime, now: datetime, limit: int = 500, *, after: int = 0, followers: Collection[str] = ()
    ) -> PrunedPage:
        """Look at the next `limit` events behind number `after`, oldest first, and delete those before `before`, up to the first that is
        younger. None goes that one of `followers` has still to tell, and the newest stays: the next one has a greater number. What was
        done, and what is to be done, is the same afterwards."""
        event, follower = schema.event.c, schema.follower.c
        with self._database.reading() as connection:
            newest = connection.execute(select(func.max(event.id))).scalar()
            if newest is None:
                return PrunedPage(lines=0, reached=after, last=True)
            # the newest stays: SQLite gives its number to the next one, and whoever has come that far would pass over that
            told = connection.execute(select(func.min(follower.position)).where(follower.name.in_(list(followers)))).scalar()
            upto = newest - 1 if told is None else min(newest - 1, told)
            page = select(event.id, event.at).where(event.id > after, event.id <= upto).order_by(event.id).limit(limit)
            rows = connection.execute(page).all()
        # not by their dates alone, of which there is no index: what a clock that was ahead has dated is passed over until then
        seen = list(takewhile(lambda row: not micros(before) <= row.at <= micros(now), rows))
        old = [row.id for row in seen if row.at < micros(before)]
        if old:
            with self._database.writing() as connection:
                connection.execute(delete(schema.event).where(event.id.in_(old)))
        return PrunedPage(lines=len(old), reached=seen[-1].id if seen else after, last=len(seen) < limit)

    def purged_blobs(self, limit: int = 1000) -> Mapping[int, str]:
        """Tombstone → blob that may still lie there (deleted again after a crash); `swept` ends it."""
        table = schema.tombstone
        with self._database.reading() as connection:
            return {row.id: row.blob for row in connection.execute(select(table).order_by(table.c.id).limit(limit))}

    @rerun
    def swept(self, tombstones: Iterable[int]) -> None:
        """Their blobs are gone."""
        with self._database.writing() as connection:
            connection.execute(delete(schema.tombstone).where(schema.tombstone.c.id.in_(list(tombstones))))

    @rerun
    def bytes_gone(self, blobs: Collection[str], now: datetime) -> None:
        """Say of these blobs that their bytes are not there any more, as retention would have."""
        wanted = list(blobs)
        made = schema.result_object.c
        with self._database.writing() as connection:
            lost = select(_instance.id, _instance.standing, _instance.blob).where(_instance.blob.in_(wanted))
            # locked: a sweep may purge one of them at the same time
            for row in connection.execute(lost.order_by(_instance.id).with_for_update()).all():
                if row.standing != Standing.PURGED:
                    move(connection, INSTANCE, row.id, Standing.PURGED, now, row.blob, standing_kept=row.standing)
            kept = (made.blob.in_(wanted), made.purged_at.is_(None))
            connection.execute(update(schema.result_object).where(*kept).values(purged_at=micros(now)))
            connection.execute(update(schema.job).where(_job.findings_blob.in_(wanted)).values(findings_blob=None))

    def kept_blobs(self, blobs: Collection[str]) -> dict[str, bool]:
        """Of those that a row names: whether their bytes are still wanted (False: they were purged)."""
        with self._database.reading() as connection:
            return _kept(connection, blobs)

    @rerun
    def tombstone_unreferenced(self, blobs: Collection[str], now: datetime) -> list[str]:
        """Tombstones for those that no row wants, which are returned; they are deleted as `purged_blobs` are. A row that would name one
        from now on is refused (`JournalError`, to be tried again) until `swept`."""
        with self._database.writing() as connection:
            lock_tombstones(connection)
            kept = _kept(connection, blobs)
            there = select(schema.tombstone.c.blob).where(schema.tombstone.c.blob.in_(list(blobs)))
            lie_there = set(connection.execute(there).scalars())
            tombstoned = [blob for blob in blobs if not kept.get(blob, False)]
            for blob in tombstoned:
                if blob not in lie_there:
                    insert_tombstone(connection, blob, now)
            return tombstoned


def _kept(connection: Connection, blobs: Collection[str]) -> dict[str, bool]:
    found = {
        row.blob: row.standing != Standing.PURGED
        for row in connection.execute(select(_instance.blob, _instance.standing).where(_instance.blob.in_(list(blobs))))
    }
    made = schema.result_object.c
    # the number of the job stands in these names, and there is an index of it
    jobs = {int(named[1]) for blob in blobs if (named := _OF_A_JOB.match(blob))}
    for row in connection.execute(select(made.blob, made.purged_at).where(made.job_id.in_(jobs))):
        found[row.blob] = row.purged_at is None
    for blob in connection.execute(select(_job.findings_blob).where(_job.id.in_(jobs), _job.findings_blob.is_not(None))).scalars():
        found[blob] = True
    return {blob: found[blob] for blob in blobs if blob in found}
