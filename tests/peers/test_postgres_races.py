"""Two processes that do the same thing at the same moment, on one real PostgreSQL: whoever is first, the journal ends the same."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import event, text

from node.domain.arrival import Completeness
from node.domain.instance import Instance, Standing
from node.domain.job import NewJob
from node.domain.state import JobState
from node.journal import schema
from node.journal.journal import Journal
from tests.lab.other import Other
from tests.lab.postgres import Postgres
from tests.unit.journal.story import LEASE, START, Story


def _at_once(*steps: Callable[[], object]) -> list[object]:
    """All steps in threads of their own, let go at the same moment."""
    gate = threading.Barrier(len(steps))

    def run(step: Callable[[], object]) -> object:
        gate.wait()
        return step()

    with ThreadPoolExecutor(len(steps)) as threads:
        return [future.result() for future in [threads.submit(run, step) for step in steps]]


def _instance(story: Story, study: str, number: int, **changes: Any) -> Instance:
    """An instance that no other study has."""
    name = f"{study}.{number}"
    return story.instance(number, sop_instance_uid=name, blob=name, digest=name, study_instance_uid=study, **changes)


def test_receivers_of_one_study_make_one_arrival(opened: Callable[[], Journal]) -> None:
    """A study that comes over two associations to two hosts, in batches that meet: one open arrival that counts every instance."""
    journals = [opened(), opened(), opened()]
    for round_ in range(10):
        study = f"1.2.{round_}"

        def receive(number: int, study: str = study) -> None:
            story = Story(journals[number])
            for batch in range(3):
                first = 1000 * number + 10 * batch
                news = [story.new(_instance(story, study, n)) for n in range(first, first + 5)]
                journals[number].instances.record(news, START)

        _at_once(*(partial(receive, n) for n in range(3)))
        arrivals = journals[0].arrivals.find(study=study)
        assert [(one.revision, one.instances) for one in arrivals] == [(1, 45)]
        assert len(journals[0].instances.of_arrival(arrivals[0].id)) == 45


def test_an_instance_never_joins_an_arrival_that_is_complete(opened: Callable[[], Journal]) -> None:
    """One process settles while another records: the instance is in the frozen manifest, or in a revision, and always counted."""
    first, second = opened(), opened()
    for round_ in range(20):
        study = f"1.3.{round_}"
        story = Story(first)
        one, two = (_instance(story, study, n) for n in (1, 2))
        first.instances.record([story.new(one)], START)
        arrival = story.arrival(study)
        _at_once(
            partial(first.arrivals.complete, arrival.id, Completeness.QUIET, START),
            partial(second.instances.record, [story.new(two)], START),
        )
        frozen = len(first.instances.of_arrival(arrival.id))
        latest = story.arrival(study)
        counted = {found.id: found.instances for found in first.arrivals.find(study=study)}
        assert counted[arrival.id] == frozen
        assert (frozen, latest.id) == (2, arrival.id) or (frozen, latest.revision, latest.instances) == (1, 2, 2)


def test_one_study_from_two_peers_makes_one_job(opened: Callable[[], Journal]) -> None:
    """Two processes route the two arrivals of a study at the same moment: the same analysis is one job, with the sinks of both."""
    first, second = opened(), opened()
    for round_ in range(20):
        study, story = f"1.4.{round_}", Story(first)
        for number, peer in enumerate(["ct1", "pacs"]):
            first.instances.record([story.new(_instance(story, study, number, peer=peer))], START)

        def route(journal: Journal, peer: str, study: str = study, story: Story = story) -> tuple[int, ...]:
            arrival = story.arrival(study, peer=peer)
            assert journal.arrivals.complete(arrival.id, Completeness.QUIET, START)
            instances = tuple(one.id for one in journal.instances.of_arrival(arrival.id))
            asked: NewJob = story.job_asked(routes=(peer,), sinks=(f"sink of {peer}",), instances=instances)
            return journal.routing.route(arrival.id, [], [asked], "config 1", START).jobs

        made = _at_once(lambda: route(first, "ct1"), lambda: route(second, "pacs"))
        assert made[0] == made[1]
        (job,) = first.jobs.find(study=study)
        assert set(job.sinks) == {"sink of ct1", "sink of pacs"}


def test_a_sink_that_joins_while_a_job_is_encoded_gets_its_delivery(opened: Callable[[], Journal]) -> None:
    """Routing adds a sink at the moment at which the worker inserts the deliveries: each sink has one, whoever was first."""
    first, second = opened(), opened()
    for round_ in range(20):
        story = Story(first)
        study = f"1.5.{round_}"
        first.instances.record([story.new(_instance(story, study, 1))], START)
        story.route(story.job_asked(), study=study)
        job = story.claim()
        story.infer(job)
        first.instances.record([story.new(_instance(story, study, 2))], START)
        arrival = story.arrival(study)
        first.arrivals.complete(arrival.id, Completeness.QUIET, START)
        asked = story.job_asked(sinks=("archive", "viewer"), instances=(1,))
        _at_once(
            partial(story.encode, job),
            partial(second.routing.route, arrival.id, [], [asked], "config 1", START),
        )
        assert sorted(one.sink for one in first.deliveries.find(job=job.id)) == ["archive", "viewer"]


def test_a_job_is_done_when_its_last_two_deliveries_end_at_once(opened: Callable[[], Journal]) -> None:
    """Each of two senders must not see the other one's delivery still under way."""
    first, second = opened(), opened()
    for round_ in range(20):
        story = Story(first)
        job = story.encoded(sinks=("archive", "viewer"), input_digest=f"inputs {round_}")
        taken = [story.take(), story.take()]
        _at_once(
            partial(first.deliveries.delivered, taken[0].id, taken[0].lease or "", START),
            partial(second.deliveries.delivered, taken[1].id, taken[1].lease or "", START),
        )
        assert first.jobs.get(job).state is JobState.DONE


