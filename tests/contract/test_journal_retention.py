"""The contract of node.journal.journal, on every database: what may be forgotten, and when."""

from datetime import timedelta

import pytest

from node.domain.instance import Standing
from node.domain.state import JobState
from node.journal.errors import BytesForgotten, TransitionRefused
from tests.contract.test_journal_patients import came
from tests.unit.journal.story import START, Story

DAY = timedelta(days=1)


def test_pixels_are_kept_for_as_long_as_anything_needs_them(story: Story) -> None:
    """An open arrival, a job that may run, an object that has not arrived: each holds the instances; then they may go, oldest first."""
    story.receive(2, 1)
    later = START + DAY
    free = story.journal.retention.purgeable
    assert free(later) == [], "the arrival is open"
    story.route(story.job_asked())
    assert free(later) == [], "the job waits"
    job = story.claim()
    story.infer(job)
    assert free(later) == [], "the findings are not encoded"
    story.encode(job)
    assert free(later) == [], "the objects have not arrived"
    story.deliver()
    assert [i.sop_instance_uid for i in free(later)] == ["1.1.1.2", "1.1.1.1"]
    assert free(START) == [], "too young"
    assert len(free(later, 1)) == 1
    story.receive(3)
    assert free(later) == [], "a late instance opened a revision that has them all"


@pytest.mark.parametrize("parked", [False, True])
def test_what_may_be_a_prior_waits_for_the_study_that_comes(story: Story, parked: bool) -> None:
    """The oldest pixels of a full disk are those that a comparison is made with: until the newer study of the patient is routed they stay.
    Another patient's go."""
    came(story, "1.1")
    story.route(study="1.1")
    came(story, "1.3", PatientID="4712")
    story.route(study="1.3")
    came(story, "1.2", StudyDate="20260310")

    def free() -> set[str]:
        return {one.study_instance_uid for one in story.journal.retention.purgeable(START + DAY, parked=parked)}

    assert free() == {"1.3"}
    story.route(study="1.2")
    assert free() == {"1.1", "1.2", "1.3"}


def test_what_nobody_decided_about_is_kept_until_it_is_old(story: Story) -> None:
    """A parked job holds its pixels against a full disk, not against their age."""
    story.queued(parked=("HLM-3017", "tilted"))
    assert story.journal.retention.purgeable(START + DAY) == []
    assert len(story.journal.retention.purgeable(START + DAY, parked=True)) == 3


def test_what_parks_between_the_question_and_the_deed_keeps_its_pixels(story: Story) -> None:
    """The disk was full, and a person retried and parked the job meanwhile; in their time the pixels go all the same."""
    story.queued(parked=("HLM-3017", "tilted"))
    rows = [one.id for one in story.journal.retention.purgeable(START + DAY, parked=True)]
    story.journal.retention.tombstone(rows, START)
    assert story.journal.retention.purged_blobs() == {}
    story.journal.retention.tombstone(rows, START, parked=True)
    assert len(story.journal.retention.purged_blobs()) == 3


def test_a_tombstone_stands_before_the_bytes_go(story: Story) -> None:
    """Standing PURGED and the blob's name are committed together; `swept` ends it; the row and its header stay."""
    story.done()
    rows = story.journal.retention.purgeable(START + DAY)
    story.journal.retention.tombstone([row.id for row in rows[:2]], START)
    assert list(story.journal.retention.purged_blobs().values()) == [row.blob for row in rows[:2]]
    assert [i.standing for i in story.journal.instances.by_uid(rows[0].sop_instance_uid)] == [Standing.PURGED]
    story.journal.retention.tombstone([row.id for row in rows], START)
    blobs = story.journal.retention.purged_blobs()
    assert list(blobs.values()) == [row.blob for row in rows], "the first two have their tombstones already"
    story.journal.retention.swept(blobs)
    assert story.journal.retention.purged_blobs() == {}
    assert story.journal.instances.by_uid(rows[0].sop_instance_uid)[0].header == rows[0].header


def test_a_tombstone_is_refused_to_what_is_needed_meanwhile(story: Story) -> None:
    """Between retention's question and its deed a study was revised: its pixels stay."""
    story.done()
    rows = [row.id for row in story.journal.retention.purgeable(START + DAY)]
    story.receive(9)
    story.journal.retention.tombstone(rows, START)
    assert story.journal.retention.purged_blobs() == {}


def test_purged_bytes_that_come_again_stand_again(story: Story) -> None:
    """Under another name, so that a sweep of the old one does not take them; again is no error; and their header with them."""
    story.done()
    row = story.journal.retention.purgeable(START + DAY)[0]
    story.journal.retention.tombstone([row.id], START)
    assert story.journal.retention.forget_headers(START + DAY) == 1
    assert story.journal.instances.by_uid(row.sop_instance_uid)[0].header == {}
    for _ in range(2):
        story.journal.instances.restore(row.id, "instances/again.dcm", row.header, START)
    (again,) = story.journal.instances.by_uid(row.sop_instance_uid)
    assert (again.standing, again.blob, again.header) == (Standing.CURRENT, "instances/again.dcm", row.header)
    assert list(story.journal.retention.purged_blobs().values()) == [row.blob]
    with pytest.raises(TransitionRefused):
        story.journal.instances.restore(row.id, "instances/other.dcm", row.header, START)


def test_an_update_of_purged_bytes_leaves_one_current_instance(story: Story) -> None:
    """Also when the old bytes come once more after it."""
    story.done()
    row = story.journal.retention.purgeable(START + DAY)[0]
    story.journal.retention.tombstone([row.id], START)
    new = story.update(row.id, int(row.sop_instance_uid.rpartition(".")[2]))
    story.journal.instances.restore(row.id, "instances/again.dcm", row.header, START)
    standings = {i.id: i.standing for i in story.journal.instances.by_uid(row.sop_instance_uid)}
    assert standings == {row.id: Standing.REPLACED, new: Standing.CURRENT}


def test_headers_are_forgotten_after_their_pixels_only(story: Story) -> None:
    """By age, in bounded batches, and never of an instance that still has its bytes."""
    story.done()
    assert story.journal.retention.forget_headers(START + DAY) == 0
    story.journal.retention.tombstone([row.id for row in story.journal.retention.purgeable(START + DAY)], START)
    assert story.journal.retention.forget_headers(START) == 0
    assert story.journal.retention.forget_headers(START + DAY, 2) == 2
    assert story.journal.retention.forget_headers(START + DAY) == 1
    assert story.journal.retention.forget_headers(START + DAY) == 0


def test_results_are_forgotten_once_they_arrived_and_are_old(story: Story) -> None:
    """Findings and objects get tombstones, the rows stay; and nobody may then send what is not there."""
    job = story.encoded()
    assert story.journal.retention.purge_results(START + DAY, START + DAY) == 0
    story.deliver()
    assert story.journal.retention.purge_results(START, START + DAY) == 0
    assert story.journal.retention.purge_results(START + DAY, START + DAY) == 3
    assert story.journal.retention.purge_results(START + DAY, START + DAY) == 0
    assert sorted(story.journal.retention.purged_blobs().values()) == [f"findings/{job}", f"results/{job}/seg.dcm", f"results/{job}/sr.dcm"]
    assert len(story.journal.results.of_job(job)) == 2
    with pytest.raises(BytesForgotten):
        story.journal.deliveries.resend(job, None, START)
    with pytest.raises(BytesForgotten):
        story.journal.jobs.revive(job, START)
    assert story.journal.jobs.get(job).state is JobState.DONE, "a refusal changes nothing"
