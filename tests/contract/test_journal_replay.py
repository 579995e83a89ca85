"""Every journal tells again what was decided, page by page, of each study and sender what was routed last."""

from dataclasses import replace
from datetime import timedelta

from node.domain.arrival import Completeness
from node.domain.route import Withheld
from tests.unit.journal.story import DECISION, START, Story

KEYWORDS = ("Modality", "Rows")


def route(story: Story, digest: str, study: str = "1.1", **job: str) -> int:
    """The open arrival of the study settles and is routed; its row."""
    arrival = story.arrival(study).id
    story.journal.arrivals.complete(arrival, Completeness.QUIET, story.now)
    story.now += timedelta(seconds=1)
    story.journal.routing.route(arrival, [DECISION], [story.job_asked(**job)], digest, story.now)
    return arrival


def test_what_was_routed_last_is_told_with_all_that_decided(story: Story) -> None:
    """Manifest, decisions, who called, when and by which routes; the instances that count now and the jobs that stand now."""
    old = story.receive(1, 2)
    story.update(old[0], 1)
    route(story, "first")
    story.receive(3)
    newest = route(story, "second", input_digest="other")
    (one,) = story.journal.routing_history.find(START, KEYWORDS)
    assert (one.arrival.id, one.arrival.revision, one.config_digest, one.calling, one.at) == (newest, 2, "second", "CT1", story.now)
    assert (one.series, one.decisions) == (frozenset({"1.1.1"}), (DECISION,))
    assert sorted(each.sop_instance_uid for each in one.study) == ["1.1.1.1", "1.1.1.2", "1.1.1.3"]
    assert [dict(each.header) for each in one.study] == [{"Modality": ("CT",)}] * 3
    assert not one.forgotten
    assert [(job.arrival, job.routes, job.sinks) for job in one.jobs] == [(newest, *_asked(story))]


def test_pages_follow_each_other_and_end(story: Story) -> None:
    """Open arrivals are left out; so is what was complete before the time given."""
    rows = []
    for number, study in enumerate(("1.1", "2.2", "3.3"), start=1):
        story.receive(number, study_instance_uid=study, series_instance_uid=f"{study}.1")
        rows.append(route(story, "same", study))
        story.now += timedelta(hours=1)
    story.receive(9, study_instance_uid="4.4", series_instance_uid="4.4.1")
    assert [one.arrival.id for one in story.journal.routing_history.find(START, KEYWORDS)] == rows
    first, second = story.journal.routing_history.find(START, KEYWORDS, limit=2)
    assert [first.arrival.id, second.arrival.id] == rows[:2]
    assert [one.arrival.id for one in story.journal.routing_history.find(START, KEYWORDS, after=second.arrival.id, limit=2)] == rows[2:]
    assert story.journal.routing_history.find(START, KEYWORDS, after=rows[2]) == []
    assert [one.arrival.id for one in story.journal.routing_history.find(START + timedelta(minutes=30), KEYWORDS)] == rows[1:]


def test_of_what_was_decided_a_page_has_what_came_to_something_and_the_rest_is_told_on_demand(story: Story) -> None:
    """Chosen, withheld, told of: these are on the page. That nothing came of the other series is there when it is asked for, in order."""
    nothing = replace(DECISION, series_instance_uid="1.1.2", matched=False, chosen=False, withheld=None, compares=())
    told = replace(nothing, series_instance_uid="1.1.3", untaken=("heart",))
    waits = replace(nothing, series_instance_uid="1.1.4", matched=True, withheld=Withheld.WAITS)
    story.receive(1)
    arrival = story.arrival("1.1").id
    story.journal.arrivals.complete(arrival, Completeness.QUIET, story.now)
    story.journal.routing.route(arrival, [nothing, DECISION, told, waits], [story.job_asked()], "any", story.now)
    (one,) = story.journal.routing_history.find(START, KEYWORDS)
    assert one.decisions == (DECISION, told, waits)
    decided = story.journal.routing_history.decided([arrival, arrival + 1])
    assert {row: list(of) for row, of in decided.items()} == {arrival: [nothing, DECISION, told, waits]}


def _asked(story: Story) -> tuple[tuple[str, ...], tuple[str, ...]]:
    asked = story.job_asked()
    return asked.routes, asked.sinks