def test_what_is_sent_again_while_it_arrives_deadlocks_nobody(postgres: Postgres, url: str, opened: Callable[[], Journal]) -> None:
    """The operator's resend and cancel lock a job and then its deliveries; so does the end of a delivery."""
    with postgres.admin(url.rpartition("/")[2]) as admin:
        # after a second, as it comes, a deadlock could not be told from a busy machine
        admin.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '40s'").format(sql.Identifier(url.rpartition("/")[2])))
    first, second = opened(), opened()
    for round_ in range(10):
        story = Story(first)
        job = story.encoded(sinks=("archive", "viewer"), input_digest=f"inputs {round_}")
        taken = [story.take(), story.take()]
        began = time.monotonic()
        _at_once(
            partial(first.deliveries.delivered, taken[0].id, taken[0].lease or "", START),
            partial(second.deliveries.resend, job, None, START),
        )
        assert time.monotonic() - began < 30, "PostgreSQL looks for deadlocks after 40 seconds"
        for one in first.deliveries.find(job=job):
            if one.state == "waiting":
                first.jobs.end(job, None, JobState.CANCELLED, "", "", START)
                break


def test_pixels_that_a_study_comes_to_need_are_not_purged(opened: Callable[[], Journal]) -> None:
    """Retention decides while the study is sent again: either it is purged first, and the arrival knows, or it stays."""
    first, second = opened(), opened()
    for round_ in range(20):
        story = Story(first)
        study = f"1.6.{round_}"
        (instance,) = first.instances.record([story.new(_instance(story, study, 1))], START)
        story.route(study=study)
        late = _instance(story, study, 2)
        _at_once(
            partial(first.retention.tombstone, [instance], START),
            partial(second.instances.record, [story.new(late)], START),
        )
        (kept,) = [one for one in first.instances.of_arrival(story.arrival(study).id) if one.id == instance]
        purged = first.instances.by_uid(f"{study}.1")[0].standing is Standing.PURGED
        assert (kept.standing is Standing.PURGED) == purged


# ---- the schema


def test_processes_of_many_hosts_that_start_at_once_create_one_journal(url: str) -> None:
    """One migrates, the others wait for it."""
    program = "import sys; sys.stdin.readline(); from node.journal.journal import Journal; print(Journal.open(sys.argv[1]).arrivals.find())"
    others = [Other(program, url) for _ in range(4)]
    try:
        for other in others:
            other.tell()
        assert [other.hear() for other in others] == ["[]"] * 4
    finally:
        for other in others:
            other.close()


def test_the_migrations_build_the_schema_here_too(opened: Callable[[], Journal]) -> None:
    """Alembic itself finds no difference between the migrated database and what node.journal.schema describes."""
    with opened().database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []


def test_a_claim_reads_its_index_in_order_before_there_are_statistics(opened: Callable[[], Journal]) -> None:
    """A queue that has just filled, which PostgreSQL knows nothing of: candidates are read one by one, none is sorted."""
    journal = opened()
    story = Story(journal)
    story.receive(1)
    story.route(*(story.job_asked(application=f"application {n}") for n in range(300)))
    asked: list[tuple[str, Any]] = []
    event.listen(journal.database.engine, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
    assert journal.jobs.claim("host:1", START, LEASE, away_engines=["gpu"], at_once={"other": 1}, offpeak=False) is not None
    candidates = [(sql, values) for sql, values in asked if sql.startswith(("SELECT job.id", "WITH RECURSIVE")) and "FROM job " in sql]
    with journal.database.writing() as connection:
        connection.execute(text("SELECT set_config('enable_sort', 'off', true)"))  # as the claim has it
        plans = [" ".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {sql}", values)) for sql, values in candidates]
    earliest, peers, first = plans[:3]
    assert "Index Scan using ix_job_claim" in earliest
    assert "ix_job_turn" in peers
    assert "Index Scan using ix_job_turn" in first
    assert "Sort" not in earliest + first
    assert "Seq Scan on job" not in peers
