"""The contract of node.journal.notes, on every database: one statement for a study and application without a result, or none."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from node.domain.arrival import Completeness
from node.domain.job import JobKind, WhenExcluded
from node.domain.state import JobState
from tests.unit.journal.story import Story

SINKS = ("archive", "viewer")


def said(story: Story) -> list[int]:
    return story.journal.statements.insert(SINKS, story.now)


def parked(story: Story, **changes: Any) -> int:
    """A job that its images ended."""
    job = story.queued(**changes)
    assert story.journal.jobs.end(job, None, JobState.PARKED, "HLM-3998", "no head", story.now, declined=True)
    return job


def test_a_statement_is_a_job_of_its_own_kind_once(story: Story) -> None:
    """It has the sinks that want it, the instances that were to be analysed and inputs of its own, and waits to be claimed."""
    job = parked(story, sinks=("archive", "research"))
    (made,) = said(story)
    statement, about = story.journal.jobs.get(made), story.journal.jobs.get(job)
    assert (statement.kind, statement.state, statement.sinks) == (JobKind.STATEMENT, JobState.QUEUED, ("archive",))
    assert (statement.study_instance_uid, statement.application) == (about.study_instance_uid, about.application)
    assert [one.id for one in story.journal.instances.of_job(made)] == [one.id for one in story.journal.instances.of_job(job)]
    assert statement.input_digest != about.input_digest
    assert (about.kind, about.declined) == (JobKind.ANALYSIS, True)
    assert said(story) == []
    assert story.claim().id == made


def test_no_statement_while_anything_may_still_answer(story: Story) -> None:
    """A series that is analysed, or that is still to be routed, is waited for; a result is an answer."""
    story.receive(1)
    first, second = story.route(story.job_asked(), story.job_asked(series_instance_uid="1.1.2", input_digest="inputs 2"))
    assert story.journal.jobs.end(first, None, JobState.FAILED, "HLM-4081", "broken", story.now)
    assert said(story) == []
    job = story.claim()
    assert job.id == second
    story.infer(job)
    assert said(story) == []
    assert job.lease is not None
    assert story.journal.jobs.end(second, job.lease, JobState.PARKED, "HLM-5001", "broken", story.now)
    story.receive(2)
    assert said(story) == []
    assert story.journal.arrivals.complete(story.arrival().id, Completeness.QUIET, story.now)
    assert said(story) == []
    story.journal.routing.route(story.arrival().id, [], [], "config 1", story.now)
    assert len(said(story)) == 1


@pytest.mark.parametrize("state", [JobState.NOT_APPLICABLE, JobState.CANCELLED])
def test_what_nobody_waits_for_is_not_stated(story: Story, state: JobState) -> None:
    """What headers exclude, and what a person cancelled."""
    assert story.journal.jobs.end(story.queued(), None, state, "HLM-3101", "modality is CT", story.now)
    assert said(story) == []


def test_what_is_not_applicable_is_stated_where_a_route_expects_a_result(story: Story) -> None:
    """As one of them wants it, also one that asked later."""
    story.receive(1)
    excluded = {"not_applicable": ("HLM-3101", "modality is CT")}
    (job,) = story.route(story.job_asked(**excluded))
    assert said(story) == []
    story.receive(2)
    assert story.route(story.job_asked(**excluded, when_excluded=WhenExcluded.TELL)) == [job]
    (made,) = said(story)
    assert story.journal.jobs.get(job).when_excluded is WhenExcluded.TELL
    assert story.journal.jobs.get(made).sinks == story.journal.jobs.get(job).sinks
    assert said(story) == []


def test_what_only_tells_that_nothing_was_taken_touches_no_job(story: Story) -> None:
    """The series is analysed for another sender's route: it gains no sink, whatever its inputs were."""
    job = story.queued(sinks=("archive",))
    for digest in ("inputs", "others"):
        story.receive(8 if digest == "others" else 7)
        told = story.job_asked(
            sinks=("viewer",),
            input_digest=digest,
            not_applicable=("HLM-3094", "none"),
            when_excluded=WhenExcluded.TELL,
            untaken=True,
        )
        assert story.route(told) == [job]
        assert story.journal.jobs.get(job).state is JobState.QUEUED
        assert story.journal.jobs.get(job).sinks == ("archive",)


def test_what_ended_long_ago_is_not_stated_any_more(story: Story) -> None:
    """A node that is upgraded, or a sink that wants statements from now on, has years of parked jobs behind it. What is parked anew is."""
    job = parked(story)
    story.now += timedelta(days=4)
    assert said(story) == []
    assert story.journal.jobs.revive(job, story.now) is JobState.QUEUED
    assert said(story) == []
    assert story.journal.jobs.end(job, None, JobState.PARKED, "HLM-3998", "no head", story.now, declined=True)
    assert len(said(story)) == 1


def test_a_late_job_is_stated_whatever_else_comes(story: Story) -> None:
    """Its deadline is over; before that it is waited for."""
    job = story.queued(deadline_at=story.now + timedelta(minutes=10))
    story.receive(2)
    assert said(story) == []
    story.now += timedelta(minutes=11)
    (made,) = said(story)
    assert story.journal.jobs.get(made).series_instance_uid == story.journal.jobs.get(job).series_instance_uid


def test_a_result_supersedes_what_said_that_there_was_none(story: Story) -> None:
    """In the transaction that journals its objects; one that a person cancelled stays as it is. What fails afterwards is stated anew."""
    job = parked(story)
    (statement,) = said(story)
    held = story.claim()
    story.infer(held)
    story.encode(held, ["statement"])
    assert story.journal.jobs.revive(job, story.now) is JobState.QUEUED
    assert not story.journal.jobs.get(job).declined
    analysis = story.claim()
    assert analysis.id == job
    story.infer(analysis)
    story.encode(analysis)
    assert story.journal.jobs.get(statement).state is JobState.SUPERSEDED
    assert said(story) == []
    later = parked(story, input_digest="others")
    assert story.journal.jobs.get(job).state is JobState.SUPERSEDED
    (again,) = said(story)
    assert (again != statement, story.journal.jobs.get(later).state) == (True, JobState.PARKED)


def test_a_statement_is_no_predecessor_of_an_analysis(story: Story) -> None:
    """Routed anew with the same inputs the analysis is joined, with other ones superseded: the statement is neither."""
    job = parked(story)
    (statement,) = said(story)
    story.receive(9)
    (joined,) = story.route(replace(story.job_asked(), input_digest="inputs 1"))
    assert joined == job
    story.receive(10)
    (newer,) = story.route(story.job_asked(input_digest="newer"))
    assert story.journal.jobs.get(newer).predecessor == job
    assert story.journal.jobs.get(statement).state is JobState.QUEUED
